// Records with every field set to something of its own, for round trips.
#pragma once

#include "libha/core/records.hpp"

namespace wardom::samples {

inline Bits128 bits(std::uint8_t seed) {
  Bits128 b;
  for (std::size_t i = 0; i < b.bytes.size(); ++i)
    b.bytes[i] = static_cast<std::uint8_t>(seed + i * 7);
  return b;
}

inline Incarnation incarnation(std::uint64_t number) {
  return {number, bits(static_cast<std::uint8_t>(number))};
}

inline MemberSet members(std::initializer_list<std::size_t> set) {
  MemberSet m;
  for (auto i : set) m.set(i);
  return m;
}

inline Load load() { return {731, 48, 515'000, 123'456}; }

inline constexpr HostId kBeatTo{9};

inline Beat beat() {
  Beat b;
  b.from = HostId{7};
  b.incarnation = incarnation(12);
  b.epoch = DaemonEpoch{3};
  b.link = Link::storage;
  b.sequence = Sequence{0x0102030405060708};
  b.run = 0x1112131415161718;
  b.config_digest = 0x2122232425262728;
  b.sees_mgmt = members({0, 1, 127});
  b.sees_storage = members({2, 64});
  b.sees_disk = members({63, 8});
  b.slot_sequence = Sequence{91};
  b.decision_sequence = Sequence{92};
  b.table_sequence = Sequence{93};
  b.volume_ok = true;
  b.leaving = true;
  b.restarting = true;
  b.released = true;
  b.load = load();
  b.request = 0x3132333435363738;
  b.request_under = {LockVersion{11}, 0x5152535455565758};
  b.ring = {0x71727374, 0x8182838485868788};
  b.cleared = LockVersion{15};
  b.device_digest = 0x9192939495969798;
  b.lying_bmc = {HostId{6}, 0xa1a2a3a4a5a6a7a8};
  b.word = {kBeatTo, 12, incarnation(13), 0x4142434445464748,
            {LockVersion{14}, 0x6162636465666768}};
  return b;
}

inline Slot slot() {
  Slot s;
  s.state = SlotState::up;
  s.boot_id = bits(1);
  s.machine_id = bits(2);
  s.dmi_uuid = bits(3);
  s.raw_ns = 987654321012345;
  s.t_f_ms = 20'000;
  s.w_ms = 10'000;
  s.w_fingerprint = 0xabcdef;
  s.daemon_epoch = DaemonEpoch{2};
  s.start_listed = true;
  s.daemon_progress = 4711;
  s.votes_under = LockVersion{12};
  s.sees_mgmt = members({0, 5});
  s.sees_storage = members({1});
  s.sees_disk = members({100});
  s.load = load();
  s.rides_out = true;
  s.unasked = {HostId{4}, HostId{2000}};
  s.host_name = "n1.example.org";
  return s;
}

inline Verdict verdict() {
  Verdict v;
  v.host = HostId{2};
  v.incarnation = incarnation(4);
  v.proof = Proof::power_off;
  v.version = LockVersion{9};
  v.recovery = RecoveryId{bits(40)};
  v.first_sign = WallTime{1'700'000'000'123};
  v.judged = WallTime{1'700'000'000'999};
  v.detail = "off twice, 210 ms apart";
  return v;
}

inline Assignment assignment() {
  Assignment a;
  a.guest = GuestId{bits(50)};
  a.generation = Generation{6};
  a.target = HostId{3};
  a.target_incarnation = incarnation(8);
  a.target_epoch = DaemonEpoch{1};
  a.version = LockVersion{9};
  a.cause = Cause::verdict;
  a.from = HostId{2};
  a.from_incarnation = incarnation(4);
  a.ended = {{HostId{2}, incarnation(4), Generation{5}},
             {HostId{1}, incarnation(1), Generation{2}}};
  a.recovery = RecoveryId{bits(40)};
  a.priority = -20;
  return a;
}

inline GuestEntry guest(std::uint8_t seed) {
  GuestEntry g;
  g.guest = GuestId{bits(seed)};
  g.name = "g" + std::to_string(seed);
  g.generation = Generation{seed};
  g.phase = GuestPhase::holding;
  g.holder = incarnation(8);
  g.epoch = DaemonEpoch{4};
  g.wanted = Wanted::stopped;
  g.isolation = seed % 2 == 0 ? std::nullopt : std::optional{IsolationResponse::kill};
  g.parting = seed % 2 != 0;
  g.priority = -5;
  g.memory_kib = 524'288;
  g.vcpus = 2;
  g.under = LockVersion{9};
  g.recovery = RecoveryId{bits(40)};
  g.since = WallTime{1'700'000'001'000};
  g.reason = "moved";
  g.waived = {"/var/lib/nvram/g1.fd", "secret 1"};
  g.xml = "<domain type='qemu'><name>g</name></domain>";
  return g;
}

inline Ballot ballot() {
  Ballot b;
  b.decided = LockVersion{41};
  b.value = {{HostId{3}, incarnation(8), DaemonEpoch{2}},
             {{HostId{1}, false, 1}, {HostId{3}, false, 15}, {HostId{2000}, true, 0}}};
  b.released = true;
  b.version = LockVersion{42};
  b.mbal = BallotNumber{9 * 2048 + 1};
  b.bal = BallotNumber{7 * 2048 + 1};
  b.input = {{HostId{1}, incarnation(9), DaemonEpoch{5}}, b.value.directory};
  return b;
}

inline Geometry geometry() {
  Geometry g;
  g.volume_uuid = bits(77);
  g.cluster = "lab";
  g.hosts = 16;
  g.domains = 4;
  g.decision_blocks = 8;
  g.table_blocks = 16;
  g.t_f_ms = 6000;
  g.w_ms = 5000;
  g.l_late_ms = 10'000;
  g.l_late_after_off_ms = 0;
  g.formatted = WallTime{1'700'000'000'000};
  return g;
}

}  // namespace wardom::samples
