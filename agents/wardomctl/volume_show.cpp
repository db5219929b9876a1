// `wardomctl volume show` and `check`.
#include <iostream>
#include <map>

#include "agents/wardomctl/table.hpp"
#include "agents/wardomctl/volume_common.hpp"
#include "agents/wardomctl/volume_json.hpp"
#include "agents/wardomctl/volume_text.hpp"
#include "libha/disk/survey.hpp"

namespace wardom::ctl {
namespace {

namespace json = boost::json;

double to_s(std::int64_t ms) { return static_cast<double>(ms) / 1000; }

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

// A domain's lock: the highest version that any ballot cell of the domain names.
struct LockSeen {
  Ballot highest;
  bool released{false};  // by any cell that names this version
  bool doubtful{false};  // a cell of the domain cannot be read: there may be a higher version
};

std::map<DomainId, LockSeen> locks_of(const Geometry& geometry, const disk::Survey& survey) {
  std::map<DomainId, LockSeen> locks;
  for (const auto& [view, ballot] : survey.ballots) {
    auto& lock = locks[wire::ballot_owner(geometry, view.cell).domain];
    lock.doubtful = lock.doubtful || !ballot || view.twin_damaged;
    if (!ballot || ballot->decided < lock.highest.decided) continue;
    if (ballot->decided > lock.highest.decided) {
      lock.highest = *ballot;
      lock.released = false;
    }
    lock.released = lock.released || ballot->released;
  }
  return locks;
}

json::array locks_json(const Geometry& geometry, const disk::Survey& survey) {
  json::array out;
  for (const auto& [domain, lock] : locks_of(geometry, survey)) {
    const bool owned = lock.highest.decided != LockVersion{};
    const auto& owner = lock.highest.value.owner;
    out.push_back(
        {{"domain", domain.value},
         {"lock_version", lock.highest.decided.value},
         {"owner", owned ? json::value(owner.host.value) : json::value()},
         {"incarnation", owned ? json::value(to_text(owner.incarnation)) : json::value()},
         {"daemon_epoch", owned ? json::value(owner.epoch.value) : json::value()},
         {"released", lock.released},
         {"doubtful", lock.doubtful}});
  }
  return out;
}

void print_locks(const Geometry& geometry, const disk::Survey& survey, const Paint& paint) {
  const auto locks = locks_of(geometry, survey);
  if (locks.empty()) return;
  TextTable table({"DOMAIN", "VERSION", "OWNER", "INCARNATION", "EPOCH", "STATE"});
  for (const auto& [domain, lock] : locks) {
    const bool owned = lock.highest.decided != LockVersion{};
    const auto& owner = lock.highest.value.owner;
    table.add({{std::to_string(domain.value), Colour::none, true},
               {std::to_string(lock.highest.decided.value), Colour::none, true},
               {owned ? "host " + std::to_string(owner.host.value) : "-"},
               {owned ? to_text(owner.incarnation) : "-"},
               {std::to_string(owner.epoch.value), Colour::none, true},
               lock.doubtful ? TextCell{"a ballot cell cannot be read", Colour::bad}
                             : TextCell{!owned          ? "never taken"
                                        : lock.released ? "released"
                                                        : "owned"}});
  }
  std::cout << "\nlocks\n" << table.print(paint);
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
      for (const auto& g : table->guests) guests.push_back(standing_json(g));
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

json::array damages_json(const std::vector<disk::Damage>& damages) {
  json::array out;
  for (const auto& d : damages)
    out.push_back({{"region", wire::to_text(d.cell.region)},
                   {"index", d.cell.index},
                   {"extent", d.twin.value},
                   {"offset", d.offset},
                   {"what", d.what}});
  return out;
}

std::string extent_text(const disk::Damage& damage) {
  if (damage.cell.region == Region::superblock) return std::to_string(damage.twin.value);
  return damage.twin == wire::kTwinA ? "A" : "B";
}

void print_damages(const std::vector<disk::Damage>& damages, Colour colour, const Paint& paint) {
  if (damages.empty()) return;
  TextTable table({"CELL", "EXTENT", "OFFSET", "WHAT"});
  for (const auto& d : damages)
    table.add({{wire::to_text(d.cell)},
               {extent_text(d)},
               {std::to_string(d.offset), Colour::none, true},
               {printable(d.what), colour}});
  std::cout << table.print(paint);
}

}  // namespace

int volume_show(const VolumeOptions& options) {
  const auto opened = open_volume(options, disk::Access::read_only);
  if (!opened) return fail(kFailed, opened.error().message);
  const auto& volume = *opened.value().volume;
  const auto found = disk::survey(volume);
  if (options.as_json) {
    auto out = geometry_json(opened.value().path, volume.geometry());
    out["use"] = use_json(volume.state());
    out["warnings"] = json::value_from(volume.warnings());
    out["slots"] = slots_json(found);
    out["locks"] = locks_json(volume.geometry(), found);
    out["decisions"] = decisions_json(found);
    out["tables"] = tables_json(found);
    std::cout << out << "\n";
    return kDone;
  }
  const Paint paint(stdout_takes_colours());
  print_geometry(opened.value().path, volume.geometry());
  if (const auto& state = volume.state(); state.use != VolumeUse::in_use)
    std::cout << paint(Colour::warning,
                       std::string("state      ") +
                           (state.use == VolumeUse::moved ? "moved to " + printable(state.path)
                            : state.use == VolumeUse::incoming
                                ? "being filled with what " + printable(state.path) + " holds"
                            : state.path.empty() ? "held for other lease times"
                                                 : "held for the move to " +
                                                       printable(state.path)) +
                           ", by a command on " + printable(state.by))
              << "\n";
  for (const auto& warning : volume.warnings())
    std::cout << paint(Colour::warning, "warning    " + warning) << "\n";
  print_slots(found, paint);
  print_locks(volume.geometry(), found, paint);
  print_decisions(found, paint);
  print_tables(found, paint);
  return kDone;
}

int volume_check(const VolumeOptions& options) {
  const auto opened = open_volume(options, disk::Access::read_only);
  if (!opened) return fail(kFailed, opened.error().message);
  const auto& [path, volume] = opened.value();
  const auto report = disk::check_volume(*volume);
  const int code = report.damages.empty() ? kDone : kFailed;
  if (options.as_json) {
    std::cout << json::object{{"path", path},
                              {"uuid", to_uuid(volume->geometry().volume_uuid)},
                              {"extents", report.extents},
                              {"in_use", report.in_use},
                              {"damages", damages_json(report.damages)},
                              {"remarks", damages_json(report.remarks)}}
              << "\n";
    return code;
  }
  const Paint paint(stdout_takes_colours());
  std::cout << path << ": " << report.extents << " extents, " << report.in_use << " in use, "
            << report.damages.size() << " damaged\n";
  print_damages(report.damages, Colour::bad, paint);
  if (!report.damages.empty())
    std::cout << "an owner that lives rewrites its cells by itself; see `wardomctl volume repair` "
                 "for those of a dead one\n";
  if (report.remarks.empty()) return code;
  std::cout << "remark: a write was cut short and its twin is whole; nothing is lost, the owner's "
               "next write mends it\n";
  print_damages(report.remarks, Colour::warning, paint);
  return code;
}

}  // namespace wardom::ctl
