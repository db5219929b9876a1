// What libvirt's qemu hook decides (libvirt docs/hooks.rst). The hook never calls libvirt, which
// waits for it and would deadlock.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace wardom::hook {

inline constexpr std::size_t kMaxStdinBytes = 1024 * 1024;
inline constexpr std::size_t kMaxReplyBytes = 16 * 1024;
inline constexpr std::size_t kMaxListBytes = 1024 * 1024;  // about 28,000 protected guests
inline constexpr std::chrono::milliseconds kDeadline{2000};

struct Places {
  std::string socket{"/run/wardom/wardomd.sock"};
  std::string protected_list{"/var/lib/wardom/protected"};  // core/local_formats.hpp
};
// With WARDOM_RUN_DIR set (tests), both lie there. libvirtd hands its hooks a clean environment, so
// nobody can set this from outside.
Places places_from(const char* run_dir);

// "start", "migrate" or "restore" for the operations that bring a guest to life here; nullopt for
// all others, which are none of our business.
std::optional<std::string_view> guarded(std::string_view operation, std::string_view sub_operation);

// What the XML on stdin tells. `known` is false for XML that cannot be read.
struct Guest {
  bool known{false};
  std::string uuid;  // empty when unknown
  bool marked{false};
};
Guest guest_from(std::string_view xml);

// True when the list names the guest. With an unknown guest: when any listed UUID stands somewhere
// in its XML, for a doubt about a protected guest is not resolved by starting it.
bool is_listed(std::string_view list, const Guest& guest, std::string_view xml);

std::string request(const Guest& guest, std::string_view name, std::string_view operation);

struct Reply {
  bool ok{false};
  std::string error;
};
// nullopt: not an answer that this hook understands.
std::optional<Reply> parse_reply(std::string_view line);

// Asks wardomd; nullopt when it is away, or silent until the deadline. `why` then says which.
std::optional<Reply> ask(const std::string& socket, const std::string& line,
                         std::chrono::milliseconds deadline, std::string& why);

// The whole decision. nullopt: allowed. Else the sentence that libvirt shows to who asked.
std::optional<std::string> refusal(const Places& places, std::string_view name,
                                   std::string_view operation, std::string_view xml,
                                   std::chrono::milliseconds deadline = kDeadline);

}  // namespace wardom::hook
