"""Live training: the same numbers as `bl.fit`, whatever comes in between, and every step again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

import backlight as bl
from backlight.errors import RunError, UsageError
from backlight.studio import tour
from backlight.studio.breakpoints import Breakpoint, dead_units, read_breakpoints
from backlight.studio.config import Configuration, SetUp, set_up
from backlight.studio.training import Start, Trainer
from backlight.studio.worker import Worker

SMALL = Configuration(data="moons", rows=50, layers=(4,), batch_size=16)


def start_of(made: SetUp) -> Start:
    config = made.config
    return Start(
        made.net, made.task, made.loss, made.optimizer, config.batch_size, config.seed,
        validation=config.validation,
    )  # fmt: skip


def trainer(config: Configuration = SMALL, executor: str = "reference") -> Trainer:
    return Trainer(start_of(set_up(config, {})), executor)


def fitted(config: Configuration, epochs: int, executor: str = "reference") -> bl.Run:
    made = set_up(config, {})
    task = made.task
    return bl.fit(
        made.net,
        (task.inputs(task.dataset.X), task.wanted()),
        loss=made.loss,
        optimizer=made.optimizer,
        epochs=epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        executor=executor,
        log_every=1,
    )


@contextmanager
def worker(of: Trainer) -> Iterator[Worker]:
    made = Worker(of, lambda status: None)
    try:
        yield made
    finally:
        made.close()


def wait_until_idle(made: Worker, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while made.running:
        assert time.monotonic() < end, "training did not pause"
        time.sleep(0.002)


@pytest.mark.parametrize("executor", ["reference", "native"])
@pytest.mark.parametrize("batch_size", [None, 16])  # 16 leaves a ragged last batch
def test_the_numbers_are_those_of_fit(executor: str, batch_size: int | None) -> None:
    config = Configuration(data="moons", rows=50, layers=(4,), batch_size=batch_size)
    mine = trainer(config, executor)
    mine.resume(None)
    target = mine.engine.plan.per_epoch * 12
    while mine.step < target:
        mine.advance(target - mine.step)
    run = fitted(config, 12, executor)
    assert run.steps == mine.step
    for name, each in run.parameters.items():
        assert np.array_equal(mine.state.parameters[name], each), name
    assert mine.history.between(0, mine.step)["loss"] == run.step_history["loss"]


def test_pausing_and_stepping_by_hand_change_nothing() -> None:
    steady, restless = trainer(), trainer()
    steady.resume(None)
    while steady.step < 40:
        steady.advance(40 - steady.step)
    with worker(restless) as made:
        made.take(3)
        made.go(17, None)
        wait_until_idle(made)
        made.take(1)
        made.go(40, None)
        wait_until_idle(made)
        assert made.trainer.step == 40
    for name, each in steady.state.parameters.items():
        assert np.array_equal(restless.state.parameters[name], each)


def test_a_step_recorded_later_is_the_step_of_the_run() -> None:
    mine, run = trainer(), fitted(SMALL, 10)
    mine.resume(None)
    while mine.step < 30:
        mine.advance(30 - mine.step)
    for step in (0, 7, 29):
        ours, theirs = mine.trace(step, None), run.replay(step)
        assert ours.about["rows"] == theirs.about["rows"]
        assert np.array_equal(ours.gradient("layers.0.weight"), theirs.gradient("layers.0.weight"))
        assert ours.update is not None
    with pytest.raises(RunError, match="no step 31"):
        mine.trace(31, None)
    with pytest.raises(RunError, match="50 training examples"):
        mine.trace(0, 50)
    assert mine.trace(0, 3).about["rows"] == [3]


def test_a_changed_learning_rate_holds_from_the_next_step_on_and_is_replayed() -> None:
    config = Configuration(data="moons", rows=50, layers=(4,), batch_size=None, optimizer="sgd")
    mine = trainer(config)
    mine.resume(5)
    while mine.step < 5:
        mine.advance(5 - mine.step)
    before = mine.state.parameters["layers.0.weight"]
    gradient = mine.trace(5, None).gradient("layers.0.weight")
    mine.set_learning_rate(0.5)
    mine.resume(6)
    mine.advance(1)
    # Gradient descent by hand: θ − η·g.
    expected = before.astype(np.float64) - 0.5 * gradient.astype(np.float64)
    assert np.allclose(mine.state.parameters["layers.0.weight"], expected, rtol=1e-5, atol=1e-6)
    assert np.array_equal(mine.state_before(6).parameters["layers.0.weight"],
                          mine.state.parameters["layers.0.weight"])  # fmt: skip
    assert np.array_equal(mine.state_before(5).parameters["layers.0.weight"], before)
    assert mine.learning_rate == pytest.approx(0.5)


@pytest.mark.parametrize("executor", ["reference", "native"])
def test_a_breakpoint_pauses_before_the_step_that_meets_it(executor: str) -> None:
    run = fitted(SMALL, 30, executor)
    losses = np.array(run.step_history["loss"])
    bound = float(np.sort(losses)[len(losses) // 3])
    expected = int(np.argmax(losses < bound))
    mine = trainer(SMALL, executor)
    mine.breakpoints = (Breakpoint("loss", below=bound),)
    with worker(mine) as made:
        made.go(None, None)
        wait_until_idle(made)
        assert mine.step == expected
        assert f"Paused before step {expected}" in str(mine.stopped)
        assert mine.trace(expected, None).values[mine.trace(expected, None).output] < bound
        made.go(expected + 1, None)  # going on does not meet it again at once
        wait_until_idle(made)
        assert mine.step == expected + 1


def test_a_breakpoint_on_a_step_and_on_the_gradients_norm() -> None:
    mine = trainer()
    mine.breakpoints = read_breakpoints([{"kind": "step", "at": 9}])
    with worker(mine) as made:
        made.go(None, None)
        wait_until_idle(made)
        assert mine.step == 9
    other = trainer()
    other.breakpoints = read_breakpoints([{"kind": "gradient_norm", "above": 0.0}])
    with worker(other) as made:
        made.go(None, None)
        wait_until_idle(made)
    assert other.step in (0, 1)


def test_a_loss_that_is_no_longer_finite_pauses_with_a_sentence() -> None:
    config = Configuration(
        data="sine", layers=(8,), activation="relu", optimizer="sgd", learning_rate=1e6,
        standardize=False,
    )  # fmt: skip
    mine = trainer(config)
    with worker(mine) as made:
        made.go(None, None)
        wait_until_idle(made)
        assert mine.stopped is not None and "not finite" in mine.stopped
        assert np.isfinite(mine.history.between(0, mine.step)["loss"]).all()
        assert made.frame is not None  # the page still has something true to show


def test_a_dead_unit_is_found_by_hand() -> None:
    X = bl.tensor([[1.0, 2.0], [3.0, 4.0]], name="X")
    weight = bl.param([[1.0, 1.0], [-1.0, -1.0]], name="weight")
    trace = bl.record(bl.sum(bl.relu(X @ weight.T)))
    ((_, units),) = dead_units(trace)
    assert units == [1]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("nan", "list"),
        ([{"kind": "moon"}], "one of"),
        ([{"kind": "loss"}], "above or below"),
        ([{"kind": "gradient_norm"}], "above"),
        ([{"kind": "step"}], "number of the step"),
        ([{"kind": "loss", "below": "x"}], "number"),
        ([3], "object"),
    ],
)
def test_breakpoints_that_make_no_sense_are_refused(given: object, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_breakpoints(given)


def test_a_job_after_the_training_was_closed_is_refused() -> None:
    with worker(trainer()) as made:
        made.take(1)
    made._thread.join(5)
    with pytest.raises(UsageError, match="closed"):
        made.take(1)


def test_speed_bounds_the_steps_per_second() -> None:
    with worker(trainer()) as made:
        begun = time.monotonic()
        made.go(None, 50.0)
        time.sleep(0.4)
        made.pause()
        seconds = time.monotonic() - begun
    assert made.trainer.step <= 50 * seconds + 5


def test_the_last_chapter_learns_what_it_promises() -> None:
    mine = Trainer(tour.accumulated_deltas(), "native")
    mine.resume(60_000)
    while mine.stopped is None:
        mine.advance(60_000)
    assert mine.history.last_metrics()["mean_absolute_error"] < 0.01
    frame = mine.frame(gradients=True)
    assert set(frame["weights"]) == {"layers.0.weight", "layers.2.weight"}
    assert all(each["gradient_norm"] is not None for each in frame["layers"])
