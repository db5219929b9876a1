#include "fencing/actions.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstdio>
#include <cstring>
#include <optional>
#include <thread>

#include "fencing/bmcs.hpp"
#include "fencing/metadata.hpp"
#include "fencing/said.hpp"
#include "libha/control_client/control_client.hpp"

namespace wardom::fencing {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kOff = 2;

// Left of the time when everything else has to be over.
constexpr milliseconds kLastWords{500};
// A decider answers by then, and its answer comes through (core/operator_desk.cpp).
constexpr seconds kAnswerSlack{3};
// One request's, at most: the control socket gives a longer one up.
constexpr seconds kPatience{50};
// No other request is worth its while in less.
constexpr seconds kPatienceMin{2};
// A wardomd that is restarted is back by then. Nobody there for so long: none runs.
constexpr seconds kNobodyFor{3};
constexpr milliseconds kTryAgain{200};
// Of a BMC that is asked by this program.
constexpr milliseconds kBetweenReadings{500};
constexpr seconds kBetweenOrders{5};
constexpr int kOrders = 5;
constexpr int kOffs = 2;
constexpr seconds kOnPatience{10};
constexpr seconds kViewPatience{5};

class Errand {
 public:
  Errand(const Request& request, Clock::time_point began)
      : request_(request), until_(began + request.power_timeout - kLastWords) {}
  int run();

 private:
  Result<void> look_up(bool host_wanted);
  bool off();
  bool off_by_bmc();
  bool on(Clock::time_point until);
  void on_by_itself();
  int status();
  int list(bool with_status);
  int monitor();
  int validate();
  std::optional<bool> done(const control::Answer& answer);
  bool gives_up(const std::string& why) {
    failed(request_.plug + " is not fenced: " + why);
    return false;
  }
  // One more question to a BMC ends before that.
  bool may_ask_by(Clock::time_point until) const {
    constexpr milliseconds kBeyond{300};  // of the BMC's own limit
    return Clock::now() + config_.timing.bmc_timeout + kBeyond < until;
  }
  milliseconds left() const {
    return std::chrono::floor<milliseconds>(until_ - Clock::now());
  }
  void pause(milliseconds time) const {
    std::this_thread::sleep_for(std::max(std::min(time, left()), milliseconds{0}));
  }

  const Request& request_;
  Clock::time_point until_;
  Config config_;
  const HostConfig* self_{nullptr};
  const HostConfig* host_{nullptr};  // to be fenced
};

std::string own_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

// wardom.toml, this host in it, and the one that is meant.
Result<void> Errand::look_up(bool host_wanted) {
  auto config = load_config(request_.config);
  if (!config) return config.error();
  config_ = std::move(config).value();
  self_ = own_host(config_, own_name());
  if (self_ == nullptr)
    return failure(request_.config + " names no host \"" + own_name() + "\"");
  if (!host_wanted) return success();
  if (request_.plug.empty()) return failure("no host is named; give plug");
  const auto members = config_.members(self_->domain);
  const auto found = std::find_if(members.begin(), members.end(), [&](const HostConfig* one) {
    return one->name == request_.plug;
  });
  if (found == members.end())
    return failure(request_.config + " names no host \"" + request_.plug.substr(0, kMaxNameBytes) +
                   "\" in the domain of " + self_->name);
  host_ = *found;
  return success();
}

// nullopt: not yet.
std::optional<bool> Errand::done(const control::Answer& answer) {
  constexpr int kUsage = 2;
  constexpr int kRefused = 3;
  if (answer.exit_code == kDone) {
    const auto* result = answer.result.if_object();
    const auto* how = result == nullptr ? nullptr : result->if_contains("how");
    said(request_.plug + " is fenced, by " +
         (how != nullptr && how->is_string() ? std::string(how->get_string())
                                             : std::string("what wardomd does not tell")));
    return true;
  }
  if (answer.exit_code == kRefused || answer.exit_code == kUsage)
    return gives_up("refused: " + answer.error);
  return std::nullopt;
}

// Until wardomd has a proof, refuses, or the time is over.
bool Errand::off() {
  std::optional<Clock::time_point> nobody_since;
  bool heard = false;  // a wardomd that could not prove it is not passed by when it goes
  std::string why = "no time was left to ask wardomd";
  while (left() >= (nobody_since ? milliseconds{0} : kAnswerSlack + kPatienceMin)) {
    const auto patience =
        std::clamp<milliseconds>(left() - kAnswerSlack, kPatienceMin / 2, kPatience);
    const auto answer = control::ask(request_.socket,
                                     {{"do", "host-fence"},
                                      {"host", request_.plug},
                                      {"split", request_.split == Split::off ? "off" : "wait"},
                                      {"patience_ms", patience.count()},
                                      {"by", "fence_wardom"}},
                                     std::min<milliseconds>(patience + kAnswerSlack, left()));
    if (answer.heard == control::Heard::answer) {
      nobody_since.reset();
      heard = true;
      if (const auto over = done(answer)) return *over;
    } else if (answer.heard == control::Heard::nobody) {
      if (!nobody_since) nobody_since = Clock::now();
      if (!heard && Clock::now() - *nobody_since >= kNobodyFor) return off_by_bmc();
    } else {
      nobody_since.reset();
    }
    why = answer.error;
    pause(kTryAgain);
  }
  return gives_up(why);
}

// With the care that wardomd takes, but without what it knows.
bool Errand::off_by_bmc() {
  if (host_ == self_) return gives_up("no wardomd runs here, and a host does not fence itself");
  if (request_.split == Split::wait)
    return gives_up("no wardomd runs here, so nothing tells whether it lives in another split "
                    "group; start wardomd, or set split=off");
  auto bmcs = Bmcs::create(config_.timing, {host_});
  if (!bmcs) return gives_up("no wardomd runs here, and " + bmcs.error().message);
  warned("no wardomd runs here: asking the BMC of " + host_->name + " without it");
  int offs = 0;
  int orders = 0;
  std::optional<Clock::time_point> ordered;
  std::string last = "its BMC was not asked";
  while (may_ask_by(until_)) {
    const auto reading = bmcs.value()->read(host_->id);
    switch (reading.state) {
      case port::PowerState::off:
        if (++offs < kOffs) break;
        said(host_->name + " is fenced: its BMC reads off, " + std::to_string(offs) +
             " times in a row (no wardomd runs here; nothing else was weighed)");
        return true;
      case port::PowerState::unknown:
        offs = 0;
        last = "its BMC: " + reading.error;
        break;
      case port::PowerState::on:
        offs = 0;
        last = "its BMC reads on";
        if (orders >= kOrders || (ordered && Clock::now() - *ordered < kBetweenOrders)) break;
        if (!may_ask_by(until_ - config_.timing.bmc_timeout)) break;
        ++orders;
        ordered = Clock::now();
        if (const auto sent = bmcs.value()->power_off(host_->id); !sent.accepted)
          last = "its BMC refused the power-off: " + sent.error;
        break;
    }
    pause(kBetweenReadings);
  }
  return gives_up(last);
}

bool Errand::on(Clock::time_point until) {
  auto bmcs = Bmcs::create(config_.timing, {host_});
  if (!bmcs) {
    warned(host_->name + " is not powered on: " + bmcs.error().message);
    return false;
  }
  std::optional<Clock::time_point> ordered;
  std::string last = "no time was left";
  while (may_ask_by(until)) {
    const auto reading = bmcs.value()->read(host_->id);
    if (reading.state == port::PowerState::on) {
      said(host_->name + " is on, as its BMC reads");
      return true;
    }
    last = reading.state == port::PowerState::off ? "its BMC reads off" : reading.error;
    if (reading.state == port::PowerState::off &&
        (!ordered || Clock::now() - *ordered >= kBetweenOrders)) {
      ordered = Clock::now();
      if (const auto sent = bmcs.value()->power_on(host_->id); !sent.accepted)
        last = "its BMC refused to power it on: " + sent.error;
    }
    pause(kBetweenReadings);
  }
  warned(host_->name + " is not powered on: " + last);
  return false;
}

// By a process of its own, which nobody waits for: a BMC takes its time, and guests wait for this
// answer. What becomes of it stands in syslog.
void Errand::on_by_itself() {
  std::vector<std::string> words{"fence_wardom", "--action=on", "--plug=" + request_.plug,
                                 "--config=" + request_.config,
                                 "--power-timeout=" + std::to_string(kOnPatience.count())};
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_t files;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    ::posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
  const int error =
      ::posix_spawn(nullptr, "/proc/self/exe", &files, &attributes, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&files);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) warned(request_.plug + " is not powered on: " + std::strerror(error));
}

// As its BMC reads; where that says nothing, as wardomd sees it live.
int Errand::status() {
  std::string why;
  if (auto bmcs = Bmcs::create(config_.timing, {host_}); bmcs) {
    const auto reading = bmcs.value()->read(host_->id);
    if (reading.state == port::PowerState::on) return kDone;
    if (reading.state == port::PowerState::off) return kOff;
    why = reading.error;
  } else {
    why = bmcs.error().message;
  }
  const auto answer = control::ask(request_.socket,
                                   {{"do", "host-show"}, {"host", host_->name}},
                                   std::min<milliseconds>(kViewPatience, left()));
  constexpr std::array<std::string_view, 6> kLives{"alive",     "mgmt-lost", "storage-lost",
                                                   "isolated",  "split",     "storage-cut"};
  const auto* host = answer.result.if_object();
  const auto* state = host == nullptr ? nullptr : host->if_contains("state");
  if (answer.exit_code == kDone && state != nullptr && state->is_string() &&
      std::find(kLives.begin(), kLives.end(), std::string_view(state->get_string())) !=
          kLives.end())
    return kDone;
  return failed("the power of " + host_->name + " is unknown: " + why);
}

int Errand::list(bool with_status) {
  const auto members = config_.members(self_->domain);
  std::map<HostId, port::PowerReading> readings;
  if (with_status) {
    std::vector<HostId> with_bmc;
    for (const auto* host : members)
      if (host->bmc) with_bmc.push_back(host->id);
    if (auto bmcs = Bmcs::create(config_.timing, members); bmcs)
      readings = bmcs.value()->read(with_bmc);
  }
  for (const auto* host : members) {
    const auto found = readings.find(host->id);
    const char* power = found == readings.end()                            ? "unknown"
                        : found->second.state == port::PowerState::on  ? "on"
                        : found->second.state == port::PowerState::off ? "off"
                                                                        : "unknown";
    std::printf("%s,%s%s\n", host->name.c_str(), with_status ? "," : "",
                with_status ? power : "");
  }
  return kDone;
}

// It can fence: by wardomd, or, while none runs here, by itself.
int Errand::monitor() {
  const auto answer = control::ask(request_.socket, {{"do", "host-list"}},
                                   std::min<milliseconds>(kViewPatience, left()));
  if (answer.exit_code == kDone) return kDone;
  if (answer.heard != control::Heard::nobody) return failed(answer.error);
  const auto bmcs = Bmcs::create(config_.timing, config_.members(self_->domain));
  if (!bmcs) return failed(answer.error + "; and " + bmcs.error().message);
  warned(answer.error + "; until then BMCs are asked without it");
  return kDone;
}

// Nothing of it is about a host: the fencer validates with a made-up one.
int Errand::validate() {
  for (const auto* host : config_.members(self_->domain))
    if (host->bmc)
      if (const auto password = load_password(host->bmc->password_file); !password)
        return failed("BMC of " + host->name + ": " + password.error().message);
  return kDone;
}

int Errand::run() {
  const auto action = request_.action;
  const bool about_host = action == Action::off || action == Action::reboot ||
                          action == Action::on || action == Action::status;
  if (const auto known = look_up(about_host); !known) return failed(known.error().message);
  switch (action) {
    case Action::off: return off() ? kDone : kFailed;
    case Action::reboot:
      if (!off()) return kFailed;
      on_by_itself();  // the fencing has succeeded; that the host comes back is a favour
      return kDone;
    case Action::on: return on(until_) ? kDone : kFailed;
    case Action::status: return status();
    case Action::list: return list(false);
    case Action::list_status: return list(true);
    case Action::monitor: return monitor();
    case Action::validate_all: return validate();
    case Action::metadata:
    case Action::manpage:
    case Action::help:
    case Action::version: break;  // run()
  }
  return kFailed;
}

}  // namespace

int run(const Request& request, Clock::time_point began) {
  switch (request.action) {
    case Action::metadata: std::fputs(metadata().c_str(), stdout); return kDone;
    case Action::manpage:
    case Action::help: std::fputs(help().c_str(), stdout); return kDone;
    case Action::version: std::puts("fence_wardom " WARDOM_VERSION); return kDone;
    case Action::off:
    case Action::reboot:
    case Action::on:
    case Action::status:
    case Action::monitor:
    case Action::list:
    case Action::list_status:
    case Action::validate_all: break;
  }
  return Errand(request, began).run();
}

}  // namespace wardom::fencing
