// Adapter: the guests of this host through libvirt's C API.
//
// Threads: one for libvirt's event loop (one per process, never stopped, see virevent.c), one that
// connects and resynchronises, and kWorkers that make calls. All functions of the port may be
// called from any thread and return at once. The functions in HypervisorEvents are called from
// these threads, one at a time for up/down/changed; they must only hand the event on, and may call
// the port again.
//
// Promises beyond the port:
//  * `down` comes once per outage, also when the first connection fails; `up` after each
//    reconnection with everything that libvirt knows. What changed meanwhile is for the caller to
//    find out: events are lost while disconnected, and `up` brings no XML (describe brings it).
//  * A call that was waiting when the connection broke is answered with an error and not carried
//    out under the next connection.
//  * More than kMaxWaitingCalls calls (limits.hpp): the next is refused in the caller's own thread.
//  * A kill overtakes a start of its guest that has begun: it ends a QEMU whose start hangs, and a
//    start that waits is not made. The kill's own answer comes behind the start's.
//  * A start that could not begin within `start_within` is answered with an error: late starts are
//    a danger.
//  * A migration, and its end, has a thread and a connection of its own; a kill overtakes it. One
//    that this object's end finds under way goes on in libvirtd, and is not answered.
//  * Changes of autostart, and of a definition by `--config` commands, raise no libvirt event; they
//    are noticed by libvirtd's files in `definitions_dir`. Where that is another place, or libvirtd
//    is on another machine, or the folder appears only after the connection (a host's very first
//    guest), they are not noticed.
//  * `defined` may come without a change: compare by guestxml::definition_hash.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "libha/libvirt/migrations.hpp"
#include "libha/port/hypervisor.hpp"

namespace wardom::libvirt {

struct HypervisorOptions {
  std::string uri{"qemu:///system"};
  std::string definitions_dir{"/etc/libvirt/qemu"};  // empty: not watched
  std::string pid_dir{"/run/libvirt/qemu"};          // of libvirtd's NAME.pid
  std::chrono::milliseconds start_within{std::chrono::seconds(10)};
  MigrationOptions migration{};
};

class LibvirtHypervisor final : public port::Hypervisor {
 public:
  LibvirtHypervisor(HypervisorOptions options, port::HypervisorEvents events);
  // Waits for short calls that libvirt is working on; those that only wait are answered with an
  // error. A process that must end at once uses _exit.
  ~LibvirtHypervisor();
  LibvirtHypervisor(const LibvirtHypervisor&) = delete;
  LibvirtHypervisor& operator=(const LibvirtHypervisor&) = delete;

  void define(Ticket ticket, GuestId guest, std::string xml) override;
  // With a managed save image present it fails: starting would either resume or discard it.
  void start(Ticket ticket, GuestId guest, std::string xml) override;
  void shutdown(Ticket ticket, GuestId guest) override;
  void kill(Ticket ticket, GuestId guest) override;
  // With a managed save image or snapshots present it fails, since libvirt would drop them.
  void undefine(Ticket ticket, GuestId guest) override;
  void describe(Ticket ticket, std::string name_or_uuid) override;
  void mark(Ticket ticket, GuestId guest, Generation generation) override;
  void unmark(Ticket ticket, GuestId guest) override;
  // Only a running guest is sent, by libvirt's peer-to-peer migration.
  void migrate(Ticket ticket, GuestId guest, HostId to) override;
  void abort_migration(Ticket ticket, GuestId guest) override;
  void resume(Ticket ticket, GuestId guest) override;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace wardom::libvirt
