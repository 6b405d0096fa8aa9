"""A trace survives its JSON form exactly, and damage gives one clear error."""

from __future__ import annotations

import copy
import json
import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import backlight as bl
from backlight.errors import BacklightError, DataError
from backlight.record import Trace
from backlight.schema import array_from_json, array_to_json

DTYPES = ("float64", "float32", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
          "uint64", "bool")  # fmt: skip


def example() -> Trace:
    """A trace with scopes, integer and Boolean nodes, literals, locations and attributes."""
    net = bl.nn.Sequential(bl.nn.Linear(3, 4), bl.nn.ReLU(), bl.nn.Linear(4, 2), seed=0)
    X = bl.tensor(np.arange(6, dtype=np.float32).reshape(2, 3) / 7, name="X")
    y = bl.tensor([0, 1], name="y")
    h = net(X)
    weights = bl.where(h > 0.1, h, bl.flip(h, axis=1))
    loss = bl.nn.cross_entropy(h, y) + bl.sum(bl.concat([weights, h[:, 1:]], axis=1)) * 1e-3
    return bl.record(loss, about={"run": "a", "step": 3})


def same_array(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def assert_same(one: Trace, other: Trace) -> None:
    assert len(one.graph) == len(other.graph)
    for a, b in zip(one.graph.nodes, other.graph.nodes, strict=True):
        assert a.primitive is b.primitive
        assert (a.inputs, a.shape, a.dtype) == (b.inputs, b.shape, b.dtype)
        assert (a.name, a.named) == (b.name, b.named)
        assert a.location == b.location
        assert dict(a.attributes).keys() == dict(b.attributes).keys()
        for key, value in a.attributes.items():
            if hasattr(value, "array"):
                assert same_array(np.asarray(value.array), np.asarray(b.attributes[key].array))
            else:
                assert value == b.attributes[key]
                assert type(value) is type(b.attributes[key])
        chains = [[] if n.scope is None else [(s.name, s.kind) for s in n.scope.chain()]
                  for n in (a, b)]  # fmt: skip
        assert chains[0] == chains[1]
    assert (one.graph.inputs, one.graph.outputs) == (other.graph.inputs, other.graph.outputs)
    assert all(map(same_array, one.values, other.values))
    assert all(map(same_array, one.gradients, other.gradients))
    for e, f in zip(one.edges, other.edges, strict=True):
        assert (e.source, e.target, e.position) == (f.source, f.target, f.position)
        assert same_array(e.local, f.local)
        assert same_array(e.contribution, f.contribution)
    assert (one.output, dict(one.about)) == (other.output, dict(other.about))


def test_round_trip() -> None:
    trace = example()
    text = trace.to_json()
    again = Trace.from_json(text)
    assert_same(trace, again)
    assert again.to_json() == text
    assert bl.explain(again, weight="layers.0.weight[1,2]").text() == (
        bl.explain(trace, weight="layers.0.weight[1,2]").text()
    )


def test_scopes_are_shared_again() -> None:
    trace = example()
    again = Trace.from_json(trace.to_json())
    scopes = [{id(node.scope) for node in each.graph.nodes} for each in (trace, again)]
    assert len(scopes[0]) == len(scopes[1])


def test_an_update_survives() -> None:
    X, y = np.ones((4, 3), np.float32), np.array([0, 1, 0, 1])
    net = bl.nn.Sequential(bl.nn.Linear(3, 2), seed=0)
    run = bl.fit(net, (X, y), loss=bl.nn.cross_entropy, optimizer=bl.optim.Adam(0.1), epochs=1,
                 batch_size=2, seed=0, progress=False, executor="reference")  # fmt: skip
    trace = run.replay(step=1)
    again = Trace.from_json(trace.to_json())
    assert again.update is not None and trace.update is not None
    assert again.update.optimizer == "Adam"
    assert all(map(same_array, trace.update.values, again.update.values))
    weight = "layers.0.weight[1,0]"
    assert bl.explain(again, weight=weight).text() == bl.explain(trace, weight=weight).text()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (7, 50)])
def test_arrays_of_every_dtype(dtype: str, shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    size = int(np.prod(shape))
    raw = generator.integers(0, 256, size * 8, dtype=np.uint8).tobytes()
    if dtype == "bool":
        array = generator.integers(0, 2, shape).astype(bool)
    elif dtype.startswith("float"):
        array = generator.normal(size=shape).astype(dtype)
    else:
        array = np.frombuffer(raw, dtype=dtype)[:size].reshape(shape)
    written = json.loads(json.dumps(array_to_json(array), allow_nan=False))
    assert same_array(array_from_json(written), np.asarray(array))


@given(st.lists(st.floats(width=64), max_size=6), st.sampled_from(["float64", "float32"]))
def test_every_float_survives(values: list[float], dtype: str) -> None:
    with np.errstate(over="ignore"):
        array = np.array(values, dtype=dtype)
    again = array_from_json(json.loads(json.dumps(array_to_json(array), allow_nan=False)))
    assert np.array_equal(again, array, equal_nan=True)
    assert np.array_equal(np.signbit(again[again == 0]), np.signbit(array[array == 0]))


def test_numbers_that_are_not_finite() -> None:
    w = bl.param([1.0, 0.0, np.nan, np.inf], name="w")
    with pytest.warns(bl.errors.BacklightWarning):
        loss = bl.sum(bl.log(w))
    trace = bl.record(loss)
    text = trace.to_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(name))
    again = Trace.from_json(text)
    for a, b in zip(trace.values, again.values, strict=True):
        assert np.array_equal(a, b, equal_nan=True)


# ── damage ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("text", "says"), [
    ("", "not JSON"), ("[1, 2", "not JSON"), ("[]", "not a backlight.trace"),
    ("null", "not a backlight.trace"), ('{"format": "other"}', "not a backlight.trace"),
    ('{"format": "backlight.trace", "version": 9}', "version 9"),
    ('{"format": "backlight.trace", "version": 1}', "damaged"),
    ("[" * 100_000, "not JSON"), ("1" * 5000, "not JSON"), ('"\\ud800"', "not a backlight.trace"),
])  # fmt: skip
def test_texts_that_are_no_trace(text: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        Trace.from_json(text)
    assert "\n" not in str(caught.value)


def read(text: str) -> Trace | None:
    """Read a trace that may be damaged; nothing but a `DataError` of one line is raised."""
    try:
        return Trace.from_json(text)
    except DataError as error:
        message = str(error)
    assert "\n" not in message and len(message) < 400
    return None


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested JSON data."""
    found = [path]
    items: Any = ()
    if isinstance(data, dict):
        items = data.items()
    elif isinstance(data, list):
        items = enumerate(data)
    for key, value in items:
        found.extend(places(value, (*path, key)))
    return found


DATA = json.loads(
    bl.record(
        (lambda w: bl.sum(bl.tanh(w @ bl.tensor([1.0, 2.0])) * w[0, 0]))(
            bl.param(np.ones((2, 2)), name="w")
        )
    ).to_json()
)
PLACES = places(DATA)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 40),
    st.sampled_from([10**30, -(10**30), 2**40]),
    st.floats(),
    st.text(max_size=6),
    st.just([]),
    st.just({}),
    st.just([[1]]),
    st.just({"tuple": [1, 2]}),
    st.just({"dtype": "complex128"}),
    st.just({"float": "x"}),
    st.sampled_from(["NaN", "float64", "int64", "object", "U10", "add", "sum", "parameter"]),
    st.just({"dtype": "float64", "shape": [2**30, 2**30], "data": []}),
    st.just({"dtype": "float64", "shape": [-1], "base64": ""}),
    st.just({"dtype": "float64", "shape": [1], "base64": "AAAA"}),
)


@given(st.lists(st.tuples(st.sampled_from(PLACES), ODD, st.booleans()), min_size=1, max_size=3))
def test_damage_gives_a_data_error(changes: list[tuple[tuple[Any, ...], Any, bool]]) -> None:
    data = copy.deepcopy(DATA)
    for path, odd, remove in changes:
        value = copy.deepcopy(odd)
        at = data
        try:
            for key in path[:-1]:
                at = at[key]
            if not path:
                data = value
            elif remove:
                del at[path[-1]]
            else:
                at[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    text = json.dumps(data)
    trace = read(text)
    if trace is None:
        return
    # What is still understood can be written, shown and explained without surprises.
    assert Trace.from_json(trace.to_json()).to_json() == trace.to_json()
    str(trace)
    for show in (
        lambda: bl.explain(trace, "w", index=(0, 1)).text(),
        lambda: bl.explain(trace, "w").text(),
        lambda: str(bl.draw(trace)),
        lambda: bl.diagnose(trace),
    ):
        try:
            with np.errstate(all="ignore"):
                show()
        except BacklightError:  # such as a name that the change took away
            continue


@given(st.data())
def test_cut_or_spoiled_text_gives_a_data_error(data: st.DataObject) -> None:
    text = json.dumps(DATA)
    cut = data.draw(st.integers(0, len(text) - 1))
    spoiled = text[:cut] + data.draw(st.sampled_from(["", "\x00", "}", '"', "9"])) + text[cut + 1 :]
    assert read(text[:cut]) is None
    read(spoiled)


def test_a_short_text_cannot_ask_for_much_memory() -> None:
    data = copy.deepcopy(DATA)
    data["graph"]["nodes"][0]["value"] = {
        "dtype": "float64", "shape": [1 << 20, 1 << 8], "base64": "",
    }  # fmt: skip
    text = json.dumps(data)
    tracemalloc.start()
    with pytest.raises(DataError):
        Trace.from_json(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


# ── files ────────────────────────────────────────────────────────────────────────────────────────


def test_saving(tmp_path: Path) -> None:
    trace = example()
    assert_same(trace, Trace.from_json(trace.save(tmp_path / "t.json").read_text("utf-8")))
    assert trace.save(tmp_path / "t.svg").read_text("utf-8").startswith("<svg")
    page = trace.save(str(tmp_path / "t.html")).read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "layers.0.weight" in page
    # Nothing is fetched: addresses stand only in names of formats and in comments of libraries.
    assert re.search(r"""(?:src|href|url\(|import|fetch\()\s*=?\s*["'(]?https?:""", page) is None


@pytest.mark.parametrize("name", ["t.png", "t", "t.json.gz"])
def test_other_endings_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(bl.errors.UsageError, match=r"\.json, \.html or \.svg"):
        example().save(tmp_path / name)
