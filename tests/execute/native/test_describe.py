"""What a plan says of itself: counted by hand, in words that people can read."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from tests.explain import programs

import backlight as bl
from backlight.execute.description import bytes_text, flops_text
from backlight.execute.executors import explain, program
from backlight.execute.iteration import Iteration, Shorter
from backlight.execute.native.describe import describe
from backlight.execute.native.program import NativeProgram
from backlight.ops.random import RANDOM_UNIFORM
from backlight.tensor import quiet

F32 = np.float32


def described(function, *values):
    return describe(NativeProgram(bl.trace(function, *values)))


def layer(x, w, b):
    z = x @ w.T + b
    a = bl.relu(z)
    return bl.sum(a * a)


LAYER = [np.zeros((32, 20), F32), np.zeros((8, 20), F32), np.zeros(8, F32)]


def test_kernels_with_their_work_and_bytes():
    found = described(layer, *LAYER)
    product, *_, total = found.kernels
    assert product.what == "matrix product 32×20×8"
    assert product.flops == 2 * 32 * 20 * 8
    assert product.reads == 4 * (32 * 20 + 8 * 20)
    assert product.writes == 4 * 32 * 8
    assert product.results[0].formula.startswith("x·w")
    assert total.what == "sum of 32×8 to number"
    assert total.writes == 4
    assert found.flops == sum(each.flops for each in found.kernels)
    assert found.reads == sum(each.reads for each in found.kernels)
    assert [each.bytes for each in found.inputs] == [4 * 32 * 20, 4 * 8 * 20, 4 * 8]
    assert [each.number for each in found.kernels] == list(range(1, len(found.kernels) + 1))


def test_inlined_operations_are_written_out_in_the_formula():
    found = described(lambda x, y: bl.exp(-(x * x)) * y + 1.0, np.zeros((5, 7)), np.zeros((5, 7)))
    (kernel,) = found.kernels
    assert kernel.what == "loop over 35 entries"
    assert kernel.results[0].formula == "exp(−(x·x))·y + 1"
    assert kernel.flops == 35 * 5
    assert len(found.inlined) == 4
    assert found.arena == 0


FORMULAS = {
    "transposed": (lambda x, y: x.T @ y, "xᵀ·y"),
    "transposed result": (lambda x, y: bl.einsum("ki,kj->ji", x, y), "yᵀ·x"),
    "batched": (lambda x, y: bl.vecdot(x, y), "einsum ij,ij→i of x and y"),
    "slice": (lambda x, y: x[1:, ::2] + 1.0, "x[1:, ::2] + 1"),
    "flip": (lambda x, y: bl.flip(x, axis=0) * 2.0, "x[::-1, :]·2"),
    "gather": (lambda x, y: bl.take(x, bl.tensor([1, 0]), axis=0) + 1.0, "x[x2] + 1"),
    "mean": (lambda x, y: bl.sum(x * y, axis=0), "sum over axis 0 of x·y"),
    "all": (lambda x, y: bl.max(x), "max of x"),
    "cast": (lambda x, y: bl.astype(x > 0, bl.float32) * 3.0, "float32(x > 0)·3"),
    "where": (lambda x, y: bl.where(x > y, x, 0.0), "where(x > y, x, 0)"),
    "row by row": (lambda x, y: x - bl.max(x, axis=1, keepdims=True), "x − v1"),
    "permuted": (
        lambda x, y: bl.permute_dims(bl.reshape(x, (2, 2, 2)), (2, 0, 1)) + 1.0,
        "reshape(x) with axes (2, 0, 1) + 1",
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas(name):
    function, wanted = FORMULAS[name]
    found = described(function, np.zeros((2, 4)), np.zeros((2, 4)))
    formulas = [each.formula for kernel in found.kernels for each in kernel.results]
    texts = [re.sub(r"\b[cv]\d?\b", "_", each) for each in formulas]
    assert re.sub(r"\b[cv]\d?\b", "_", wanted) in texts


def test_buffers_that_share_a_place_are_listed_in_the_order_of_time():
    def long(x):
        for _ in range(6):
            x = bl.cumulative_sum(x, axis=0) / 2.0
        return x

    program = NativeProgram(bl.trace(long, np.zeros(1000)))
    found = describe(program)
    names = [name for place in found.places for name in place.buffers]
    assert sorted(names) == sorted(
        program.plan.graph.nodes[k].name for k in program.plan.kernels if k in program.plan.offsets
    )
    assert any(len(place.buffers) > 2 for place in found.places)
    assert all(place.bytes == 8000 for place in found.places)
    assert found.arena == program.plan.arena


def test_results_over_inputs_are_said():
    graph = bl.trace(lambda w, n: (bl.sum(w * w), w - 0.1 * w), np.zeros(5), np.int64(0))
    found = describe(NativeProgram(graph, Iteration(1, ((1, 0),), (), 1)))
    assert [each.replaces for each in found.results] == ["", "w"]
    assert "1 in place" in str(found)
    assert "(in place)" in str(found)


def test_a_program_for_two_batch_lengths():
    def trace(rows):
        with quiet():
            return bl.trace(
                lambda w, x, n: (bl.sum((x @ w) ** 2.0) / float(rows), w - 0.1 * bl.sum(x)),
                np.zeros((3, 2)), np.zeros((rows, 3)), np.int64(0),
            )  # fmt: skip

    iteration = Iteration(1, ((1, 0),), (1,), 2, 8, Shorter(5, trace(5)))
    found = explain(program(trace(8), "native", iteration))
    assert found.lengths == (8, 5)
    assert found.kernels[0].what == "matrix product B×3×2"
    assert found.inputs[1].shape == "B×3"
    assert found.inputs[1].bytes == 8 * 8 * 3
    assert "B is the batch length, 8 or 5; costs are those of 8" in str(found)


def test_what_python_is_called_for_is_said():
    custom = programs.custom_operations()
    try:
        with pytest.warns(bl.errors.BacklightWarning):
            found = described(lambda x: custom["normalise"](x) + 1.0, np.zeros(4))
    finally:
        programs.forget_custom_operations()
    assert found.callbacks == ("test_normalise",)
    assert found.kernels[0].callback
    assert found.kernels[0].what == "Python, called for test_normalise"
    assert "Python is called in every run, for test_normalise" in str(found)


def test_every_kind_of_kernel_has_words():
    def function(x, seed):
        order = bl.tensor([0, 2])
        drawn = RANDOM_UNIFORM(seed, seed, stream=1, shape=(4,), dtype=np.dtype("float64"))
        picked = bl.grad(lambda v: bl.sum(bl.take(v, order, axis=0) ** 2.0))(x)
        return (
            drawn, picked, bl.cumulative_sum(x, axis=0), bl.concat([x, x], axis=0), bl.argmax(x),
            bl.reshape(bl.flip(bl.reshape(x, (2, 2)), axis=1), (4,)), bl.sum(x) + 1.0,
        )  # fmt: skip

    found = described(function, np.zeros(4), np.int64(1))
    what = [each.what for each in found.kernels]
    assert "4 random numbers" in what
    assert "cumulative sum of 4" in what
    assert "argmax of 4 to number" in what
    assert "one number" in what
    assert any(re.fullmatch(r"\d entries added up into 4 places", each) for each in what)
    assert "copy of 4 entries" in what
    assert all(value.formula for each in found.kernels for value in each.results)


def test_data_is_plain_and_the_text_fits():
    found = described(layer, *LAYER)
    data = json.loads(json.dumps(found.to_dict(), ensure_ascii=False))
    assert data["kernels"][0]["results"][0]["name"] == found.kernels[0].results[0].name
    assert data["threads"] == found.threads
    assert "message" not in data
    lines = str(found).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith(f"{len(found.kernels)} kernels: ")
    assert repr(found) == str(found)


def test_long_lists_lose_their_middle():
    def function(x):
        for _ in range(150):
            x = bl.cumulative_sum(x, axis=0)
        return x

    text = str(described(function, np.zeros(3)))
    assert "30 more" in text
    assert len(text.splitlines()) < 320


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9_949, "9.9 kB"), (9_950, "10 kB"),
     (999_499, "999 kB"), (999_500, "1.0 MB"), (2**40, "1.1 TB"), (10**18, "1000000 TB")],
)  # fmt: skip
def test_bytes(count, text):
    assert bytes_text(count) == text


def test_flops():
    assert [flops_text(n) for n in (7, 1_500, 12_845_056, 2_400_000_000)] == [
        "7 flop", "1.5 kflop", "12.8 Mflop", "2.4 Gflop",
    ]  # fmt: skip


# ── compiled functions ───────────────────────────────────────────────────────────────────────────


def test_a_compiled_function_explains_its_most_recent_program():
    f = bl.compile(lambda x: bl.sum(bl.tanh(x) / 4.0), executor="native")
    assert str(f.explain_plan()).startswith("Nothing is compiled yet")
    assert f.explain_plan().to_dict() == {"message": str(f.explain_plan())}
    f(np.zeros(3))
    with pytest.warns(bl.BacklightWarning, match="compiled again"):
        f(np.zeros((5, 2)))
    assert f.explain_plan().inputs[0].shape == "5×2"
    f(np.zeros(3))
    found = f.explain_plan()
    assert found.inputs[0].shape == "3"
    assert "multiply by inverse 1×" in found.passes
    assert found.passes in " ".join(str(found).split())


def test_the_reference_executor_has_no_plan_and_says_so():
    f = bl.compile(lambda x: x + 1.0, executor="reference")
    f(np.zeros(3))
    assert "no plan" in str(f.explain_plan())
