// ocf:wardom:HostGuard. Pacemaker runs it with the action as its only argument; "supervise" is what
// it starts itself (supervisor.hpp).
#include <csignal>
#include <cstdio>
#include <cstring>

#include "ocf/hostguard_agent.hpp"
#include "ocf/supervisor.hpp"

int main(int argc, char** argv) {
  const auto began = wardom::ocf::Clock::now();
  if (argc > 2 && std::strcmp(argv[1], "supervise") == 0)
    return wardom::ocf::supervise(argc, argv);
  std::signal(SIGPIPE, SIG_IGN);
  if (argc != 2) {
    std::fputs("usage: HostGuard start|stop|monitor|validate-all|reload-agent|meta-data\n"
               "A resource agent: Pacemaker calls it, with its parameters in OCF_RESKEY_*.\n",
               stderr);
    return wardom::ocf::unimplemented;
  }
  const auto call = wardom::ocf::call_from(argv[1], began, std::chrono::seconds{20});
  return wardom::ocf::run_hostguard(call);
}
