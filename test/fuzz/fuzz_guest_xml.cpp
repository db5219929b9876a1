// A guest's XML as libvirt, a table or an administrator gives it. Whatever is accepted once is
// accepted again after the mark has been put in and taken out, and means the same.
#include <string>

#include "libha/core/check.hpp"
#include "libha/guestxml/guest_xml.hpp"
#include "targets.hpp"

using namespace wardom;
using namespace wardom::guestxml;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view xml(reinterpret_cast<const char*>(data), size);
  const std::string shared[] = {"/srv/shared"};
  const auto summary = summarize(xml);
  const auto things = host_local_things(xml, shared);
  const auto hash = definition_hash(xml);
  is_marked_protected(xml);
  const auto marked = mark_protected(xml, Generation{7});
  if (!marked || !summary) return 0;
  const auto again = summarize(marked.value());
  if (!again) return 0;  // the mark made it longer than its limit
  WARDOM_CHECK(again.value().marked == Generation{7});
  WARDOM_CHECK(again.value().uuid == summary.value().uuid);
  WARDOM_CHECK(is_marked_protected(marked.value()));
  if (hash) WARDOM_CHECK(definition_hash(marked.value()).value() == hash.value());
  const auto bare = unmark_protected(marked.value());
  if (bare) WARDOM_CHECK(!is_marked_protected(bare.value()));
  return 0;
}
