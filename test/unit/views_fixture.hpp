// What tests of wardomd's views look at: a domain of two hosts, n1 and n2, as the simulator has it.
#pragma once

#include "agents/wardomd/views.hpp"
#include "test/sim/world.hpp"

namespace wardom::daemon {

inline Config two_hosts() {
  return parse_config(R"(
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
)",
                      "test")
      .value();
}

struct TwoHosts {
  explicit TwoHosts(std::size_t guests) : domain(of(guests)) {}
  static sim::Options of(std::size_t guests) {
    sim::Options options;
    options.hosts = 2;
    options.guests = guests;
    options.timing = timing_of(Profile::normal);
    return options;
  }
  void power_on() {
    for (auto& host : domain.hosts) domain.power_on(*host, sim::ms(100));
  }
  void run(Duration time) {
    domain.clock.run(domain.clock.now() + time, [] { return false; });
  }
  sim::Domain domain;
};

}  // namespace wardom::daemon
