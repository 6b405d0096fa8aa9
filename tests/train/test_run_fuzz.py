"""Runs on the disk that hold anything: loading gives a sentence, or a run that can be used."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.train.networks import classes, tiny

from backlight import nn
from backlight.errors import RunError
from backlight.train import fit, load

DATA = classes(22, k=3)
FILES = ["history.jsonl", "run.json", "snapshots.safetensors", "weights.safetensors"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)

tried = {"bytes": 0, "entries": 0, "refused": 0}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    run = fit(tiny("float32", outputs=3), DATA, loss=nn.cross_entropy, epochs=3, batch_size=5,
              log_every=2, health=1)  # fmt: skip
    return run.save(tmp_path_factory.mktemp("saved") / "run")


def places(value, path=()):
    """Every place in nested JSON data."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, each in items:
        found += places(each, (*path, key))
    return found


def used(place):
    """Load a run and do everything with it that reads what was stored."""
    try:
        stored = load(place)
        _ = stored.health
        stored.outputs(DATA[0][:2])
        stored.attach(DATA).parameters_at(1)
    except RunError as error:
        message = str(error)
    else:
        return
    tried["refused"] += 1
    assert "\n" not in message and len(message) < 1000


@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=5),
    st.integers(0, 2**20) | st.none(),
)
def test_changed_bytes(saved, tmp_path_factory, name, changes, cut):
    place = tmp_path_factory.mktemp("changed") / "run"
    shutil.copytree(saved, place)
    content = bytearray((place / name).read_bytes())
    for at, value in changes:
        content[at % len(content)] = value
    (place / name).write_bytes(content if cut is None else content[: cut % len(content)])
    tried["bytes"] += 1
    with np.errstate(all="ignore"):
        used(place)


@given(st.integers(0, 2**20), ANYTHING)
def test_changed_entries(saved, tmp_path_factory, chosen, value):
    place = tmp_path_factory.mktemp("changed") / "run"
    shutil.copytree(saved, place)
    description = json.loads((place / "run.json").read_text(encoding="utf-8"))
    every = places(description)
    path = every[chosen % len(every)]
    at = description
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    (place / "run.json").write_text(json.dumps(description), encoding="utf-8")
    tried["entries"] += 1
    with np.errstate(all="ignore"):
        used(place)


def test_the_fuzzing_did_something():
    assert tried["bytes"] >= 50 and tried["entries"] >= 50
    assert tried["refused"] >= 50
