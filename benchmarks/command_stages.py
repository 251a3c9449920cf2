"""CPU and wall time of a command's stages: one line for each line that it prints.

    python benchmarks/command_stages.py reproduce study=mini

Runs `meld-lightning ARGUMENTS` in the current folder, where it writes as always; an empty folder
gives the first use, the same folder again the second. CPU seconds are those of all processes that
the command has started, also of servers and workers that outlive it for a moment. The last line
printed is one JSON object.
"""

import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from contextlib import suppress

import psutil

ADOPT = 36  # PR_SET_CHILD_SUBREAPER of prctl(2): processes whose parent has ended become ours


def main() -> int:
    """Runs the command and gives its exit status."""
    ctypes.CDLL(None).prctl(ADOPT, 1)
    start = time.monotonic()
    command = [sys.executable, "-m", "meld_lightning", *sys.argv[1:]]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    assert process.stdout is not None
    print("  CPU s  stage  wall s  line printed at its end")
    cpu_s = 0.0
    for line in process.stdout:
        now = tree_cpu_s()
        wall_s = time.monotonic() - start
        print(f"{now:7.1f}{now - cpu_s:7.1f}{wall_s:8.1f}  {line.rstrip()[:120]}", flush=True)
        cpu_s = now
    status = process.wait()
    with suppress(ChildProcessError):
        while True:
            os.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {"cpu_s": used.ru_utime + used.ru_stime, "wall_s": time.monotonic() - start}
    print(json.dumps({"command": sys.argv[1:], "status": status, **found}))
    return status


def tree_cpu_s() -> float:
    """CPU seconds of all processes below this one, those that have ended included."""
    own = psutil.Process()
    times = own.cpu_times()
    total = times.children_user + times.children_system
    for child in own.children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            times = child.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


if __name__ == "__main__":
    sys.exit(main())
