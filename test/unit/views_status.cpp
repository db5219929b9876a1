// `wardomctl status` as wardomd answers it.
#include <boost/json.hpp>
#include <catch2/catch.hpp>

#include "agents/wardomd/views.hpp"
#include "test/sim/world.hpp"

using namespace wardom;

namespace {

constexpr const char* kConfig = R"(
[cluster]
name = "test"
[volume]
path = "/dev/null"
[[domain]]
name = "d1"
id = 1
[[host]]
name = "n1"
id = 1
domain = "d1"
mgmt = "10.0.0.1"
storage = "10.1.0.1"
[[host]]
name = "n2"
id = 2
domain = "d1"
mgmt = "10.0.0.2"
storage = "10.1.0.2"
)";

// The problems with this text in `what`.
std::vector<boost::json::object> problems(const daemon::Sight& sight, const std::string& text) {
  std::vector<boost::json::object> found;
  const auto status = daemon::status(sight);
  for (const auto& one : status.at("problems").as_array())
    if (std::string(one.at("what").as_string()).find(text) != std::string::npos)
      found.push_back(one.as_object());
  return found;
}

}  // namespace

TEST_CASE("status_shows_what_the_keeper_has_for_an_operator") {
  const auto config = parse_config(kConfig, "test");
  REQUIRE(config.has_value());
  sim::Options options;
  options.hosts = 2;
  options.guests = 0;
  options.timing = timing_of(Profile::normal);
  sim::Domain d(options);
  for (auto& host : d.hosts) d.power_on(*host, sim::ms(100));
  const auto run = [&d](Duration time) {
    d.clock.run(d.clock.now() + time, [] { return false; });
  };
  run(sim::ms(5000));
  auto& host = *d.hosts[0];
  const daemon::Sight sight{config.value(), *config.value().find_host(host.id), *host.loop,
                            {}, "the archive is full", {"10.0.0.7 (mgmt)"}};
  CHECK(problems(sight, "heartbeats come from 10.0.0.7 (mgmt), which").size() == 1);
  CHECK(problems(sight, "a list is malformed").empty());
  CHECK(problems(sight, "the archive is full").size() == 1);
  port::KeeperTroubles told;
  told.troubles.push_back({"a list is malformed", "remove it"});
  d.to_daemon(host, sim::us(10), told);
  run(sim::ms(100));
  const auto shown = problems(sight, "a list is malformed");
  REQUIRE(shown.size() == 1);
  CHECK(shown[0].at("where") == "n1");
  CHECK(shown[0].at("do") == "remove it");
  d.to_daemon(host, sim::us(10), port::VolumeLost{"the keeper is gone"});
  run(sim::ms(100));
  CHECK(problems(sight, "a list is malformed").empty());
}
