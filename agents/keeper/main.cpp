#include <malloc.h>
#include <sys/mman.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "agents/keeper/keeper.hpp"
#include "agents/keeper/run_versions.hpp"

int main(int argc, char** argv) {
  using namespace wardom::keeper;
  std::signal(SIGPIPE, SIG_IGN);  // a log whose reader is gone
  // One arena for all threads: they allocate little, and each arena of its own costs memory.
  mallopt(M_ARENA_MAX, 1);
  // Whatever it may need when the storage is gone has to be in memory by then. Stacks are small
  // (disk/lane.hpp), since this makes all of each resident.
  const bool locked = ::mlockall(MCL_CURRENT | MCL_FUTURE) == 0;
  auto parsed = parse_options(argc, argv);
  if (!parsed) {
    log(Severity::error, parsed.error().message);
    return 2;
  }
  if (const auto* answer = std::get_if<Answer>(&parsed.value())) {
    std::fputs(answer->text.c_str(), stdout);
    return 0;
  }
  const auto& options = std::get<Options>(parsed.value());
  if (!locked && options.watchdog_device)
    log(Severity::warning, "cannot lock its memory (CAP_IPC_LOCK, LimitMEMLOCK=infinity): a host "
                           "that swaps may be reset");
  const auto identity = read_identity();
  const auto claimed = claim_run_dir(options.run_dir);
  if (!identity || !claimed) {
    log(Severity::error, !identity ? identity.error().message : claimed.error().message);
    return 1;
  }
  if (const auto known = check_run_versions(options.run_dir); !known) {
    log(Severity::error, known.error().message);
    return 1;
  }
  // Never destroyed: a thread that is stuck in the storage may use it until the very end, and must
  // not be waited for.
  auto* const keeper = new Keeper(options, identity.value());
  std::_Exit(keeper->run());
}
