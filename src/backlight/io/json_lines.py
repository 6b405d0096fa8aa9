"""A run of the store as JSON lines, for tools that read a table line by line."""

from __future__ import annotations

import json
from collections.abc import Iterator

from backlight.train.save import Json, number_out
from backlight.train.store import Record, RunStore


def json_lines(store: RunStore, run: Record) -> str:
    """Write a run as lines of JSON.

    The first line has ``"type": "run"`` and the columns of the table ``runs``; then comes one
    line for each epoch, logged step, check-up and event, with ``"type"`` ``"epoch"``, ``"step"``,
    ``"health"`` or ``"event"``.  Numbers that JSON lacks are the texts ``"nan"`` and ``"inf"``.

    Parameters
    ----------
    store : RunStore
    run : Record

    Returns
    -------
    str
    """
    return "".join(
        f"{json.dumps(each, ensure_ascii=False, allow_nan=False)}\n" for each in _rows(store, run)
    )


def _rows(store: RunStore, run: Record) -> Iterator[Json]:
    yield {"type": "run", **run.to_dict()}
    for scope in ("epoch", "step", "health"):
        key = "epoch" if scope == "epoch" else "step"
        by_number: dict[int, Json] = {}
        for name, values in store.metrics(run, scope).items():
            for number, value in values:
                row = by_number.setdefault(number, {"type": scope, "run": run.name, key: number})
                row[name] = number_out(value)
        for number in sorted(by_number):
            yield by_number[number]
    for event in store.events(run):
        yield {"type": "event", "run": run.name, **vars(event)}
