// The list of protected guests, and the killer at work on real processes.
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

#include "agents/keeper/guest_killer.hpp"
#include "agents/keeper/lease.hpp"
#include "agents/keeper/peer_process.hpp"
#include "agents/keeper/run_file.hpp"
#include "libha/disk/block_io.hpp"

using namespace wardom;
using namespace wardom::keeper;
using namespace std::chrono_literals;
using disk::raw_now;
using wire::ListedGuest;

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
      {guest(1), 4711, 123456789, "/machine.slice/machine-qemu\\x2d1\\x2dg1.scope"},
      {guest(2), 0, 0, ""},
      {guest(3), 5, 6, "/with a blank/qemu"}};
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
    return wire::decode_guest_list("wardom guests 1\n" + line + "\nend 1\n").has_value();
  };
  const auto uuid = to_uuid(guest(1));
  CHECK(one(uuid + " 12 34 -"));
  CHECK(one(uuid + " 0 0 -"));
  for (const char* rest : {" 1 34 -", " 12 0 -", " 0 34 -", " -12 34 -", " 12 34 ", " 12 34",
                           " 12x 34 -", " 12 -34 -", "  12 34 -"})
    CHECK_FALSE(one(uuid + rest));
  CHECK_FALSE(one("nobody 12 34 -"));
  CHECK_FALSE(wire::decode_guest_list("wardom guests 2\nend 0\n"));
}

TEST_CASE("killer_ends_listed_guests_and_nobody_else") {
  quiet_input();
  const Directory directory;
  Child listed, stranger, recycled;
  directory.write({{guest(1), listed.pid(), *start_time_of(listed.pid()), ""},
                   {guest(2), recycled.pid(), *start_time_of(recycled.pid()) - 1, ""}});
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
  directory.write({{guest(7), 0, 0, ""}});
  const auto report = kill_all(directory);
  CHECK(report.killed == 1);
  CHECK_FALSE(starting.lives());
  CHECK(other.lives());
}

TEST_CASE("killer_says_when_it_cannot_read_its_list") {
  const Directory directory;
  REQUIRE(replace_file(directory.list(), "wardom guests 1\nnonsense\n"));
  const auto report = kill_all(directory);
  CHECK(report.killed == 0);
  CHECK(report.trouble.find("malformed") != std::string::npos);
  std::filesystem::remove(directory.list());
  CHECK(kill_all(directory).trouble.empty());  // no protected guest ever ran here
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
  const KeptWindow window{boot, 20s, {Instant{12345678901ns}, true, false, true}};
  const auto text = encode_window(window);
  const auto back = decode_window(text, boot);
  REQUIRE(back);
  CHECK(back->t_f == window.t_f);
  CHECK(back->ladder.submitted == window.ladder.submitted);
  CHECK(back->ladder.lease);
  CHECK_FALSE(back->ladder.killing);
  CHECK(back->ladder.ended);
  CHECK_FALSE(decode_window(text, other));
  for (std::size_t length = 0; length + 1 < text.size(); ++length)
    REQUIRE_FALSE(decode_window(text.substr(0, length), boot));
}
