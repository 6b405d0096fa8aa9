"""What the passes made runs natively: the executor runs them first, whatever is compiled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.explain import programs
from tests.passes.same import special

import backlight as bl
from backlight.differentiate.reverse import sweep, unit_seed
from backlight.execute.executors import program
from backlight.execute.reference import Program
from backlight.tensor import quiet
from backlight.trace import capture


@pytest.mark.filterwarnings("ignore::backlight.BacklightWarning")
@settings(max_examples=12)
@given(st.randoms(use_true_random=False))
def test_random_programs_with_their_gradients(random):
    try:
        with quiet():
            built = programs.build(random.randrange, most=5)
            done = sweep([built.loss], [unit_seed(built.loss, "test")], built.leaves)
        gradients = [done.gradient(leaf) for leaf in built.leaves]
        graph, tensors = capture([built.loss, *[each for each in gradients if each is not None]])
        values = [
            np.asarray(each.known_value)
            for each in tensors
            if not each.inputs and "value" not in each.attributes
        ]
        found, wanted = program(graph, "native").run(values), Program(graph).run(values)
        if not all(np.all(np.isfinite(each)) for each in wanted):
            return
        for a, b in zip(found, wanted, strict=True):
            scale = max(float(np.max(np.abs(b), initial=0.0)), 1.0)
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10 * scale)
    finally:
        programs.forget_custom_operations()


def test_special_values_keep_their_meaning():
    x = special()

    def function(x):
        return (
            x + 0.0, x * 0.0, bl.negative(-x), x - 0.0, x / 2.0, bl.where(x > 0, x, x), x**2.0,
            bl.sum(bl.reshape(x, (x.size, 1)), axis=1), bl.relu(x * 1.0) > 0,
        )  # fmt: skip

    graph = bl.trace(function, x)
    found, wanted = program(graph, "native").run([x]), Program(graph).run([x])
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)
        if a.dtype.kind == "f":
            numbers = ~np.isnan(b)
            np.testing.assert_array_equal(np.signbit(a)[numbers], np.signbit(b)[numbers])
