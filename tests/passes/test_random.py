"""Random programs: before and after every pass the reference gives the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.explain import programs
from tests.passes.same import same_meaning, special

import backlight as bl
from backlight.differentiate.reverse import sweep, unit_seed
from backlight.execute.reference import Program
from backlight.graph.check import check
from backlight.graph.graph import Graph
from backlight.ops.convert import CAST
from backlight.ops.piecewise import ZEROS_LIKE
from backlight.passes import (
    eliminate_common,
    eliminate_dead,
    fold_constants,
    optimize,
    simplify,
)
from backlight.tensor import quiet
from backlight.trace import capture

PASSES: dict[str, Callable[[Graph], Graph]] = {
    "simplify": lambda graph: simplify(graph, exact=True),
    "eliminate_common": eliminate_common,
    "eliminate_dead": eliminate_dead,
    "fold_constants": fold_constants,
    "optimize": lambda graph: optimize(graph, exact=True, checked=True),
}


@pytest.mark.filterwarnings("ignore::backlight.BacklightWarning")
@given(st.randoms(use_true_random=False))
def test_random_programs_with_their_gradients(random):
    try:
        with quiet():
            built = programs.build(random.randrange, most=6)
            done = sweep([built.loss], [unit_seed(built.loss, "test")], built.leaves)
        gradients = [done.gradient(leaf) for leaf in built.leaves]
        graph, tensors = capture([built.loss, *[each for each in gradients if each is not None]])
        values = [
            np.asarray(each.known_value)
            for each in tensors
            if not each.inputs and "value" not in each.attributes
        ]
        for change in PASSES.values():
            found = change(graph)
            check(found)
            assert [found.nodes[k].name for k in found.inputs] == [
                graph.nodes[k].name for k in graph.inputs
            ]
            compare(graph, found, values, 4.0)
        compare(graph, optimize(graph), values, 1e5)
    finally:
        programs.forget_custom_operations()


def compare(before: Graph, after: Graph, values: list[np.ndarray], ulps: float) -> None:
    """Compare within a few ulps.

    Passes leave every bit alone.  But NumPy adds up, and evaluates its exponentials, in ways that
    depend on how an array lies in memory, so that the bits of a program with moves may not.
    """
    wanted, found = Program(before).run(values), Program(after).run(values)
    for a, b in zip(found, wanted, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if not np.all(np.isfinite(b)):
            continue
        scale = max(float(np.max(np.abs(b), initial=0.0)), 1.0)
        tolerance = ulps * float(np.finfo(b.dtype).eps)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


# Operations whose bits do not depend on how arrays lie in memory, many of them simplifiable.
UNARY: list[Callable[[Any], Any]] = [
    lambda x: -x, lambda x: x * 1.0, lambda x: 1.0 * x, lambda x: x + 0.0, lambda x: x - 0.0,
    lambda x: x * 0.0, lambda x: x / 2.0, lambda x: x / 3.0, lambda x: x * -1.0, bl.abs, bl.relu,
    bl.sign, bl.floor, lambda x: x**1.0, lambda x: x**0.0, lambda x: x.detach(), ZEROS_LIKE,
    lambda x: CAST(CAST(x, dtype=np.dtype("float64")), dtype=x.dtype), lambda x: x + x,
    lambda x: bl.where(x > 0, x, x), lambda x: bl.where(bl.logical_not(x > 0), -x, x),
    lambda x: x[::-1] if x.ndim else x, lambda x: bl.max(x, axis=-1) if x.size and x.ndim else x,
    lambda x: bl.broadcast_to(x, (2, *x.shape)), lambda x: bl.reshape(x, (1, *x.shape)),
    lambda x: bl.reshape(x, (-1,)) if x.size else x, lambda x: x[1:] if x.ndim else x,
    lambda x: bl.concat([x, x], axis=0) if x.ndim else x,
    lambda x: bl.where(bl.isfinite(x), x, 1.0), lambda x: bl.full_like(x, -0.0) + x,
    lambda x: CAST(x > 0, dtype=x.dtype), lambda x: bl.sqrt(x),
]  # fmt: skip
BINARY: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b,
    lambda a, b: a + (-b), lambda a, b: (-a) * (-b), bl.maximum, bl.minimum,
    lambda a, b: bl.where(a > b, a, b), lambda a, b: bl.where(a == b, a, a),
]  # fmt: skip


@given(st.randoms(use_true_random=False), st.sampled_from(["float64", "float32"]))
def test_random_programs_on_special_values(random, dtype):
    x = special(dtype)
    shapes = [(), (x.size,), (1, x.size), (0,), (2, 0), (1,)]
    values = []
    for _ in range(2):
        shape = random.choice(shapes)
        count = int(np.prod(shape))
        values.append(np.array([random.choice(x) for _ in range(count)], dtype).reshape(shape))

    def function(*inputs):
        pool = list(inputs)
        for _ in range(random.randrange(1, 12)):
            if random.randrange(3):
                made = random.choice(UNARY)(random.choice(pool))
            else:
                a, b = random.choice(pool), random.choice(pool)
                try:
                    np.broadcast_shapes(a.shape, b.shape)
                except ValueError:
                    continue
                made = random.choice(BINARY)(a, b)
            if made.size < 2000 and made.ndim < 5:
                pool.append(made)
        return tuple(pool[-3:])

    with quiet():
        graph = bl.trace(function, *values)
    for change in PASSES.values():
        same_meaning(graph, change(graph), values)
