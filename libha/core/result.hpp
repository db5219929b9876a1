// A value, or the sentence that says why there is none: what is wrong, where, what to do.
#pragma once

#include <boost/outcome/result.hpp>
#include <string>

namespace wardom {

struct Error {
  std::string message;
};

template <class T>
using Result = boost::outcome_v2::basic_result<T, Error, boost::outcome_v2::policy::terminate>;

inline auto failure(std::string message) {
  return boost::outcome_v2::failure(Error{std::move(message)});
}
inline auto success() { return boost::outcome_v2::success(); }

}  // namespace wardom
