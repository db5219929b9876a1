// The contract, against libvirt's own test driver: no daemon, no QEMU, no privileges.
#include <catch2/catch.hpp>

#include "libha/libvirt/hypervisor.hpp"
#include "libvirt_suite.hpp"

using namespace contract;
using libvirt::LibvirtHypervisor;

namespace {
const std::string kUuid = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0";
const GuestId kGuest{*parse_bits(kUuid)};
const std::string kXml =
    "<domain type='test'><name>g1</name><uuid>" + kUuid +
    "</uuid><memory unit='MiB'>16</memory><os><type>hvm</type></os></domain>";

struct Fixture {
  Recorder record;
  LibvirtHypervisor hypervisor{{"test:///default", ""}, record.events()};
};
}  // namespace

TEST_CASE_METHOD(Fixture, "test_driver_up_lists_the_guests") {
  const auto up = record.up();
  REQUIRE(up.has_value());
  REQUIRE(up->guests.size() == 1);
  CHECK(up->guests[0].name == "test");
  CHECK(up->guests[0].state == port::RunState::running);
  CHECK(up->guests[0].persistent);
}

TEST_CASE_METHOD(Fixture, "test_driver_life_of_a_guest") {
  REQUIRE(record.up().has_value());
  life_of_a_guest(hypervisor, record, kGuest, kXml);
}

TEST_CASE_METHOD(Fixture, "test_driver_refuses_bad_xml") {
  REQUIRE(record.up().has_value());
  refuses_bad_xml(hypervisor, record, kGuest, kXml);
}

TEST_CASE_METHOD(Fixture, "test_driver_keeps_order") {
  REQUIRE(record.up().has_value());
  keeps_order(hypervisor, record, kGuest, kXml);
}

// This driver has no power buttons, and its guests obey at once.
TEST_CASE_METHOD(Fixture, "test_driver_shuts_a_guest_down") {
  REQUIRE(record.up().has_value());
  hypervisor.start(Ticket{1}, kGuest, kXml);
  REQUIRE(answer(record, 1).ok);
  hypervisor.shutdown(Ticket{2}, kGuest);
  const auto done = answer(record, 2);
  CHECK(done.ok);
  CHECK(done.act == port::Act::shutdown);
  CHECK(done.state == port::RunState::shut_off);
  CHECK(record.stopped(kGuest).has_value());
  hypervisor.undefine(Ticket{3}, kGuest);
  CHECK(answer(record, 3).ok);
}

TEST_CASE("no_libvirtd_is_told_once_and_calls_fail_at_once") {
  Recorder record;
  LibvirtHypervisor hypervisor{{"qemu+unix:///system?socket=/nonexistent/libvirt-sock", ""},
                               record.events()};
  const auto down = record.down();
  REQUIRE(down.has_value());
  CHECK_THAT(down->reason, Catch::Contains("/nonexistent/libvirt-sock"));
  hypervisor.start(Ticket{1}, kGuest, kXml);
  const auto done = record.done(1);
  REQUIRE(done.has_value());
  CHECK_FALSE(done->ok);
  CHECK(done->settled);
  CHECK(done->state == port::RunState::unknown);
  CHECK_THAT(done->error, Catch::Contains("libvirtd is away"));
}

TEST_CASE("a_late_start_is_not_made") {
  Recorder record;
  LibvirtHypervisor hypervisor{{"test:///default", "", "", std::chrono::milliseconds(-1)},
                               record.events()};
  REQUIRE(record.up().has_value());
  hypervisor.start(Ticket{1}, kGuest, kXml);
  const auto done = record.done(1);
  REQUIRE(done.has_value());
  CHECK_FALSE(done->ok);
  CHECK(done->settled);
  CHECK(done->state == port::RunState::shut_off);
  CHECK_THAT(done->error, Catch::Contains("waited too long"));
  hypervisor.undefine(Ticket{2}, kGuest);
  CHECK(record.done(2)->ok);
}

TEST_CASE("what_waits_at_the_end_is_answered") {
  Recorder record;
  {
    LibvirtHypervisor hypervisor{{"test:///default", ""}, record.events()};
    REQUIRE(record.up().has_value());
    for (std::uint64_t t = 1; t <= 50; ++t) hypervisor.describe(Ticket{t}, "test");
  }
  CHECK(record.tickets_done().size() == 50);
}
