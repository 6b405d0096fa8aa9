"""How many cores this process may use: what the system grants, not what the machine has."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP_2 = Path("/sys/fs/cgroup/cpu.max")
CGROUP_1 = (
    Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
    Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)


def granted_cores() -> int:
    """Return the number of cores that affinity and the control group's quota leave; at least 1.

    Part of a core counts as none, because a team whose members have to take turns is slower than
    a smaller one.

    Examples
    --------
    >>> granted_cores() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    quota = _quota()
    return max(allowed if quota is None else min(allowed, int(quota)), 1)


def usual_threads() -> int:
    """Return how many threads to take when nobody says: the cores, or fewer by OMP_NUM_THREADS.

    Libraries that start several processes set this variable so that together they do not ask for
    more than the machine has.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    limit = int(asked) if asked.isdigit() and int(asked) > 0 else None
    cores = granted_cores()
    return cores if limit is None else min(cores, limit)


def _quota() -> float | None:
    """How many cores' worth of time the control group grants, None without a limit.

    See the kernel's documentation of cgroup v2 (cpu.max) and v1 (cpu.cfs_quota_us).
    """
    try:
        words = CGROUP_2.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:
            words = [path.read_text(encoding="ascii").strip() for path in CGROUP_1]
        except (OSError, ValueError):
            return None
    if len(words) != 2 or not words[0].isdigit() or not words[1].isdigit():
        return None  # "max", or -1: no limit
    return int(words[0]) / max(int(words[1]), 1)
