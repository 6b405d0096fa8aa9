"""Memory for compiled programs: asked for before anything runs, and refused with the sizes.

Systems promise more memory than they have and end the process that uses it, so what a program will
need is compared with what is there first.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from backlight.errors import OutOfMemoryError
from backlight.graph.primitive import Array

MEMORY = Path("/proc/meminfo")
CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
SMALL = 1 << 26
"""Bytes that are not worth looking for."""


def available() -> int | None:
    """Return how many bytes this process could get, None where the system does not tell."""
    found = [each for each in (_system(), _control_group()) if each is not None]
    return min(found) if found else None


def _system() -> int | None:
    try:
        for line in MEMORY.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _control_group() -> int | None:
    for path in CGROUP_LIMITS:
        try:
            return int(path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
    return None


def aligned(size: int, what: str) -> Array:
    """Return zeroed bytes that start at a multiple of 64.

    Parameters
    ----------
    size : int
    what : str
        What they are for, as a message says it.

    Raises
    ------
    OutOfMemoryError
        Naming the sizes.
    """
    there = available() if size > SMALL else None
    if there is not None and size > there:
        raise OutOfMemoryError(
            f"{what} needs {_words(size)} of memory and {_words(there)} are there; take smaller "
            f"batches or a smaller network."
        )
    try:
        room = np.zeros(size + 64, np.uint8)
    except MemoryError:
        raise OutOfMemoryError(
            f"{what} needs {_words(size)} of memory, which the system refuses; take smaller "
            f"batches or a smaller network."
        ) from None
    start = -room.ctypes.data % 64
    return room[start : start + size]


def _words(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
