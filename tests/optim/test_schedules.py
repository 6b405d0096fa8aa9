from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backlight.errors import UsageError
from backlight.optim import (
    Constant,
    Cosine,
    Exponential,
    OneCycle,
    PlateauState,
    ReduceOnPlateau,
    Schedule,
    Step,
    WarmUp,
)
from backlight.tensor import tensor
from backlight.trace import rebuild, trace_function

FORMULAS: list[tuple[Schedule, Callable[[int], float]]] = [
    (Constant(0.3), lambda t: 0.3),
    (Step(0.3, every=7, factor=0.2), lambda t: 0.3 * 0.2 ** (t // 7)),
    (Exponential(0.3, 0.95), lambda t: 0.3 * 0.95**t),
    (Exponential(1e-3, 1.1), lambda t: 1e-3 * 1.1**t),
    (Cosine(0.3, 20), lambda t: 0.15 * (1 + math.cos(math.pi * min(t, 20) / 20))),
    (
        Cosine(0.3, 20, final=0.1),
        lambda t: 0.1 + 0.1 * (1 + math.cos(math.pi * min(t, 20) / 20)),
    ),
    (WarmUp(5, then=0.3), lambda t: 0.3 * min((t + 1) / 5, 1)),
    (
        WarmUp(5, then=Exponential(0.3, 0.9)),
        lambda t: 0.3 * (t + 1) / 5 if t < 5 else 0.3 * 0.9 ** (t - 5),
    ),
    (WarmUp(2, then=WarmUp(2, then=1.0)), lambda t: (0.25, 0.5, 0.5)[t] if t < 3 else 1.0),
    (
        # Up over steps 0 to 5 and down over steps 5 to 11.
        OneCycle(1.0, steps=12, rise=0.5, start=10.0, end=100.0, shape="linear"),
        lambda t: 0.1 + 0.9 * t / 5 if t < 5 else 1.0 - 0.999 * min((t - 5) / 6, 1),
    ),
    (OneCycle(1.0, steps=1), lambda t: 1.0 if t == 0 else 1.0 / 25e4),
    (ReduceOnPlateau(0.3), lambda t: 0.3),
]
SCHEDULES = [schedule for schedule, _ in FORMULAS]


@pytest.mark.parametrize(("schedule", "formula"), FORMULAS, ids=str)
def test_a_schedule_follows_its_formula(schedule: Schedule, formula: Any) -> None:
    for t in range(40):
        rate = schedule(tensor(t))
        assert (rate.shape, rate.dtype) == ((), np.float64)
        assert rate.item() == pytest.approx(formula(t), rel=1e-12, abs=1e-16)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_traced_is_eager(schedule: Schedule) -> None:
    traced = trace_function(schedule, np.int64(0))
    for t in range(40):
        nodes = rebuild(traced.graph, [tensor(t)])
        (output,) = traced.graph.outputs
        assert nodes[output].item() == schedule(t).item()


@pytest.mark.parametrize("shape", ["cosine", "linear"])
@pytest.mark.parametrize(("steps", "rise"), [(40, 0.3), (41, 0.25), (7, 0.5)])
def test_one_cycle_against_pytorch(steps: int, rise: float, shape: str) -> None:
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=0.5,
        total_steps=steps,
        pct_start=rise,
        anneal_strategy="cos" if shape == "cosine" else "linear",
        cycle_momentum=False,
    )
    ours = OneCycle(0.5, steps, rise=rise, shape=shape)
    for t in range(steps):
        assert ours(t).item() == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        if t < steps - 1:
            theirs.step()
    assert ours(steps + 5).item() == pytest.approx(0.5 / 25 / 1e4, rel=1e-12)


def test_cosine_against_pytorch() -> None:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=0.5)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30, eta_min=0.01)
    ours = Cosine(0.5, 30, final=0.01)
    for t in range(31):
        assert ours(t).item() == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        theirs.step()


def test_one_cycle_reaches_its_three_rates() -> None:
    cycle = OneCycle(0.5, steps=21, rise=0.5238095238095238, start=5.0, end=10.0)
    rates = [cycle(t).item() for t in range(21)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(0.5) == rates[10]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_reduce_on_plateau_against_pytorch(mode: str) -> None:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=0.1)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode=mode, factor=0.5, patience=2, threshold=0.01, min_lr=0.01, eps=0.0
    )
    ours = ReduceOnPlateau(
        0.1, factor=0.5, patience=2, threshold=0.01, minimum=0.01, higher_is_better=mode == "max"
    )
    state = ours.start()
    generator = np.random.default_rng(0)
    for k in range(60):
        metric = float(generator.uniform(0.9, 1.1) + (1.0 / (k + 1) if mode == "min" else 0.01 * k))
        theirs.step(metric)
        state, scale = ours.observe(state, metric)
        assert 0.1 * scale == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        assert state.best == theirs.best
    assert scale < 1.0


def test_reduce_on_plateau_by_hand() -> None:
    plateau = ReduceOnPlateau(0.1, factor=0.1, patience=0, minimum=0.002)
    state = plateau.start()
    assert state == PlateauState(None, 0, 1.0)
    scales = []
    for metric in (-1.0, -0.99995, math.nan, -2.0, math.inf):
        state, scale = plateau.observe(state, metric)
        scales.append(scale)
    # −0.99995 is worse than −1; so is NaN.  The minimum of 0.002 is a scale of 0.02.
    assert scales == pytest.approx([1.0, 0.1, 0.02, 0.02, 0.02])
    assert state.best == -2.0


def test_reduce_on_plateau_begins_with_bad_metrics() -> None:
    plateau = ReduceOnPlateau(0.1, patience=5)
    state = plateau.start()
    for metric in (math.nan, math.inf, 3.0, 2.0):
        state, scale = plateau.observe(state, metric)
    assert (state, scale) == (PlateauState(2.0, 0, 1.0), 1.0)
    lowest, _ = plateau.observe(state, -math.inf)
    assert plateau.observe(lowest, 1.0)[0].waited == 1


def test_observe_is_pure() -> None:
    plateau = ReduceOnPlateau(0.1, patience=0)
    state, _ = plateau.observe(plateau.start(), 1.0)
    assert plateau.observe(state, 1.0) == plateau.observe(state, 1.0)
    assert state == PlateauState(1.0, 0, 1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(0.0), "Constant: rate must be a finite number above 0, not 0.0"),
        (lambda: Step(0.1, every=0), "Step: every must be an integer of at least 1, not 0"),
        (lambda: Step(0.1, every=1.5), "Step: every must be an integer of at least 1, not 1.5"),
        (lambda: Exponential(0.1, math.nan), "Exponential: factor must be a finite number above 0"),
        (lambda: Cosine(0.1, 10, final=-1.0), "Cosine: final must be .* at least 0, not -1.0"),
        (lambda: WarmUp(3, then=0.0), "WarmUp: then must be .* above 0 or a schedule, not 0.0"),
        (lambda: OneCycle(0.1, 10, rise=1.0), "OneCycle: rise must be .* below 1, not 1.0"),
        (lambda: OneCycle(0.1, 10, shape="x"), "shape must be 'cosine' or 'linear', not 'x'"),
        (lambda: ReduceOnPlateau(0.1, factor=1.0), "factor must be .* above 0 and below 1"),
        (lambda: ReduceOnPlateau(0.1, minimum=0.2), "minimum must be at most the rate 0.1"),
        (
            lambda: ReduceOnPlateau(0.1, higher_is_better=1),
            "higher_is_better must be True or False, not 1",
        ),
        (lambda: Constant(0.1)(0.5), r"A step is one integer .*, not float64\[\]"),
        (lambda: Constant(0.1)(tensor([1, 2])), r"A step is one integer .*, not int64\[2\]"),
    ],
)
def test_mistakes_are_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()
