// What wardom-keeper promises its host and its daemon.
#include "keeper_fixture.hpp"

using namespace wardom;
using namespace wardom::fixture;
using namespace std::chrono_literals;

TEST_CASE("keeper_serves_a_daemon_and_shows_its_life_in_the_slot") {
  const Site site;
  site.format();
  KeeperProcess first(site.config, "n1", site.run_dir("1"));
  KeeperProcess second(site.config, "n2", site.run_dir("2"));
  {
    Daemon daemon(first.socket());
    const auto ready = daemon.ready();
    CHECK(ready.self == HostId{1});
    CHECK(ready.incarnation.number == 1);
    CHECK(ready.geometry == quick_geometry());
    CHECK(daemon.heartbeat().sequence > Sequence{0});
    daemon.publish(17);
    const auto slot =
        wait_for_slot(site, 1, [](const Slot& s) { return s.daemon_progress == 17; });
    CHECK(slot.host_name == "n1");
    CHECK(slot.state == SlotState::up);
    CHECK(slot.w_ms == 0);
    wait_for_slot(site, 2, [](const Slot& s) { return s.state == SlotState::up; });

    auto read = daemon.read(1, {{Region::slot, 2}, {Region::table, 1}, {Region::slot, 1},
                                {Region::decision, 2}, {Region::slot, 99}});
    CHECK(read.ticket == Ticket{1});
    REQUIRE(read.cells.size() == 5);
    CHECK(read.cells[0].status == port::CellStatus::valid);
    CHECK(read.cells[0].writer == HostId{2});
    CHECK(read.cells[1].status == port::CellStatus::empty);
    CHECK(read.cells[2].cell.index == 1);
    CHECK(read.cells[3].status == port::CellStatus::empty);
    CHECK(read.cells[4].status == port::CellStatus::unreadable);

    const auto payload = wire::encode_decision(Decision{LockVersion{4}, {}, {}}, 4096).value();
    const auto written = daemon.write(2, {Region::decision, 1}, payload);
    CHECK(written.acknowledged);
    CHECK(written.sequence == Sequence{1});
    read = daemon.read(3, {{Region::decision, 1}});
    CHECK(read.cells[0].payload == payload);
    for (Cell cell : {Cell{Region::decision, 2}, Cell{Region::slot, 1}, Cell{Region::table, 9},
                      Cell{Region::ballot, geometry().hosts + 2}, Cell{Region::superblock, 0}}) {
      const auto refused = daemon.write(4, cell, payload);
      CHECK_FALSE(refused.acknowledged);
      CHECK(refused.error.find("not this host's") != std::string::npos);
    }
    const Cell ballot{Region::ballot, geometry().hosts + 1};
    CHECK(daemon.write(6, ballot, wire::encode_ballot({}).value()).acknowledged);
    const auto large = daemon.write(5, {Region::decision, 1}, wire::Bytes(100'000));
    CHECK_FALSE(large.acknowledged);
  }
  // The daemon is gone; the keeper is not.
  wait_for_slot(site, 1, [](const Slot& s) { return s.daemon_progress == 0; });
  CHECK(first.end(SIGTERM) == 0);
  CHECK(second.end(SIGTERM) == 0);
  CHECK(site.slot(1).state == wire::ExtentState::valid);
}

TEST_CASE("keeper_states_the_vote_until_a_daemon_withdraws_it") {
  const Site site;
  site.format();
  const auto states = [&](std::uint64_t progress, std::uint64_t version) {
    const auto slot = wait_for_slot(
        site, 1, [&](const Slot& s) { return s.daemon_progress == progress; });
    CHECK(slot.votes_under == LockVersion{version});
  };
  {
    KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
    {
      Daemon daemon(keeper.socket());
      daemon.ready();
      CHECK(daemon.heartbeat().votes_under == LockVersion{});
      daemon.publish(1, LockVersion{7});
      states(1, 7);
      auto told = daemon.heartbeat();
      while (told.votes_under != LockVersion{7}) told = daemon.heartbeat();
      daemon.publish(2);
      states(2, 7);
    }
    states(0, 7);  // the daemon is gone, and its vote may not be
    keeper.end(SIGKILL);
  }
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
  Daemon daemon(keeper.socket());
  daemon.ready();
  daemon.publish(3);
  states(3, 7);
  CHECK(daemon.heartbeat().votes_under == LockVersion{7});
  daemon.publish(4, LockVersion{});
  states(4, 0);
}

TEST_CASE("keeper_lists_starts_and_shows_an_earlier_daemons_in_the_slot") {
  const Site site;
  site.format();
  const GuestId one{Bits128{{1}}}, two{Bits128{{2}}};
  {
    KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
    Daemon daemon(keeper.socket());
    CHECK(daemon.ready().listed.empty());
    const auto heartbeat = daemon.heartbeat();
    // Counted from the submission of the heartbeat, whenever the word of it comes.
    port::Rights rights = daemon.rights();
    while (rights.act_until <= heartbeat.submitted) rights = daemon.rights();
    CHECK(rights.lease == LeaseState::none);  // no watchdog is configured
    CHECK(rights.feed_until - rights.act_until == 1s);
    for (const auto& guest : {one, two}) {
      const auto answer = daemon.list_start(7, guest);
      CHECK(answer.ticket == Ticket{7});
      CHECK(answer.guest == guest);
      CHECK(answer.listed);
    }
    daemon.client().settle_start(two, {4711, 12, "/machine-qemu"});
    CHECK(daemon.list_start(8, one).listed);  // answered after what was said before it
    CHECK_FALSE(wait_for_slot(site, 1, [](const Slot& s) {
                  return s.daemon_epoch == DaemonEpoch{0};
                }).start_listed);
    keeper.end(SIGKILL);
  }
  // The daemon and its keeper are gone; its epoch is over, and the open start is told with it.
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
  const auto slot =
      wait_for_slot(site, 1, [](const Slot& s) { return s.daemon_epoch == DaemonEpoch{1}; });
  CHECK(slot.start_listed);
  Daemon daemon(keeper.socket());
  const auto ready = daemon.ready();
  CHECK(ready.epoch == DaemonEpoch{1});
  CHECK(ready.listed == std::vector<ListedGuest>{{one, {}, DaemonEpoch{0}},
                                                 {two, {4711, 12, "/machine-qemu"}, {}}});
  daemon.client().unlist(one);
  wait_for_slot(site, 1, [](const Slot& s) { return !s.start_listed; });
}

TEST_CASE("keeper_serves_nobody_until_nothing_of_an_earlier_one_can_land") {
  const Cell cells[] = {{Region::decision, 1}, {Region::table, 1},
                        {Region::ballot, geometry().hosts + 1}};
  for (const auto& cell : cells) {
    const Site site;
    site.format();
    {
      KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
      Daemon daemon(keeper.socket());
      daemon.ready();
      keeper.end(SIGKILL);
    }
    // As if it had been killed in the middle of a write.
    const auto path = site.run_dir("1") + "/in-flight";
    std::ifstream in(path);
    std::string first, of;
    std::getline(in, first);
    std::getline(in, of);
    std::ofstream(path) << first << '\n'
                        << of << '\n'
                        << static_cast<int>(cell.region) << ' ' << cell.index
                        << " 0 41 -\nend 1\n";
    KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
    Daemon daemon(keeper.socket());
    while (daemon.lost().reason.find("in flight") == std::string::npos) continue;  // or it fails
    // The heartbeat goes on all the while.
    wait_for_slot(site, 1, [](const Slot& s) { return s.state == SlotState::up; });
    daemon.ready();
    CHECK(daemon.write(2, cell, payload_for(cell.region)).sequence == Sequence{42});
  }
}

namespace {

// T_F/2 and L_late are longer than any test waits.
Geometry slow_geometry() {
  auto g = quick_geometry();
  g.t_f_ms = 120'000;
  g.l_late_ms = 120'000;
  return g;
}

std::vector<disk::InFlight> listed(const Site& site) {
  std::ifstream file(site.run_dir("1") + "/in-flight");
  std::stringstream text;
  text << file.rdbuf();
  std::ifstream boot("/proc/sys/kernel/random/boot_id");
  std::string id;
  boot >> id;
  auto list = disk::decode_in_flight(text.str(), *parse_bits(id), geometry().volume_uuid);
  REQUIRE(list.has_value());
  return list.value();
}

// The slot grows by so many beats.
void wait_for_beats(const Site& site, std::uint64_t count) {
  const auto from = site.slot(1).sequence.value;
  const auto until = std::chrono::steady_clock::now() + kLimit;
  while (site.slot(1).sequence.value < from + count) {
    REQUIRE(std::chrono::steady_clock::now() < until);
    ::poll(nullptr, 0, 20);
  }
}

void wait_for_file(const Faults& faults, const std::string& name) {
  const auto until = std::chrono::steady_clock::now() + kLimit;
  while (!faults.has(name)) {
    REQUIRE(std::chrono::steady_clock::now() < until);
    ::poll(nullptr, 0, 5);
  }
}

}  // namespace

TEST_CASE("keeper_beats_on_beside_a_heartbeat_whose_acknowledgement_is_lost") {
  const Site site;
  site.format(slow_geometry());
  const Faults faults(site.directory.file("faults"));
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"), {}, &faults);
  wait_for_slot(site, 1, [](const Slot& s) { return s.state == SlotState::up; });
  faults.set("lose");
  wait_for_file(faults, "lost");
  wait_for_beats(site, 5);  // not after T_F/2 only
  // A late end in an error: that extent is left alone, the heart beats on with the other one.
  faults.set("tell");
  keeper.wait_for("heartbeat not written");
  wait_for_beats(site, 5);
  std::size_t in_doubt = 0;
  for (const auto& write : listed(site)) in_doubt += write.until ? 1 : 0;
  CHECK(in_doubt == 1);
}

TEST_CASE("keeper_survives_an_outage_that_answers_with_errors") {
  const Site site;
  site.format(slow_geometry());
  const Faults faults(site.directory.file("faults"));
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"), {}, &faults);
  wait_for_slot(site, 1, [](const Slot& s) { return s.state == SlotState::up; });
  faults.set("fail-reads");
  faults.set("fail-writes");
  keeper.wait_for("heartbeat not written");
  ::poll(nullptr, 0, 1000);  // ten intervals, in each of which it might try the other extent
  faults.clear("fail-writes");
  faults.clear("fail-reads");
  wait_for_beats(site, 5);
}

TEST_CASE("keeper_survives_an_outage_that_answers_nothing") {
  const Site site;
  site.format(slow_geometry());
  const Faults faults(site.directory.file("faults"));
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"), {}, &faults);
  wait_for_slot(site, 1, [](const Slot& s) { return s.state == SlotState::up; });
  faults.set("hang");
  ::poll(nullptr, 0, 1000);
  // All that hung ends in errors. The extent that was kept free takes the next heartbeat.
  faults.set("fail-reads");
  faults.set("fail-writes");
  faults.clear("hang");
  keeper.wait_for("heartbeat not written");
  ::poll(nullptr, 0, 300);
  faults.clear("fail-writes");
  faults.clear("fail-reads");
  wait_for_beats(site, 5);
}

TEST_CASE("keeper_keeps_its_doubts_when_it_opens_the_volume_anew") {
  const Site site;
  site.format(slow_geometry());
  const Faults faults(site.directory.file("faults"));
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"), {}, &faults);
  Daemon daemon(keeper.socket());
  daemon.ready();
  const Cell cell{Region::ballot, geometry().hosts + 1};
  const auto payload = payload_for(Region::ballot);
  REQUIRE(daemon.write(1, cell, payload).sequence == Sequence{1});
  faults.set("fail-reads");
  faults.set("fail-writes");
  CHECK_FALSE(daemon.write(2, cell, payload).acknowledged);
  keeper.wait_for("opens the volume anew");
  faults.clear("fail-writes");
  faults.clear("fail-reads");
  keeper.wait_for("goes on as incarnation");
  wait_for_beats(site, 5);
  const auto refused = daemon.write(3, cell, payload);
  CHECK_FALSE(refused.acknowledged);
  CHECK(refused.error.find("may still land") != std::string::npos);
  std::size_t ballots = 0;
  for (const auto& write : listed(site)) {
    if (write.cell != cell) continue;  // a heartbeat may be on its way
    CHECK(write.until.has_value());
    ++ballots;
  }
  CHECK(ballots == 1);
}

TEST_CASE("keeper_raises_no_epoch_while_a_failed_ballot_may_still_land") {
  const Site site;
  auto g = quick_geometry();
  g.l_late_ms = 3000;
  site.format(g);
  const Faults faults(site.directory.file("faults"));
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"), {}, &faults);
  {
    Daemon daemon(keeper.socket());
    daemon.ready();
    const Cell cell{Region::ballot, geometry().hosts + 1};
    faults.set("fail-writes");
    CHECK_FALSE(daemon.write(1, cell, payload_for(Region::ballot)).acknowledged);
    faults.clear("fail-writes");
  }
  Daemon next(keeper.socket());
  while (next.lost().reason.find("in flight") == std::string::npos) continue;  // or it fails
  for (const auto& write : listed(site))
    if (write.cell.region == Region::ballot) CHECK(write.until > disk::raw_now());
  CHECK(next.ready().epoch == DaemonEpoch{1});
  for (const auto& write : listed(site)) CHECK(write.cell.region != Region::ballot);
}

TEST_CASE("keeper_tells_the_daemon_of_a_guest_list_that_cannot_be_read") {
  const Site site;
  site.format();
  {
    KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
    Daemon daemon(keeper.socket());
    daemon.ready();
    CHECK(daemon.troubles().troubles.empty());
  }
  std::ofstream(site.run_dir("1") + "/guests") << "nonsense\n";
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
  Daemon daemon(keeper.socket());
  daemon.ready();
  const auto told = daemon.troubles().troubles;
  REQUIRE(told.size() == 1);
  CHECK(told[0].what.find(site.run_dir("1") + "/guests") != std::string::npos);
  CHECK(told[0].remedy.find("guests.malformed") != std::string::npos);
  wait_for_slot(site, 1, [](const Slot& s) { return s.start_listed; });
}

TEST_CASE("keeper_leaves_in_order_only_without_guests") {
  const Site site;
  site.format();
  const GuestId guest{Bits128{{1}}};
  {
    KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
    wait_for_slot(site, 1, [](const Slot& s) { return s.state == SlotState::up; });
    CHECK(keeper.end(SIGTERM) == 0);
    CHECK(wire::decode_slot(site.slot(1).payload).value().state == SlotState::left);
  }
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
  {
    Daemon daemon(keeper.socket());
    daemon.ready();
    while (daemon.rights().act_until == Instant{}) continue;
    daemon.client().settle_start(guest, {});
    CHECK(daemon.list_start(1, guest).listed);  // behind it in the same stream
  }
  wait_for_slot(site, 1, [](const Slot& s) { return s.daemon_epoch == DaemonEpoch{1}; });
  CHECK(keeper.end(SIGTERM) == 0);
  CHECK(wire::decode_slot(site.slot(1).payload).value().state == SlotState::up);
}

TEST_CASE("keeper_restart_keeps_the_incarnation") {
  const Site site;
  site.format();
  Incarnation before;
  Sequence sequence;
  for (int signal : {SIGTERM, SIGKILL}) {
    KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
    Daemon daemon(keeper.socket());
    const auto incarnation = daemon.ready().incarnation;
    if (!before.is_none()) CHECK(incarnation == before);
    before = incarnation;
    const auto heartbeat = daemon.heartbeat().sequence;
    CHECK(heartbeat > sequence);
    sequence = heartbeat;
    keeper.end(signal);
    CHECK(daemon.lost().reason.size() > 0);
  }
  // A file of another boot is not trusted. Nor is a new number drawn while the slot is this boot's.
  std::ifstream in(site.run_dir("1") + "/incarnation");
  std::stringstream text;
  text << in.rdbuf();
  auto kept = text.str();
  const auto boot = kept.find('\n') + 1;
  kept[boot] = kept[boot] == '0' ? '1' : '0';
  std::ofstream(site.run_dir("1") + "/incarnation") << kept;
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
  keeper.wait_for("knows nothing of incarnation " + to_text(before));
  CHECK(keeper.wait_exit() == 1);
}

TEST_CASE("keeper_stops_when_its_slot_changes_under_it") {
  const Site site;
  site.format();
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
  wait_for_slot(site, 1, [](const Slot& s) { return s.state == SlotState::up; });
  std::optional<int> exit_code;
  for (std::uint64_t sequence = 100; !exit_code && sequence < 200; ++sequence) {
    write_slot(site, sequence);
    exit_code = keeper.exit_within(std::chrono::milliseconds{50});
  }
  keeper.wait_for("changed under its owner");
  CHECK(exit_code == 1);
}

TEST_CASE("keeper_refuses_a_slot_that_another_machine_writes") {
  const Site site;
  site.format();
  write_slot(site, 10);
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
  keeper.wait_for("waits for D");
  write_slot(site, 11);
  keeper.wait_for("two hosts have the same id");
  CHECK(keeper.wait_exit() == 1);
  CHECK(site.slot(1).sequence == Sequence{11});
}

TEST_CASE("keeper_takes_a_slot_after_silence_with_the_next_number") {
  const Site site;
  site.format();
  write_slot(site, 10);
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
  keeper.wait_for("joins as incarnation 7/");
  wait_for_slot(site, 1, [](const Slot& s) { return s.host_name == "n1"; });
  CHECK(site.slot(1).sequence > Sequence{10});
}

// It may live on by grants of hosts that know nothing of this machine.
TEST_CASE("keeper_joins_a_slot_that_rides_outages_out_only_by_word") {
  const Site site;
  site.format();
  write_slot(site, 10, true, true);
  {
    KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
    keeper.wait_for("may live through an outage of the volume");
    CHECK(keeper.wait_exit() == 1);
  }
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"),
                       {"--replaces", "2a" + std::string(30, '0')});
  keeper.wait_for("joins as incarnation 7/");
  // Nor does this one ride them out: wardom.toml does not say so.
  CHECK_FALSE(wait_for_slot(site, 1, [](const Slot& s) { return s.host_name == "n1"; }).rides_out);
}

TEST_CASE("keeper_believes_no_word_about_a_machine_that_writes") {
  const Site site;
  site.format();
  write_slot(site, 10, true, true);
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"),
                       {"--replaces", "2a" + std::string(30, '0')});
  keeper.wait_for("whether that still writes it");
  write_slot(site, 11, true, true);
  keeper.wait_for("two hosts have the same id");
  CHECK(keeper.wait_exit() == 1);
  CHECK(site.slot(1).sequence == Sequence{11});
}

TEST_CASE("keeper_joins_a_slot_without_a_lease_only_by_word") {
  const Site site;
  site.format();
  write_slot(site, 10, false);
  {
    KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
    keeper.wait_for("held no lease");
    CHECK(keeper.wait_exit() == 1);
  }
  const std::string other = "00000000000000000000000000000001";
  KeeperProcess wrong(site.config, "n1", site.run_dir("1"), {"--replaces", other});
  wrong.wait_for("held no lease");
  CHECK(wrong.wait_exit() == 1);
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"),
                       {"--replaces", "2a" + std::string(30, '0')});
  keeper.wait_for("joins as incarnation 7/");
}

TEST_CASE("keeper_stops_when_the_volume_is_formatted_under_it") {
  const Site site;
  site.format();
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
  wait_for_slot(site, 1, [](const Slot& s) { return s.state == SlotState::up; });
  auto other = quick_geometry();
  other.volume_uuid.bytes[0] = 0x77;
  REQUIRE(disk::format_volume(site.volume, other).has_value());
  keeper.wait_for("formatted or replaced");
  CHECK(keeper.wait_exit() == 1);
}

TEST_CASE("keeper_says_why_it_cannot_start") {
  struct Case {
    std::string cluster, uuid_line, host;
    bool formatted;
    std::string says;
    int code;
  };
  const std::vector<Case> cases{
      {"test", "", "n1", false, "not a Wardom state volume", 1},
      {"other", "", "n1", true, "belongs to cluster \"test\"", 1},
      {"test", "uuid = \"ffffffff-0000-0000-0000-000000000001\"\n", "n1", true, "holds volume", 1},
      {"test", "", "n20", true, "host ids up to 8", 1},
      {"test", "", "n7", true, "no [[host]] has the name \"n7\"", 2},
      {"test", "colour = 1\n", "n1", true, "colour", 2},
  };
  for (const auto& c : cases) {
    const Site site(c.cluster, c.uuid_line);
    if (c.formatted) {
      site.format();
    } else {
      std::ofstream(site.volume) << "";
      REQUIRE(::truncate(site.volume.c_str(), 8 << 20) == 0);
    }
    KeeperProcess keeper(site.config, c.host, site.run_dir("1"));
    keeper.wait_for(c.says);
    CHECK(keeper.wait_exit() == c.code);
  }
}

TEST_CASE("keeper_waits_for_a_volume_that_cannot_be_reached") {
  const Site site;
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
  keeper.wait_for("cannot open");
  Daemon daemon(keeper.socket());
  CHECK(daemon.lost().reason.find("no volume yet") != std::string::npos);
  site.format();
  keeper.wait_for("joins as incarnation 1/");
  CHECK(daemon.ready().self == HostId{1});
}

TEST_CASE("keeper_works_with_a_damaged_superblock_and_says_so") {
  const Site site;
  site.format();
  const int fd = ::open(site.volume.c_str(), O_WRONLY);
  REQUIRE(::pwrite(fd, "xxxx", 4, 64) == 4);
  ::fsync(fd);
  ::close(fd);
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
  keeper.wait_for("superblock copy 0");
  keeper.wait_for("joins as incarnation 1/");
}

TEST_CASE("keeper_runs_once_per_run_directory") {
  const Site site;
  site.format();
  KeeperProcess first(site.config, "n1", site.run_dir("1"));
  first.wait_for("joins");
  KeeperProcess second(site.config, "n1", site.run_dir("1"));
  second.wait_for("another wardom-keeper");
  CHECK(second.wait_exit() == 1);
  CHECK_FALSE(first.exit_within(200ms).has_value());
}

namespace {

// Greets from a process of its own; returns its exit code: 0 Ready, 1 Refused, 2 neither.
int greet_from_another_process(const std::string& socket) {
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket.copy(address.sun_path, socket.size());
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) ::_exit(2);
    const auto hello = wire::encode_frame(wire::DaemonMessage{wire::Hello{::getpid(), 1}});
    if (::write(fd, hello.data(), hello.size()) < 0) ::_exit(2);
    std::array<std::uint8_t, 512> answer{};
    const auto got = ::read(fd, answer.data(), answer.size());
    ::_exit(got < 5 ? 2 : answer[4] == 65 ? 0 : answer[4] == 69 ? 1 : 2);
  }
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  return WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("keeper_serves_one_daemon_at_a_time") {
  const Site site;
  site.format();
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
  {
    Daemon daemon(keeper.socket());
    daemon.ready();
    CHECK(greet_from_another_process(keeper.socket()) == 1);
    CHECK(daemon.heartbeat().sequence > Sequence{0});  // not disturbed
  }
  keeper.wait_for("is gone");
  CHECK(greet_from_another_process(keeper.socket()) == 0);
}
