// Wall clocks are for people: nothing that is done may depend on them.
#include <catch2/catch.hpp>

#include "test/sim/run.hpp"
#include "test/sim/site.hpp"

namespace wardom::sim {

TEST_CASE("wall_clocks_that_are_set_change_nothing_that_is_done") {
  std::uint64_t written_otherwise = 0, starts = 0;
  for_seeds(120, [&](std::uint64_t seed) {
    auto options = options_of(71'000 + seed);
    const auto steady = run(options);
    options.wall_steps = true;
    const auto stepped = run(options);
    INFO((stepped.violation ? stepped.violation->what : ""));
    CHECK_FALSE(stepped.violation.has_value());
    CHECK(stepped.acts == steady.acts);
    CHECK(stepped.turns == steady.turns);
    CHECK(stepped.ran == steady.ran);
    CHECK(stepped.marks == steady.marks);
    written_otherwise += stepped.hash != steady.hash ? 1 : 0;
    starts += steady.marks.contains("verdicts by power-off") ? 1 : 0;
  });
  // What was written about it tells the times of the stepped clocks.
  CHECK(written_otherwise > 100);
  CHECK(starts > 20);
}

}  // namespace wardom::sim
