// ocf:wardom:Guest. Pacemaker runs it with the action as its only argument.
#include <csignal>
#include <cstdio>

#include "ocf/guest_agent.hpp"

int main(int argc, char** argv) {
  const auto began = wardom::ocf::Clock::now();
  std::signal(SIGPIPE, SIG_IGN);
  if (argc != 2) {
    std::fputs("usage: Guest start|stop|monitor|migrate_to|migrate_from|validate-all|"
               "reload-agent|meta-data\n"
               "A resource agent: Pacemaker calls it, with its parameters in OCF_RESKEY_*.\n",
               stderr);
    return wardom::ocf::unimplemented;
  }
  const auto call = wardom::ocf::call_from(argv[1], began, std::chrono::seconds{90});
  return wardom::ocf::run_guest(call);
}
