#include "ocf/answer.hpp"

namespace wardom::ocf {

const boost::json::object* shown_in(const control::Answer& answer) {
  return answer.exit_code == 0 ? answer.result.if_object() : nullptr;
}

std::string text_in(const boost::json::object& shown, const char* key) {
  const auto* value = shown.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

bool is_true(const boost::json::object& shown, const char* key) {
  const auto* value = shown.if_contains(key);
  return value != nullptr && value->is_bool() && value->get_bool();
}

}  // namespace wardom::ocf
