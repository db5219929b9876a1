#include "fencing/metadata.hpp"

#include "fencing/parameters.hpp"

namespace wardom::fencing {
namespace {

constexpr const char* kShort = "Fence agent for hosts that Wardom watches";
constexpr const char* kLong =
    "fence_wardom fences hosts by Wardom's proofs. It tells the hosts' wardomd to power a host off "
    "by its BMC, and succeeds once that host is proved to run nothing any more: by its power, read "
    "off twice; by its lease, which ends a host that nothing else can reach; or by its next boot. "
    "While no wardomd runs on this host it asks the BMC by itself, and succeeds by what it reads. "
    "Hosts and BMCs stand in wardom.toml, so no other parameter is needed.";
constexpr const char* kUrl = "file:///usr/share/doc/wardom";

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

const char* type_name(Parameter::Type type) {
  switch (type) {
    case Parameter::Type::flag: return "boolean";
    case Parameter::Type::text: return "string";
    case Parameter::Type::seconds: return "second";
    case Parameter::Type::choice: return "select";
  }
  return "string";
}

std::string options_of(const Parameter& one) {
  std::string text = one.letter == '\0' ? std::string() : std::string("-") + one.letter + ", ";
  text += "--" + std::string(one.option);
  if (!one.value.empty()) text += "=[" + std::string(one.value) + "]";
  return text;
}

std::string element_of(const Parameter& one) {
  std::string text = "\t<parameter name=\"" + std::string(one.name) + "\" unique=\"0\"";
  text += std::string(" required=\"") + (one.required ? "1" : "0") + "\"";
  if (one.deprecated) text += " deprecated=\"1\"";
  if (!one.obsoletes.empty()) text += " obsoletes=\"" + std::string(one.obsoletes) + "\"";
  text += ">\n\t\t<getopt mixed=\"" + escaped(options_of(one)) + "\" />\n\t\t<content type=\"" +
          type_name(one.type) + "\"";
  if (!one.standard.empty()) text += " default=\"" + escaped(one.standard) + "\"";
  if (one.choices.empty()) {
    text += " />\n";
  } else {
    text += " >\n";
    for (const auto choice : one.choices)
      text += "\t\t\t<option value=\"" + escaped(choice) + "\" />\n";
    text += "\t\t</content>\n";
  }
  return text + "\t\t<shortdesc lang=\"en\">" + escaped(one.what) +
         "</shortdesc>\n\t</parameter>\n";
}

}  // namespace

std::string metadata() {
  std::string text = "<?xml version=\"1.0\" ?>\n<resource-agent name=\"fence_wardom\" shortdesc=\"";
  text += std::string(kShort) + "\" >\n<longdesc>" + escaped(kLong) + "</longdesc>\n<vendor-url>" +
          kUrl + "</vendor-url>\n<parameters>\n";
  for (const auto& one : parameters()) text += element_of(one);
  text += "</parameters>\n<actions>\n";
  for (const auto action : {Action::on, Action::off, Action::reboot, Action::status, Action::list,
                            Action::list_status, Action::monitor, Action::metadata,
                            Action::manpage, Action::validate_all})
    text += std::string("\t<action name=\"") + to_text(action) + "\"" +
            (action == Action::on ? " automatic=\"0\"" : "") + " />\n";
  return text + "</actions>\n</resource-agent>\n";
}

std::string help() {
  std::string text = std::string(kShort) + "\n\nUsage:  fence_wardom [OPTION]...\n"
                     "        fence_wardom < LINES   (NAME=VALUE, as Pacemaker's fencer gives "
                     "them)\n\n" + kLong + "\n\nOptions:\n";
  for (const auto& one : parameters()) {
    text += "  " + options_of(one) + "\n      " + std::string(one.what);
    if (!one.standard.empty()) text += " (default: " + std::string(one.standard) + ")";
    text += "\n";
  }
  return text + "\nExit codes: 0 done, or on; 1 failed; 2 off (action status).\n";
}

}  // namespace wardom::fencing
