#include "libha/core/operator_desk.hpp"

#include <algorithm>

#include "libha/core/host_text.hpp"
#include "libha/core/proofs.hpp"

namespace wardom::core {
namespace {

constexpr int kFailed = 1;
constexpr int kRefused = 3;
// Whoever decides answers in time, and its answer has a way to go.
constexpr Duration kFencingAnswerSlack = std::chrono::seconds{2};

Duration patience_of(const OperatorAsk& ask) {
  return asks_to_fence(ask) ? std::min<Duration>(ask.time, kFencingPatienceMax) +
                                  kFencingAnswerSlack
                            : kOperatorPatience;
}

}  // namespace

std::vector<Incarnation> OperatorDesk::boots(HostId host) const {
  std::vector<Incarnation> boots;
  if (!evidence_.has(host)) return boots;
  const auto newest = evidence_.of(host).incarnation();
  if (!newest.is_none()) boots.push_back(newest);
  for (const auto& [other, boot] : decider_.boots_that_hold_guests())
    if (other == host && boot.number < newest.number) boots.push_back(boot);
  return boots;
}

// Why this word is not taken; empty: it is.
std::string OperatorDesk::objection(const OperatorAsk& ask, Instant now) const {
  if (ask.wish == Wish::trust_bmc)
    return evidence_.has(ask.host) && evidence_.of(ask.host).bmc_distrusted()
               ? std::string{}
               : "the BMC of " + host_text(ask.host) + " is not distrusted";
  if (asks_to_fence(ask)) return why_not_to_fence(ask.host);
  if (ask.wish != Wish::confirm_dead) return {};
  const auto known = boots(ask.host);
  if (std::find(known.begin(), known.end(), ask.incarnation) == known.end())
    return host_text(ask.host) + " is not, or no longer, known as incarnation " +
           to_text(ask.incarnation);
  if (board_.verdict_on(ask.host, ask.incarnation) != nullptr)
    return "a verdict names incarnation " + to_text(ask.incarnation) + " of " +
           host_text(ask.host) + " already";
  if (disarmed() && !about_silent_owner(ask))
    return "the domain is disarmed, so nothing would follow; run `wardomctl arm` first";
  if (ask.incarnation != known.front()) return {};  // a later boot of it lives, or has lived
  const auto sign = life_sign(evidence_, ask.host, now);
  return sign.empty() ? sign : host_text(ask.host) + " may be alive: " + sign;
}

// Disarmed, nobody is powered off, and nobody pronounced dead; what stood before is told.
std::string OperatorDesk::why_not_to_fence(HostId host) const {
  if (!evidence_.has(host)) return host_text(host) + " is no member of this domain";
  if (!disarmed()) return {};
  const auto boot = evidence_.of(host).incarnation();
  if (!boot.is_none() && board_.verdict_on(host, boot) != nullptr) return {};
  return "the domain is disarmed, so nothing is powered off; run `wardomctl arm` first";
}

// While the lock's owner is silent nobody can arm the domain, so about it the word is always taken:
// the lock passes on. The verdict follows once the domain is armed.
bool OperatorDesk::about_silent_owner(const OperatorAsk& ask) const {
  const auto& word = board_.lock();
  return ask.wish == Wish::confirm_dead && !decider_.deciding() && !word.released &&
         word.value.owner.host == ask.host && word.value.owner.incarnation == ask.incarnation;
}

bool OperatorDesk::disarmed() const {
  const auto lead = board_.newest_decision();
  return lead.host != kNoHost && board_.decision(lead.host).record.disarmed.has_value();
}

void OperatorDesk::on_ask(const OperatorAsk& ask, Turn& turn) {
  const bool own = ask.from == evidence_.self();
  if (const auto why = objection(ask, turn.now.at); !why.empty()) {
    if (own)
      turn.orders.replies.push_back({ask.request, false, kRefused, why});
    else if (decider_.deciding())
      turn.orders.operator_answers.push_back(
          {ask.from, ask.request, kRefused, host_text(evidence_.self()) + " decides, and " + why});
    return;
  }
  if (ask.wish == Wish::confirm_dead)
    evidence_.on_operator(ask.host, ask.incarnation, ask.by);
  if (ask.wish == Wish::trust_bmc) evidence_.on_mended_bmc(ask.host, decider_.deciding());
  if (own && disarmed() && about_silent_owner(ask)) {  // no verdict can come now
    turn.orders.replies.push_back({ask.request, true, 0, ""});
    turn.orders.operator_asks.push_back(ask);
  } else if (own) {
    waiting_[ask.request] = {turn.now.at + patience_of(ask), patience_of(ask)};
    turn.orders.operator_asks.push_back(ask);
  }
  decider_.on_operator(ask, turn);
}

void OperatorDesk::on_answer(const OperatorAnswer& answer, Turn& turn) {
  decider_.on_answered(answer);
  if (answer.to != evidence_.self() || waiting_.erase(answer.request) == 0) return;
  turn.orders.replies.push_back(
      {answer.request, answer.exit_code == 0, answer.exit_code, answer.text});
}

void OperatorDesk::tick(Turn& turn) {
  std::erase_if(waiting_, [&](const auto& one) {
    if (turn.now.at < one.second.until) return false;
    turn.orders.replies.push_back(
        {one.first, false, kFailed,
         "no decider has acted on it within " + wardom::to_text(one.second.patience) +
             "; `wardomctl status` shows who decides and what is wrong"});
    return true;
  });
}

void OperatorDesk::keep_own(Turn& turn) {
  auto& answers = turn.orders.operator_answers;
  for (const auto& answer : answers) on_answer(answer, turn);
  std::erase_if(answers, [&](const auto& answer) { return answer.to == evidence_.self(); });
}

}  // namespace wardom::core
