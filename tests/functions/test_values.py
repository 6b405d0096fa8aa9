"""Every function against NumPy, eager and traced, and its gradient against central differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.functions.twins import CASES, FUNCTIONS, OTHERWISE, VALUE_DEPENDENT, Case

from backlight import functions as F  # noqa: N812
from backlight.errors import TracedValueError
from backlight.tensor import Tensor, param, tensor
from backlight.trace import rebuild, trace_function

BY_NAME: dict[str, list[Case]] = {}
for case in CASES:
    BY_NAME.setdefault(case.name, []).append(case)

# A function whose result has no derivative, or none but 0.
FLAT = {
    "all", "any", "arange", "argmax", "argmin", "argsort", "bitwise_and", "bitwise_invert",
    "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "count_nonzero",
    "equal", "eye", "full", "full_like", "greater", "greater_equal", "isfinite", "isinf", "isnan",
    "less", "less_equal", "linspace", "logical_and", "logical_not", "logical_or", "logical_xor",
    "nextafter", "not_equal", "ones", "ones_like", "signbit", "zeros", "zeros_like",
    *VALUE_DEPENDENT,
}  # fmt: skip


def parts(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple | list) else [result]


def assert_same(case: Case, ours: Any, theirs: Any) -> None:
    for mine, other in zip(parts(ours), parts(theirs), strict=True):
        other = np.asarray(other)
        assert isinstance(mine, Tensor), case
        assert mine.shape == other.shape, case
        assert mine.dtype == other.dtype, case
        tolerance = 2e-6 if other.dtype == np.float32 else 1e-13
        np.testing.assert_allclose(
            mine.value, other, rtol=tolerance, atol=tolerance, err_msg=str(case)
        )


def test_every_function_has_a_twin() -> None:
    assert set(FUNCTIONS) == set(BY_NAME) | set(OTHERWISE)


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_values_are_those_of_numpy(name: str) -> None:
    for case in BY_NAME[name]:
        before = [x.copy() for x in case.operands]
        ours = case.ours(*(tensor(x) for x in case.operands))
        assert_same(case, ours, case.theirs(*case.operands))
        for x, kept in zip(case.operands, before, strict=True):
            np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize("name", sorted(set(BY_NAME) - {"asarray"}))
def test_arrays_are_taken_as_constants(name: str) -> None:
    case = BY_NAME[name][0]
    assert_same(case, case.ours(*case.operands), case.theirs(*case.operands))


@pytest.mark.parametrize("name", sorted(set(BY_NAME) - VALUE_DEPENDENT))
def test_a_traced_call_computes_the_same(name: str) -> None:
    for case in BY_NAME[name]:
        traced = trace_function(lambda *given, f=case.ours: tuple(parts(f(*given))), *case.operands)
        made = rebuild(traced.graph, [tensor(x) for x in case.operands])
        eager = parts(case.ours(*(tensor(x) for x in case.operands)))
        for k, expected in zip(traced.graph.outputs, eager, strict=True):
            assert made[k].spec == expected.spec, case
            np.testing.assert_array_equal(made[k].value, expected.value, err_msg=str(case))


@pytest.mark.parametrize("name", sorted(VALUE_DEPENDENT))
def test_what_depends_on_values_refuses_to_be_traced(name: str) -> None:
    case = BY_NAME[name][0]
    with pytest.raises(TracedValueError, match=name):
        trace_function(case.ours, *case.operands)


# Calls that have a derivative which differences do not find, or none.
NOT_TO_BE_DIFFERENCED = {
    "astype(float64[2, 3]) → float32": "single precision is too coarse for differences",
    "std(float64[2, 3, 4]) {'axis': (), 'keepdims': True}": "a root of 0 has no derivative",
}


def projected(case: Case, operands: list[Any]) -> Tensor:
    """A scalar that depends on every entry of the results, each with a weight of its own."""
    total = tensor(0.0)
    for number, part in enumerate(parts(case.ours(*operands))):
        weights = np.random.default_rng(number).uniform(0.5, 1.5, part.shape)
        total = total + F.sum(F.astype(part, F.float64) * weights)
    return total


def central_differences(case: Case, position: int, step: float = 1e-6) -> np.ndarray:
    values = [np.array(x) for x in case.operands]
    found = np.zeros(values[position].shape)
    for entry in np.ndindex(found.shape):
        ends = []
        for sign in (1, -1):
            moved = [x.copy() for x in values]
            moved[position][entry] += sign * step
            ends.append(projected(case, [tensor(x) for x in moved]).item())
        found[entry] = (ends[0] - ends[1]) / (2 * step)
    return found


@pytest.mark.parametrize("name", sorted(set(BY_NAME) - FLAT))
def test_gradients_are_those_of_central_differences(name: str) -> None:
    tested = 0
    for case in BY_NAME[name]:
        floating = [k for k, x in enumerate(case.operands) if x.dtype == np.float64]
        if not floating or 0 in [x.size for x in case.operands]:
            continue
        if str(case) in NOT_TO_BE_DIFFERENCED:
            continue
        leaves = [param(x) if k in floating else tensor(x) for k, x in enumerate(case.operands)]
        result = projected(case, leaves)
        if not result.tracked:
            assert "→" in case.note, case  # a conversion to integers
            continue
        result.backward()
        for k in floating:
            expected = central_differences(case, k)
            if leaves[k].grad is None:
                assert not np.any(expected), case
                continue
            scale = np.max(np.abs(expected), initial=1e-3)
            np.testing.assert_allclose(
                leaves[k].grad, expected, rtol=1e-6, atol=2e-8 * scale, err_msg=str(case)
            )
            tested += 1
    assert tested


@pytest.mark.parametrize("name", sorted(set(BY_NAME) & FLAT))
def test_a_flat_function_carries_no_gradient(name: str) -> None:
    for case in BY_NAME[name]:
        leaves = [param(x) if x.dtype.kind == "f" else tensor(x) for x in case.operands]
        for part in parts(case.ours(*leaves)):
            assert not part.tracked, case
