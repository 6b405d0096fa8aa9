"""The derivation of a whole tensor: its formulas, worked out by NumPy, give the gradient."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from scipy import special

import backlight as bl
from backlight import nn
from backlight.explain.whole import TensorDerivation
from backlight.graph.notation import UNICODE, Number, Symbol

GENERATOR = np.random.default_rng(7)


class Matrix:
    """An array that multiplies as in a textbook: a vector is a column, its transpose a row."""

    def __init__(self, array: Any, row: bool = False) -> None:
        self.array, self.row = np.asarray(array, dtype=np.float64), row

    @property
    def mT(self) -> Matrix:
        if self.array.ndim == 1:
            return Matrix(self.array, not self.row)
        return Matrix(self.array.mT)

    def __matmul__(self, other: Matrix) -> Matrix:
        left = self.array if self.array.ndim > 1 or self.row else self.array[:, None]
        if other.array.ndim > 1:
            return Matrix(left @ other.array)
        if other.row:
            return Matrix(left @ other.array[None, :])
        return Matrix(self.array @ other.array)

    def __getitem__(self, key: Any) -> Matrix:
        return Matrix(self.array[key])

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.array

    def _both(self, other: Any, operation: Any) -> Matrix:
        return Matrix(operation(self.array, np.asarray(other)))

    def __mul__(self, other: Any) -> Matrix:
        return self._both(other, np.multiply)

    __rmul__ = __mul__

    def __add__(self, other: Any) -> Matrix:
        return self._both(other, np.add)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Matrix:
        return self._both(other, np.subtract)

    def __rsub__(self, other: Any) -> Matrix:
        return self._both(other, lambda a, b: b - a)

    def __truediv__(self, other: Any) -> Matrix:
        return self._both(other, np.divide)

    def __rtruediv__(self, other: Any) -> Matrix:
        return self._both(other, lambda a, b: b / a)

    def __pow__(self, other: Any) -> Matrix:
        return self._both(other, np.power)

    def __neg__(self) -> Matrix:
        return Matrix(-self.array)

    def __gt__(self, other: Any) -> Matrix:
        return self._both(other, np.greater)

    def __lt__(self, other: Any) -> Matrix:
        return self._both(other, np.less)

    def __eq__(self, other: Any) -> Matrix:  # type: ignore[override]  # entry by entry
        return self._both(other, np.equal)


def entrywise(function: Any) -> Any:
    return lambda *arguments: Matrix(function(*[np.asarray(each) for each in arguments]))


def total(array: Any, axis: tuple[int, ...] | None = None) -> Matrix:
    return Matrix(np.sum(np.asarray(array), axis=axis))


FUNCTIONS = {
    "exp": entrywise(np.exp), "ln": entrywise(np.log), "sigma": entrywise(special.expit),
    "tanh": entrywise(np.tanh), "indicator": entrywise(lambda x: x), "root": entrywise(np.sqrt),
    "where": entrywise(np.where), "max": entrywise(np.maximum), "detach": entrywise(lambda x: x),
    "total": total, "size": entrywise(np.abs),
    "einsum": lambda labels, a, b: Matrix(np.einsum(labels, np.asarray(a), np.asarray(b))),
    "broadcast": lambda a, shape: Matrix(np.broadcast_to(np.asarray(a), shape)),
    "reshape": lambda a, shape: Matrix(np.reshape(np.asarray(a), shape)),
    "pad": lambda a, widths: Matrix(np.pad(np.asarray(a), widths)),
}  # fmt: skip
SIGNS = {
    "−": "-", "⊙": "*", "·": "*", "ᵀ": ".mT", "²": "**2", "³": "**3", "^": "**", "√": "root",
    "σ": "sigma", " = ": " == ",
}  # fmt: skip


def worked_out(formula: str, values: dict[str, Any]) -> np.ndarray:
    """Translate a printed formula into Python, sign by sign, and run it on arrays."""
    names: dict[str, Any] = {}
    text = re.sub(r"Σ\(", "total(", formula)
    text = re.sub(r"axis ([\d, ]+)\)", r"(\1,))", text)
    text = re.sub(r"einsum\((\w+),(\w+)→(\w*)", r'einsum("\1,\2->\3"', text)
    for number, name in enumerate(sorted(values, key=len, reverse=True)):
        pattern = rf"(?<![A-Za-z_∂]){re.escape(name)}(?![A-Za-z0-9_⁽₀-₉])"
        text, found = re.subn(pattern, f"value_{number}_", text)
        if found:
            names[f"value_{number}_"] = Matrix(values[name])
    # A bracket that follows nothing is a condition; one that follows a name is a slice.
    text = re.sub(r"(?<![\w)\]ᵀ])\[([^\]]+)\]", r"indicator(\1)", text)
    text = re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)(?=[a-z(])", r"\1*", text)
    for sign, code in SIGNS.items():
        text = text.replace(sign, code)
    return np.asarray(eval(text, dict(FUNCTIONS), names))


def check(loss: Any, tensor: Any) -> TensorDerivation:
    """Every equation of the derivation of a tensor holds, and the last gives its gradient."""
    d = bl.explain(loss, tensor)
    graph = d.trace.graph
    values: dict[str, Any] = {}
    for node in range(len(graph)):
        values[UNICODE.expression(d._symbol(node))] = d.trace.values[node]
    for node, gradient in enumerate(d.trace.gradients):
        if gradient is not None and node != d.trace.output:
            values[UNICODE.expression(d._gradient(node))] = gradient
    equations = d.sections[0].equations
    assert equations
    for equation in equations:
        left = UNICODE.expression(equation.left)
        formula = UNICODE.expression(equation.right[0])
        assert isinstance(equation.right[-1], Symbol | Number)
        found = worked_out(formula, values)
        wanted = values[left]
        assert np.allclose(np.broadcast_to(found, wanted.shape), wanted, rtol=1e-9), formula
    assert UNICODE.expression(equations[-1].left) == UNICODE.expression(d._gradient(d.node))
    loss.backward()
    assert np.array_equal(d.value, tensor.grad)
    json.dumps(d.to_dict(), allow_nan=False)
    assert "✓" in d.text()
    return d


def array(*shape: int) -> np.ndarray:
    return GENERATOR.normal(size=shape)


def formulas(d: TensorDerivation) -> str:
    return "\n".join(UNICODE.expression(each.right[0]) for each in d.sections[0].equations)


def test_a_dense_network() -> None:
    net = bl.nn.Sequential(
        bl.nn.Linear(4, 3, dtype="float64"), bl.nn.ReLU(), bl.nn.Linear(3, 3, dtype="float64"),
        bl.nn.Tanh(), bl.nn.Linear(3, 2, dtype="float64"), bl.nn.Sigmoid(), seed=1,
    )  # fmt: skip
    X, y = bl.tensor(array(5, 4), name="X"), bl.tensor(array(5, 2), name="y")
    for name in ("layers.0.weight", "layers.0.bias", "layers.4.weight", "layers.2.bias"):
        d = check(bl.nn.mse(net(X), y), net.parameters()[name])
    d = check(bl.nn.mse(net(X), y), net.parameters()["layers.0.weight"])
    assert "(∂L/∂z⁽¹⁾)ᵀ @ X" in formulas(d)
    assert "∂L/∂z⁽²⁾ @ W⁽²⁾" in formulas(d)
    assert "2(a⁽³⁾ − y)·1/10" in formulas(d)
    assert "[z⁽¹⁾ > 0] ⊙ ∂L/∂a⁽¹⁾" in formulas(d)


def test_one_example_without_a_batch() -> None:
    net = bl.nn.Sequential(
        bl.nn.Linear(4, 3, dtype="float64"), bl.nn.Sigmoid(), bl.nn.Linear(3, 2, dtype="float64"),
        seed=2,
    )  # fmt: skip
    x, y = bl.tensor(array(4), name="x"), bl.tensor(array(2), name="y")
    d = check(bl.nn.squared_error(net(x), y), net.parameters()["layers.0.weight"])
    assert "∂L/∂z⁽¹⁾ @ xᵀ" in formulas(d)
    assert "W⁽²⁾ᵀ @ ∂L/∂z⁽²⁾" in formulas(d)


A = np.array([[1.0, 2.0, -1.0], [0.5, -2.0, 3.0]])
B = np.array([[0.5, -1.0], [2.0, 1.0], [1.0, 0.25]])
CASES = {
    "matrix product": (lambda p: bl.sum((p @ B) ** 2), (2, 3)),
    "product on the right": (lambda p: bl.sum(bl.tanh(A @ p)), (3, 4)),
    "transposed": (lambda p: bl.sum((p.T @ p) * 0.5), (2, 3)),
    "with its own transpose": (lambda p: bl.sum(bl.exp(0.1 * (p @ p.T))), (2, 3)),
    "matrix and vector": (lambda p: bl.sum((p @ bl.tensor([1.0, 2.0, 3.0])) ** 2), (2, 3)),
    "vector and matrix": (lambda p: bl.sum((p @ A) ** 2), (2,)),
    "inner product": (lambda p: (p @ bl.tensor([1.0, 2.0, 3.0])) ** 2, (3,)),
    "batched product": (lambda p: bl.sum((p @ bl.tensor(array(4, 3, 2))) ** 2), (4, 2, 3)),
    "shared over a batch": (lambda p: bl.sum((bl.tensor(array(4, 2, 3)) @ p) ** 2), (3, 2)),
    "einsum": (
        lambda p: bl.sum(bl.einsum("ij,jkl->ikl", p, bl.tensor(array(3, 2, 2))) ** 2), (2, 3)
    ),
    "a row added to all": (lambda p: bl.sum((A + p) ** 2), (3,)),
    "a column times all": (lambda p: bl.sum(bl.exp(A * p)), (2, 1)),
    "a scalar times all": (lambda p: bl.sum(bl.exp(A * p)), ()),
    "sums of rows": (lambda p: bl.sum(bl.sum(p, axis=1) ** 2), (2, 3)),
    "means of columns": (lambda p: bl.sum(bl.mean(p, axis=0, keepdims=True) * p), (2, 3)),
    "slices": (lambda p: bl.sum(p[0] * p[1] ** 2) + p[1, 2], (2, 3)),
    "reshaped": (lambda p: bl.sum((bl.reshape(p, (3, 2)) @ bl.reshape(p, (2, 3))) ** 2), (2, 3)),
    "a choice": (lambda p: bl.sum(bl.where(p > 0, p * p, -3.0 * p)), (2, 3)),
    "quotients": (lambda p: bl.sum(A / (1.0 + p * p)), (2, 3)),
    "outer product": (
        lambda p: bl.sum((bl.reshape(p, (3, 1)) * bl.tensor([1.0, -2.0])) ** 2), (3,)
    ),
    "a root": (lambda p: bl.sum(bl.sqrt(1.0 + p**2)) + bl.sum(bl.log(2.0 + bl.sigmoid(p))), (2, 3)),
    "norm and direction": (lambda p: bl.sum(p / bl.sqrt(bl.sum(p * p)) * A), (2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_operations(case: str) -> None:
    function, shape = CASES[case]
    p = bl.param(array(*shape), name="p")
    d = check(function(p), p) if shape else None
    if d is not None:
        assert "Gradients of later nodes come first" in d.text()


def test_softmax_and_cross_entropy() -> None:
    X = bl.tensor(array(4, 3), name="X")
    W = bl.param(array(3, 3), name="W")
    for loss in (
        bl.nn.cross_entropy(X @ W, bl.tensor([0, 2, 1, 1])),
        bl.nn.cross_entropy(X @ W, bl.tensor([0, 2, 1, 1]), reduction="sum"),
        bl.sum(bl.nn.softmax(X @ W) ** 2),
    ):
        d = bl.explain(loss, W)
        assert "Xᵀ @ ∂" in d.text()
        assert "✓" in d.text()


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("function", [nn.softmax, nn.log_softmax])
def test_a_softmax_alone_has_its_textbook_form(function: Any, shape: tuple[int, ...]) -> None:
    for axis in range(len(shape)):
        z = bl.param(array(*shape), name="z")
        a = function(z, axis=axis)
        d = check(bl.sum(a**2.0 * array(*shape)), z)
        formula = UNICODE.expression(d.sections[0].equations[-1].right[0])
        assert formula.startswith("a ⊙ (∂L/∂a" if function is nn.softmax else "∂L/∂a − exp(a)")


def test_a_long_network_is_shortened() -> None:
    h = p = bl.param(array(3, 3), name="p")
    for _ in range(400):
        h = bl.tanh(h @ p)
    d = bl.explain(bl.sum(h), p)
    lines = d.text().splitlines()
    assert len(lines) < 250
    assert any("more" in line for line in lines)


def test_paths_ask_for_an_entry() -> None:
    p = bl.param(array(2, 2), name="p")
    d = bl.explain(bl.sum(p * p), p)
    with pytest.raises(bl.errors.UsageError, match="choose one with index="):
        d.paths()
    assert d.entry(1, 0).value == pytest.approx(2 * p.value[1, 0])
    assert repr(d).startswith("<derivation of ∂L/∂p = [[")
    bundle = d._repr_mimebundle_()
    assert bundle["text/plain"] == str(d)
