#include "libha/wire/level.hpp"

namespace wardom::wire {
namespace {

constexpr Levels kSpoken{Level{1}, Level{1}};

}  // namespace

const Levels& spoken_levels() { return kSpoken; }

}  // namespace wardom::wire
