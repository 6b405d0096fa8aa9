"""Settings for every run of pytest, doctests included: plain output, user folders of its own.

Also sees to it that each module of Backlight is imported once, in the ordinary way.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent / "src"

_SCRATCH = pytest.StashKey[tempfile.TemporaryDirectory[str]]()

# Where platformdirs puts caches, stored runs and settings on Linux.
_USER_FOLDERS = ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment before anything is imported."""
    scratch = tempfile.TemporaryDirectory(prefix="backlight-tests-")
    config.stash[_SCRATCH] = scratch
    for variable in _USER_FOLDERS:
        os.environ[variable] = str(Path(scratch.name, variable.lower()))
    for variable in ("FORCE_COLOR", "CLICOLOR_FORCE"):
        os.environ.pop(variable, None)
    # Not NO_COLOR: it would hide colour that is written where it should not be.
    os.environ["TERM"] = "dumb"
    os.environ["COLUMNS"] = "100"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the run's own user folders."""
    scratch = config.stash.get(_SCRATCH, None)
    if scratch is not None:
        scratch.cleanup()


def pytest_collect_file(file_path: Path) -> None:
    """Import a module of Backlight before pytest does.

    To look for doctests pytest would execute the file by itself, a second time when its package
    imports it as well, and a primitive may be registered only once.
    """
    inside = file_path.suffix == ".py" and file_path.is_relative_to(SOURCE)
    if inside and file_path.name != "__main__.py":
        parts = file_path.relative_to(SOURCE).with_suffix("").parts
        importlib.import_module(".".join(parts).removesuffix(".__init__"))
