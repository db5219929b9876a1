// The member's part that tells of BMCs which answer nobody, or lie: a host whose BMC is not under
// observation when it dies, or is not believed, waits for its lease.
#include <algorithm>
#include <utility>

#include "libha/core/host_text.hpp"
#include "libha/core/member.hpp"

namespace wardom::core {
namespace {

// A BMC may be slow, busy, or restart itself for a while.
constexpr Duration kBmcPatience = std::chrono::seconds{10};

}  // namespace

// For how long, once that is worth a word; only the decider and the next in line ask. A host that
// is asked about has words of its own.
std::optional<Duration> Member::bmc_quiet(HostId host, Instant now) const {
  if (!last_lock_.mine && !last_lock_.backup) return std::nullopt;
  if (host == settings_.self || verdict_on(host) || decider_.inquiries().contains(host))
    return std::nullopt;
  const auto since = evidence_.of(host).power.unanswered_since;
  if (!since || now - *since < kBmcPatience) return std::nullopt;
  return now - *since;
}

std::string Member::bmc_quiet_text(HostId host, Duration quiet) const {
  return "its BMC has not answered for " + std::to_string(whole_ms(quiet) / 1000) + " s: " +
         evidence_.of(host).power.error;
}

void Member::tell_bmcs(Turn& turn) {
  for (std::size_t i = 0; i < settings_.members.size(); ++i) {
    const HostId host = settings_.members[i];
    const auto& member = evidence_.of(host);
    // An old entry about a host that has not been seen yet is mostly about an earlier boot.
    const bool distrusted = member.bmc_distrusted() && !member.incarnation().is_none();
    if (std::exchange(told_[i].distrusted, distrusted) == distrusted) continue;
    turn.note({distrusted ? Severity::error : Severity::notice, "power", host, {}, {}, "",
               !distrusted
                   ? member.power.lied_in >= member.incarnation().number
                         ? "an operator calls its BMC mended: it is trusted again"
                         : "it has booted anew: its BMC is trusted again"
               : member.power.lied
                   ? "its BMC reads off while the host gives signs of life: distrusted"
                   : "its BMC is known in this domain to have read off while the host gave signs "
                     "of life: distrusted"});
  }
  for (std::size_t i = 0; i < settings_.members.size(); ++i) {
    const HostId host = settings_.members[i];
    const auto quiet = bmc_quiet(host, turn.now.at);
    if (std::exchange(told_[i].bmc_quiet, quiet.has_value()) == quiet.has_value()) continue;
    if (quiet)
      turn.note({Severity::warning, "power", host, {}, {}, "", bmc_quiet_text(host, *quiet)});
    else if (!evidence_.of(host).power.unanswered_since)
      turn.note({Severity::notice, "power", host, {}, {}, "", "its BMC answers again"});
  }
}

void Member::add_bmcs(std::vector<Problem>& list, Instant now) const {
  for (HostId host : settings_.members)
    if (evidence_.of(host).bmc_distrusted() && !evidence_.of(host).incarnation().is_none())
      list.push_back({"its BMC read off beside a life sign and is distrusted", host_text(host),
                      "mend the BMC, or name the right one in wardom.toml; then run `wardomctl "
                      "host trust-bmc " + host_text(host) + "`, or boot that host anew"});
  for (HostId host : settings_.with_bmc)
    if (const auto quiet = bmc_quiet(host, now))
      list.push_back({bmc_quiet_text(host, *quiet), host_text(host),
                      "look at the BMC and at its network; until it answers, a death of this host "
                      "is proved only by its lease"});
}

// One after the other with each beat. What the leading decision says is read by all.
LyingBmc Member::unrecorded_liar() const {
  auto liars = evidence_.lying_bmcs();
  if (liars.empty()) return {};
  if (const auto* leading = board_.leading_decision())
    std::erase_if(liars, [&](const LyingBmc& liar) {
      const auto& said = leading->lying_bmcs;
      return std::find(said.begin(), said.end(), liar) != said.end();
    });
  return liars.empty() ? LyingBmc{} : liars[beats_made_ % liars.size()];
}

}  // namespace wardom::core
