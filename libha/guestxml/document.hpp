// Inside guestxml: the one place that turns text into a tree.
#pragma once

#include <boost/outcome/try.hpp>
#include <pugixml.hpp>
#include <string_view>

#include "libha/core/result.hpp"
#include "libha/guestxml/guest_xml.hpp"

namespace wardom::guestxml {

enum class Keep { meaning, everything };  // everything: comments and white space too, for rewriting

// Loads `xml` into `doc` and returns its <domain>.
Result<pugi::xml_node> load(pugi::xml_document& doc, std::string_view xml, Keep keep,
                            std::size_t max_bytes = kMaxGuestXmlBytes);

std::string trimmed(std::string_view text);

// The mark below this <domain>, or a null node. Looks at the namespace, not at the prefix.
pugi::xml_node find_mark(pugi::xml_node domain);
// True for an element in Wardom's namespace.
bool is_mark(pugi::xml_node element);

}  // namespace wardom::guestxml
