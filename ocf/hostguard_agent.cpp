#include "ocf/hostguard_agent.hpp"

#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <sstream>
#include <thread>
#include <utility>

#include "libha/config/config.hpp"
#include "libha/control_client/control_client.hpp"
#include "libha/proc/replace_file.hpp"
#include "ocf/answer.hpp"
#include "ocf/child.hpp"
#include "ocf/supervisor.hpp"

namespace wardom::ocf {
namespace {

namespace json = boost::json;
using control::Heard;
using std::chrono::milliseconds;

// wardomd answers from what it knows, within a turn of its loop.
constexpr milliseconds kPatience{2000};
constexpr milliseconds kAskAgain{250};
constexpr milliseconds kPublishPatience{3000};  // of one call of attrd_updater
constexpr milliseconds kSystemctlPatience{5000};
constexpr milliseconds kBmcPatience{15000};
constexpr int kDeep = 10;    // OCF_CHECK_LEVEL
constexpr int kDeeper = 20;
constexpr std::size_t kMaxParameter = 4096;
constexpr const char* kStateAttribute = "wardom-state";
constexpr const char* kHealthAttribute = "#health-wardom";
constexpr const char* kAgent = "hostguard";
constexpr const char* kNoteLine = "wardom hostguard 1";

struct Settings {
  std::string config{kDefaultConfigFile};
  std::string socket{control::kDefaultSocket};
  std::string programs{"/usr/sbin"};
  std::string log{"/var/log/wardom.log"};
  bool supervises{false};  // this agent does, and not systemd
  bool systemd{false};
  bool attributes{true};
  bool bmc{true};
};

// That it is started here, and what the last calls have seen. Gone with the boot.
struct Note {
  std::string published;             // "STATE COLOUR"
  std::int64_t window_ms{0};         // T_F
  bool leased{false};                // the host held a lease when the keeper was last there
  std::int64_t away_since_ms{0};     // 0: the keeper is there
  bool bmc_silent{false};
  friend bool operator==(const Note&, const Note&) = default;
};

std::optional<Note> recall(const Call& call) {
  const auto text = read_file(note_path(call, kAgent), 4096);
  if (!text) return std::nullopt;
  Note note;
  std::istringstream lines(*text);
  std::string line;
  // Of another release: started, and nothing more is known.
  if (!std::getline(lines, line) || line != kNoteLine) return note;
  std::getline(lines, note.published);
  Note read = note;
  if (lines >> read.window_ms >> read.leased >> read.away_since_ms >> read.bmc_silent) note = read;
  return note;
}

bool keep(const Call& call, const Note& note) {
  std::ostringstream text;
  text << kNoteLine << '\n' << note.published << '\n' << note.window_ms << ' ' << note.leased
       << ' ' << note.away_since_ms << ' ' << note.bmc_silent << '\n';
  return proc::replace_file(note_path(call, kAgent), text.str()).has_value();
}

std::int64_t boot_ms() {
  timespec time{};
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return time.tv_sec * 1000LL + time.tv_nsec / 1'000'000;
}

// 0, or the exit code of what is wrong; the reason has been told then.
int read_parameters(Settings& settings) {
  for (const auto& [name, into] :
       {std::pair{"config", &settings.config}, std::pair{"socket", &settings.socket},
        std::pair{"bindir", &settings.programs}, std::pair{"logfile", &settings.log}}) {
    const auto text = parameter(name);
    if (!text) continue;
    if (text->size() > kMaxParameter || text->front() != '/')
      return fail(configured, std::string(name) + "=" + text->substr(0, 60) +
                                  ": is not an absolute path");
    *into = *text;
  }
  for (const auto& [name, into] : {std::pair{"attributes", &settings.attributes},
                                   std::pair{"bmc", &settings.bmc}}) {
    const auto value = flag(name, *into);
    if (!value)
      return fail(configured, std::string(name) + "=" + parameter(name)->substr(0, 60) +
                                  ": is neither yes nor no");
    *into = *value;
  }
  settings.systemd = ::access("/run/systemd/system", F_OK) == 0;
  const auto supervise = parameter("supervise").value_or("auto");
  const auto said = supervise == "auto" ? std::optional(!settings.systemd)
                                        : flag("supervise", false);
  if (!said)
    return fail(configured, "supervise=" + supervise.substr(0, 60) + ": is auto, yes or no");
  settings.supervises = *said;
  return success;
}

std::string own_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "";
}

// The host as wardomd and wardom-keeper will find it.
int validate(const Settings& settings) {
  const auto config = load_config(settings.config);
  if (!config) return fail(installed, config.error().message);
  if (own_host(config.value(), own_name()) == nullptr)
    return fail(installed, settings.config + ": has no host \"" + own_name() +
                               "\", nor one with this machine's addresses");
  if (const auto key = load_key(config.value().cluster.key_file); !key)
    return fail(installed, key.error().message);
  for (const char* program : {"wardom-keeper", "wardomd"})
    if (const auto path = settings.programs + "/" + program; ::access(path.c_str(), X_OK) != 0)
      return fail(installed, path + ": " + std::strerror(errno));
  return success;
}

control::Answer ask(const Settings& settings, const json::object& request, milliseconds patience) {
  return control::ask(settings.socket, request, patience);
}

// The first of a list of sentences.
std::string first_of(const json::object& shown, const char* key) {
  const auto* value = shown.if_contains(key);
  if (value == nullptr || !value->is_array() || value->get_array().empty()) return {};
  const auto& one = value->get_array().front();
  return one.is_string() ? std::string(one.get_string()) : "";
}

// What a look at the host has found.
enum class Colour : std::uint8_t { green, yellow, red };
struct Seen {
  Colour colour{Colour::green};
  bool always{false};     // told by every monitor, not only by deep ones
  std::string state;      // wardomd's word for this host
  std::string what;       // the worst of it
  bool guard_told{true};  // wardomd knows that HostGuard runs here
  void add(Colour found, bool at_once, const std::string& text) {
    always = always || at_once;
    if (found <= colour) return;
    colour = found;
    what = text;
  }
};

// Nobody knows how the lease stands while the keeper is away. The watchdog resets a host by T_F + W
// after its last heartbeat: half of T_F is left to be started anew.
void look_without_keeper(Note& note, Seen& seen, const std::string& why) {
  const auto now = boot_ms();
  if (note.away_since_ms == 0) note.away_since_ms = now;
  const auto away = now - note.away_since_ms;
  seen.state = "storage-cut";
  const bool ends = note.leased && away >= note.window_ms / 2;
  seen.add(ends ? Colour::red : Colour::yellow, true,
           ends ? "no heartbeat for " + std::to_string(away / 1000) +
                      " s: this host's lease ends, its guests with it; " + why
           : why.empty() ? "wardom-keeper does not answer"
                         : why);
}

// lease: what it is, while the keeper is there.
void look_at_lease(const json::object& shown, Note& note, Seen& seen) {
  const auto lease = text_in(shown, "lease");
  note.leased = lease == "held";
  if (const auto* window = shown.if_contains("t_f_ms"); window != nullptr && window->is_int64())
    note.window_ms = window->get_int64();
  else if (window != nullptr && window->is_uint64())
    note.window_ms = static_cast<std::int64_t>(window->get_uint64());
  if (lease == "ending" || lease == "ended")
    seen.add(Colour::red, true, "its lease ends: the guests here are killed; " +
                                    first_of(shown, "problems"));
  if (lease == "released")
    seen.add(Colour::red, true, "its lease has ended: its guests are gone, and start elsewhere");
  if (lease == "none" && is_true(shown, "wants_lease"))
    seen.add(Colour::yellow, false, "holds no lease although wardom.toml names a watchdog; see "
                                    "wardom-keeper's log");
}

Seen look(const Settings& settings, const Call& call, Note& note) {
  Seen seen;
  const auto answer = ask(settings, {{"do", "host-here"}}, std::min(kPatience, call.left()));
  const auto* shown = shown_in(answer);
  if (shown == nullptr) {
    // One that answers, and does not know the question, is of another release.
    if (answer.heard == Heard::answer || process_called("wardom-keeper")) {
      note.away_since_ms = 0;
      seen.state = "daemon-down";
      seen.add(Colour::yellow, true, answer.error);
    } else {
      look_without_keeper(note, seen, answer.heard == Heard::nobody
                                          ? "neither wardomd nor wardom-keeper runs"
                                          : "wardom-keeper does not run; " + answer.error);
    }
    return seen;
  }
  seen.guard_told = is_true(*shown, "guard");
  seen.state = text_in(*shown, "state");
  if (!is_true(*shown, "keeper")) {
    look_without_keeper(note, seen, first_of(*shown, "problems"));
    return seen;
  }
  note.away_since_ms = 0;
  look_at_lease(*shown, note, seen);
  if (seen.state == "dead")
    seen.add(Colour::red, true, "this host's incarnation was declared dead: reboot it");
  if (!is_true(*shown, "reads_volume"))
    seen.add(Colour::yellow, false, "reads of the state volume do not complete");
  if (!is_true(*shown, "libvirt"))
    seen.add(Colour::yellow, false, "libvirt does not answer: guests run on, none starts here");
  if (!is_true(*shown, "ring"))
    seen.add(Colour::yellow, false, "no corosync ring here");
  const bool fine = seen.state == "alive" || seen.state == "left" || seen.state == "maintenance";
  if (!fine) seen.add(Colour::yellow, false, seen.state + ": " + first_of(*shown, "problems"));
  if (const auto trouble = first_of(*shown, "troubles"); !trouble.empty())
    seen.add(Colour::yellow, false, trouble);
  return seen;
}

// Of this host, by fence_wardom, which knows IPMI. Silence is a warning: a death may take longer to
// be proved.
void look_at_bmc(const Settings& settings, const Call& call, Note& note, std::string& what) {
  const auto config = load_config(settings.config);
  const auto* self = config ? own_host(config.value(), own_name()) : nullptr;
  note.bmc_silent = false;
  if (self == nullptr || !self->bmc) return;
  constexpr int kOn = 0;
  constexpr int kOff = 2;
  const auto ran = run_child({settings.programs + "/fence_wardom", "--action", "status", "--plug",
                              self->name, "--config", settings.config, "--socket",
                              settings.socket},
                             std::min(kBmcPatience, call.left() / 2));
  if (ran.code == kOn) return;
  note.bmc_silent = true;
  what = ran.code == kOff ? "its BMC reads off while it runs: no proof can rest on it"
                          : "its BMC does not answer from here: its death is proved later";
}

const char* word_of(Colour colour) {
  switch (colour) {
    case Colour::green: return "green";
    case Colour::yellow: return "yellow";
    case Colour::red: return "red";
  }
  return "red";
}

// Transient attributes of this node. What cannot be told is told by the next call; no exit code
// depends on it.
void publish(const Settings& settings, const Call& call, const Seen& seen, bool anew, Note& note) {
  const auto state = seen.state.empty() ? "unknown" : seen.state;
  const auto wanted = state + " " + word_of(seen.colour);
  if (!settings.attributes || (!anew && note.published == wanted)) return;
  bool told = true;
  for (const auto& [name, value] : {std::pair{kStateAttribute, state.c_str()},
                                    std::pair{kHealthAttribute, word_of(seen.colour)}}) {
    const auto ran = run_child({"attrd_updater", "--name", name, "--update", value},
                               std::min(kPublishPatience, call.left() / 2));
    told = told && ran.code == 0;
  }
  note.published = told ? wanted : "";
}

void unpublish(const Settings& settings, const Call& call) {
  if (!settings.attributes) return;
  for (const char* name : {kStateAttribute, kHealthAttribute})
    run_child({"attrd_updater", "--name", name, "--delete"},
              std::min(kPublishPatience, call.left() / 2));
}

void supervised(const Settings& settings) {
  SupervisorOptions options;
  options.programs = settings.programs;
  options.config = settings.config == kDefaultConfigFile ? "" : settings.config;
  options.socket = settings.socket == control::kDefaultSocket ? "" : settings.socket;
  options.directory = note_directory();
  options.log = settings.log;
  if (const auto why = start_supervisor(options); !why.empty())
    std::fprintf(stderr, "no supervisor: %s\n", why.c_str());
}

int check_level() {
  const char* text = std::getenv("OCF_CHECK_LEVEL");
  return text == nullptr ? 0 : std::atoi(text);
}

int monitor(const Settings& settings, const Call& call, Note note) {
  const Note before = note;
  if (settings.supervises && !call.probe) supervised(settings);
  auto seen = look(settings, call, note);
  const int level = check_level();
  std::string bmc = "its BMC did not answer when it was asked last";
  if (settings.bmc && level >= kDeeper) look_at_bmc(settings, call, note, bmc);
  if (note.bmc_silent) seen.add(Colour::yellow, level >= kDeeper, bmc);
  // Pacemaker forgets attributes when it is started anew: then it probes.
  publish(settings, call, seen, call.probe || level >= kDeep, note);
  if (note != before) keep(call, note);
  if (!seen.guard_told)
    ask(settings, {{"do", "guard"}, {"runs", true}}, std::min(kPatience, call.left()));
  if (seen.colour == Colour::red) return fail(failed, seen.what);
  const bool told = seen.colour == Colour::yellow && (seen.always || level >= kDeep);
  return told ? fail(degraded, seen.what) : static_cast<int>(success);
}

int start(const Settings& settings, const Call& call) {
  Note note;
  if (settings.supervises) supervised(settings);
  bool asked_systemd = settings.supervises || !settings.systemd;
  std::string why = "there was no time to ask wardomd";
  while (call.left() > kAskAgain) {
    note = {};
    const auto seen = look(settings, call, note);
    // A daemon that is being started is waited for, and so is its first heartbeat.
    const bool waits = note.away_since_ms != 0 || seen.state == "daemon-down";
    if (!waits && seen.colour != Colour::red) {
      if (!keep(call, note))
        return fail(failed,
                    note_path(call, kAgent) + ": cannot be written: " + std::strerror(errno));
      ask(settings, {{"do", "guard"}, {"runs", true}}, std::min(kPatience, call.left()));
      publish(settings, call, seen, true, note);
      keep(call, note);
      return success;
    }
    why = seen.what;
    if (!std::exchange(asked_systemd, true))
      run_child({"systemctl", "--no-block", "start", "wardom-keeper.service", "wardomd.service"},
                std::min(kSystemctlPatience, call.left() / 2));
    std::this_thread::sleep_for(std::min(kAskAgain, call.left()));
  }
  return fail(failed, why);
}

// Neither keeper nor wardomd is stopped, and nothing can make this fail: a failed stop has the host
// fenced.
int stop(const Settings& settings, const Call& call) {
  ::unlink(note_path(call, kAgent).c_str());
  ask(settings, {{"do", "guard"}, {"runs", false}}, std::min(kPatience, call.left()));
  unpublish(settings, call);
  return success;
}

}  // namespace

int run_hostguard(const Call& call) {
  if (call.action == "meta-data") {
    std::fputs(hostguard_metadata().c_str(), stdout);
    return success;
  }
  const bool known = call.action == "start" || call.action == "stop" || call.action == "monitor" ||
                     call.action == "validate-all" || call.action == "reload-agent";
  if (!known) return fail(unimplemented, "no such action: " + call.action.substr(0, 60));
  const auto note = recall(call);
  if (call.action == "monitor" && !note) return not_running;
  if (call.action == "stop" && !note) return success;
  Settings settings;
  if (const int code = read_parameters(settings); code != success) {
    if (call.action != "stop") return code;
    settings = {};
  }
  if (call.action == "monitor") return monitor(settings, call, *note);
  if (call.action == "stop") return stop(settings, call);
  if (call.action == "reload-agent") return success;  // read anew with each call
  if (const int code = validate(settings); code != success) return code;
  return call.action == "start" ? start(settings, call) : static_cast<int>(success);
}

}  // namespace wardom::ocf
