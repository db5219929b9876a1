// The versions of what programs of one host say and leave to each other.
//
// Programs of two releases meet while a host is upgraded. What adds a key or a request keeps the
// version; what an older program would misunderstand raises it. An unknown version is refused.
#pragma once

namespace wardom {

// The key "version" of a request to wardomd (control/control_server.hpp). Without one it is 1.
inline constexpr int kControlVersion = 1;

// The first line of the list of protected guests that wardomd leaves for the libvirt hook; then one
// UUID per line.
inline constexpr const char* kProtectedListLine = "wardom protected 1";

}  // namespace wardom
