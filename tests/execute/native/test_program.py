"""The native executor against the reference: single kernels and random programs."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.explain import programs  # the explainer's random programs serve here too

import backlight as bl
from backlight.differentiate.reverse import sweep, unit_seed
from backlight.errors import BacklightWarning, ShapeError
from backlight.execute.native.plan import Storage, make_plan
from backlight.execute.native.program import NativeProgram
from backlight.execute.reference import Program
from backlight.ops.leaf import INPUT
from backlight.ops.random import RANDOM_UNIFORM
from backlight.tensor import quiet
from backlight.trace import capture

RNG = np.random.default_rng(7)


def same(graph: bl.Graph, values: list[np.ndarray], ulps: float = 64.0) -> NativeProgram:
    """Run a graph both ways and compare: exactly where no rounding can differ."""
    native, reference = NativeProgram(graph), Program(graph)
    found, wanted = native.run(values), reference.run(values)
    for index, a, b in zip(graph.outputs, found, wanted, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if a.dtype.kind != "f":
            np.testing.assert_array_equal(a, b, err_msg=graph.nodes[index].name)
            continue
        # Programs work on numbers of size 1, and what cancels keeps their rounding.
        scale = max(float(np.max(np.abs(b), initial=0.0, where=np.isfinite(b))), 1.0)
        tolerance = ulps * float(np.finfo(a.dtype).eps)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)
    return native


def array(*shape: int, dtype: str = "float64") -> np.ndarray:
    return RNG.standard_normal(shape).astype(dtype)


CASES = {
    "fused": (lambda x, y: bl.exp(-(x * x)) * y + 1.0, array(5, 7), array(5, 7)),
    "broadcast": (lambda x, y: x * y + x, array(5, 1, 7), array(3, 7)),
    "scalars": (lambda x, y: (x * y - 2.0) ** 2, array(), array()),
    "sum rows": (lambda x: bl.sum(bl.sin(x), axis=0), array(9, 33)),
    "sum columns": (lambda x: bl.sum(x * x, axis=-1), array(9, 333)),
    "sum of all": (lambda x: bl.sum(x), array(3, 5, 7)),
    "sum of some": (lambda x: bl.sum(x, axis=(0, 2)), array(3, 5, 7)),
    "products": (lambda x: bl.prod(x, axis=1), array(4, 6)),
    "extremes": (lambda x: (bl.max(x, axis=0), bl.min(x, axis=1), bl.max(x)), array(4, 6)),
    "positions": (lambda x: (bl.argmax(x, axis=1), bl.argmin(x, axis=0)), array(4, 6)),
    "truth": (lambda x: (bl.any(x > 1.0, axis=0), bl.all(x > -9.0)), array(4, 6)),
    "moves": (
        lambda x: (x.T, x[::-1, 1:5:2], bl.reshape(x.T, (8, 3)), bl.concat([x, 2.0 * x], axis=1)),
        array(4, 6),
    ),
    "matrix": (lambda x, y: x @ y, array(5, 7), array(7, 3)),
    "matrix, transposed": (lambda x, y: x.T @ y.T, array(7, 5), array(3, 7)),
    "matrix, vector": (lambda x, y: (x @ y, y @ x.T), array(5, 7), array(7)),
    "batched": (lambda x, y: x @ y, array(2, 5, 7), array(2, 7, 3)),
    "inner": (lambda x: bl.vecdot(x, x), array(4, 6)),
    "einsum": (lambda x, y: bl.einsum("abc,cbd->da", x, y), array(2, 3, 4), array(4, 3, 5)),
    "gather": (lambda x: bl.take(x, bl.tensor([2, -1, 0, 2]), axis=0), array(4, 6)),
    "running sum": (lambda x: bl.cumulative_sum(x, axis=0), array(4, 6)),
    "sorted": (lambda x: bl.sort(x[0]), array(1, 1)),
    "empty": (lambda x: (bl.sum(x, axis=0), x + 1.0, x @ x.T), array(0, 3)),
    "float32": (lambda x, y: bl.tanh(x @ y) / 3.0, array(5, 7, dtype="float32"),
                array(7, 3, dtype="float32")),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_kernels_give_what_the_reference_gives(name):
    function, *values = CASES[name]
    if name == "sorted":
        with pytest.warns(BacklightWarning, match="argsort"):
            same(bl.trace(function, *values), values)
        return
    same(bl.trace(function, *values), values)


def test_integers_and_booleans():
    values = [np.arange(-3, 9).reshape(3, 4), np.arange(1, 5)]
    same(
        bl.trace(lambda a, b: (a // b, a % b, a * b - 2, a > b, (a > 0) & (b > 2)), *values), values
    )


def test_special_values_keep_their_meaning():
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-310, -5.0, 3.0])
    graph = bl.trace(
        lambda x: (bl.maximum(x, 0.0), bl.relu(x), bl.abs(x), x * 0.0, bl.sum(x), bl.max(x),
                   bl.argmax(x), x / x, bl.where(x > 0, bl.log(x), 0.0), bl.exp(x)),
        x,
    )  # fmt: skip
    for a, b in zip(NativeProgram(graph).run([x]), Program(graph).run([x]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-15)
        if a.dtype.kind == "f":
            np.testing.assert_array_equal(np.signbit(a)[~np.isnan(a)], np.signbit(b)[~np.isnan(b)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_numbers_are_the_same_bits(dtype):
    def draw(seed, step):
        return RANDOM_UNIFORM(seed, step, stream=11, shape=(3, 7), dtype=np.dtype(dtype))

    values = [np.int64(2**40 + 5), np.int64(2**33 + 9)]
    graph = bl.trace(draw, *values)
    np.testing.assert_array_equal(NativeProgram(graph).run(values), Program(graph).run(values))


@pytest.mark.filterwarnings("ignore::backlight.BacklightWarning")
@given(st.randoms(use_true_random=False))
def test_random_programs_with_their_gradients(random):
    try:
        with quiet():
            built = programs.build(random.randrange, most=6)
            done = sweep([built.loss], [unit_seed(built.loss, "test")], built.leaves)
        gradients = [done.gradient(leaf) for leaf in built.leaves]
        outputs = [built.loss, *[each for each in gradients if each is not None]]
        graph, tensors = capture(outputs)
        values = [
            np.asarray(each.known_value)
            for each in tensors
            if each.inputs == () and each.primitive is not None and "value" not in each.attributes
        ]
        if all(np.all(np.isfinite(each.value)) for each in outputs):
            same(graph, values, ulps=1e5)
    finally:
        programs.forget_custom_operations()


def test_a_training_step_is_the_same():
    net = bl.nn.Sequential(bl.nn.Linear(6, 8), bl.nn.Tanh(), bl.nn.Linear(8, 3), seed=0)
    X, y = array(16, 6, dtype="float32"), np.arange(16) % 3
    runs = [
        bl.fit(net_of(net), (X, y), loss=bl.nn.cross_entropy, epochs=5, batch_size=5, seed=1,
               executor=executor)
        for executor in ("native", "reference")
    ]  # fmt: skip
    np.testing.assert_allclose(*[run.history["loss"] for run in runs], rtol=1e-5)


def net_of(net: bl.nn.Module) -> bl.nn.Module:
    copy = bl.nn.from_dict(net.to_dict())
    copy.load(net.state())
    return copy


def test_a_position_out_of_range_is_named_and_reads_nothing():
    graph = bl.trace(lambda x, k: bl.take(x, k, axis=0), array(4), np.array([0]))
    with pytest.raises(ShapeError, match="9"):
        NativeProgram(graph).run([array(4), np.array([9])])


def test_an_operation_without_machine_code_is_called_back_and_said_once():
    triple = bl.primitive("test_triple", lambda xp, x: 3.0 * x, partials=[lambda y, x: 3.0])
    try:
        graph = bl.trace(lambda x: triple(bl.exp(x)) + 1.0, array(4))
        with pytest.warns(BacklightWarning, match="test_triple") as said:
            program = same(graph, [array(4)])
        assert len(said) == 1
        assert len(program.lowered.callbacks) == 1
    finally:
        programs.REGISTRY.remove("test_triple")


def test_an_error_in_a_callback_is_raised():
    def fail(xp, x):
        if np.any(x > 0):
            raise ValueError("no")
        return x

    broken = bl.primitive("test_broken", fail, vjp=lambda g, y, x: (g,), inputs=1)
    try:
        graph = bl.trace(lambda x: broken(x), array(4))
        with pytest.warns(BacklightWarning):
            program = NativeProgram(graph)
        with pytest.raises(ValueError, match="no"):
            program.run([np.ones(4)])
    finally:
        programs.REGISTRY.remove("test_broken")


def test_an_output_may_be_an_input_a_constant_or_given_twice():
    x = array(3)
    graph = bl.trace(lambda x: (x, bl.tensor([1.0, 2.0]), x + 1.0, x), x)
    one, two, three, four = NativeProgram(graph).run([x])
    np.testing.assert_array_equal(one, x)
    np.testing.assert_array_equal(two, [1.0, 2.0])
    np.testing.assert_array_equal(three, x + 1.0)
    assert not np.shares_memory(one, x) and not np.shares_memory(one, four)


def test_arguments_may_lie_in_any_order_in_memory():
    x = array(6, 4)
    graph = bl.trace(lambda x: x * 2.0, x[:3])
    np.testing.assert_array_equal(NativeProgram(graph).run([x[::2]])[0], x[::2] * 2.0)


def test_a_constant_may_be_a_view():
    """A folded broadcast repeats one number in memory without holding it several times."""
    repeated = bl.tensor(np.arange(3.0)) + 0.25
    wide = bl.broadcast_to(repeated, (4, 3))
    graph = bl.trace(lambda x: (x * wide, x @ wide.T), array(4, 3))
    same(graph, [array(4, 3)])


def test_several_threads_take_turns():
    x = array(50, 50)
    program = NativeProgram(bl.trace(lambda x: bl.sum(bl.exp(x @ x.T * 0.01), axis=0), x))
    wanted = program.run([x])[0]
    found: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: found.extend(program.run([x])[0] for _ in range(20)))
        for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 80
    assert all(np.array_equal(each, wanted) for each in found)


def test_chains_are_computed_in_one_loop_and_share_no_memory_needlessly():
    graph = bl.trace(lambda x: bl.exp(bl.sin(x) * 2.0 + 1.0), array(100))
    plan = make_plan(graph)
    assert len(plan.kernels) == 1 and plan.arena == 0
    assert all(
        plan.storage[k] is Storage.INLINE
        for k in plan.needed
        if k not in graph.outputs and not graph.nodes[k].is_leaf
    )
    assert graph.nodes[0].primitive is INPUT


def test_buffers_are_used_again():
    def long(x):
        for _ in range(20):
            x = bl.cumulative_sum(x, axis=0) / 2.0
        return x

    plan = make_plan(bl.trace(long, array(1000)))
    assert plan.arena <= 4 * 8064


@pytest.mark.parametrize("batch_size", [5, 16, None])
@pytest.mark.parametrize("dropout", [False, True])
def test_training_in_one_call_is_training_step_by_step(batch_size, dropout):
    layers = [bl.nn.Linear(6, 8), bl.nn.Tanh(), *([bl.nn.Dropout(0.3)] if dropout else [])]
    net = bl.nn.Sequential(*layers, bl.nn.Linear(8, 3), seed=0)
    X, y = array(32, 6, dtype="float32"), np.arange(32) % 3
    seen: list[int] = []
    runs = [
        bl.fit(net_of(net), (X, y), loss=bl.nn.cross_entropy, optimizer=bl.optim.Adam(1e-2),
               epochs=4, batch_size=batch_size, seed=1, executor="native", callbacks=callbacks)
        for callbacks in ((), (StepCounter(seen),))
    ]  # fmt: skip
    assert len(seen) == runs[0].steps  # the callback makes it go step by step
    for name, wanted in runs[1].parameters.items():
        np.testing.assert_array_equal(runs[0].parameters[name], wanted)
    np.testing.assert_allclose(runs[0].history["loss"], runs[1].history["loss"], rtol=1e-12)
    half = runs[0].steps // 2
    for name, wanted in runs[1].parameters_at(half).items():
        np.testing.assert_array_equal(runs[0].parameters_at(half)[name], wanted)


class StepCounter(bl.train.Callback):
    """Counts steps, which makes training stop after each of them."""

    def __init__(self, seen: list[int]) -> None:
        self.seen = seen

    def on_step_end(self, state: bl.train.RunState) -> None:
        self.seen.append(state.step)


def test_a_loss_that_overflows_stops_at_its_step():
    net = bl.nn.Sequential(bl.nn.Linear(1, 1, bias=False, dtype="float64", init=[[1.0]]))
    X, y = np.ones((40, 1)), np.zeros((40, 1))
    messages = []
    for executor in ("native", "reference"):
        copy = bl.nn.Sequential(bl.nn.Linear(1, 1, bias=False, dtype="float64", init=[[1.0]]))
        copy.load(net.state())
        with pytest.raises(bl.errors.TrainingError) as error:
            bl.fit(copy, (X, y), loss=bl.nn.mse, optimizer=bl.optim.SGD(10.0), epochs=50,
                   batch_size=4, seed=0, executor=executor)  # fmt: skip
        messages.append(str(error.value))
    assert messages[0] == messages[1]
