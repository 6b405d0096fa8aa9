"""Where a function has no derivative: the place is known and the stated convention is used."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from tests.ops.elementwise_cases import SMOOTH
from tests.ops.running import vjp

import backlight as bl

REGISTRY = bl.registry()
INF, NAN = math.inf, math.nan


@dataclass(frozen=True)
class Corner:
    """Points at a kink with the gradient taken there, and points that are none."""

    at: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]
    beside: tuple[tuple[float, ...], ...]
    jumps: bool = False


ZERO = (((0.0,), (0.0,)), ((-0.0,), (0.0,)))
NEAR_ZERO = ((5e-324,), (-5e-324,), (1.0,), (NAN,), (INF,))
WHOLE = tuple(((each,), (0.0,)) for each in (0.0, -0.0, 1.0, -3.0, 1e15))
CORNERS: dict[str, Corner] = {
    "abs": Corner(ZERO, NEAR_ZERO),
    "relu": Corner(ZERO, NEAR_ZERO),
    "sign": Corner(ZERO, NEAR_ZERO, jumps=True),
    "sign_of": Corner(ZERO, NEAR_ZERO, jumps=True),
    "floor": Corner(WHOLE, ((0.5,), (-1.25,), (NAN,), (-INF,)), jumps=True),
    "ceil": Corner(WHOLE, ((0.5,), (-1.25,), (NAN,), (-INF,)), jumps=True),
    "trunc": Corner(WHOLE[2:], ((0.0,), (-0.0,), (0.5,), (-1.25,), (NAN,), (INF,)), jumps=True),
    "round": Corner(
        tuple(((each,), (0.0,)) for each in (0.5, -0.5, 1.5, 2.5)),
        ((0.0,), (1.0,), (0.49,), (NAN,), (INF,), (1e300,)),
        jumps=True,
    ),
    "maximum": Corner(
        (((1.0, 1.0), (0.5, 0.5)), ((0.0, -0.0), (0.5, 0.5))), ((1.0, 2.0), (NAN, NAN))
    ),
    "minimum": Corner(
        (((1.0, 1.0), (0.5, 0.5)), ((0.0, -0.0), (0.5, 0.5))), ((1.0, 2.0), (NAN, NAN))
    ),
    # The derivative by the divisor is minus the quotient rounded down.
    "remainder": Corner(
        (((6.0, 2.0), (1.0, -3.0)), ((-6.0, 2.0), (1.0, 3.0)), ((0.0, 2.0), (1.0, 0.0))),
        ((7.0, 2.0), (-7.0, 2.0), (NAN, 1.0), (0.5, 0.0)),
        jumps=True,
    ),
    "floor_divide": Corner(
        (((6.0, 2.0), (0.0, 0.0)), ((-6.0, 2.0), (0.0, 0.0))),
        ((7.0, 2.0), (NAN, 1.0)),
        jumps=True,
    ),
    "copysign": Corner(
        (((0.0, 1.0), (0.0, 0.0)), ((2.0, 0.0), (1.0, 0.0)), ((2.0, -0.0), (-1.0, 0.0))),
        ((2.0, 1.0), (-2.0, -1.0), (NAN, 1.0)),
        jumps=True,
    ),
    "hypot": Corner((((0.0, 0.0), (0.0, 0.0)),), ((0.0, 1.0), (1.0, 0.0), (5e-324, 0.0))),
    "atan2": Corner(
        (((0.0, -2.0), (-0.5, 0.0)), ((0.0, 0.0), (0.0, 0.0))),
        ((0.0, 2.0), (1.0, 0.0), (-1.0, -1.0)),
        jumps=True,
    ),
}
REDUCED = {"max", "min"}


def test_each_function_with_a_kink_says_so() -> None:
    declared = {name for name, record in REGISTRY.items() if record.kink is not None}
    assert declared == set(CORNERS) | REDUCED
    for name in declared:
        assert REGISTRY[name].kink.convention


def at(name: str, point: tuple[float, ...]) -> bool:
    with np.errstate(all="ignore"):
        return bool(REGISTRY[name].kink.at(np, *map(np.float64, point)))


@pytest.mark.parametrize("name", CORNERS)
def test_kinks_are_found_where_they_are_and_nowhere_else(name: str) -> None:
    for point, _ in CORNERS[name].at:
        assert at(name, point), point
    for point in CORNERS[name].beside:
        assert not at(name, point), point
    columns = [np.array(each) for each in zip(*(p for p, _ in CORNERS[name].at), strict=True)]
    assert REGISTRY[name].kink.at(np, *columns).tolist() == [True] * len(CORNERS[name].at)


@pytest.mark.parametrize("name", CORNERS)
def test_the_convention_is_used(name: str) -> None:
    for point, want in CORNERS[name].at:
        got = vjp(REGISTRY[name], [np.float64(each) for each in point], 1.0)
        assert [float(each) for each in got] == list(want), point


@pytest.mark.parametrize("name", CORNERS)
def test_one_sided_derivatives_bracket_the_convention(name: str) -> None:
    """At a corner by one-sided differences; at a jump by the derivatives just beside it."""
    step = 2.0**-20
    for point, taken in CORNERS[name].at:
        for k, convention in enumerate(taken):
            sides = []
            for sign in (-1, 1):
                moved = list(point)
                moved[k] += sign * step
                if CORNERS[name].jumps:
                    far = list(moved)
                    far[k] += sign * step
                    rise = _value(name, far) - _value(name, moved)
                else:
                    rise = _value(name, moved) - _value(name, point)
                sides.append(rise / (sign * step))
            assert min(sides) - 1e-5 <= convention <= max(sides) + 1e-5, (point, k, sides)


def _value(name: str, point: Any) -> float:
    if name == "copysign":
        return math.copysign(*point)
    return float(SMOOTH[name].twin(*point))


@pytest.mark.parametrize(("name", "sign"), [("max", 1.0), ("min", -1.0)])
def test_ties_of_a_reduction_share_the_gradient(name: str, sign: float) -> None:
    x = sign * np.array([[3.0, 1.0, 3.0], [2.0, 5.0, 4.0], [7.0, 7.0, 7.0]])
    kink = REGISTRY[name].kink
    found = kink.at(np, x, axes=(1,))
    assert found.tolist() == [[True, False, True], [False] * 3, [True] * 3]
    (got,) = vjp(REGISTRY[name], [x], np.array([1.0, 1.0, 3.0]), {"axes": (1,)})
    assert got.tolist() == [[0.5, 0.0, 0.5], [0.0, 1.0, 0.0], [1.0, 1.0, 1.0]]
    assert not kink.at(np, x[1:2], axes=(0, 1)).any()
    assert kink.at(np, x, axes=(0, 1)).sum() == 3
