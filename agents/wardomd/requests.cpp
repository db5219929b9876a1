#include "agents/wardomd/requests.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>
#include <random>

#include "agents/wardomd/key_files.hpp"
#include "libha/core/guest_life.hpp"
#include "libha/corosync_conf/device_section.hpp"
#include "libha/guestxml/guest_xml.hpp"

namespace wardom::daemon {
namespace {

namespace json = boost::json;
using control::reply_error;
using control::reply_with;

constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr int kRefused = 3;
constexpr std::size_t kMaxPending = 256;
constexpr std::size_t kMaxWaives = 64;
constexpr std::int64_t kMaxPriority = 1000;
// Before the control socket gives the request up, with time left for the answer.
constexpr std::int64_t kMaxFencingMs = 1000 * (control::kRequestPatienceSeconds - 5);
// The agent asks again where its own deadline is later.
constexpr Duration kMostPatience = std::chrono::seconds{50};
// Nobody can ask again for a migration that is under way.
constexpr Duration kMostMigration = std::chrono::hours{1};
constexpr Duration kUsualMigration = std::chrono::minutes{5};

std::string text_of(const json::object& request, const char* key) {
  const auto* value = request.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::vector<std::string> waives_of(const json::object& request) {
  std::vector<std::string> names;
  if (const auto* waive = request.if_contains("waive"); waive != nullptr && waive->is_array())
    for (const auto& thing : waive->get_array())
      if (thing.is_string() && names.size() < kMaxWaives) names.emplace_back(thing.get_string());
  return names;
}

// nullopt: not a number of milliseconds up to `most`; `otherwise` where there is none.
std::optional<Duration> time_of(const json::object& request, const char* key, Duration most,
                                Duration otherwise) {
  const auto* value = request.if_contains(key);
  if (value == nullptr || value->is_null()) return otherwise;
  const auto* ms = value->if_int64();
  if (ms == nullptr || *ms < 0 || *ms > whole_ms(most)) return std::nullopt;
  return std::chrono::milliseconds{*ms};
}

json::value of(Result<json::value> view) {
  return view ? reply_with(std::move(view).value()) : reply_error(kFailed, view.error().message);
}

std::string list_text(const std::vector<guestxml::LocalThing>& things) {
  std::string text;
  for (const auto& thing : things)
    text += "\n  " + thing.name + "  (" + std::string(guestxml::to_text(thing.kind)) + ", at " +
            thing.where + "): " + thing.why;
  return text;
}

std::optional<core::HookOp> hook_op(const std::string& word) {
  using core::HookOp;
  if (word == "migrate") return HookOp::migrate;
  if (word == "restore") return HookOp::restore;
  if (word == "prepare") return HookOp::prepare;
  if (word == "start") return HookOp::start;
  return std::nullopt;
}

// nullptr: there is none in this domain.
const HostConfig* member_called(const Sight& sight, const std::string& name) {
  const auto members = sight.config.members(sight.self.domain);
  const auto found = std::find_if(members.begin(), members.end(),
                                  [&](const HostConfig* host) { return host->name == name; });
  return found == members.end() ? nullptr : *found;
}

json::value too_many() {
  return reply_error(kFailed, "too many requests are waiting; try again");
}

json::value no_host(const std::string& name) {
  return reply_error(kUsage, "no host of this domain is called \"" + name +
                                 "\"; `wardomctl host list`");
}

}  // namespace

// Tickets of operators' requests never meet those of the core, which count from 1.
std::uint64_t Requests::first_ticket() {
  std::random_device random;
  return (std::uint64_t{random()} << 24) + (random() & 0xffffff);
}

Ticket Requests::ticket() { return Ticket{(std::uint64_t{1} << 63) | ++last_}; }

void Requests::handle(const json::object& request, control::Answer answer) {
  const auto what = text_of(request, "do");
  if (what == "status") return answer(reply_with(status(sight_())));
  if (what == "why") return answer(of(why(sight_(), text_of(request, "about"))));
  if (what == "timeline") {
    const auto id = text_of(request, "id");
    return answer(of(timeline(sight_(), id.empty() ? std::nullopt : std::optional(id))));
  }
  if (what == "guest-list") return answer(reply_with(guest_list(sight_())));
  if (what == "guest-show") return answer(of(guest_show(sight_(), text_of(request, "guest"))));
  if (what == "host-list") return answer(reply_with(host_list(sight_())));
  if (what == "host-show") return answer(of(host_show(sight_(), text_of(request, "host"))));
  if (what == "host-confirm-dead") return confirm_dead(request, std::move(answer));
  if (what == "host-trust-bmc") return trust_bmc(request, std::move(answer));
  if (what == "host-fence") return fence(request, std::move(answer));
  if (what == "key-status") return answer(reply_with(key_status(sight_())));
  if (what == "key-rotate") return change_key(request, answer);
  if (what == "key-give-up") return give_up_key(request, answer);
  if (what == "quorum-look") return ask_devices(wire::DeviceStep::look, request, answer);
  if (what == "quorum-try") return ask_devices(wire::DeviceStep::trial, request, answer);
  if (what == "quorum-write") return ask_devices(wire::DeviceStep::write, request, answer);
  if (what == "arm") return arm(request, std::move(answer));
  if (what == "disarm") return disarm(request, std::move(answer));
  if (what == "may-start") return may_start(request, answer);
  if (what == "guest-protect") return protect(request, std::move(answer));
  if (what == "guest-unprotect") return unprotect(request, std::move(answer));
  if (what == "guest-here")
    return answer(reply_with(guest_here(sight_(), text_of(request, "guest"))));
  if (what == "host-here") return answer(reply_with(host_here(sight_())));
  if (what == "guest-start") return start_guest(request, std::move(answer));
  if (what == "guest-stop") return stop_guest(request, std::move(answer));
  if (what == "guest-migrate") return migrate_guest(request, std::move(answer));
  answer(reply_error(kUsage, "unknown request \"" + what + "\"; is wardomctl of another release?"));
}

void Requests::may_start(const json::object& request, const control::Answer& answer) {
  const auto bits = parse_bits(text_of(request, "guest"));
  if (!bits)
    return answer(json::object{{"ok", false}, {"error", "may-start: `guest` is not a UUID"}});
  const auto sight = sight_();
  const auto name = text_of(request, "name");
  const auto& member = sight.loop.member();
  const auto op = hook_op(text_of(request, "op"));
  if (!op) return answer(json::object{{"ok", false}, {"error", "may-start: `op` is not known"}});
  const GuestId guest{*bits};
  const auto allowed = member.may_start(guest, name, *op, sight.loop.now().at);
  if (!allowed.allowed) {
    const Names names(sight.config, member);
    return answer(
        json::object{{"ok", false}, {"error", "wardom: " + names.in_text(allowed.reason)}});
  }
  // Before libvirt can hear the answer and ask for more.
  if (allowed.known) submit_(core::HookAllowed{guest, *op});
  answer(json::object{{"ok", true}, {"known", allowed.known}});
}

void Requests::protect(const json::object& request, control::Answer answer) {
  Protecting protecting{answer, waives_of(request), 0, {}};
  const auto guest = text_of(request, "guest");
  if (guest.empty()) return answer(reply_error(kUsage, "guest protect: no guest is named"));
  if (const auto* priority = request.if_contains("priority"); priority != nullptr) {
    const auto* number = priority->if_int64();
    if (number == nullptr || *number < -kMaxPriority || *number > kMaxPriority)
      return answer(reply_error(kUsage, "guest protect: priority is a number from -1000 to 1000"));
    protecting.priority = static_cast<std::int32_t>(*number);
  }
  if (const auto* word = request.if_contains("isolation"); word != nullptr && !word->is_null()) {
    protecting.isolation = core::isolation_response(text_of(request, "isolation"));
    if (!protecting.isolation)
      return answer(reply_error(kUsage, "guest protect: isolation is leave, shutdown or kill"));
  }
  if (describing_.size() + submitted_.size() >= kMaxPending)
    return answer(too_many());
  const auto asked = ticket();
  describing_.emplace(asked, std::move(protecting));
  hypervisor_.describe(asked, guest);
}

void Requests::on_described(const port::ActDone& done) {
  if (const auto starting = starting_.find(done.ticket); starting != starting_.end()) {
    auto [start, waive, answer] = std::move(starting->second);
    starting_.erase(starting);
    if (!done.ok) return answer(reply_error(kFailed, "libvirt on this host: " + done.error));
    auto waived = check_local(done.name, done.xml, waive);
    if (waived.refusal) return answer(*waived.refusal);
    start.entry.name = done.name;
    start.entry.memory_kib = done.memory_kib;
    start.entry.vcpus = done.vcpus;
    start.entry.waived = std::move(waived.names);
    start.entry.xml = done.xml;
    return submit_start(std::move(start), std::move(answer));
  }
  const auto found = describing_.find(done.ticket);
  if (found == describing_.end()) return;
  auto protecting = std::move(found->second);
  describing_.erase(found);
  if (!done.ok) {
    protecting.answer(reply_error(kFailed, "libvirt on this host: " + done.error));
    return;
  }
  submit_protection(done, std::move(protecting));
}

// Everything host-local that the XML names must be shared, copied along or waived by name. Returns
// what is waived; refuses by a reply.
Requests::Waived Requests::check_local(const std::string& name, const std::string& xml,
                                       const std::vector<std::string>& waive) const {
  const auto sight = sight_();
  std::vector<std::string> shared;
  for (const auto& path : sight.config.guests.shared_paths) shared.push_back(path.string());
  auto things = guestxml::host_local_things(xml, shared);
  if (!things) return {{}, reply_error(kFailed, name + ": " + things.error().message)};
  Waived waived;
  std::vector<guestxml::LocalThing> blocking;
  for (auto& thing : things.value()) {
    if (thing.severity != guestxml::Severity::blocking) continue;
    if (std::find(waive.begin(), waive.end(), thing.name) != waive.end())
      waived.names.push_back(thing.name);
    else
      blocking.push_back(std::move(thing));
  }
  if (!blocking.empty())
    waived.refusal = reply_error(
        kRefused, name + " names things of this host, and would not run elsewhere, or with " +
                      "other data:" + list_text(blocking) +
                      "\nput each on shared storage (and under guests.shared_paths), or accept it "
                      "with --waive NAME");
  return waived;
}

void Requests::submit_protection(const port::ActDone& done, Protecting protecting) {
  auto waived = check_local(done.name, done.xml, protecting.waive);
  if (waived.refusal) return protecting.answer(*waived.refusal);
  core::Protect protect;
  protect.request = ticket();
  auto& entry = protect.entry;
  entry.guest = done.guest;
  entry.name = done.name;
  entry.priority = protecting.priority;
  entry.isolation = protecting.isolation;
  entry.memory_kib = done.memory_kib;
  entry.vcpus = done.vcpus;
  entry.waived = std::move(waived.names);
  entry.xml = done.xml;
  const bool off = done.state == port::RunState::shut_off || done.state == port::RunState::absent;
  entry.wanted = off ? Wanted::stopped : Wanted::running;
  submitted_.emplace(protect.request, std::move(protecting.answer));
  submit_(protect);
}

void Requests::unprotect(const json::object& request, control::Answer answer) {
  const auto guest = text_of(request, "guest");
  const auto sight = sight_();
  const auto view = sight.loop.member().guest_called(guest);
  if (!view) return answer(reply_error(kFailed, no_guest(guest)));
  if (submitted_.size() >= kMaxPending) return answer(too_many());
  core::Unprotect unprotect{ticket(), view->entry.guest};
  submitted_.emplace(unprotect.request, std::move(answer));
  submit_(unprotect);
}

// For ocf:wardom:Guest: with the XML that the guest is to have from now on, or, without one, as it
// is recorded.
void Requests::start_guest(const json::object& request, control::Answer answer) {
  core::StartGuest start;
  auto& entry = start.entry;
  const auto patience = time_of(request, "patience_ms", kMostPatience, kMostPatience);
  if (!patience)
    return answer(reply_error(kUsage, "guest start: patience_ms is a number from 0 to 50000"));
  start.patience = *patience;
  if (const auto word = text_of(request, "isolation"); !word.empty()) {
    entry.isolation = core::isolation_response(word);
    if (!entry.isolation)
      return answer(reply_error(kUsage, "guest start: isolation is leave, shutdown or kill"));
  }
  const auto guest = text_of(request, "guest");
  if (const auto xml = text_of(request, "xml"); !xml.empty()) {
    const auto summary = guestxml::summarize(xml);
    if (!summary) return answer(reply_error(kUsage, "guest XML: " + summary.error().message));
    if (summary.value().uuid.is_zero())
      return answer(reply_error(kUsage, summary.value().name + ": its XML has no <uuid>; "
                                            "`virsh dumpxml --inactive` writes one"));
    if (!guest.empty() && guest != summary.value().name && guest != to_uuid(summary.value().uuid))
      return answer(reply_error(kUsage, "guest start: the XML is of " + summary.value().name +
                                            ", and " + guest + " is asked for"));
    auto waived = check_local(summary.value().name, xml, waives_of(request));
    if (waived.refusal) return answer(*waived.refusal);
    entry.guest = summary.value().uuid;
    entry.name = summary.value().name;
    entry.memory_kib = summary.value().memory_kib;
    entry.vcpus = summary.value().vcpus;
    entry.waived = std::move(waived.names);
    entry.xml = xml;
  } else {
    const auto found = known_guest(guest);
    if (!found)
      return answer(reply_error(kUsage, "no guest called \"" + guest + "\" is on record; name its "
                                            "XML"));
    entry.guest = found->guest;
    entry.name = found->name;
    if (!found->recorded) return start_as_defined(std::move(start), request, answer);
  }
  submit_start(std::move(start), std::move(answer));
}

// By the definition that libvirt has of it on this host.
void Requests::start_as_defined(core::StartGuest start, const json::object& request,
                                const control::Answer& answer) {
  if (describing_.size() + starting_.size() + submitted_.size() >= kMaxPending)
    return answer(too_many());
  const auto asked = ticket();
  const auto guest = to_uuid(start.entry.guest);
  starting_.emplace(asked, Starting{std::move(start), waives_of(request), answer});
  hypervisor_.describe(asked, guest);
}

void Requests::submit_start(core::StartGuest start, control::Answer answer) {
  if (submitted_.size() >= kMaxPending)
    return answer(too_many());
  start.request = ticket();
  submitted_.emplace(start.request, std::move(answer));
  submit_(start);
}

void Requests::stop_guest(const json::object& request, control::Answer answer) {
  core::StopGuest stop;
  const auto patience = time_of(request, "patience_ms", kMostPatience, kMostPatience);
  const auto shutdown = time_of(request, "shutdown_ms", std::chrono::hours{1}, Duration::zero());
  if (!patience || !shutdown)
    return answer(reply_error(kUsage, "guest stop: patience_ms is a number from 0 to 50000, "
                                      "shutdown_ms one from 0 to 3600000"));
  const auto found = known_guest(text_of(request, "guest"));
  if (!found)
    return answer(reply_error(kUsage, "no guest called \"" + text_of(request, "guest") +
                                          "\" is known here; give its UUID"));
  if (submitted_.size() >= kMaxPending)
    return answer(too_many());
  stop.request = ticket();
  stop.guest = found->guest;
  stop.name = found->name;
  stop.patience = *patience;
  stop.shutdown = *shutdown;
  submitted_.emplace(stop.request, std::move(answer));
  submit_(stop);
}

// What cannot succeed is refused before anything is done to the guest.
void Requests::migrate_guest(const json::object& request, control::Answer answer) {
  const auto sight = sight_();
  const auto& member = sight.loop.member();
  const auto guest = text_of(request, "guest");
  const auto to = text_of(request, "to");
  const auto patience = time_of(request, "patience_ms", kMostMigration, kUsualMigration);
  if (!patience || *patience == Duration::zero())
    return answer(reply_error(kUsage, "guest migrate: patience_ms is a number from 1 to 3600000"));
  const auto view = member.guest_called(guest);
  if (!view) return answer(reply_error(kFailed, no_guest(guest)));
  const auto* target = member_called(sight, to);
  if (target == nullptr) return answer(no_host(to));
  if (target->id == sight.self.id)
    return answer(reply_error(kUsage, "guest migrate: " + to + " is this host"));
  const auto& name = view->entry.name;
  const Names names(sight.config, member);
  if (view->owner == target->id && view->entry.phase == GuestPhase::holding)
    return answer(reply_with(json::object{{"done", true}, {"how", "it is there already"}}));
  if (view->owner != sight.self.id)
    return answer(reply_error(kFailed, name + " is not on this host" +
                                           (view->owner == kNoHost
                                                ? std::string()
                                                : ", but on " + names.host_text(view->owner)) +
                                           "; it is sent from where it runs"));
  if (!sight.config.migration)
    return answer(reply_error(kUsage, "wardom.toml has no [migration], which says how hosts reach "
                                      "each other's libvirt; see wardom.toml(5)"));
  for (const auto& host : member.hosts(sight.loop.now().at))
    if (host.host == target->id && host.judged.state != core::HostState::alive)
      return answer(reply_error(kFailed, to + " is " + core::to_text(host.judged.state) +
                                             ", so " + name + " stays here; `wardomctl why " + to +
                                             "`"));
  if (submitted_.size() >= kMaxPending) return answer(too_many());
  const core::MigrateGuest migrate{ticket(), view->entry.guest, target->id, *patience};
  submitted_.emplace(migrate.request, std::move(answer));
  submit_(migrate);
}

// By name, as it is recorded or as libvirt has it here; a UUID always names one.
std::optional<Requests::Known> Requests::known_guest(const std::string& guest) const {
  const auto sight = sight_();
  const auto& member = sight.loop.member();
  if (const auto view = member.guest_called(guest))
    return Known{view->entry.guest, view->entry.name, true};
  if (const auto here = member.guest_here(guest)) {
    const bool recorded = member.guest_called(to_uuid(here->guest)).has_value();
    return Known{here->guest, here->name, recorded};
  }
  if (const auto bits = parse_bits(guest); bits && guest.size() == 36)
    return Known{GuestId{*bits}, guest, false};
  return std::nullopt;
}

// The operator types the incarnation as `host show` prints it: a host that has booted since is
// another one.
void Requests::confirm_dead(const json::object& request, control::Answer answer) {
  const auto sight = sight_();
  const auto name = text_of(request, "host");
  const auto boot = text_of(request, "incarnation");
  const auto* found = member_called(sight, name);
  if (found == nullptr) return answer(no_host(name));
  const auto boots = sight.loop.member().boots(found->id);
  const auto named = std::find_if(boots.begin(), boots.end(), [&](const Incarnation& one) {
    return to_text(one) == boot;
  });
  if (named == boots.end())
    return answer(reply_error(kRefused, name + " has no incarnation \"" + boot +
                                            "\" that could be confirmed dead; `wardomctl host "
                                            "show " + name + "` prints them"));
  core::OperatorAsk ask;
  ask.wish = core::Wish::confirm_dead;
  ask.host = found->id;
  ask.incarnation = *named;
  submit(ask, request, std::move(answer));
}

void Requests::trust_bmc(const json::object& request, control::Answer answer) {
  const auto sight = sight_();
  const auto name = text_of(request, "host");
  const auto* found = member_called(sight, name);
  if (found == nullptr) return answer(no_host(name));
  core::OperatorAsk ask;
  ask.wish = core::Wish::trust_bmc;
  ask.host = found->id;
  submit(ask, request, std::move(answer));
}

// From fence_wardom. `split`: "off" or "wait"; `patience_ms`: for how long it waits for the proof.
void Requests::fence(const json::object& request, control::Answer answer) {
  const auto sight = sight_();
  const auto name = text_of(request, "host");
  const auto split = text_of(request, "split");
  const auto* found = member_called(sight, name);
  if (found == nullptr) return answer(no_host(name));
  const auto* patience = request.if_contains("patience_ms");
  const auto* ms = patience == nullptr ? nullptr : patience->if_int64();
  if (ms == nullptr || *ms <= 0 || *ms > kMaxFencingMs)
    return answer(reply_error(kUsage, "host-fence: patience_ms is a number from 1 to " +
                                          std::to_string(kMaxFencingMs)));
  if (split != "off" && split != "wait")
    return answer(reply_error(kUsage, "host-fence: split is off or wait"));
  core::OperatorAsk ask;
  ask.wish = split == "off" ? core::Wish::fence : core::Wish::fence_unless_split;
  ask.host = found->id;
  ask.time = std::chrono::milliseconds{*ms};
  submit(ask, request, std::move(answer));
}

void Requests::change_key(const json::object& request, const control::Answer& answer) {
  const auto* prepared = request.if_contains("prepared");
  std::optional<wire::Secret> drawn;
  if (prepared == nullptr || *prepared != true) {
    auto secret = draw_key();
    if (!secret) return answer(reply_error(kFailed, secret.error().message));
    drawn = secret.value();
  }
  const auto begun = key_.change(drawn, asker(request));
  const auto sight = sight_();
  if (!begun)
    return answer(reply_error(kFailed, Names(sight.config, sight.loop.member())
                                           .in_text(begun.error().message)));
  answer(reply_with(key_status(sight)));
}

void Requests::give_up_key(const json::object& request, const control::Answer& answer) {
  const bool too_late = sight_().loop.keys().stage() == runtime::KeyChange::Stage::sending;
  if (const auto asked = key_.give_up(asker(request)); !asked)
    return answer(reply_error(too_late ? kRefused : kFailed, asked.error().message));
  answer(reply_with(key_status(sight_())));
}

// `change`: "setup" with `timeout_ms` and `sync_timeout_ms`, or "remove"; for quorum-write also
// `passes`, by host name, as quorum-try gave them.
void Requests::ask_devices(wire::DeviceStep step, const json::object& request,
                           control::Answer answer) {
  constexpr const char* kUse = "quorum: change is setup, with timeout_ms and sync_timeout_ms, or "
                               "remove";
  wire::DeviceAsk ask;
  const auto sight = sight_();
  ask.from = sight.self.id;
  ask.request = ticket();
  ask.step = step;
  ask.by = asker(request);
  if (step != wire::DeviceStep::look) {
    const auto change = text_of(request, "change");
    ask.remove = change == "remove";
    if (!ask.remove && change != "setup") return answer(reply_error(kUsage, kUse));
    constexpr std::chrono::milliseconds kMost{corosync_conf::kSyncTimeoutMaxMs};
    const auto timeout = time_of(request, "timeout_ms", kMost, Duration::zero());
    const auto sync = time_of(request, "sync_timeout_ms", kMost, Duration::zero());
    if (!timeout || !sync) return answer(reply_error(kUsage, kUse));
    ask.timeout_ms = static_cast<std::uint32_t>(whole_ms(*timeout));
    ask.sync_timeout_ms = static_cast<std::uint32_t>(whole_ms(*sync));
  }
  if (const auto* passes = request.if_contains("passes");
      passes != nullptr && passes->is_object() && step == wire::DeviceStep::write)
    for (const auto& [name, pass] : passes->get_object()) {
      const auto* found = member_called(sight, std::string(name));
      if (found == nullptr) return answer(no_host(std::string(name)));
      if (!pass.is_string()) return answer(reply_error(kUsage, "quorum: a pass is a text"));
      ask.passes.push_back(
          {found->id, std::strtoull(std::string(pass.get_string()).c_str(), nullptr, 10)});
    }
  if (submitted_.size() >= kMaxPending) return answer(too_many());
  const auto request_id = ask.request;
  if (const auto asked = ask_devices_(std::move(ask)); !asked) {
    const Names names(sight.config, sight.loop.member());
    return answer(reply_error(step == wire::DeviceStep::write ? kRefused : kFailed,
                              names.in_text(asked.error().message)));
  }
  submitted_.emplace(request_id, std::move(answer));
}

void Requests::on_device_round(const runtime::DeviceRounds::Ended& ended) {
  const auto found = submitted_.find(ended.request);
  if (found == submitted_.end()) return;
  const auto answer = std::move(found->second);
  submitted_.erase(found);
  answer(reply_with(device_round(sight_(), ended)));
}

void Requests::arm(const json::object& request, control::Answer answer) {
  core::OperatorAsk ask;
  ask.wish = core::Wish::arm;
  submit(ask, request, std::move(answer));
}

void Requests::disarm(const json::object& request, control::Answer answer) {
  core::OperatorAsk ask;
  ask.wish = core::Wish::disarm;
  if (const auto* time = request.if_contains("for_ms"); time != nullptr && !time->is_null()) {
    const auto* ms = time->if_int64();
    if (ms == nullptr || *ms <= 0 || static_cast<std::uint64_t>(*ms) > kMaxDisarmedMs)
      return answer(reply_error(kUsage, "disarm: the time is more than 0 and at most a day"));
    ask.time = std::chrono::milliseconds{*ms};
  }
  submit(ask, request, std::move(answer));
}

std::string Requests::asker(const json::object& request) const {
  const auto by = text_of(request, "by");
  return ((by.empty() ? "somebody" : by) + " on " + sight_().self.name)
      .substr(0, kMaxOperatorBytes);
}

void Requests::submit(core::OperatorAsk ask, const json::object& request,
                      control::Answer answer) {
  if (submitted_.size() >= kMaxPending)
    return answer(too_many());
  const auto sight = sight_();
  ask.from = sight.self.id;
  ask.request = ticket();
  ask.by = asker(request);
  submitted_.emplace(ask.request, std::move(answer));
  submit_(ask);
}

void Requests::on_reply(const core::Reply& reply) {
  const auto found = submitted_.find(reply.request);
  if (found == submitted_.end()) return;
  const auto answer = std::move(found->second);
  submitted_.erase(found);
  const auto sight = sight_();
  const auto text = Names(sight.config, sight.loop.member()).in_text(reply.text);
  if (!reply.ok) return answer(reply_error(reply.exit_code, text));
  json::object done{{"done", true}};
  if (!text.empty()) done["how"] = text;
  answer(reply_with(std::move(done)));
}

}  // namespace wardom::daemon
