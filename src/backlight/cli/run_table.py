"""The run store as the commands show it: which run is meant, tables, and what differs."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import click

from backlight.cli.application import say
from backlight.draw.words import number_text
from backlight.errors import RunError, UsageError
from backlight.train.adopt import adopt_all
from backlight.train.store import STORE_FILE, Record, RunStore

FOLDER = "runs"


def open_store(folder: str) -> RunStore:
    """Open the store of a folder, and enter the runs that are in the folder only.

    Raises
    ------
    RunError
        When there is no such folder.
    """
    if not os.path.isdir(folder):
        raise RunError(
            f"There is no folder {folder}, so no runs; train something first, or name another "
            f"folder with --in."
        )
    store = RunStore(folder)
    for trouble in adopt_all(store):
        say(f"Warning: {trouble}")
    return store


def find(store: RunStore, name: str) -> Record:
    """Return the run that a name or the path of its folder means."""
    if store.has(name):
        return store.record(name)
    path = Path(name)
    inside = path.parent.absolute() == store.directory.absolute()
    return store.record(path.name if inside else name)


def folder_of(names: Sequence[str], given: str | None) -> str:
    """Return the folder of the store: the one given, that of a path, or ``runs``.

    Raises
    ------
    UsageError
        When paths of different folders are given.
    """
    if given is not None:
        return given
    folders = {
        str(Path(name).parent)
        for name in names
        if os.sep in name and os.path.exists(Path(name).parent / STORE_FILE)
    } | {str(Path(name).parent) for name in names if os.sep in name and os.path.isdir(name)}
    if len(folders) > 1:
        raise UsageError("The runs are in different folders; name runs of one folder, or use --in.")
    return folders.pop() if folders else FOLDER


def last(store: RunStore, run: Record) -> dict[str, float]:
    """Return the numbers of the last epoch."""
    return {name: values[-1][1] for name, values in store.metrics(run).items()}


def best(values: Sequence[float], higher: bool) -> float | None:
    """Return the best finite value."""
    finite = [each for each in values if math.isfinite(each)]
    return (max if higher else min)(finite) if finite else None


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()
) -> list[str]:
    """Write a table; columns whose names are in ``right`` are flush right."""
    widths = [max(len(row[k]) for row in (header, *rows)) for k in range(len(header))]
    lines = []
    for row in (header, *rows):
        cells = [
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(header, row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def coloured(status: str) -> str:
    """Write a status in colour; click takes the colour away where none is wanted."""
    colour = {"running": "cyan", "failed": "red", "died": "red"}.get(status)
    return status if colour is None or "NO_COLOR" in os.environ else click.style(status, fg=colour)


def metric_text(name: str, value: float) -> str:
    """Write a metric for people."""
    if name.endswith("accuracy") and math.isfinite(value):
        return f"{100 * value:.1f} %"
    return number_text(value)


def ago(seconds: float | None) -> str:
    """Write a duration."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def network_text(described: object) -> str:
    """Write the stored description of a network on one line.

    Examples
    --------
    >>> network_text({"kind": "Sequential", "layers": [
    ...     {"kind": "Linear", "inputs": 2, "outputs": 8}, {"kind": "ReLU"}]})
    'Linear 2→8, ReLU'
    """
    if not isinstance(described, dict):
        return str(described)
    layers = described.get("layers")
    if isinstance(layers, list):
        return ", ".join(network_text(each) for each in layers)
    kind = str(described.get("kind"))
    if "inputs" in described and "outputs" in described:
        return f"{kind} {described['inputs']}→{described['outputs']}"
    options = [str(each) for key, each in described.items() if key != "kind" and each is not None]
    return f"{kind} {' '.join(options)}".rstrip()
