#include <catch2/catch.hpp>

#include "guestxml_samples.hpp"
#include "libha/guestxml/guest_xml.hpp"

using namespace wardom;
using namespace wardom::guestxml;

TEST_CASE("summarize_reads_name_uuid_memory_and_vcpus") {
  const auto summary = summarize(samples::kWindows);
  REQUIRE(summary.has_value());
  CHECK(summary.value().name == "win11");
  CHECK(to_uuid(summary.value().uuid) == samples::kUuid);
  CHECK(summary.value().memory_kib == 8388608);
  CHECK(summary.value().vcpus == 4);
  CHECK_FALSE(summary.value().marked.has_value());
}

TEST_CASE("summarize_understands_every_unit") {
  const auto kib = [](const std::string& memory) {
    const auto s = summarize("<domain><name>g</name>" + memory + "</domain>");
    return s.has_value() ? static_cast<long long>(s.value().memory_kib) : -1;
  };
  CHECK(kib("<memory>1024</memory>") == 1024);
  CHECK(kib("<memory unit='MiB'>16</memory>") == 16384);
  CHECK(kib("<memory unit='G'> 2 </memory>") == 2097152);
  CHECK(kib("<memory unit='KB'>1</memory>") == 1);  // 1000 bytes, rounded up
  CHECK(kib("<memory unit='TiB'>1</memory>") == 1073741824);
  CHECK(kib("<memory unit='bytes'>1</memory>") == 1);
  CHECK(kib("<memory unit='furlong'>1</memory>") == -1);
  CHECK(kib("<memory>-1</memory>") == -1);
  CHECK(kib("<memory></memory>") == -1);
  CHECK(kib("<memory unit='TiB'>99999999999999</memory>") == -1);
  CHECK(kib("") == -1);
}

TEST_CASE("summarize_without_vcpu_is_one_and_without_uuid_is_zero") {
  const auto s = summarize("<domain><name>g</name><memory>1</memory></domain>");
  REQUIRE(s.has_value());
  CHECK(s.value().vcpus == 1);
  CHECK(s.value().uuid.is_zero());
}

TEST_CASE("summarize_refuses_what_is_no_guest") {
  const auto refused = [](const std::string& xml, const std::string& because) {
    const auto s = summarize(xml);
    INFO(xml.substr(0, 120));
    REQUIRE(s.has_error());
    CHECK_THAT(s.error().message, Catch::Contains(because));
  };
  const std::string good = "<domain><name>g</name><memory>1</memory></domain>";
  REQUIRE(summarize(good).has_value());
  refused("", "well-formed");
  refused("hello", "well-formed");
  refused("<domain><name>g</name>", "well-formed");
  refused("<network/>", "<domain>");
  refused(good + good, "more than one");
  refused("<!DOCTYPE domain [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>" + good, "document type");
  refused(good.substr(0, 20) + std::string(1, '\0') + good.substr(20), "NUL");
  refused("<domain><name></name><memory>1</memory></domain>", "<name>");
  refused("<domain><name>" + std::string(256, 'n') + "</name><memory>1</memory></domain>",
          "<name>");
  refused("<domain><name>g</name><uuid>12</uuid><memory>1</memory></domain>", "<uuid>");
  refused("<domain><name>g</name><memory>1</memory><vcpu>x</vcpu></domain>", "<vcpu>");
  refused("<domain>" + std::string(kMaxGuestXmlBytes, ' ') + "</domain>", "limit");
}

TEST_CASE("summarize_refuses_deep_nesting_just_above_the_limit") {
  const auto nested = [](std::size_t depth) {
    std::string open, close;
    for (std::size_t i = 1; i < depth; ++i) {
      open += "<a>";
      close += "</a>";
    }
    return "<domain><name>g</name><memory>1</memory>" + open + close + "</domain>";
  };
  CHECK(summarize(nested(kMaxXmlDepth)).has_value());
  CHECK(summarize(nested(kMaxXmlDepth + 1)).has_error());
  CHECK(summarize(nested(30000)).has_error());
}

TEST_CASE("summarize_expands_no_entity_of_its_own") {
  const auto s = summarize("<domain><name>a&amp;b&x;</name><memory>1</memory></domain>");
  REQUIRE(s.has_value());
  CHECK(s.value().name == "a&b&x;");
}
