"""Prints the most memory in bytes that a process took that trained a network for a few epochs.

python benchmarks/scripts/peak_memory.py LIBRARY NETWORK, in a new process
"""

import resource
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.networks import NETWORKS
from benchmarks.worker import trainer


def most() -> int:
    """Return the peak; where Linux tells, without what the parent process took before this one."""
    try:
        lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# With random data, so that no process reads files by means of Backlight.
network = replace(NETWORKS[sys.argv[2]], data="random")
training = trainer(sys.argv[1], network, 1, True)
training.run(3)
training.close()
print(most())
