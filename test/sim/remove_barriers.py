#!/usr/bin/env python3
"""Copies files of libha and writes into each copy where a planted run may leave a rule out:
changed_copies.py.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from changed_copies import run

# file: (barrier, text, what to write for it; {removed} asks whether the barrier is gone)
BARRIERS = {
    "core/domain_lock.cpp": [
        ("own_proposal_kept",
         "  own_->version = version;\n  own_->mbal = above(highest, self_);\n",
         "  if ({removed}) own_->bal = {}, own_->input = {};\n"
         "  own_->version = version;\n  own_->mbal = above(highest, self_);\n"),
        ("others_proposals",
         "    if (said.version != attempt.version || said.bal == BallotNumber{}) continue;\n",
         "    if ({removed}) continue;\n"
         "    if (said.version != attempt.version || said.bal == BallotNumber{}) continue;\n"),
        ("others_looked_at",
         '  if (board_.lock().conflict) return {"the ballot cells name two owners',
         '  if ({removed}) return {};\n'
         '  if (board_.lock().conflict) return {"the ballot cells name two owners'),
        ("stops_before_released",
         "  const auto* holding = std::get_if<Holding>(&state_);\n"
         "  const auto& word = board_.lock();\n",
         "  if ({removed} && std::holds_alternative<Releasing>(state_)) return ready_ && own_word();\n"
         "  const auto* holding = std::get_if<Holding>(&state_);\n"
         "  const auto& word = board_.lock();\n"),
        ("takeover_proof",
         "  if (word.version == LockVersion{} || word.released || standing.owner_gone) return true;\n",
         "  if ({removed}) return true;\n"
         "  if (word.version == LockVersion{} || word.released || standing.owner_gone) return true;\n"),
    ],
    "core/evidence.cpp": [
        ("observer_fit",
         "void Evidence::on_observer(bool fit) {\n",
         "void Evidence::on_observer(bool fit) {\n  if ({removed}) fit = true;\n"),
        ("lies_told",
         "  if (!has(liar.host)) return false;\n",
         "  if ({removed} || !has(liar.host)) return false;\n"),
    ],
    "core/proofs.cpp": [
        ("last_read_late",
         "  wait.over = silence.lasted(d);\n",
         "  wait.over = silence.lasted(d) || ({removed} && silence.since && now >= *wait.until);\n"),
        ("d_long_enough",
         "  return lease_silence(t_f, w);\n",
         "  if ({removed}) return t_f;\n  return lease_silence(t_f, w);\n"),
        ("left_is_no_expiry",
         "  if (slot.state == SlotState::left || slot.t_f_ms == 0 || slot.w_ms == 0)",
         "  if ((slot.state == SlotState::left && !{removed}) || slot.t_f_ms == 0 || slot.w_ms == 0)"),
    ],
    "core/member.cpp": [
        ("acts_in_time",
         "bool Member::may_act(Instant now) const {",
         "bool Member::may_act(Instant now) const {\n"
         "  if ({removed}) return ready_ && reads_ok(now);\n "),
        ("reads_in_time",
         "bool Member::reads_ok(Instant now) const {\n",
         "bool Member::reads_ok(Instant now) const {\n  if ({removed}) return ready_;\n"),
    ],
    "core/quorum_vote.cpp": [
        ("votes_waited_for",
         "  if (!waits_for_) return {};\n",
         "  if ({removed} || !waits_for_) return {};\n"),
        ("vote_reads_fresh",
         "  if (!read_since(std::max(stated_->since, reads_from(now))))\n",
         "  if (!{removed} && !read_since(std::max(stated_->since, reads_from(now))))\n"),
        ("vote_reads_fresh",
         "    vote.until =\n"
         "        std::min(*board_.ballots_read_issued(), turn.now.at) + read_counts(*device_, timing_);\n",
         "    if (!{removed})\n"
         "      vote.until = std::min(*board_.ballots_read_issued(), turn.now.at) +\n"
         "                   read_counts(*device_, timing_);\n"),
    ],
    "core/recovery.cpp": [
        ("guests_in_directory",
         "    if (!board_.in_directory(host)) continue;\n",
         "    if (!board_.in_directory(host) && !{removed}) continue;\n"),
        ("asked_start_waits",
         "writes_may_land(*facts, turn.now.at)) continue;",
         "writes_may_land(*facts, turn.now.at) && !{removed}) continue;"),
    ],
    "core/moving.cpp": [
        ("sent_is_gone",
         "  if (done.ok && done.running == Running::no) return give_over(",
         "  if ({removed} || (done.ok && done.running == Running::no)) return give_over("),
        ("arrival_yielded",
         "    if (here && claim.entry->phase == GuestPhase::holding && !dead)\n",
         "    if ({removed} && here && dead) return {Offer::Word::sent, &claim};\n"
         "    if (here && claim.entry->phase == GuestPhase::holding && !dead)\n"),
    ],
    "core/managed.cpp": [
        ("stop_stands",
         "  return stop.gone && cell_.settled();\n",
         "  return stop.gone && (cell_.settled() || {removed});\n"),
    ],
    "runtime/loop.cpp": [
        ("acts_in_time_again",
         "    if (!may_act()) {\n      failed_write(write.ticket, cell, \"this host's own heartbeat",
         "    if (!may_act() && !{removed}) {\n"
         "      failed_write(write.ticket, cell, \"this host's own heartbeat"),
    ],
}


def question(barrier):
    return f"wardom::sim::removed(wardom::sim::Barrier::{barrier})"


if __name__ == "__main__":
    run({file: [(old, new.replace("{removed}", question(barrier))) for barrier, old, new in places]
         for file, places in BARRIERS.items()},
        head='#include "test/sim/barriers.hpp"\n')
