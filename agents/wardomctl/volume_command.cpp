#include "agents/wardomctl/volume_command.hpp"

#include <sys/random.h>
#include <sys/vfs.h>

#include <boost/json.hpp>
#include <chrono>
#include <iostream>
#include <memory>

#include "agents/wardomctl/client.hpp"
#include "agents/wardomctl/table.hpp"
#include "libha/config/config.hpp"
#include "libha/core/check.hpp"
#include "libha/core/timing.hpp"
#include "libha/disk/format.hpp"
#include "libha/disk/survey.hpp"

namespace wardom::ctl {
namespace {

namespace json = boost::json;

constexpr long kNfsMagic = 0x6969;  // statfs(2), NFS_SUPER_MAGIC

// What the command line said; one of the three subcommands runs.
struct VolumeOptions {
  std::string path;
  std::string config{kDefaultConfigFile};
  bool as_json{false};
  std::uint32_t hosts{0};
  std::uint32_t domains{0};
  std::string profile{"default"};
  std::uint64_t table_bytes{wire::kDefaultTableBlocks * wire::kBlockBytes};
  std::string cluster;
  double late_s{-1};
  double late_after_off_s{0};
  bool force{false};
  bool destroy_living{false};
};

int fail(int code, const std::string& message) {
  std::cerr << "wardomctl: " << message << "\n";
  return code;
}

std::uint32_t to_ms(double seconds) { return static_cast<std::uint32_t>(seconds * 1000 + 0.5); }
double to_s(std::int64_t ms) { return static_cast<double>(ms) / 1000; }

// The sums of the lease rule for a volume's profile.
struct Sums {
  std::int64_t d_ms;       // D: silence that proves a lease expired
  std::int64_t starts_ms;  // D + L_late: when guests of a host without power proof may start
};

Sums sums_of(const Geometry& g) {
  Timing timing;
  timing.feed_window = std::chrono::milliseconds{g.t_f_ms};
  timing.watchdog = std::chrono::milliseconds{g.w_ms};
  const auto d = std::chrono::ceil<std::chrono::milliseconds>(lease_silence(timing)).count();
  return {d, d + g.l_late_ms};
}

json::object to_json(const std::string& path, const Geometry& g) {
  const auto sums = sums_of(g);
  return {{"path", path},
          {"uuid", to_uuid(g.volume_uuid)},
          {"cluster", g.cluster},
          {"format_version", wire::kFormatVersion},
          {"formatted_ms", g.formatted.ms},
          {"hosts", g.hosts},
          {"domains", g.domains},
          {"size_bytes", wire::Layout(g).size()},
          {"table_bytes", g.table_blocks * wire::kBlockBytes},
          {"decision_bytes", g.decision_blocks * wire::kBlockBytes},
          {"profile", {{"t_f_s", to_s(g.t_f_ms)},
                       {"w_s", to_s(g.w_ms)},
                       {"d_s", to_s(sums.d_ms)},
                       {"l_late_s", to_s(g.l_late_ms)},
                       {"l_late_after_off_s", to_s(g.l_late_after_off_ms)},
                       {"d_and_l_late_s", to_s(sums.starts_ms)}}}};
}

std::string size_text(std::uint64_t bytes) {
  constexpr std::uint64_t kMiB = 1024 * 1024;
  if (bytes % kMiB == 0 || bytes > 16 * kMiB)
    return std::to_string((bytes + kMiB - 1) / kMiB) + " MiB";
  return std::to_string((bytes + 1023) / 1024) + " KiB";
}

void print_geometry(const std::string& path, const Geometry& g) {
  const auto sums = sums_of(g);
  const auto line = [](const char* name, const std::string& value) {
    std::cout << name << std::string(11 - std::string_view(name).size(), ' ') << value << "\n";
  };
  line("volume", path);
  line("cluster", printable(g.cluster));
  line("uuid", to_uuid(g.volume_uuid));
  line("room for", std::to_string(g.hosts) + " hosts, " + std::to_string(g.domains) +
                       " domains; tables of " + size_text(g.table_blocks * wire::kBlockBytes) +
                       "; " + size_text(wire::Layout(g).size()) + " in all");
  line("T_F", span_text(g.t_f_ms) + "  a heartbeat extends a host's lease by this");
  line("W", span_text(g.w_ms) + "  its watchdog resets it within this");
  line("D", span_text(sums.d_ms) + "  silence that proves the lease expired");
  line("L_late", span_text(g.l_late_ms) + "  a write may land this late; after a power-off " +
                     span_text(g.l_late_after_off_ms));
  line("D+L_late", span_text(sums.starts_ms) +
                       "  guests of a host whose BMC is dead too start after this");
}

// --- format

std::uint32_t default_late_ms(const std::string& path) {
  struct statfs fs {};
  // A file that does not exist yet lies where its directory does.
  const auto slash = path.find_last_of('/');
  const auto directory = slash == std::string::npos ? std::string(".") : path.substr(0, slash + 1);
  if (::statfs(path.c_str(), &fs) != 0 && ::statfs(directory.c_str(), &fs) != 0) return 10'000;
  return fs.f_type == kNfsMagic ? 30'000 : 10'000;
}

Result<Geometry> wanted_geometry(const VolumeOptions& options) {
  Geometry g;
  g.cluster = options.cluster;
  if (g.cluster.empty()) {
    auto config = load_config(options.config);
    if (!config)
      return failure("the cluster's name is needed: give --cluster, or a --config that can be "
                     "read: " + config.error().message);
    g.cluster = config.value().cluster.name;
  }
  const auto profile = options.profile == "fast"       ? Profile::fast
                       : options.profile == "tolerant" ? Profile::tolerant
                                                       : Profile::normal;
  const auto timing = timing_of(profile);
  g.hosts = options.hosts;
  g.domains = options.domains;
  g.decision_blocks = wire::kDefaultDecisionBlocks;
  if (options.table_bytes % wire::kBlockBytes != 0)
    return failure("--table-size must be a multiple of 4KiB");
  g.table_blocks = static_cast<std::uint32_t>(options.table_bytes / wire::kBlockBytes);
  g.t_f_ms = static_cast<std::uint32_t>(whole_ms(timing.feed_window));
  g.w_ms = static_cast<std::uint32_t>(whole_ms(timing.watchdog));
  g.l_late_ms = options.late_s < 0 ? default_late_ms(options.path) : to_ms(options.late_s);
  g.l_late_after_off_ms = to_ms(options.late_after_off_s);
  g.formatted = WallTime{std::chrono::duration_cast<std::chrono::milliseconds>(
                             std::chrono::system_clock::now().time_since_epoch())
                             .count()};
  WARDOM_CHECK(::getrandom(g.volume_uuid.bytes.data(), g.volume_uuid.bytes.size(), 0) ==
               static_cast<ssize_t>(g.volume_uuid.bytes.size()));
  if (auto ok = wire::check_geometry(g); !ok) return failure(ok.error().message);
  return g;
}

// kDone: nothing forbids to format.
int may_format(const VolumeOptions& options, const disk::Contents& found) {
  if (found.empty) return kDone;
  std::string slots;
  for (const auto& slot : found.used_slots) slots += "\n  slot " + slot;
  const auto what = options.path + " holds " + found.what + printable("") + slots;
  if (!options.force)
    return fail(kRefused, what + "\nnot formatted; to lose all of that, say --force");
  if (found.moving && !options.destroy_living)
    return fail(kRefused, what +
                              "\nnot formatted: a slot moves, so a living cluster uses the volume; "
                              "stop wardom-keeper on its hosts first (--force "
                              "--destroy-living-cluster formats it all the same)");
  std::cerr << "wardomctl: overwrites " << what << "\n";
  return kDone;
}

int format(const VolumeOptions& options) {
  const auto geometry = wanted_geometry(options);
  if (!geometry) return fail(kUsage, geometry.error().message);
  const auto found = disk::inspect(options.path);
  if (!found) return fail(kFailed, found.error().message);
  if (const int code = may_format(options, found.value()); code != kDone) return code;
  if (auto done = disk::format_volume(options.path, geometry.value()); !done)
    return fail(kFailed, done.error().message);
  if (options.as_json)
    std::cout << to_json(options.path, geometry.value()) << "\n";
  else
    print_geometry(options.path, geometry.value());
  return kDone;
}

// --- show and check

struct Opened {
  std::string path;
  std::unique_ptr<disk::VolumeFile> volume;
};

Result<Opened> open(const VolumeOptions& options) {
  Opened opened{options.path, nullptr};
  if (opened.path.empty()) {
    auto config = load_config(options.config);
    if (!config) return failure(config.error().message);
    opened.path = config.value().volume.path.string();
  }
  auto volume = disk::VolumeFile::open(opened.path, disk::Access::read_only, {});
  if (!volume) return failure(volume.error().message);
  opened.volume = std::make_unique<disk::VolumeFile>(std::move(volume).value());
  return opened;
}

const char* text_of(SlotState state) {
  switch (state) {
    case SlotState::joining: return "joining";
    case SlotState::up: return "up";
    case SlotState::left: return "left";
  }
  return "?";
}

const char* text_of(Proof proof) {
  switch (proof) {
    case Proof::none: return "none";
    case Proof::power_off: return "power-off";
    case Proof::lease_expired: return "lease-expired";
    case Proof::rebooted: return "rebooted";
    case Proof::released: return "released";
    case Proof::operator_word: return "operator";
  }
  return "?";
}

const char* text_of(GuestPhase phase) {
  switch (phase) {
    case GuestPhase::assigned: return "assigned";
    case GuestPhase::claimed: return "claimed";
    case GuestPhase::starting: return "starting";
    case GuestPhase::holding: return "holding";
    case GuestPhase::yielded: return "yielded";
    case GuestPhase::refused: return "refused";
    case GuestPhase::claimed_incoming: return "claimed-incoming";
  }
  return "?";
}

json::object head_json(const wire::CellView& view) {
  const bool valid = view.state == wire::ExtentState::valid;
  return {{"host", view.cell.index},
          {"cell", wire::to_text(view.state)},
          {"twin_damaged", view.twin_damaged},
          {"incarnation", valid ? json::value(to_text(view.incarnation)) : json::value()},
          {"sequence", valid ? json::value(view.sequence.value) : json::value()}};
}

json::array slots_json(const disk::Survey& survey) {
  json::array out;
  for (const auto& [view, slot] : survey.slots) {
    auto entry = head_json(view);
    const auto known = [&](auto get) { return slot ? json::value(get(*slot)) : json::value(); };
    entry["name"] = known([](const Slot& s) { return json::string(s.host_name); });
    entry["state"] = known([](const Slot& s) { return text_of(s.state); });
    entry["machine_id"] = known([](const Slot& s) { return json::string(to_hex(s.machine_id)); });
    entry["boot_id"] = known([](const Slot& s) { return json::string(to_uuid(s.boot_id)); });
    entry["t_f_s"] = known([](const Slot& s) { return to_s(s.t_f_ms); });
    // No watchdog is fed: the host publishes no lease.
    entry["w_s"] = slot && slot->w_ms != 0 ? json::value(to_s(slot->w_ms)) : json::value();
    entry["daemon_epoch"] = known([](const Slot& s) { return s.daemon_epoch.value; });
    entry["daemon_progress"] = known([](const Slot& s) { return s.daemon_progress; });
    out.push_back(std::move(entry));
  }
  return out;
}

json::array decisions_json(const disk::Survey& survey) {
  json::array out;
  for (const auto& [view, decision] : survey.decisions) {
    auto entry = head_json(view);
    json::array verdicts, assignments;
    if (decision) {
      entry["lock_version"] = decision->version.value;
      for (const auto& v : decision->verdicts)
        verdicts.push_back({{"host", v.host.value},
                            {"incarnation", to_text(v.incarnation)},
                            {"proof", text_of(v.proof)},
                            {"judged_ms", v.judged.ms},
                            {"recovery", to_hex(v.recovery)},
                            {"detail", v.detail}});
      for (const auto& a : decision->assignments)
        assignments.push_back({{"guest", to_uuid(a.guest)},
                               {"generation", a.generation.value},
                               {"to", a.target.value},
                               {"incarnation", to_text(a.target_incarnation)},
                               {"from", a.from == kNoHost ? json::value() : a.from.value},
                               {"lock_version", a.version.value}});
    } else {
      entry["lock_version"] = nullptr;
    }
    entry["verdicts"] = std::move(verdicts);
    entry["assignments"] = std::move(assignments);
    out.push_back(std::move(entry));
  }
  return out;
}

json::array tables_json(const disk::Survey& survey) {
  json::array out;
  for (const auto& [view, table] : survey.tables) {
    auto entry = head_json(view);
    json::array guests;
    if (table)
      for (const auto& g : table->guests)
        guests.push_back({{"name", g.name},
                          {"uuid", to_uuid(g.guest)},
                          {"generation", g.generation.value},
                          {"phase", text_of(g.phase)},
                          {"holder", to_text(g.holder)},
                          {"wanted", g.wanted == Wanted::running ? "running" : "stopped"},
                          {"priority", g.priority}});
    entry["guests"] = table ? json::value(std::move(guests)) : json::value();
    out.push_back(std::move(entry));
  }
  return out;
}

// The columns that every cell begins with; what follows them says only what was understood.
std::vector<TextCell> head_row(const wire::CellView& view) {
  const bool valid = view.state == wire::ExtentState::valid;
  return {{std::to_string(view.cell.index), Colour::none, true},
          {valid ? to_text(view.incarnation) : "-"},
          {valid ? std::to_string(view.sequence.value) : "-", Colour::none, true}};
}

TextCell state_cell(const wire::CellView& view, bool understood, std::string text) {
  if (view.state != wire::ExtentState::valid) return {wire::to_text(view.state), Colour::bad};
  if (!understood) return {"malformed", Colour::bad};
  if (view.twin_damaged) return {std::move(text) + " (twin damaged)", Colour::warning};
  return {std::move(text)};
}

void print_slots(const disk::Survey& survey, const Paint& paint) {
  if (survey.slots.empty()) {
    std::cout << "\nno slot is in use\n";
    return;
  }
  TextTable table({"HOST", "INCARNATION", "SEQUENCE", "NAME", "DAEMON", "STATE"});
  for (const auto& [view, slot] : survey.slots) {
    auto row = head_row(view);
    row.push_back({slot ? printable(slot->host_name) : "-"});
    row.push_back({!slot ? "-" : slot->daemon_progress == 0 ? "none" : "connected"});
    row.push_back(state_cell(view, slot.has_value(), slot ? text_of(slot->state) : ""));
    table.add(std::move(row));
  }
  std::cout << "\nslots\n" << table.print(paint);
}

void print_decisions(const disk::Survey& survey, const Paint& paint) {
  if (survey.decisions.empty()) return;
  TextTable table({"HOST", "INCARNATION", "SEQUENCE", "LOCK", "DECISIONS"});
  for (const auto& [view, decision] : survey.decisions) {
    auto row = head_row(view);
    row.push_back({decision ? std::to_string(decision->version.value) : "-", Colour::none, true});
    std::string text;
    if (decision) {
      text = std::to_string(decision->verdicts.size()) + " verdicts, " +
             std::to_string(decision->assignments.size()) + " assignments";
      for (const auto& v : decision->verdicts)
        text += "; host " + std::to_string(v.host.value) + " incarnation " +
                to_text(v.incarnation) + " dead by " + text_of(v.proof);
    }
    row.push_back(state_cell(view, decision.has_value(), text));
    table.add(std::move(row));
  }
  std::cout << "\ndecisions\n" << table.print(paint);
}

void print_tables(const disk::Survey& survey, const Paint& paint) {
  if (survey.tables.empty()) return;
  TextTable table({"HOST", "INCARNATION", "SEQUENCE", "GUEST", "GENERATION", "PHASE"});
  for (const auto& [view, record] : survey.tables) {
    if (!record || record->guests.empty()) {
      auto row = head_row(view);
      row.push_back({"-"});
      row.push_back({"-", Colour::none, true});
      row.push_back(state_cell(view, record.has_value(), "no guests"));
      table.add(std::move(row));
      continue;
    }
    for (const auto& g : record->guests) {
      auto row = head_row(view);
      row.push_back({printable(g.name)});
      row.push_back({std::to_string(g.generation.value), Colour::none, true});
      row.push_back(state_cell(view, true, text_of(g.phase)));
      table.add(std::move(row));
    }
  }
  std::cout << "\ntables\n" << table.print(paint);
}

int show(const VolumeOptions& options) {
  const auto opened = open(options);
  if (!opened) return fail(kFailed, opened.error().message);
  const auto& volume = *opened.value().volume;
  const auto found = disk::survey(volume);
  if (options.as_json) {
    auto out = to_json(opened.value().path, volume.geometry());
    out["warnings"] = json::value_from(volume.warnings());
    out["slots"] = slots_json(found);
    out["decisions"] = decisions_json(found);
    out["tables"] = tables_json(found);
    std::cout << out << "\n";
    return kDone;
  }
  const Paint paint(stdout_takes_colours());
  print_geometry(opened.value().path, volume.geometry());
  for (const auto& warning : volume.warnings())
    std::cout << paint(Colour::warning, "warning    " + warning) << "\n";
  print_slots(found, paint);
  print_decisions(found, paint);
  print_tables(found, paint);
  return kDone;
}

int check(const VolumeOptions& options) {
  const auto opened = open(options);
  if (!opened) return fail(kFailed, opened.error().message);
  const auto report = disk::check_volume(*opened.value().volume);
  const int code = report.damages.empty() ? kDone : kFailed;
  if (options.as_json) {
    json::array damages;
    for (const auto& d : report.damages)
      damages.push_back({{"region", wire::to_text(d.cell.region)},
                         {"index", d.cell.index},
                         {"extent", d.twin.value},
                         {"offset", d.offset},
                         {"what", d.what}});
    std::cout << json::object{{"path", opened.value().path},
                              {"uuid", to_uuid(opened.value().volume->geometry().volume_uuid)},
                              {"extents", report.extents},
                              {"in_use", report.in_use},
                              {"damages", std::move(damages)}}
              << "\n";
    return code;
  }
  std::cout << opened.value().path << ": " << report.extents << " extents, " << report.in_use
            << " in use, " << report.damages.size() << " damaged\n";
  if (report.damages.empty()) return code;
  TextTable table({"CELL", "EXTENT", "OFFSET", "WHAT"});
  for (const auto& d : report.damages)
    table.add({{wire::to_text(d.cell)},
               {d.cell.region == Region::superblock ? std::to_string(d.twin.value)
                : d.twin == wire::kTwinA            ? "A"
                                                    : "B"},
               {std::to_string(d.offset), Colour::none, true},
               {printable(d.what), Colour::bad}});
  std::cout << table.print(Paint(stdout_takes_colours()));
  return code;
}

}  // namespace

void add_volume_commands(CLI::App& app, int& exit_code) {
  const auto options = std::make_shared<VolumeOptions>();
  auto* volume = app.add_subcommand("volume", "The state volume that the cluster shares");
  volume->require_subcommand(1);

  const auto subcommand = [&](const char* name, const char* help, bool path_needed,
                              int (*run)(const VolumeOptions&)) {
    auto* command = volume->add_subcommand(name, help);
    command->add_option("PATH", options->path, "Block device or file; default: volume.path")
        ->required(path_needed);
    command->add_option("--config", options->config, "The cluster's configuration")
        ->capture_default_str();
    command->add_flag("--json", options->as_json,
                      "One JSON value on standard output, nothing else");
    command->callback([options, &exit_code, run] { exit_code = run(*options); });
    return command;
  };
  subcommand("show", "What stands on it: geometry, times, slots, decisions, tables", false, show);
  subcommand("check", "Check every block; exit 1 when any is damaged", false, check);

  auto* command = subcommand("format", "Lay out a new state volume", true, format);
  command->add_option("--hosts", options->hosts, "The highest host id")
      ->required()
      ->check(CLI::Range(2u, wire::kMaxHosts));
  command->add_option("--domains", options->domains, "The highest domain id")
      ->required()
      ->check(CLI::Range(1u, wire::kMaxDomains));
  command->add_option("--profile", options->profile, "How patient leases are")
      ->check(CLI::IsMember({"fast", "default", "tolerant"}))
      ->capture_default_str();
  command->add_option("--table-size", options->table_bytes, "One host's table (default 256KiB)")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(wire::kMinTableBlocks * wire::kBlockBytes,
                         wire::kMaxTableBlocks * wire::kBlockBytes));
  command->add_option("--cluster", options->cluster, "Its name; default: cluster.name");
  command->add_option("--l-late", options->late_s,
                      "Seconds: the longest life of a write in the storage path after its writer "
                      "stopped (default 10, on NFS 30)")
      ->check(CLI::Range(0.0, 3600.0));
  command->add_option("--l-late-after-off", options->late_after_off_s,
                      "Seconds: the same after a proved power-off")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  command->add_flag("--force", options->force, "Format also what is not empty");
  command->add_flag("--destroy-living-cluster", options->destroy_living,
                    "With --force: format also a volume that a cluster is using now");
}

}  // namespace wardom::ctl
