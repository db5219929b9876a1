#include <cstring>
#include <utility>

#include "libha/guestxml/document.hpp"

namespace wardom::guestxml {
namespace {

class StringWriter final : public pugi::xml_writer {
 public:
  void write(const void* data, std::size_t size) override {
    text_.append(static_cast<const char*>(data), size);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

std::string written(const pugi::xml_document& doc) {
  StringWriter writer;
  // Raw and without a declaration of its own: what was there comes back as it was.
  doc.save(writer, "", pugi::format_raw | pugi::format_no_declaration, pugi::encoding_utf8);
  return writer.take();
}

void remove_marks(pugi::xml_node domain) {
  for (auto mark = find_mark(domain); mark; mark = find_mark(domain))
    mark.parent().remove_child(mark);
}

bool holds_nothing(pugi::xml_node element) {
  for (auto child : element.children())
    if (child.type() != pugi::node_pcdata || !trimmed(child.value()).empty()) return false;
  return true;
}

// libvirt keeps <metadata> right behind <name>, <uuid>, <genid>, <title>, <description>.
pugi::xml_node metadata_of(pugi::xml_node domain) {
  if (auto existing = domain.child("metadata")) return existing;
  pugi::xml_node behind;
  for (auto child : domain.children())
    for (const char* name : {"name", "uuid", "genid", "title", "description"})
      if (std::strcmp(child.name(), name) == 0) behind = child;
  return behind ? domain.insert_child_after("metadata", behind) : domain.prepend_child("metadata");
}

}  // namespace

Result<std::string> mark_protected(std::string_view xml, Generation generation) {
  pugi::xml_document doc;
  BOOST_OUTCOME_TRY(auto domain, load(doc, xml, Keep::everything));
  remove_marks(domain);
  auto mark = metadata_of(domain).append_child("wardom:guest");
  mark.append_attribute("xmlns:wardom") = kMarkUri.data();
  mark.append_attribute("protected") = "yes";
  mark.append_attribute("generation") = static_cast<unsigned long long>(generation.value);
  return written(doc);
}

Result<std::string> unmark_protected(std::string_view xml) {
  pugi::xml_document doc;
  BOOST_OUTCOME_TRY(auto domain, load(doc, xml, Keep::everything));
  const auto metadata = find_mark(domain).parent();
  remove_marks(domain);
  // An empty element that only the mark had needed goes with it.
  if (metadata && holds_nothing(metadata)) domain.remove_child(metadata);
  return written(doc);
}

bool is_marked_protected(std::string_view xml) {
  const auto summary = summarize(xml);
  return summary.has_value() && summary.value().marked.has_value();
}

std::string mark_element(Generation generation) {
  return "<guest protected='yes' generation='" + std::to_string(generation.value) + "'/>";
}

}  // namespace wardom::guestxml
