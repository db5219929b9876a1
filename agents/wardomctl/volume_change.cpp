// `wardomctl volume move` and `volume profile`: changes the volume as a whole while its hosts live.
// What the superblocks say decides at any moment whether the change is done; see
// libha/doc/decisions/0015-a-volume-is-changed-only-while-all-hold.md.
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>

#include "agents/wardomctl/table.hpp"
#include "agents/wardomctl/volume_common.hpp"
#include "agents/wardomctl/volume_json.hpp"
#include "libha/core/check.hpp"
#include "libha/core/timing.hpp"
#include "libha/disk/format.hpp"
#include "libha/disk/hold.hpp"
#include "libha/disk/survey.hpp"
#include "libha/proc/descriptor.hpp"
#include "libha/wire/slot.hpp"

namespace wardom::ctl {
namespace {

namespace json = boost::json;
using disk::Holder;
using disk::raw_now;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr timespec kLookEvery{0, 200'000'000};
constexpr Duration kStorageTakes = seconds{10};  // besides what the lease times say

volatile sig_atomic_t interrupted = 0;

// Until the change is decided, an interrupted command undoes it.
class Interrupts {
 public:
  Interrupts() {
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = 1; };
    for (const int number : kSignals) ::sigaction(number, &action, nullptr);
  }
  ~Interrupts() {
    for (const int number : kSignals) ::signal(number, SIG_DFL);
  }
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
};

int refuse(const std::string& why) { return fail(kRefused, why); }

void tell(const std::string& what) { std::cerr << what << "\n" << std::flush; }

std::string name_of(const Holder& one) {
  return (one.name.empty() ? "host " + std::to_string(one.host.value) : printable(one.name)) +
         " (slot " + std::to_string(one.host.value) + ")";
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::uint64_t new_change() {
  std::uint64_t number = 0;
  while (number == 0)
    WARDOM_CHECK(::getrandom(&number, sizeof number, 0) == static_cast<ssize_t>(sizeof number));
  return number;
}

std::string target_text(const VolumeState& state) {
  return state.path.empty() ? "for a change of its lease times" : "for the move to " + state.path;
}

std::string use_text(const VolumeState& state) {
  switch (state.use) {
    case VolumeUse::in_use: return "it is in use";
    case VolumeUse::held: return "it is held " + target_text(state);
    case VolumeUse::incoming: return "it is being filled with what " + state.path + " holds";
    case VolumeUse::moved: return "it was moved to " + state.path;
  }
  return "?";
}

// One command of this kind at a time on this host: whoever gets it knows that an earlier one of
// this boot has ended, with all its I/O.
class OnlyOne {
 public:
  OnlyOne() : file_(::open(kPath, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    if (file_.get() < 0)
      trouble_ = std::string(kPath) + ": " + std::strerror(errno);
    else if (::flock(file_.get(), LOCK_EX | LOCK_NB) != 0)
      trouble_ = "another command changes the volume from this host; wait for it, or end it";
  }
  const std::string& trouble() const { return trouble_; }

 private:
  static constexpr const char* kPath = "/run/wardom-volume-change.lock";
  proc::Descriptor file_;
  std::string trouble_;
};

std::string own_name() {
  char name[HOST_NAME_MAX + 1]{};
  if (::gethostname(name, sizeof name - 1) != 0) return {};
  return std::string(name).substr(0, wire::kMaxHostNameBytes);
}

Bits128 own_boot() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string text;
  std::getline(file, text);
  return parse_bits(text).value_or(Bits128{});
}

// Which slots move: each is compared with what it was when this was asked about it first.
class Motion {
 public:
  bool moves(const Holder& one) {
    const auto first = first_.try_emplace(one.host, one.sequence).first;
    return first->second != one.sequence;
  }

 private:
  std::map<HostId, Sequence> first_;
};

// One change of one volume.
class Change {
 public:
  Change(const VolumeOptions& options, OpenedVolume old, Config config)
      : options_(options),
        old_(std::move(old)),
        config_(std::move(config)),
        geometry_(old_.volume->geometry()),
        found_(old_.volume->state()) {}

  int move();
  int profile();
  int abandon();

 private:
  // Each of these: kDone, or what the command ends with.
  int may_begin();
  int may_overwrite(const std::string& path) const;
  int make_new(const std::string& path);
  int begin();
  int end_interrupted();
  int wait_for_all();
  int still_beating();
  int commit(const wire::Superblock& to);
  int decided(const VolumeState& moved);
  int give_up(int code, const std::string& why);
  int report(const char* state);

  VolumeState new_state(const std::string& path) const {
    return {VolumeUse::held, new_change(), path, own_name(), own_boot()};
  }
  bool excused(const Holder& one);
  void wait_for_takers();
  void wait_for_hosts(const disk::VolumeFile& volume);
  void spoil_new() const;
  Result<void> on_record(const char* what) const;
  void tell_record(const char* what) const;
  wire::Superblock held() const { return {geometry_, state_}; }
  Duration t_f() const { return milliseconds{geometry_.t_f_ms}; }
  disk::BlockIo& io() { return *old_.volume->io(); }

  const VolumeOptions& options_;
  OpenedVolume old_;
  Config config_;
  Geometry geometry_;
  VolumeState found_;  // as the volume was when the command began
  VolumeState state_;  // held, for this change
  Geometry to_;        // of the new volume, or as this one is to be
  Motion motion_;                  // since the command began
  std::vector<std::string> gone_;  // hosts that need not hold
};

// It left, or is proved dead, or an operator says that it is gone for good; and its slot stands
// still: a released host lives on under a verdict until it begins anew.
bool Change::excused(const Holder& one) {
  const bool moves = motion_.moves(one);
  const bool told = std::find(options_.gone.begin(), options_.gone.end(), one.host.value) !=
                    options_.gone.end();
  return (one.left || told) && !moves;
}

// --- before the volume is held

int Change::may_begin() {
  const auto report = disk::check_volume(*old_.volume);
  if (!report.damages.empty())
    return refuse(old_.path + ": " + std::to_string(report.damages.size()) +
                  " extents are damaged; see `wardomctl volume check`, and repair them first");
  if (auto ok = disk::can_copy(*old_.volume, to_); !ok) return refuse(ok.error().message);
  // A host that dies now is to be recovered first: while the volume is held, nobody decides.
  const auto until = raw_now() + t_f() / 2;
  std::vector<std::string> silent;
  bool votes = false;
  for (bool again = false;; again = true) {
    if (again) ::nanosleep(&kLookEvery, nullptr);
    silent.clear();
    for (const auto& one : disk::holders(*old_.volume, 0)) {
      if (!one.trouble.empty()) return refuse(name_of(one) + ": " + one.trouble);
      votes = votes || one.votes;
      if (!excused(one) && !motion_.moves(one)) silent.push_back(name_of(one));
    }
    if (silent.empty()) break;
    if (interrupted) return refuse("interrupted; nothing was changed");
    if (raw_now() >= until)
      return refuse(joined(silent) + ": no heartbeat, and not proved dead. Wait until the domain "
                    "has decided about that host (`wardomctl status`), bring it back, or say "
                    "--gone with its id if it is gone for good; nothing was changed");
  }
  if (votes)
    tell("corosync's quorum device casts no vote while the volume is held: a ring without a "
         "majority of its own loses quorum meanwhile");
  return kDone;
}

// Of a command that has ended, for certain: the change is undone, and made from the beginning.
int Change::end_interrupted() {
  const bool same = found_.by == own_name() && found_.boot_id == own_boot();
  if (!same && !options_.other_is_gone)
    return refuse(old_.path + ": is held " + target_text(found_) + " by a command on " +
                  printable(found_.by) + ", of which nothing can be seen from here, or of an "
                  "earlier boot. Go on there; or, if that command has ended for certain, here "
                  "with --other-is-gone");
  state_ = new_state(found_.path);
  if (auto done = disk::change_superblocks(io(), old_.path, {geometry_, found_}, held()); !done)
    return fail(kFailed, done.error().message);
  // What it had in flight when its host went may land yet.
  const auto late = same ? Duration{} : counted_by_clock(milliseconds{geometry_.l_late_ms});
  const auto until = raw_now() + late;
  wait_for_takers();
  while (raw_now() < until) ::nanosleep(&kLookEvery, nullptr);
  if (auto done = disk::change_superblocks(io(), old_.path, held(), {geometry_, {}}); !done)
    return fail(kFailed, done.error().message);
  tell_record("is abandoned");
  spoil_new();
  found_ = {};
  return kDone;
}

int Change::begin() {
  if (auto kept = on_record("begins"); !kept)
    return fail(kFailed, "not begun, since it cannot be put on record: " + kept.error().message);
  if (interrupted) return fail(kFailed, "interrupted; nothing was changed");
  if (auto done = disk::change_superblocks(io(), old_.path, {geometry_, {}}, held()); !done) {
    const auto now = disk::read_superblocks(io(), old_.path);
    if (now && now.value().state.use != VolumeUse::in_use && now.value().state != state_)
      return fail(kFailed, done.error().message + ": " + use_text(now.value().state));
    return give_up(kFailed, done.error().message);
  }
  return kDone;
}

// --- while it is held

int Change::wait_for_all() {
  const bool moves = !state_.path.empty();
  // A host looks at the superblocks every T_F/4, what it has in flight may take L_late, and its
  // daemon T_F to be gone.
  const auto until = raw_now() + 2 * t_f() + milliseconds{geometry_.l_late_ms} + kStorageTakes;
  std::string told;
  for (;;) {
    std::vector<std::string> missing;
    std::size_t all = 0;
    gone_.clear();
    for (const auto& one : disk::holders(*old_.volume, state_.change)) {
      if (excused(one)) {
        gone_.push_back(name_of(one) + ", " + (one.left ? one.left_how : "gone, you say"));
        continue;
      }
      ++all;
      if (!one.trouble.empty())
        missing.push_back(name_of(one) + ": " + one.trouble);
      else if (!one.holds)
        missing.push_back(name_of(one));
      else if (moves && !one.reaches)
        missing.push_back(name_of(one) + " cannot use " + state_.path + " yet");
    }
    const auto now = std::to_string(all - missing.size()) + " of " + std::to_string(all) +
                     " hosts hold" + (missing.empty() ? "" : "; waits for " + joined(missing));
    if (now != std::exchange(told, now)) tell(now);
    if (missing.empty()) return kDone;
    if (interrupted) return give_up(kFailed, "interrupted");
    if (const auto said = disk::read_superblocks(io(), old_.path);
        said && said.value().state != state_)
      return fail(kFailed, old_.path + ": somebody else has changed it meanwhile: " +
                               use_text(said.value().state));
    if (raw_now() >= until)
      return give_up(kFailed, "not all hosts hold: " + joined(missing) +
                                  "; see `wardomctl status` and wardom-keeper's log there");
    ::nanosleep(&kLookEvery, nullptr);
  }
}

// A host that is away does not hold this up for ever.
void Change::wait_for_takers() {
  const auto until = raw_now() + t_f();
  for (bool all = false; !all && raw_now() < until;) {
    ::nanosleep(&kLookEvery, nullptr);
    const auto now = disk::holders(*old_.volume, state_.change);
    all = std::all_of(now.begin(), now.end(), [&](const Holder& one) {
      return one.left || one.holds;
    });
  }
}

int Change::give_up(int code, const std::string& why) {
  if (auto done = disk::change_superblocks(io(), old_.path, held(), {geometry_, {}}); !done)
    return fail(kFailed, why + "; and it cannot be undone: " + done.error().message + ". " +
                             old_.path + " may be HELD: its guests run unprotected. Run `wardomctl "
                             "volume move --abandon` (or the same command again) once it can be "
                             "written");
  tell_record("is abandoned");
  spoil_new();
  return fail(code, why + "; abandoned: " + old_.path + " is in use as before");
}

// Before the volume is held: that takes its time.
int Change::make_new(const std::string& path) {
  tell("lays out " + path);
  auto incoming = state_;
  incoming.use = VolumeUse::incoming;
  incoming.path = old_.path;
  const auto space = options_.sparse ? disk::Space::sparse : disk::Space::allocated;
  if (auto done = disk::format_volume(path, to_, space, incoming); !done)
    return fail(kFailed, done.error().message + "; nothing else was changed");
  return kDone;
}

// A new volume that nobody will use says so: it has no superblocks.
void Change::spoil_new() const {
  if (state_.path.empty()) return;
  const auto opened = disk::VolumeFile::open(state_.path, disk::Access::read_write, {});
  if (!opened || opened.value().state().use != VolumeUse::incoming ||
      opened.value().state().path != old_.path)
    return;
  const disk::Buffer zeros(wire::kBlockBytes);
  for (const auto at : wire::kSuperblockOffsets)
    (void)opened.value().io()->write(at, zeros.bytes());
}

// Who died since it said that it holds is to be recovered first.
int Change::still_beating() {
  Motion since;
  const auto until = raw_now() + t_f() / 2;
  for (;;) {
    std::vector<std::string> silent;
    for (const auto& one : disk::holders(*old_.volume, state_.change)) {
      if (excused(one)) continue;
      if (!one.holds) return give_up(kFailed, name_of(one) + " does not hold any more");
      if (!since.moves(one)) silent.push_back(name_of(one));
    }
    if (silent.empty()) return kDone;
    if (interrupted) return give_up(kFailed, "interrupted");
    if (raw_now() >= until)
      return give_up(kFailed, joined(silent) + ": no heartbeat any more");
    ::nanosleep(&kLookEvery, nullptr);
  }
}

// Nobody but this command writes to either volume now. Whoever came since holds, too.
int Change::commit(const wire::Superblock& to) {
  if (const int code = still_beating(); code != kDone) return code;
  auto done = disk::change_superblocks(io(), old_.path, held(), to);
  if (done) return kDone;
  // Part of it may stand there; what the majority says counts.
  const auto now = disk::read_superblocks(io(), old_.path);
  return fail(kFailed, done.error().message + "; " + old_.path + ": " +
                           (now ? use_text(now.value().state) : "cannot be read") +
                           "; guests run unprotected until you have run the same command again");
}

// --- the two changes

int Change::move() {
  const auto& path = options_.path;
  if (found_.use == VolumeUse::moved) {
    if (found_.path != path)
      return refuse(old_.path + ": was moved to " + found_.path + " already");
    return decided(found_);
  }
  if (found_.use == VolumeUse::incoming) return refuse(old_.path + ": " + use_text(found_));
  to_ = geometry_;
  if (options_.hosts != 0) to_.hosts = options_.hosts;
  if (options_.domains != 0) to_.domains = options_.domains;
  if (to_.hosts < geometry_.hosts || to_.domains < geometry_.domains)
    return fail(kUsage, "the new volume cannot have room for fewer hosts or domains than the old "
                        "one: " + std::to_string(geometry_.hosts) + " and " +
                            std::to_string(geometry_.domains));
  if (auto ok = wire::check_geometry(to_); !ok) return fail(kUsage, ok.error().message);
  if (!std::filesystem::path(path).is_absolute() || path.size() > kMaxVolumePathBytes)
    return fail(kUsage, path + ": give an absolute path of at most " +
                            std::to_string(kMaxVolumePathBytes) +
                            " bytes, under which every host finds the new volume");
  if (found_.use == VolumeUse::held)
    if (const int code = end_interrupted(); code != kDone) return code;
  if (const auto room = disk::check_room(path, wire::Layout(to_).size()); !options_.sparse && !room)
    return fail(kFailed, room.error().message);
  if (const int code = may_overwrite(path); code != kDone) return code;
  if (const int code = may_begin(); code != kDone) return code;
  state_ = new_state(path);
  if (const int code = make_new(path); code != kDone) return code;
  // The same device under two names would have lost its own superblocks by now.
  if (const auto now = disk::read_superblocks(io(), old_.path);
      !now || now.value().state != VolumeState{})
    return fail(kFailed, old_.path + " changed when " + path +
                             " was laid out: are both the same device?");
  if (const int code = begin(); code != kDone) return code;
  if (const int code = wait_for_all(); code != kDone) return code;
  const auto opened = disk::VolumeFile::open(path, disk::Access::read_write, {});
  if (!opened) return give_up(kFailed, opened.error().message);
  tell("copies");
  if (auto done = disk::copy_cells(*old_.volume, opened.value(),
                                   [](std::size_t, std::size_t) { return interrupted == 0; });
      !done)
    return give_up(kFailed, done.error().message);
  auto moved = state_;
  moved.use = VolumeUse::moved;
  if (const int code = commit({geometry_, moved}); code != kDone) return code;
  return decided(moved);
}

// kDone: there is nothing, or what an interrupted move left, or --force says so.
int Change::may_overwrite(const std::string& path) const {
  if (const auto twin = disk::VolumeFile::open(path, disk::Access::read_only, {});
      twin && twin.value().geometry().volume_uuid == geometry_.volume_uuid) {
    const auto& state = twin.value().state();
    if (state.use == VolumeUse::incoming && state.path == old_.path) return kDone;
    return refuse(path + ": is this very volume, or a copy of it that no interrupted move left; "
                  "nothing was changed");
  }
  const auto there = disk::inspect(path);
  if (!there) return fail(kFailed, there.error().message);
  const auto& found = there.value();
  if (found.empty || (options_.force && !found.moving)) return kDone;
  return refuse(path + " holds " + found.what +
                (found.moving ? ", and a living cluster uses it"
                              : "; to lose all of that, say --force") +
                "; nothing was changed");
}

// The old volume says that the new one has taken its place: that is finished, whoever began it.
int Change::decided(const VolumeState& moved) {
  auto opened = disk::VolumeFile::open(moved.path, disk::Access::read_write, {});
  const auto again = "; the move is decided: run the same command again when that is mended. The "
                     "guests run unprotected until then";
  if (!opened) return fail(kFailed, opened.error().message + again);
  const auto& volume = opened.value();
  const auto& state = volume.state();
  if (volume.geometry().volume_uuid != geometry_.volume_uuid)
    return fail(kFailed, moved.path + ": is another volume" + again);
  if (state.use == VolumeUse::incoming && state.change == moved.change) {
    if (auto done = disk::change_superblocks(*volume.io(), moved.path,
                                             {volume.geometry(), state}, {volume.geometry(), {}});
        !done)
      return fail(kFailed, done.error().message + again);
    state_ = state;
    tell_record("is done");
    wait_for_hosts(volume);
  } else if (state.use == VolumeUse::incoming) {
    return refuse(moved.path + ": " + use_text(state) + ", for another move");
  }
  return report("moved");
}

int Change::profile() {
  to_ = geometry_;
  give_lease_times(to_, options_.new_profile);
  const Duration new_t_f = milliseconds{to_.t_f_ms};
  if (found_.use == VolumeUse::moved || found_.use == VolumeUse::incoming)
    return refuse(old_.path + ": " + use_text(found_) + "; name the one that is in use");
  if (found_.use == VolumeUse::in_use && to_ == geometry_) {
    tell(old_.path + ": has the profile " + options_.new_profile + " already");
    return report("unchanged");
  }
  if (new_t_f <= 8 * config_.timing.disk_interval)
    return refuse(options_.config + ": timing.disk_interval is " +
                  to_text(config_.timing.disk_interval) + ", and with the profile " +
                  options_.new_profile + " it must be below T_F/8 = " + to_text(new_t_f / 8) +
                  "; set timing.profile there first, on all hosts, and restart wardom-keeper");
  if (found_.use == VolumeUse::held)
    if (const int code = end_interrupted(); code != kDone) return code;
  if (const int code = may_begin(); code != kDone) return code;
  state_ = new_state("");
  if (const int code = begin(); code != kDone) return code;
  if (const int code = wait_for_all(); code != kDone) return code;
  if (const int code = commit({to_, {}}); code != kDone) return code;
  tell_record("is done");
  geometry_ = to_;
  wait_for_hosts(*old_.volume);
  if (config_.timing.feed_window != new_t_f)
    tell(options_.config + ": timing.profile is another one. Set it to \"" + options_.new_profile +
         "\" on all hosts and restart wardomd there: until then no silence proves a host dead");
  return report("changed");
}

int Change::abandon() {
  if (found_.use == VolumeUse::moved)
    return refuse(old_.path + ": was moved to " + found_.path +
                  ", and that is decided; complete it with `wardomctl volume move " + found_.path +
                  "`");
  if (found_.use == VolumeUse::incoming) return refuse(old_.path + ": " + use_text(found_));
  if (found_.use == VolumeUse::held) {
    if (const int code = end_interrupted(); code != kDone) return code;
    return report("abandoned");
  }
  // One copy may still say what was not begun.
  const wire::Superblock in_use{geometry_, {}};
  if (auto done = disk::change_superblocks(io(), old_.path, in_use, in_use); !done)
    return fail(kFailed, done.error().message);
  tell(old_.path + ": is in use, no change is under way");
  return report("unchanged");
}

// Until the hosts beat with their leases again; a host that does not come has a message of its own.
void Change::wait_for_hosts(const disk::VolumeFile& volume) {
  Motion since;
  const auto until = raw_now() + t_f() + kStorageTakes;
  std::vector<std::string> missing;
  do {
    ::nanosleep(&kLookEvery, nullptr);
    missing.clear();
    for (const auto& one : disk::holders(volume, state_.change)) {
      if (excused(one)) continue;
      const bool moves = since.moves(one);
      if (one.holds || !moves) missing.push_back(name_of(one));
    }
  } while (!missing.empty() && raw_now() < until && !interrupted);
  if (!missing.empty())
    tell(joined(missing) + ": not back yet; what runs there is without protection until "
         "then. See wardom-keeper's log there");
}

int Change::report(const char* state) {
  const bool moved = std::string_view(state) == "moved";
  if (options_.as_json) {
    json::array gone(gone_.begin(), gone_.end());
    std::cout << json::object{{"state", state},
                              {"path", old_.path},
                              {"new_path", moved ? json::value(options_.path) : json::value()},
                              {"without", std::move(gone)}}
              << "\n";
    return kDone;
  }
  for (const auto& one : gone_) std::cout << "without " << one << "\n";
  if (moved)
    std::cout << "moved: " << options_.path << " has taken the place of " << old_.path
              << "\nnow set volume.path to it in wardom.toml on every host; keep " << old_.path
              << " readable until then\n";
  else
    std::cout << old_.path << ": " << state << "\n";
  return kDone;
}

Result<void> Change::on_record(const char* what) const {
  const json::object entry{{"do", state_.path.empty() ? "volume-profile" : "volume-move"},
                           {"path", old_.path},
                           {"uuid", to_uuid(geometry_.volume_uuid)},
                           {"to", state_.path.empty() ? options_.new_profile : state_.path},
                           {"change", state_.change},
                           {"what", what}};
  return put_on_record(options_.audit_file, entry);
}

void Change::tell_record(const char* what) const {
  if (auto kept = on_record(what); !kept) tell("wardomctl: " + kept.error().message);
}

int with_change(const VolumeOptions& options, const std::string& old_path,
                const std::function<int(Change&)>& run) {
  auto config = load_config(options.config);
  if (!config) return fail(kUsage, config.error().message);
  VolumeOptions of_old;
  of_old.path = old_path.empty() ? config.value().volume.path.string() : old_path;
  const OnlyOne only;
  if (!only.trouble().empty()) return refuse(only.trouble());
  auto opened = open_volume(of_old, disk::Access::read_write);
  if (!opened) return fail(kFailed, opened.error().message);
  const Interrupts interrupts;
  Change change(options, std::move(opened).value(), std::move(config).value());
  return run(change);
}

}  // namespace

int volume_move(const VolumeOptions& options) {
  if (options.abandon != options.path.empty())
    return fail(kUsage, "give the new volume's path, or --abandon alone");
  return with_change(options, options.from, [&](Change& change) {
    return options.abandon ? change.abandon() : change.move();
  });
}

int volume_profile(const VolumeOptions& options) {
  if (options.abandon != options.new_profile.empty())
    return fail(kUsage, "give the new profile (fast, default or tolerant), or --abandon alone");
  return with_change(options, options.path, [&](Change& change) {
    return options.abandon ? change.abandon() : change.profile();
  });
}

}  // namespace wardom::ctl
