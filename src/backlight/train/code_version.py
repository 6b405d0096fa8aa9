"""Which version of the user's code a run was made with: the git commit, and whether it was changed.

Both are unknown outside a repository and where git is not installed.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

SECONDS = 2.0
"""No longer is git waited for; a huge repository is not worth more."""


@dataclass(frozen=True)
class CodeVersion:
    """The commit, and whether tracked files differ from it; None is unknown."""

    commit: str | None
    modified: bool | None


def code_version() -> CodeVersion:
    """Ask git about the folder that this process works in."""
    commit = _git("rev-parse", "--verify", "HEAD")
    if commit is None or not commit.strip():
        return CodeVersion(None, None)
    status = _git("status", "--porcelain", "--untracked-files=no")
    return CodeVersion(commit.strip(), None if status is None else bool(status.strip()))


def _git(*arguments: str) -> str | None:
    # Nothing that a repository's own settings name is run: its hooks and monitors are off.
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False, errors="replace"
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None
