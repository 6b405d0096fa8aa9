"""Writes a trained run to a file: a report, a drawing, derivations, data or weights.

`WRITERS` lists the endings; another format is one more function there.
"""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backlight.cli.onnx_model import run_as_onnx
from backlight.cli.opening import open_run
from backlight.cli.runs import load
from backlight.draw import draw
from backlight.errors import DataError, RunError, UsageError
from backlight.explain import explain
from backlight.record import Trace
from backlight.report.build import ReportContent, report_data, targets_of
from backlight.report.bundle import bundle
from backlight.report.explanation import find_target, latex_document
from backlight.studio.asking import At
from backlight.studio.catalogue import catalogue
from backlight.studio.exports import session_report
from backlight.studio.session import Session
from backlight.studio.subjects import RunSubject


@dataclass(frozen=True)
class Order:
    """What is to be exported of a run."""

    subject: RunSubject
    step: int
    example: int | None
    weight: str | None

    @property
    def at(self) -> At:
        """The step and the example."""
        return At(self.step, self.example)

    def trace(self) -> Trace:
        """Take the step again and record it.

        Raises
        ------
        RunError
            When the training data was not found.
        """
        if not self.subject.replayable:
            raise RunError(self.subject.opened.reason or "The run took no steps to be replayed.")
        return self.subject.trace(self.at)


def export_run(
    run: str, to: str, step: int | None, example: int | None, weight: str | None
) -> Path:
    """Write a run to a file in the format of the file's ending.

    Parameters
    ----------
    run : str
        The folder of the run.
    to : str
        The file.
    step, example : int or None
        The training step, the last by default, and one training row alone.
    weight : str or None
        What is derived.

    Raises
    ------
    UsageError
        For another ending, or a step beyond the run.
    RunError, DataError
        When the run cannot be read, or the file not be written.
    """
    place = Path(to)
    writer = WRITERS.get(place.suffix.lower())
    if writer is None:
        raise UsageError(
            f"--to {to[:80]} ends in none of {', '.join(WRITERS)}, so it is not clear what to "
            f"write; give the file one of these endings."
        )
    if writer in WHOLE_RUN and (step, example, weight) != (None, None, None):
        raise UsageError(
            f"--step, --example and --weight choose a part of the training, and {place.suffix} is "
            f"of the whole run; leave them out."
        )
    subject = RunSubject(open_run(run))
    last = max(subject.source.steps - 1, 0)
    if step is not None and step > last:
        raise UsageError(f"--step {step} is beyond the run, whose steps are 0 to {last}.")
    content = writer(Order(subject, last if step is None else step, example, weight))
    write_whole(place, content if isinstance(content, bytes) else content.encode("utf-8"))
    return place


def write_whole(place: Path, content: bytes) -> None:
    """Write a file by way of a temporary one beside it, so that it is never half-written.

    Raises
    ------
    DataError
        When it cannot be written.
    """
    try:
        number, temporary = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
        try:
            with os.fdopen(number, "wb") as stream:
                stream.write(content)
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)
            os.replace(temporary, place)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(f"{place} cannot be written ({reason}); choose another place.") from error


def _html(order: Order) -> str:
    subject = order.subject
    session = Session(subject)
    title = f"Backlight: {subject.opened.name}"
    if not subject.replayable:
        content = ReportContent(
            subject.to_dict(),
            training=subject.training(),
            answers=[
                {"do": "outline", "at": order.at.to_dict(), "ok": {"session": 0, "at": {}}
                 | subject.outline(None)}
            ],
            catalogue=catalogue(session),
        )  # fmt: skip
        return bundle(report_data(content, []), title=title)
    first = At(0, order.example)
    moments = [order.at] if order.step == 0 else [order.at, first]
    return bundle(session_report(session, subject, moments, order.weight), title=title)


def _svg(order: Order) -> str:
    return draw(order.trace()).svg


def _tex(order: Order) -> str:
    trace = order.trace()
    made = []
    for each in [order.weight] if order.weight else targets_of(trace):
        node, index = find_target(trace, each)
        made.append(explain(trace, trace.graph.nodes[node].name, index=index).latex())
    return latex_document(made)


def _json(order: Order) -> str:
    return json.dumps(order.trace().to_dict(), ensure_ascii=False, allow_nan=False)


def _csv(order: Order) -> str:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    columns = {name: each for name, each in order.subject.source.history.items() if each}
    writer.writerow(["epoch", *columns])
    rows = zip(*columns.values(), strict=False)
    writer.writerows([number, *row] for number, row in enumerate(rows, start=1))
    return lines.getvalue()


def _safetensors(order: Order) -> bytes:
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(a) for name, a in order.subject.source.parameters.items()}
    written: bytes = save(arrays)
    return written


def _onnx(order: Order) -> bytes:
    loaded = load(str(order.subject.opened.path))
    return run_as_onnx(loaded.net, loaded.recipe)


WRITERS: Mapping[str, Callable[[Order], str | bytes]] = {
    ".html": _html,
    ".svg": _svg,
    ".tex": _tex,
    ".json": _json,
    ".csv": _csv,
    ".safetensors": _safetensors,
    ".onnx": _onnx,
}

WHOLE_RUN = (_csv, _safetensors, _onnx)
"""The formats that no step, example or weight belongs to."""
