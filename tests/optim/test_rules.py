from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import backlight as bl
from backlight import nn
from backlight.errors import ShapeError, UsageError
from backlight.graph.check import check
from backlight.optim import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    ByNorm,
    ByValue,
    Exponential,
    Optimizer,
    RMSprop,
)
from backlight.tensor import tensor
from backlight.trace import rebuild, trace_function

STEPS = 20
SHAPES = {"layers.0.weight": (3, 2), "layers.0.bias": (3,), "scale": ()}
Arrays = dict[str, np.ndarray]


def parameters(dtype: Any = np.float64) -> Arrays:
    generator = np.random.default_rng(0)
    return {name: np.array(generator.normal(size=s), dtype) for name, s in SHAPES.items()}


def gradients(dtype: Any = np.float64) -> list[Arrays]:
    """Gradients of very different sizes, with exact zeros among them."""
    generator = np.random.default_rng(1)
    made = []
    for step in range(STEPS):
        sizes = 10.0 ** generator.integers(-3, 2, size=len(SHAPES))
        made.append(
            {
                name: np.array(size * generator.normal(size=shape), dtype)
                for size, (name, shape) in zip(sizes, SHAPES.items(), strict=True)
            }
        )
        if step % 3 == 0:
            made[-1]["layers.0.bias"][1] = 0.0
    return made


def tensors(arrays: Any) -> Any:
    if isinstance(arrays, dict):
        return {name: tensors(each) for name, each in arrays.items()}
    return tensor(arrays)


def arrays_of(nested: Any) -> Any:
    if isinstance(nested, dict):
        return {name: arrays_of(each) for name, each in nested.items()}
    return nested.value


def run(optimizer: Optimizer, dtype: Any = np.float64) -> Iterator[Arrays]:
    """Yield the parameters after each step."""
    now: Any = parameters(dtype)
    state: Any = optimizer.initial_state(now)
    for step, gradient in enumerate(gradients(dtype)):
        new, new_state = optimizer.update(
            tensors(now), tensors(gradient), tensors(state), step=tensor(step)
        )
        now, state = arrays_of(new), arrays_of(new_state)
        yield now


OPTIMIZERS = [
    SGD(0.1),
    SGD(0.1, momentum=0.9),
    SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    SGD(Exponential(0.1, 0.9)),
    Adam(0.01),
    Adam(0.01, 0.8, 0.95, epsilon=1e-3, weight_decay=0.1),
    AdamW(0.01, weight_decay=0.1),
    AdamW(0.01, weight_decay=0.0),
    RMSprop(0.01),
    RMSprop(0.01, 0.95, 1e-6, momentum=0.9, weight_decay=0.1),
    RMSprop(0.01, centered=True),
    RMSprop(0.01, centered=True, momentum=0.5),
    Adagrad(0.1),
    Adagrad(0.1, initial=0.5, weight_decay=0.1),
    Adadelta(),
    Adadelta(0.5, rho=0.8, epsilon=1e-4, weight_decay=0.1),
    SGD(0.1, clip=ByValue(0.5)),
    SGD(0.1, momentum=0.9, clip=ByNorm(0.5)),
    Adam(0.01, clip=ByNorm(0.5), weight_decay=0.01),
]


# ---- against the papers, transcribed into NumPy --------------------------------------------------


def sgd(p: Any, momentum: float = 0.0, nesterov: bool = False) -> Callable[..., Any]:
    v = np.zeros_like(p)

    def change(p: Any, g: Any, rate: float, t: int) -> Any:
        nonlocal v
        v = momentum * v + g
        return -rate * (g + momentum * v if nesterov else v)

    return change


def adam(p: Any, b1: float, b2: float, eps: float, decay: float = 0.0) -> Callable[..., Any]:
    m, v = np.zeros_like(p), np.zeros_like(p)

    def change(p: Any, g: Any, rate: float, t: int) -> Any:
        nonlocal m, v
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        unbiased_m, unbiased_v = m / (1 - b1**t), v / (1 - b2**t)
        return -rate * (unbiased_m / (np.sqrt(unbiased_v) + eps) + decay * p)

    return change


def rmsprop(
    p: Any, rho: float, eps: float, momentum: float = 0.0, centered: bool = False
) -> Callable[..., Any]:
    v, m, u = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)

    def change(p: Any, g: Any, rate: float, t: int) -> Any:
        nonlocal v, m, u
        v = rho * v + (1 - rho) * g**2
        m = rho * m + (1 - rho) * g
        variance = np.maximum(v - m**2, 0) if centered else v
        u = momentum * u + g / (np.sqrt(variance) + eps)
        return -rate * u

    return change


def adagrad(p: Any, initial: float, eps: float) -> Callable[..., Any]:
    s = np.full_like(p, initial)

    def change(p: Any, g: Any, rate: float, t: int) -> Any:
        nonlocal s
        s = s + g**2
        return -rate * g / (np.sqrt(s) + eps)

    return change


def adadelta(p: Any, rho: float, eps: float) -> Callable[..., Any]:
    v, u = np.zeros_like(p), np.zeros_like(p)

    def change(p: Any, g: Any, rate: float, t: int) -> Any:
        nonlocal v, u
        v = rho * v + (1 - rho) * g**2
        delta = g * np.sqrt(u + eps) / np.sqrt(v + eps)
        u = rho * u + (1 - rho) * delta**2
        return -rate * delta

    return change


PAPERS: list[tuple[Optimizer, Callable[[Any], Any], float, float]] = [
    (SGD(0.1), lambda p: sgd(p), 0.1, 0.0),
    (SGD(0.1, momentum=0.9), lambda p: sgd(p, 0.9), 0.1, 0.0),
    (SGD(0.1, 0.9, True, weight_decay=0.2), lambda p: sgd(p, 0.9, True), 0.1, 0.2),
    (Adam(0.01), lambda p: adam(p, 0.9, 0.999, 1e-8), 0.01, 0.0),
    (Adam(0.01, 0.8, 0.9, 0.1, weight_decay=0.2), lambda p: adam(p, 0.8, 0.9, 0.1), 0.01, 0.2),
    (AdamW(0.01, weight_decay=0.2), lambda p: adam(p, 0.9, 0.999, 1e-8, 0.2), 0.01, 0.0),
    (RMSprop(0.01, 0.8, 0.1), lambda p: rmsprop(p, 0.8, 0.1), 0.01, 0.0),
    (
        RMSprop(0.01, 0.8, 0.1, 0.5, True, weight_decay=0.2),
        lambda p: rmsprop(p, 0.8, 0.1, 0.5, True),
        0.01,
        0.2,
    ),
    (Adagrad(0.1, 0.5, 0.01), lambda p: adagrad(p, 0.5, 0.01), 0.1, 0.0),
    (Adadelta(0.5, 0.8, 0.01), lambda p: adadelta(p, 0.8, 0.01), 0.5, 0.0),
]


@pytest.mark.parametrize(("optimizer", "rule", "rate", "decay"), PAPERS, ids=str)
def test_a_rule_is_the_published_one(
    optimizer: Optimizer, rule: Callable[[Any], Any], rate: float, decay: float
) -> None:
    expected = parameters()
    rules = {name: rule(p) for name, p in expected.items()}
    given = gradients()
    for t, found in enumerate(run(optimizer), start=1):
        for name, p in expected.items():
            g = given[t - 1][name] + decay * p
            expected[name] = p + rules[name](p, g, rate, t)
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-11, atol=1e-14)


# ---- against PyTorch -----------------------------------------------------------------------------

TORCH: list[tuple[Optimizer, str, dict[str, Any]]] = [
    (SGD(0.1), "SGD", {"lr": 0.1}),
    (SGD(0.1, momentum=0.9), "SGD", {"lr": 0.1, "momentum": 0.9}),
    (
        SGD(0.1, 0.9, True, weight_decay=0.01),
        "SGD",
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    ),
    (Adam(0.01), "Adam", {"lr": 0.01}),
    (
        Adam(0.01, 0.8, 0.95, 1e-3, weight_decay=0.1),
        "Adam",
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1},
    ),
    (AdamW(0.01, weight_decay=0.1), "AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    (RMSprop(0.01), "RMSprop", {"lr": 0.01, "alpha": 0.9}),
    (
        RMSprop(0.01, 0.95, 1e-6, 0.9, weight_decay=0.1),
        "RMSprop",
        {"lr": 0.01, "alpha": 0.95, "eps": 1e-6, "momentum": 0.9, "weight_decay": 0.1},
    ),
    # A large ε: where the variance is lost to rounding, the two differ by what is left of it.
    (
        RMSprop(0.01, epsilon=1e-3, centered=True),
        "RMSprop",
        {"lr": 0.01, "alpha": 0.9, "eps": 1e-3, "centered": True},
    ),
    (Adagrad(0.1), "Adagrad", {"lr": 0.1}),
    (
        Adagrad(0.1, 0.5, weight_decay=0.1),
        "Adagrad",
        {"lr": 0.1, "initial_accumulator_value": 0.5, "weight_decay": 0.1},
    ),
    (Adadelta(), "Adadelta", {"lr": 1.0}),
    (
        Adadelta(0.5, 0.8, 1e-4, weight_decay=0.1),
        "Adadelta",
        {"lr": 0.5, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.1},
    ),
]


@pytest.mark.parametrize(("optimizer", "name", "options"), TORCH, ids=str)
def test_a_rule_gives_what_pytorch_gives(
    optimizer: Optimizer, name: str, options: dict[str, Any]
) -> None:
    torch = pytest.importorskip("torch")
    theirs = {key: torch.nn.Parameter(torch.tensor(value)) for key, value in parameters().items()}
    other = getattr(torch.optim, name)(list(theirs.values()), foreach=False, **options)
    given = gradients()
    for step, found in enumerate(run(optimizer)):
        for key, parameter in theirs.items():
            parameter.grad = torch.tensor(given[step][key])
        other.step()
        for key, parameter in theirs.items():
            expected = parameter.detach().numpy()
            np.testing.assert_allclose(found[key], expected, rtol=1e-10, atol=1e-13)


# ---- properties of all ---------------------------------------------------------------------------


def traced_update(optimizer: Optimizer, dtype: Any = np.float64) -> Any:
    start = parameters(dtype)

    def update(parameters: Any, gradients: Any, state: Any, step: Any) -> Any:
        return optimizer.update(parameters, gradients, state, step=step)

    example = (start, gradients(dtype)[0], optimizer.initial_state(start), np.int64(0))
    return trace_function(update, *example)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_traced_is_eager(optimizer: Optimizer) -> None:
    traced = traced_update(optimizer)
    check(traced.graph)
    now: Any = parameters()
    state: Any = optimizer.initial_state(now)
    for step, (gradient, expected) in enumerate(zip(gradients(), run(optimizer), strict=True)):
        # The leaves of a traced function are in the order of sorted names.
        values = [
            *(now[name] for name in sorted(now)),
            *(gradient[name] for name in sorted(gradient)),
            *(state[slot][name] for slot in sorted(state) for name in sorted(state[slot])),
            np.int64(step),
        ]
        made = rebuild(traced.graph, [tensor(each) for each in values])
        now, state = arrays_of(
            dict(
                zip(
                    ("p", "s"),
                    traced.result([made[k] for k in traced.graph.outputs]),
                    strict=True,
                )
            )
        ).values()
        for name in SHAPES:
            np.testing.assert_array_equal(now[name], expected[name])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_parameters_and_state_keep_their_dtype(optimizer: Optimizer, dtype: Any) -> None:
    start = parameters(dtype)
    state = optimizer.initial_state(start)
    new, new_state = optimizer.update(
        tensors(start), tensors(gradients(dtype)[0]), tensors(state), step=tensor(0), scale=0.5
    )
    assert {each.dtype for each in new.values()} == {np.dtype(dtype)}
    assert list(new) == list(start)
    assert set(new_state) == set(state) == set(optimizer.slots)
    for slot, each in new_state.items():
        for name, made in each.items():
            assert (made.dtype, made.shape) == (np.dtype(dtype), SHAPES[name]), slot


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_float32_follows_float64(optimizer: Optimizer) -> None:
    pairs = zip(run(optimizer), run(optimizer, np.float32), strict=True)
    for expected, found in list(pairs)[:3]:
        for name in SHAPES:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5)


def test_mixed_dtypes_each_keep_their_own() -> None:
    start = {"a": np.ones(2, np.float32), "b": np.ones(2)}
    for optimizer in (AdamW(), SGD(clip=ByNorm(0.1))):
        state = optimizer.initial_state(start)
        new, _ = optimizer.update(tensors(start), tensors(start), tensors(state), step=tensor(3))
        assert (new["a"].dtype, new["b"].dtype) == (np.float32, np.float64)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_zero_gradients_give_finite_parameters(optimizer: Optimizer) -> None:
    for dtype in (np.float32, np.float64):
        start = parameters(dtype)
        zeros = {name: np.zeros_like(each) for name, each in start.items()}
        state = optimizer.initial_state(start)
        new, new_state = optimizer.update(
            tensors(start), tensors(zeros), tensors(state), step=tensor(0)
        )
        for made in (*new.values(), *(each for s in new_state.values() for each in s.values())):
            assert np.all(np.isfinite(made.value))
        if not optimizer.weight_decay:
            for name in start:
                np.testing.assert_array_equal(new[name].value, start[name])


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_what_is_given_is_not_changed(optimizer: Optimizer) -> None:
    given = (parameters(), gradients()[0], optimizer.initial_state(parameters()))
    optimizer.update(*(tensors(each) for each in given), step=tensor(0))
    again = (parameters(), gradients()[0], optimizer.initial_state(parameters()))
    np.testing.assert_equal(given, again)


def test_the_scale_multiplies_the_learning_rate() -> None:
    w, g = {"w": tensor(1.0)}, {"w": tensor(2.0)}
    for scale in (0.5, tensor(0.5)):
        new, _ = SGD(0.5).update(w, g, {}, step=tensor(0), scale=scale)
        assert new["w"].item() == 0.5


def test_a_schedule_sees_the_step() -> None:
    w, g = {"w": tensor(0.0)}, {"w": tensor(-1.0)}
    for step in range(4):
        new, _ = SGD(Exponential(1.0, 0.5)).update(w, g, {}, step=tensor(step))
        assert new["w"].item() == 0.5**step
    assert SGD(lambda step: tensor(0.25)).update(w, g, {}, step=tensor(0))[0]["w"].item() == 0.25


def test_the_intermediates_have_their_textbook_names() -> None:
    optimizer = AdamW(1e-2, clip=ByNorm(1.0))
    graph = bl.trace(
        lambda w, x, m, v, step: optimizer.update(
            {"w": w}, {"w": x * 2.0}, {"m": {"w": m}, "v": {"w": v}}, step=step
        ),
        *(1.0, 1.0, 0.0, 0.0, np.int64(0)),
    )
    named = {node.name for node in graph.nodes}
    assert named >= {"g_clipped", "g_norm", "m_hat", "v_hat", "change", "correction1", "t"}
    coupled = bl.trace(
        lambda w, x, step: SGD(Exponential(0.1, 0.9), weight_decay=0.1).update(
            {"layer.w": w}, {"layer.w": x * 2.0}, {}, step=step
        ),
        *(1.0, 1.0, np.int64(0)),
    )
    by_name = {node.name: node for node in coupled.nodes}
    assert {"g", "g_decayed", "change", "new", "learning_rate"} <= set(by_name)
    scope = by_name["change"].scope
    assert scope is not None and (scope.name, scope.kind) == ("layer.w", "module")


def test_a_gradient_that_has_a_name_keeps_it() -> None:
    mine = tensor(1.0) * 2.0
    mine.name = "mine"
    leaf = tensor(1.0)
    SGD().update({"a": leaf, "b": leaf}, {"a": mine, "b": leaf}, {}, step=tensor(0))
    assert (mine.name, leaf.name) == ("mine", "leaf")


# ---- a loop written by hand ----------------------------------------------------------------------


def test_step_reads_gradients_and_assigns() -> None:
    optimizer = Adam(0.1)
    w, b = bl.param([1.0, 2.0]), bl.param(3.0)
    expected = {"w": w.value.copy(), "b": b.value.copy()}
    rules = {name: adam(each, 0.9, 0.999, 1e-8) for name, each in expected.items()}
    state = None
    for t in range(1, 6):
        loss = (w * w) @ bl.tensor([1.0, 1.0]) * b
        loss.backward()
        for name, gradient in (("w", w.grad), ("b", b.grad)):
            expected[name] = expected[name] + rules[name](expected[name], gradient, 0.1, t)
        state = optimizer.step({"w": w, "b": b}, state)
        assert state.step == t
        assert w.grad is None
        np.testing.assert_allclose(w.value, expected["w"], rtol=1e-12)
        np.testing.assert_allclose(b.value, expected["b"], rtol=1e-12)


def test_step_names_parameters_without_gradient_and_changes_nothing() -> None:
    w, b, c = bl.param(1.0), bl.param(2.0), bl.param(3.0)
    loss = w * 2.0
    loss.backward()
    with pytest.raises(UsageError, match=r"There is no gradient for b, c: call backward\(\)"):
        SGD().step({"w": w, "b": b, "c": c})
    assert (w.item(), b.item(), w.grad) == (1.0, 2.0, 2.0)


def test_step_takes_a_network() -> None:
    net = nn.Sequential(nn.Linear(2, 1), seed=0)
    before = {name: each.value.copy() for name, each in nn.parameters(net).items()}
    x = bl.tensor(np.ones((1, 2), np.float32))
    (net(x) @ bl.tensor(np.ones((1, 1), np.float32)))[0, 0].backward()
    SGD(0.5).step(net)
    for name, each in nn.parameters(net).items():
        np.testing.assert_allclose(each.value, before[name] - 0.5, rtol=1e-6)


# ---- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(0.0), "SGD: learning_rate must be a finite number above 0 or a schedule"),
        (lambda: SGD(float("nan")), "learning_rate must be a finite number above 0"),
        (lambda: SGD(float("inf")), "learning_rate must be a finite number above 0"),
        (lambda: SGD("0.1"), "or a schedule, not '0.1'"),
        (lambda: SGD(momentum=1.0), "momentum must be a finite number of at least 0 and below 1"),
        (lambda: SGD(nesterov=True), "nesterov=True needs a momentum above 0"),
        (lambda: SGD(weight_decay=-1.0), "weight_decay must be a finite number of at least 0"),
        (lambda: SGD(clip=1.0), r"clip must be ByValue\(limit\), ByNorm\(limit\) or None, not 1.0"),
        (lambda: Adam(beta1=-0.1), "Adam: beta1 must be a finite number of at least 0 and below 1"),
        (lambda: Adam(beta2=1.0), "Adam: beta2 must be a finite number of at least 0 and below 1"),
        (lambda: Adam(epsilon=0.0), "Adam: epsilon must be a finite number above 0, not 0.0"),
        (lambda: AdamW(weight_decay=float("inf")), "AdamW: weight_decay must be"),
        (lambda: RMSprop(rho=True), "RMSprop: rho must be a finite number .*, not True"),
        (lambda: Adagrad(initial=-1.0), "Adagrad: initial must be a finite number of at least 0"),
        (lambda: Adadelta(rho=2), "Adadelta: rho must be .* below 1, not 2"),
    ],
)
def test_options_out_of_range_are_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


def test_update_names_what_does_not_fit() -> None:
    w = {"w": tensor([1.0, 2.0])}
    with pytest.raises(UsageError, match="SGD.update: there is no gradient for w"):
        SGD().update(w, {}, {}, step=tensor(0))
    with pytest.raises(ShapeError, match=r"w has shape \(2,\) and its gradient \(\)"):
        SGD().update(w, {"w": tensor(1.0)}, {}, step=tensor(0))
    with pytest.raises(UsageError, match="the state has no 'm' for w; begin with initial_state"):
        Adam().update(w, w, {}, step=tensor(0))
    with pytest.raises(UsageError, match=r"one integer that counts from 0, not float64\[\]"):
        SGD().update(w, w, {}, step=tensor(0.0))
    with pytest.raises(UsageError, match=r"must give a floating-point scalar; .* gave int64\[\]"):
        SGD(lambda step: step).update(w, w, {}, step=tensor(0))
