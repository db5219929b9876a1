"""What one call of a program costs, as a whole process with its children. Runs on a host of the lab:

    python3 -c "$(cat one_call.py)" '{"rounds": N, "programs": {NAME: {"argv": […], "env": {…}}}}'

All programs take turns. Prints, per program, a list of [CPU seconds, wall seconds, exit code].
"""

import json
import os
import sys
import time


def call(argv, env):
    silent = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)] + [
        (os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    began = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, env, file_actions=silent)
    _, status, used = os.wait4(pid, 0)
    return [used.ru_utime + used.ru_stime, time.perf_counter() - began,
            os.waitstatus_to_exitcode(status)]


asked = json.loads(sys.argv[1])
costs = {name: [] for name in asked["programs"]}
for _ in range(asked["rounds"]):
    for name, program in asked["programs"].items():
        costs[name].append(call(program["argv"], program["env"]))
print(json.dumps(costs))
