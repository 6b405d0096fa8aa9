"""Any step of a run can be had again, bit by bit, from a bounded number of snapshots."""

from __future__ import annotations

import numpy as np
import pytest
from tests.train.networks import assert_same, classes, examples, tiny

from backlight import nn, optim
from backlight.errors import RunError, UsageError
from backlight.train import fit
from backlight.train.engine import TrainingState
from backlight.train.snapshots import MOST_SNAPSHOTS, Scales, Snapshots


class Record:
    """Keeps copies of everything that a run does."""

    def __init__(self):
        self.parameters, self.losses = [], []

    def on_step_end(self, state):
        self.losses.append(state.loss)
        self.parameters.append({name: each.copy() for name, each in state.parameters.items()})


OPTIMIZERS = [
    optim.SGD(optim.Cosine(0.1, steps=40), momentum=0.9),
    optim.Adam(0.01, clip=optim.ByNorm(0.1)),
    optim.AdamW(0.01, weight_decay=0.1),
    optim.SGD(optim.ReduceOnPlateau(0.3, factor=0.5, patience=0)),
]


def rounding(executor, dtype):
    """How far what is recorded may be from what was run: the reference records what native ran."""
    return 0.0 if executor == "reference" else 32 * float(np.finfo(dtype).eps)


@pytest.mark.parametrize("executor", ["reference", "native"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda each: type(each).__name__)
def test_every_step_is_what_it_was(optimizer, dtype, executor):
    X, y = classes(22, k=3)
    net, kept = tiny(dtype, outputs=3, dropout=0.4), Record()
    start = {name: each.value.copy() for name, each in net.parameters().items()}
    run = fit(net, (X, y), loss=nn.cross_entropy, optimizer=optimizer, epochs=12, batch_size=5,
              callbacks=[kept], seed=3, executor=executor)  # fmt: skip
    assert run.steps == 60 and len(run.course.snapshots.states) <= MOST_SNAPSHOTS
    states = [start, *kept.parameters]
    for step in (59, 0, 31, 32, 7, 58, 1):
        assert_same(run.parameters_at(step), states[step])
        replayed = run.replay_loss(step)
        expected = pytest.approx(kept.losses[step], rel=rounding(executor, dtype), abs=0.0)
        assert replayed.loss.item() == expected
        assert (replayed.epoch, replayed.batch) == divmod(step, 5)
        assert len(replayed.rows) == (2 if step % 5 == 4 else 5)
        assert_same({k: t.value for k, t in replayed.parameters.items()}, states[step])
    assert_same(run.parameters_at(60), states[60])


@pytest.mark.parametrize("executor", ["reference", "native"])
def test_lbfgs_steps_are_what_they_were(executor):
    net, kept = tiny(), Record()
    run = fit(net, examples(8), loss=nn.mse, optimizer=optim.LBFGS(), epochs=40, batch_size=None,
              callbacks=[kept], executor=executor)  # fmt: skip
    for step in (39, 5, 21):
        assert_same(run.parameters_at(step), kept.parameters[step - 1])
        expected = pytest.approx(kept.losses[step], rel=rounding(executor, "float64"), abs=0.0)
        assert run.replay_loss(step).loss.item() == expected
    assert run.replay(5).update is None


def test_the_gradients_of_a_step_lead_to_its_update():
    X, y = examples(9)
    net = tiny()
    run = fit(net, (X, y), loss=nn.mse, optimizer=optim.SGD(0.1), epochs=3, batch_size=4, seed=1)
    trace = run.replay(4)
    before, after = run.parameters_at(4), run.parameters_at(5)
    for name in before:
        expected = before[name] - 0.1 * trace.gradient(name)
        np.testing.assert_allclose(after[name], expected, rtol=1e-13, atol=1e-16)
    assert trace.about["step"] == 4 and trace.about["epoch"] == 1
    assert len(set(trace.about["rows"])) == 4
    ends = [trace.update.values[k] for k in trace.update.graph.outputs]
    for name in after:
        assert any(
            each.shape == after[name].shape and np.allclose(each, after[name], rtol=1e-13)
            for each in ends
        )
    names = {node.name for node in trace.graph.nodes}
    assert {"layers.0.weight", "layers.2.bias", "X", "y", "loss"} <= names
    assert not any(name.startswith("trace") for name in names)


def test_the_names_in_a_users_network_and_loss_are_kept():
    class Net(nn.Module):
        def __init__(self):
            self.inner = tiny()

        def __call__(self, x):
            y_hat = self.inner(x) * 2.0
            return y_hat

    def my_loss(prediction, target):
        halved = nn.mse(prediction, target) / 2.0
        return halved

    run = fit(Net(), examples(9), loss=my_loss, epochs=1)
    names = {node.name for node in run.replay(0).graph.nodes}
    assert {"y_hat", "halved"} <= names and not names & {"loss", "run", "names"}


def test_one_example_of_a_step():
    X, y = examples(9)
    run = fit(tiny(), (X, y), loss=nn.mse, optimizer=optim.SGD(0.1), epochs=2, batch_size=4)
    replayed = run.replay_loss(3, example=6)
    weights = list(run.parameters_at(3).values())
    hidden = np.tanh(X[6] @ weights[0].T + weights[1])
    expected = np.mean((hidden @ weights[2].T + weights[3] - y[6]) ** 2)
    assert replayed.loss.item() == pytest.approx(expected, rel=1e-12)
    assert replayed.rows.tolist() == [6]
    assert run.replay(3, example=6).update is None


def test_sample_weights_are_part_of_a_step():
    X, y = examples(6)
    kept = Record()
    run = fit(tiny(), (X, y), loss=nn.mse, epochs=3, batch_size=4, callbacks=[kept],
              sample_weights=np.arange(1.0, 7.0))  # fmt: skip
    found = [run.replay_loss(step).loss.item() for step in range(6)]
    assert found == pytest.approx(kept.losses, rel=1e-14)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda run: run.replay_loss(4), "took 4 steps, numbered from 0"),
        (lambda run: run.replay_loss(-1), "no step -1"),
        (lambda run: run.parameters_at(5), "0 to 4, not before 5"),
        (lambda run: run.replay_loss(0, example=10), "no example 10"),
    ],
)
def test_steps_and_examples_that_there_are_not(call, words):
    run = fit(tiny(), examples(10), loss=nn.mse, epochs=1, batch_size=3)
    with pytest.raises(RunError, match=words):
        call(run)


def test_a_step_is_a_whole_number():
    run = fit(tiny(), examples(10), loss=nn.mse, epochs=1)
    with pytest.raises(UsageError, match="step must be a whole number"):
        run.replay_loss(0.5)


def test_data_that_was_changed_meanwhile_is_noticed():
    X, y = examples(10)
    run = fit(tiny(), (X, y), loss=nn.mse, epochs=1)
    X[4, 1] += 1.0
    with pytest.raises(RunError, match="data was changed"):
        run.replay_loss(0)
    with pytest.raises(RunError, match="data was changed"):
        run.parameters_at(1)


def test_training_the_network_further_does_not_disturb_a_run():
    net = tiny()
    run = fit(net, examples(10), loss=nn.mse, epochs=2)
    before, loss = run.parameters_at(1), run.replay_loss(1).loss.item()
    fit(net, examples(10, seed=5), loss=nn.mse, epochs=2)
    assert_same(run.parameters_at(1), before)
    assert run.replay_loss(1).loss.item() == loss


def state(step, size=4):
    return TrainingState(step, {"w": np.zeros(size)}, {})


def test_snapshots_stay_few_and_evenly_spread():
    kept = Snapshots()
    for step in range(10_001):
        kept.offer(state(step))
    *steps, before_last, last = [each.step for each in kept.states]
    assert (before_last, last) == (9_999, 10_000)
    assert steps[0] == 0 and len(steps) <= MOST_SNAPSHOTS
    assert len(set(np.diff(steps))) == 1 and 10_000 - steps[-1] <= np.diff(steps)[0]
    assert kept.before(9_998).step == steps[-1] and kept.before(0).step == 0
    assert kept.before(9_999).step == 9_999


def test_snapshots_of_a_large_network_are_fewer():
    kept = Snapshots()
    for step in range(50):
        kept.offer(state(step, size=2**23))  # 64 MiB of zeros, which take no memory
    assert len(kept.states) <= 4 + 2


def test_a_state_from_before_the_first_snapshot_is_missed():
    with pytest.raises(RunError, match="no state"):
        Snapshots([state(5)]).before(3)


def test_scales_hold_from_their_step_on():
    scales = Scales()
    scales.set(10, 0.5)
    scales.set(20, 0.5)
    scales.set(30, 0.25)
    assert scales.changes == ((0, 1.0), (10, 0.5), (30, 0.25))
    assert [scales.at(step) for step in (0, 9, 10, 29, 30, 99)] == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
