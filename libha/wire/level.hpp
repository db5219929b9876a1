// The levels that the code of this directory speaks: what this build of Wardom reads and writes.
#pragma once

#include "libha/core/level.hpp"

namespace wardom::wire {

const Levels& spoken_levels();

}  // namespace wardom::wire
