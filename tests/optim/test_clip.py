from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from backlight.errors import UsageError
from backlight.optim import ByNorm, ByValue, global_norm
from backlight.tensor import tensor
from backlight.trace import rebuild, trace_function

ENTRIES = st.floats(-1e6, 1e6)
VECTORS = arrays(np.float64, st.integers(0, 4), elements=ENTRIES)


def made(gradients: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: each.value for name, each in gradients.items()}  # type: ignore[attr-defined]


@given(VECTORS, ENTRIES, st.floats(1e-3, 1e3))
def test_by_value_is_numpys_clip(a: np.ndarray, b: float, limit: float) -> None:
    clipped = ByValue(limit)({"a": tensor(a), "b": tensor(b)})
    np.testing.assert_array_equal(clipped["a"].value, np.clip(a, -limit, limit))
    np.testing.assert_array_equal(clipped["b"].value, np.clip(b, -limit, limit))


@given(VECTORS, ENTRIES, st.floats(1e-3, 1e3))
def test_by_norm_scales_all_together(a: np.ndarray, b: float, limit: float) -> None:
    clipped = made(ByNorm(limit)({"a": tensor(a), "b": tensor(b)}))
    norm = np.linalg.norm([*a, b])
    factor = 1.0 if norm <= limit else limit / norm
    np.testing.assert_allclose(clipped["a"], factor * a, rtol=1e-12)
    np.testing.assert_allclose(clipped["b"], factor * b, rtol=1e-12)
    assert np.linalg.norm([*clipped["a"], clipped["b"]]) <= limit * (1 + 1e-12)


def test_by_norm_against_pytorch() -> None:
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(0)
    gradients = {"w": generator.normal(size=(3, 4)), "b": generator.normal(size=3)}
    theirs = [torch.nn.Parameter(torch.zeros(each.shape)) for each in gradients.values()]
    for parameter, gradient in zip(theirs, gradients.values(), strict=True):
        parameter.grad = torch.tensor(gradient, dtype=torch.float32)
    norm = torch.nn.utils.clip_grad_norm_(theirs, 1.5)
    clipped = made(ByNorm(1.5)({name: tensor(each) for name, each in gradients.items()}))
    # PyTorch adds 1e-6 to the norm before it divides; the paper does not.
    for parameter, ours in zip(theirs, clipped.values(), strict=True):
        np.testing.assert_allclose(ours, parameter.grad.numpy(), rtol=2e-6, atol=1e-7)
    ours = global_norm({name: tensor(each) for name, each in gradients.items()})
    assert ours.item() == pytest.approx(norm.item(), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("clip", [ByValue(1.0), ByNorm(1.0)], ids=str)
def test_zero_gradients_stay_zero(clip: ByValue | ByNorm, dtype: type) -> None:
    zeros = {"a": tensor(np.zeros(3, dtype)), "b": tensor(np.zeros((), dtype))}
    for name, each in clip(zeros).items():
        assert each.dtype == dtype
        np.testing.assert_array_equal(each.value, zeros[name].value)


def test_within_the_limit_nothing_changes_by_a_bit() -> None:
    gradient = np.array([0.1, 0.2, 0.3], np.float32)
    for clip in (ByNorm(0.5), ByValue(0.5)):
        np.testing.assert_array_equal(clip({"w": tensor(gradient)})["w"].value, gradient)


def test_by_norm_does_not_overflow_in_float32() -> None:
    gradient = tensor(np.array([3e30, 4e30], np.float32))
    clipped = ByNorm(1.0)({"w": gradient})["w"].value
    np.testing.assert_allclose(clipped, [0.6, 0.8], rtol=1e-6)


def test_gradients_that_are_not_finite_stay_visible() -> None:
    clipped = made(ByNorm(1.0)({"a": tensor([np.nan, 1.0]), "b": tensor(1.0)}))
    assert np.all(np.isnan(clipped["a"])) and np.isnan(clipped["b"])
    by_value = made(ByValue(1.0)({"a": tensor([np.nan, np.inf, -np.inf])}))
    np.testing.assert_array_equal(by_value["a"], [np.nan, 1.0, -1.0])


@pytest.mark.parametrize("clip", [ByValue(0.5), ByNorm(0.5)], ids=str)
def test_traced_is_eager(clip: ByValue | ByNorm) -> None:
    generator = np.random.default_rng(0)
    # Not in the order of their names, in which a traced function receives them.
    gradients = {"w": generator.normal(size=(3, 4)), "b": generator.normal(size=3)}
    traced = trace_function(clip, gradients)
    nodes = rebuild(traced.graph, [tensor(gradients["b"]), tensor(gradients["w"])])
    found = traced.result([nodes[k].value for k in traced.graph.outputs])
    expected = made(clip({name: tensor(each) for name, each in gradients.items()}))
    for name in gradients:
        np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize("limit", [0.0, -1.0, np.inf, np.nan, None])
@pytest.mark.parametrize("kind", [ByValue, ByNorm])
def test_the_limit_is_positive(kind: type[ByValue] | type[ByNorm], limit: float) -> None:
    with pytest.raises(UsageError, match=f"{kind.__name__}: limit must be a finite number above 0"):
        kind(limit)
