"""`einsum` against NumPy's on subscripts that Hypothesis makes up, values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backlight import functions as F  # noqa: N812
from backlight.errors import ShapeError, UsageError
from backlight.tensor import param, tensor
from backlight.trace import rebuild, trace_function

SIZES = {"a": 2, "b": 3, "c": 1, "D": 2, "e": 4}


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, list[np.ndarray]]:
    """Subscripts with repeated letters and ellipses, and operands that fit."""
    letters = st.text(alphabet="".join(SIZES), max_size=3)
    under = draw(st.lists(st.sampled_from([1, 2, 3]), max_size=2))
    terms, shapes = [], []
    for _ in range(draw(st.integers(1, 3))):
        before, after = draw(letters), draw(letters)
        hidden: list[int] | None = None
        if draw(st.booleans()):
            count = draw(st.integers(0, len(under)))
            hidden = [draw(st.sampled_from([1, size])) for size in under[len(under) - count :]]
        dots = "" if hidden is None else "..."
        terms.append(before + dots + after)
        shapes.append([*(SIZES[x] for x in before), *(hidden or ()), *(SIZES[x] for x in after)])
    subscripts = ",".join(terms)
    if draw(st.booleans()):
        used = sorted(set("".join(terms).replace(".", "")))
        result = "".join(draw(st.permutations(used)))[: draw(st.integers(0, len(used)))]
        at = draw(st.integers(0, len(result)))
        dots = "..." if "..." in subscripts else ""
        subscripts += f"->{result[:at]}{dots}{result[at:]}"
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return subscripts, [rng.uniform(-1, 1, shape) for shape in shapes]


@given(calls())
@settings(max_examples=300)
def test_values_are_those_of_numpy(call: tuple[str, list[np.ndarray]]) -> None:
    subscripts, operands = call
    expected = np.einsum(subscripts, *operands)
    result = F.einsum(subscripts, *(tensor(x) for x in operands))
    assert result.shape == expected.shape
    np.testing.assert_allclose(result.value, expected, rtol=1e-12, atol=1e-12)
    traced = trace_function(lambda *given: F.einsum(subscripts, *given), *operands)
    made = rebuild(traced.graph, [tensor(x) for x in operands])
    np.testing.assert_array_equal(made[traced.graph.outputs[0]].value, result.value)


@given(calls())
def test_it_is_linear_in_each_operand(call: tuple[str, list[np.ndarray]]) -> None:
    subscripts, operands = call
    leaves = [param(x) for x in operands]
    result = F.einsum(subscripts, *leaves)
    weights = np.random.default_rng(0).uniform(0.5, 1.5, result.shape)
    result.backward(weights)
    # A function that is linear in x equals its derivative by x, applied to x.
    total = float(np.sum(np.einsum(subscripts, *operands) * weights))
    for leaf in leaves:
        assert leaf.grad is not None
        assert np.sum(leaf.grad * leaf.value) == pytest.approx(total, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize(
    ("subscripts", "shapes", "error"),
    [
        ("ij,jk", [(2, 3)], UsageError),
        ("ij", [(2,)], ShapeError),
        ("i", [(2, 3)], ShapeError),
        ("ij,jk->ik", [(2, 3), (4, 2)], ShapeError),
        ("ii", [(2, 3)], ShapeError),
        ("i->ii", [(2,)], UsageError),
        ("i->j", [(2,)], UsageError),
        ("i*", [(2, 2)], UsageError),
        ("...i->i", [(2, 3)], UsageError),
        ("...i,...i", [(2, 3), (4, 3)], ShapeError),
        ("i..", [(2, 3, 4)], UsageError),
    ],
)
def test_what_does_not_fit_is_refused(
    subscripts: str, shapes: list[tuple[int, ...]], error: type[Exception]
) -> None:
    with pytest.raises(error, match="einsum"):
        F.einsum(subscripts, *(F.ones(shape) for shape in shapes))


def test_a_matrix_product_is_one_contraction() -> None:
    traced = trace_function(
        lambda a, b: F.einsum("ij,jk->ik", a, b), np.ones((2, 3)), np.ones((3, 4))
    )
    assert [str(node.primitive.kind) for node in traced.graph.nodes] == ["leaf", "leaf", "contract"]
