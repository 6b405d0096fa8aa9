"""``backlight doctor``: what is installed here, what the machine grants, and what is missing."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import click
import platformdirs

from backlight.cli import machine
from backlight.cli.application import EXIT_CODES, FAILURE, OK
from backlight.cli.output import emit_json
from backlight.data import load
from backlight.errors import DataError

CORE = ("numpy", "llvmlite", "safetensors", "click", "rich", "platformdirs")
OPTIONAL: Mapping[str, str] = {
    "scipy": "more oracles for tests",
    "torch": "an oracle for tests",
    "scikit-learn": "an oracle for tests",
    "pandas": "an oracle for tests",
}


@dataclass(frozen=True)
class Report:
    """What the doctor found.

    Attributes
    ----------
    facts : mapping
        Nested plain data, as in the JSON document.
    problems : tuple of str
        What keeps Backlight from working fully; one sentence each, with its remedy.
    notes : tuple of str
        What is missing and not needed.
    """

    facts: Mapping[str, object]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


@click.command(
    epilog="\b\nExample:\n  backlight doctor\n\n"
    + EXIT_CODES
    + " A problem that is found counts as a failure."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(as_json: bool) -> int:
    """Show versions, the processor, threads, caches, data sets, and what is missing."""
    report = examine()
    if as_json:
        emit_json("doctor", {**report.facts, "problems": report.problems, "notes": report.notes})
    else:
        click.echo(_text(report))
    return FAILURE if report.problems else OK


def examine() -> Report:
    """Look at this installation and this machine."""
    versions = {name: _version(name) for name in ("backlight", *CORE)}
    problems = [
        f"{name} is missing; install it with pip install {name}."
        for name, version in versions.items()
        if version is None
    ]
    optional = {name: _version(name) for name in OPTIONAL}
    notes = [
        f"{name} is not installed ({purpose}); nothing else needs it."
        for name, purpose in OPTIONAL.items()
        if optional[name] is None
    ]
    cache = Path(platformdirs.user_cache_dir("backlight"))
    if not _writable(cache):
        problems.append(
            f"The cache folder {cache} cannot be written; correct its permissions or set "
            "XDG_CACHE_HOME to another place."
        )
    code = _machine_code()
    if code is not None and not _writable(code):
        problems.append(
            f"Machine code cannot be kept in {code}; set BACKLIGHT_CACHE_DIR to a folder of your "
            "own, or BACKLIGHT_CACHE=off."
        )
    fashion = _fashion_mnist()
    if fashion is not None:
        notes.append(fashion)
    facts: dict[str, object] = {
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
        },
        "system": {"name": platform.system(), "machine": platform.machine()},
        "packages": versions,
        "optional_packages": optional,
        "processor": {
            "name": machine.processor_name(),
            "llvm_name": machine.llvm_processor(),
            "features": machine.processor_features(),
        },
        "cores": {
            "present": os.cpu_count(),
            "affinity": machine.cores_allowed(),
            "control_group": machine.cores_of_group(),
        },
        "thread_variables": machine.thread_settings(),
        "cache": {"path": str(cache), "bytes": _bytes_in(cache)},
        "machine_code": {
            "path": "in memory only" if code is None else str(code),
            "bytes": 0 if code is None else _bytes_in(code),
        },
        "data": {"fashion-mnist": fashion is None},
    }
    return Report(facts, tuple(problems), tuple(notes))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _writable(folder: Path) -> bool:
    """Tell whether a folder, or the nearest one above it that exists, can be written to."""
    while not folder.exists() and folder.parent != folder:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)


def _machine_code() -> Path | None:
    """Return the folder of compiled programs; None when they are kept in memory only."""
    # Here, because LLVM takes a while to load.
    from backlight.execute.native.cache import cache_folder

    return cache_folder()


def _bytes_in(folder: Path) -> int:
    files = (each for each in folder.rglob("*") if each.is_file() and not each.is_symlink())
    return sum(each.stat().st_size for each in files)


def _fashion_mnist() -> str | None:
    """Return None when Fashion-MNIST can be read, and otherwise what to do."""
    try:
        load("fashion-mnist")
    except DataError as error:
        return str(error)
    return None


def _text(report: Report) -> str:
    rows: list[tuple[str, str]] = []
    for title, content in report.facts.items():
        heading = title.replace("_", " ")
        if not isinstance(content, Mapping):
            rows.append((heading, str(content)))
            continue
        shown = [f"{key} {_word(value)}" for key, value in content.items() if value is not None]
        rows.append((heading, ", ".join(shown) or "none set"))
    width = max(len(heading) for heading, _ in rows)
    lines = [f"{heading:<{width}}  {shown}" for heading, shown in rows]
    lines += ["", *[f"note: {note}" for note in report.notes]]
    lines += [f"problem: {problem}" for problem in report.problems]
    lines += ["", "No problem found." if not report.problems else "Not everything is well."]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "present" if value else "not installed"
    if isinstance(value, tuple):
        return " ".join(str(each) for each in value)
    return str(value)
