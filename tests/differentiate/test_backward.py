"""The eager backward pass: the same bits as the recorded one, however often a graph comes back."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import backlight as bl
from backlight.differentiate import replay
from backlight.differentiate.reverse import sweep, unit_seed
from backlight.errors import BacklightWarning, GradientError, ShapeError
from backlight.graph.primitive import REGISTRY
from backlight.tensor import quiet

UNARY: tuple[Callable[[Any], Any], ...] = (
    operator.neg, bl.nn.sigmoid, bl.nn.relu, bl.tanh, bl.sin, abs,
    lambda x: x**2, lambda x: x**3.0, lambda x: bl.exp(-(x**2)), lambda x: bl.log(1.0 + x * x),
    lambda x: bl.where(x > 0.1, x, 0.5 * x), lambda x: bl.sum(x) * x, lambda x: x / (2.0 + x**2),
    lambda x: bl.max(x) + x, lambda x: bl.reshape(x, (-1,)) if x.ndim > 1 else x,
    lambda x: x.T if x.ndim == 2 else x, lambda x: x[:1] if x.ndim else x,
)  # fmt: skip
BINARY = (operator.add, operator.sub, operator.mul, bl.maximum, bl.logaddexp)
SHAPES = ((), (3,), (1,), (2, 3), (2, 1))


@pytest.fixture(autouse=True)
def forget_own_operations() -> Iterator[None]:
    """Take what a test has registered out again: other tests look at all primitives."""
    yield
    for name in [each for each in REGISTRY.view() if each.startswith("own_")]:
        REGISTRY.remove(name)


def recorded(loss: Any, leaves: list[Any]) -> list[Any]:
    """The gradients of the pass that records every derivative as a node."""
    with quiet():
        done = sweep([loss], [unit_seed(loss, "test")])
    found = [done.gradient(each) for each in leaves]
    return [None if each is None else each.value for each in found]


def check_same(loss: Any, leaves: list[Any]) -> None:
    wanted = recorded(loss, leaves)
    loss.backward()
    for each, gradient in zip(leaves, wanted, strict=True):
        if gradient is None:
            assert each.grad is None
            continue
        assert isinstance(each.grad, np.ndarray) and not each.grad.flags.writeable
        assert (each.grad.shape, each.grad.dtype) == (gradient.shape, gradient.dtype)
        assert each.grad.tobytes() == gradient.tobytes()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_bits_are_those_of_the_recorded_pass(data: st.DataObject) -> None:
    plan = data.draw(st.lists(
        st.tuples(st.sampled_from((*UNARY, *BINARY)), st.integers(0, 99), st.integers(0, 99)),
        min_size=1, max_size=8,
    ))  # fmt: skip
    shapes = data.draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))
    dtype = data.draw(st.sampled_from(("float32", "float64")))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    for _ in range(3):  # met for the first time, put together, and replayed
        leaves = [bl.param(rng.normal(size=shape).astype(dtype)) for shape in shapes]
        made = list(leaves)
        for function, i, k in plan:
            a, b = made[i % len(made)], made[k % len(made)]
            try:
                made.append(function(a) if function in UNARY else function(a, b))
            except ShapeError:
                continue
        check_same(bl.sum(made[-1]), [*leaves, *made])


@pytest.mark.parametrize("batched", [False, True])
def test_a_network_has_the_same_bits_every_time(batched: bool) -> None:
    rng = np.random.default_rng(1)
    for _ in range(4):
        w, v = (bl.param(rng.normal(size=shape)) for shape in ((3, 4), (2, 3)))
        b = bl.param(rng.normal(size=3))
        x = bl.tensor(rng.normal(size=(5, 4) if batched else 4))
        hidden = bl.nn.sigmoid(x @ w.T + b) if batched else bl.nn.sigmoid(w @ x + b)
        out = hidden @ v.T if batched else v @ hidden
        check_same(bl.mean((out - 1.0) ** 2), [w, v, b, hidden, out])


def test_exponents_are_not_mistaken_for_one_another() -> None:
    x = bl.param([0.0, -0.5, 2.0])
    for exponent in (2, 3, 0, 1, 2.0, -0.0, 4, 3, 2, 0):
        for _ in range(3):
            check_same(bl.sum(x**exponent * 1.0), [x])
    w = bl.param(3.0)
    for exponent in (2.0, 0.5, 2.0, 0.5, 2.0, 0.5):
        (w**exponent).backward()
        assert w.grad == pytest.approx(exponent * 3.0 ** (exponent - 1))


def test_a_graph_that_comes_back_is_replayed_with_its_new_values() -> None:
    w = bl.param(1.0)
    for value in (1.0, 2.0, 3.0, 4.0):
        w.assign(value)
        loss = bl.sin(w) * w
        loss.backward()
        assert w.grad == pytest.approx(np.cos(value) * value + np.sin(value))
    form = replay.form_of([w, loss.inputs[0], loss])
    assert form is not None and replay.replay_of(form) is not None


def test_graphs_beyond_the_limits_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "LARGEST", 4)
    w = bl.param(2.0)
    for _ in range(3):
        check_same(w * w * w * w, [w])
    monkeypatch.setattr(replay, "LIMIT", 1)
    monkeypatch.setattr(replay, "LARGEST", 100)
    for _ in range(3):
        check_same(w * w * 5.0, [w])
        check_same(w * w + 5.0 * w, [w])


def test_what_where_did_not_select_stays_zero() -> None:
    for _ in range(3):
        x = bl.param([0.0, 4.0])
        with quiet():
            safe = bl.where(x > 0.0, bl.sqrt(x), 0.0)
        check_same(bl.sum(safe), [x])
        assert x.grad is not None and x.grad.tolist() == [0.0, 0.25]


def test_rules_of_ones_own_see_the_values_every_time() -> None:
    slope = [1.0]
    seen: list[float] = []

    def partial(y: Any, x: Any) -> Any:
        seen.append(float(x))
        return slope[0] if float(x) > 0 else -slope[0]

    own = bl.primitive("own_branching", lambda xp, x: abs(x), partials=[partial])
    said_pure = bl.primitive(
        "own_branching_pure", lambda xp, x: abs(x), partials=[partial], pure=True
    )
    for function in (own, said_pure):
        seen.clear()
        for value, wanted in ((2.0, 1.0), (-3.0, -1.0), (4.0, 7.0), (5.0, 7.0)):
            slope[0] = abs(wanted)
            x = bl.param(value)
            function(x).backward()
            assert x.grad == wanted
        assert seen == [2.0, -3.0, 4.0, 5.0]


def test_attributes_that_do_not_hash_are_no_obstacle() -> None:
    own = bl.primitive(
        "own_scaled",
        lambda xp, x, factors: x * sum(factors),
        vjp=lambda upstream, y, x, factors: (upstream * sum(factors),),
        inputs=1,
        pure=True,
    )
    for _ in range(3):
        x = bl.param([1.0, 2.0])
        bl.sum(own(x, factors=[1.0, 2.0])).backward()
        assert x.grad is not None and x.grad.tolist() == [3.0, 3.0]


def test_not_computed_is_told_from_zero() -> None:
    for _ in range(3):
        x, y = bl.param(2.0), bl.param(3.0)
        cut = (x * 2.0).detach()
        flat = bl.floor(y)
        loss = cut * 1.0 + flat + y * 0.0
        loss.backward()
        assert x.grad is None and cut.grad is None
        assert y.grad == 0.0 and flat.grad == 1.0


def test_gradients_are_kept_replaced_and_added_up() -> None:
    x = bl.param([1.0, 2.0])
    for times in (1, 2, 3):
        bl.sum(x * x).backward(accumulate=True)
        assert x.grad is not None and x.grad.tolist() == [2.0 * times, 4.0 * times]
    own = np.array([5.0, 6.0])
    x.grad = own
    assert x.grad is own
    bl.sum(x * x).backward()
    assert x.grad.tolist() == [2.0, 4.0] and x.grad is x.grad
    x.grad = None
    assert x.grad is None
    bl.sum(x * 3.0).backward()
    x.assign([0.0, 0.0])
    assert x.grad is None


def test_a_seed_scales_and_must_fit() -> None:
    for _ in range(3):
        x = bl.param([1.0, 2.0])
        y = x * x
        y.backward([1.0, 10.0])
        assert x.grad is not None and x.grad.tolist() == [2.0, 40.0]
        with pytest.raises(ShapeError, match="must match"):
            y.backward([1.0])
        with pytest.raises(GradientError, match="needs a scalar"):
            y.backward()


def test_a_gradient_that_is_not_finite_is_said_every_time_with_its_name() -> None:
    for _ in range(3):
        w = bl.param([0.0, 1.0], name="w")
        loss = bl.sum(w**0.5)
        with pytest.warns(BacklightWarning, match=r"gradient of w .* is not finite") as caught:
            loss.backward()
        assert caught[0].filename == __file__
    large = bl.param(np.float32(1.0), name="large")
    (large * 1e30).backward()  # its square overflows, and it is finite all the same
    assert large.grad == np.float32(1e30)
