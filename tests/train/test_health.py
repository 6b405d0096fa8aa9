"""Check-ups during training, what they say, and the examples that are hardest."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
from rich.console import Console
from tests.train.networks import classes, examples, tiny

import backlight as bl
from backlight import nn, optim
from backlight.errors import UsageError
from backlight.train import fit, load
from backlight.train import progress as progress_module
from backlight.train.health import findings


def train(health=1, **options):
    chosen = {"loss": nn.cross_entropy, "epochs": 4, "batch_size": 5} | options
    net = chosen.pop("net", None) or tiny("float64", outputs=3)
    return fit(net, classes(22, k=3), health=health, **chosen)


@pytest.mark.parametrize("executor", ["reference", "native"])
def test_norms_are_those_of_the_numbers(executor):
    run = train(executor=executor, optimizer=optim.SGD(0.1), epochs=3)
    X, y = classes(22, k=3)
    for k, step in enumerate(run.health["step"]):
        before = run.parameters_at(step)
        for name, value in before.items():
            assert run.health[f"parameter_norm/{name}"][k] == pytest.approx(np.linalg.norm(value))
        net = tiny("float64", outputs=3)
        nn.load(net, before)
        loss = nn.cross_entropy(net(X), bl.tensor(y))
        loss.backward()
        for name, each in nn.parameters(net).items():
            expected = np.linalg.norm(each.grad)
            assert run.health[f"gradient_norm/{name}"][k] == pytest.approx(expected)
        # Of some step of the optimizer at that place: the last before it, or the next.
        near = [
            np.linalg.norm(run.parameters_at(a)["layers.0.weight"]
                           - run.parameters_at(a - 1)["layers.0.weight"])
            for a in (step, step + 1) if 0 < a <= run.steps
        ]  # fmt: skip
        if step < run.steps:
            found = run.health["update_norm/layers.0.weight"][k]
            assert np.min(np.abs(np.array(near) - found)) < 1e-12
    assert run.health["step"] == [5, 10, 15]


def test_check_ups_change_nothing():
    with_health, without = train(1, epochs=6), train(False, epochs=6)
    for name, value in with_health.parameters.items():
        np.testing.assert_array_equal(value, without.parameters[name])
    assert with_health.history["loss"] == without.history["loss"]
    assert without.health == {}


def dying():
    """A network whose units of relu are all dead, but for one."""
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3), seed=0)
    weights = nn.state(net)
    weights["layers.0.bias"] = np.array([100.0, -100.0, -100.0, -100.0], np.float32)
    nn.load(net, weights)
    return net


def test_dead_units_are_counted_and_said(capsys):
    run = train(net=dying(), progress=True)
    (name,) = [key for key in run.health if key.startswith("dead/")]
    assert run.health[name] == [0.75] * 4
    said = capsys.readouterr().err
    assert said.count("dead relu units") == 1 and "3 of 4 units" in said


def test_a_bar_says_it_above_itself():
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, color_system=None)
    bar = progress_module.Bar(console, 3, 4)
    with bar:
        bar.alarm(1, "dead relu units at relu: 3 of 4 units")
    assert "epoch 2: dead relu units" in stream.getvalue()


def test_saturated_units_are_counted():
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3), seed=0)
    weights = nn.state(net)
    weights["layers.0.bias"] = np.array([100.0, -100.0, 0.0, 0.0], np.float32)
    nn.load(net, weights)
    run = train(net=net)
    (name,) = [key for key in run.health if key.startswith("saturated/")]
    assert run.health[name][0] == 0.5


def test_diagnose_reads_them():
    report = bl.diagnose(train(optimizer=optim.SGD(2.0), epochs=8))
    assert report.checkups == 8 and "8 check-ups" in str(report)
    assert "units, updates and gradients over time" in report.checked
    assert not [each for each in report.not_checked if "during training" in each]
    without = bl.diagnose(train(False))
    assert [each for each in without.not_checked if "during training" in each]


def test_what_a_history_says():
    history = {
        "step": [10, 20, 30],
        "dead/relu": [0.0, 0.3, 0.6],
        "saturated/tanh": [0.5, 0.5, 0.5],
        "gradient_norm/a.weight": [1.0, 10.0, 1000.0],
        "gradient_norm/b.weight": [1.0, 1.0, 1.0],
        "update_norm/a.weight": [0.5, 0.5, 0.5],
        "parameter_norm/a.weight": [1.0, 1.0, 1.0],
        "update_norm/b.weight": [1e-9, 1e-9, 1e-9],
        "parameter_norm/b.weight": [1.0, 1.0, 1.0],
    }
    assert [(each.what, each.where) for each in findings(history)] == [
        ("units that became dead", "relu"), ("large updates", "a.weight"),
        ("small updates", "b.weight"), ("growing gradients", "a.weight"),
    ]  # fmt: skip
    assert findings({}) == ()


def test_they_are_stored_with_the_run(tmp_path):
    run = train()
    stored = load(run.save(tmp_path / "run"))
    assert stored.health == run.health
    assert stored.attach(classes(22, k=3)).health == run.health


@pytest.mark.parametrize("wrong", [-1, "yes", 1.5])
def test_options_without_a_meaning(wrong):
    with pytest.raises(UsageError, match="health"):
        train(wrong)


def test_losses_and_gradients_of_examples_are_those_of_the_example_alone():
    run = train(epochs=6)
    X, y = classes(22, k=3)
    for by in ("loss", "gradient"):
        found = run.hardest(22, by=by)
        assert sorted(found.rows) == list(range(22))
        scores = found.losses if by == "loss" else found.gradient_norms
        assert list(scores) == sorted(scores, reverse=True)
        for row, loss, size in zip(found.rows, found.losses, found.gradient_norms, strict=True):
            alone = nn.cross_entropy(run.net(X[row : row + 1]), bl.tensor(y[row : row + 1]))
            alone.backward()
            grads = [each.grad for each in nn.parameters(run.net).values()]
            assert loss == pytest.approx(alone.item())
            assert size == pytest.approx(np.sqrt(sum((g**2).sum() for g in grads)))


@pytest.mark.parametrize("by", ["loss", "gradient"])
def test_wrong_labels_are_among_the_hardest(by):
    digits = bl.data.load("digits")
    rng = np.random.default_rng(0)
    wrong = rng.choice(len(digits.y), 12, replace=False)
    y = digits.y.copy()
    y[wrong] = (y[wrong] + rng.integers(1, 10, 12)) % 10
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10), seed=0)
    run = fit(net, (digits.X, y), loss=nn.cross_entropy, epochs=8)
    found = run.hardest(30, by=by)
    assert len(set(found.rows.tolist()) & set(wrong.tolist())) >= 10
    assert "predicted" in str(found) and len(found.to_dict()["rows"]) == 30


def test_losses_of_other_kinds():
    def own(prediction, target):
        return nn.mse(prediction, target) * 3.0

    X, y = examples(9)
    for loss in (nn.mse, nn.squared_error, own):
        run = fit(tiny(), (X, y), loss=loss, epochs=2)
        found = run.hardest(3)
        row = int(found.rows[0])
        expected = loss(run.net(X[row : row + 1]), bl.tensor(y[row : row + 1])).item()
        assert found.losses[0] == pytest.approx(expected)
    for wrong in ({"count": 0}, {"by": "size"}):
        with pytest.raises(UsageError):
            run.hardest(**wrong)


def test_a_run_says_how_it_is_kept():
    with pytest.raises(UsageError, match=r"run\.save\(folder\)"):
        pickle.dumps(train())
