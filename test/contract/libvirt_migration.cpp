// Live migration between two real libvirtds, each with a network and files of its own, with real
// QEMU (TCG). The adapter of the source is on this host, that of the target asks over TCP.
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

#include "libha/libvirt/hypervisor.hpp"
#include "libvirt_host.hpp"
#include "libvirt_suite.hpp"

using namespace contract;
using libvirt::HypervisorOptions;
using libvirt::LibvirtHypervisor;
using port::RunState;
using port::StopCause;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

const std::string kNear = "10.99.0.1";
const std::string kFar = "10.99.0.2";
const std::string kFarUri = "qemu+tcp://" + kFar + "/system";
constexpr HostId kThere{2};
constexpr HostId kNobody{3};

sandbox::Process libvirtd;
sandbox::Process other;

// Writes to half a megabyte of memory again and again: mov bx,0x1000; l: mov es,bx; xor di,di;
// mov cx,0x8000; mov ax,dx; rep stosw; inc dx; add bh,0x10; cmp bh,0x90; jb l; jmp begin.
const std::string kRestless =
    std::string("\xbb\x00\x10\x8e\xc3\x31\xff\xb9\x00\x80\x89\xd0\xf3\xab\x42\x80\xc7\x10"
                "\x80\xff\x90\x72\xec\xeb\xe7", 25);

std::vector<std::string> ip(std::vector<std::string> words) {
  words.insert(words.begin(), sandbox::find_program("ip"));
  return words;
}

// A host that sees the same disks, and has a libvirtd of its own.
sandbox::Process start_other() {
  const std::string here = std::to_string(getpid());
  sandbox::Process started(
      {sandbox::find_program("libvirtd"), "--listen"}, "/run/other.log", [&] {
        if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS) != 0 ||
            sethostname("other", 5) != 0 ||
            !host::furnish_libvirt("listen_tls=0\nlisten_tcp=1\nauth_tcp=\"none\"\n"
                                   "host_uuid=\"6f2b7c51-92a4-4c0e-8d9b-1a7f3f7c0002\"\n"))
          _exit(126);
        if (!sandbox::run(ip({"link", "set", "lo", "up"})) ||
            !sandbox::run(ip({"link", "add", "far", "type", "veth", "peer", "name", "near",
                              "netns", here})) ||
            !sandbox::run(ip({"addr", "add", kFar + "/24", "dev", "far"})) ||
            !sandbox::run(ip({"link", "set", "far", "up"})))
          _exit(125);
      });
  const bool wired = sandbox::eventually(
      [] {
        return sandbox::run(ip({"addr", "add", kNear + "/24", "dev", "near"})) &&
               sandbox::run(ip({"link", "set", "near", "up"}));
      },
      10s);
  const bool listens = wired && sandbox::eventually(
      [] {
        return sandbox::run({sandbox::find_program("virsh"), "-q", "-c", kFarUri, "list"});
      },
      20s);
  if (!listens) std::cerr << "the other libvirtd does not answer" << std::endl;
  return started;
}

HypervisorOptions here_options(std::uint64_t bandwidth_mib) {
  HypervisorOptions options;
  options.migration.ways[kThere] = {kFarUri, "tcp://" + kFar, bandwidth_mib, false};
  options.migration.ways[kNobody] = {"qemu+tcp://127.0.0.1/system", "tcp://127.0.0.1", 0, false};
  options.migration.most = 1;
  return options;
}

struct Fixture {
  Recorder here_record;
  Recorder there_record;
  std::unique_ptr<LibvirtHypervisor> here;
  LibvirtHypervisor there;
  sandbox::Folder disks;  // on a file system that both see
  std::uint64_t ticket{1000};

  explicit Fixture(std::uint64_t bandwidth_mib = 0)
      : here(std::make_unique<LibvirtHypervisor>(here_options(bandwidth_mib),
                                                 here_record.events())),
        there({kFarUri, "", ""}, there_record.events()) {
    REQUIRE(here_record.up().has_value());
    REQUIRE(there_record.up().has_value());
  }

  struct Guest {
    GuestId id;
    std::string name;
    std::string xml;
  };
  // Read-only, its disk is shared enough for libvirt.
  Guest guest(int number, const std::string& code) {
    Guest one;
    one.name = "m" + std::to_string(number);
    one.id.bytes = {0x4d, 0xea, 0x22, 0xb3, 0x1d, 0x52, 0xd8, 0xf3, 0x25, 0x17};
    one.id.bytes[15] = static_cast<std::uint8_t>(number);
    const auto disk =
        disks.write(one.name, code + std::string(510 - code.size(), '\0') + "\x55\xaa");
    one.xml = "<domain type='qemu'><name>" + one.name + "</name><uuid>" + to_uuid(one.id) +
              "</uuid><memory unit='MiB'>16</memory><os><type arch='x86_64' machine='pc'>hvm"
              "</type></os><features><acpi/></features><devices><emulator>" +
              sandbox::find_program("qemu-system-x86_64") +
              "</emulator><disk type='file' device='disk'><driver name='qemu' type='raw' "
              "cache='none'/><source file='" + disk +
              "'/><target dev='vda' bus='virtio'/><readonly/></disk>"
              "<memballoon model='none'/></devices></domain>";
    here->start(Ticket{++ticket}, one.id, one.xml);
    const auto done = answer(here_record, ticket);
    INFO(done.error);
    REQUIRE(done.ok);
    REQUIRE(here_record.changed(one.id, RunState::running).has_value());
    return one;
  }
  std::uint64_t migrate(const Guest& guest, HostId to = kThere) {
    here->migrate(Ticket{++ticket}, guest.id, to);
    return ticket;
  }
  std::uint64_t abort(const Guest& guest) {
    here->abort_migration(Ticket{++ticket}, guest.id);
    return ticket;
  }
  // The first event there: QEMU waits for the guest.
  void await_begun(const Guest& guest) {
    REQUIRE(there_record.changed(guest.id, RunState::paused).has_value());
  }
  // What is left there after libvirtd hung, as its wardomd ends it. The adapter asks over TCP and
  // may have lost the hung libvirtd: only once that is back is anything done.
  void end_there(const Guest& guest) {
    CHECK(sandbox::eventually(
        [&] {
          there.kill(Ticket{++ticket}, guest.id);
          return there_record.done(ticket)->ok;
        },
        20s));
    there.undefine(Ticket{++ticket}, guest.id);
    CHECK(answer(there_record, ticket).ok);
  }
  void expect_runs_here(const Guest& guest) {
    here->describe(Ticket{++ticket}, guest.name);
    CHECK(answer(here_record, ticket).state == RunState::running);
    CHECK(sandbox::eventually(
        [&] {
          there.describe(Ticket{++ticket}, guest.name);
          return there_record.done(ticket)->state == RunState::absent;
        },
        10s));
  }
  void remove(const Guest& guest, LibvirtHypervisor& from, Recorder& record) {
    from.kill(Ticket{++ticket}, guest.id);
    CHECK(answer(record, ticket).ok);
    from.undefine(Ticket{++ticket}, guest.id);
    CHECK(answer(record, ticket).ok);
  }
  void remove(const Guest& guest) { remove(guest, *here, here_record); }
};

struct Slow : Fixture {
  Slow() : Fixture(1) {}
  // Changes its memory faster than that goes, and may not stand still for it.
  Guest never_arrives(int number) {
    auto one = guest(number, kRestless);
    REQUIRE(host::virsh({"migrate-setmaxdowntime", one.name, "1"}));
    return one;
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a_guest_arrives_whole_and_paused_and_is_resumed") {
  const auto one = guest(1, host::kIdle);
  here->mark(Ticket{1}, one.id, Generation{7});
  REQUIRE(answer(here_record, 1).ok);
  const auto began = Clock::now();
  auto done = answer(here_record, migrate(one));
  INFO(done.error);
  REQUIRE(done.ok);
  std::cout << "migrated in "
            << std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began).count()
            << " ms" << std::endl;
  CHECK(done.act == port::Act::migrate);
  CHECK(done.state == RunState::shut_off);
  CHECK(done.cause == StopCause::migrated);
  const auto off = here_record.stopped(one.id);
  REQUIRE(off.has_value());
  CHECK(off->cause == StopCause::migrated);
  CHECK(host::qemu_of(one.name) == 0);

  there.describe(Ticket{2}, one.name);
  const auto arrived = answer(there_record, 2);
  CHECK(arrived.state == RunState::paused);
  CHECK(guestxml::summarize(arrived.xml).value().marked == Generation{7});
  Recorder again;
  LibvirtHypervisor second{{kFarUri, "", ""}, again.events()};
  const auto up = again.up();
  REQUIRE((up.has_value() && up->guests.size() == 1));
  CHECK(up->guests[0].persistent);
  CHECK_FALSE(up->guests[0].autostart);

  for (const std::uint64_t time : {3, 4}) {
    there.resume(Ticket{time}, one.id);
    done = answer(there_record, time);
    INFO(done.error);
    CHECK(done.ok);
    CHECK(done.state == RunState::running);
  }
  CHECK(there_record.changed(one.id, RunState::running).has_value());
  remove(one, there, there_record);
  here->undefine(Ticket{5}, one.id);
  CHECK(answer(here_record, 5).ok);
}

TEST_CASE_METHOD(Fixture, "what_cannot_be_sent_is_refused") {
  const auto one = guest(1, host::kIdle);
  auto done = answer(here_record, migrate(one, HostId{9}));
  CHECK_FALSE(done.ok);
  CHECK_THAT(done.error, Catch::Contains("[migration]"));
  done = answer(here_record, migrate(one, kNobody));
  CHECK_FALSE(done.ok);
  CHECK(done.state == RunState::running);
  CHECK_THAT(done.error, Catch::Contains("127.0.0.1"));
  done = answer(here_record, abort(one));
  CHECK(done.ok);
  CHECK(done.state == RunState::running);
  here->resume(Ticket{1}, one.id);
  CHECK(answer(here_record, 1).ok);
  REQUIRE(host::virsh({"suspend", one.name}));
  done = answer(here_record, migrate(one));
  CHECK_FALSE(done.ok);
  CHECK(done.state == RunState::paused);
  remove(one);
  done = answer(here_record, migrate(one));
  CHECK_FALSE(done.ok);
  CHECK(done.state == RunState::absent);
  here->resume(Ticket{2}, one.id);
  done = answer(here_record, 2);
  CHECK_FALSE(done.ok);
  CHECK(done.state == RunState::absent);
  done = answer(here_record, abort(one));
  CHECK(done.ok);
  CHECK(done.state == RunState::absent);
}

TEST_CASE_METHOD(Slow, "an_abort_leaves_the_guest_here_and_nothing_there") {
  const auto one = never_arrives(1);
  const auto sent = migrate(one);
  await_begun(one);
  // It still arrives: it must not run there.
  there.resume(Ticket{1}, one.id);
  auto done = answer(there_record, 1);
  CHECK_FALSE(done.ok);
  CHECK(done.state == RunState::paused);
  const auto ended = abort(one);
  done = answer(here_record, ended);
  INFO(done.error);
  CHECK(done.ok);
  CHECK(done.act == port::Act::abort_migration);
  CHECK(done.state == RunState::running);
  done = answer(here_record, sent);
  CHECK_FALSE(done.ok);
  CHECK(done.state == RunState::running);
  expect_runs_here(one);
  remove(one);
}

TEST_CASE_METHOD(Slow, "one_after_the_other_and_what_waits_is_called_off") {
  const auto one = never_arrives(1);
  const auto two = guest(2, host::kIdle);
  const auto first = migrate(one);
  await_begun(one);
  const auto second = migrate(two);
  const auto ended = abort(two);
  auto done = answer(here_record, second);
  CHECK_FALSE(done.ok);
  CHECK_THAT(done.error, Catch::Contains("called off"));
  CHECK(answer(here_record, ended).ok);
  const auto third = migrate(two);
  CHECK(answer(here_record, abort(one)).ok);
  CHECK_FALSE(answer(here_record, first).ok);
  done = answer(here_record, third);
  INFO(done.error);
  CHECK(done.ok);
  remove(two, there, there_record);
  here->undefine(Ticket{1}, two.id);
  CHECK(answer(here_record, 1).ok);
  remove(one);
}

TEST_CASE_METHOD(Slow, "a_kill_does_not_wait_for_a_migration") {
  const auto one = never_arrives(1);
  const auto sent = migrate(one);
  await_begun(one);
  here->mark(Ticket{1}, one.id, Generation{3});  // libvirt keeps it waiting
  const auto began = Clock::now();
  here->kill(Ticket{2}, one.id);
  CHECK(answer(here_record, 2).ok);
  CHECK(Clock::now() - began < 10s);
  CHECK(here_record.done(1).has_value());
  const auto done = answer(here_record, sent);
  CHECK_FALSE(done.ok);
  CHECK(done.state == RunState::shut_off);
  CHECK(done.cause == StopCause::destroyed);
  here->undefine(Ticket{3}, one.id);
  CHECK(answer(here_record, 3).ok);
}

TEST_CASE_METHOD(Slow, "a_migration_of_an_earlier_daemon_is_ended") {
  const auto one = never_arrives(1);
  migrate(one);
  await_begun(one);
  const auto began = Clock::now();
  here.reset();
  CHECK(Clock::now() - began < 5s);
  here = std::make_unique<LibvirtHypervisor>(here_options(1), here_record.events());
  REQUIRE(here_record.up().has_value());
  const auto done = answer(here_record, abort(one));
  INFO(done.error);
  CHECK(done.ok);
  CHECK(done.state == RunState::running);
  expect_runs_here(one);
  remove(one);
}

TEST_CASE_METHOD(Slow, "a_target_that_hangs_is_given_up") {
  const auto one = never_arrives(1);
  const auto sent = migrate(one);
  await_begun(one);
  other.signal(SIGSTOP);
  const auto done = here_record.done(sent);
  other.signal(SIGCONT);
  REQUIRE(done.has_value());
  INFO(done->error);
  CHECK_FALSE(done->ok);
  CHECK(done->settled);
  CHECK(done->state == RunState::running);
  end_there(one);  // libvirt leaves a copy, paused
  expect_runs_here(one);
  remove(one);
}

TEST_CASE_METHOD(Slow, "a_source_libvirtd_that_dies_leaves_the_guest_here") {
  const auto one = never_arrives(1);
  const auto sent = migrate(one);
  await_begun(one);
  libvirtd.end(SIGKILL);
  REQUIRE(here_record.down().has_value());
  auto done = here_record.done(sent);
  REQUIRE(done.has_value());
  CHECK_FALSE(done->ok);
  CHECK_FALSE(done->settled);
  libvirtd = host::start_libvirtd();
  REQUIRE(here_record.up().has_value());
  done = answer(here_record, abort(one));
  INFO(done->error);
  CHECK(done->ok);
  CHECK(done->state == RunState::running);
  expect_runs_here(one);
  remove(one);
}

int main(int argc, char** argv) {
  if (const auto missing = host::missing(); !missing.empty()) {
    sandbox::say_skipped("all tests with two real libvirtds: " + missing);
    return 0;
  }
  return host::in_private_host([&] {
    const sandbox::Process logger({sandbox::find_program("virtlogd")}, "/run/virtlogd.log");
    libvirtd = host::start_libvirtd();
    other = start_other();
    const int result = Catch::Session().run(argc, argv);
    other.end(SIGKILL);
    libvirtd.end(SIGKILL);
    return result;
  });
}
