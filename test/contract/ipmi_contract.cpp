// IpmiPower against OpenIPMI's ipmi_sim: a real IPMI 2.0 BMC on loopback, one per test.
#include <arpa/inet.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "libha/ipmi/ipmi_power.hpp"
#include "net_sandbox.hpp"

namespace {

using namespace wardom;
using namespace std::chrono_literals;
using port::PowerState;
using sandbox::Clock;
using std::chrono::milliseconds;

constexpr HostId kHost{7};
constexpr auto kSession = 1000ms;  // shorter than the default, so that the suite stays quick
constexpr auto kLimit = kSession + kPowerAnswerSlack + 100ms;  // 100 ms for a loaded machine

int free_udp_port() {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  bind(fd, reinterpret_cast<sockaddr*>(&address), length);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  close(fd);
  return ntohs(address.sin_port);
}

// A BMC whose chassis is a file holding 0 or 1.
class SimulatedBmc {
 public:
  SimulatedBmc() : port_(free_udp_port()) {
    const std::string script = folder_.write("chassis", "#!/bin/sh\n"
        "f=$(dirname \"$0\")/power\n"
        "echo \"$@\" >> \"$f.calls\"\n"
        "case \"$2 $3\" in\n"
        "'get power') echo \"power:$(cat $f)\" ;;\n"
        "'set power') [ -e $f.broken ] && exit 1; echo $4 > $f ;;\n"
        "'get boot') echo boot:default ;;\n"
        "esac\n", 0700);
    folder_.write("power", "1\n");
    folder_.write("state/ipmi_sim/bmc/sdr.20.main", "");
    folder_.write("bmc.emu", "mc_setbmc 0x20\n"
        "mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\n"
        "mc_enable 0x20\n");
    folder_.write("lan.conf",
        "name \"bmc\"\nset_working_mc 0x20\n  startlan 1\n    addr 127.0.0.1 " +
        std::to_string(port_) + "\n    priv_limit admin\n"
        "    allowed_auths_callback none md2 md5 straight\n"
        "    allowed_auths_user none md2 md5 straight\n"
        "    allowed_auths_operator none md2 md5 straight\n"
        "    allowed_auths_admin none md2 md5 straight\n"
        "    guid a123456789abcdefa123456789abcd01\n  endlan\n"
        "  chassis_control \"" + script + " x\"\n"
        "  user 1 true \"\" \"\" user 10 none md2 md5 straight\n"
        "  user 2 true \"admin\" \"secret\" admin 10 none md2 md5 straight\n");
    start();
  }
  void start() {
    sim_ = sandbox::Process({"/usr/bin/ipmi_sim", "-n", "-c", folder_ / "lan.conf", "-f",
                             folder_ / "bmc.emu", "-s", folder_ / "state"}, folder_ / "log");
  }
  void kill() { sim_.end(SIGKILL); }
  void freeze() { sim_.signal(SIGSTOP); }
  void thaw() { sim_.signal(SIGCONT); }
  void set_power(bool on) { folder_.write("power", on ? "1\n" : "0\n"); }
  void refuse_control() { folder_.write("power.broken", ""); }
  bool power() const {
    int on = -1;
    std::ifstream(folder_ / "power") >> on;
    return on != 0;
  }
  std::string calls() const {
    std::ifstream file(folder_ / "power.calls");
    return {std::istreambuf_iterator<char>(file), {}};
  }
  BmcAccess access(HostId host = kHost) const {
    BmcAccess access;
    access.host = host;
    access.address = "127.0.0.1:" + std::to_string(port_);
    access.user = "admin";
    access.password = "secret";
    access.privilege = BmcPrivilege::admin;
    access.workarounds = {"opensesspriv"};
    return access;
  }

 private:
  sandbox::Folder folder_;
  int port_;
  sandbox::Process sim_;
};

// Collects the events; waits for the one with a ticket.
class Answers {
 public:
  port::PowerEvents events() {
    return {[this](port::PowerReading r) { keep(readings_, r); },
            [this](port::PowerOffSent s) { keep(sent_, s); }};
  }
  std::optional<port::PowerReading> reading(Ticket ticket, milliseconds limit = kLimit) {
    return wait(readings_, ticket, limit);
  }
  std::optional<port::PowerOffSent> sent(Ticket ticket, milliseconds limit = kLimit) {
    return wait(sent_, ticket, limit);
  }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return readings_.size() + sent_.size();
  }
  std::size_t repeated() {
    const std::lock_guard lock(mutex_);
    return repeated_;
  }

 private:
  template <class Event>
  void keep(std::map<Ticket, Event>& into, const Event& event) {
    const std::lock_guard lock(mutex_);
    if (!into.emplace(event.ticket, event).second) ++repeated_;
    came_.notify_all();
  }
  template <class Event>
  std::optional<Event> wait(std::map<Ticket, Event>& from, Ticket ticket, milliseconds limit) {
    std::unique_lock lock(mutex_);
    if (!came_.wait_for(lock, limit, [&] { return from.count(ticket) != 0; })) return {};
    return from.at(ticket);
  }
  std::mutex mutex_;
  std::condition_variable came_;
  std::map<Ticket, port::PowerReading> readings_;
  std::map<Ticket, port::PowerOffSent> sent_;
  std::size_t repeated_{0};
};

bool have_sim() {
  if (!sandbox::find_program("ipmi_sim").empty()) return true;
  sandbox::say_skipped("ipmi_sim is not installed (package openipmi)");
  return false;
}

struct Rig {
  explicit Rig(BmcAccess access) : Rig(std::vector<BmcAccess>{std::move(access)}) {}
  explicit Rig(std::vector<BmcAccess> bmcs) {
    IpmiOptions options;
    options.bmcs = std::move(bmcs);
    options.session_timeout = kSession;
    options.retransmission = 200ms;
    auto made = IpmiPower::create(std::move(options), answers.events());
    REQUIRE(made.has_value());
    power = std::move(made.value());
  }
  port::PowerReading ask(HostId host = kHost) {
    const Ticket ticket = next();
    const auto before = Clock::now();
    power->ask(ticket, host);
    auto answer = answers.reading(ticket);
    took = Clock::now() - before;
    REQUIRE(answer.has_value());
    INFO(answer->error);
    CHECK(answer->host == host);
    CHECK((answer->state == PowerState::unknown) == !answer->error.empty());
    return *answer;
  }
  port::PowerOffSent off(HostId host = kHost) {
    const Ticket ticket = next();
    power->power_off(ticket, host);
    auto answer = answers.sent(ticket);
    REQUIRE(answer.has_value());
    return *answer;
  }
  // The first reading after the BMC was started; it takes its time to open its port.
  void until_known(HostId host = kHost) {
    std::string error;
    const bool known = sandbox::eventually(
        [&] {
          const auto answer = ask(host);
          error = answer.error;
          return answer.state != PowerState::unknown;
        },
        10s);
    INFO(error);
    REQUIRE(known);
  }
  Ticket next() { return ticket_ = ticket_.next(); }

  Answers answers;
  std::unique_ptr<IpmiPower> power;
  Clock::duration took{};

 private:
  Ticket ticket_{0};
};

}  // namespace

TEST_CASE("ask reads on and off; power_off turns off", "[ipmi]") {
  if (!have_sim()) return;
  SimulatedBmc bmc;
  Rig rig(bmc.access());
  rig.until_known();
  CHECK(rig.ask().state == PowerState::on);
  const auto sent = rig.off();
  CHECK(sent.accepted);
  CHECK(sent.error.empty());
  CHECK_FALSE(bmc.power());
  CHECK(rig.ask().state == PowerState::off);
  bmc.set_power(true);
  CHECK(rig.ask().state == PowerState::on);
  CHECK(bmc.calls().find("set power 0") != std::string::npos);
  CHECK(bmc.calls().find("reset") == std::string::npos);
  CHECK(bmc.calls().find("set power 1") == std::string::npos);  // off, never a cycle
}

TEST_CASE("a chassis that refuses is reported and the session stays", "[ipmi]") {
  if (!have_sim()) return;
  SimulatedBmc bmc;
  Rig rig(bmc.access());
  rig.until_known();
  bmc.refuse_control();
  const auto sent = rig.off();
  CHECK_FALSE(sent.accepted);
  CHECK_FALSE(sent.error.empty());
  CHECK(rig.ask().state == PowerState::on);
  CHECK(rig.took < kSession / 2);
}

TEST_CASE("an unreachable BMC is unknown within the limit", "[ipmi]") {
  if (!have_sim()) return;
  SimulatedBmc bmc;
  bmc.kill();
  Rig rig(bmc.access());
  const auto answer = rig.ask();
  CHECK(answer.state == PowerState::unknown);
  CHECK_FALSE(rig.off().accepted);
  bmc.start();
  rig.until_known();
}

TEST_CASE("a restarted BMC costs no reading, only half of the limit", "[ipmi]") {
  if (!have_sim()) return;
  SimulatedBmc bmc;
  Rig rig(bmc.access());
  rig.until_known();
  bmc.kill();
  bmc.start();
  {
    Rig probe(bmc.access());  // the BMC is up again when another client can read it
    probe.until_known();
  }
  CHECK(rig.ask().state == PowerState::on);
  CHECK(rig.took < kSession);
  CHECK(rig.ask().state == PowerState::on);
  CHECK(rig.took < kSession / 2);
}

TEST_CASE("a frozen BMC is unknown within the limit and comes back", "[ipmi]") {
  if (!have_sim()) return;
  SimulatedBmc bmc;
  Rig rig(bmc.access());
  rig.until_known();
  bmc.freeze();
  CHECK(rig.ask().state == PowerState::unknown);
  CHECK(rig.took >= kSession / 2);
  CHECK_FALSE(rig.off().accepted);
  CHECK(rig.ask().state == PowerState::unknown);
  bmc.thaw();
  rig.until_known();
}

TEST_CASE("a session that idles longer than its time-out still answers at once", "[ipmi]") {
  if (!have_sim()) return;
  SimulatedBmc bmc;
  Rig rig(bmc.access());
  rig.until_known();
  const auto opened = rig.power->sessions_opened(kHost);
  REQUIRE(opened >= 1);
  // FreeIPMI alone would give the session up: it counts idle time as silence of the BMC.
  std::this_thread::sleep_for(kSession + kSession / 2);
  CHECK(rig.ask().state == PowerState::on);
  CHECK(rig.took < kSession / 2);
  CHECK(rig.power->sessions_opened(kHost) == opened);
}

TEST_CASE("a wrong password is unknown, named, and not tried again at once", "[ipmi]") {
  if (!have_sim()) return;
  SimulatedBmc bmc;
  { Rig(bmc.access()).until_known(); }
  auto access = bmc.access();
  access.password = "wrong-one";
  Rig rig(access);
  const auto first = rig.ask();
  CHECK(first.state == PowerState::unknown);
  const auto second = rig.ask();
  CHECK(second.state == PowerState::unknown);
  CHECK(second.error.find("left alone") != std::string::npos);
  CHECK(rig.took < 50ms);
  CHECK(second.error.find("wrong-one") == std::string::npos);
  CHECK(second.error.find(access.user) == std::string::npos);
}

TEST_CASE("each request is answered exactly once, also in overload and at the end", "[ipmi]") {
  if (!have_sim()) return;
  SimulatedBmc bmc;
  auto rig = std::make_unique<Rig>(bmc.access());
  rig->until_known();
  bmc.freeze();
  const std::size_t before = rig->answers.count();
  std::vector<Ticket> tickets;
  for (int i = 0; i < 20; ++i) {
    tickets.push_back(rig->next());
    rig->power->ask(tickets.back(), kHost);
  }
  const auto last = rig->answers.reading(tickets.back());
  REQUIRE(last.has_value());
  CHECK(last->error.find("too many") != std::string::npos);
  for (auto ticket : tickets) CHECK(rig->answers.reading(ticket).has_value());
  CHECK(rig->answers.count() == before + tickets.size());

  for (int i = 0; i < 3; ++i) rig->power->power_off(rig->next(), kHost);
  const auto stop = Clock::now();
  rig->power.reset();
  CHECK(Clock::now() - stop < 1500ms);
  CHECK(rig->answers.count() == before + tickets.size() + 3);
  CHECK(rig->answers.repeated() == 0);
  bmc.thaw();
}

TEST_CASE("a host without a BMC is answered unknown", "[ipmi]") {
  if (!have_sim()) return;
  SimulatedBmc bmc;
  Rig rig(bmc.access());
  CHECK(rig.ask(HostId{9}).state == PowerState::unknown);
  CHECK(rig.took < 50ms);
}

TEST_CASE("one dead BMC does not delay another", "[ipmi]") {
  if (!have_sim()) return;
  SimulatedBmc living, dead;
  Rig rig({living.access(HostId{1}), dead.access(HostId{2})});
  rig.until_known(HostId{1});
  dead.freeze();
  rig.power->ask(rig.next(), HostId{2});
  CHECK(rig.ask(HostId{1}).state == PowerState::on);
  CHECK(rig.took < kSession / 2);
  dead.thaw();
}

TEST_CASE("options are checked and named", "[ipmi]") {
  const auto error_of = [](auto change) {
    IpmiOptions options;
    BmcAccess access;
    access.host = HostId{3};
    access.address = "192.0.2.1";
    options.bmcs = {access};
    change(options);
    auto made = IpmiPower::create(std::move(options), {[](auto) {}, [](auto) {}});
    REQUIRE(made.has_error());
    return made.error().message;
  };
  CHECK_THAT(error_of([](auto& o) { o.bmcs[0].workarounds = {"sun21"}; }),
             Catch::Contains("host 3") && Catch::Contains("sun21") && Catch::Contains("sun20"));
  CHECK_THAT(error_of([](auto& o) { o.bmcs[0].address.clear(); }), Catch::Contains("address"));
  CHECK_THAT(error_of([](auto& o) { o.bmcs.push_back(o.bmcs[0]); }), Catch::Contains("two BMCs"));
  CHECK_THAT(error_of([](auto& o) { o.bmcs[0].cipher_suites = {99}; }), Catch::Contains("99"));
  CHECK_THAT(error_of([](auto& o) { o.bmcs[0].password = std::string(21, 'x'); }),
             Catch::Contains("20 bytes"));
  CHECK_THAT(error_of([](auto& o) { o.retransmission = 1s; }), Catch::Contains("retransmission"));
}

// Hidden: prints figures instead of asserting them. Run with "[measure]".
TEST_CASE("cost of a status reading", "[.][measure]") {
  if (!have_sim()) return;
  SimulatedBmc bmc;
  Rig rig(bmc.access());
  rig.until_known();
  constexpr int kReadings = 200;
  const double before = sandbox::cpu_us_of_this_process();
  std::vector<double> took;
  for (int i = 0; i < kReadings; ++i) {
    rig.ask();
    took.push_back(std::chrono::duration<double, std::milli>(rig.took).count());
  }
  std::sort(took.begin(), took.end());
  std::cout << "ask(): median " << took[kReadings / 2] << " ms, worst " << took.back()
            << " ms; own CPU " << (sandbox::cpu_us_of_this_process() - before) / kReadings
            << " us each; resident " << sandbox::resident_kib() << " KiB\n";
  const long one = sandbox::resident_kib();
  std::vector<BmcAccess> many;
  for (std::uint16_t id = 1; id <= 10; ++id) many.push_back(bmc.access(HostId{id}));
  Rig ten(many);
  for (std::uint16_t id = 1; id <= 10; ++id) ten.until_known(HostId{id});
  std::cout << "ten sessions more: +" << sandbox::resident_kib() - one << " KiB resident\n";
}
