"""The requests of a page, one function each; docs/studio-protocol.md describes them.

A function takes the session and the message and gives the answer as plain JSON data, or raises a
`BacklightError` with one sentence for the page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from backlight.data.messages import did_you_mean
from backlight.differentiate.check import check_loss
from backlight.errors import UnknownNameError, UsageError
from backlight.report.explanation import explanation, paths_payload
from backlight.report.payload import plain, trace_payload
from backlight.studio import asking
from backlight.studio.asking import Json
from backlight.studio.breakpoints import read_breakpoints
from backlight.studio.catalogue import catalogue
from backlight.studio.config import read_config
from backlight.studio.prediction import listed_rows, prediction
from backlight.studio.script import script
from backlight.studio.session import HISTORY_LISTED, Session
from backlight.studio.stored import list_runs
from backlight.studio.subjects import FormulaSubject, LiveSubject, RunSubject, Subject
from backlight.studio.tour import CHAPTERS
from backlight.studio.what_if import again

Handler = Callable[[Session, Mapping[str, Any]], Json]

MOST_SCALARS = 100_000


def answer(session: Session, request: Mapping[str, Any]) -> Json:
    """Answer a request.

    Raises
    ------
    BacklightError
        With one sentence for the page.
    """
    name = request.get("do")
    handler = HANDLERS.get(name) if isinstance(name, str) else None
    if handler is None:
        hint = did_you_mean(str(name)[:40], HANDLERS)
        raise UnknownNameError(f"There is no request {str(name)[:40]!r}{hint}.")
    return handler(session, request)


def _state(session: Session, request: Mapping[str, Any]) -> Json:
    return session.state()


def _catalogue(session: Session, request: Mapping[str, Any]) -> Json:
    return catalogue(session)


def _open(session: Session, request: Mapping[str, Any]) -> Json:
    what = request.get("what")
    if not isinstance(what, Mapping):
        raise UsageError("open needs what, an object with a kind.")
    kind = asking.choice(what, "kind", "", ("formula", "example", "run", "live"))
    if kind == "formula":
        return session.put(_formula(what))
    if kind == "example":
        name = asking.text(what, "name")
        if name not in CHAPTERS:
            hint = did_you_mean(name[:60], CHAPTERS)
            raise UnknownNameError(f"There is no example {name[:60]!r}{hint}.")
        return session.put(session.chapter(CHAPTERS[name]))
    if kind == "run":
        return session.put(session.open_run(asking.text(what, "path")))
    return session.put(session.live(read_config(what.get("config") or {}, session.uploads)))


def _formula(what: Mapping[str, Any]) -> Subject:
    wrt = what.get("wrt")
    if wrt is not None and (
        not isinstance(wrt, list) or not all(isinstance(each, str) for each in wrt)
    ):
        raise UsageError("wrt must be a list of names.")
    return FormulaSubject(asking.text(what, "text"), asking.values(what.get("at") or {}), wrt)


def _runs(session: Session, request: Mapping[str, Any]) -> Json:
    return {"runs": list_runs(session.folder), "folder": str(session.folder)}


def _trace(session: Session, request: Mapping[str, Any]) -> Json:
    _, trace, common = session.looked(request)
    written, folds = trace_payload(trace)
    return {**common, "trace": written, "folds": folds}


def _entries(session: Session, request: Mapping[str, Any]) -> Json:
    _, trace, common = session.looked(request)
    start = asking.count(request, "start", 0)
    count = asking.count(request, "count", 4096, most=65_536)
    if request.get("edge") is not None:
        edge = asking.count(request, "edge", 0)
        if edge >= len(trace.edges):
            raise UsageError(f"There is no edge {edge}; there are {len(trace.edges)}.")
        what = asking.choice(request, "what", "contribution", ("local", "contribution"))
        found = trace.edges[edge].local if what == "local" else trace.edges[edge].contribution
    else:
        node = asking.count(request, "node", 0)
        if node >= len(trace.graph):
            raise UsageError(f"There is no node {node}; there are {len(trace.graph)}.")
        what = asking.choice(request, "what", "value", ("value", "gradient"))
        found = trace.values[node] if what == "value" else trace.gradients[node]
    if found is None:
        raise UsageError(f"The {what} was not computed.")
    flat = found.reshape(-1)[start : start + count]
    return {**common, "start": start, "shape": list(found.shape), "data": plain(flat)}


def _explain(session: Session, request: Mapping[str, Any]) -> Json:
    _, trace, common = session.looked(request)
    fold = asking.flag(request, "fold", True)
    return {**common, **explanation(trace, request.get("target"), fold=fold)}


def _paths(session: Session, request: Mapping[str, Any]) -> Json:
    _, trace, common = session.looked(request)
    top = asking.count(request, "top", 10, least=1, most=100)
    return {**common, **paths_payload(trace, request.get("target"), top)}


def _check(session: Session, request: Mapping[str, Any]) -> Json:
    _, trace, common = session.looked(request)
    samples = asking.count(request, "samples", 20, least=1, most=200)
    tensors = again(trace)
    chosen = {name: tensors[node] for name, node in trace.parameters.items()}
    if not chosen:
        raise UsageError("There is no parameter whose gradient could be checked.")
    report = check_loss(tensors[trace.output], chosen, samples=samples)
    return {**common, "report": plain(report.to_dict()), "text": str(report)}


def _outline(session: Session, request: Mapping[str, Any]) -> Json:
    subject, number, at = session.at(request.get("at"))
    common = {"session": number, "at": at.to_dict()}
    if isinstance(subject, RunSubject) and not subject.replayable:
        return {**common, **subject.outline(None)}
    return {**common, **subject.outline(session.trace_at(subject, number, at))}


def _prediction(session: Session, request: Mapping[str, Any]) -> Json:
    subject, number, at = session.at(request.get("at"))
    task = subject.task
    common = {"session": number, "step": at.step}
    if task is None:
        reason = "This has no predictions, because no data belongs to it."
        if isinstance(subject, RunSubject) and subject.opened.reason:
            reason = subject.opened.reason
        return {**common, "kind": "none", "message": reason}
    resolution = asking.count(request, "resolution", 40, least=2, most=100)

    def job() -> Json:
        net, parameters = subject.network(at.step)
        return prediction(task, net, parameters, resolution)

    return {**common, **subject.apply(job)}


def _rows(session: Session, request: Mapping[str, Any]) -> Json:
    subject, number, at = session.at(request.get("at"))
    task = subject.task
    if task is None:
        return {"session": number, "rows": [], "total": 0}
    start = asking.count(request, "start", 0)
    count = asking.count(request, "count", 20, least=1, most=200)
    wrong = request.get("only") == "wrong"

    def job() -> Json:
        net, parameters = subject.network(at.step)
        return listed_rows(task, net, parameters, start, count, wrong=wrong)

    return {"session": number, **subject.apply(job)}


def _scalars(session: Session, request: Mapping[str, Any]) -> Json:
    start = asking.count(request, "from", 0)
    end = asking.whole(request, "to", None)
    most = asking.count(request, "most", HISTORY_LISTED, least=1, most=MOST_SCALARS)
    return session.scalars(start, end, most)


def _train(session: Session, request: Mapping[str, Any]) -> Json:
    subject = session.subject
    if not isinstance(subject, LiveSubject):
        raise UsageError("Nothing trains here; open a live training first.")
    actions = ("start", "pause", "step", "reset", "speed")
    action = asking.choice(request, "action", "", actions)
    speed = request.get("speed")
    if speed is not None:
        speed = asking.number(request, "speed", above=0.0, most=1e6)
    worker = subject.worker
    if action == "start":
        kept = speed if "speed" in request else worker.speed
        worker.go(asking.whole(request, "until", None), kept)
    elif action == "pause":
        worker.pause()
    elif action == "step":
        worker.take(asking.count(request, "count", 1, least=1, most=1000))
    elif action == "speed":
        worker.speed = speed
        session.new_state()
    else:
        return _reset(session, subject, asking.whole(request, "seed", None, most=2**31))
    return session.state()


def _reset(session: Session, subject: LiveSubject, seed: int | None) -> Json:
    if subject.chapter is not None:
        return session.put(session.chapter(subject.chapter, 1 if seed is None else seed))
    assert subject.config is not None
    change = {} if seed is None else {"seed": seed}
    config = read_config(change, session.uploads, subject.config)
    rate = subject.trainer.learning_rate
    if rate == rate and rate != config.learning_rate:
        config = read_config({"learning_rate": rate}, session.uploads, config)
    return session.put(session.live(config))


def _configure(session: Session, request: Mapping[str, Any]) -> Json:
    subject = session.subject
    given = request.get("config")
    if not isinstance(given, Mapping) or not given:
        raise UsageError("configure needs config, an object with the fields to change.")
    if not isinstance(subject, LiveSubject):
        raise UsageError("Nothing trains here; open a live training first.")
    if set(given) == {"learning_rate"}:
        rate = asking.number(given, "learning_rate", above=0.0, most=1e6)
        subject.worker.do(lambda: subject.trainer.set_learning_rate(rate))
        if subject.config is not None:
            changed = read_config({"learning_rate": rate}, session.uploads, subject.config)
            subject.config = changed
        session.new_state()
        return session.state()
    if subject.config is None:
        raise UsageError(
            "This chapter keeps its data and its layers; open a live training to change them."
        )
    return session.put(session.live(read_config(given, session.uploads, subject.config)))


def _breakpoints(session: Session, request: Mapping[str, Any]) -> Json:
    session.breakpoints = read_breakpoints(request.get("breakpoints"))
    subject = session.subject
    if isinstance(subject, LiveSubject):
        subject.trainer.breakpoints = session.breakpoints
    session.new_state()
    return session.state()


def _script(session: Session, request: Mapping[str, Any]) -> Json:
    subject, number, at = session.at(request.get("at"))
    target = request.get("target")
    chosen = target if isinstance(target, str) else None
    return {"session": number, "at": at.to_dict(), "text": script(subject, at, chosen)}


HANDLERS: Mapping[str, Handler] = {
    "state": _state,
    "catalogue": _catalogue,
    "open": _open,
    "runs": _runs,
    "trace": _trace,
    "entries": _entries,
    "explain": _explain,
    "paths": _paths,
    "check": _check,
    "outline": _outline,
    "prediction": _prediction,
    "rows": _rows,
    "scalars": _scalars,
    "train": _train,
    "configure": _configure,
    "breakpoints": _breakpoints,
    "script": _script,
}

CONTROL = frozenset(
    ("state", "catalogue", "open", "scalars", "train", "configure", "breakpoints", "runs")
)
"""Requests that do not wait for those that compute."""
