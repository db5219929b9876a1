#include "agents/wardomctl/client.hpp"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>

namespace wardom::ctl {

std::string who() {
  const auto* entry = ::getpwuid(::getuid());
  std::string name = entry == nullptr ? "uid " + std::to_string(::getuid()) : entry->pw_name;
  const char* behind = std::getenv("SUDO_USER");
  return behind == nullptr || *behind == '\0' ? name : std::string(behind) + " as " + name;
}

}  // namespace wardom::ctl
