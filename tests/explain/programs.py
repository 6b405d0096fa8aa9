"""Random computations for the explainer's tests: small graphs from a pool of operations.

`build` takes a function that chooses numbers, so that Hypothesis (or any random generator) can
drive it, and returns the loss, the leaves that gradients flow to and everything in between.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import backlight as bl
from backlight.functions.composite import composite
from backlight.graph.primitive import REGISTRY

Choose = Callable[[int], int]
"""``choose(n)`` returns one of 0 … n − 1."""

SHAPES = ((), (), (2,), (3,), (2, 3), (3, 3), (1, 3), (2, 1), (2, 2, 3))


@dataclass
class Built:
    """A loss with what it was made of."""

    loss: Any
    leaves: list[Any]
    inner: list[Any] = field(default_factory=list)


@composite()
def scaled_exponential(x: Any) -> Any:
    """A composite with a constant and a reduction inside."""
    shifted = x - 0.5
    return bl.exp(0.25 * shifted) + bl.sum(shifted * shifted)


def custom_operations() -> dict[str, Any]:
    """Two users' operations: one elementwise, one that only carries whole gradients back."""
    swish = bl.primitive(
        "test_swish",
        lambda xp, x: x / (1.0 + xp.exp(-x)),
        partials=[lambda y, x: bl.sigmoid(x) + y * (1.0 - bl.sigmoid(x))],
        formula="swish",
    )

    def normalise(xp: Any, x: Any) -> Any:
        return x / xp.sqrt(1.0 + xp.sum(x * x))

    def back(upstream: Any, y: Any, x: Any) -> tuple[Any]:
        size = bl.sqrt(1.0 + bl.sum(x * x))
        return ((upstream - y * bl.sum(upstream * y)) / size,)

    return {
        "swish": swish,
        "normalise": bl.primitive("test_normalise", normalise, vjp=back, inputs=1),
    }


def forget_custom_operations() -> None:
    """Leave the registry as it was."""
    for name in ("test_swish", "test_normalise"):
        if name in REGISTRY.view():
            REGISTRY.remove(name)


def unary(x: Any, choose: Choose, custom: dict[str, Any]) -> Any:
    """One operation of one operand."""
    pool: list[Callable[[Any], Any]] = [
        lambda x: bl.exp(0.3 * x), bl.tanh, bl.sigmoid, bl.relu, bl.sin, bl.cos, bl.abs,
        lambda x: -x, lambda x: x**2, lambda x: x**3.0, lambda x: (x * x + 0.5) ** -0.5,
        lambda x: bl.log(x * x + 1.0), lambda x: bl.sqrt(x * x + 0.25),
        lambda x: 1.0 / (x * x + 1.0),
        lambda x: x - 1.0, lambda x: 2.0 - x, lambda x: 0.5 * x, lambda x: x / 3.0,
        lambda x: bl.maximum(x, 0.25), lambda x: bl.minimum(x, x * x), bl.nn.softplus,
        lambda x: bl.where(x > 0.1, x * x, -x), lambda x: bl.clip(x, -1.0, 1.0),
        lambda x: x * x, lambda x: x + x, lambda x: x.detach() * x, bl.atan,
        bl.erf, lambda x: bl.log1p(x * x), lambda x: bl.floor(x) + x, scaled_exponential,
        custom["swish"], custom["normalise"], bl.nn.silu, bl.nn.gelu,
    ]  # fmt: skip
    return pool[choose(len(pool))](x)


def restructured(x: Any, choose: Choose) -> Any:
    """One operation that reduces, moves or scans."""
    pool: list[Callable[[Any], Any]] = [
        bl.sum, bl.mean, bl.max, bl.min, bl.prod,
        lambda x: bl.reshape(x, (-1,)),
        lambda x: bl.broadcast_to(x, (2, *x.shape)),
        lambda x: bl.expand_dims(x, axis=0),
    ]  # fmt: skip
    if x.ndim:
        axis = choose(x.ndim)
        size = x.shape[axis]
        pool += [
            lambda x: bl.sum(x, axis=axis), lambda x: bl.max(x, axis=axis, keepdims=True),
            lambda x: bl.prod(x, axis=axis), lambda x: bl.mean(x, axis=axis, keepdims=True),
            lambda x: bl.flip(x, axis=axis), lambda x: bl.cumulative_sum(x, axis=axis),
            lambda x: bl.concat([x, x * 2.0], axis=axis), lambda x: x[..., 0], lambda x: x[::-1],
            lambda x: x[-1], lambda x: bl.take(x, bl.tensor([size - 1, 0, 0]), axis=axis),
            lambda x: bl.stack([x, x], axis=axis), lambda x: bl.nn.softmax(x, axis=axis),
            lambda x: bl.nn.log_softmax(x, axis=axis), lambda x: bl.sort(x, axis=axis),
            lambda x: bl.roll(x, 1, axis=axis), lambda x: x[1:],
        ]  # fmt: skip
    if x.ndim == 2:
        pool += [lambda x: x.T, lambda x: bl.matmul(x, x.T), lambda x: bl.vecdot(x, x)]
        classes = np.arange(x.shape[0]) % x.shape[1]
        pool += [lambda x: bl.nn.cross_entropy(x, bl.tensor(classes)),
                 lambda x: bl.nn.cross_entropy(x, bl.tensor(classes), reduction="none"),
                 lambda x: bl.nn.binary_cross_entropy_with_logits(x, bl.sigmoid(x.detach()))
                 ]  # fmt: skip
    return pool[choose(len(pool))](x)


def binary(a: Any, b: Any, choose: Choose) -> Any:
    """One operation of two operands whose shapes fit somehow, or their sums."""
    try:
        np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        if a.ndim and b.ndim and a.shape[-1] == b.shape[-2 if b.ndim > 1 else -1]:
            return a @ b
        a, b = bl.sum(a), bl.sum(b)
    if a.ndim and b.ndim and choose(3) == 0 and a.shape[-1] == b.shape[-2 if b.ndim > 1 else -1]:
        return a @ b
    pool: list[Callable[[Any, Any], Any]] = [
        lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b,
        lambda a, b: a / (b * b + 1.0), lambda a, b: (a * a + 0.5) ** b, bl.maximum,
        lambda a, b: bl.where(a > b, a, b * b), bl.hypot, bl.minimum, lambda a, b: a * b - b,
        bl.logaddexp, lambda a, b: bl.atan2(a, b + 2.0),
    ]  # fmt: skip
    return pool[choose(len(pool))](a, b)


def build(choose: Choose, *, most: int = 8, largest: int = 60) -> Built:
    """Build one random loss.

    Parameters
    ----------
    choose : callable
    most : int
        How many operations at most, before the last sums.
    largest : int
        Entries that a tensor may have.
    """
    custom = custom_operations()
    leaves: list[Any] = []
    for number in range(1 + choose(3)):
        shape = SHAPES[choose(len(SHAPES))]
        count = math.prod(shape)
        numbers = [(choose(41) - 20) / 8 for _ in range(count)]
        array = np.array(numbers).reshape(shape)
        leaves.append(bl.param(array, name=f"p{number}"))
    data = bl.tensor(np.array([0.5, -1.0, 2.0]), name="data")
    pool = [*leaves, data]
    inner = []
    for _ in range(1 + choose(most)):
        way = choose(3)
        x = pool[choose(len(pool))]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bl.errors.BacklightWarning)  # what overflows is dropped
            if way == 0:
                made = unary(x, choose, custom)
            elif way == 1:
                made = restructured(x, choose)
            else:
                made = binary(x, pool[choose(len(pool))], choose)
        if made.size > largest or not made.size or made.dtype.kind != "f":
            continue
        if not np.all(np.isfinite(made.value)) or np.max(np.abs(made.value)) > 1e6:
            continue
        pool.append(made)
        inner.append(made)
    parts = [bl.sum(each) for each in (*inner[-2:], leaves[0]) if each.tracked]
    loss = parts[0]
    for each in parts[1:]:
        loss = loss + each if choose(2) else loss * each
    return Built(loss, leaves, [each for each in inner if each.tracked])
