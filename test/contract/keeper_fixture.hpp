// wardom-keeper as a program: real processes, a real file, the daemon's real client.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <sstream>

#include "disk_fixture.hpp"
#include "libha/keeper_client/keeper_client.hpp"
#include "libha/wire/ballot.hpp"
#include "libha/wire/decision.hpp"
#include "libha/wire/slot.hpp"
#include "libha/wire/table.hpp"

namespace wardom::fixture {

using namespace std::chrono_literals;
using keeper_client::KeeperClient;

constexpr auto kLimit = 15s;  // for anything to happen; reached only when the test fails

inline Geometry quick_geometry() {
  auto g = geometry();
  g.t_f_ms = 2000;  // read back every 500 ms
  g.w_ms = 0;       // D is 3 s
  return g;
}

// What a keeper's volume fails at, see volume_faults.cpp.
class Faults {
 public:
  explicit Faults(std::string directory) : directory_(std::move(directory)) {
    std::filesystem::create_directory(directory_);
  }
  ~Faults() {
    for (const char* name : {"fail-reads", "fail-writes", "lose", "hang"}) clear(name);
    set("tell");
  }
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;
  void set(const std::string& name) const { std::ofstream(directory_ + "/" + name) << "x"; }
  void clear(const std::string& name) const { std::filesystem::remove(directory_ + "/" + name); }
  bool has(const std::string& name) const {
    return std::filesystem::exists(directory_ + "/" + name);
  }
  const std::string& directory() const { return directory_; }

 private:
  std::string directory_;
};

// One keeper process; its stderr is read line by line.
class KeeperProcess {
 public:
  KeeperProcess(const std::string& config, const std::string& host, const std::string& run_dir,
                const std::vector<std::string>& more = {}, const Faults* faults = nullptr)
      : socket_(run_dir + "/keeper.sock") {
    std::vector<const char*> words{"wardom-keeper", "--config", config.c_str(), "--host",
                                   host.c_str(),    "--run-dir", run_dir.c_str()};
    for (const auto& word : more) words.push_back(word.c_str());
    words.push_back(nullptr);
    std::array<int, 2> pipe{};
    REQUIRE(::pipe2(pipe.data(), O_CLOEXEC) == 0);
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      ::dup2(pipe[1], STDERR_FILENO);
      if (faults != nullptr) {
        ::setenv("WARDOM_FAULTS", faults->directory().c_str(), 1);
        ::setenv("LD_PRELOAD", WARDOM_VOLUME_FAULTS, 1);
        // Of an instrumented build: its library need not come first.
        ::setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 0);
      }
      ::execv(WARDOM_KEEPER, const_cast<char* const*>(words.data()));
      ::_exit(126);
    }
    ::close(pipe[1]);
    log_ = pipe[0];
  }
  ~KeeperProcess() {
    if (pid_ > 0) end(SIGKILL);
    ::close(log_);
  }
  KeeperProcess(const KeeperProcess&) = delete;
  KeeperProcess& operator=(const KeeperProcess&) = delete;

  // Reads on until a line contains the text; fails the test when none does.
  std::string wait_for(const std::string& text) {
    const auto until = std::chrono::steady_clock::now() + kLimit;
    while (std::chrono::steady_clock::now() < until) {
      const auto found = seen_.find(text);
      const auto line_end = found == std::string::npos ? found : seen_.find('\n', found);
      if (line_end != std::string::npos) return seen_.substr(found, line_end - found);
      pollfd fd{log_, POLLIN, 0};
      if (::poll(&fd, 1, 100) <= 0) continue;
      std::array<char, 4096> buffer{};
      const auto got = ::read(log_, buffer.data(), buffer.size());
      if (got <= 0) break;
      seen_.append(buffer.data(), static_cast<std::size_t>(got));
    }
    FAIL("no line with \"" << text << "\" in:\n" << seen_);
    return {};
  }
  // Sends a signal and returns the exit code (or minus the signal that ended it).
  int end(int signal) {
    ::kill(pid_, signal);
    return wait_exit();
  }
  int wait_exit() {
    int status = 0;
    REQUIRE(::waitpid(std::exchange(pid_, -1), &status, 0) > 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  // nullopt: it still runs.
  std::optional<int> exit_within(std::chrono::milliseconds limit) {
    const auto until = std::chrono::steady_clock::now() + limit;
    while (std::chrono::steady_clock::now() < until) {
      siginfo_t info{};
      REQUIRE(::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0);
      if (info.si_pid != 0) return wait_exit();
      ::poll(nullptr, 0, 10);
    }
    return std::nullopt;
  }
  const std::string& socket() const { return socket_; }

 private:
  pid_t pid_{-1};
  int log_{-1};
  std::string seen_;
  std::string socket_;
};

struct Site {
  TemporaryDirectory directory;
  std::string volume{directory.file("volume")};
  std::string config{directory.file("wardom.toml")};

  explicit Site(const std::string& cluster = "test", const std::string& uuid_line = "") {
    configure(cluster, uuid_line);
  }
  void configure(const std::string& cluster = "test", const std::string& uuid_line = "") const {
    std::ofstream out(config);
    out << "[cluster]\nname = \"" << cluster << "\"\n[volume]\npath = \"" << volume << "\"\n"
        << uuid_line << "[timing]\ndisk_interval = \"100ms\"\n[[domain]]\nname = \"d1\"\nid = 1\n";
    for (int i : {1, 2, 3, 20})
      out << "[[host]]\nname = \"n" << i << "\"\nid = " << i << "\ndomain = \"d1\"\n"
          << "mgmt = \"10.0.0." << i << "\"\nstorage = \"10.1.0." << i << "\"\n";
    out.close();
  }
  void format(const Geometry& g = quick_geometry()) const {
    REQUIRE(disk::format_volume(volume, g).has_value());
  }
  std::string run_dir(const std::string& name) const { return directory.file("run-" + name); }
  wire::CellView slot(std::uint32_t host) const {
    auto opened = disk::VolumeFile::open(volume, disk::Access::read_only, {});
    REQUIRE(opened.has_value());
    const Cell cell{Region::slot, host};
    return disk::read_cells(*opened.value().io(), opened.value().geometry().volume_uuid,
                            opened.value().layout(), std::span(&cell, 1))[0];
  }
};

// A daemon's client whose events can be waited for.
class Daemon {
 public:
  explicit Daemon(const std::string& socket)
      : client_(socket, {[this](port::VolumeReady e) { put(ready_, std::move(e)); },
                         [this](port::ReadDone e) { put(read_, std::move(e)); },
                         [this](port::WriteDone e) { put(write_, std::move(e)); },
                         [this](port::HeartbeatDone e) { put(heartbeat_, e); },
                         [this](port::VolumeLost e) { put(lost_, std::move(e)); },
                         [this](port::Rights e) { put(rights_, e); },
                         [](port::AskStamp) {},
                         [this](port::StartListed e) { put(listed_, std::move(e)); },
                         [this](port::KeeperTroubles e) { put(troubles_, std::move(e)); }}) {}
  port::VolumeReady ready() { return get(ready_); }
  port::HeartbeatDone heartbeat() { return get(heartbeat_); }
  port::VolumeLost lost() { return get(lost_); }
  port::Rights rights() { return get(rights_); }
  // But for that the tests' volume has other lease times than any profile.
  port::KeeperTroubles troubles() {
    auto told = get(troubles_);
    std::erase_if(told.troubles, [](const auto& one) {
      return one.what.find("timing.profile") != std::string::npos;
    });
    return told;
  }
  port::StartListed list_start(std::uint64_t ticket, GuestId guest) {
    client_.list_start(Ticket{ticket}, guest);
    return get(listed_);
  }
  KeeperClient& client() { return client_; }
  port::ReadDone read(std::uint64_t ticket, std::vector<Cell> cells) {
    client_.read(Ticket{ticket}, std::move(cells));
    return get(read_);
  }
  port::WriteDone write(std::uint64_t ticket, Cell cell, wire::Bytes payload) {
    client_.write(Ticket{ticket}, cell, std::move(payload), kFirstLevel);
    return get(write_);
  }
  void publish(std::uint64_t progress, std::optional<LockVersion> votes_under = {}) {
    port::SelfView view;
    view.progress = progress;
    view.votes_under = votes_under;
    client_.publish(view);
  }

 private:
  template <class Event>
  void put(std::optional<Event>& place, Event event) {
    const std::lock_guard lock(mutex_);
    place = std::move(event);
    changed_.notify_all();
  }
  template <class Event>
  Event get(std::optional<Event>& place) {
    std::unique_lock lock(mutex_);
    REQUIRE(changed_.wait_for(lock, kLimit, [&] { return place.has_value(); }));
    return *std::exchange(place, std::nullopt);
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<port::VolumeReady> ready_;
  std::optional<port::ReadDone> read_;
  std::optional<port::WriteDone> write_;
  std::optional<port::HeartbeatDone> heartbeat_;
  std::optional<port::VolumeLost> lost_;
  std::optional<port::Rights> rights_;
  std::optional<port::KeeperTroubles> troubles_;
  std::optional<port::StartListed> listed_;
  KeeperClient client_;
};

// Until the slot's content satisfies `done`; read at intervals, since a disk tells nobody.
template <class Done>
Slot wait_for_slot(const Site& site, std::uint32_t host, Done done) {
  const auto until = std::chrono::steady_clock::now() + kLimit;
  while (std::chrono::steady_clock::now() < until) {
    const auto view = site.slot(host);
    if (view.state == wire::ExtentState::valid) {
      const auto slot = wire::decode_slot(view.payload);
      REQUIRE(slot.has_value());
      if (done(slot.value())) return slot.value();
    }
    ::poll(nullptr, 0, 20);
  }
  FAIL("slot " << host << " did not become as expected");
  return {};
}

// A slot as another machine would have left it, with a lease or without one.
inline void write_slot(const Site& site, std::uint64_t sequence, bool lease = true,
                       bool rides_out = false) {
  auto opened = disk::VolumeFile::open(site.volume, disk::Access::read_write, {});
  REQUIRE(opened.has_value());
  Slot slot;
  slot.state = SlotState::up;
  slot.machine_id.bytes[0] = 42;
  slot.host_name = "other";
  if (lease) {
    slot.t_f_ms = quick_geometry().t_f_ms;
    slot.w_ms = 500;
    slot.rides_out = rides_out;
  }
  wire::Head head;
  head.volume = opened.value().geometry().volume_uuid;
  head.cell = wire::slot_cell(HostId{1});
  head.twin = sequence % 2 == 0 ? wire::kTwinA : wire::kTwinB;
  head.writer = HostId{1};
  head.incarnation = {6, {}};
  head.sequence = Sequence{sequence};
  const auto image = wire::encode_extent(head, wire::encode_slot(slot));
  const auto at = *opened.value().layout().offset(head.cell, head.twin);
  REQUIRE(disk::write_image(*opened.value().io(), at, image));
}

inline wire::Bytes payload_for(Region region) {
  switch (region) {
    case Region::ballot: return wire::encode_ballot({}).value();
    case Region::table: return wire::encode_table({}, 4096).value();
    case Region::decision:
    case Region::superblock:
    case Region::directory:
    case Region::slot: break;
  }
  return wire::encode_decision({LockVersion{4}, {}, {}}, 4096).value();
}

}  // namespace wardom::fixture
