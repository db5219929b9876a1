// Whether this host's kernel still holds writes of processes that have ended.
//
// A process that has exited has no direct I/O of its own under way on local and block devices: its
// exit waits for that. Two things outlive it, and a host that stays up would carry them out
// whenever its network allows, L_late or not: what a closed socket has not sent, and what a network
// or cluster file system has queued or holds in the page cache. (A reset takes both along.)
#pragma once

#include <string>

namespace wardom::keeper {

// Empty: nothing is left. Else what is, or why it cannot be told. `own_volume`: the file of the
// state volume, which holds no guest's data; a file system that is mounted on it alone does not
// count. `host`: the process under `proc` whose network and mounts are looked at: the keeper's own
// are not the host's.
//
// Not seen from here, and so not excluded: a local file system on a LUN that other hosts use, a
// network file system that was unmounted lazily, and daemons of this host that serve disks.
std::string undrained(const std::string& own_volume, const std::string& host = "1",
                      const std::string& proc = "/proc");

}  // namespace wardom::keeper
