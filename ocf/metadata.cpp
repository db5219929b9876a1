#include "ocf/metadata.hpp"

namespace wardom::ocf {
namespace {

// The document type makes the newer attributes known to tools that check against the old one.
constexpr const char* kHead = R"(<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd" [
<!ATTLIST parameter unique-group CDATA #IMPLIED reloadable (0|1) #IMPLIED>
<!ATTLIST action name CDATA #REQUIRED>
]>
)";

std::string described(const char* longdesc, const char* shortdesc) {
  return std::string("<longdesc lang=\"en\">\n") + longdesc + "\n</longdesc>\n" +
         "<shortdesc lang=\"en\">" + shortdesc + "</shortdesc>\n";
}

}  // namespace

std::string metadata(const About& about) {
  std::string text = kHead;
  text += std::string("<resource-agent name=\"") + about.name + "\" version=\"" WARDOM_VERSION
          "\">\n<version>1.1</version>\n" + described(about.longdesc, about.shortdesc) +
          "<parameters>\n";
  for (const auto& one : about.parameters) {
    text += std::string("<parameter name=\"") + one.name + "\" " + one.attributes + ">\n" +
            described(one.longdesc, one.shortdesc) + "<content type=\"" + one.type + "\"";
    if (one.standard != nullptr) text += std::string(" default=\"") + one.standard + "\"";
    text += "/>\n</parameter>\n";
  }
  return text + "</parameters>\n<actions>\n" + about.actions + "</actions>\n</resource-agent>\n";
}

}  // namespace wardom::ocf
