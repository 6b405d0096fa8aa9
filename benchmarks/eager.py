"""Eager recording: forward and backward pass of the worked examples, Backlight and PyTorch in turn.

Both work in float64 on the same numbers; what is timed is one forward pass, which records, and one
backward pass.  `seconds` runs inside a worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.driver import AbsentError, Team, repetitions, take_turns

EXAMPLES = (
    "one weight",
    "computation graph",
    "node by node",
    "accumulated deltas",
    "two-layer classifier",
)


@dataclass(frozen=True)
class Words:
    """What the libraries call their functions."""

    sigmoid: Callable[[Any], Any]
    relu: Callable[[Any], Any]
    log: Callable[[Any], Any]
    sum: Callable[[Any], Any]


_CALLS: dict[tuple[str, str], Callable[[], object]] = {}


def numbers(example: str) -> Mapping[str, np.ndarray]:
    """Return the parameters and the data of an example; names of data begin with _."""
    generator = np.random.default_rng(5)
    if example == "one weight":
        return {"w": np.array(1.0), "_x": np.array(1.0), "_y": np.array(2.0)}
    if example == "computation graph":
        return {"a": np.array(3.0), "b": np.array(1.0), "c": np.array(-2.0)}
    if example == "node by node":
        shapes: dict[str, tuple[int, ...]] = {"W1": (3, 3), "W2": (3, 3), "W3": (2, 3)}
        data = {"_x": np.array([0.5, -1.0, 2.0]), "_y": np.array([1.0, 0.0])}
    elif example == "accumulated deltas":
        shapes = {"W1": (4, 3), "W2": (1, 4)}
        data = {
            "_x": np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], float),
            "_y": np.array([[0], [1], [1], [0]], float),
        }
    else:
        shapes = {"W1": (2, 2), "b1": (2,), "W2": (1, 2), "b2": (1,)}
        data = {"_x": np.array([[0.6, -0.4]]), "_y": np.array([[1.0]])}
    return {name: generator.uniform(-1, 1, shape) for name, shape in shapes.items()} | data


def loss(example: str, v: Mapping[str, Any], words: Words) -> Any:
    """Return the loss of an example, in a library's words."""
    if example == "one weight":
        return (v["w"] * v["_x"] - v["_y"]) ** 2
    if example == "computation graph":
        return v["c"] * (v["a"] + 2 * v["b"])
    x, y, sigmoid = v["_x"], v["_y"], words.sigmoid
    if example == "node by node":
        a = sigmoid(v["W1"] @ x)
        a = sigmoid(v["W2"] @ a)
        return words.sum((sigmoid(v["W3"] @ a) - y) ** 2)
    if example == "accumulated deltas":
        prediction = sigmoid(sigmoid(x @ v["W1"].T) @ v["W2"].T)
        return words.sum(0.5 * (prediction - y) ** 2)
    a = sigmoid(words.relu(x @ v["W1"].T + v["b1"]) @ v["W2"].T + v["b2"])
    return -words.sum(y * words.log(a) + (1 - y) * words.log(1 - a))


def _backlight(example: str) -> Callable[[], object]:
    import backlight as bl

    values = {
        name: bl.tensor(each) if name.startswith("_") else bl.param(each, name=name)
        for name, each in numbers(example).items()
    }

    words = Words(bl.nn.sigmoid, bl.nn.relu, bl.log, bl.sum)

    def call() -> object:
        found = loss(example, values, words)
        found.backward()
        return [each.grad for name, each in values.items() if not name.startswith("_")]

    return call


def _torch(example: str) -> Callable[[], object]:
    import torch

    torch.set_num_threads(1)
    values = {
        name: torch.tensor(each, requires_grad=not name.startswith("_"))
        for name, each in numbers(example).items()
    }
    own = [each for name, each in values.items() if not name.startswith("_")]

    words = Words(torch.sigmoid, torch.relu, torch.log, torch.sum)

    def call() -> object:
        for each in own:
            each.grad = None
        loss(example, values, words).backward()
        return [each.grad for each in own]

    return call


def gradients(library: str, example: str) -> list[list[float]]:
    """Return the gradients that a library finds, flat, to compare."""
    call = _CALLS.setdefault((library, example), _make(library, example))
    found: Any = call()
    return [np.asarray(each, float).ravel().tolist() for each in found]


def _make(library: str, example: str) -> Callable[[], object]:
    return _backlight(example) if library == "Backlight" else _torch(example)


def seconds(library: str, example: str, wanted: float) -> float:
    """Return the seconds of one forward and backward pass."""
    key = (library, example)
    if key not in _CALLS:
        _CALLS[key] = _make(library, example)
        for _ in range(50):
            _CALLS[key]()
    call = _CALLS[key]
    begun = time.perf_counter()
    for _ in range(5):
        call()
    times = repetitions((time.perf_counter() - begun) / 5, wanted)
    begun = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - begun) / times


def measure(team: Team, rounds: int, wanted: float) -> list[dict[str, Any]]:
    """Return the microseconds of each worked example in each library."""
    rows = []
    for example in EXAMPLES:
        turns: dict[str, Callable[[], float]] = {}
        found: list[Any] = []
        for library, worker in (("Backlight", "Backlight"), ("PyTorch", "PyTorch eager")):
            member = team.member(worker, 1)
            try:
                found.append(member.call("benchmarks.eager.gradients", library, example))
            except AbsentError as error:
                team.say(f"  {example}: {library}: {error}")
                continue
            turns[library] = lambda member=member, about=(library, example): member.call(
                "benchmarks.eager.seconds", *about, wanted
            )
        equal = all(
            np.allclose(np.concatenate(found[0]), np.concatenate(each), rtol=1e-9) for each in found
        )
        spent = take_turns(turns, rounds, 0.005)
        rows.append(
            {
                "example": example,
                "equal_work": equal,
                "microseconds": {k: [1e6 * each for each in v] for k, v in spent.items()},
            }
        )
    return rows
