"""Builds a report: the answers that the studio's page needs, computed beforehand.

It takes a trace (and what is known beside it) and gives the data of a report, or the whole file.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backlight.errors import BacklightError
from backlight.record import Trace
from backlight.report.bundle import bundle, has_page
from backlight.report.explanation import explanation, paths_payload, target_name
from backlight.report.outline import outline
from backlight.report.payload import LISTED, Json, plain, trace_payload
from backlight.report.static import figure, trace_page, trace_table

PROTOCOL = 1
MOST_TARGETS = 64
"""Derivations that a report holds of one trace."""
EACH_EXPLAINED = 48
"""When all leaves together have at most this many entries, each entry is explained."""
LONGEST_GRAPH = 2000
"""Graphs of more nodes get no drawing for readers without scripts."""


@dataclass(frozen=True)
class ReportContent:
    """What goes into a report beside traces.

    Attributes
    ----------
    subject : dict
        As in the studio's state.
    task, training : dict or None
    scalars : dict or None
        The history of a training, as the answer to ``scalars``.
    answers : list of dict
        Further answers.
    catalogue : dict
    """

    subject: Json
    task: Json | None = None
    training: Json | None = None
    scalars: Json | None = None
    answers: Sequence[Json] = ()
    catalogue: Json = field(default_factory=dict)


def version() -> str:
    """Return the version of Backlight that is installed."""
    try:
        return importlib.metadata.version("backlight")
    except importlib.metadata.PackageNotFoundError:  # a bare source tree
        return "unknown"


def everywhere(step: int | None = None, example: int | None = None) -> Json:
    """Write which numbers an answer is about."""
    return {"step": step, "example": example, "edits": []}


def targets_of(trace: Trace) -> list[str]:
    """Choose what a report explains: scalar leaves and the largest entry of each parameter.

    Of a small computation every entry of every node is explained.
    """
    graph, found = trace.graph, dict[str, None]()
    for entry in outline(trace)["parameters"]:
        if entry["largest"] is not None:
            found[target_name(trace, entry["node"], tuple(entry["largest"]))] = None
            found[entry["name"]] = None  # as a whole
    reached = [k for k, gradient in enumerate(trace.gradients) if gradient is not None]
    small = sum(trace.values[k].size for k in reached) <= EACH_EXPLAINED
    for index in reached:
        node = graph.nodes[index]
        if small and index != trace.output:
            for place in _indices(node.shape):
                found[target_name(trace, index, place)] = None
        elif node.is_leaf and node.shape == ():
            found[node.name] = None
    return list(found)[:MOST_TARGETS]


def _indices(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = [()]
    for size in shape:
        found = [(*place, k) for place in found for k in range(size)]
    return found


def trace_answers(trace: Trace, at: Json, session: int = 0) -> list[Json]:
    """Compute the answers about one trace.

    Parameters
    ----------
    trace : Trace
    at : dict
        Which numbers they are about; see `everywhere`.
    session : int
    """
    common = {"session": session, "at": at}
    written, folds = trace_payload(trace)
    answers = [
        {"do": "trace", "at": at, "ok": {**common, "trace": written, "folds": folds}},
        {"do": "outline", "at": at, "ok": {**common, **outline(trace)}},
    ]
    for target in targets_of(trace):
        try:
            ok = explanation(trace, target)
            paths = None if ok["whole"] else paths_payload(trace, target, 10)
        except BacklightError as error:
            answers.append(
                {"do": "explain", "at": at, "target": target, "error": {"message": str(error)}}
            )
            continue
        answers.append({"do": "explain", "at": at, "target": target, "ok": {**common, **ok}})
        if paths is not None:
            answers.append({"do": "paths", "at": at, "target": target, "ok": {**common, **paths}})
    return answers


def report_data(content: ReportContent, answers: Sequence[Json]) -> Json:
    """Put answers and a state together to the data of a report."""
    data: Json = {
        "hello": {
            "protocol": PROTOCOL,
            "version": version(),
            "catalogue": {"limits": {"listed": LISTED, "drawn": 300}, **content.catalogue},
            "state": {
                "session": 0,
                "subject": content.subject,
                "live": False,
                "training": content.training,
                "breakpoints": [],
                "task": content.task,
            },
            "scalars": content.scalars,
        },
        "answers": [*answers, *content.answers],
    }
    made: Json = plain(data)
    return made


def trace_report(trace: Trace, *, title: str | None = None) -> str:
    """Make the page of one trace; see `Trace.save`."""
    name = trace.graph.nodes[trace.output].name
    about = "; ".join(f"{key} {_short(value)}" for key, value in trace.about.items())
    heading = title or f"{name}{f' — {about}' if about else ''}"
    if not has_page():
        return trace_page(trace)
    content = ReportContent({"kind": "trace", "title": heading})
    return report_page(content, {None: trace}, title=heading)


def report_page(content: ReportContent, traces: Mapping[int | None, Trace], *, title: str) -> str:
    """Make one file of a subject and its traces by step; the first is shown without scripts."""
    answers = [
        each for step, trace in traces.items() for each in trace_answers(trace, everywhere(step))
    ]
    first = next(iter(traces.values()), None)
    return bundle(
        report_data(content, answers),
        title=title,
        without_script="" if first is None else _without_script(first),
    )


def _without_script(trace: Trace) -> str:
    from backlight.draw import draw

    if len(trace.graph) > LONGEST_GRAPH:
        return trace_table(trace)
    return figure(draw(trace).svg, "Values (=) and gradients (∂) of each node.") + trace_table(
        trace
    )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:38]}…"
