#include "agents/wardomd/views.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <cctype>
#include <cinttypes>
#include <cstdio>
#include <tuple>

#include "libha/core/guest_life.hpp"

namespace wardom::daemon {
namespace {

namespace json = boost::json;

double seconds(std::uint32_t ms) { return ms / 1000.0; }

json::value power_word(const core::HostView& view, bool self) {
  if (self) return "on";
  if (!view.power_known || view.power == core::Power::unknown) return nullptr;
  return view.power == core::Power::on ? "on" : "off";
}

// "dead, by power-off: …" -> "power-off"
std::string proof_in(const std::string& verdict) {
  constexpr std::string_view kLead = "dead, by ";
  if (!verdict.starts_with(kLead)) return "none";
  return verdict.substr(kLead.size(), verdict.find(':') - kLead.size());
}

// The boot of the owner that held the guest is over, and no verdict about it stands yet.
bool boot_is_over(const Sight& sight, const core::GuestView& view) {
  if (view.owner == kNoHost) return false;
  const auto& member = sight.loop.member();
  const auto* owner = member.evidence().find(view.owner);
  if (owner == nullptr) return false;  // wardom.toml names it no more
  const auto now = view.owner == sight.self.id ? member.incarnation() : owner->incarnation();
  return now.number > view.entry.holder.number;
}

const char* word_of(core::Running running) {
  switch (running) {
    case core::Running::yes: return "running";
    case core::Running::no: return "stopped";
    case core::Running::paused: return "paused";
    case core::Running::io_error: return "paused-ioerror";
    case core::Running::unknown: break;
  }
  return "unknown";
}

// One word for people: as libvirt says for own guests, as the tables say for others'.
std::string guest_state(const Sight& sight, const core::GuestView& view) {
  const auto& entry = view.entry;
  const bool own = view.owner == sight.self.id;
  if (entry.phase == GuestPhase::refused) return "refused";
  const bool managed = entry.manager == Manager::pacemaker;
  if (entry.phase == GuestPhase::yielded)
    return managed && entry.wanted == Wanted::stopped ? "stopped" : "yielded";
  if (view.owner == kNoHost || boot_is_over(sight, view)) return "lost";
  if (entry.phase != GuestPhase::holding) return core::to_text(entry.phase);
  if (entry.parting) return "yielding";
  if (own) return word_of(view.running);
  return entry.wanted == Wanted::running ? "running" : "stopped";
}

json::object guest_object(const Sight& sight, const Names& names, const core::GuestView& view) {
  const auto& entry = view.entry;
  const auto response = entry.isolation.value_or(sight.config.isolation.response);
  return {{"name", entry.name},
          {"uuid", to_uuid(entry.guest)},
          {"owner", names.host(view.owner)},
          {"state", guest_state(sight, view)},
          {"generation", entry.generation.value},
          {"manager", entry.manager == Manager::pacemaker ? "pacemaker" : "wardom"},
          {"priority", entry.priority},
          {"wanted", entry.wanted == Wanted::running ? "running" : "stopped"},
          {"isolation", core::to_text(response)},
          {"isolation_from", entry.isolation ? "guest" : "wardom.toml"}};
}

json::value alert_object(const Alert* alert) {
  if (alert == nullptr) return nullptr;
  return json::object{{"at_ms", alert->at.ms}, {"what", alert->text}};
}

// Pacemaker's alerts about the host take their places among the facts.
void add_alerts(const Sight& sight, HostId host, json::array& chain) {
  if (sight.pacemaker == nullptr) return;
  const auto at = [](const json::value& fact) {
    return fact.at("at_ms").to_number<std::int64_t>();
  };
  for (const auto& alert : sight.pacemaker->alerts(host)) {
    const auto later = std::find_if(chain.begin(), chain.end(), [&](const json::value& fact) {
      return at(fact) > alert.at.ms;
    });
    chain.insert(later, json::object{{"at_ms", alert.at.ms},
                                     {"source", "pacemaker"},
                                     {"what", alert.text}});
  }
}

json::array chain_of(const Names& names, const std::deque<runtime::Fact>& facts) {
  json::array chain;
  for (const auto& fact : facts)
    chain.push_back(json::object{
        {"at_ms", fact.at.ms}, {"source", fact.source}, {"what", names.in_text(fact.what)}});
  return chain;
}

// In the order of their names: ids mean nothing to people.
std::vector<core::GuestView> guests_by_name(const Sight& sight) {
  auto views = sight.loop.member().guests();
  std::sort(views.begin(), views.end(), [](const auto& a, const auto& b) {
    return std::tie(a.entry.name, a.entry.guest) < std::tie(b.entry.name, b.entry.guest);
  });
  return views;
}

json::object host_object(const Sight& sight, const Names& names, const core::HostView& view) {
  json::value last_seen = nullptr;
  if (view.since_life) last_seen = whole_ms(*view.since_life);
  json::value incarnation = nullptr;
  if (!view.incarnation.is_none()) incarnation = to_text(view.incarnation);
  json::value speaks = nullptr;
  if (view.speaks) speaks = view.speaks->newest.value;
  const auto guard = sight.pacemaker == nullptr ? std::nullopt
                                                : sight.pacemaker->guard(view.host);
  return {{"name", names.host(view.host)},
          {"id", view.host.value},
          {"state", core::to_text(view.judged.state)},
          {"because", names.in_text(view.judged.because())},
          {"incarnation", incarnation},
          {"links", json::object{{"mgmt", view.mgmt ? "up" : "down"},
                                 {"storage", view.storage ? "up" : "down"}}},
          {"disk", view.disk ? "ok" : "silent"},
          {"power", power_word(view, view.host == sight.self.id)},
          {"newest_level", speaks},
          {"guard", guard ? json::value(guard->runs ? "started" : "stopped") : nullptr},
          {"last_seen_ms", last_seen}};
}

json::array hosts_of(const Sight& sight, const Names& names, Instant now) {
  json::array hosts;
  for (const auto& view : sight.loop.member().hosts(now))
    hosts.push_back(host_object(sight, names, view));
  return hosts;
}

// Host names, the deciding group first; none: the domain is whole.
json::array split_groups(const Names& names, const core::Member& member) {
  json::array groups;
  for (const auto& group : member.split_groups()) {
    json::array hosts;
    for (HostId host : group) hosts.push_back(names.host(host));
    groups.push_back(std::move(hosts));
  }
  return groups;
}

// null: corosync.conf does not make Wardom its quorum device, or corosync cannot be reached.
json::value quorum_object(const Names& names, const core::Member& member) {
  const auto view = member.quorum_vote();
  if (!view.set_up) return nullptr;
  return json::object{{"casts", view.casts},
                      {"lock_version", view.casts ? view.version.value : 0},
                      {"ring", std::to_string(view.ring.node) + "." +
                                   std::to_string(view.ring.sequence)},
                      {"why", names.in_text(view.why)}};
}

// null: armed. What is left is as the decider last recorded it, at most a minute ago.
json::value disarmed_object(const core::Member& member) {
  const auto off = member.disarmed();
  if (!off) return nullptr;
  json::value left = nullptr;
  if (off->left != off->left.zero()) left = off->left.count();
  return json::object{{"by", off->by}, {"since_ms", off->since.ms}, {"left_ms", left}};
}

// Which proof of its death is waited for, or stands, while nothing is heard of a host.
std::string proof_text(const Sight& sight, const core::HostView& view, Instant now) {
  const auto& member = sight.loop.member();
  const auto proof = member.proof(view.host, now);
  if (proof.stands()) return std::string(core::to_text(proof.proof)) + ": " + proof.detail;
  std::string text = proof.missing;
  if (proof.lease_expires)
    text += ", then its guests start after L_late " +
            to_text(Duration{std::chrono::milliseconds{sight.geometry.l_late_ms}});
  return text;
}

bool silent(core::HostState state) {
  switch (state) {
    case core::HostState::unknown:
    case core::HostState::suspect: return true;
    case core::HostState::alive:
    case core::HostState::daemon_down:
    case core::HostState::mgmt_lost:
    case core::HostState::storage_lost:
    case core::HostState::isolated:
    case core::HostState::split:
    case core::HostState::storage_cut:
    case core::HostState::dead:
    case core::HostState::maintenance:
    case core::HostState::left: break;
  }
  return false;
}

json::object refusals_of(const runtime::Refusals& refusals) {
  json::object beats;
  for (std::size_t i = 0; i < refusals.beats.size(); ++i)
    beats[wire::to_text(static_cast<wire::BeatError>(i))] = refusals.beats[i];
  return {{"beats", beats},
          {"ring_messages", refusals.ring_messages},
          {"cells", refusals.cells}};
}

// The guests of a recovery, from its steps: where each came from and went to, and how long it was
// down: since its host's last sign, or since its host yielded it.
json::array recovered(const Names& names, const runtime::Recovery& recovery) {
  struct Row {
    HostId to;
    std::optional<std::int64_t> down_ms;
    std::string result{"assigned"};
    std::int64_t since_ms{0};
  };
  std::vector<std::pair<GuestId, Row>> rows;
  const auto first = recovery.first_sign();
  for (const auto& step : recovery.steps) {
    if (step.guest.is_zero()) continue;
    auto found = std::find_if(rows.begin(), rows.end(),
                              [&](const auto& row) { return row.first == step.guest; });
    const bool fresh = found == rows.end();
    if (fresh) found = rows.insert(rows.end(), {step.guest, {}});
    auto& row = found->second;
    if (fresh) row.since_ms = first.ms;
    if (step.step == "yielded") row.since_ms = step.at.ms;
    if (step.step == "yielded" && fresh) row.result = "yielded";
    if (step.step == "assigned") row = {step.host, std::nullopt, "assigned", row.since_ms};
    if (step.step == "starting") row.result = "starting";
    if (step.step == "unplaced") row = {kNoHost, std::nullopt, "unplaced", row.since_ms};
    if (step.step == "refused" && row.result != "running") row.result = "refused";
    if (step.step == "running")
      row = {step.host, step.at.ms - row.since_ms, "running", row.since_ms};
  }
  json::array guests;
  for (const auto& [guest, row] : rows) {
    json::value down = nullptr;
    if (row.down_ms) down = *row.down_ms;
    guests.push_back(json::object{{"name", names.guest(guest)},
                                  {"from", names.host(recovery.victim())},
                                  {"to", names.host(row.to)},
                                  {"down_ms", down},
                                  {"result", row.result}});
  }
  return guests;
}

// What Pacemaker told this host of the victim while that recovery went on, and shortly after it.
void add_alert_steps(const Sight& sight, const runtime::Recovery& recovery, json::array& steps) {
  if (sight.pacemaker == nullptr || recovery.steps.empty()) return;
  constexpr std::int64_t kAfterMs = 60'000;
  const auto first = recovery.first_sign();
  const auto last = recovery.steps.back().at.ms + kAfterMs;
  for (const auto& alert : sight.pacemaker->alerts(recovery.victim())) {
    if (alert.at < first || alert.at.ms > last) continue;
    const auto t_ms = alert.at.ms - first.ms;
    const auto later = std::find_if(steps.begin(), steps.end(), [&](const json::value& step) {
      return step.at("t_ms").to_number<std::int64_t>() > t_ms;
    });
    steps.insert(later, json::object{{"t_ms", t_ms},
                                     {"on", sight.self.name},
                                     {"what", "pacemaker"},
                                     {"detail", alert.text}});
  }
}

json::value key_text(wire::KeyId key) {
  if (key == wire::kNoKey) return nullptr;
  char text[17];
  std::snprintf(text, sizeof text, "%016" PRIx64, key.value);
  return text;
}

const char* stage_word(runtime::KeyChange::Stage stage) {
  switch (stage) {
    case runtime::KeyChange::Stage::none: return "none";
    case runtime::KeyChange::Stage::held: return "held";
    case runtime::KeyChange::Stage::waiting: return "waiting";
    case runtime::KeyChange::Stage::sending: return "sending";
  }
  return "unknown";
}

std::string list_of(const Names& names, const std::vector<HostId>& hosts) {
  std::string text;
  for (const HostId host : hosts) text += (text.empty() ? "" : ", ") + names.host_text(host);
  return text;
}

void add_key_problems(const Sight& sight, const Names& names, json::array& problems) {
  const auto& keys = sight.loop.keys();
  const auto add = [&](std::string what, const char* remedy) {
    problems.push_back(
        json::object{{"what", std::move(what)}, {"where", sight.self.name}, {"do", remedy}});
  };
  if (!keys.trouble().empty())
    add("change of the cluster's key: " + names.in_text(keys.trouble()),
        "mend it, or run `wardomctl key rotate --give-up`");
  const auto stage = keys.stage();
  if (const auto waits = keys.waits_for(); !waits.empty())
    add("the change of the cluster's key waits for " + list_of(names, waits),
        stage == runtime::KeyChange::Stage::sending
            ? "see that wardomd runs there, and that its beats arrive here"
            : "start wardomd there, with the same wardom.toml and release as here, or run "
              "`wardomctl key rotate --give-up`");
  else if (stage == runtime::KeyChange::Stage::waiting && !keys.most_in_ring())
    add("the change of the cluster's key waits for a ring with most of the domain's daemons",
        "see that corosync and wardomd run on the other hosts");
}

const char* lease_word(LeaseState lease) {
  switch (lease) {
    case LeaseState::none: return "none";
    case LeaseState::held: return "held";
    case LeaseState::ending: return "ending";
    case LeaseState::ended: return "ended";
    case LeaseState::released: return "released";
  }
  return "unknown";
}

// For how long this host has lived through an outage of the volume; null: it does not.
json::value on_grants_ms(const core::Member& member, Instant now) {
  const auto since = member.on_grants_since();
  return since ? json::value(whole_ms(now - *since)) : json::value(nullptr);
}

}  // namespace

json::value Names::host(HostId id) const {
  if (id == kNoHost) return nullptr;
  return json::value(host_text(id));
}

std::string Names::host_text(HostId id) const {
  if (id == kNoHost) return "-";
  const auto* host = config_.find_host(id);
  // One that wardom.toml names no more.
  return host == nullptr ? "host " + std::to_string(id.value) : host->name;
}

std::string Names::guest(const GuestId& id) const {
  for (const auto& view : member_.guests())
    if (view.entry.guest == id) return view.entry.name;
  return to_uuid(id);
}

std::string Names::in_text(const std::string& text) const {
  std::string out;
  constexpr std::string_view kWord = "host ";
  for (std::size_t at = 0; at < text.size();) {
    const bool word = text.compare(at, kWord.size(), kWord) == 0 &&
                      (at == 0 || std::isalnum(static_cast<unsigned char>(text[at - 1])) == 0);
    std::size_t end = at + kWord.size();
    unsigned id = 0;
    while (word && end < text.size() && std::isdigit(static_cast<unsigned char>(text[end])) != 0 &&
           id <= kMaxHostId)
      id = id * 10 + static_cast<unsigned>(text[end++] - '0');
    const auto* host = word ? config_.find_host(HostId{static_cast<std::uint16_t>(id)}) : nullptr;
    if (host != nullptr) {
      out += host->name;
      at = end;
    } else {
      out += text[at++];
    }
  }
  return out;
}

json::value status(const Sight& sight) {
  const auto now = sight.loop.now();
  const auto& member = sight.loop.member();
  const Names names(sight.config, member);
  const auto lock = member.lock(now.at);
  json::array guests;
  for (const auto& view : guests_by_name(sight))
    guests.push_back(guest_object(sight, names, view));
  json::array problems;
  for (const auto& problem : member.problems(now.at))
    problems.push_back(json::object{{"what", names.in_text(problem.what)},
                                    {"where", names.in_text(problem.where)},
                                    {"do", problem.remedy}});
  for (const auto& trouble : sight.loop.keeper_troubles())
    problems.push_back(json::object{
        {"what", trouble.what}, {"where", sight.self.name}, {"do", trouble.remedy}});
  if (!sight.archive_trouble.empty())
    problems.push_back(json::object{{"what", sight.archive_trouble},
                                    {"where", sight.self.name},
                                    {"do", "make room on that disk; recoveries go on"}});
  for (const auto& address : sight.strangers)
    problems.push_back(json::object{
        {"what", "heartbeats come from " + address + ", which wardom.toml here has for no host"},
        {"where", sight.self.name},
        {"do", "if one of the cluster's hosts is there: put the right wardom.toml on both hosts, "
               "and restart wardomd where it was changed"}});
  add_key_problems(sight, names, problems);
  const auto* domain = sight.config.find_domain(sight.self.domain);
  return json::object{
      {"domain", domain->name},
      {"self", sight.self.name},
      {"now_ms", now.wall.ms},
      {"decider", names.host(lock.decider)},
      {"lock_version", member.version().value},
      {"level", member.level().value},
      {"oldest_level", member.oldest_level().value},
      {"split_groups", split_groups(names, member)},
      {"quorum_device", quorum_object(names, member)},
      {"armed", !member.disarmed().has_value()},
      {"disarmed", disarmed_object(member)},
      {"on_grants_ms", on_grants_ms(member, now.at)},
      {"profile",
       json::object{
           {"t_f_s", seconds(sight.geometry.t_f_ms)},
           {"w_s", seconds(sight.geometry.w_ms)},
           {"d_s", static_cast<double>(whole_ms(lease_silence(sight.config.timing))) / 1000.0},
           {"l_late_s", seconds(sight.geometry.l_late_ms)}}},
      {"hosts", hosts_of(sight, names, now.at)},
      {"guests", guests},
      {"problems", problems},
      {"refused", refusals_of(sight.loop.refusals())}};
}

json::value key_status(const Sight& sight) {
  const auto& keys = sight.loop.keys();
  const Names names(sight.config, sight.loop.member());
  json::array hosts;
  for (const auto& view : keys.hosts())
    hosts.push_back(json::object{{"name", names.host(view.host)},
                                 {"in_ring", view.in_ring},
                                 {"holds_next", view.holds_next},
                                 {"sends_next", view.sends_next}});
  json::array waits;
  for (const HostId host : keys.waits_for()) waits.push_back(names.host(host));
  return json::object{
      {"present", key_text(keys.present().id())},
      {"next", key_text(keys.wished())},
      {"stage", stage_word(keys.stage())},
      {"waits_for", waits},
      {"hosts", hosts},
      {"trouble", keys.trouble().empty() ? json::value(nullptr)
                                         : json::value(names.in_text(keys.trouble()))}};
}

json::value device_round(const Sight& sight, const runtime::DeviceRounds::Ended& ended) {
  const Names names(sight.config, sight.loop.member());
  const auto number = [](std::uint64_t value) {
    return value == 0 ? json::value(nullptr) : json::value(value);
  };
  json::array hosts;
  for (const auto& row : ended.rows) {
    json::object one{{"name", names.host(row.host)},
                     {"heard", row.answer ? "answer" : row.in_ring ? "silence" : "away"}};
    if (row.answer) {
      const auto& said = *row.answer;
      json::value device = nullptr;
      if (!said.model.empty())
        device = json::object{{"model", said.model},
                              {"timeout_ms", number(said.timeout_ms)},
                              {"sync_timeout_ms", number(said.sync_timeout_ms)}};
      one["ok"] = said.ok;
      one["device"] = std::move(device);
      one["changes"] = said.changes;
      one["in_force"] = said.in_force;
      one["digest"] = said.digest == 0 ? json::value(nullptr)
                                       : json::value(std::to_string(said.digest));
      one["pass"] = said.pass == 0 ? json::value(nullptr)
                                   : json::value(std::to_string(said.pass));
      one["text"] = names.in_text(said.text);
    }
    hosts.push_back(std::move(one));
  }
  return json::object{{"hosts", std::move(hosts)}};
}

Result<json::value> why(const Sight& sight, const std::string& about) {
  const auto now = sight.loop.now();
  const auto& member = sight.loop.member();
  const Names names(sight.config, member);
  for (const auto& view : member.hosts(now.at)) {
    if (names.host_text(view.host) != about) continue;
    auto chain = chain_of(names, sight.loop.book().about(view.host));
    add_alerts(sight, view.host, chain);
    chain.push_back(json::object{{"at_ms", now.wall.ms},
                                 {"source", "judge"},
                                 {"what", "now: " + names.in_text(view.judged.because())}});
    if (silent(view.judged.state))
      chain.push_back(json::object{{"at_ms", now.wall.ms},
                                   {"source", "proof"},
                                   {"what", names.in_text(proof_text(sight, view, now.at))}});
    return json::value(json::object{{"about", about},
                                    {"kind", "host"},
                                    {"state", core::to_text(view.judged.state)},
                                    {"chain", chain}});
  }
  if (const auto view = member.guest_called(about)) {
    const auto& entry = view->entry;
    auto chain = chain_of(names, sight.loop.book().about(entry.guest));
    std::string text = std::string("now: ") + core::to_text(entry.phase) + ", generation " +
                       std::to_string(entry.generation.value) + ", by incarnation " +
                       to_text(entry.holder);
    if (!entry.reason.empty()) text += ": " + entry.reason;
    chain.push_back(
        json::object{{"at_ms", now.wall.ms}, {"source", "volume"}, {"what", text}});
    return json::value(json::object{{"about", about},
                                    {"kind", "guest"},
                                    {"state", guest_state(sight, *view)},
                                    {"chain", chain}});
  }
  return failure("no host or protected guest is called \"" + about +
                 "\"; `wardomctl status` lists them");
}

Result<json::value> timeline(const Sight& sight, const std::optional<std::string>& id) {
  const auto& book = sight.loop.book();
  const Names names(sight.config, sight.loop.member());
  const runtime::Recovery* recovery = book.last();
  if (id) {
    recovery = nullptr;
    for (const auto* one : book.all())
      if (to_hex(one->id).starts_with(*id)) recovery = one;
  }
  if (recovery == nullptr)
    return failure(id ? "no recovery with id " + *id + " is on record here"
                      : "no recovery is on record here");
  const auto first = recovery->first_sign();
  json::array steps;
  std::string proof = "none";
  for (const auto& step : recovery->steps) {
    if (step.step == "verdict") proof = proof_in(step.text);
    if (step.step == "yielded") proof = "yielded";
    std::string detail = names.in_text(step.text);
    steps.push_back(json::object{{"t_ms", step.at.ms - first.ms},
                                 {"on", names.host(step.teller)},
                                 {"what", step.step},
                                 {"detail", detail}});
  }
  add_alert_steps(sight, *recovery, steps);
  return json::value(json::object{{"id", to_hex(recovery->id)},
                                  {"host", names.host(recovery->victim())},
                                  {"proof", proof},
                                  {"first_sign", first.ms},
                                  {"finished", recovery->finished},
                                  {"steps", steps},
                                  {"guests", recovered(names, *recovery)}});
}

json::value host_list(const Sight& sight) {
  const Names names(sight.config, sight.loop.member());
  return hosts_of(sight, names, sight.loop.now().at);
}

Result<json::value> host_show(const Sight& sight, const std::string& host) {
  const auto now = sight.loop.now();
  const auto& member = sight.loop.member();
  const Names names(sight.config, member);
  for (const auto& view : member.hosts(now.at)) {
    if (names.host_text(view.host) != host) continue;
    auto shown = host_object(sight, names, view);
    json::array boots;
    for (const auto& boot : member.boots(view.host)) boots.emplace_back(to_text(boot));
    shown["boots"] = boots;
    shown["proof"] = silent(view.judged.state)
                           ? json::value(names.in_text(proof_text(sight, view, now.at)))
                           : json::value(nullptr);
    json::array guests;
    for (const auto& guest : guests_by_name(sight))
      if (guest.owner == view.host) guests.emplace_back(guest.entry.name);
    shown["guests"] = guests;
    // Evidence with its source named; no proof rests on it.
    shown["fenced_says_pacemaker"] = alert_object(
        sight.pacemaker == nullptr ? nullptr : sight.pacemaker->last_fencing(view.host));
    return json::value(shown);
  }
  return failure("no host of this domain is called \"" + host + "\"; `wardomctl host list`");
}

json::value guest_list(const Sight& sight) {
  const Names names(sight.config, sight.loop.member());
  json::array guests;
  for (const auto& view : guests_by_name(sight)) {
    auto guest = guest_object(sight, names, view);
    guest["memory_mib"] = view.entry.memory_kib / 1024;
    guest["vcpus"] = view.entry.vcpus;
    guest["reason"] = names.in_text(view.entry.reason);
    guests.push_back(std::move(guest));
  }
  return guests;
}

std::string no_guest(const std::string& name) {
  return "no protected guest is called \"" + name + "\"; `wardomctl guest list`";
}

Result<json::value> guest_show(const Sight& sight, const std::string& guest) {
  const Names names(sight.config, sight.loop.member());
  if (const auto view = sight.loop.member().guest_called(guest)) {
    const auto& entry = view->entry;
    auto shown = guest_object(sight, names, *view);
    shown["phase"] = core::to_text(entry.phase);
    shown["holder"] = to_text(entry.holder);
    shown["since_ms"] = entry.since.ms;
    shown["memory_mib"] = entry.memory_kib / 1024;
    shown["vcpus"] = entry.vcpus;
    shown["reason"] = names.in_text(entry.reason);
    json::array waived;
    for (const auto& thing : entry.waived) waived.emplace_back(thing);
    shown["waived"] = waived;
    shown["xml"] = entry.xml;
    return json::value(shown);
  }
  return failure(no_guest(guest));
}

// What ocf:wardom:Guest asks every few seconds: from what is known, without a word to libvirt.
json::value guest_here(const Sight& sight, const std::string& guest) {
  const auto& member = sight.loop.member();
  const Names names(sight.config, member);
  // recorded: what the volume says of it is known here.
  json::object shown{{"host", sight.self.name}, {"here", "unknown"}, {"owner", nullptr},
                     {"state", nullptr}, {"recorded", member.ready()}, {"to_adopt", false}};
  if (const auto here = member.guest_here(guest)) {
    shown["uuid"] = to_uuid(here->guest);
    shown["name"] = here->name;
    shown["here"] = word_of(here->running);
    if (here->process.pid > 0)
      shown["process"] = json::object{{"pid", here->process.pid},
                                      {"start_time", here->process.start_time}};
  } else if (member.hypervisor_answers()) {
    shown["here"] = word_of(core::Running::no);
  }
  if (const auto view = member.guest_called(guest)) {
    const auto& entry = view->entry;
    shown["uuid"] = to_uuid(entry.guest);
    shown["name"] = entry.name;
    shown["owner"] = names.host(view->owner);
    shown["state"] = guest_state(sight, *view);
    shown["reason"] = names.in_text(entry.reason);
    shown["to_adopt"] = view->owner == sight.self.id && entry.manager == Manager::wardom &&
                        entry.phase == GuestPhase::holding && !entry.parting;
  }
  return shown;
}

// What ocf:wardom:HostGuard asks every few seconds: what is known of this host. Nothing is asked of
// anybody for it.
json::value host_here(const Sight& sight) {
  constexpr std::size_t kMostProblems = 8;
  constexpr std::size_t kMostBytes = 300;
  const auto now = sight.loop.now();
  const auto& member = sight.loop.member();
  const Names names(sight.config, member);
  json::array problems;
  const auto add = [&](const std::string& what) {
    if (problems.size() < kMostProblems) problems.emplace_back(what.substr(0, kMostBytes));
  };
  for (const auto& problem : member.problems(now.at))
    if (names.in_text(problem.where) == sight.self.name) add(names.in_text(problem.what));
  json::array troubles;
  for (const auto& trouble : sight.loop.keeper_troubles())
    if (troubles.size() < kMostProblems) troubles.emplace_back(trouble.what.substr(0, kMostBytes));
  const auto guard = sight.pacemaker == nullptr ? std::nullopt
                                                : sight.pacemaker->guard(sight.self.id);
  json::value state = nullptr;
  for (const auto& view : member.hosts(now.at))
    if (view.host == sight.self.id) state = core::to_text(view.judged.state);
  return json::object{{"self", sight.self.name},
                      {"state", state},
                      {"keeper", member.uses_volume()},
                      {"reads_volume", member.reads_volume(now.at)},
                      {"lease", lease_word(member.lease())},
                      {"on_grants_ms", on_grants_ms(member, now.at)},
                      {"t_f_ms", sight.geometry.t_f_ms},
                      {"libvirt", member.hypervisor_answers()},
                      {"ring", member.evidence().ring_up()},
                      {"decider", names.host(member.lock(now.at).decider)},
                      {"wants_lease", sight.config.watchdog.device.has_value()},
                      {"guard", guard && guard->runs},
                      {"troubles", troubles},
                      {"problems", problems}};
}

}  // namespace wardom::daemon
