// What Pacemaker hands to a resource agent, and how an agent answers: the Open Cluster Framework's
// Resource Agent API 1.1, as Pacemaker's executor carries it out. One call per process.
//
// The executor kills an agent that is late with SIGKILL, without a warning: so every call has its
// own deadline, some time before that.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace wardom::ocf {

using Clock = std::chrono::steady_clock;

// Exit codes. `configured` bans the resource from every node, `arguments` and `installed` from
// this one; Pacemaker takes `degraded` for a success, and shows it.
enum Code : int {
  success = 0,
  failed = 1,
  arguments = 2,
  unimplemented = 3,
  installed = 5,
  configured = 6,
  not_running = 7,
  degraded = 190,
};

struct Call {
  std::string action;
  std::string instance;              // OCF_RESOURCE_INSTANCE
  Clock::time_point began;
  std::chrono::milliseconds timeout;  // as the executor counts it from `began`
  bool probe{false};                 // a monitor that only asks what is there
  // When the agent has to be done.
  Clock::time_point deadline() const;
  std::chrono::milliseconds left() const;
};

// From the environment. `standard`: the timeout of an action for which none is configured.
Call call_from(const char* action, Clock::time_point began, std::chrono::milliseconds standard);

// OCF_RESKEY_name; nullopt: not set, or empty.
std::optional<std::string> parameter(const char* name);
// nullopt: not a boolean as OCF knows them.
std::optional<bool> flag(const char* name, bool otherwise);

// The line that `pcs status` shows. Pacemaker cuts it at 128 characters, so the start says most.
int fail(Code code, const std::string& reason);

// Where agents keep what is gone with the boot.
std::string note_directory();
// This resource's note there. `agent`: which of the agents keeps it.
std::string note_path(const Call& call, const char* agent);
// The whole file; nullopt where it cannot be read, or is longer than that.
std::optional<std::string> read_file(const std::string& path, std::size_t most);

}  // namespace wardom::ocf
