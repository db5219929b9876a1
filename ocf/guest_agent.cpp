#include "ocf/guest_agent.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <sstream>
#include <thread>

#include "libha/control_client/control_client.hpp"
#include "libha/guestxml/guest_xml.hpp"
#include "libha/proc/process.hpp"
#include "ocf/answer.hpp"
#include "ocf/guest_note.hpp"

namespace wardom::ocf {
namespace {

namespace json = boost::json;
using control::Heard;
using std::chrono::milliseconds;

// wardomd answers from what it knows; it may be busy, and libvirt is not waited for.
constexpr milliseconds kMonitorPatience{2000};
// As wardomd takes it at most in one request (agents/wardomd/requests.cpp).
constexpr milliseconds kMostPatience{50000};
constexpr milliseconds kAskAgain{500};
// Of a stop's time, for the kill that follows when the guest has not shut down.
constexpr milliseconds kKillReserve{20000};
// Of a migrate_to's time, for calling back what did not arrive in time.
constexpr milliseconds kCallBackReserve{7000};
constexpr milliseconds kLookAgain{200};

// What the resource is about. Of a guest whose XML is not readable here the UUID is remembered.
struct Named {
  std::string guest;  // UUID where it is known, else libvirt's name
  std::string uuid;   // empty: not known
  std::string xml;    // empty: none is given
};

std::string guest_parameter() { return parameter("guest").value_or(""); }

// One that cannot be written is missed only while wardomd is away.
void remember(const Call& call, const std::string& uuid, const GuestProcess& process) {
  const auto before = read_note(call, guest_parameter());
  const bool same = before && before->uuid == uuid && before->process.pid == process.pid &&
                    before->process.start_time == process.start_time;
  if (uuid.empty() || same) return;
  static_cast<void>(write_note(call, {uuid, process, guest_parameter()}));
}

// Before anything is asked for: a stop goes by it where the guest's XML cannot be read then.
Result<void> leave_note(const Call& call, const std::string& uuid) {
  const auto before = read_note(call, guest_parameter());
  if (before && (uuid.empty() || before->uuid == uuid)) return wardom::success();
  return write_note(call, {uuid, {}, guest_parameter()});
}

std::string socket_path() {
  return parameter("socket").value_or(control::kDefaultSocket);
}

// What is wrong with the parameters, and the exit code for that.
struct Fault {
  Code code;
  std::string what;
};
std::optional<Fault> fault_of(const std::optional<std::string>& guest,
                              const std::optional<std::string>& config) {
  if (const auto uri = parameter("hypervisor"); uri && *uri != "qemu:///system")
    return Fault{configured,
                 "hypervisor=" + *uri + ": Wardom's guests are those of qemu:///system"};
  if (!flag("force_stop", false))
    return Fault{configured, "force_stop=" + *parameter("force_stop") + ": is neither yes nor no"};
  if (!config && !guest)
    return Fault{configured, "no guest is named: give guest=NAME, or config=FILE with its XML"};
  return std::nullopt;
}

// Which guest it is about, as far as that can be told, also where something is wrong.
std::optional<Fault> read_parameters(const Call& call, Named& named) {
  const auto config = parameter("config");
  const auto guest = parameter("guest");
  // Pacemaker may stop a resource that it has no more without any parameter.
  const auto note = read_note(call, guest || config ? std::optional(guest_parameter())
                                                    : std::nullopt);
  if (note) named.uuid = note->uuid;
  if (guest && guest->size() == 36 && parse_bits(*guest)) named.uuid = *guest;
  named.guest = guest.value_or(note && named.uuid.empty() ? note->guest : named.uuid);
  auto fault = fault_of(guest, config);
  if (!config) return fault;
  const auto text = read_file(*config, kMaxGuestXmlBytes);
  const std::string unreadable = text ? "" : std::strerror(errno);
  const auto summary = text ? guestxml::summarize(*text)
                            : Result<guestxml::Summary>(failure(unreadable));
  if (fault && !summary) return fault;
  if (!summary) {
    // A guest that was started here is stopped and watched without it.
    const bool needed = call.action == "start" || call.action == "validate-all";
    if (!needed && !named.guest.empty()) return std::nullopt;
    return Fault{installed, "config=" + *config + ": " + summary.error().message};
  }
  if (!fault && summary.value().uuid.is_zero())
    fault = Fault{configured, "config=" + *config + ": has no <uuid>; `virsh dumpxml --inactive " +
                                  summary.value().name + "` writes one"};
  if (summary.value().uuid.is_zero()) return fault;
  const auto uuid = to_uuid(summary.value().uuid);
  const bool other = guest && *guest != summary.value().name && *guest != uuid;
  if (!fault && other)
    fault = Fault{configured, "config=" + *config + " is of " + summary.value().name +
                                  ", and guest=" + *guest};
  if (other) return fault;
  named.uuid = uuid;
  named.guest = uuid;
  named.xml = *text;
  return fault;
}

control::Answer ask(const json::object& request, milliseconds patience) {
  return control::ask(socket_path(), request, patience);
}

// What wardomd knows of the guest on this host.
control::Answer ask_here(const Call& call, const Named& named) {
  return ask({{"do", "guest-here"}, {"guest", named.guest}},
             std::min(kMonitorPatience, call.left()));
}

GuestProcess process_in(const json::object& shown) {
  GuestProcess process;
  const auto* found = shown.if_contains("process");
  if (found == nullptr || !found->is_object()) return process;
  const auto& fields = found->get_object();
  if (const auto* pid = fields.if_contains("pid")) process.pid = pid->to_number<std::int32_t>();
  if (const auto* start = fields.if_contains("start_time"))
    process.start_time = start->to_number<std::uint64_t>();
  return process;
}

// It is the same process, and not a zombie.
bool lives(const GuestProcess& process) {
  const auto stat = proc::stat_of(process.pid);
  return stat && stat->start_time == process.start_time && stat->state != 'Z' &&
         stat->state != 'X';
}

// A QEMU of that guest runs here, by the command lines of all processes.
bool has_qemu(const std::string& uuid) {
  const auto wanted = parse_bits(uuid);
  const auto pids = proc::all_pids().value_or(std::vector<std::int32_t>{});
  return std::any_of(pids.begin(), pids.end(), [&](std::int32_t pid) {
    const auto line = proc::read_file("/proc/" + std::to_string(pid) + "/cmdline");
    const auto guest = line ? proc::guest_in(*line) : std::nullopt;
    return guest && wanted && guest->bytes == wanted->bytes;
  });
}

// Neither wardomd nor libvirt says: the process does.
int look_for_process(const Call& call, const Named& named, const std::string& why) {
  const auto seen = read_note(call, guest_parameter());
  if (seen && seen->process.pid > 0 && lives(seen->process)) return success;
  if (!named.uuid.empty()) return has_qemu(named.uuid) ? success : not_running;
  // A guest that is known by its name alone, and of which nothing was ever seen here.
  return call.probe ? static_cast<int>(not_running) : fail(failed, why);
}

int monitor(const Call& call, const Named& named) {
  const auto answer = ask_here(call, named);
  const auto* shown = shown_in(answer);
  if (shown == nullptr) return look_for_process(call, named, answer.error);
  const auto here = text_in(*shown, "here");
  const auto process = process_in(*shown);
  if (here != "stopped" && process.pid > 0) remember(call, text_in(*shown, "uuid"), process);
  // Pacemaker has found it running: from now on Wardom's recovery leaves it to Pacemaker.
  if (here == "running" && !call.probe && is_true(*shown, "to_adopt"))
    ask({{"do", "guest-start"}, {"guest", text_in(*shown, "uuid")}, {"patience_ms", 1000}},
        std::min(kMonitorPatience, call.left()));
  if (here == "running") return success;
  if (here == "stopped") return not_running;
  if (here == "paused-ioerror")
    return fail(failed, "paused by an error of its disks; `virsh domblkerror` names them");
  if (here == "paused")
    return fail(degraded, "paused, and not by an error; `virsh resume` goes on");
  Named known = named;
  if (known.uuid.empty()) known.uuid = text_in(*shown, "uuid");
  if (process.pid > 0 && lives(process)) return success;
  return look_for_process(call, known, "libvirt does not answer on this host");
}

json::object start_request(const Call&, const Named& named, milliseconds patience) {
  json::object request{{"do", "guest-start"}, {"guest", named.guest},
                       {"patience_ms", patience.count()}};
  if (!named.xml.empty()) request["xml"] = named.xml;
  if (const auto isolation = parameter("isolation")) request["isolation"] = *isolation;
  json::array waive;
  std::istringstream words(parameter("waive").value_or(""));
  for (std::string word; words >> word;) waive.emplace_back(word);
  request["waive"] = waive;
  return request;
}

// Asks until it is done, is refused, or there is no time left. A wardomd that is being restarted
// is waited for.
int ask_until_done(const Call& call, const Named& named,
                   json::object (*request)(const Call&, const Named&, milliseconds)) {
  std::string why = "there was no time to ask wardomd";
  while (call.left() > kAskAgain) {
    const auto patience = std::min(kMostPatience, call.left() - kAskAgain / 2);
    const auto asked = Clock::now();
    const auto answer = ask(request(call, named, patience), patience + kAskAgain / 4);
    if (answer.heard == Heard::answer && answer.exit_code == 0) return success;
    why = answer.error;
    if (answer.heard == Heard::answer && answer.exit_code != 1)
      return fail(answer.exit_code == 2 ? arguments : installed, why);  // 3: refused for this host
    const bool at_once = Clock::now() - asked < patience / 2;
    if (answer.heard == Heard::answer && at_once) return fail(failed, why);
    std::this_thread::sleep_for(std::min(kAskAgain, call.left()));
  }
  return fail(failed, why);
}

int start(const Call& call, const Named& named) {
  if (const auto noted = leave_note(call, named.uuid); !noted)
    return fail(failed, "cannot leave a note for a later stop: " + noted.error().message);
  const int code = ask_until_done(call, named, start_request);
  if (code != success) return code;
  // Recorded for a monitor or a stop while wardomd is away.
  const auto here = ask_here(call, named);
  if (const auto* shown = shown_in(here))
    remember(call, text_in(*shown, "uuid"), process_in(*shown));
  return success;
}

json::object stop_request(const Call& call, const Named& named, milliseconds patience) {
  const bool force = flag("force_stop", false).value_or(false);
  const auto until = call.deadline() - std::min(kKillReserve, call.timeout / 2);
  const auto left = std::chrono::floor<milliseconds>(until - Clock::now());
  return {{"do", "guest-stop"},
          {"guest", named.uuid.empty() ? named.guest : named.uuid},
          {"shutdown_ms", force ? 0 : std::max<std::int64_t>(left.count(), 0)},
          {"patience_ms", patience.count()}};
}

int stop(const Call& call, Named named) {
  if (named.uuid.empty()) {
    // By its name alone wardomd may know nothing of it; then libvirt must have none either.
    const auto here = ask_here(call, named);
    const auto* shown = shown_in(here);
    if (shown != nullptr) named.uuid = text_in(*shown, "uuid");
    if (shown != nullptr && named.uuid.empty() && text_in(*shown, "here") == "stopped" &&
        is_true(*shown, "recorded"))
      return success;
  }
  return ask_until_done(call, named, stop_request);
}

// wardomd and libvirt know that it does not run here, or no QEMU of it does.
bool is_surely_not_here(const Call& call, const Named& named) {
  if (!named.uuid.empty() && !has_qemu(named.uuid)) return true;
  const auto here = ask_here(call, named);
  const auto* shown = shown_in(here);
  return shown != nullptr && text_in(*shown, "here") == "stopped" && is_true(*shown, "recorded");
}

// Pacemaker stops what did not start, and fences the host where that fails. So a resource that
// makes no sense is stopped where no start of it was asked for in this boot, and what it names, if
// anything, does not run here. What was started is stopped, whatever its parameters say now.
int stop_faulty(const Call& call, const Named& named, const Fault& fault) {
  const bool asked = has_note(call);
  if (!asked && (named.guest.empty() || is_surely_not_here(call, named))) return success;
  if (asked && !named.guest.empty()) return stop(call, named);
  return fail(fault.code, fault.what);
}

bool is_on(const json::object& shown, const std::string& host) {
  return text_in(shown, "owner") == host && text_in(shown, "state") == "running";
}

// On the source. wardomd refuses, before it touches the guest, what cannot succeed, and calls the
// rest back while there is time: a failure means that the guest runs on here.
int migrate_to(const Call& call, const Named& named) {
  const auto target = parameter("CRM_meta_migrate_target");
  if (!target) return fail(failed, "Pacemaker names no node to migrate to");
  const auto reserve = std::min(kCallBackReserve, call.timeout / 4);
  bool asked = false;
  std::string why = "there was no time to ask wardomd";
  while (call.left() > reserve + kAskAgain) {
    if (asked) {
      // Its answer was lost with the wardomd that was asked. The next one ends what was under way.
      const auto here = ask_here(call, named);
      const auto* shown = shown_in(here);
      if (shown != nullptr && is_on(*shown, *target)) return success;
    } else {
      const json::object request{{"do", "guest-migrate"},
                                 {"guest", named.guest},
                                 {"to", *target},
                                 {"patience_ms", (call.left() - reserve).count()}};
      const auto answer = ask(request, call.left());
      if (answer.heard == Heard::answer && answer.exit_code == 0) return success;
      why = answer.error;
      if (answer.heard == Heard::answer) break;
      asked = answer.heard == Heard::silence;
    }
    std::this_thread::sleep_for(std::min(kAskAgain, call.left()));
  }
  return fail(failed, "not migrated to " + *target + ": " + why);
}

// On the target, when the source has done its part: the guest is held here, and runs.
int migrate_from(const Call& call, const Named& named) {
  std::string why = "there was no time to ask wardomd";
  while (call.left() > milliseconds{0}) {
    const auto answer = ask_here(call, named);
    const auto* shown = shown_in(answer);
    if (shown != nullptr && text_in(*shown, "here") == "running" &&
        is_on(*shown, text_in(*shown, "host"))) {
      remember(call, text_in(*shown, "uuid"), process_in(*shown));
      return success;
    }
    why = shown == nullptr ? answer.error
                           : "it is " + text_in(*shown, "here") + " here, and belongs to " +
                                 text_in(*shown, "owner");
    std::this_thread::sleep_for(std::min(kLookAgain, call.left()));
  }
  return fail(failed, "it did not arrive: " + why);
}

}  // namespace

int run_guest(const Call& call) {
  if (call.action == "meta-data") {
    std::fputs(guest_metadata().c_str(), stdout);
    return success;
  }
  Named named;
  if (call.action == "start" || call.action == "stop" || call.action == "monitor" ||
      call.action == "migrate_to" || call.action == "migrate_from" ||
      call.action == "validate-all") {
    if (call.action == "migrate_from") {  // the guest may be here already, whatever comes now
      const auto noted = leave_note(call, "");
      if (!noted) return fail(failed, noted.error().message);
    }
    const auto fault = read_parameters(call, named);
    if (fault && call.action == "stop") {
      const int code = stop_faulty(call, named, *fault);
      if (code == success) remove_note(call);
      return code;
    }
    // The file may be on storage that this host does not have.
    if (fault && fault->code == installed && call.action == "monitor" && call.probe)
      return not_running;
    if (fault) return fail(fault->code, fault->what);
  }
  if (call.action == "start") return start(call, named);
  if (call.action == "stop") {
    const int code = stop(call, named);
    if (code == success) remove_note(call);
    return code;
  }
  if (call.action == "monitor") return monitor(call, named);
  if (call.action == "migrate_to") return migrate_to(call, named);
  if (call.action == "migrate_from") return migrate_from(call, named);
  if (call.action == "validate-all") return success;
  if (call.action == "reload-agent") return success;  // read anew with each call
  return fail(unimplemented, "no such action: " + call.action);
}

}  // namespace wardom::ocf
