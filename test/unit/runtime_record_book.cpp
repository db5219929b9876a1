// The record book: which recoveries are worth showing, and whose they are.
#include <catch2/catch.hpp>

#include "libha/runtime/record_book.hpp"

using namespace wardom;
using namespace wardom::runtime;

namespace {

RecoveryId recovery(std::uint8_t number) {
  RecoveryId id;
  id.bytes[0] = number;
  return id;
}

wire::StepMessage step(std::uint8_t number, std::int64_t at_ms, HostId host, const char* what) {
  return {HostId{1}, recovery(number), WallTime{at_ms}, host, {}, "decider", what, "text"};
}

}  // namespace

TEST_CASE("last_is_the_newest_recovery_that_rests_on_something") {
  RecordBook book;
  CHECK(book.last() == nullptr);
  book.add(step(1, 100, HostId{3}, "suspect"));
  CHECK(book.last() == nullptr);  // an inquiry that came to nothing
  book.add(step(1, 200, HostId{3}, "verdict"));
  REQUIRE(book.last() != nullptr);
  CHECK(book.last()->id == recovery(1));
  // A host that lives gave a guest up: there is no verdict, and none will come.
  book.add(step(2, 300, HostId{2}, "yielded"));
  CHECK(book.last()->id == recovery(2));
  CHECK(book.last()->victim() == HostId{2});
  CHECK(book.last()->first_sign().ms == 300);
  book.add(step(3, 400, HostId{1}, "suspect"));
  CHECK(book.last()->id == recovery(2));
}

TEST_CASE("add_takes_a_step_once") {
  RecordBook book;
  CHECK(book.add(step(1, 100, HostId{3}, "verdict")));
  CHECK_FALSE(book.add(step(1, 100, HostId{3}, "verdict")));
  CHECK(book.find(recovery(1))->steps.size() == 1);
}
