// libvirt's qemu hook: GUEST OPERATION SUB-OPERATION EXTRA, with the guest's XML on stdin. Asks
// wardomd before a guest comes to life on this host. Exit 1 and a sentence on stderr refuse;
// nothing may go to stdout, which libvirt would take for a changed XML (migrate, restore).
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include "hook.hpp"

namespace {

// What is too large is cut off: it is then no XML, and is judged as such.
std::string read_stdin() {
  std::string text;
  char buffer[16384];
  while (text.size() <= wardom::hook::kMaxStdinBytes) {
    const ssize_t got = read(STDIN_FILENO, buffer, sizeof buffer);
    if (got > 0) {
      text.append(buffer, static_cast<std::size_t>(got));
    } else if (got == 0 || errno != EINTR) {
      break;
    }
  }
  return text;
}

void tell(std::string sentence) {
  sentence += '\n';
  std::string_view left = sentence;
  while (!left.empty()) {
    const ssize_t written = write(STDERR_FILENO, left.data(), left.size());
    if (written <= 0) return;
    left.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    tell("usage: wardom-qemu-hook GUEST OPERATION SUB-OPERATION EXTRA < guest.xml "
         "(libvirt calls this program)");
    return 2;
  }
  const auto operation = wardom::hook::guarded(argv[2], argv[3]);
  if (!operation) return 0;
  const auto places = wardom::hook::places_from(getenv("WARDOM_RUN_DIR"));
  const auto no = wardom::hook::refusal(places, argv[1], *operation, read_stdin());
  if (!no) return 0;
  tell(*no);
  return 1;
}
