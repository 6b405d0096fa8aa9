"""Which process trains a run, to tell one that goes on from one that was killed."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def own() -> str:
    """Return what identifies this process: the machine, its number, and when it began."""
    return f"{socket.gethostname()} {os.getpid()} {_begun(os.getpid())}"


def alive(process: str | None) -> bool:
    """Tell whether a process goes on; one of another machine is taken to.

    Parameters
    ----------
    process : str or None
        What `own` gave there.
    """
    parts = (process or "").split()
    if len(parts) != 3 or not parts[1].isdigit():
        return False
    host, number, begun = parts
    if host != socket.gethostname() or os.name != "posix":
        return True
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's: it exists
        return True
    return _begun(int(number)) == begun


def _begun(number: int) -> str:
    """Return when a process began, in ticks since the system's start, where that can be read."""
    try:
        stat = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "-"
