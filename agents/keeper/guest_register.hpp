// The list of guests that this host may be running (wire/guest_list.hpp), as wardomd asks for it:
// what the ladder kills, and which starts of an earlier daemon are not settled. Kept in the run
// directory before anybody is answered, so that it holds whoever is killed next.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libha/core/records.hpp"
#include "libha/core/result.hpp"
#include "libha/wire/keeper_protocol.hpp"

namespace wardom::keeper {

// Of a list that could not be read, beside the new one.
inline constexpr const char* kMalformedSuffix = ".malformed";

class GuestRegister {
 public:
  // Goes on with what stands there. trouble(): there was a list, and it could not be read. It is
  // put aside, as PATH.malformed, and the trouble lasts until somebody has removed that: over later
  // lists and keepers, since this host may run guests that only the lost one knew.
  explicit GuestRegister(std::string path);

  // Error: not listed, and so not to be started.
  Result<void> list_start(GuestId guest, DaemonEpoch epoch);
  // Error: the file still says what it said before. This object goes on with the new word.
  Result<void> settle_start(GuestId guest, const GuestProcess& process);
  Result<void> unlist(GuestId guest);

  // A start that a daemon before this epoch listed is not settled, or nobody knows.
  bool start_open_before(DaemonEpoch epoch) const;
  const std::vector<ListedGuest>& guests() const { return guests_; }
  const std::string& path() const { return path_; }
  const std::string& trouble() const { return trouble_; }
  std::optional<wire::KeeperTrouble> for_operator() const;

 private:
  ListedGuest* find(GuestId guest);
  Result<void> keep() const;

  std::string path_;
  std::string trouble_;
  std::vector<ListedGuest> guests_;
};

}  // namespace wardom::keeper
