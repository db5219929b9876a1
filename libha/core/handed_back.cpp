#include "libha/core/handed_back.hpp"

namespace wardom::core {

bool HandedBack::look(const Evidence& evidence, Instant now) {
  bool news = false;
  for (HostId host : evidence.members()) {
    const auto& disk = evidence.of(host).disk;
    if (!disk.slot) continue;
    auto& shown = shown_[host];
    if (shown.incarnation == disk.incarnation && shown.epoch == disk.slot->daemon_epoch &&
        shown.start_listed == disk.slot->start_listed)
      continue;
    shown = {disk.incarnation, disk.slot->daemon_epoch, disk.slot->start_listed, now};
    news = news || (shown.epoch != DaemonEpoch{} && !shown.start_listed);
  }
  return news;
}

bool HandedBack::over(const Board& board, const Claim& claim) const {
  const auto phase = claim.entry->phase;
  if (phase != GuestPhase::claimed && phase != GuestPhase::claimed_incoming) return false;
  const auto found = shown_.find(claim.host);
  if (found == shown_.end()) return false;
  const auto& shown = found->second;
  const auto& table = board.table(claim.host);
  return shown.incarnation == claim.entry->holder && shown.epoch > claim.entry->epoch &&
         !shown.start_listed && table.known() && !table.behind() && table.read_issued &&
         *table.read_issued >= shown.since;
}

}  // namespace wardom::core
