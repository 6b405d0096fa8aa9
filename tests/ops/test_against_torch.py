"""PyTorch as a second oracle: values, first and second derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.ops.elementwise_cases import SMOOTH
from tests.ops.running import apply, gradient, leaves

import backlight as bl

torch = pytest.importorskip("torch")
R = bl.registry()

SAME_NAME = (
    "exp expm1 log log1p log2 log10 sqrt rsqrt logaddexp sigmoid erf sin cos tan asin acos atan "
    "atan2 sinh cosh tanh asinh acosh atanh add sub mul div neg pow hypot abs sign floor "
    "ceil trunc round maximum minimum relu copysign remainder"
).split()
OTHER_NAME = {"zeros_like": torch.zeros_like, "identity": torch.clone,
              "sign_of": lambda x: torch.copysign(torch.ones_like(x), x)}  # fmt: skip
TORCH = {**{name: getattr(torch, name) for name in SAME_NAME}, **OTHER_NAME}


# The second derivatives of a symmetric function may add up to 0, so the gradients are weighted.
WEIGHTS = (1.0, 0.3)


def torch_derivatives(f: Any, arrays: list[np.ndarray]) -> Any:
    """Value, gradient of the sum and gradient of the gradient's weighted sum, by PyTorch."""
    inputs = [torch.tensor(each, requires_grad=True) for each in arrays]
    value = f(*inputs)
    found = []
    outputs = [value]
    for _ in range(2):
        total = sum(weight * each.sum() for weight, each in zip(WEIGHTS, outputs, strict=False))
        if not getattr(total, "requires_grad", False):
            outputs = [torch.zeros_like(each) for each in inputs]
        else:
            taken = torch.autograd.grad(total, inputs, create_graph=True, allow_unused=True)
            outputs = [
                torch.zeros_like(x) if each is None else each
                for x, each in zip(inputs, taken, strict=True)
            ]
        found.append([each.detach().numpy(force=True) for each in outputs])
    return value.detach().numpy(), *found


def our_derivatives(record: Any, arrays: list[np.ndarray], attributes: Any) -> Any:
    inputs = leaves(arrays)
    value = record(*inputs, **attributes)
    first = gradient(value, np.ones(value.shape), inputs)
    second = [np.zeros(each.shape) for each in inputs]
    floating = [each for each in first if each.dtype.kind == "f"]
    for weight, each in zip(WEIGHTS, floating, strict=False):
        for k, more in enumerate(gradient(each, np.full(each.shape, weight), inputs)):
            second[k] = second[k] + more.value
    return value.value, [each.value for each in first], second


def compare(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-13, atol=0)
    for got, want in zip(ours[1:], theirs[1:], strict=True):
        for mine, yours in zip(got, want, strict=True):
            size = np.max(np.abs(yours), initial=0.0)
            np.testing.assert_allclose(mine, yours, rtol=1e-10, atol=1e-14 * size)


@pytest.mark.parametrize("name", TORCH)
def test_elementwise(name: str) -> None:
    # PyTorch's own derivatives lose digits further out and close to the edges of domains.
    points = [
        p for p in SMOOTH[name].second_points
        if all(1e-3 <= abs(x) <= 8 and (abs(x) == 1 or abs(abs(x) - 1) > 1e-6) for x in p)
    ]  # fmt: skip
    for point in points:  # one at a time, because relative errors are compared
        arrays = [np.asarray(each) for each in point]
        compare(our_derivatives(R[name], arrays, {}), torch_derivatives(TORCH[name], arrays))
    columns = [np.array(column) for column in zip(*points, strict=True)]
    value = apply(R[name], columns)
    np.testing.assert_allclose(value, TORCH[name](*map(torch.tensor, columns)), rtol=1e-13)


X = np.random.default_rng(8).uniform(-2, 2, (2, 3, 4))
INDEX = np.array([2, 0, 2])
ARRAYS: dict[str, tuple[str, list[np.ndarray], dict[str, Any], Any]] = {
    "sum": ("sum", [X], {"axes": (0, 2)}, lambda x: x.sum((0, 2))),
    "prod": ("prod", [X], {"axes": (1,)}, lambda x: x.prod(1)),
    "prod with a zero": ("prod", [np.array([0.0, 2.0, 3.0])], {"axes": (0,)}, lambda x: x.prod(0)),
    "logsumexp": ("logsumexp", [X], {"axes": (0, 2)}, lambda x: x.logsumexp((0, 2))),
    "max": ("max", [X], {"axes": (1, 2)}, lambda x: x.amax((1, 2))),
    "min": ("min", [X], {"axes": (1, 2)}, lambda x: x.amin((1, 2))),
    "max with ties": ("max", [np.array([1.0, 3.0, 3.0])], {"axes": (0,)}, lambda x: x.amax(0)),
    "cumulative_sum": ("cumulative_sum", [X], {"axis": 1}, lambda x: x.cumsum(1)),
    "contract": ("contract", [X, X[0]], {"left": (0, 1, 3), "right": (2, 3), "result": (0, 1, 2)},
                 lambda a, b: a @ b.T),
    "contract in batches": ("contract", [X, X], {"left": (0, 1, 3), "right": (0, 2, 3),
                            "result": (0, 1, 2)}, lambda a, b: a @ b.mT),
    "reshape": ("reshape", [X], {"shape": (4, 6)}, lambda x: x.reshape(4, 6)),
    "permute": ("permute", [X], {"axes": (2, 0, 1)}, lambda x: x.permute(2, 0, 1)),
    "broadcast": ("broadcast", [X[0]], {"shape": (5, 3, 4)}, lambda x: x.expand(5, 3, 4)),
    "slice": ("slice", [X], {"starts": (0, 1, 0), "stops": (2, 3, 4), "steps": (1, 1, 2)},
              lambda x: x[:, 1:3, ::2]),
    "pad": ("pad", [X[0]], {"before": (1, 0), "after": (2, 1), "between": (0, 0), "fill": 2.0},
            lambda x: torch.nn.functional.pad(x, (0, 1, 1, 2), value=2.0)),
    "flip": ("flip", [X], {"axes": (0, 2)}, lambda x: x.flip(0, 2)),
    "concat": ("concat", [X, X[:, :1]], {"axis": 1}, lambda a, b: torch.cat((a, b), 1)),
    "gather": ("gather", [X, INDEX], {"axis": 1},
               lambda x: x.index_select(1, torch.tensor(INDEX))),
    "scatter_add": ("scatter_add", [X, INDEX], {"axis": 1, "size": 4},
                    lambda x: torch.zeros(2, 4, 4, dtype=x.dtype).index_add(
                        1, torch.tensor(INDEX), x)),
    "where": ("where", [X[0] > 0, X[0], X[1]], {}, lambda a, b: torch.where(
        torch.tensor(X[0] > 0), a, b)),
}  # fmt: skip


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name: str) -> None:
    primitive, arrays, attributes, f = ARRAYS[name]
    floating = [each for each in arrays if each.dtype.kind == "f"]
    value, first, second = our_derivatives(R[primitive], arrays, attributes)
    keep = [k for k, each in enumerate(arrays) if each.dtype.kind == "f"]
    ours = value, [first[k] for k in keep], [second[k] for k in keep]
    compare(ours, torch_derivatives(f, floating))


@pytest.mark.parametrize("descending", [False, True])
def test_argsort(descending: bool) -> None:
    x = np.round(X)  # with ties
    got = apply(R["argsort"], [x], {"axis": 1, "descending": descending})
    want = torch.argsort(torch.tensor(x), dim=1, descending=descending, stable=True)
    np.testing.assert_array_equal(got, want)
