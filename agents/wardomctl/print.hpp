// What wardomctl shows to people. Each function turns one result of wardomd into text; a key that
// is missing, null or of another type prints as "-", never as a made-up value. Pure.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "agents/wardomctl/table.hpp"

namespace wardom::ctl {

std::string print_status(const boost::json::value& status, const Paint& paint);
std::string print_why(const boost::json::value& why, const Paint& paint);
std::string print_timeline(const boost::json::value& timeline, const Paint& paint);
std::string print_guests(const boost::json::value& guests, const Paint& paint);
std::string print_hosts(const boost::json::value& hosts, const Paint& paint);
// Any result that has no form of its own: "key: value" lines, lists one item per line.
std::string print_plain(const boost::json::value& value, const Paint& paint);

}  // namespace wardom::ctl
