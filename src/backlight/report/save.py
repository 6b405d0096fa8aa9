"""Writing a trace to a file, in the form that the file's ending asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from backlight.draw.run import draw
from backlight.errors import UsageError
from backlight.files import write_text
from backlight.record import Trace
from backlight.report.build import trace_report


def save_trace(trace: Trace, path: Path) -> Path:
    """Write a trace as ``.json``, ``.svg`` or ``.html``; see `Trace.save`."""
    suffix = path.suffix.lower()
    if suffix == ".svg":
        return draw(trace).save(path)
    writers: dict[str, Callable[[Trace], str]] = {".json": Trace.to_json, ".html": trace_report}
    if suffix not in writers:
        raise UsageError(
            f"A trace is saved as .json, .html or .svg, and {path.name!r} ends in none of them."
        )
    return write_text(path, writers[suffix](trace))
