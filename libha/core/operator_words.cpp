// The decider and operators: what they ask of the whole domain (decider.hpp).
#include <algorithm>

#include "libha/core/decider.hpp"
#include "libha/core/host_text.hpp"

namespace wardom::core {
namespace {

constexpr std::size_t kMaxOwed = 64;
constexpr int kFailed = 1;

}  // namespace

void Decider::on_operator(const OperatorAsk& ask, Turn& turn) {
  if (asks_to_fence(ask)) return on_fence(ask, turn);
  if (!deciding() || owed_.size() >= kMaxOwed) return;
  owed_.push_back({ask, turn.now.at + kOperatorPatience});
  const auto note = [&](HostId host, const RecoveryId& recovery, const char* step,
                        std::string text) {
    turn.note({Severity::notice, "operator", host, {}, recovery, step,
               std::move(text) + ", says " + ask.by});
  };
  switch (ask.wish) {
    case Wish::confirm_dead: {
      const auto inquiry = inquiries_.find(ask.host);
      note(ask.host, inquiry == inquiries_.end() ? RecoveryId{} : inquiry->second.recovery,
           "confirm-dead", "incarnation " + to_text(ask.incarnation) + " was seen off");
      return;
    }
    case Wish::trust_bmc:
      keep_lying_bmcs();  // the answer waits until that stands
      note(ask.host, {}, "", "its BMC is mended, and trusted again");
      return;
    case Wish::arm:
      if (armed()) return;
      cell_.change().disarmed.reset();
      work_ = true;
      note(kNoHost, {}, "", "the domain is armed");
      return;
    case Wish::disarm:
      cell_.change().disarmed = Disarmed{ask.time, turn.now.wall, ask.by};
      disarmed_counted_ = turn.now.at;
      note(kNoHost, {}, "",
           "the domain is disarmed " + (ask.time == ask.time.zero()
                                            ? std::string("until somebody arms it")
                                            : "for " + wardom::to_text(Duration{ask.time})));
      return;
    case Wish::fence:
    case Wish::fence_unless_split: return;  // on_fence()
  }
}

// Counts a disarmed time down on this host's own clock. What is left is recorded every minute, so
// that a change of decider prolongs it by no more than that and the time without one.
void Decider::count_disarmed(Turn& turn) {
  const auto& standing = cell_.wanted().disarmed;
  if (!standing || standing->left == standing->left.zero()) return;
  const auto passed = turn.now.at - disarmed_counted_;
  if (passed >= standing->left) {
    cell_.change().disarmed.reset();
    work_ = true;
    turn.note({Severity::notice, "operator", {}, {}, {}, "",
               "the disarmed time is over: the domain is armed"});
  } else if (passed >= kDisarmedRecord) {
    const auto whole = std::chrono::floor<std::chrono::milliseconds>(passed);
    cell_.change().disarmed->left -= whole;
    disarmed_counted_ = disarmed_counted_ + whole;
  }
}

std::optional<Instant> Decider::disarmed_deadline() const {
  const auto& standing = cell_.wanted().disarmed;
  if (!standing || standing->left == standing->left.zero()) return std::nullopt;
  return disarmed_counted_ + std::min<Duration>(standing->left, kDisarmedRecord);
}

void Decider::on_fence(const OperatorAsk& ask, Turn& turn) {
  const bool kept = fencing_.take(ask, turn.now.at);
  if (!deciding()) return;
  turn.note({Severity::notice, "operator", ask.host, {}, {}, "",
             std::string("is to be fenced") +
                 (ask.wish == Wish::fence ? "" : ", unless it lives in another split group") +
                 ", says " + ask.by});
  if (!kept)
    turn.orders.operator_answers.push_back(
        {ask.from, ask.request, kFailed, "too many hosts are to be fenced at once"});
}

// What a decider knows of it, as one who waits for it in vain has to know.
std::string Decider::why_not_fenced(const OperatorAsk& ask, Instant now) const {
  const auto& member = evidence_.of(ask.host);
  const auto boot = member.incarnation();
  const auto state = judge(evidence_, ask.host, condemned(ask.host), volume_ok_, now).state;
  std::string why = host_text(ask.host) + ", " + to_text(state) + ", is not proved to be off: ";
  if (ask.wish == Wish::fence_unless_split && lives_apart(state))
    return why + "it lives in another split group, where it is left to its own end";
  const auto inquiry = inquiries_.find(ask.host);
  if (inquiry != inquiries_.end() && !inquiry->second.held.empty())
    why += inquiry->second.held + "; ";
  const auto* verdict = boot.is_none() ? nullptr : board_.verdict_on(ask.host, boot);
  if (verdict != nullptr)
    why += std::string("a verdict by ") + to_text(verdict->proof) +
           " stands, and does not tell whether it has power now";
  else
    why += proof_about(evidence_, ask.host, boot, now).missing;
  if (member.node_in_ring) why += "; corosync counts it as a member";
  if (!member.power.error.empty()) why += "; its BMC: " + member.power.error;
  return why;
}

void Decider::keep_fencing(Turn& turn) {
  fencing_.look(deciding(), turn.now.at);
  for (const auto& ended : fencing_.take_ended()) {
    const auto& ask = ended.ask;
    if (!deciding()) continue;
    const auto how = ended.done ? ended.how : why_not_fenced(ask, turn.now.at);
    turn.orders.operator_answers.push_back(
        {ask.from, ask.request, ended.done ? 0 : kFailed, how});
    turn.note({ended.done ? Severity::notice : Severity::error, "operator", ask.host, {}, {}, "",
               (ended.done ? "is fenced, by " : "could not be fenced: ") + how});
  }
}

void Decider::answer_operators(Turn& turn) {
  if (!cell_.settled()) return;
  std::erase_if(owed_, [&](const Owed& owed) {
    const auto& ask = owed.ask;
    const bool done =
        ask.wish != Wish::confirm_dead || said_dead(ask.host, ask.incarnation);
    if (done) turn.orders.operator_answers.push_back({ask.from, ask.request, 0, ""});
    return done || turn.now.at >= owed.until;
  });
}

}  // namespace wardom::core
