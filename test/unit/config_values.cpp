#include <catch2/catch.hpp>

#include "libha/config/values.hpp"

using namespace wardom;
using namespace std::chrono_literals;

TEST_CASE("parse_duration_accepts_whole_numbers_with_unit") {
  CHECK(parse_duration("100ms") == 100ms);
  CHECK(parse_duration("2s") == 2s);
  CHECK(parse_duration("1m") == 60s);
  CHECK(parse_duration("3 s") == 3s);
  CHECK(parse_duration("0s") == 0s);
  CHECK(parse_duration("1440m") == 24h);
  for (const auto* bad : {"", "5", "ms", "1.5s", "-1s", "1h", "1sec", "1s ", " 1s", "1441m",
                          "99999999999999999999s", "18446744073709551615ms", "0x1s"})
    CHECK_FALSE(parse_duration(bad));
}

TEST_CASE("parse_mebibytes_accepts_binary_units") {
  CHECK(parse_mebibytes("512MiB") == 512);
  CHECK(parse_mebibytes("2GiB") == 2048);
  CHECK(parse_mebibytes("1TiB") == 1024 * 1024);
  for (const auto* bad : {"", "512", "512MB", "1025TiB", "-1MiB", "18446744073709551615TiB"})
    CHECK_FALSE(parse_mebibytes(bad));
}

TEST_CASE("parse_host_port_accepts_names_and_addresses") {
  CHECK(parse_host_port("bmc.example")->host == "bmc.example");
  CHECK_FALSE(parse_host_port("bmc.example")->port);
  CHECK(parse_host_port("10.0.0.1:6230")->port == 6230);
  CHECK(parse_host_port("[2001:DB8::1]:623")->host == "2001:db8::1");
  CHECK(parse_host_port("[::1]")->host == "::1");
  CHECK(parse_host_port("2001:db8::1")->host == "2001:db8::1");
  for (const auto* bad :
       {"", ":623", "a:", "a:0", "a:65536", "a:1x", "[::1", "[x]:1", "a b", "a:1:2", "-a"})
    CHECK_FALSE(parse_host_port(bad));
}

TEST_CASE("canonical_address_refuses_names") {
  CHECK(canonical_address("10.0.0.1") == "10.0.0.1");
  CHECK(canonical_address("2001:0DB8:0:0::1") == "2001:db8::1");
  for (const auto* bad : {"", "n1", "10.0.0", "10.0.0.256", "10.0.0.01", "::1%lo"})
    CHECK_FALSE(canonical_address(bad));
  CHECK_FALSE(canonical_address(std::string_view("10.0.0.1\0x", 10)));
}

TEST_CASE("is_name_checks_length_and_letters") {
  CHECK(is_name("n1", false));
  CHECK(is_name(std::string(64, 'a'), false));
  CHECK(is_name("Node-1.example", true));
  CHECK_FALSE(is_name("Node", false));
  CHECK_FALSE(is_name("a.b", false));
  for (const auto& bad :
       {std::string(), std::string("-a"), std::string("a_b"), std::string(65, 'a')})
    CHECK_FALSE(is_name(bad, true));
}

TEST_CASE("nearest_finds_slips_only") {
  const std::vector<std::string> known = {"beat_interval", "suspect_after", "port"};
  CHECK(nearest("beat_intervall", known) == "beat_interval");
  CHECK(nearest("suspectafter", known) == "suspect_after");
  CHECK(nearest("prt", known) == "port");
  CHECK_FALSE(nearest("token", known));
  CHECK_FALSE(nearest("", known));
}
