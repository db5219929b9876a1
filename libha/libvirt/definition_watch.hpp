// Tells when libvirtd has rewritten a guest's definition file or its autostart link. libvirt raises
// no event for changes made with `--config` (attach-device, setvcpus, setmem …) nor for autostart,
// so this is the only sign that comes without asking again and again.
#pragma once

#include <functional>
#include <memory>
#include <string>

namespace wardom::libvirt {

class DefinitionWatch {
 public:
  // Called in libvirt's event thread with the guest's name, also a little after the object's end.
  using Touched = std::function<void(const std::string& guest_name)>;

  // Watches `directory` and its `autostart`, through libvirt's event loop. Without such a
  // directory, or without inotify instances left, it stays silent: ok() is false.
  DefinitionWatch(std::string directory, Touched touched);
  ~DefinitionWatch();
  DefinitionWatch(const DefinitionWatch&) = delete;
  DefinitionWatch& operator=(const DefinitionWatch&) = delete;

  bool ok() const { return handle_ >= 0; }

 private:
  struct Watch;
  static void on_readable(int handle, int fd, int events, void* opaque);
  int handle_{-1};
};

}  // namespace wardom::libvirt
