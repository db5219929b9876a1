#include "libha/libvirt/definition_watch.hpp"

#include <libvirt/libvirt.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cstring>
#include <string_view>
#include <utility>

namespace wardom::libvirt {
namespace {

// libvirtd writes NAME.xml.new and renames it; autostart links come and go.
constexpr std::uint32_t kFileEvents = IN_MOVED_TO | IN_CREATE;
constexpr std::uint32_t kLinkEvents = IN_CREATE | IN_DELETE | IN_MOVED_TO;
constexpr std::string_view kSuffix = ".xml";
constexpr std::string_view kAutostart = "autostart";

}  // namespace

struct DefinitionWatch::Watch {
  std::string directory;
  Touched touched;
  int fd;

  void watch_autostart() {
    inotify_add_watch(fd, (directory + "/" + std::string(kAutostart)).c_str(),
                      kLinkEvents | IN_ONLYDIR);
  }
  Watch(std::string d, Touched t, int f) : directory(std::move(d)), touched(std::move(t)), fd(f) {}
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() { close(fd); }
};

DefinitionWatch::DefinitionWatch(std::string directory, Touched touched) {
  const int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0) return;
  auto watch = std::make_unique<Watch>(std::move(directory), std::move(touched), fd);
  if (inotify_add_watch(fd, watch->directory.c_str(), kFileEvents | IN_ONLYDIR) < 0) return;
  watch->watch_autostart();
  handle_ = virEventAddHandle(fd, VIR_EVENT_HANDLE_READABLE, on_readable, watch.get(),
                              [](void* opaque) { delete static_cast<Watch*>(opaque); });
  if (handle_ >= 0) watch.release();  // freed by the event loop, once no call can come any more
}

DefinitionWatch::~DefinitionWatch() {
  if (handle_ >= 0) virEventRemoveHandle(handle_);
}

void DefinitionWatch::on_readable(int, int fd, int, void* opaque) {
  auto& watch = *static_cast<Watch*>(opaque);
  alignas(inotify_event) char buffer[4096];
  const ssize_t got = read(fd, buffer, sizeof buffer);
  for (ssize_t at = 0; at < got;) {
    inotify_event event;
    std::memcpy(&event, buffer + at, sizeof event);
    // The kernel pads the name with NUL bytes; an event without a name has length 0.
    const char* name_begin = buffer + at + sizeof event;
    const std::string_view name(name_begin, strnlen(name_begin, event.len));
    if (name == kAutostart && (event.mask & IN_ISDIR)) watch.watch_autostart();
    if (name.ends_with(kSuffix) && name.size() > kSuffix.size())
      watch.touched(std::string(name.substr(0, name.size() - kSuffix.size())));
    at += static_cast<ssize_t>(sizeof event + event.len);
  }
}

}  // namespace wardom::libvirt
