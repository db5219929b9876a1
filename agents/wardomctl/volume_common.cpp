#include "agents/wardomctl/volume_common.hpp"

#include <fcntl.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <iostream>
#include <memory>

#include "libha/core/timing.hpp"
#include "libha/wire/layout.hpp"

namespace wardom::ctl {

Result<OpenedVolume> open_volume(const VolumeOptions& options, disk::Access access) {
  OpenedVolume opened{options.path, nullptr};
  if (opened.path.empty()) {
    auto config = load_config(options.config);
    if (!config) return failure(config.error().message);
    opened.path = config.value().volume.path.string();
  }
  auto volume = disk::VolumeFile::open(opened.path, access, {});
  if (!volume) return failure(volume.error().message);
  opened.volume = std::make_unique<disk::VolumeFile>(std::move(volume).value());
  return opened;
}

std::optional<Cell> named_cell(const VolumeOptions& options, Region region, const Geometry& g) {
  switch (region) {
    case Region::superblock:
      return wire::superblock_cell();
    case Region::directory:
      if (options.domain == 0) return std::nullopt;
      return wire::directory_cell(DomainId{options.domain});
    case Region::ballot:
      if (options.domain == 0 || options.host == 0) return std::nullopt;
      return wire::ballot_cell(g, DomainId{options.domain}, HostId{options.host});
    case Region::slot:
    case Region::decision:
    case Region::table:
      break;
  }
  if (options.host == 0) return std::nullopt;
  return Cell{region, options.host};
}

void give_lease_times(Geometry& geometry, const std::string& profile) {
  const auto timing = timing_of(profile == "fast"       ? Profile::fast
                                : profile == "tolerant" ? Profile::tolerant
                                                        : Profile::normal);
  geometry.t_f_ms = static_cast<std::uint32_t>(whole_ms(timing.feed_window));
  geometry.w_ms = static_cast<std::uint32_t>(whole_ms(timing.watchdog));
}

Result<void> put_on_record(const std::string& path, boost::json::object entry) {
  entry["ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(
                    std::chrono::system_clock::now().time_since_epoch())
                    .count();
  entry["uid"] = ::getuid();
  const auto line = boost::json::serialize(entry) + "\n";
  ::openlog("wardomctl", LOG_PID, LOG_AUTHPRIV);
  ::syslog(LOG_WARNING, "%s", boost::json::serialize(entry).c_str());
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return failure(path + ": " + std::strerror(errno));
  const bool written = ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()) &&
                       ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  if (!written) return failure(path + ": " + std::strerror(error));
  return success();
}

bool watch_for(std::chrono::milliseconds t_f, const std::function<bool()>& seen) {
  constexpr timespec kLookEvery{0, 250'000'000};
  const auto until = disk::raw_now() + t_f * 3 / 8;
  while (disk::raw_now() < until) {
    ::nanosleep(&kLookEvery, nullptr);
    if (seen()) return true;
  }
  return false;
}

int refuse_repair(const std::string& why) { return fail(kRefused, "not repaired: " + why); }

int repair_on_record(const VolumeOptions& options, boost::json::object entry,
                     const std::string& name, const std::function<Result<void>()>& write,
                     const std::string& told) {
  entry["done"] = nullptr;
  if (auto kept = put_on_record(options.audit_file, entry); !kept)
    return fail(kFailed, "not repaired, since it cannot be put on record: " + kept.error().message);
  const auto done = write();
  entry["done"] = done.has_value();
  if (!done) entry["error"] = done.error().message;
  if (auto kept = put_on_record(options.audit_file, entry); !kept)
    std::cerr << "wardomctl: " << kept.error().message << "\n";
  if (!done) return fail(kFailed, name + ": " + done.error().message);
  if (options.as_json)
    std::cout << entry << "\n";
  else
    std::cout << told << "\n";
  return kDone;
}

}  // namespace wardom::ctl
