// What every implementation of port::Hypervisor must do. `hypervisor` is up, and knows no guest of
// `guest`'s id; `xml` defines one that can be started.
#pragma once

#include <catch2/catch.hpp>

#include <string>

#include "libha/guestxml/guest_xml.hpp"
#include "libvirt_recorder.hpp"

namespace contract {

inline std::string named(std::string xml, const std::string& from, const std::string& to) {
  for (auto at = xml.find(from); at != std::string::npos; at = xml.find(from, at + to.size()))
    xml.replace(at, from.size(), to);
  return xml;
}

inline port::ActDone answer(Recorder& record, std::uint64_t ticket) {
  const auto done = record.done(ticket);
  REQUIRE(done.has_value());
  INFO(done->error);
  CHECK(done->settled);
  return *done;
}

inline void life_of_a_guest(port::Hypervisor& hypervisor, Recorder& record, GuestId guest,
                            const std::string& xml) {
  using port::RunState;
  std::uint64_t ticket = 100;

  hypervisor.describe(Ticket{++ticket}, to_uuid(guest));
  auto done = answer(record, ticket);
  CHECK_FALSE(done.ok);
  CHECK(done.state == RunState::absent);
  CHECK(done.act == port::Act::describe);

  hypervisor.kill(Ticket{++ticket}, guest);  // absent: nothing to kill, and that is what was asked
  CHECK(answer(record, ticket).ok);
  hypervisor.shutdown(Ticket{++ticket}, guest);
  CHECK(answer(record, ticket).ok);
  hypervisor.undefine(Ticket{++ticket}, guest);
  CHECK(answer(record, ticket).ok);
  hypervisor.mark(Ticket{++ticket}, guest, Generation{1});
  CHECK_FALSE(answer(record, ticket).ok);
  hypervisor.unmark(Ticket{++ticket}, guest);
  CHECK(answer(record, ticket).ok);

  hypervisor.define(Ticket{++ticket}, guest, xml);
  done = answer(record, ticket);
  INFO(done.error);
  REQUIRE(done.ok);
  CHECK(done.state == RunState::shut_off);
  CHECK(record.changed(guest, RunState::shut_off).has_value());
  const auto defined = record.defined(guest, [](const auto& d) { return !d.xml.empty(); });
  REQUIRE(defined.has_value());
  CHECK(defined->memory_kib == 16384);
  CHECK(defined->vcpus == 1);

  hypervisor.start(Ticket{++ticket}, guest, xml);
  done = answer(record, ticket);
  INFO(done.error);
  REQUIRE(done.ok);
  CHECK(done.state == RunState::running);
  CHECK(record.changed(guest, RunState::running).has_value());

  hypervisor.start(Ticket{++ticket}, guest, xml);
  done = answer(record, ticket);
  CHECK_FALSE(done.ok);
  CHECK(done.state == RunState::running);
  CHECK_FALSE(done.error.empty());

  hypervisor.mark(Ticket{++ticket}, guest, Generation{7});
  CHECK(answer(record, ticket).ok);
  const auto marked = record.defined(guest, [](const auto& d) {
    const auto summary = guestxml::summarize(d.xml);
    return summary.has_value() && summary.value().marked == Generation{7};
  });
  CHECK(marked.has_value());
  hypervisor.unmark(Ticket{++ticket}, guest);
  CHECK(answer(record, ticket).ok);

  hypervisor.describe(Ticket{++ticket}, defined->name);
  done = answer(record, ticket);
  CHECK(done.ok);
  CHECK(done.guest == guest);
  CHECK(done.name == defined->name);
  CHECK(done.state == RunState::running);
  CHECK(done.xml.find("urn:wardom") == std::string::npos);

  hypervisor.kill(Ticket{++ticket}, guest);
  done = answer(record, ticket);
  CHECK(done.ok);
  CHECK(done.state == RunState::shut_off);
  const auto off = record.stopped(guest);
  REQUIRE(off.has_value());
  CHECK(off->cause == port::StopCause::destroyed);

  hypervisor.shutdown(Ticket{++ticket}, guest);  // off already
  CHECK(answer(record, ticket).ok);

  hypervisor.undefine(Ticket{++ticket}, guest);
  done = answer(record, ticket);
  CHECK(done.ok);
  CHECK(done.state == RunState::absent);
  CHECK(record.changed(guest, RunState::absent).has_value());
  CHECK(record.defined(guest, [](const auto& d) { return d.xml.empty(); }).has_value());
}

inline void refuses_bad_xml(port::Hypervisor& hypervisor, Recorder& record, GuestId guest,
                            const std::string& xml) {
  GuestId other = guest;
  other.bytes[0] ^= 1;
  hypervisor.start(Ticket{1}, other, xml);
  auto done = answer(record, 1);
  CHECK_FALSE(done.ok);
  CHECK(done.state == port::RunState::absent);
  CHECK_THAT(done.error, Catch::Contains(to_uuid(guest)));
  hypervisor.define(Ticket{2}, guest, "<domain>");
  CHECK_FALSE(answer(record, 2).ok);
  hypervisor.start(Ticket{3}, guest, named(xml, "<os>", "<os><type>nonsense</type>"));
  done = answer(record, 3);
  CHECK_FALSE(done.ok);
  CHECK(done.state == port::RunState::absent);
}

// Calls about one guest keep their order, whatever the pool does.
inline void keeps_order(port::Hypervisor& hypervisor, Recorder& record, GuestId guest,
                        const std::string& xml) {
  for (std::uint64_t round = 0; round < 20; ++round) {
    hypervisor.define(Ticket{200 + 2 * round}, guest, xml);
    hypervisor.undefine(Ticket{201 + 2 * round}, guest);
  }
  for (std::uint64_t ticket = 200; ticket < 240; ++ticket) {
    const auto done = record.done(ticket);
    REQUIRE(done.has_value());
    CHECK(done->ok);
    CHECK(done->state == (ticket % 2 ? port::RunState::absent : port::RunState::shut_off));
  }
}

}  // namespace contract
