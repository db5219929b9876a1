// Real corosyncs for the adapters' suites, each in namespaces of its own, and a CorosyncRing beside
// one of them. Needs root.
#pragma once

#include <catch2/catch.hpp>
#include <mutex>
#include <optional>

#include "libha/corosync/corosync_ring.hpp"
#include "net_hosts.hpp"

namespace corosyncs {

using namespace wardom;
using namespace std::chrono_literals;
using sandbox::Clock;
using sandbox::eventually;

using Ids = std::vector<HostId>;
using Bytes = std::vector<std::uint8_t>;

inline Ids ids(std::initializer_list<int> numbers) {
  Ids out;
  for (int number : numbers) out.push_back(HostId{static_cast<std::uint16_t>(number)});
  return out;
}

// Up to three hosts on one network, each with a corosync that can be started and killed.
class Ring {
 public:
  explicit Ring(int count, std::string provider = "  provider: corosync_votequorum\n")
      : hosts(count, 1, {"/dev/shm", "/run", "/var/lib/corosync"}), daemons_(8) {
    std::string nodes;
    for (int id = 1; id <= count; ++id)
      nodes += "  node {\n    ring0_addr: " + sandbox::Hosts::address(0, id) +
               "\n    nodeid: " + std::to_string(id) + "\n    name: n" + std::to_string(id) +
               "\n  }\n";
    nodes_ = std::move(nodes);
    configure(provider);
  }
  // What stands in the quorum section; read at the start, or by reload().
  void configure(const std::string& provider) {
    config_ = folder_.write("corosync.conf",
        "totem {\n  version: 2\n  cluster_name: contract\n  transport: knet\n"
        "  crypto_cipher: none\n  crypto_hash: none\n  token: 600\n  token_coefficient: 0\n}\n"
        "system {\n  sched_rr: no\n  move_to_root_cgroup: no\n}\n"
        "logging {\n  to_stderr: yes\n  to_syslog: no\n}\n"
        "quorum {\n" + provider + "}\nnodelist {\n" + nodes_ + "}\n");
  }
  void start(int id) {
    daemon(id) = hosts.host(id).start({sandbox::find_program("corosync"), "-f", "-c", config_},
                                      folder_ / ("log" + std::to_string(id)));
  }
  bool reload(int id) {
    return hosts.host(id).run({sandbox::find_program("corosync-cfgtool"), "-R"});
  }
  void kill(int id) { daemon(id).end(SIGKILL); }
  void freeze(int id) { daemon(id).signal(SIGSTOP); }
  void thaw(int id) { daemon(id).signal(SIGCONT); }

  sandbox::Hosts hosts;

 private:
  sandbox::Process& daemon(int id) { return daemons_[static_cast<std::size_t>(id)]; }
  sandbox::Folder folder_;
  std::string config_;
  std::string nodes_;
  std::vector<sandbox::Process> daemons_;
};

// A CorosyncRing inside a host, and everything that it has told.
class Client {
 public:
  Client(const Ring& ring, int host, int self) {
    ring.hosts.host(host).inside([&] {
      RingOptions options;
      options.domain = "contract";
      options.self = HostId{static_cast<std::uint16_t>(self)};
      auto made = CorosyncRing::create(options, events());
      if (made) adapter = std::move(made.value());
    });
    REQUIRE(adapter != nullptr);
  }
  Client(const Ring& ring, int host) : Client(ring, host, host) {}
  ~Client() { adapter.reset(); }  // its thread fills what is below
  bool keep_messages{true};

  template <class Look>
  auto look(Look what) {
    const std::lock_guard lock(mutex_);
    return what(*this);
  }
  bool sees(const Ids& daemons, std::chrono::milliseconds limit = 15s) {
    return eventually(
        [&] {
          return look([&](Client& c) { return !c.members.empty() &&
                                              c.members.back().daemons == daemons; });
        },
        limit);
  }
  bool quorate(bool wanted, std::chrono::milliseconds limit = 15s) {
    return eventually(
        [&] {
          return look([&](Client& c) { return !c.quorum.empty() &&
                                              c.quorum.back().quorate == wanted; });
        },
        limit);
  }
  bool lost_with(const std::string& words, std::chrono::milliseconds limit = 5s) {
    return eventually(
        [&] {
          return look([&](Client& c) {
            return !c.lost.empty() && c.lost.back().find(words) != std::string::npos;
          });
        },
        limit);
  }
  bool hears(std::size_t count, std::chrono::milliseconds limit = 5s) {
    return eventually([&] { return look([&](Client& c) { return c.messages.size() >= count; }); },
                      limit);
  }

  std::unique_ptr<CorosyncRing> adapter;
  std::vector<port::RingMembers> members;
  std::vector<port::RingQuorum> quorum;
  std::vector<port::RingMessage> messages;
  std::vector<std::string> lost;

 private:
  port::RingEvents events() {
    return {[this](port::RingMembers e) { keep(members, e); },
            [this](port::RingQuorum e) { keep(quorum, e); },
            [this](port::RingMessage e) {
              if (keep_messages) keep(messages, e);
            },
            [this](port::RingLost e) { keep(lost, e.reason); }};
  }
  template <class Event>
  void keep(std::vector<Event>& into, const Event& event) {
    const std::lock_guard lock(mutex_);
    into.push_back(event);
  }
  std::mutex mutex_;
};

inline bool possible(const Ring* ring = nullptr) {
  std::string why;
  if (!sandbox::is_root()) why = "corosync in namespaces needs root";
  else if (sandbox::find_program("corosync").empty()) why = "corosync is not installed";
  else if (sandbox::find_program("ip").empty()) why = "ip is not installed (package iproute2)";
  else if (ring != nullptr && !ring->hosts.usable()) why = "this machine forbids namespaces";
  if (!why.empty()) sandbox::say_skipped(why);
  return why.empty();
}

inline Bytes text(const std::string& words) { return {words.begin(), words.end()}; }

}  // namespace corosyncs
