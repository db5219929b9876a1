// Boost.JSON is used as headers only; its definitions stand here, once.
#include <boost/json/src.hpp>
