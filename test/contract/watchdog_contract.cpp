// port::Watchdog and what stands around it, without a watchdog device: the lab's adapter against a
// listener, what the Linux adapter refuses, the descriptor store, the measured W. The Linux adapter
// on a real kernel's softdog is test/vm.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "libha/watchdog/descriptor_store.hpp"
#include "libha/watchdog/fingerprint.hpp"
#include "libha/watchdog/lab_watchdog.hpp"
#include "libha/watchdog/linux_watchdog.hpp"
#include "libha/watchdog/measurement.hpp"
#include "libha/watchdog/suspend.hpp"

using namespace wardom;
using namespace wardom::watchdog;
using namespace std::chrono_literals;

namespace {

struct Directory {
  std::string path;
  Directory() {
    char name[] = "/tmp/wardom-watchdog-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path = name;
  }
  ~Directory() { std::filesystem::remove_all(path); }
  std::string file(const std::string& name) const { return path + "/" + name; }
};

// A datagram socket, as the lab's watchdog program and systemd's notify socket are.
class Listener {
 public:
  explicit Listener(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    REQUIRE(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  ~Listener() { ::close(fd_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // The next datagram's text, and the descriptor that came with it (-1: none).
  std::pair<std::string, int> take() {
    char words[256];
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    iovec part{words, sizeof words};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const auto got = ::recvmsg(fd_, &message, MSG_CMSG_CLOEXEC);
    if (got < 0) return {"", -1};
    int fd = -1;
    if (const auto* rights = CMSG_FIRSTHDR(&message); rights != nullptr)
      std::memcpy(&fd, CMSG_DATA(rights), sizeof fd);
    return {std::string(words, static_cast<std::size_t>(got)), fd};
  }

 private:
  int fd_;
};

Measurement sample() { return {0x0123456789abcdef, 2345ms, 2s, "Software Watchdog"}; }

}  // namespace

TEST_CASE("lab_watchdog_is_armed_fed_and_disarmed_by_words") {
  const Directory directory;
  Listener program(directory.file("dog"));
  auto opened = LabWatchdog::open(directory.file("dog"), 4s);
  REQUIRE(opened);
  auto& dog = *opened.value();
  CHECK(program.take().first == "arm 4000");
  CHECK(dog.facts().lab);
  CHECK(dog.facts().timeout == 4s);
  CHECK(dog.facts().fingerprint != 0);
  CHECK(dog.descriptor() == -1);
  CHECK(dog.feed());
  CHECK(program.take().first == "feed");
  CHECK(program.take().first.empty());
  CHECK(dog.disarm());
  CHECK(program.take().first == "disarm");
  // Its end says nothing: neither a feed nor the end of the watch.
  opened.value().reset();
  CHECK(program.take().first.empty());
}

TEST_CASE("lab_watchdog_notices_that_nobody_listens") {
  const Directory directory;
  CHECK_FALSE(LabWatchdog::open(directory.file("none"), 4s));
  auto program = std::make_unique<Listener>(directory.file("dog"));
  auto opened = LabWatchdog::open(directory.file("dog"), 4s);
  REQUIRE(opened);
  program.reset();
  CHECK_FALSE(opened.value()->feed());
}

TEST_CASE("linux_watchdog_refuses_what_is_none") {
  const Directory directory;
  std::ofstream(directory.file("plain")) << "x";
  CHECK(LinuxWatchdog::open(directory.file("plain"), 5s).error().message.find("not a device") !=
        std::string::npos);
  CHECK(LinuxWatchdog::open("/dev/null", 5s).error().message.find("not a watchdog device") !=
        std::string::npos);
  CHECK(LinuxWatchdog::open(directory.file("none"), 5s).error().message.find("No such file") !=
        std::string::npos);
  std::string text;
  std::ifstream(directory.file("plain")) >> text;
  CHECK(text == "x");  // nothing was written into it, least of all a magic byte
}

TEST_CASE("descriptor_store_speaks_systemds_protocols") {
  const Directory directory;
  ::unsetenv("NOTIFY_SOCKET");
  CHECK_FALSE(has_descriptor_store());
  CHECK_FALSE(keep_descriptor("dog", STDIN_FILENO));
  CHECK_FALSE(forget_descriptor("dog"));
  Listener supervisor(directory.file("notify"));
  ::setenv("NOTIFY_SOCKET", directory.file("notify").c_str(), 1);
  CHECK(has_descriptor_store());
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  REQUIRE(keep_descriptor("dog", ends[1]));
  const auto [words, copy] = supervisor.take();
  CHECK(words == "FDSTORE=1\nFDNAME=dog");
  REQUIRE(copy >= 0);
  REQUIRE(forget_descriptor("dog"));
  CHECK(supervisor.take() == std::pair<std::string, int>("FDSTOREREMOVE=1\nFDNAME=dog", -1));
  ::close(ends[1]);
  CHECK(::write(copy, "y", 1) == 1);  // the very same open file
  char got = 0;
  CHECK(::read(ends[0], &got, 1) == 1);
  CHECK(got == 'y');
  ::unsetenv("NOTIFY_SOCKET");

  const auto names = [](const char* pid, const char* count, const char* list) {
    ::setenv("LISTEN_PID", pid, 1);
    ::setenv("LISTEN_FDS", count, 1);
    ::setenv("LISTEN_FDNAMES", list, 1);
    return kept_descriptor("dog");
  };
  const auto own = std::to_string(::getpid());
  ::dup2(ends[0], 3);
  ::dup2(ends[0], 4);
  CHECK(names(own.c_str(), "2", "cat:dog") == 4);
  CHECK((::fcntl(4, F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(names(own.c_str(), "1", "dog") == 3);
  CHECK_FALSE(names(own.c_str(), "1", "cat:dog").has_value());
  CHECK_FALSE(names("1", "1", "dog").has_value());  // meant for another process
  CHECK_FALSE(names(own.c_str(), "x", "dog").has_value());
}

TEST_CASE("fingerprint_changes_with_everything_that_w_depends_on") {
  const Platform platform{"bios 1", "6.1.0"};
  const auto base = fingerprint("iTCO_wdt", 3, platform, 5s);
  CHECK(base == fingerprint("iTCO_wdt", 3, platform, 5s));
  CHECK(base != fingerprint("iTCO", 3, platform, 5s));
  CHECK(base != fingerprint("iTCO_wdt", 4, platform, 5s));
  CHECK(base != fingerprint("iTCO_wdt", 3, {"bios 2", "6.1.0"}, 5s));
  CHECK(base != fingerprint("iTCO_wdt", 3, {"bios 1", "6.1.1"}, 5s));
  CHECK(base != fingerprint("iTCO_wdt", 3, platform, 6s));
  CHECK_FALSE(read_platform().kernel.empty());
}

TEST_CASE("measurement_is_read_back_and_trusted_only_as_written") {
  const Directory directory;
  const auto path = directory.file("watchdog.json");
  CHECK(load_measurement(path).error().message.find("measure-watchdog") != std::string::npos);
  REQUIRE(save_measurement(path, sample()));
  CHECK(load_measurement(path).value() == sample());
  const auto text = to_json(sample());
  CHECK(text == "{\"fingerprint\":\"0123456789abcdef\",\"w_ms\":2345,\"timeout_ms\":2000,"
                "\"driver\":\"Software Watchdog\"}\n");
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto cut = text;
    cut.erase(i, 1);
    const auto read = parse_measurement(cut);
    // Only a digit less or a letter less still reads as a measurement, of other values.
    if (read) REQUIRE(to_json(read.value()) == cut);
  }
  for (const char* bad : {"", "{}", "{\"fingerprint\":\"0000000000000000\",\"w_ms\":1,"
                                    "\"timeout_ms\":1,\"driver\":\"x\"}\n"})
    CHECK_FALSE(parse_measurement(bad));
  CHECK_FALSE(parse_measurement(" " + text));
  auto odd = sample();
  odd.driver = "a \"b\\";
  CHECK(parse_measurement(to_json(odd)).value().driver == "a ?b?");
}

TEST_CASE("suspend_is_excluded_only_by_the_kernel_or_a_mask") {
  namespace fs = std::filesystem;
  char name[] = "/tmp/wardom-suspend-XXXXXX";
  REQUIRE(::mkdtemp(name) != nullptr);
  const std::string root = name;
  fs::create_directories(root + "/sys/power");
  fs::create_directories(root + "/etc/systemd/system");
  CHECK(watchdog::suspend_is_excluded(root));  // no such file: a kernel without suspend
  std::ofstream(root + "/sys/power/state") << "\n";
  CHECK(watchdog::suspend_is_excluded(root));
  std::ofstream(root + "/sys/power/state") << "freeze mem disk\n";
  CHECK_FALSE(watchdog::suspend_is_excluded(root));
  const auto unit = root + "/etc/systemd/system/sleep.target";
  std::ofstream(unit) << "[Unit]\n";
  CHECK_FALSE(watchdog::suspend_is_excluded(root));
  fs::remove(unit);
  fs::create_symlink("/dev/zero", unit);
  CHECK_FALSE(watchdog::suspend_is_excluded(root));
  fs::remove(unit);
  fs::create_symlink("/dev/null", unit);
  CHECK(watchdog::suspend_is_excluded(root));
  fs::remove_all(root);
}
