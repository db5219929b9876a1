// The contract against a real libvirtd with real QEMU (TCG), in a host of its own.
#define CATCH_CONFIG_RUNNER
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>

#include "libha/libvirt/hypervisor.hpp"
#include "libvirt_daemon_double.hpp"
#include "libvirt_host.hpp"
#include "libvirt_suite.hpp"

using namespace contract;
using libvirt::LibvirtHypervisor;
using port::RunState;
using port::StopCause;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

sandbox::Process libvirtd;

struct GuestSample {
  GuestId id;
  std::string name;
  std::string xml;
};

GuestSample make_guest(int number, const std::string& code, std::string disk = "") {
  GuestSample guest;
  guest.name = "g" + std::to_string(number);
  guest.id.bytes = {0x4d, 0xea, 0x22, 0xb3, 0x1d, 0x52, 0xd8, 0xf3, 0x25, 0x16};
  guest.id.bytes[15] = static_cast<std::uint8_t>(number);
  if (disk.empty())
    disk = "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='" +
           host::boot_disk(guest.name, code) + "'/><target dev='hda' bus='ide'/></disk>";
  guest.xml = "<domain type='qemu'><name>" + guest.name + "</name><uuid>" + to_uuid(guest.id) +
              "</uuid><memory unit='MiB'>16</memory><os><type arch='x86_64' machine='pc'>hvm"
              "</type></os><features><acpi/></features><devices><emulator>" +
              sandbox::find_program("qemu-system-x86_64") + "</emulator>" + disk +
              "<memballoon model='none'/></devices></domain>";
  return guest;
}

struct Fixture {
  Recorder record;
  LibvirtHypervisor hypervisor{{}, record.events()};
  std::uint64_t ticket{1000};

  Fixture() { REQUIRE(record.up().has_value()); }

  void start(const GuestSample& guest) {
    hypervisor.start(Ticket{++ticket}, guest.id, guest.xml);
    const auto done = answer(record, ticket);
    INFO(done.error);
    REQUIRE(done.ok);
    REQUIRE(record.changed(guest.id, RunState::running).has_value());
  }
  void remove(const GuestSample& guest) {
    hypervisor.kill(Ticket{++ticket}, guest.id);
    CHECK(answer(record, ticket).ok);
    hypervisor.undefine(Ticket{++ticket}, guest.id);
    CHECK(answer(record, ticket).ok);
  }
  StopCause stopped(const GuestSample& guest) {
    const auto off = record.stopped(guest.id);
    REQUIRE(off.has_value());
    return off->cause;
  }
  long long ms_of(const std::function<void()>& call) {
    const auto began = Clock::now();
    call();
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began).count();
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "daemon_life_of_a_guest") {
  const auto guest = make_guest(1, host::kIdle);
  life_of_a_guest(hypervisor, record, guest.id, guest.xml);
}

TEST_CASE_METHOD(Fixture, "daemon_refuses_bad_xml") {
  const auto guest = make_guest(1, host::kIdle);
  refuses_bad_xml(hypervisor, record, guest.id, guest.xml);
}

TEST_CASE_METHOD(Fixture, "daemon_keeps_order") {
  const auto guest = make_guest(1, host::kIdle);
  keeps_order(hypervisor, record, guest.id, guest.xml);
}

TEST_CASE_METHOD(Fixture, "daemon_define_clears_autostart") {
  const auto guest = make_guest(1, host::kIdle);
  hypervisor.define(Ticket{1}, guest.id, guest.xml);
  REQUIRE(answer(record, 1).ok);
  REQUIRE(host::virsh({"autostart", guest.name}));
  hypervisor.define(Ticket{2}, guest.id, guest.xml);
  REQUIRE(answer(record, 2).ok);
  Recorder other;
  LibvirtHypervisor second{{}, other.events()};
  const auto up = other.up();
  REQUIRE(up.has_value());
  REQUIRE(up->guests.size() == 1);
  CHECK_FALSE(up->guests[0].autostart);
  CHECK(up->guests[0].persistent);
  remove(guest);
}

TEST_CASE_METHOD(Fixture, "daemon_starts_several_guests_in_parallel") {
  std::vector<GuestSample> guests;
  for (int i = 1; i <= 4; ++i) guests.push_back(make_guest(i, host::kIdle));
  const auto ms = ms_of([&] {
    for (std::size_t i = 0; i < 4; ++i)
      hypervisor.start(Ticket{i}, guests[i].id, guests[i].xml);
    for (std::size_t i = 0; i < 4; ++i) CHECK(answer(record, i).ok);
  });
  std::cout << "4 guests started in " << ms << " ms" << std::endl;
  for (const auto& guest : guests) remove(guest);
}

TEST_CASE_METHOD(Fixture, "daemon_tells_why_a_guest_stopped") {
  const auto idle = make_guest(1, host::kIdle);
  start(idle);
  REQUIRE(host::qemu_of(idle.name) > 0);
  kill(host::qemu_of(idle.name), SIGTERM);
  CHECK(record.changed(idle.id, RunState::in_shutdown).has_value());
  CHECK(stopped(idle) == StopCause::host_signal);
  start(idle);
  kill(host::qemu_of(idle.name), SIGKILL);
  CHECK(stopped(idle) == StopCause::failed);
  start(idle);
  REQUIRE(host::virsh({"destroy", idle.name}));
  CHECK(stopped(idle) == StopCause::destroyed);
  start(idle);
  REQUIRE(host::virsh({"suspend", idle.name}));
  CHECK(record.changed(idle.id, RunState::paused).has_value());
  REQUIRE(host::virsh({"resume", idle.name}));
  CHECK(record.changed(idle.id, RunState::running).has_value());
  remove(idle);

  const auto off = make_guest(2, host::kPowerOff);
  start(off);
  CHECK(stopped(off) == StopCause::guest_shutdown);
  remove(off);
}

TEST_CASE_METHOD(Fixture, "daemon_presses_the_power_button_and_a_kill_does_not_wait_for_it") {
  const auto polite = make_guest(1, host::kObeysButton);
  start(polite);
  // Not before the guest listens.
  std::optional<port::GuestState> off;
  for (int tries = 0; tries < 20 && !off; ++tries) {
    hypervisor.shutdown(Ticket{++ticket}, polite.id);
    CHECK(answer(record, ticket).ok);
    off = record.stopped(polite.id, 500ms);
  }
  REQUIRE(off.has_value());
  CHECK(off->cause == StopCause::guest_shutdown);
  remove(polite);

  const auto deaf = make_guest(2, host::kIdle);
  start(deaf);
  hypervisor.shutdown(Ticket{++ticket}, deaf.id);
  const auto done = answer(record, ticket);
  CHECK(done.ok);
  CHECK(done.state == RunState::running);
  CHECK_FALSE(record.stopped(deaf.id, 300ms).has_value());
  const auto ms = ms_of([&] {
    hypervisor.kill(Ticket{++ticket}, deaf.id);
    CHECK(answer(record, ticket).ok);
  });
  CHECK(ms < 10000);
  CHECK(stopped(deaf) == StopCause::destroyed);
  remove(deaf);
}

TEST_CASE_METHOD(Fixture, "daemon_neither_resumes_nor_drops_a_managed_save") {
  const auto guest = make_guest(1, host::kIdle);
  start(guest);
  REQUIRE(host::virsh({"managedsave", guest.name}));
  CHECK(stopped(guest) == StopCause::saved);
  hypervisor.start(Ticket{1}, guest.id, guest.xml);
  auto done = answer(record, 1);
  CHECK_FALSE(done.ok);
  CHECK(done.state == RunState::shut_off);
  CHECK_THAT(done.error, Catch::Contains("managed save"));
  hypervisor.undefine(Ticket{2}, guest.id);
  done = answer(record, 2);
  CHECK_FALSE(done.ok);
  CHECK(done.state == RunState::shut_off);
  REQUIRE(host::virsh({"managedsave-remove", guest.name}));
  remove(guest);
}

TEST_CASE_METHOD(Fixture, "daemon_tells_of_changes_by_others") {
  const auto guest = make_guest(1, host::kIdle);
  host::write("/run/g.xml", guest.xml);
  REQUIRE(host::virsh({"define", "/run/g.xml"}));
  CHECK(record.changed(guest.id, RunState::shut_off).has_value());
  CHECK(record.defined(guest.id, [](auto& d) { return d.memory_kib == 16384; }).has_value());
  host::write("/run/g.xml", named(guest.xml, "<memory unit='MiB'>16", "<memory unit='MiB'>32"));
  REQUIRE(host::virsh({"define", "/run/g.xml"}));
  CHECK(record.defined(guest.id, [](auto& d) { return d.memory_kib == 32768; }).has_value());
  // libvirt raises no event for these.
  REQUIRE(host::virsh({"setmaxmem", guest.name, "48M", "--config"}));
  CHECK(record.defined(guest.id, [](auto& d) { return d.memory_kib == 49152; }).has_value());
  for (const bool on : {true, false, true}) {
    const std::vector<std::string> off = {"autostart", "--disable", guest.name};
    REQUIRE(host::virsh(on ? std::vector<std::string>{"autostart", guest.name} : off));
    const auto changed = record.changed(guest.id, RunState::shut_off);
    REQUIRE(changed.has_value());
    CHECK(changed->autostart == on);
  }
  REQUIRE(host::virsh({"undefine", guest.name}));
  CHECK(record.defined(guest.id, [](auto& d) { return d.xml.empty(); }).has_value());
  CHECK(record.changed(guest.id, RunState::absent).has_value());
}

TEST_CASE_METHOD(Fixture, "daemon_killed_and_restarted_leaves_the_guest_and_is_found_again") {
  const auto guest = make_guest(1, host::kIdle);
  start(guest);
  const pid_t qemu = host::qemu_of(guest.name);
  libvirtd.end(SIGKILL);
  REQUIRE(record.down().has_value());
  hypervisor.start(Ticket{1}, guest.id, guest.xml);
  const auto refused = answer(record, 1);
  CHECK_FALSE(refused.ok);
  CHECK(refused.state == RunState::unknown);
  const auto ms = ms_of([&] {
    libvirtd = host::start_libvirtd();
    const auto up = record.up();
    REQUIRE(up.has_value());
    REQUIRE(up->guests.size() == 1);
    CHECK(up->guests[0].state == RunState::running);
  });
  std::cout << "libvirtd restarted and its guests listed after " << ms << " ms" << std::endl;
  CHECK(host::qemu_of(guest.name) == qemu);
  CHECK(kill(qemu, 0) == 0);
  remove(guest);
}

TEST_CASE_METHOD(Fixture, "daemon_that_hangs_is_given_up_and_found_again") {
  libvirtd.signal(SIGSTOP);
  hypervisor.describe(Ticket{1}, "nobody");
  const auto down = record.down();
  libvirtd.signal(SIGCONT);
  REQUIRE(down.has_value());
  const auto done = record.done(1);
  REQUIRE(done.has_value());
  CHECK_FALSE(done->ok);
  CHECK(record.up().has_value());
}

TEST_CASE_METHOD(Fixture, "a_start_cut_off_in_the_middle_is_not_settled") {
  const auto guest = make_guest(1, host::kIdle);
  std::atomic<bool> asked{false};
  {
    // The hook's question holds the start; nobody answers it.
    DaemonDouble daemon("/run/wardom/wardomd.sock", [&](auto&) {
      asked = true;
      asked.notify_all();
      return std::string();
    });
    hypervisor.start(Ticket{1}, guest.id, guest.xml);
    asked.wait(false);
    libvirtd.end(SIGKILL);
    const auto done = record.done(1);
    REQUIRE(done.has_value());
    CHECK_FALSE(done->ok);
    CHECK_FALSE(done->settled);
    CHECK(done->state == RunState::unknown);
  }
  libvirtd = host::start_libvirtd();
  REQUIRE(record.up().has_value());
  remove(guest);
}

TEST_CASE_METHOD(Fixture, "a_kill_ends_a_start_that_hangs") {
  // A server that takes connections and says nothing: QEMU waits for it without end.
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(10809);
  REQUIRE(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(listen(listener, 4) == 0);
  const auto guest = make_guest(
      1, "",
      "<disk type='network'><driver name='qemu' type='raw'/><source protocol='nbd' name='x'>"
      "<host name='127.0.0.1' port='10809'/></source><target dev='hda' bus='ide'/></disk>");
  hypervisor.start(Ticket{1}, guest.id, guest.xml);
  REQUIRE(accept(listener, nullptr, nullptr) >= 0);  // QEMU is at it
  const auto ms = ms_of([&] {
    hypervisor.kill(Ticket{2}, guest.id);
    CHECK_FALSE(answer(record, 1).ok);
    CHECK(answer(record, 2).ok);
  });
  std::cout << "a start that hung was killed in " << ms << " ms" << std::endl;
  close(listener);
  hypervisor.undefine(Ticket{3}, guest.id);
  CHECK(answer(record, 3).ok);
}

TEST_CASE_METHOD(Fixture, "hook_refusal_reaches_who_asked") {
  const auto guest = make_guest(1, host::kIdle);
  {
    DaemonDouble daemon("/run/wardom/wardomd.sock", [](auto&) {
      return std::string("{\"ok\":false,\"error\":\"it belongs to n2\"}\n");
    });
    hypervisor.start(Ticket{1}, guest.id, guest.xml);
    const auto done = answer(record, 1);
    CHECK_FALSE(done.ok);
    CHECK(done.state == RunState::shut_off);
    CHECK_THAT(done.error, Catch::Contains("it belongs to n2"));
    REQUIRE(daemon.lines().size() == 1);
    CHECK_THAT(daemon.lines()[0], Catch::Contains(to_uuid(guest.id)));
  }
  // The daemon is away: the mark in the definition decides, also against an administrator.
  hypervisor.mark(Ticket{2}, guest.id, Generation{3});
  REQUIRE(answer(record, 2).ok);
  CHECK_FALSE(host::virsh({"start", guest.name}));
  hypervisor.unmark(Ticket{3}, guest.id);
  REQUIRE(answer(record, 3).ok);
  CHECK(host::virsh({"start", guest.name}));
  remove(guest);
}

int main(int argc, char** argv) {
  if (const auto missing = host::missing(); !missing.empty()) {
    sandbox::say_skipped("all tests with a real libvirtd: " + missing);
    return 0;
  }
  return host::in_private_host([&] {
    const sandbox::Process logger({sandbox::find_program("virtlogd")}, "/run/virtlogd.log");
    libvirtd = host::start_libvirtd();
    const int result = Catch::Session().run(argc, argv);
    libvirtd.end(SIGKILL);
    return result;
  });
}
