// Port: the guests of this host, by libvirt.
//
// Calls return at once; answers and events come from adapter threads. Calls about different guests
// run in parallel (bounded); calls about one guest run in order. libvirt may be away: calls made
// meanwhile are answered with an error, never queued for later, since a late start is a danger.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "libha/core/ids.hpp"
#include "libha/core/records.hpp"

namespace wardom::port {

// libvirt's states, as far as they differ for us.
enum class RunState : std::uint8_t {
  absent,          // not defined and not running
  shut_off,
  running,
  paused,
  paused_io_error, // a failure, not "running"
  crashed,
  in_shutdown,
  unknown,
};

// Why a guest stopped, from the lifecycle event (type and detail together).
enum class StopCause : std::uint8_t {
  none, guest_shutdown, host_signal, destroyed, failed, crashed, migrated, saved, unknown
};

struct GuestState {
  GuestId guest;
  std::string name;
  RunState state{RunState::unknown};
  StopCause cause{StopCause::none};
  bool persistent{false};
  bool autostart{false};
  GuestProcess process;  // while it runs; all zero where libvirt does not tell
};

// Lifecycle change, or the result of the resynchronisation after a (re)connect.
struct GuestChanged {
  GuestState now;
};

// A definition was added, changed or removed (xml empty).
struct GuestDefined {
  GuestId guest;
  std::string name;
  std::string xml;  // VIR_DOMAIN_XML_INACTIVE | SECURE | MIGRATABLE
  std::uint64_t memory_kib{0};
  std::uint32_t vcpus{0};
};

struct HypervisorUp {
  std::vector<GuestState> guests;  // all that libvirt knows now; nothing else is defined
};
struct HypervisorDown {
  std::string reason;
};

enum class Act : std::uint8_t {
  define, start, shutdown, kill, undefine, describe, mark, unmark, migrate, abort_migration, resume
};

struct ActDone {
  Ticket ticket;
  Act act{Act::start};
  GuestId guest;
  bool ok{false};
  std::string error;       // libvirt's message
  bool settled{true};      // false: the call failed in a way that leaves its effect open
  RunState state{RunState::unknown};  // as read after the call
  StopCause cause{StopCause::none};   // of a guest that is off
  std::string xml;         // describe only
  std::string name;        // describe only
  std::uint64_t memory_kib{0};
  std::uint32_t vcpus{0};
};

struct HypervisorEvents {
  std::function<void(HypervisorUp)> up;
  std::function<void(HypervisorDown)> down;
  std::function<void(GuestChanged)> changed;
  std::function<void(GuestDefined)> defined;
  std::function<void(ActDone)> done;
};

class Hypervisor {
 public:
  // Defines the guest from xml (validated by libvirt) and clears autostart.
  virtual void define(Ticket ticket, GuestId guest, std::string xml) = 0;
  // define, then start. Never resumes a managed save, never starts a guest that runs.
  virtual void start(Ticket ticket, GuestId guest, std::string xml) = 0;
  // Presses the guest's power button. Answered once it is pressed, or the guest is off; whether and
  // when the guest goes by it, its state tells.
  virtual void shutdown(Ticket ticket, GuestId guest) = 0;
  // Ends the guest's QEMU now (destroy).
  virtual void kill(Ticket ticket, GuestId guest) = 0;
  // Removes the definition; keeps NVRAM, TPM state, managed save and disks. Never ends a QEMU.
  virtual void undefine(Ticket ticket, GuestId guest) = 0;
  // By name or UUID text; answers with xml, memory and state.
  virtual void describe(Ticket ticket, std::string name_or_uuid) = 0;
  // Writes into the definition, and into the running guest, that Wardom protects it since this
  // generation. The libvirt hook goes by this mark while the daemon is away.
  virtual void mark(Ticket ticket, GuestId guest, Generation generation) = 0;
  // Takes the mark away. Done already, or no such guest: ok.
  virtual void unmark(Ticket ticket, GuestId guest) = 0;
  // Sends the running guest, live, to that host's libvirt, where it arrives whole and stays paused
  // until resume() there. Takes as long as it takes, beside other calls about the guest: a kill is
  // not kept waiting. ok: all of it has arrived, no QEMU of it is left here, and what was sent has
  // not run on since. Otherwise it is here as it was (what libvirt left paused is resumed), if it
  // was not ended meanwhile.
  virtual void migrate(Ticket ticket, GuestId guest, HostId to) = 0;
  // Ends a migrate() that is under way, also one that an earlier daemon began. Answered, ok, once
  // none is: `state` and `cause` tell what is left of the guest here.
  virtual void abort_migration(Ticket ticket, GuestId guest) = 0;
  // Lets a guest that has arrived by migrate() run. Refused (settled, not ok) unless it is here and
  // paused with all of it arrived. Runs already: ok.
  virtual void resume(Ticket ticket, GuestId guest) = 0;

 protected:
  ~Hypervisor() = default;
};

}  // namespace wardom::port
