// What stands in an answer of wardomd's.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "libha/control_client/control_client.hpp"

namespace wardom::ocf {

// nullptr: wardomd has not answered, or has answered with an error.
const boost::json::object* shown_in(const control::Answer& answer);
// Empty: there is no such text.
std::string text_in(const boost::json::object& shown, const char* key);
bool is_true(const boost::json::object& shown, const char* key);

}  // namespace wardom::ocf
