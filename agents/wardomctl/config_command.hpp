// `wardomctl config check [FILE]`: the faults of a configuration file, without a daemon.
#pragma once

#include <string>

namespace wardom::ctl {

// Without a file: the one of this host, together with the key and the password files that it
// names. With a file, perhaps a draft from elsewhere: that file alone. Returns the exit code.
int check_config_file(const std::string& file, bool as_json);

}  // namespace wardom::ctl
