"""Enters runs into a run store that were saved without one, from what their folders say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from backlight.errors import RunError
from backlight.train.reading import read_description, read_history
from backlight.train.save import Json, is_run
from backlight.train.store import FINISHED, RunStore


def adopt_all(store: RunStore) -> list[str]:
    """Enter every run of the store's folder that is not in it yet.

    Returns
    -------
    list of str
        For each folder that looks like a run and cannot be read, why.
    """
    known = {each.values["directory"] for each in store.records()}
    known |= {each.name for each in store.records()}
    troubles = []
    try:
        names = sorted(os.listdir(store.directory))
    except OSError:
        names = []
    for name in names:
        place = store.directory / name
        if name.startswith(".") or name in known or not is_run(place):
            continue
        try:
            adopt(store, place)
        except RunError as error:
            troubles.append(str(error))
    return troubles


def adopt(store: RunStore, place: Path) -> int:
    """Enter one run by its folder; return its number.

    Raises
    ------
    RunError
        When the folder is damaged.
    """
    description = read_description(place)
    history, steps = read_history(place, description)
    run = store.add(_values(place, description))
    numbers = [
        ("epoch", number, name, value)
        for name, values in history.items()
        for number, value in enumerate(values)
    ]
    for name, values in steps.items():
        if name != "step":
            rows = zip(steps["step"], values, strict=True)
            numbers += [("step", int(step), name, value) for step, value in rows]
    store.write(run, numbers)
    return run


def _values(place: Path, description: Json) -> dict[str, Any]:
    try:
        environment = description["environment"]
        data = description["data"]
        return {
            "name": place.name,
            "directory": place.name,
            "status": FINISHED,
            "started": str(description.get("created", "")),
            "ended": str(description.get("created", "")),
            "stopped": description["stopped"],
            "epochs": description["epochs"],
            "steps": description["steps"],
            "best_epoch": description["best_epoch"],
            "network": str(description["network"]),
            "parameters": sum(_size(each["shape"]) for each in description["parameters"]),
            "loss": str(description["loss"]["name"]),
            "optimizer": str(description["optimizer"]["name"]),
            "batch_size": description["batch_size"],
            "seed": description["seed"],
            "data": None if data.get("name") is None else str(data["name"]),
            "rows": int(data["rows"]),
            "fingerprint": str(data["fingerprint"]),
            "configuration": {
                "network": description["architecture"] or description["network"],
                "parameters": [
                    [each["name"], each["shape"], each["dtype"]]
                    for each in description["parameters"]
                ],
                "loss": description["loss"],
                "optimizer": description["optimizer"],
                "metrics": description["metrics"],
                "training rows": data["rows"],
                "training data": data["fingerprint"],
                "batch_size": description["batch_size"],
                "shuffle": description["shuffle"],
                "seed": description["seed"],
                "epochs": description["epochs"],
            },
            "environment": environment if isinstance(environment, dict) else {},
        }
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"The run {place} is damaged: {error!r} in run.json.") from error


def _size(shape: list[int]) -> int:
    size = 1
    for each in shape:
        size *= int(each)
    return size
