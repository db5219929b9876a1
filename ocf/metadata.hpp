// The XML that a resource agent prints about itself, valid by the schemas of both API versions.
#pragma once

#include <span>
#include <string>

namespace wardom::ocf {

struct Parameter {
  const char* name;
  const char* attributes;
  const char* type;
  const char* standard;  // nullptr: none
  const char* shortdesc;
  const char* longdesc;
};

struct About {
  const char* name;
  const char* shortdesc;
  const char* longdesc;
  std::span<const Parameter> parameters;
  const char* actions;  // one <action …/> a line
};

std::string metadata(const About& about);

}  // namespace wardom::ocf
