#include "agents/keeper/guest_register.hpp"

#include <unistd.h>

#include <algorithm>

#include "libha/proc/process.hpp"
#include "libha/proc/replace_file.hpp"
#include "libha/wire/guest_list.hpp"

namespace wardom::keeper {
GuestRegister::GuestRegister(std::string path) : path_(std::move(path)) {
  const auto aside = path_ + kMalformedSuffix;
  if (::access(path_.c_str(), F_OK) == 0) {
    const auto text = proc::read_file(path_);
    auto guests = text ? wire::decode_guest_list(*text)
                       : Result<std::vector<ListedGuest>>(failure("cannot be read"));
    if (guests) {
      guests_ = std::move(guests).value();
    } else {
      trouble_ = path_ + ": " + guests.error().message;
      ::rename(path_.c_str(), aside.c_str());
    }
  }
  if (trouble_.empty() && ::access(aside.c_str(), F_OK) == 0)
    trouble_ = aside + ": an earlier list could not be read";
}

std::optional<wire::KeeperTrouble> GuestRegister::for_operator() const {
  if (trouble_.empty()) return std::nullopt;
  return wire::KeeperTrouble{
      trouble_ + "; guests that only it knew are not killed when this host's lease ends, and every "
                 "start of an earlier wardomd counts as open",
      "compare `virsh list` here with `wardomctl status`; when every protected guest that runs "
      "here stands there as this host's, remove " + path_ + kMalformedSuffix +
          " and restart wardom-keeper"};
}

ListedGuest* GuestRegister::find(GuestId guest) {
  const auto found = std::find_if(guests_.begin(), guests_.end(),
                                  [&](const ListedGuest& one) { return one.guest == guest; });
  return found == guests_.end() ? nullptr : &*found;
}

Result<void> GuestRegister::keep() const {
  return proc::replace_file(path_, wire::encode_guest_list(guests_));
}

Result<void> GuestRegister::list_start(GuestId guest, DaemonEpoch epoch) {
  const auto before = guests_;
  if (auto* listed = find(guest))
    listed->start = epoch;
  else if (guests_.size() < kMaxGuestsPerHost)
    guests_.push_back({guest, {}, epoch});
  else
    return failure(path_ + ": is full, with " + std::to_string(kMaxGuestsPerHost) + " guests");
  auto kept = keep();
  if (!kept) guests_ = before;
  return kept;
}

Result<void> GuestRegister::settle_start(GuestId guest, const GuestProcess& process) {
  if (auto* listed = find(guest))
    *listed = {guest, process, {}};
  else if (guests_.size() < kMaxGuestsPerHost)
    guests_.push_back({guest, process, {}});
  else
    return failure(path_ + ": is full, with " + std::to_string(kMaxGuestsPerHost) + " guests");
  return keep();
}

Result<void> GuestRegister::unlist(GuestId guest) {
  if (find(guest) == nullptr) return success();
  std::erase_if(guests_, [&](const ListedGuest& one) { return one.guest == guest; });
  return keep();
}

bool GuestRegister::start_open_before(DaemonEpoch epoch) const {
  return !trouble_.empty() ||
         std::any_of(guests_.begin(), guests_.end(), [&](const ListedGuest& one) {
           return one.start && *one.start < epoch;
         });
}

}  // namespace wardom::keeper
