// What the libvirt hook takes in: wardomd's reply, the list of protected guests, a guest's XML.
#include <string>

#include "hook.hpp"
#include "libha/core/check.hpp"
#include "targets.hpp"

using namespace wardom::hook;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto reply = parse_reply(text);
  // A start is allowed only by the word itself.
  if (reply && reply->ok) WARDOM_CHECK(text.find("true") != std::string_view::npos);
  const auto guest = guest_from(text);
  if (!guest.known) WARDOM_CHECK(guest.uuid.empty());
  is_listed(text, guest, text);
  const auto line = request(guest, text, "start");
  // One request is one line, whatever a guest is called.
  WARDOM_CHECK(line.find('\n') == line.size() - 1);
  return 0;
}
