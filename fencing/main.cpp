// fence_wardom: a fence agent over Wardom's proofs. Pacemaker's fencer runs it for each action.
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "fencing/actions.hpp"
#include "fencing/parameters.hpp"
#include "fencing/said.hpp"

namespace {

using wardom::fencing::Clock;

// The fencer writes its lines and closes at once.
constexpr std::chrono::seconds kInputPatience{10};

// Until its end, or until there is more than can be meant.
wardom::Result<std::string> standard_input(Clock::time_point began) {
  std::string text;
  std::array<char, 4096> buffer;
  while (text.size() <= wardom::fencing::kMaxInputBytes) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(began + kInputPatience - Clock::now());
    pollfd one{STDIN_FILENO, POLLIN, 0};
    const int ready = left.count() <= 0 ? 0 : ::poll(&one, 1, static_cast<int>(left.count()));
    if (ready == 0) return wardom::failure("standard input does not end; see --help");
    if (ready < 0 && errno == EINTR) continue;
    const auto got = ready < 0 ? -1 : ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return wardom::failure("standard input cannot be read");
    if (got == 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return text;
}

wardom::Result<wardom::fencing::Request> asked(int argc, char** argv, Clock::time_point began) {
  if (argc > 1) return wardom::fencing::from_options({argv + 1, argv + argc});
  auto text = standard_input(began);
  if (!text) return text.error();
  return wardom::fencing::from_lines(text.value());
}

}  // namespace

int main(int argc, char** argv) {
  const auto began = Clock::now();
  std::signal(SIGPIPE, SIG_IGN);  // the fencer may be gone
  const auto request = asked(argc, argv, began);
  const int code = request ? wardom::fencing::run(request.value(), began)
                           : wardom::fencing::failed(request.error().message);
  const bool written = std::fflush(stdout) == 0;
  // Sessions with BMCs end by themselves: nothing may hold the answer up.
  ::_exit(code == 0 && !written ? 1 : code);
}
