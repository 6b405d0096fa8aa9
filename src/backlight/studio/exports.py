"""Files that the page offers to save: the report, drawings, derivations, tables, data, scripts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlight.draw import draw
from backlight.errors import UsageError
from backlight.explain import explain
from backlight.record import Trace
from backlight.report.build import (
    LONGEST_GRAPH,
    ReportContent,
    report_data,
    targets_of,
    trace_answers,
)
from backlight.report.bundle import bundle
from backlight.report.explanation import find_target, latex_document
from backlight.report.static import figure, trace_table
from backlight.studio.asking import At, Json
from backlight.studio.catalogue import catalogue
from backlight.studio.script import script
from backlight.studio.session import Session
from backlight.studio.subjects import LiveSubject, RunSubject, Subject

MOST_ROWS = 1_000_000


@dataclass(frozen=True)
class Download:
    """A file that was made.

    Attributes
    ----------
    name : str
    kind : str
        Its media type.
    text : str
    """

    name: str
    kind: str
    text: str


@dataclass(frozen=True)
class Asked:
    """What is to be exported."""

    session: Session
    subject: Subject
    trace: Trace
    common: Json
    at: At
    target: str | None


def export(session: Session, kind: str, at: object = None, target: str | None = None) -> Download:
    """Make a file of what is on the screen.

    Parameters
    ----------
    session : Session
    kind : {"html", "svg", "tex", "csv", "json", "py"}
    at : dict, optional
        Which numbers, as in requests.
    target : str, optional
        What is explained.

    Raises
    ------
    BacklightError
        With one sentence for the page.
    """
    if kind not in EXPORTS:
        raise UsageError(f"There is no export {kind[:20]!r}; choose one of {', '.join(EXPORTS)}.")
    subject, number, chosen = session.at(at)
    trace = session.trace_at(subject, number, chosen)
    common = {"session": 0, "at": chosen.to_dict()}
    return EXPORTS[kind](Asked(session, subject, trace, common, chosen, target))


def _html(asked: Asked) -> Download:
    title = str(asked.subject.to_dict().get("title") or "Backlight")
    page = bundle(
        session_report(asked.session, asked.subject, [asked.at], asked.target),
        title=f"Backlight: {title}",
        without_script=_plain_part(asked.trace),
    )
    return Download("report.html", "text/html; charset=utf-8", page)


def _plain_part(trace: Trace) -> str:
    table = trace_table(trace)
    if len(trace.graph) > LONGEST_GRAPH:
        return table
    return figure(draw(trace).svg, "Values (=) and gradients (∂) of each node.") + table


def session_report(
    session: Session, subject: Subject, moments: list[At], target: str | None = None
) -> Json:
    """Compute the data of a report about some moments of what is open.

    Parameters
    ----------
    session : Session
    subject : Subject
    moments : list of At
        The first is the one that the report opens at.
    target : str, optional
        A derivation that is wanted beside those that every report has.
    """
    answers: list[Json] = []
    for at in moments:
        trace = session.trace_at(subject, session.number, at)
        answers += trace_answers(trace, at.to_dict())
        if target is not None and not any(each.get("target") == target for each in answers):
            answers += _one_more(session, at, target)
        answers += _beside(session, at)
    content = ReportContent(
        subject={**subject.to_dict(), "opens": moments[0].to_dict()},
        task=None if subject.task is None else subject.task.to_dict(),
        training=subject.training(),
        scalars={**session.scalars(), "session": 0},
        answers=answers,
        catalogue=catalogue(session),
    )
    return report_data(content, [])


def _one_more(session: Session, at: At, target: str) -> list[Json]:
    found = []
    for name in ("explain", "paths"):
        ok = session.handle({"do": name, "at": at.to_dict(), "target": target})
        found.append({"do": name, "at": at.to_dict(), "target": target, "ok": {**ok, "session": 0}})
    return found


def _beside(session: Session, at: At) -> list[Json]:
    """The answers about the network rather than the trace."""
    found = []
    for name in ("prediction", "rows"):
        ok = session.handle({"do": name, "at": at.to_dict()})
        found.append({"do": name, "at": at.to_dict(), "ok": {**ok, "session": 0}})
    return found


def _svg(asked: Asked) -> Download:
    if len(asked.trace.graph) > LONGEST_GRAPH:
        raise UsageError(
            f"The graph has {len(asked.trace.graph):,} nodes, too many for one drawing; export a "
            f"derivation as LaTeX instead."
        )
    return Download("graph.svg", "image/svg+xml", draw(asked.trace).svg)


def _tex(asked: Asked) -> Download:
    targets = [asked.target] if asked.target else targets_of(asked.trace)
    made = []
    for each in targets:
        node, index = find_target(asked.trace, each)
        derivation = explain(asked.trace, asked.trace.graph.nodes[node].name, index=index)
        made.append(derivation.latex())
    return Download("derivation.tex", "application/x-tex; charset=utf-8", latex_document(made))


def _csv(asked: Asked) -> Download:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    subject = asked.subject
    if isinstance(subject, LiveSubject) and len(subject.trainer.history):
        history = subject.trainer.history
        table = history.between(0, min(len(history), MOST_ROWS))
        metrics = table.pop("metrics")
        columns = {**table, **metrics}
        writer.writerow(["step", *columns])
        writer.writerows([k, *row] for k, row in enumerate(zip(*columns.values(), strict=True)))
        return Download("scalars.csv", "text/csv; charset=utf-8", lines.getvalue())
    if isinstance(subject, RunSubject) and subject.source.history.get("loss"):
        history_columns = {k: v for k, v in subject.source.history.items() if v}
        writer.writerow(["epoch", *history_columns])
        rows = zip(*history_columns.values(), strict=False)
        writer.writerows([k, *row] for k, row in enumerate(rows))
        return Download("history.csv", "text/csv; charset=utf-8", lines.getvalue())
    _nodes(writer, asked.trace)
    return Download("nodes.csv", "text/csv; charset=utf-8", lines.getvalue())


def _nodes(writer: Any, trace: Trace) -> None:
    writer.writerow(["node", "index", "operation", "value", "gradient"])
    for position, node in enumerate(trace.graph.nodes):
        gradient = trace.gradients[position]
        flat = trace.values[position].reshape(-1)
        for k in range(min(flat.size, 1000)):
            index = ",".join(str(int(each)) for each in np.unravel_index(k, node.shape))
            writer.writerow(
                [
                    node.name,
                    index,
                    node.primitive.name,
                    flat[k].item(),
                    "" if gradient is None else gradient.reshape(-1)[k].item(),
                ]
            )


def _json(asked: Asked) -> Download:
    text = json.dumps(asked.trace.to_dict(), ensure_ascii=False, allow_nan=False)
    return Download("trace.json", "application/json", text)


def _py(asked: Asked) -> Download:
    text = script(asked.subject, asked.at, asked.target)
    return Download("backlight_studio.py", "text/x-python; charset=utf-8", text)


EXPORTS: Mapping[str, Callable[[Asked], Download]] = {
    "html": _html,
    "svg": _svg,
    "tex": _tex,
    "csv": _csv,
    "json": _json,
    "py": _py,
}
