// `wardomctl status` as wardomd answers it.
#include <boost/json.hpp>
#include <catch2/catch.hpp>

#include "test/unit/views_fixture.hpp"

using namespace wardom;

namespace {

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
  const auto config = daemon::two_hosts();
  daemon::TwoHosts two(0);
  two.power_on();
  two.run(sim::ms(5000));
  auto& d = two.domain;
  auto& host = *d.hosts[0];
  const daemon::Sight sight{config, *config.find_host(host.id), *host.loop, {},
                            "the archive is full", {"10.0.0.7 (mgmt)"}};
  CHECK(problems(sight, "heartbeats come from 10.0.0.7 (mgmt), which").size() == 1);
  CHECK(problems(sight, "a list is malformed").empty());
  CHECK(problems(sight, "the archive is full").size() == 1);
  port::KeeperTroubles told;
  told.troubles.push_back({"a list is malformed", "remove it"});
  d.to_daemon(host, sim::us(10), told);
  two.run(sim::ms(100));
  const auto shown = problems(sight, "a list is malformed");
  REQUIRE(shown.size() == 1);
  CHECK(shown[0].at("where") == "n1");
  CHECK(shown[0].at("do") == "remove it");
  d.to_daemon(host, sim::us(10), port::VolumeLost{"the keeper is gone"});
  two.run(sim::ms(100));
  CHECK(problems(sight, "a list is malformed").empty());
}
