#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "libha/config/config.hpp"

using namespace wardom;
using namespace std::chrono_literals;

namespace {

const std::string kHead = R"([cluster]
name = "lab"
[volume]
path = "/var/lib/wardom/volume"
[bmc]
user = "admin"
password_file = "/etc/wardom/bmc-password"
)";
const std::string kHosts = R"([[domain]]
name = "d1"
id = 1
[[host]]
name = "n2"
id = 2
domain = "d1"
mgmt = "10.0.0.2"
storage = "10.1.0.2"
bmc = "10.0.0.12"
[[host]]
name = "n1"
id = 1
domain = "d1"
mgmt = "10.0.0.1"
storage = "10.1.0.1"
bmc = { address = "bmc1:6230", cipher_suite = 17, workarounds = ["opensesspriv"] }
[[host]]
name = "n3"
id = 3
domain = "d1"
mgmt = "10.0.0.3"
storage = "2001:DB8::0003"
)";

// All problems of a text, one per line, without file and position.
std::vector<std::string> problems(const std::string& text) {
  std::vector<std::string> found;
  for (const auto& problem : check_config(text).problems)
    found.push_back(problem.key + " " + problem.what);
  return found;
}

bool any(const std::vector<std::string>& list, const std::string& start) {
  return std::any_of(list.begin(), list.end(),
                     [&](const std::string& item) { return item.starts_with(start); });
}

// The good file with one piece of text replaced.
std::string with(const std::string& old_text, const std::string& new_text) {
  auto text = kHead + kHosts;
  const auto at = text.find(old_text);
  REQUIRE(at != std::string::npos);
  return text.replace(at, old_text.size(), new_text);
}

// Expects exactly one problem, which starts so.
void expect_one(const std::string& text, const std::string& start) {
  const auto found = problems(text);
  CAPTURE(found, start);
  REQUIRE(found.size() == 1);
  CHECK(found[0].starts_with(start));
}

}  // namespace

TEST_CASE("read_good_file") {
  const auto read = parse_config(kHead + kHosts, "wardom.toml");
  REQUIRE(read);
  const auto& config = read.value();
  CHECK(config.cluster.name == "lab");
  CHECK(config.cluster.key_file == "/etc/wardom/key");
  CHECK(config.timing == Timing{});
  CHECK(config.isolation.response == IsolationResponse::leave);
  CHECK(config.beats.port == 5415);
  CHECK_FALSE(config.volume.uuid);
  CHECK_FALSE(config.volume.ride_out);
  CHECK_FALSE(config.watchdog.stay_up);
  REQUIRE(config.hosts.size() == 3);
  REQUIRE(config.find_host("n1") != nullptr);
  CHECK(config.find_host("n4") == nullptr);
  CHECK(config.find_host(HostId{3})->name == "n3");
  CHECK(config.find_domain(DomainId{1})->name == "d1");
  CHECK(config.find_host("n3")->address(Link::storage) == "2001:db8::3");

  const auto members = config.members(DomainId{1});
  REQUIRE(members.size() == 3);
  CHECK(members[0]->name == "n1");
  CHECK(members[2]->name == "n3");
}

TEST_CASE("read_bmc_takes_defaults_and_overrides") {
  const auto config = parse_config(kHead + kHosts, "wardom.toml").value();
  const auto& own = config.find_host("n1")->bmc.value();
  CHECK(own.address == "bmc1");
  CHECK(own.port == 6230);
  CHECK(own.user == "admin");
  CHECK(own.cipher_suite == 17);
  CHECK(own.workarounds == std::vector<std::string>{"opensesspriv"});
  const auto& plain = config.find_host("n2")->bmc.value();
  CHECK(plain.port == 623);
  CHECK(plain.cipher_suite == 3);
  CHECK(plain.privilege == BmcPrivilege::operator_level);
  CHECK_FALSE(config.find_host("n3")->bmc);
}

TEST_CASE("read_every_key") {
  const auto config = parse_config(R"([cluster]
name = "lab"
key_file = "/k"
[volume]
path = "/v"
uuid = "01020304-0506-0708-090a-0b0c0d0e0f10"
outage = "ride-out"
[timing]
profile = "tolerant"
beat_interval = "200ms"
suspect_after = "2s"
disk_interval = "1s"
power_poll = "5s"
[watchdog]
device = "/dev/watchdog1"
timeout = "12s"
stay_up = true
lab = true
[beats]
port = 6000
[bmc]
session_timeout = "3s"
privilege = "admin"
[placement]
memory_reserve = "2GiB"
parallel_starts = 8
[guests]
shared_paths = ["/srv/images/", "/srv/iso"]
[isolation]
response = "shutdown"
delay = "30s"
patience = "5m"
[migration]
uri = "qemu+tcp://{name}/system"
link = "mgmt"
max = 4
bandwidth = "1GiB"
auto_converge = true
)" + kHosts.substr(0, kHosts.find("bmc")),
                                   "f")
                          .value();
  CHECK(config.volume.uuid->bytes[15] == 0x10);
  CHECK(config.volume.ride_out);
  CHECK(config.timing.feed_window == 60s);
  CHECK(config.timing.suspect_after == 2s);
  CHECK(config.timing.bmc_timeout == 3s);
  CHECK(config.timing.power_poll == 5s);
  CHECK(config.watchdog.device == "/dev/watchdog1");
  CHECK(config.watchdog.timeout == 12s);
  CHECK(config.watchdog.lab);
  CHECK(config.watchdog.stay_up);
  CHECK(config.beats.port == 6000);
  CHECK(config.placement.memory_reserve_mib == 2048);
  CHECK(config.placement.parallel_starts == 8);
  CHECK(config.guests.shared_paths.size() == 2);
  CHECK(config.isolation.response == IsolationResponse::shutdown);
  CHECK(config.timing.isolation_delay == 30s);
  CHECK(config.timing.shutdown_patience == 5min);
  REQUIRE(config.migration);
  CHECK(config.migration->uri == "qemu+tcp://{name}/system");
  CHECK(config.migration->link == Link::mgmt);
  CHECK(config.migration->max == 4);
  CHECK(config.migration->bandwidth_mib == 1024);
  CHECK(config.migration->auto_converge);
}

TEST_CASE("name_a_host_to_libvirt") {
  const auto migration = [](const std::string& keys) {
    return parse_config(with("[bmc]", "[migration]\n" + keys + "[bmc]"), "f").value();
  };
  CHECK_FALSE(parse_config(kHead + kHosts, "f").value().migration);

  auto config = migration("uri = \"qemu+tls://{address}:16514/system\"\n");
  REQUIRE(config.migration);
  CHECK(config.migration->max == 2);
  CHECK(config.migration->bandwidth_mib == 0);
  CHECK(config.migration->uri_of(*config.find_host("n1")) == "qemu+tls://10.1.0.1:16514/system");
  CHECK(config.migration->uri_of(*config.find_host("n3")) ==
        "qemu+tls://[2001:db8::3]:16514/system");
  CHECK(config.migration->data_uri_of(*config.find_host("n3")) == "tcp://[2001:db8::3]");

  config = migration("uri = \"qemu+tls://{name}/system\"\nlink = \"mgmt\"\n");
  CHECK(config.migration->uri_of(*config.find_host("n1")) == "qemu+tls://n1/system");
  CHECK(config.migration->data_uri_of(*config.find_host("n1")) == "tcp://10.0.0.1");
}

TEST_CASE("refuse_a_migration_that_names_no_host") {
  const auto section = [](const std::string& keys) {
    return with("[bmc]", "[migration]\n" + keys + "[bmc]");
  };
  expect_one(section(""), "migration.uri is missing; add uri = ");
  for (const std::string bad : {"qemu+tls://n2/system", "qemu:///system", "{name}",
                                "qemu+ssh://{host}/system", "qemu+tls://{name}/{address}/system",
                                "qemu+tls://{name}/session", "qemu+tls://{name}/system x"})
    expect_one(section("uri = \"" + bad + "\"\n"), "migration.uri is \"" + bad + "\"; give");
  const std::string uri = "uri = \"qemu+tls://{name}/system\"\n";
  expect_one(section(uri + "max = 9\n"), "migration.max is 9; give a whole number from 1 to 8");
  expect_one(section(uri + "bandwidth = 100\n"), "migration.bandwidth is a bare number; write");
  expect_one(section(uri + "link = \"wan\"\n"), "migration.link is \"wan\"; give one of");
}

TEST_CASE("report_place_and_key") {
  const auto bad = with("[bmc]", "[timing]\nbeat_interval = 100\n[bmc]");
  const auto read = parse_config(bad, "/etc/wardom/wardom.toml");
  REQUIRE_FALSE(read);
  CHECK(read.error().message ==
        "/etc/wardom/wardom.toml:6:17: key `timing.beat_interval`: is a bare number without a "
        "unit; write a string with a unit, such as \"100ms\", \"2s\" or \"1m\"");
}

TEST_CASE("report_all_at_once") {
  auto bad = with("[bmc]", "[timing]\nbeat_interval = 100\nsuspect_afer = \"1s\"\n[bmc]");
  bad += "[[host]]\nname = \"n1\"\n";
  const auto found = problems(bad);
  CAPTURE(found);
  CHECK(any(found, "timing.beat_interval is a bare number"));
  CHECK(
      any(found, "timing.suspect_afer is not a key of Wardom; did you mean `timing.suspect_after"));
  CHECK(any(found, "host.n1.name name n1 is already"));
  CHECK(any(found, "host.n1.id is missing"));
  CHECK(any(found, "host.n1.domain is missing"));
  CHECK(any(found, "host.n1.mgmt is missing"));
  CHECK(any(found, "host.n1.storage is missing"));
  CHECK(found.size() == 7);
}

TEST_CASE("report_problems_in_file_order") {
  const auto checked =
      check_config(with("[bmc]", "[timing]\nprofile = \"slow\"\n[bmc]") + "[extra]\n");
  REQUIRE(checked.problems.size() == 2);
  CHECK(checked.problems[0].line == 6);
  CHECK(checked.problems[1].key == "extra");
}

TEST_CASE("refuse_text_that_is_not_toml") {
  const auto read = parse_config("[cluster\nname=1", "f");
  REQUIRE_FALSE(read);
  CHECK(read.error().message.starts_with("f:1:"));
  CHECK(read.error().message.find("not TOML") != std::string::npos);
}

TEST_CASE("refuse_missing_tables_once_each") {
  const auto found = problems("");
  CAPTURE(found);
  CHECK(found.size() == 4);
  for (const auto* table : {"cluster", "volume", "domain", "host"})
    CHECK(any(found, std::string(table) + " is missing"));
}

TEST_CASE("refuse_wrong_values") {
  expect_one(with("\"lab\"", "\"Lab\""), "cluster.name is \"Lab\"; give 1 to 64 of a-z 0-9 -");
  expect_one(with("\"lab\"", "7"), "cluster.name is a bare number; give a string");
  expect_one(with("\"/var/", "\"var/"), "volume.path is \"var/lib/wardom/volume\"; give an abs");
  expect_one(with("[bmc]", "uuid = \"12\"\n[bmc]"), "volume.uuid is \"12\"; give the UUID");
  expect_one(with("[bmc]", "[beats]\nport = 70000\n[bmc]"), "beats.port is 70000; give a whole");
  expect_one(with("[bmc]", "[beats]\nport = \"x\"\n[bmc]"), "beats.port is a string; give a wh");
  expect_one(with("[bmc]", "beats = 1\n[bmc]"), "volume.beats is not a key of Wardom");
  expect_one("beats = 1\n" + kHead + kHosts, "beats is a bare number; write a table [beats]");
  expect_one(with("[bmc]", "[placement]\nmemory_reserve = 512\n[bmc]"),
             "placement.memory_reserve is a bare number");
  expect_one(with("[bmc]", "[placement]\nmemory_reserve = \"512MB\"\n[bmc]"),
             "placement.memory_reserve is \"512MB\", no size");
  expect_one(with("[bmc]", "[placement]\nparallel_starts = 65\n[bmc]"),
             "placement.parallel_starts is 65; give a whole number from 1 to 64");
  expect_one(with("[bmc]", "[guests]\nshared_paths = \"/srv\"\n[bmc]"),
             "guests.shared_paths is a string; give a list of strings");
  expect_one(with("[bmc]", "[isolation]\nresponse = \"reboot\"\n[bmc]"),
             "isolation.response is \"reboot\"; give one of leave, shutdown, kill");
  expect_one(with("[bmc]", "[isolation]\ndelay = \"11m\"\n[bmc]"),
             "isolation.delay is 11m; give a value from 2s to 10m");
  expect_one(with("[bmc]", "[isolation]\npatience = \"31m\"\n[bmc]"),
             "isolation.patience is 31m; give a value from 1s to 30m");
  expect_one(with("[bmc]", "[timing]\nsuspect_after = \"3s\"\n[isolation]\ndelay = \"6s\"\n[bmc]"),
             "isolation.delay is 6s; it must be above");
  expect_one(with("[bmc]", "[bmc]\nprivilege = \"root\""),
             "bmc.privilege is \"root\"; give one of operator, admin");
  expect_one(with("= 17", "= 18"), "host.n1.bmc.cipher_suite is 18; give a whole number from 0");
  expect_one(with("opensesspriv", "opensespriv"), "host.n1.bmc.workarounds has unknown");
  expect_one(with("\"10.0.0.2\"", "\"n2.example\""),
             "host.n2.mgmt is \"n2.example\"; give an IPv4");
  expect_one(with("id = 2\n", "id = 2001\n"), "host.n2.id is 2001; give a whole number from 1 to");
  expect_one(with("\"10.0.0.12\"", "\"10.0.0.12:0\""), "host.n2.bmc is \"10.0.0.12:0\"; give");
  expect_one(with("mgmt = \"10.0.0.2\"", "mgmt = \"10.0.0.2\"\nmgnt = \"10.9.9.9\""),
             "host.n2.mgnt is not a key of Wardom; did you mean `host.n2.mgmt`?");
}

TEST_CASE("refuse_watchdogs_that_do_not_fit") {
  const auto watchdog = [](const std::string& keys) { return with("[bmc]", keys + "\n[bmc]"); };
  CHECK(problems(watchdog("[watchdog]")).empty());
  CHECK_FALSE(check_config(kHead + kHosts).config.watchdog.device.has_value());
  CHECK_FALSE(check_config(kHead + kHosts).config.watchdog.lab);
  expect_one(watchdog("[watchdog]\ndevice = \"watchdog0\""), "watchdog.device is \"watchdog0\";");
  expect_one(watchdog("[watchdog]\nlab = 1"), "watchdog.lab is a bare number; give true or false");
  for (const char* bad : {"1s", "61s", "2500ms", "0s"})
    expect_one(watchdog("[watchdog]\ntimeout = \"" + std::string(bad) + "\""),
               "watchdog.timeout is " + std::string(bad == std::string("0s") ? "0ms" : bad) +
                   "; give whole seconds from 2s to ");
  // The profile's W is what everybody waits for.
  CHECK(problems(watchdog("[watchdog]\ndevice = \"/w\"\ntimeout = \"10s\"")).empty());
  expect_one(watchdog("[watchdog]\ndevice = \"/w\"\ntimeout = \"11s\""),
             "watchdog.timeout is 11s; with profile \"default\" it must be at most W = 10s");
}

TEST_CASE("refuse_bmc_without_credentials") {
  const auto found = problems(with("user = \"admin\"\n", ""));
  CHECK(found.size() == 2);
  CHECK(any(found, "host.n2.bmc has no user"));
  CHECK(any(found, "host.n1.bmc has no user"));
}

TEST_CASE("refuse_duplicates") {
  expect_one(with("\"n2\"", "\"n1\""), "host.n1.name name n1 is already that of another host");
  expect_one(with("id = 2\n", "id = 1\n"), "host.n1.id id 1 is already that of host \"n2\"");
  expect_one(with("\"10.0.0.2\"", "\"10.0.0.1\""),
             "host.n1.mgmt address 10.0.0.1 is already that of host \"n2\"");
  expect_one(with("\"10.1.0.2\"", "\"10.0.0.2\""), "host.n2.storage is the same as `mgmt`");
  expect_one(with("\"10.1.0.1\"", "\"10.0.0.3\""),
             "host.n3.mgmt address 10.0.0.3 is already that of host \"n1\"");
  expect_one(with("\"bmc1:6230\"", "\"10.0.0.12:623\""),
             "host.n1.bmc BMC 10.0.0.12 port 623 is already that of host \"n2\"");
}

TEST_CASE("refuse_domains_that_do_not_fit") {
  expect_one(kHead + "[[domain]]\nname = \"d2\"\nid = 2\n" + kHosts,
             "domain.d2 has no hosts; remove it");
  expect_one(kHead + "[[domain]]\nname = \"d1\"\nid = 2\n" + kHosts,
             "domain.d1.name name d1 is already");
  const auto found = problems(with("domain = \"d1\"", "domain = \"d9\""));
  REQUIRE(found.size() == 1);
  CHECK(found[0] == "host.n2.domain names \"d9\", which no [[domain]] has; did you mean \"d1\"?");
}

TEST_CASE("refuse_domain_above_cpg_limit") {
  const auto hosts = [](int count) {
    std::string text = kHead + "[[domain]]\nname = \"d1\"\nid = 1\n";
    for (int i = 1; i <= count; ++i) {
      const auto n = std::to_string(i);
      text += "[[host]]\nname = \"n" + n + "\"\nid = " + n + "\ndomain = \"d1\"\nmgmt = \"10.0.0." +
              n + "\"\nstorage = \"10.1.0." + n + "\"\n";
    }
    return text;
  };
  CHECK(problems(hosts(128)).empty());
  expect_one(hosts(129), "domain.d1 has 129 hosts; split it, a domain holds at most 128");
}

TEST_CASE("report_timing_faults_at_their_key") {
  const auto checked = check_config(with("[bmc]", "[timing]\nsuspect_after = \"200ms\"\n[bmc]"));
  REQUIRE(checked.problems.size() == 1);
  CHECK(checked.problems[0].line == 6);
  CHECK(checked.problems[0].column == 17);
  CHECK(checked.problems[0].key == "timing.suspect_after");
  CHECK(checked.problems[0].what.find("3 × beat_interval") != std::string::npos);
}

TEST_CASE("bound_number_of_problems") {
  std::string text = kHead + kHosts;
  for (int i = 0; i < 500; ++i) text += "[[host]]\n";
  CHECK(check_config(text).problems.size() == kMaxConfigProblems);
}

TEST_CASE("digest_changes_with_members_only") {
  const auto digest = [](const std::string& text) {
    return config_digest(parse_config(text, "f").value(), DomainId{1});
  };
  const auto base = digest(kHead + kHosts);
  CHECK(base == 0xfce47e4c58878c86ULL);  // stable over releases and machines
  CHECK(base == digest(with("\"lab\"", "\"other\"")));
  CHECK(base == digest(with("2001:DB8::0003", "2001:db8::3")));
  CHECK(base != digest(with("10.0.0.2", "10.0.0.4")));
  CHECK(base != digest(with("id = 3", "id = 4")));
  CHECK(base != digest(with("id = 1\n[[host]]\nname = \"n2\"", "id = 2\n[[host]]\nname = \"n2\"")));
}

TEST_CASE("told_digest_tells_members_and_the_whole_file_apart") {
  const auto told = [](const std::string& text) {
    return told_digest(parse_config(text, "f").value(), DomainId{1});
  };
  const auto base = told(kHead + kHosts);
  CHECK(base == told(kHead + kHosts));
  const auto remark = told(kHead + kHosts + "# a remark\n");
  CHECK(base != remark);
  CHECK(same_members(base, remark));
  CHECK(same_members(base, told(with("name = \"n2\"", "name = \"m2\""))));
  CHECK_FALSE(same_members(base, told(with("10.0.0.2", "10.0.0.4"))));
}

TEST_CASE("own_host_is_found_by_name_and_else_by_both_addresses") {
  const auto config = [](const char* mgmt, const char* storage) {
    Config made;
    made.hosts.resize(2);
    made.hosts[0].name = "one";
    made.hosts[0].mgmt = "192.0.2.1";
    made.hosts[0].storage = "198.51.100.1";
    made.hosts[1].name = "two";
    made.hosts[1].mgmt = mgmt;
    made.hosts[1].storage = storage;
    return made;
  };
  const auto local = config("127.0.0.1", "127.0.0.1");
  CHECK(own_host(local, "one") == &local.hosts[0]);
  CHECK(own_host(local, "three") == &local.hosts[1]);
  const auto half = config("127.0.0.1", "198.51.100.2");
  CHECK(own_host(half, "three") == nullptr);
}

TEST_CASE("load_file_that_is_missing_or_too_large") {
  const auto missing = load_config("/nonexistent/wardom.toml");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().message.starts_with("/nonexistent/wardom.toml: No such file"));

  const auto path =
      std::filesystem::temp_directory_path() / ("wardom-config-large-" + std::to_string(getpid()));
  std::ofstream(path) << std::string(kMaxConfigBytes + 1, '#');
  const auto large = load_config(path);
  std::filesystem::remove(path);
  REQUIRE_FALSE(large);
  CHECK(large.error().message.find("at most") != std::string::npos);
}
