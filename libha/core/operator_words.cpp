// The decider and operators: what they ask of the whole domain (decider.hpp).
#include <algorithm>

#include "libha/core/decider.hpp"

namespace wardom::core {
namespace {

constexpr std::size_t kMaxOwed = 64;

}  // namespace

void Decider::on_operator(const OperatorAsk& ask, Turn& turn) {
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
