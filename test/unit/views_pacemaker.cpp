// What Pacemaker tells wardomd: shown as evidence, and never a step towards a start.
#include <boost/json.hpp>
#include <catch2/catch.hpp>

#include "test/unit/views_fixture.hpp"

using namespace wardom;
namespace json = boost::json;

namespace {

constexpr std::int64_t kNow = 1'700'000'000'000;

json::object fencing(const char* node, int rc = 0) {
  return {{"do", "pacemaker-alert"},
          {"kind", "fencing"},
          {"node", node},
          {"rc", rc},
          {"at_ms", kNow},
          {"desc", std::string("Operation reboot of ") + node + " by n1: OK"}};
}

struct Desk {
  Config config = daemon::two_hosts();
  std::vector<core::Note> told;
  int heard{0};
  daemon::PacemakerDesk desk{config, HostId{1}, [] { return WallTime{kNow}; },
                             [this](const core::Note& note) { told.push_back(note); },
                             [this](const daemon::Alert&) { ++heard; }};
  json::value ask(const json::object& request) {
    json::value answer;
    CHECK(desk.handle(request, [&](json::value said) { answer = std::move(said); }));
    return answer;
  }
};

}  // namespace

TEST_CASE("alert_is_kept_about_its_host") {
  Desk d;
  CHECK(d.ask(fencing("n2")).at("ok") == true);
  REQUIRE(d.desk.alerts(HostId{2}).size() == 1);
  REQUIRE(d.desk.last_fencing(HostId{2}) != nullptr);
  CHECK(d.desk.last_fencing(HostId{2})->text ==
        "Operation reboot of n2 by n1: OK; Pacemaker's word, which is evidence and no proof");
  CHECK(d.desk.last_fencing(HostId{1}) == nullptr);
  CHECK(d.heard == 1);
  // A fencing that failed is told, and is no evidence.
  CHECK(d.ask(fencing("n1", 1)).at("ok") == true);
  CHECK(d.desk.alerts(HostId{1}).size() == 1);
  CHECK(d.desk.last_fencing(HostId{1}) == nullptr);
  CHECK(d.told.empty());  // an alert is told by Pacemaker on every host
}

TEST_CASE("alert_of_nonsense_is_refused") {
  Desk d;
  const auto refused = [&](json::object request) {
    const auto answer = d.ask(request);
    CHECK(answer.at("ok") == false);
    CHECK(answer.at("exit") == 2);
  };
  refused(fencing(""));
  refused(fencing("n7"));
  auto kind = fencing("n2");
  kind["kind"] = "attribute";
  refused(kind);
  kind.erase("kind");
  refused(kind);
  auto number = fencing("n2");
  number["node"] = 2;
  refused(number);
  CHECK(d.desk.alerts(HostId{2}).empty());
  // By corosync's id, where Pacemaker has another name for it.
  auto other = fencing("node-two");
  other["nodeid"] = 2;
  CHECK(d.ask(other).at("ok") == true);
  CHECK(d.desk.alerts(HostId{2}).size() == 1);
}

TEST_CASE("alert_is_bounded") {
  Desk d;
  auto huge = fencing("n2");
  huge["desc"] = std::string(100'000, 'x') + "\n\x1b[2J";
  huge["at_ms"] = 12;  // another century's
  for (int i = 0; i < 300; ++i) CHECK(d.ask(huge).at("ok") == true);
  CHECK(d.desk.alerts(HostId{2}).size() == daemon::kMaxAlerts);
  CHECK(d.desk.alerts(HostId{2}).front().text.size() < 2 * daemon::kMaxAlertField);
  CHECK(d.desk.alerts(HostId{2}).front().at == WallTime{kNow});
  auto control = fencing("n2");
  control["desc"] = "a\nb\x1b[2J";
  CHECK(d.ask(control).at("ok") == true);
  CHECK(d.desk.alerts(HostId{2}).back().text.starts_with("a?b?[2J"));
}

TEST_CASE("alert_socket_takes_nothing_else") {
  Desk d;
  for (const char* what : {"status", "guard", "guest-start", ""}) {
    json::value answer;
    d.desk.handle_alert({{"do", what}, {"runs", true}},
                        [&](json::value said) { answer = std::move(said); });
    CHECK(answer.at("ok") == false);
  }
  CHECK(d.told.empty());
}

TEST_CASE("guard_is_told_once") {
  Desk d;
  for (int i = 0; i < 3; ++i) CHECK(d.ask({{"do", "guard"}, {"runs", true}}).at("ok") == true);
  REQUIRE(d.told.size() == 1);
  CHECK(d.told[0].step == "guard-started");
  for (int i = 0; i < 3; ++i) CHECK(d.ask({{"do", "guard"}, {"runs", false}}).at("ok") == true);
  REQUIRE(d.told.size() == 2);
  CHECK(d.told[1].step == "guard-stopped");
  CHECK_FALSE(d.desk.guard(HostId{1})->runs);
  CHECK(d.ask({{"do", "guard"}, {"runs", "no"}}).at("ok") == false);
  // Another host's, by the ring; one about a third host is nobody's to say.
  wire::StepMessage step;
  step.teller = step.host = HostId{2};
  step.recovery = d.told[0].recovery;
  step.at = WallTime{kNow};
  step.step = "guard-started";
  d.desk.on_step(step);
  CHECK(d.desk.guard(HostId{2})->runs);
  step.at = WallTime{kNow + 1};
  step.teller = HostId{1};
  step.step = "guard-stopped";
  d.desk.on_step(step);
  CHECK(d.desk.guard(HostId{2})->runs);
}

// The whole simulated domain with and without Pacemaker's word: the same decisions.
TEST_CASE("fencing_by_others_is_shown_and_starts_nothing") {
  Desk d;
  daemon::TwoHosts two(1);
  two.power_on();
  two.run(sim::ms(5000));
  auto& host = *two.domain.hosts[0];
  daemon::Sight sight{d.config, *d.config.find_host(host.id), *host.loop, {}, ""};
  sight.pacemaker = &d.desk;
  const auto before = daemon::status(sight);
  for (const char* node : {"n1", "n2"}) CHECK(d.ask(fencing(node)).at("ok") == true);
  two.run(sim::ms(2000));
  const auto after = daemon::status(sight);
  for (const auto& one : after.at("hosts").as_array()) CHECK(one.at("state") == "alive");
  CHECK(after.at("lock_version") == before.at("lock_version"));
  CHECK(after.at("guests") == before.at("guests"));
  const auto shown = daemon::host_show(sight, "n2");
  REQUIRE(shown.has_value());
  CHECK(shown.value().at("fenced_says_pacemaker").at("at_ms") == kNow);
  const auto why = daemon::why(sight, "n2");
  REQUIRE(why.has_value());
  int told = 0;
  for (const auto& fact : why.value().at("chain").as_array())
    if (fact.at("source") == "pacemaker") ++told;
  CHECK(told == 1);
}

TEST_CASE("host_here_says_what_is_known_of_this_host") {
  Desk d;
  daemon::TwoHosts two(0);
  two.power_on();
  two.run(sim::ms(5000));
  auto& host = *two.domain.hosts[0];
  const daemon::Sight sight{d.config, *d.config.find_host(host.id), *host.loop, {}, ""};
  auto here = daemon::host_here(sight);
  CHECK(here.at("self") == "n1");
  CHECK(here.at("state") == "alive");
  CHECK(here.at("keeper") == true);
  CHECK(here.at("reads_volume") == true);
  two.domain.to_daemon(host, sim::us(10), port::VolumeLost{"the keeper is gone"});
  two.run(sim::ms(1));
  here = daemon::host_here(sight);
  CHECK(here.at("keeper") == false);
  CHECK(here.at("lease") == "none");
  REQUIRE_FALSE(here.at("problems").as_array().empty());
  CHECK(json::serialize(here.at("problems")).find("the keeper is gone") != std::string::npos);
}

TEST_CASE("timeline_shows_what_pacemaker_said_of_the_victim_meanwhile") {
  Desk d;
  daemon::TwoHosts two(0);
  two.domain.power_on(*two.domain.hosts[0], sim::ms(100));
  two.run(sim::ms(1000));
  auto& loop = *two.domain.hosts[0]->loop;
  daemon::Sight sight{d.config, *d.config.find_host(HostId{1}), loop, {}, ""};
  sight.pacemaker = &d.desk;
  wire::StepMessage step;
  step.teller = HostId{1};
  step.host = HostId{2};
  step.recovery.bytes[0] = 7;
  for (const auto& [name, at] : {std::pair{"last-sign", -1000}, std::pair{"verdict", 500}}) {
    step.step = name;
    step.at = WallTime{kNow + at};
    step.text = "dead, by power-off: read off twice";
    loop.remember(step);
  }
  CHECK(d.ask(fencing("n2")).at("ok") == true);
  CHECK(d.ask(fencing("n1")).at("ok") == true);  // of another host
  auto early = fencing("n2");
  early["at_ms"] = kNow - 60'000;
  CHECK(d.ask(early).at("ok") == true);
  const auto shown = daemon::timeline(sight, std::nullopt);
  REQUIRE(shown.has_value());
  const auto& steps = shown.value().at("steps").as_array();
  REQUIRE(steps.size() == 3);
  CHECK(steps[0].at("what") == "last-sign");
  CHECK(steps[1].at("what") == "pacemaker");
  CHECK(steps[1].at("t_ms") == 1000);
  CHECK(steps[1].at("on") == "n1");
  CHECK(steps[2].at("what") == "verdict");
  CHECK(shown.value().at("proof") == "power-off");
}
