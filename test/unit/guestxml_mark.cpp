#include <catch2/catch.hpp>

#include "guestxml_samples.hpp"
#include "libha/guestxml/guest_xml.hpp"

using namespace wardom;
using namespace wardom::guestxml;

namespace {
std::string marked(const std::string& xml, std::uint64_t generation) {
  const auto result = mark_protected(xml, Generation{generation});
  REQUIRE(result.has_value());
  return result.value();
}
std::string unmarked(const std::string& xml) {
  const auto result = unmark_protected(xml);
  REQUIRE(result.has_value());
  return result.value();
}
std::uint64_t hash(const std::string& xml) {
  const auto result = definition_hash(xml);
  REQUIRE(result.has_value());
  return result.value();
}
const std::string kElement =
    R"(<wardom:guest xmlns:wardom="urn:wardom:guest:1" protected="yes" generation="7"/>)";
}  // namespace

TEST_CASE("mark_inserts_the_element_and_keeps_the_rest") {
  const std::string xml = samples::guest("");
  const auto with = marked(xml, 7);
  CHECK_THAT(with, Catch::Contains(R"(protected="yes" generation="7")"));
  CHECK(is_marked_protected(with));
  CHECK(summarize(with).value().marked == Generation{7});
  CHECK(with.find("</uuid><metadata>") != std::string::npos);
  CHECK_FALSE(is_marked_protected(xml));
}

TEST_CASE("mark_replaces_an_older_mark") {
  auto xml = marked(marked(samples::kWindows, 7), 8);
  CHECK(summarize(xml).value().marked == Generation{8});
  CHECK(xml.find("generation=\"7\"") == std::string::npos);
  CHECK_THAT(xml, Catch::Contains("libosinfo:os id="));
}

TEST_CASE("unmark_is_the_inverse_of_mark") {
  // Quoting and attribute spacing are normalised by any rewriting; all else comes back.
  const auto once = unmarked(marked(samples::kWindows, 3));
  CHECK(once == unmarked(samples::kWindows));
  CHECK(unmarked(marked(once, 9)) == once);
  CHECK(unmarked(marked(samples::guest(""), 9)).find("metadata") == std::string::npos);
}

TEST_CASE("mark_keeps_comments_white_space_and_special_characters") {
  const std::string xml =
      "<domain>\n  <!-- keep -->\n  <name>a&amp;b</name>\n  <memory>1</memory>\n"
      "  <description>x &lt; y\n z</description>\n</domain>";
  const auto with = marked(xml, 1);
  for (const char* kept : {"<!-- keep -->", "a&amp;b", "x &lt; y\n z", "</name>\n  <memory>"})
    CHECK_THAT(with, Catch::Contains(kept));
}

TEST_CASE("mark_is_known_by_namespace_and_not_by_prefix") {
  const auto with = [](const std::string& element) {
    return is_marked_protected("<domain><name>g</name><memory>1</memory><metadata>" + element +
                               "</metadata></domain>");
  };
  CHECK(with(kElement));
  CHECK(with("<w:guest xmlns:w='urn:wardom:guest:1' protected='yes' generation='1'/>"));
  CHECK(with("<guest xmlns='urn:wardom:guest:1' protected='yes'/>"));
  CHECK(with("<guest xmlns='urn:wardom:guest:1' protected='yes' generation='junk'/>"));
  CHECK_FALSE(with("<wardom:guest xmlns:wardom='urn:other' protected='yes'/>"));
  CHECK_FALSE(with("<guest protected='yes'/>"));
  CHECK_FALSE(with("<wardom:guest xmlns:wardom='urn:wardom:guest:1' protected='no'/>"));
  CHECK_FALSE(with("<w:other xmlns:w='urn:wardom:guest:1' protected='yes'/>"));
  CHECK_FALSE(with("<a>" + kElement + "</a>"));
}

TEST_CASE("mark_refuses_broken_xml") {
  CHECK(mark_protected("<domain", Generation{1}).has_error());
  CHECK(unmark_protected("<pool/>").has_error());
  CHECK_FALSE(is_marked_protected("not xml " + kElement));
}

TEST_CASE("definition_hash_ignores_what_means_nothing") {
  const std::string a =
      "<domain type='kvm' id='1'><name>g</name><memory unit='KiB'>1</memory></domain>";
  const std::string b =
      "<domain id=\"1\"   type=\"kvm\">\n <!-- note -->\n <name> g </name>\n"
      " <memory unit='KiB'>1</memory>\n</domain>\n";
  CHECK(hash(a) == hash(b));
  CHECK(hash(a) == hash(marked(a, 1)));
  CHECK(hash(marked(samples::kWindows, 1)) == hash(marked(samples::kWindows, 2)));
  CHECK(hash(samples::kWindows) == hash(marked(samples::kWindows, 2)));
}

TEST_CASE("definition_hash_sees_every_real_change") {
  const auto of = [](const std::string& inside) {
    return hash("<domain><name>g</name><memory>1</memory>" + inside + "</domain>");
  };
  const std::vector<std::string> different = {
      "", "<a/>", "<a b='1'/>", "<a b='2'/>", "<a c='1'/>", "<a>1</a>", "<a/><b/>", "<b/><a/>",
      "<a><b/></a>", "<a b='1' c='2'/>", "<a b='1c'/>",
      "<metadata><x:y xmlns:x='u'/></metadata>"};
  for (std::size_t i = 0; i < different.size(); ++i)
    for (std::size_t k = 0; k < i; ++k) {
      INFO(different[i] << " and " << different[k]);
      CHECK(of(different[i]) != of(different[k]));
    }
  CHECK(definition_hash("<x/>").has_error());
}

TEST_CASE("definition_hash_is_stable_across_releases") {
  // Stored hashes are compared with new ones: this value must never change.
  CHECK(hash("<domain type='kvm'><name>g</name><memory unit='KiB'>1</memory></domain>") ==
        0x3f2aaf00c5c471fd);
}

TEST_CASE("mark_element_is_what_libvirt_stores") {
  CHECK(mark_element(Generation{12}) == "<guest protected='yes' generation='12'/>");
}
