// The list of protected guests, and the killer at work on real processes.
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

#include "agents/keeper/drain.hpp"
#include "agents/keeper/guest_killer.hpp"
#include "agents/keeper/identity.hpp"
#include "agents/keeper/lease.hpp"
#include "agents/keeper/peer_process.hpp"
#include "agents/keeper/guest_register.hpp"
#include "libha/disk/block_io.hpp"
#include "libha/proc/process.hpp"
#include "libha/proc/replace_file.hpp"
#include "libha/wire/guest_list.hpp"

using namespace wardom;
using namespace wardom::keeper;
using namespace std::chrono_literals;
using disk::raw_now;
using proc::read_file;
using proc::replace_file;
using proc::start_time_of;

namespace {

GuestId guest(std::uint8_t number) {
  GuestId id;
  id.bytes[15] = number;
  return id;
}

struct Directory {
  std::string path;
  Directory() {
    char name[] = "/tmp/wardom-keeper-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path = name;
  }
  ~Directory() { std::filesystem::remove_all(path); }
  std::string list() const { return path + "/guests"; }
  void write(const std::vector<ListedGuest>& guests) const {
    REQUIRE(replace_file(list(), wire::encode_guest_list(guests)));
  }
};

// A process that waits to be killed; with the given words on its command line.
class Child {
 public:
  explicit Child(const std::string& uuid = "") {
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      // sh keeps what follows its script as its own arguments.
      ::execl("/bin/sh", "sh", "-c", "read x", "qemu", "-uuid", uuid.c_str(), "-m", nullptr);
      ::_exit(126);
    }
    const auto until = raw_now() + 5s;
    const auto line = "/proc/" + std::to_string(pid_) + "/cmdline";
    while (raw_now() < until && read_file(line).value_or("").find("read x") == std::string::npos)
      ::poll(nullptr, 0, 2);
  }
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  pid_t pid() const { return pid_; }
  bool lives() {
    int status = 0;
    if (pid_ > 0 && ::waitpid(pid_, &status, WNOHANG) == pid_) pid_ = -1;
    return pid_ > 0;
  }

 private:
  pid_t pid_{-1};
};

KillReport kill_all(const Directory& directory) {
  return kill_guests(directory.list(), raw_now() + 10s, raw_now);
}

// A pipe on standard input, so that children wait for it.
void quiet_input() {
  static const bool done = [] {
    int ends[2];
    return ::pipe(ends) == 0 && ::dup2(ends[0], STDIN_FILENO) == STDIN_FILENO;
  }();
  REQUIRE(done);
}

}  // namespace

TEST_CASE("guest_list_round_trips") {
  const std::vector<ListedGuest> guests{
      {guest(1), {4711, 123456789, "/machine.slice/machine-qemu\\x2d1\\x2dg1.scope"}, {}},
      {guest(2), {}, DaemonEpoch{7}},
      {guest(3), {5, 6, "/with a blank/qemu"}, DaemonEpoch{}}};
  const auto text = wire::encode_guest_list(guests);
  const auto back = wire::decode_guest_list(text);
  REQUIRE(back);
  CHECK(back.value() == guests);
  CHECK(wire::decode_guest_list(wire::encode_guest_list({})).value().empty());
  for (std::size_t length = 0; length < text.size(); ++length)
    REQUIRE_FALSE(wire::decode_guest_list(text.substr(0, length)));
  CHECK_FALSE(wire::decode_guest_list(text + "x"));
}

TEST_CASE("guest_list_refuses_what_could_kill_somebody_else") {
  const auto one = [](const std::string& line) {
    return wire::decode_guest_list("wardom guests 2\n" + line + "\nend 1\n").has_value();
  };
  const auto uuid = to_uuid(guest(1));
  CHECK(one(uuid + " - 12 34 -"));
  CHECK(one(uuid + " 3 0 0 -"));
  for (const char* rest : {" - 1 34 -", " - 12 0 -", " - 0 34 -", " - -12 34 -", " - 12 34 ",
                           " - 12 34", " - 12x 34 -", " - 12 -34 -", " -  12 34 -", " x 12 34 -",
                           " 12 34 -", " -1 12 34 -", " 4294967296 12 34 -"})
    CHECK_FALSE(one(uuid + rest));
  CHECK_FALSE(one("nobody - 12 34 -"));
  CHECK_FALSE(wire::decode_guest_list("wardom guests 3\nend 0\n"));
}

TEST_CASE("killer_ends_listed_guests_and_nobody_else") {
  quiet_input();
  const Directory directory;
  Child listed, stranger, recycled;
  directory.write({{guest(1), {listed.pid(), *start_time_of(listed.pid()), ""}, {}},
                   {guest(2), {recycled.pid(), *start_time_of(recycled.pid()) - 1, ""}, {}}});
  const auto report = kill_all(directory);
  CHECK(report.listed == 2);
  CHECK(report.killed == 1);
  CHECK(report.remaining == 0);
  CHECK(report.trouble.empty());
  CHECK_FALSE(listed.lives());
  CHECK(stranger.lives());
  CHECK(recycled.lives());  // its number once was a guest's
}

TEST_CASE("killer_finds_a_guest_that_is_being_started_by_its_uuid") {
  quiet_input();
  const Directory directory;
  Child starting(to_uuid(guest(7))), other(to_uuid(guest(8)));
  directory.write({{guest(7), {}, DaemonEpoch{1}}});
  const auto report = kill_all(directory);
  CHECK(report.killed == 1);
  CHECK_FALSE(starting.lives());
  CHECK(other.lives());
}

TEST_CASE("killer_calls_guests_gone_only_when_every_start_is_settled") {
  quiet_input();
  Directory directory;
  Child child;
  const ListedGuest runs{guest(1), {child.pid(), *start_time_of(child.pid()), ""}, {}};
  directory.write({runs, {guest(2), {}, DaemonEpoch{3}}});
  const auto open = kill_all(directory);
  CHECK(open.killed == 1);
  CHECK(open.open == 1);
  CHECK_FALSE(open.gone);
  directory.write({runs, {guest(2), {}, {}}});
  CHECK(kill_all(directory).gone);
  // Time that is up proves nothing.
  CHECK_FALSE(kill_guests(directory.list(), raw_now(), raw_now).gone);
  // Nor does a list that nobody could read, and that was put aside.
  REQUIRE(replace_file(directory.list() + kMalformedSuffix, "?"));
  CHECK_FALSE(kill_all(directory).gone);
}

TEST_CASE("killer_counts_what_is_left_in_a_guests_cgroup") {
  quiet_input();
  Directory directory;
  directory.write({{guest(1), {0, 0, "/machine-qemu-1"}, {}}});
  const auto cgroup = directory.path + "/machine-qemu-1";
  std::filesystem::create_directory(cgroup);
  const auto gone = [&] {
    return kill_guests(directory.list(), raw_now() + 1s, raw_now, "/proc", directory.path).gone;
  };
  REQUIRE(replace_file(cgroup + "/cgroup.events", "populated 1\nfrozen 0\n"));
  CHECK_FALSE(gone());
  REQUIRE(replace_file(cgroup + "/cgroup.events", "populated 0\nfrozen 0\n"));
  CHECK(gone());
}

TEST_CASE("released_is_kept_for_its_boot_and_fails_closed") {
  Directory directory;
  const Bits128 boot{{1}}, other{{2}};
  CHECK_FALSE(load_released(directory.path, boot).value().has_value());
  const Incarnation incarnation{7, {{3}}};
  REQUIRE(save_released(directory.path, boot, incarnation));
  CHECK(load_released(directory.path, boot).value() == incarnation);
  CHECK_FALSE(load_released(directory.path, other).value().has_value());
  const auto mode = std::filesystem::status(directory.path + "/released").permissions();
  CHECK(mode == (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
  const auto text = *read_file(directory.path + "/released");
  for (std::size_t cut = 0; cut + 1 < text.size(); ++cut) {
    REQUIRE(replace_file(directory.path + "/released", text.substr(0, cut)));
    CHECK_FALSE(load_released(directory.path, boot));
  }
}

TEST_CASE("drain_sees_what_outlives_a_process") {
  Directory directory;
  std::filesystem::create_directories(directory.path + "/1/net");
  const auto base = directory.path + "/1";
  const std::string heading = "  sl  local_address rem_address   st tx_queue rx_queue ...\n";
  const auto left = [&](const std::string& tcp, const std::string& mounts) {
    REQUIRE(replace_file(base + "/net/tcp", heading + tcp));
    REQUIRE(replace_file(base + "/mounts", mounts));
    return undrained("/srv/volume", "1", directory.path);
  };
  const auto line = [](const std::string& state, const std::string& queue) {
    return "   0: 0100007F:A1B2 C80A4D0A:2A42 " + state + " " + queue +
           ":00000000 00:00000000 00000000 0 0 0 1\n";
  };
  const std::string local = "/dev/sda1 / ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\n";
  CHECK(left("", local).empty());
  CHECK(left(line("01", "00001000"), local).empty());  // a living process's
  for (const char* state : {"04", "09", "0B"}) {
    CHECK_FALSE(left(line("01", "00000000") + line(state, "00000001"), local).empty());
    CHECK(left(line(state, "00000000"), local).empty());
  }
  CHECK_FALSE(left("nonsense\n", local).empty());
  // Of what is not known to be local, nobody can tell.
  for (const char* type : {"nfs", "nfs4", "cifs", "ceph", "gfs2", "fuse", "fuse.glusterfs", "vxfs"})
    CHECK_FALSE(left("", local + "server:/x /guests " + type + " rw 0 0\n").empty());
  CHECK(left("", local + "lxcfs /var/lib/lxcfs fuse.lxcfs rw 0 0\n").empty());
  CHECK(left("", local + "nbd /srv/volume fuse.nbdfuse rw 0 0\n").empty());
  REQUIRE(left("", local).empty());
  // IPv6 that is there and cannot be read is no IPv6 that is not there.
  std::filesystem::create_directory(base + "/net/tcp6");
  CHECK_FALSE(undrained("/srv/volume", "1", directory.path).empty());
  std::filesystem::remove(base + "/net/tcp6");
  std::filesystem::remove(base + "/mounts");
  CHECK_FALSE(undrained("/srv/volume", "1", directory.path).empty());
  REQUIRE(replace_file(base + "/mounts", local));
  // The keeper's own network is not the host's: the host's is read, or nothing is known.
  std::filesystem::create_directories(directory.path + "/self/net");
  REQUIRE(replace_file(directory.path + "/self/net/tcp", heading));
  std::filesystem::remove(base + "/net/tcp");
  CHECK_FALSE(undrained("/srv/volume", "1", directory.path).empty());
}

namespace {

// `self` stands for the host: whoever runs the tests may be in a container.
KillReport kill_strictly(const Directory& directory, KillRules rules = {}) {
  rules.strict = rules.lab = true;
  rules.host = "self";
  return kill_guests(directory.list(), raw_now() + 2s, raw_now, "/proc", "/sys/fs/cgroup", rules);
}

}  // namespace

TEST_CASE("killer_remembers_io_uring_and_what_it_could_not_look_at") {
  quiet_input();
  Directory directory;
  const auto listed = [&](const Child& child) {
    directory.write({{guest(1), {child.pid(), *start_time_of(child.pid()), ""}, {}}});
  };
  {
    Child plain;
    listed(plain);
    const auto report = kill_strictly(directory);
    CHECK(report.killed == 1);
    CHECK(report.lingers.empty());
    CHECK(report.gone);
  }
  {
    Child plain;
    listed(plain);
    KillRules rules;
    rules.strict = true;
    rules.host = "self";
    // Without a cgroup of its own its helpers are not known.
    CHECK_FALSE(kill_guests(directory.list(), raw_now() + 2s, raw_now, "/proc", directory.path,
                            rules).lingers.empty());
    CHECK_FALSE(plain.lives());
  }
  {
    Child elsewhere;
    listed(elsewhere);
    KillRules rules;
    rules.strict = rules.lab = true;
    rules.host = "nobody";
    const auto report = kill_guests(directory.list(), raw_now() + 2s, raw_now, "/proc",
                                    "/sys/fs/cgroup", rules);
    CHECK(report.lingers.find("network namespace") != std::string::npos);
    CHECK_FALSE(elsewhere.lives());
  }
  io_uring_params params{};
  const int ring = static_cast<int>(::syscall(SYS_io_uring_setup, 4, &params));
  if (ring < 0) return;  // not allowed here
  REQUIRE(::fcntl(ring, F_SETFD, 0) == 0);
  Child with_ring;  // inherits it
  ::close(ring);
  listed(with_ring);
  CHECK(kill_strictly(directory).lingers.find("io_uring") != std::string::npos);
  CHECK_FALSE(with_ring.lives());
}

TEST_CASE("killer_that_is_called_off_kills_nobody") {
  quiet_input();
  Directory directory;
  Child child;
  directory.write({{guest(1), {child.pid(), *start_time_of(child.pid()), ""}, {}}});
  const std::atomic<bool> cancelled{true};
  KillRules rules;
  rules.cancelled = &cancelled;
  CHECK_FALSE(kill_strictly(directory, rules).gone);
  CHECK(child.lives());
}

TEST_CASE("killer_does_not_call_guests_gone_that_a_lost_list_may_name") {
  Directory directory;
  CHECK(kill_strictly(directory).gone);
  KillRules rules;
  rules.expects_list = true;
  CHECK_FALSE(kill_strictly(directory, rules).gone);
}

TEST_CASE("killer_takes_a_process_without_a_command_line_for_a_guest_on_its_way") {
  Directory directory;
  const auto proc = directory.path + "/proc";
  std::filesystem::create_directories(proc + "/77");
  REQUIRE(replace_file(proc + "/77/cmdline", ""));
  const auto gone = [&](const std::string& stat, bool strict) {
    REQUIRE(replace_file(proc + "/77/stat", stat));
    KillRules rules;
    rules.strict = rules.lab = strict;
    return kill_guests(directory.list(), raw_now() + 700ms, raw_now, proc, directory.path, rules)
        .gone;
  };
  CHECK_FALSE(gone("77 (libvirtd) S 1 77 77 0 -1 4194560 0", true));
  CHECK(gone("77 (libvirtd) S 1 77 77 0 -1 4194560 0", false));
  CHECK(gone("77 (libvirtd) Z 1 77 77 0 -1 4194560 0", true));
  CHECK(gone("77 (kworker/0:1) I 2 0 0 0 -1 69238880 0", true));
}

TEST_CASE("incarnation_says_whether_it_was_drawn_with_stay_up") {
  Directory directory;
  const Bits128 boot{{1}};
  KeptIncarnation kept{boot, Bits128{{2}}, HostId{3}, {4, {{5}}}};
  REQUIRE(save_incarnation(directory.path, kept));
  CHECK_FALSE(load_incarnation(directory.path, boot)->stays_up);
  kept.stays_up = true;
  REQUIRE(save_incarnation(directory.path, kept));
  CHECK(load_incarnation(directory.path, boot)->stays_up);
  CHECK(load_incarnation(directory.path, boot)->incarnation == kept.incarnation);
}

TEST_CASE("killer_says_when_it_cannot_read_its_list") {
  const Directory directory;
  REQUIRE(replace_file(directory.list(), "wardom guests 2\nnonsense\n"));
  const auto report = kill_all(directory);
  CHECK(report.killed == 0);
  CHECK(report.trouble.find("malformed") != std::string::npos);
  std::filesystem::remove(directory.list());
  CHECK(kill_all(directory).trouble.empty());  // no protected guest ever ran here
}

TEST_CASE("register_outlives_the_keeper_and_knows_whose_starts_are_open") {
  const Directory directory;
  const GuestProcess process{4711, 99, "/machine-qemu"};
  {
    GuestRegister fresh(directory.list());
    CHECK(fresh.trouble().empty());
    CHECK_FALSE(fresh.start_open_before(DaemonEpoch{9}));
    CHECK(fresh.list_start(guest(1), DaemonEpoch{2}));
    CHECK(fresh.list_start(guest(2), DaemonEpoch{2}));
    CHECK(fresh.settle_start(guest(2), process));
    CHECK(fresh.settle_start(guest(3), {}));
  }
  GuestRegister again(directory.list());
  REQUIRE(again.guests().size() == 3);
  CHECK(again.guests()[1] == ListedGuest{guest(2), process, {}});
  CHECK_FALSE(again.start_open_before(DaemonEpoch{2}));  // that daemon still stands
  CHECK(again.start_open_before(DaemonEpoch{3}));
  CHECK(again.list_start(guest(3), DaemonEpoch{3}));
  CHECK(again.unlist(guest(1)));
  CHECK(again.unlist(guest(1)));
  CHECK_FALSE(again.start_open_before(DaemonEpoch{3}));
  CHECK(again.start_open_before(DaemonEpoch{4}));
}

TEST_CASE("register_that_cannot_be_read_or_kept_lets_nothing_pass") {
  const Directory directory;
  REQUIRE(replace_file(directory.list(), "nonsense"));
  {
    GuestRegister broken(directory.list());
    CHECK(broken.trouble().find("not one of this version") != std::string::npos);
    CHECK(broken.start_open_before(DaemonEpoch{}));
    REQUIRE(broken.for_operator().has_value());
    CHECK(broken.for_operator()->remedy.find("guests.malformed") != std::string::npos);
    CHECK(broken.list_start(guest(1), DaemonEpoch{1}));
  }
  {
    // A new list does not bring back what the malformed one knew.
    GuestRegister again(directory.list());
    CHECK(again.guests().size() == 1);
    CHECK(again.trouble().find("guests.malformed") != std::string::npos);
    CHECK(again.start_open_before(DaemonEpoch{}));
  }
  REQUIRE(std::filesystem::remove(directory.list() + ".malformed"));
  GuestRegister mended(directory.list());
  CHECK(mended.trouble().empty());
  CHECK_FALSE(mended.for_operator().has_value());
  CHECK(mended.guests().size() == 1);
  GuestRegister nowhere(directory.path + "/missing/guests");
  CHECK_FALSE(nowhere.list_start(guest(1), DaemonEpoch{1}));
  CHECK(nowhere.guests().empty());
}

TEST_CASE("register_has_a_limit") {
  const Directory directory;
  GuestRegister full(directory.list());
  for (std::size_t i = 0; i < kMaxGuestsPerHost; ++i) {
    GuestId id;
    id.bytes[0] = static_cast<std::uint8_t>(i / 256);
    id.bytes[1] = static_cast<std::uint8_t>(i % 256);
    id.bytes[2] = 1;
    REQUIRE(full.list_start(id, DaemonEpoch{1}));
  }
  CHECK_FALSE(full.list_start(guest(1), DaemonEpoch{1}));
  CHECK(full.guests().size() == kMaxGuestsPerHost);
}

TEST_CASE("guest_process_comes_from_libvirts_pid_file") {
  const Directory directory;
  const auto self = ::getpid();
  CHECK(proc::guest_process(directory.path + "/g1.pid") == GuestProcess{});
  for (const char* text : {"", "x", "1", "-5", "0"}) {
    REQUIRE(replace_file(directory.path + "/g1.pid", text));
    CHECK(proc::guest_process(directory.path + "/g1.pid") == GuestProcess{});
  }
  REQUIRE(replace_file(directory.path + "/g1.pid", std::to_string(self) + "\n"));
  const auto found = proc::guest_process(directory.path + "/g1.pid");
  CHECK(found.pid == self);
  CHECK(found.start_time == *start_time_of(self));
  // The guest's own cgroup, not the part of it that QEMU sits in.
  const auto made = directory.path + "/proc/" + std::to_string(self);
  std::filesystem::create_directories(made);
  REQUIRE(replace_file(made + "/stat", *read_file("/proc/self/stat")));
  REQUIRE(replace_file(made + "/cgroup", "1:name=systemd:/x\n0::/m.slice/machine-qemu\\x2d1.scope"
                                         "/libvirt/emulator\n"));
  CHECK(proc::guest_process(directory.path + "/g1.pid", directory.path + "/proc").cgroup ==
        "/m.slice/machine-qemu\\x2d1.scope");
  REQUIRE(replace_file(made + "/cgroup", "0::/user.slice\n"));
  CHECK(proc::guest_process(directory.path + "/g1.pid", directory.path + "/proc").cgroup.empty());
}

TEST_CASE("peer_process_is_told_from_its_successor") {
  quiet_input();
  Child child;
  const auto peer = PeerProcess::open(child.pid(), std::nullopt);
  CHECK_FALSE(peer.ended());
  CHECK_FALSE(PeerProcess::open(child.pid(), peer.start_time()).ended());
  const auto other = PeerProcess::open(child.pid(), peer.start_time() + 1);
  CHECK(other.ended());
  CHECK_FALSE(other.kill());
  CHECK(peer.kill());
  const auto until = raw_now() + 5s;
  while (!peer.ended() && raw_now() < until) ::poll(nullptr, 0, 2);
  CHECK(peer.ended());
  CHECK_FALSE(PeerProcess{}.ended());
}

TEST_CASE("window_is_trusted_of_the_same_boot_only") {
  Bits128 boot, other;
  boot.bytes[3] = 9;
  const KeptWindow window{
      boot, 20s, {Instant{12345678901ns}, Instant{22345678901ns}, true, false, true, true,
             true}, 9s, true};
  const auto text = encode_window(window);
  const auto back = decode_window(text, boot);
  REQUIRE(back);
  CHECK(back->t_f == window.t_f);
  CHECK(back->ladder.submitted == window.ladder.submitted);
  CHECK(back->ladder.granted == window.ladder.granted);
  CHECK(back->ladder.lease);
  CHECK_FALSE(back->ladder.killing);
  CHECK(back->ladder.ended);
  CHECK(back->ladder.released);
  CHECK(back->ladder.rests);
  CHECK(back->timeout == 9s);
  CHECK(back->disarmed);
  CHECK_FALSE(decode_window(text, other));
  for (std::size_t length = 0; length + 1 < text.size(); ++length)
    REQUIRE_FALSE(decode_window(text.substr(0, length), boot));
}
