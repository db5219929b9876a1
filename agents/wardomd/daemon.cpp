#include "agents/wardomd/daemon.hpp"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <random>

#include "agents/wardomd/archive.hpp"
#include "agents/wardomd/device_files.hpp"
#include "agents/wardomd/journal.hpp"
#include "agents/wardomd/key_files.hpp"
#include "agents/wardomd/load.hpp"
#include "agents/wardomd/pacemaker_desk.hpp"
#include "agents/wardomd/requests.hpp"
#include "libha/core/local_formats.hpp"
#include "libha/corosync/corosync_ring.hpp"
#include "libha/corosync/votequorum_device.hpp"
#include "libha/keeper_client/keeper_client.hpp"
#include "libha/ipmi/configured.hpp"
#include "libha/ipmi/ipmi_power.hpp"
#include "libha/libvirt/hypervisor.hpp"
#include "libha/net/udp_beats.hpp"
#include "libha/proc/replace_file.hpp"
#include "libha/wire/level.hpp"

namespace wardom::daemon {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::chrono::seconds kLoadInterval{1};
// An orderly stop waits so long for the domain lock to be released on the volume.
constexpr std::chrono::seconds kLeavePatience{1};
// About corosync.conf, while its disk is slow. Who asks more gets no answer.
constexpr std::size_t kMaxDevicesAsked = 16;

core::Now read_clocks() {
  const auto nanoseconds = [](clockid_t clock) {
    timespec time{};
    ::clock_gettime(clock, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  };
  return {{nanoseconds(CLOCK_MONOTONIC_RAW)}, {whole_ms(nanoseconds(CLOCK_REALTIME))}};
}

std::uint64_t draw() {
  std::random_device device;
  std::uint64_t value = 0;
  while (value == 0) value = (std::uint64_t{device()} << 32) | device();
  return value;
}

Result<IpmiOptions> bmcs_of(const Config& config, const HostConfig& self) {
  auto options = configured_times(config.timing);
  for (const auto* host : config.members(self.domain)) {
    if (!host->bmc || host->id == self.id) continue;
    auto access = configured_bmc(*host);
    if (!access) return access.error();
    options.bmcs.push_back(std::move(access).value());
  }
  return options;
}

// As whom Pacemaker runs its alert agents.
constexpr const char* kPacemakerUser = "hacluster";

std::optional<uid_t> user_called(const char* name) {
  const auto* entry = ::getpwnam(name);
  return entry == nullptr ? std::nullopt : std::optional(entry->pw_uid);
}

// This stop of wardomd is part of the machine's, as far as systemd says so.
bool machine_stops() {
  const std::unique_ptr<FILE, int (*)(FILE*)> said(
      ::popen("timeout 1 systemctl is-system-running 2>/dev/null", "re"), ::pclose);
  char word[32] = {};
  return said && std::fgets(word, sizeof word, said.get()) != nullptr &&
         std::string(word).starts_with("stopping");
}

std::vector<HostId> member_ids(const Config& config, DomainId domain) {
  std::vector<HostId> ids;
  for (const auto* host : config.members(domain)) ids.push_back(host->id);
  return ids;
}

core::MemberSettings settings_of(const Config& config, const HostConfig& self) {
  core::MemberSettings settings;
  settings.self = self.id;
  settings.domain = self.domain;
  settings.members = member_ids(config, self.domain);
  for (const auto* host : config.members(self.domain))
    if (host->bmc && host->id != self.id) settings.with_bmc.push_back(host->id);
  settings.timing = config.timing;
  settings.config_digest = told_digest(config, self.domain);
  settings.memory_reserve_mib = config.placement.memory_reserve_mib;
  settings.isolation = config.isolation.response;
  settings.stay_up = config.watchdog.stay_up;
  settings.ride_out = config.volume.ride_out;
  settings.speaks = wire::spoken_levels();
  settings.seed = draw();
  return settings;
}

BeatOptions links_of(const Config& config, const HostConfig& self) {
  BeatOptions options;
  options.port = config.beats.port;
  options.own = {self.mgmt, self.storage};
  for (const auto* host : config.members(self.domain))
    if (host->id != self.id) options.peers.push_back({host->id, {host->mgmt, host->storage}});
  return options;
}

libvirt::MigrationOptions migration_of(const Config& config, const HostConfig& self) {
  libvirt::MigrationOptions options;
  if (!config.migration) return options;
  const auto& how = *config.migration;
  options.most = how.max;
  for (const auto* host : config.members(self.domain))
    if (host->id != self.id)
      options.ways[host->id] = {how.uri_of(*host), how.data_uri_of(*host), how.bandwidth_mib,
                                how.auto_converge};
  return options;
}

}  // namespace

class Daemon::Impl {
 public:
  explicit Impl(DaemonOptions options)
      : options_(std::move(options)),
        self_(*options_.config.find_host(options_.host)),
        archive_(options_.archive),
        key_files_(options_.config.cluster.key_file),
        device_files_(options_.corosync_conf, self_.id,
                      member_ids(options_.config, self_.domain), draw),
        inbox_([this] { wake(); }),
        timer_(io_),
        load_timer_(io_),
        leave_timer_(io_),
        signals_(io_, SIGTERM, SIGINT),
        pacemaker_(
            options_.config, self_.id, [] { return read_clocks().wall; },
            [this](const core::Note& note) { loop_->tell(note); },
            [this](const Alert& alert) {
              journal_.write(core::Severity::notice,
                             "pacemaker: " + options_.config.find_host(alert.host)->name + ": " +
                                 alert.text);
            }) {}

  Result<void> start();
  void run();

 private:
  // An adapter's event goes into the inbox as it is.
  template <class Event>
  std::function<void(Event)> arrives() {
    return [this](Event event) { inbox_.put(std::move(event)); };
  }
  // One that the core takes as it is.
  template <class Event>
  std::function<void(Event)> is_input() {
    return [this](Event event) { inbox_.put(core::Input{std::move(event)}); };
  }
  void wake() {
    asio::post(io_, [this] { turn(); });
  }
  void turn();
  void leave();
  void sample_load();
  void write_protected(const std::vector<GuestId>& guests);
  Result<void> open_adapters();
  void make_loop(const ClusterKey& key);
  void open_alerts();
  runtime::KeyStore key_store();
  void look_at_device(const wire::DeviceAsk& ask);
  Result<void> ask_devices(wire::DeviceAsk ask);
  Sight sight();

  DaemonOptions options_;
  const HostConfig& self_;
  Archive archive_;
  KeyFiles key_files_;
  DeviceFiles device_files_;  // its worker's alone
  std::size_t devices_asked_{0};
  asio::io_context io_{1};
  runtime::Inbox inbox_;
  asio::steady_timer timer_;
  asio::steady_timer load_timer_;
  asio::steady_timer leave_timer_;
  bool told_{false};  // that it leaves
  asio::signal_set signals_;
  Journal journal_;
  PacemakerDesk pacemaker_;
  LoadSampler sampler_;
  std::string told_trouble_;
  Geometry geometry_;
  std::unique_ptr<keeper_client::KeeperClient> volume_;
  std::unique_ptr<UdpBeats> beats_;
  std::unique_ptr<IpmiPower> power_;
  std::unique_ptr<CorosyncRing> ring_;
  std::unique_ptr<VotequorumDevice> quorum_;
  std::unique_ptr<libvirt::LibvirtHypervisor> hypervisor_;
  std::unique_ptr<runtime::Loop> loop_;
  std::unique_ptr<Requests> requests_;
  std::unique_ptr<control::ControlServer> control_;
  std::unique_ptr<control::ControlServer> alerts_;
  // The last: their work uses what is above.
  asio::thread_pool key_writer_{1};
  asio::thread_pool device_writer_{1};
};

Result<void> Daemon::Impl::open_adapters() {
  auto bmcs = bmcs_of(options_.config, self_);
  if (!bmcs) return bmcs.error();
  auto power = IpmiPower::create(std::move(bmcs).value(), {arrives<port::PowerReading>(),
                                                           arrives<port::PowerOffSent>()});
  if (!power) return power.error();
  power_ = std::move(power).value();
  auto beats = UdpBeats::create(links_of(options_.config, self_), {arrives<port::Datagram>()});
  if (!beats) return beats.error();
  beats_ = std::move(beats).value();
  const auto* domain = options_.config.find_domain(self_.domain);
  auto ring = CorosyncRing::create({domain->name, self_.id},
                                   {arrives<port::RingMembers>(), arrives<port::RingQuorum>(),
                                    arrives<port::RingMessage>(), arrives<port::RingLost>()});
  if (!ring) return ring.error();
  ring_ = std::move(ring).value();
  quorum_ = std::make_unique<VotequorumDevice>(port::QuorumDeviceEvents{
      is_input<core::DeviceSet>(), is_input<core::DeviceLost>(), is_input<core::RingFormed>(),
      is_input<core::VoteTaken>()});
  libvirt::HypervisorOptions libvirt_options;
  libvirt_options.uri = options_.libvirt_uri;
  libvirt_options.migration = migration_of(options_.config, self_);
  hypervisor_ = std::make_unique<libvirt::LibvirtHypervisor>(
      std::move(libvirt_options),
      port::HypervisorEvents{arrives<port::HypervisorUp>(), arrives<port::HypervisorDown>(),
                             arrives<port::GuestChanged>(), arrives<port::GuestDefined>(),
                             arrives<port::ActDone>()});
  volume_ = std::make_unique<keeper_client::KeeperClient>(
      options_.keeper_socket,
      port::VolumeEvents{[this](port::VolumeReady ready) {
                           asio::post(io_, [this, geometry = ready.geometry] {
                             geometry_ = geometry;
                           });
                           inbox_.put(std::move(ready));
                         },
                         arrives<port::ReadDone>(), arrives<port::WriteDone>(),
                         arrives<port::HeartbeatDone>(), arrives<port::VolumeLost>(),
                         arrives<port::Rights>(), arrives<port::AskStamp>(),
                         arrives<port::StartListed>(), arrives<port::KeeperTroubles>()});
  return success();
}

Sight Daemon::Impl::sight() {
  constexpr std::chrono::seconds kNow{5};
  Sight sight{options_.config, self_, *loop_, geometry_, told_trouble_};
  for (const auto& one : beats_->strangers(kNow))
    sight.strangers.push_back(one.address +
                              (one.link == Link::mgmt ? " (mgmt)" : " (storage)"));
  sight.pacemaker = &pacemaker_;
  return sight;
}

// Its files are written by a thread of its own, so that a slow disk never holds the loop up.
runtime::KeyStore Daemon::Impl::key_store() {
  const auto work = [this](std::function<Result<void>()> job) {
    asio::post(key_writer_, [this, job = std::move(job)] {
      asio::post(io_, [this, result = job()] {
        loop_->keys().on_stored(result, read_clocks().at);
        turn();
      });
    });
  };
  return {[this] { return key_files_.read(); },
          [this, work](const runtime::NextKey& next) {
            work([this, next] { return key_files_.keep(next); });
          },
          [this, work](const wire::Secret& secret) {
            work([this, secret] { return key_files_.adopt(secret); });
          }};
}

// The same for corosync.conf, by another thread: one after the other, in the order of the ring.
void Daemon::Impl::look_at_device(const wire::DeviceAsk& ask) {
  if (devices_asked_ >= kMaxDevicesAsked) return;
  ++devices_asked_;
  asio::post(device_writer_, [this, ask] {
    asio::post(io_, [this, ask, answer = device_files_.answer(ask)]() mutable {
      --devices_asked_;
      answer.in_force = loop_->member().quorum_vote().set_up;
      if (ask.step == wire::DeviceStep::write)
        loop_->tell({answer.ok ? core::Severity::notice : core::Severity::error, "operator",
                     self_.id, {}, {}, "", device_news(ask, answer)});
      loop_->answer(answer);
      turn();
    });
  });
}

Result<void> Daemon::Impl::ask_devices(wire::DeviceAsk ask) {
  wake();
  return loop_->devices().begin(std::move(ask), read_clocks().at);
}

void Daemon::Impl::make_loop(const ClusterKey& key) {
  std::optional<runtime::NextKey> next;
  if (auto found = key_files_.read(); found)
    next = found.value();
  else  // the present key is enough to run
    journal_.write(core::Severity::error, "is not used: " + found.error().message);
  runtime::LoopEvents events;
  events.note = [this](const core::Note& note, WallTime) {
    journal_.write(note, Names(options_.config, loop_->member()));
  };
  events.step = [this](const wire::StepMessage& step) {
    archive_.add(step);
    pacemaker_.on_step(step);
  };
  events.reply = [this](const core::Reply& reply) { requests_->on_reply(reply); };
  events.described = [this](const port::ActDone& done) { requests_->on_described(done); };
  events.protected_ = [this](const std::vector<GuestId>& guests) { write_protected(guests); };
  events.device_asked = [this](const wire::DeviceAsk& ask) { look_at_device(ask); };
  events.device_round = [this](const runtime::DeviceRounds::Ended& ended) {
    requests_->on_device_round(ended);
  };
  loop_ = std::make_unique<runtime::Loop>(
      runtime::LoopOptions{settings_of(options_.config, self_), key, std::move(next), key_store(),
                           draw()},
      runtime::Clock{read_clocks},
      runtime::Ports{*volume_, *beats_, *power_, *ring_, *hypervisor_, *quorum_},
      std::move(events));
  for (const auto& step : archive_.load()) {
    loop_->remember(step);
    if (step.teller != self_.id) pacemaker_.on_step(step);  // this host may have booted since
  }
  requests_ = std::make_unique<Requests>([this] { return sight(); }, *hypervisor_,
                                         [this](core::Input input) {
                                           inbox_.put(std::move(input));
                                         },
                                         KeyWishes{[this](const auto& drawn, const auto& by) {
                                                     wake();
                                                     return loop_->keys().begin(drawn, by,
                                                                                read_clocks());
                                                   },
                                                   [this](const auto& by) {
                                                     wake();
                                                     return loop_->keys().give_up(
                                                         by, read_clocks().at);
                                                   }},
                                         [this](wire::DeviceAsk ask) {
                                           return ask_devices(std::move(ask));
                                         });
}

Result<void> Daemon::Impl::start() {
  auto key = load_key(options_.config.cluster.key_file);
  if (!key) return key.error();
  if (auto opened = open_adapters(); !opened) return opened.error();
  make_loop(key.value());
  auto control = control::ControlServer::create(
      io_, {options_.control_socket}, [this](const auto& request, control::Answer answer) {
        if (!pacemaker_.handle(request, answer)) requests_->handle(request, std::move(answer));
      });
  if (!control) return control.error();
  control_ = std::move(control).value();
  open_alerts();
  return success();
}

// For Pacemaker's alert agent, which is not root. A daemon without it does all that it is there
// for.
void Daemon::Impl::open_alerts() {
  constexpr std::size_t kMaxAlertBytes = 16 * 1024;
  constexpr std::size_t kMaxAlertConnections = 16;
  constexpr std::chrono::seconds kAlertPatience{5};
  control::ServerOptions alerts{options_.alert_socket};
  alerts.max_request = kMaxAlertBytes;
  alerts.max_connections = kMaxAlertConnections;
  alerts.patience = kAlertPatience;
  alerts.users = {0, ::geteuid()};
  if (const auto user = user_called(kPacemakerUser)) alerts.users.push_back(*user);
  const auto folder = std::filesystem::path(options_.alert_socket).parent_path();
  const bool made = ::mkdir(folder.c_str(), 0711) == 0 || errno == EEXIST;
  const bool open = made && ::chmod(folder.c_str(), 0711) == 0;
  auto server = open ? control::ControlServer::create(
                           io_, std::move(alerts),
                           [this](const auto& request, control::Answer answer) {
                             pacemaker_.handle_alert(request, answer);
                           })
                     : failure(folder.native() + ": " + std::strerror(errno));
  if (server)
    alerts_ = std::move(server).value();
  else
    journal_.write(core::Severity::warning,
                   "no alerts of Pacemaker are taken: " + server.error().message);
}

void Daemon::Impl::turn() {
  loop_->turn(inbox_.take_all());
  if (told_ && loop_->member().left()) return io_.stop();
  const auto wait = loop_->deadline() - read_clocks().at;
  timer_.expires_after(std::max(wait, Duration::zero()));
  timer_.async_wait([this](error_code cancelled) {
    if (!cancelled) turn();
  });
}

void Daemon::Impl::sample_load() {
  journal_.flush();
  inbox_.put(core::Input{sampler_.sample()});
  if (auto trouble = archive_.trouble(); trouble != told_trouble_) {
    told_trouble_ = std::move(trouble);
    if (!told_trouble_.empty()) journal_.write(core::Severity::error, told_trouble_);
  }
  load_timer_.expires_after(kLoadInterval);
  load_timer_.async_wait([this](error_code cancelled) {
    if (!cancelled) sample_load();
  });
}

// Replaced as a whole, so that the hook never reads half a list.
void Daemon::Impl::write_protected(const std::vector<GuestId>& guests) {
  std::string list = std::string(kProtectedListLine) + "\n";
  for (const auto& guest : guests) list += to_uuid(guest) + "\n";
  if (!proc::replace_file(options_.protected_list, list))
    journal_.write(core::Severity::error,
                   options_.protected_list + ": cannot be written; while wardomd is down the " +
                       "libvirt hook knows protected guests only by the mark in their XML");
}

// Says so to the others, in more than one beat, since any may be lost; then stops.
void Daemon::Impl::leave() {
  constexpr int kBeatsToTell = 3;
  inbox_.put(core::Input{core::Leaving{machine_stops()}});
  leave_timer_.expires_after(kBeatsToTell * options_.config.timing.beat_interval);
  leave_timer_.async_wait([this](error_code) {
    told_ = true;
    if (loop_->member().left()) return io_.stop();
    leave_timer_.expires_after(kLeavePatience);
    leave_timer_.async_wait([this](error_code) { io_.stop(); });
  });
}

void Daemon::Impl::run() {
  signals_.async_wait([this](error_code cancelled, int) {
    if (!cancelled) leave();
  });
  journal_.write(core::Severity::notice,
                 "wardomd " WARDOM_VERSION " on " + self_.name + ", domain " +
                     options_.config.find_domain(self_.domain)->name);
  sample_load();
  turn();
  io_.run();
  journal_.write(core::Severity::notice, "wardomd stops; guests and heartbeat go on");
}

Daemon::Daemon(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Daemon::~Daemon() = default;

Result<std::unique_ptr<Daemon>> Daemon::create(DaemonOptions options) {
  const auto* self = options.config.find_host(options.host);
  if (self == nullptr)
    return failure("wardom.toml names no host \"" + options.host +
                   "\"; add it, or give the own name with --host");
  auto impl = std::make_unique<Impl>(std::move(options));
  auto started = impl->start();
  if (!started) return started.error();
  return std::unique_ptr<Daemon>(new Daemon(std::move(impl)));
}

void Daemon::run() { impl_->run(); }

}  // namespace wardom::daemon
