#include "libha/guestxml/document.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace wardom::guestxml {
namespace {

// Iterative, so that hostile nesting cannot use up the stack before it is found.
bool deeper_than(pugi::xml_node root, std::size_t limit) {
  std::size_t depth = 1;
  pugi::xml_node at = root;
  while (at) {
    if (at.first_child()) {
      at = at.first_child();
      if (++depth > limit) return true;
      continue;
    }
    while (at && at != root && !at.next_sibling()) {
      at = at.parent();
      --depth;
    }
    if (!at || at == root) return false;
    at = at.next_sibling();
  }
  return false;
}

template <class T>
bool parse_number(std::string_view text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size();
}

// libvirt's units for memory: bytes per unit, 0 when unknown (formatdomain, "Memory Allocation").
std::uint64_t bytes_per(std::string_view unit) {
  struct Unit {
    std::string_view name;
    std::uint64_t bytes;
  };
  static constexpr Unit kUnits[] = {
      {"", 1024},          {"b", 1},           {"bytes", 1},       {"KB", 1000},
      {"k", 1024},         {"KiB", 1024},      {"MB", 1000000},    {"M", 1ULL << 20},
      {"MiB", 1ULL << 20}, {"GB", 1000000000}, {"G", 1ULL << 30},  {"GiB", 1ULL << 30},
      {"T", 1ULL << 40},   {"TiB", 1ULL << 40}, {"TB", 1000000000000ULL}};
  for (const auto& u : kUnits)
    if (u.name == unit) return u.bytes;
  return 0;
}

Result<std::uint64_t> memory_kib(pugi::xml_node domain) {
  const auto element = domain.child("memory");
  if (!element) return failure("the guest's XML has no <memory>");
  std::uint64_t amount = 0;
  const auto unit = bytes_per(element.attribute("unit").value());
  if (!parse_number(trimmed(element.child_value()), amount) || unit == 0 ||
      amount > std::numeric_limits<std::uint64_t>::max() / 2 / unit)
    return failure("the guest's XML has a <memory> that is no size: '" +
                   trimmed(element.child_value()) + " " + element.attribute("unit").value() + "'");
  return (amount * unit + 1023) / 1024;
}

std::optional<Generation> marked_generation(pugi::xml_node domain) {
  const auto mark = find_mark(domain);
  if (!mark || std::strcmp(mark.attribute("protected").value(), "yes") != 0) return std::nullopt;
  std::uint64_t generation = 0;
  // A damaged number is still a mark: when in doubt the guest counts as protected.
  if (!parse_number(std::string_view(mark.attribute("generation").value()), generation))
    generation = 0;
  return Generation{generation};
}

// Canonical text of the tree: a tag for every piece, lengths before strings, so that no two
// different trees have the same text.
class Canonical {
 public:
  explicit Canonical(XXH3_state_t* state) : state_(state) {}

  void element(pugi::xml_node node) {
    put('E', node.name());
    std::vector<pugi::xml_attribute> attributes(node.attributes_begin(), node.attributes_end());
    std::sort(attributes.begin(), attributes.end(),
              [](auto a, auto b) { return std::strcmp(a.name(), b.name()) < 0; });
    for (auto a : attributes) {
      put('A', a.name());
      put('V', a.value());
    }
    for (auto child : node.children()) {
      if (child.type() == pugi::node_element) {
        if (!is_mark(child) && !holds_only_mark(child)) element(child);
      } else if (child.type() == pugi::node_pcdata || child.type() == pugi::node_cdata) {
        if (const auto text = trimmed(child.value()); !text.empty()) put('T', text);
      }
    }
    put('/', "");
  }

 private:
  // <metadata> that is empty but for the mark means the same as none.
  static bool holds_only_mark(pugi::xml_node node) {
    if (std::strcmp(node.name(), "metadata") != 0) return false;
    for (auto child : node.children())
      if (child.type() == pugi::node_element && !is_mark(child)) return false;
    return true;
  }

  void put(char tag, std::string_view text) {
    const std::uint64_t size = text.size();
    XXH3_64bits_update(state_, &tag, 1);
    XXH3_64bits_update(state_, &size, sizeof size);
    XXH3_64bits_update(state_, text.data(), text.size());
  }

  XXH3_state_t* state_;
};

}  // namespace

std::string trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const auto first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(kSpace) - first + 1));
}

Result<pugi::xml_node> load(pugi::xml_document& doc, std::string_view xml, Keep keep,
                            std::size_t max_bytes) {
  if (xml.size() > max_bytes)
    return failure("the guest's XML has " + std::to_string(xml.size()) + " bytes; the limit is " +
                   std::to_string(max_bytes));
  if (xml.find('\0') != std::string_view::npos)
    return failure("the guest's XML contains a NUL byte");
  // parse_doctype makes a document type visible, so that it can be refused rather than skipped.
  unsigned flags = pugi::parse_default | pugi::parse_doctype;
  if (keep == Keep::everything)
    flags = pugi::parse_full | pugi::parse_ws_pcdata;
  const auto parsed = doc.load_buffer(xml.data(), xml.size(), flags, pugi::encoding_utf8);
  if (!parsed)
    return failure("the guest's XML is not well-formed at byte " + std::to_string(parsed.offset) +
                   ": " + parsed.description());
  pugi::xml_node domain;
  for (auto child : doc.children()) {
    if (child.type() == pugi::node_doctype)
      return failure("the guest's XML has a document type declaration; libvirt writes none");
    if (child.type() != pugi::node_element) continue;
    if (domain) return failure("the guest's XML has more than one root element");
    domain = child;
  }
  if (!domain || std::strcmp(domain.name(), "domain") != 0)
    return failure("this is not a guest's XML: the root element is not <domain>");
  if (deeper_than(domain, kMaxXmlDepth))
    return failure("the guest's XML nests deeper than " + std::to_string(kMaxXmlDepth));
  return domain;
}

bool is_mark(pugi::xml_node element) {
  const std::string_view full = element.name();
  const auto colon = full.find(':');
  const auto local = colon == std::string_view::npos ? full : full.substr(colon + 1);
  if (local != "guest") return false;
  const std::string declaration =
      colon == std::string_view::npos ? "xmlns" : "xmlns:" + std::string(full.substr(0, colon));
  for (auto at = element; at; at = at.parent())
    if (const auto uri = at.attribute(declaration.c_str())) return uri.value() == kMarkUri;
  return false;
}

pugi::xml_node find_mark(pugi::xml_node domain) {
  for (auto metadata : domain.children("metadata"))
    for (auto child : metadata.children())
      if (child.type() == pugi::node_element && is_mark(child)) return child;
  return {};
}

Result<Summary> summarize(std::string_view xml, std::size_t max_bytes) {
  pugi::xml_document doc;
  BOOST_OUTCOME_TRY(auto domain, load(doc, xml, Keep::meaning, max_bytes));
  Summary summary;
  summary.name = trimmed(domain.child_value("name"));
  if (summary.name.empty() || summary.name.size() > kMaxNameBytes)
    return failure("the guest's XML has no usable <name> (1 to " + std::to_string(kMaxNameBytes) +
                   " bytes)");
  if (const auto uuid = domain.child("uuid")) {
    const auto bits = parse_bits(trimmed(uuid.child_value()));
    if (!bits) return failure("guest " + summary.name + ": its XML has a damaged <uuid>");
    summary.uuid = GuestId{*bits};
  }
  BOOST_OUTCOME_TRY(summary.memory_kib, memory_kib(domain));
  summary.vcpus = 1;
  if (const auto vcpu = domain.child("vcpu"))
    if (!parse_number(trimmed(vcpu.child_value()), summary.vcpus) || summary.vcpus == 0)
      return failure("guest " + summary.name + ": its XML has a <vcpu> that is no number");
  summary.marked = marked_generation(domain);
  return summary;
}

Result<std::uint64_t> definition_hash(std::string_view xml) {
  pugi::xml_document doc;
  BOOST_OUTCOME_TRY(auto domain, load(doc, xml, Keep::meaning));
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  Canonical(&state).element(domain);
  return static_cast<std::uint64_t>(XXH3_64bits_digest(&state));
}

}  // namespace wardom::guestxml
