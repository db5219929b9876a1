#include "libha/core/evidence.hpp"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <limits>
#include <utility>

namespace wardom::core {

std::optional<Instant> BeatEvidence::last_any() const {
  return std::max(last[0], last[1]);  // nullopt is lower than any instant
}

std::optional<Instant> MemberEvidence::last_life() const {
  const auto grown = disk.grew ? disk.timer_zero : std::optional<Instant>{};
  return std::max(beats.last_any(), grown);
}

void SlotEvidence::Silence::seen(Instant issued, Instant completed) {
  if (since)
    seen_issued = std::max(seen_issued.value_or(issued), issued);
  else
    since = completed;
}

Incarnation MemberEvidence::incarnation() const {
  const Incarnation by_beat = beats.newest ? beats.newest->incarnation : Incarnation{};
  return by_beat.number > disk.incarnation.number ? by_beat : disk.incarnation;
}

bool MemberEvidence::link_fresh(Link link, Instant now, const Timing& timing) const {
  const auto& last = beats.last[static_cast<std::size_t>(link)];
  return last && now - *last <= timing.suspect_after;
}

bool MemberEvidence::heard(Instant now, const Timing& timing) const {
  return link_fresh(Link::mgmt, now, timing) || link_fresh(Link::storage, now, timing);
}

bool MemberEvidence::slot_stands(Instant now, const Timing& timing, Duration horizon) const {
  if (!disk.timer_zero || !disk.shown) return false;
  return disk.stood() > disk_silent_after(timing) || now - *disk.shown > horizon;
}

Evidence::Evidence(std::vector<HostId> members, HostId self, Timing timing)
    : members_(std::move(members)), self_(self), timing_(timing) {
  for (HostId host : members_) {
    MemberEvidence member;
    member.host = host;
    table_.push_back(member);
  }
}

const MemberEvidence* Evidence::find(HostId host) const {
  for (const auto& member : table_)
    if (member.host == host) return &member;
  return nullptr;
}

const MemberEvidence& Evidence::of(HostId host) const {
  const auto* member = find(host);
  if (member == nullptr) std::abort();  // callers ask only about members
  return *member;
}

MemberEvidence& Evidence::at(HostId host) { return const_cast<MemberEvidence&>(of(host)); }

std::size_t Evidence::index_of(HostId host) const {
  const auto found = std::lower_bound(members_.begin(), members_.end(), host);
  if (found == members_.end() || *found != host) std::abort();
  return static_cast<std::size_t>(found - members_.begin());
}

// A sign of life after a reading "off" ends that run of readings. Long after the first of them,
// where nothing that was under way can explain it, it also shows that the BMC does not tell the
// truth. (The first: a liar that is asked often must not look fresh each time.) Under way may be a
// datagram, also one that waited here for as long as this host can be inattentive without a stall;
// and a block for `late` besides. `not_before`: the sign came no earlier than that.
void Evidence::note_life(MemberEvidence& member, Instant not_before, Duration late) {
  auto& power = member.power;
  const auto under_way =
      timing_.suspect_after + 2 * timing_.disk_interval + bmc_word_lasts(timing_) + late;
  if (power.off_since && power.last == Power::off && not_before - *power.off_since > under_way) {
    note_lie(member);
  }
  power.offs = 0;
  power.first_off_asked.reset();
  if (member.operator_word &&
      member.incarnation().number <= member.operator_word->incarnation.number)
    member.operator_word.reset();
}

void Evidence::note_lie(MemberEvidence& member) {
  auto& power = member.power;
  power.lied = true;
  const auto boot = member.incarnation().number;
  if (power.lied_in < boot)
    power.lied_in = boot, power.turn = 1;
  else if (power.lied_in == boot && power.turn % 2 == 0)
    ++power.turn;
}

void Evidence::note_released(MemberEvidence& member, const Incarnation& incarnation) {
  if (incarnation.is_none()) return;
  if (!member.released || member.released->number < incarnation.number)
    member.released = incarnation;
}

// What a BMC said about an earlier boot neither convicts nor acquits it now.
void Evidence::new_boot(MemberEvidence& member) {
  member.power.lied = false;
  member.power.off_since.reset();
  member.power.offs = 0;
  member.power.first_off_asked.reset();
}

void Evidence::weigh_anew(MemberEvidence& member) {
  new_boot(member);
  member.power.on_answered.reset();
}

// The proof `rebooted` (leases.md): a higher number of the same machine, and the earlier boot
// silent for at least as long as the new one is up. Clocks of two hosts are not compared, only
// durations; rates may differ by twice the clock error.
void Evidence::note_reboot(MemberEvidence& member, const CellSeen& cell, const Slot& slot,
                           Instant now) {
  const auto& old = *member.disk.slot;
  const bool same_machine = !slot.machine_id.is_zero() && slot.machine_id == old.machine_id &&
                            slot.dmi_uuid == old.dmi_uuid && slot.boot_id != old.boot_id;
  if (!same_machine || slot.raw_ns == 0) return;
  Instant last = *member.disk.timer_zero;
  for (const auto& beat : member.beats.last)
    if (beat && member.beats.newest->incarnation.number < cell.incarnation.number)
      last = std::max(last, *beat);
  const auto up = Duration{static_cast<std::int64_t>(slot.raw_ns)};
  if (now - last >= up + up * 2 * kClockErrorPercent / 100)
    member.disk.rebooted = member.disk.incarnation;
}

void Evidence::on_stall(Instant now) {
  for (auto& member : table_) {
    auto& power = member.power;
    power.on_answered.reset();
    power.offs = 0;
    power.first_off_asked.reset();
    power.off_since.reset();
    if (member.disk.timer_zero) member.disk.timer_zero = now;
    member.disk.same_read_issued.reset();
    time_anew(member);
  }
}

void Evidence::time_anew(MemberEvidence& member) {
  member.disk.silence = {};
  member.disk.later_boot = {};
}

void Evidence::on_observer(bool fit) {
  observer_fit_ = fit;
  if (!fit)
    for (auto& member : table_) time_anew(member);
}

void Evidence::set_own(const Incarnation& incarnation) {
  if (own_ == incarnation) return;
  own_ = incarnation;
  for (auto& member : table_) member.knows_me.reset();
}

void Evidence::on_own_heartbeat(Instant now) {
  if (!own_written_ || now - *own_written_ > timing_.feed_window / 2) written_since_ = now;
  own_written_ = now;
}

void Evidence::grant(HostId host) {
  if (has(host)) time_anew(at(host));
}

namespace {

// Apart from the sequences that grow by themselves.
bool same_words(const Beat& a, const Beat& b) {
  return a.incarnation == b.incarnation && a.epoch == b.epoch && a.run == b.run &&
         a.config_digest == b.config_digest && a.sees_mgmt == b.sees_mgmt &&
         a.sees_storage == b.sees_storage && a.sees_disk == b.sees_disk &&
         a.decision_sequence == b.decision_sequence && a.table_sequence == b.table_sequence &&
         a.ballot_sequence == b.ballot_sequence && a.given_up == b.given_up &&
         a.volume_ok == b.volume_ok && a.hypervisor_ok == b.hypervisor_ok &&
         a.leaving == b.leaving && a.restarting == b.restarting && a.released == b.released &&
         a.load == b.load &&
         a.request == b.request && a.request_under == b.request_under && a.ring == b.ring &&
         a.cleared == b.cleared && a.device_digest == b.device_digest && a.word == b.word;
}

// Apart from what tells that time passes there.
bool same_words(const Slot& a, const Slot& b) {
  Slot now = b;
  now.raw_ns = a.raw_ns;
  now.daemon_progress = a.daemon_progress;
  now.load = a.load;
  return a == now;
}

}  // namespace

BeatNews Evidence::on_beat(const Beat& beat, Instant now) {
  if (!has(beat.from) || beat.from == self_) return BeatNews::none;
  auto& member = at(beat.from);
  auto& beats = member.beats;
  const auto link = static_cast<std::size_t>(beat.link);
  const bool replayed =
      std::find(beats.past_runs.begin(), beats.past_runs.end(), beat.run) != beats.past_runs.end();
  const bool older_boot =
      beats.newest && beat.incarnation.number < beats.newest->incarnation.number;
  if (beat.run == 0 || replayed || older_boot ||
      (beat.run == beats.run && beat.sequence <= beats.sequence[link])) {
    ++beats.stale;
    // Of a wardomd that has no keeper: one that is set back, perhaps.
    if (beat.incarnation.is_none() && beat.run != 0 && !replayed)
      member.foreign_speaks = beat.speaks;
    return BeatNews::none;
  }
  const bool same = beats.newest && same_words(*beats.newest, beat) &&
                    member.link_fresh(beat.link, now, timing_) && member.power.offs == 0;
  if (beat.run != beats.run) {
    if (beats.run != 0) {
      beats.past_runs[beats.past_at] = beats.run;
      beats.past_at = (beats.past_at + 1) % beats.past_runs.size();
    }
    beats.run = beat.run;
    beats.sequence = {};
  }
  if (beat.incarnation.number > member.incarnation().number) new_boot(member);
  beats.sequence[link] = beat.sequence;
  beats.last[link] = now;
  member.foreign_speaks.reset();
  beats.newest = beat;
  if (!own_.is_none() && beat.word.knows >= own_.number) {
    const DaemonLife life{beat.incarnation, beat.epoch};
    if (member.knows_me != life) member.knows_since = now;
    member.knows_me = life;
  }
  if (beat.released) note_released(member, beat.incarnation);
  const bool learned = on_lying_bmc(beat.lying_bmc);
  const bool distrusted = member.bmc_distrusted();
  // Of an earlier boot, or of a wardomd that starts and has no keeper yet: nothing that its BMC
  // said about the present one is a lie for that.
  if (beat.incarnation.number < member.incarnation().number) member.power.off_since.reset();
  note_life(member, now, {});
  return same && !learned && distrusted == member.bmc_distrusted() ? BeatNews::alive
                                                                   : BeatNews::changed;
}

SlotNews Evidence::on_slot(const CellSeen& cell, Instant issued, Instant now) {
  const HostId host{static_cast<std::uint16_t>(cell.cell.index)};
  if (!has(host)) return SlotNews::stands;
  auto& member = at(host);
  auto& disk = member.disk;
  disk.health = cell.health;
  if (cell.health == CellHealth::unreadable) return SlotNews::changed;
  disk.read_ok = now;
  if (cell.health == CellHealth::empty) disk.empty_issued = issued;
  const auto* slot = std::get_if<Slot>(&cell.content);
  if (cell.health != CellHealth::valid || slot == nullptr) return SlotNews::changed;
  const bool newer_boot = cell.incarnation.number > disk.incarnation.number;
  const bool same_boot = cell.incarnation == disk.incarnation;
  const bool first = !disk.timer_zero.has_value();
  if (first || newer_boot || (same_boot && cell.sequence > disk.sequence)) {
    const bool same = disk.grew && same_boot && disk.twin_damaged == cell.twin_damaged &&
                      same_words(*disk.slot, *slot);
    if (!disk.slot || newer_boot || disk.slot->daemon_progress != slot->daemon_progress)
      disk.progress_moved = slot->daemon_progress == 0 ? std::nullopt : std::optional{now};
    if (newer_boot && !first) {
      note_reboot(member, cell, *slot, now);
      disk.earlier = {disk.incarnation, *disk.slot};
      disk.later_boot = {};
    }
    if (cell.incarnation.number > member.incarnation().number) new_boot(member);
    disk.slot = *slot;
    disk.incarnation = cell.incarnation;
    if (slot->state == SlotState::released) note_released(member, cell.incarnation);
    disk.sequence = cell.sequence;
    disk.twin_damaged = cell.twin_damaged;
    disk.speaks = cell.speaks;
    disk.level = cell.level;
    disk.timer_zero = now;
    disk.not_before = disk.shown_issued;
    disk.shown_issued = issued;
    disk.shown = now;
    disk.same_read_issued.reset();
    disk.silence = {};
    disk.silence.seen(issued, now);
    disk.later_boot.seen(issued, now);
    if (!first) {
      disk.grew = true;
      if (cell.incarnation.number < member.incarnation().number) member.power.off_since.reset();
      note_life(member, disk.not_before.value_or(now), late_after_off_);
    }
    return same ? SlotNews::grew : SlotNews::changed;
  }
  // Equal is silence. Lower, or another incarnation with a number not above, is a stale write.
  if (same_boot && cell.sequence == disk.sequence) {
    const bool same = std::exchange(disk.twin_damaged, cell.twin_damaged) == cell.twin_damaged;
    disk.same_read_issued = issued;
    disk.shown_issued = issued;
    disk.shown = now;
    disk.silence.seen(issued, now);
    disk.later_boot.seen(issued, now);
    return same ? SlotNews::stands : SlotNews::changed;
  }
  if (!same_boot) disk.later_boot = {};
  return SlotNews::changed;
}

void Evidence::on_power(HostId host, Power power, const std::string& error, Instant asked,
                        Instant now) {
  if (!has(host)) return;
  auto& evidence = at(host).power;
  evidence.last = power;
  evidence.error = error;
  evidence.last_answered = now;
  evidence.asked = asked;
  if (power != Power::unknown)
    evidence.unanswered_since.reset();
  else if (!evidence.unanswered_since)
    evidence.unanswered_since = asked;
  switch (power) {
    case Power::unknown:
      return;  // says nothing either way: neither ends a run of "off" nor adds to it
    case Power::on:
      evidence.on_answered = now;
      evidence.off_since.reset();
      evidence.offs = 0;
      evidence.first_off_asked.reset();
      return;
    case Power::off:
      // A reading that was asked while the host still lived, and answered after its last sign, must
      // not stand at the head of the run: then no later reading could complete the proof.
      if (const auto life = at(host).last_life();
          life && evidence.offs > 0 && *evidence.first_off_asked <= *life)
        evidence.offs = 0;
      if (evidence.offs == 0) evidence.first_off_asked = asked;
      if (!evidence.off_since) evidence.off_since = now;
      ++evidence.offs;
      return;
  }
}

bool Evidence::on_lying_bmc(const LyingBmc& liar) {
  if (!has(liar.host)) return false;
  auto& member = at(liar.host);
  auto& power = member.power;
  if (std::pair(liar.boot, liar.turn) <= std::pair(power.lied_in, power.turn) || liar.boot == 0)
    return false;
  power.lied_in = liar.boot;
  power.turn = liar.turn;
  if (liar.lies()) return true;
  // Had the operator's word come here, this host would have forgotten what it has seen. As it is,
  // it may have seen it since then.
  if (power.lied)
    note_lie(member);
  else
    weigh_anew(member);
  return true;
}

void Evidence::on_mended_bmc(HostId host, bool decides) {
  auto& power = at(host).power;
  weigh_anew(at(host));
  if (decides && power.turn % 2 == 1 && power.turn < std::numeric_limits<std::uint16_t>::max())
    ++power.turn;
}

std::vector<LyingBmc> Evidence::lying_bmcs() const {
  std::vector<LyingBmc> list;
  for (const auto& member : table_)
    if (member.power.lied_in != 0 && member.power.lied_in >= member.incarnation().number)
      list.push_back({member.host, member.power.lied_in, member.power.turn});
  return list;
}

void Evidence::on_operator(HostId host, const Incarnation& incarnation, std::string by) {
  if (has(host)) at(host).operator_word = {incarnation, std::move(by)};
}

void Evidence::on_ring_members(const std::vector<HostId>& daemons) {
  ring_up_ = true;
  for (auto& member : table_)
    member.daemon_in_ring =
        std::find(daemons.begin(), daemons.end(), member.host) != daemons.end();
}

void Evidence::on_quorum(bool quorate, const std::vector<HostId>& nodes) {
  quorate_ = quorate;
  for (auto& member : table_) {
    const bool inside = std::find(nodes.begin(), nodes.end(), member.host) != nodes.end();
    if (inside && !member.node_in_ring) ++member.ring_joins;
    member.node_in_ring = inside;
  }
}

bool Evidence::ring_has_most() const {
  const auto inside = std::count_if(table_.begin(), table_.end(),
                                    [](const auto& member) { return member.node_in_ring; });
  return 2 * static_cast<std::size_t>(inside) > table_.size();
}

// By count only once that host cannot act any more: its ring may have quorum by the device's vote.
std::string Evidence::disagrees(HostId host) const {
  const auto& member = of(host);
  if (!ring_up_) return "no corosync ring here to agree";
  if (!quorate_) {
    if (host != counted_ || !ring_has_most()) return "corosync's ring here has no quorum";
    const auto& disk = member.disk;
    const auto window = std::max<Duration>(
        timing_.feed_window,
        std::chrono::milliseconds{disk.slot ? std::int64_t{disk.slot->t_f_ms} : 0});
    if (disk.stood() < counted_by_clock(counted_by_clock(window / 2)))
      return "corosync's ring here has most of the hosts and no quorum: waiting for the slot to "
             "stay silent for T_F/2";
  }
  if (member.node_in_ring) return "corosync still counts it as a member";
  return {};
}

void Evidence::on_ring_lost() {
  ring_up_ = false;
  quorate_ = false;
  for (auto& member : table_) member.daemon_in_ring = member.node_in_ring = false;
}

MemberSet Evidence::fresh_on(Link link, Instant now) const {
  MemberSet set;
  for (std::size_t i = 0; i < table_.size(); ++i)
    if (table_[i].host == self_ || table_[i].link_fresh(link, now, timing_)) set.set(i);
  return set;
}

MemberSet Evidence::fresh_on_disk(Instant now) const {
  MemberSet set;
  for (std::size_t i = 0; i < table_.size(); ++i)
    if (table_[i].slot_fresh(now, timing_, read_horizon_)) set.set(i);
  return set;
}

Instant Evidence::first_silence(Instant now) const {
  auto first = Instant::never();
  const auto consider = [&](const std::optional<Instant>& sign, Duration counts) {
    if (sign && now - *sign <= counts) first = std::min(first, *sign + counts + Duration{1});
  };
  for (const auto& member : table_) {
    for (const auto& beat : member.beats.last) consider(beat, timing_.suspect_after);
    consider(member.disk.shown, read_horizon_);
    consider(member.disk.progress_moved, disk_silent_after(timing_));
  }
  return first;
}

}  // namespace wardom::core
