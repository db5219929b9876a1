#include <catch2/catch.hpp>

#include "libha/core/placement.hpp"

using namespace wardom;
using namespace wardom::core;

namespace {

GuestId guest(std::uint8_t n) {
  GuestId id;
  id.bytes[0] = n;
  return id;
}

Seeker seeker(std::uint8_t n, std::uint64_t mib, std::int32_t priority = 0) {
  return {guest(n), std::string(1, static_cast<char>('a' + n)), priority, mib * 1024, 1, {}};
}

Candidate candidate(std::uint16_t host, std::uint32_t load, std::uint64_t free_mib) {
  return {HostId{host}, {load, 4, 65536, free_mib}, 0, 0};
}

}  // namespace

TEST_CASE("place_on_the_least_loaded_with_room", "[placement]") {
  const auto places = place({seeker(1, 1000)}, {candidate(1, 500, 9000), candidate(2, 100, 500),
                                                candidate(3, 300, 9000)}, 512);
  REQUIRE(places.size() == 1);
  CHECK(places[0].target == HostId{3});
}

TEST_CASE("place_ties_on_the_lower_id", "[placement]") {
  const auto places = place({seeker(1, 100)}, {candidate(3, 0, 9000), candidate(2, 0, 9000)}, 0);
  CHECK(places[0].target == HostId{2});
}

TEST_CASE("place_in_order_of_priority_memory_and_name", "[placement]") {
  const auto places = place({seeker(3, 100), seeker(1, 100), seeker(2, 900), seeker(4, 10, 5)},
                            {candidate(1, 0, 9000)}, 0);
  REQUIRE(places.size() == 4);
  CHECK(places[0].guest == guest(4));
  CHECK(places[1].guest == guest(2));
  CHECK(places[2].guest == guest(1));
  CHECK(places[3].guest == guest(3));
}

TEST_CASE("place_within_memory_and_reserve", "[placement]") {
  // 64 MiB of QEMU's own go with each guest.
  CHECK(place({seeker(1, 936)}, {candidate(1, 0, 1512)}, 512)[0].target == HostId{1});
  const auto tight = place({seeker(1, 937)}, {candidate(1, 0, 1512)}, 512)[0];
  CHECK(tight.target == kNoHost);
  CHECK(tight.why.find("1001 MiB") != std::string::npos);
  CHECK(place({seeker(1, 1)}, {}, 0)[0].target == kNoHost);
}

TEST_CASE("place_counts_what_it_has_promised", "[placement]") {
  const auto places = place({seeker(1, 600), seeker(2, 600)}, {candidate(1, 0, 1000),
                                                               candidate(2, 900, 1000)}, 0);
  CHECK(places[0].target == HostId{1});
  CHECK(places[1].target == HostId{2});
}

TEST_CASE("place_avoids_who_refused", "[placement]") {
  auto refused = seeker(1, 100);
  refused.avoid = {HostId{1}};
  CHECK(place({refused}, {candidate(1, 0, 9000), candidate(2, 900, 9000)}, 0)[0].target ==
        HostId{2});
  CHECK(place({refused}, {candidate(1, 0, 9000)}, 0)[0].why.find("refused") != std::string::npos);
}
