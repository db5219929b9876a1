// /run/wardom/guests: whatever decodes says the same again, and names nobody by a bare PID.
#include "libha/core/check.hpp"
#include "libha/wire/guest_list.hpp"
#include "targets.hpp"

using namespace wardom;
using namespace wardom::wire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto guests = decode_guest_list({reinterpret_cast<const char*>(data), size});
  if (!guests) return 0;
  for (const auto& guest : guests.value())
    WARDOM_CHECK(guest.process.pid == 0 ||
                 (guest.process.pid > 1 && guest.process.start_time != 0));
  WARDOM_CHECK(decode_guest_list(encode_guest_list(guests.value())).value() == guests.value());
  return 0;
}
