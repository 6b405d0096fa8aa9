"""Runs come back from the disk as they were, and whatever is wrong there is said in a sentence."""

from __future__ import annotations

import errno
import functools
import json
import os
import shutil

import numpy as np
import pytest
from tests.train.networks import assert_same, classes, examples, tiny, values

import backlight as bl
from backlight import nn, optim
from backlight.data import Standardizer
from backlight.data import load as load_data
from backlight.errors import RunError, UsageError
from backlight.train import fit, is_run, load, save

FILES = ["history.jsonl", "run.json", "snapshots.safetensors", "weights.safetensors"]


@pytest.fixture(scope="module")
def trained():
    X, y = classes(22, k=3)
    net = tiny("float32", outputs=3, dropout=0.2)
    run = fit(net, (X, y), loss=nn.cross_entropy, optimizer=optim.Adam(0.01), epochs=9,
              batch_size=5, validation=0.2, seed=3, log_every=4)  # fmt: skip
    return run, (X, y)


@pytest.fixture
def place(trained, tmp_path):
    return save(trained[0], tmp_path / "run")


def test_what_is_written(place):
    assert sorted(each.name for each in place.iterdir()) == FILES
    description = json.loads((place / "run.json").read_text())
    assert description["format"] == "backlight.run" and description["version"] == 1
    assert (
        description["optimizer"]["name"] == "Adam"
        and description["loss"]["name"] == "cross_entropy"
    )
    assert description["environment"]["numpy"] == np.__version__
    rows = [json.loads(line) for line in (place / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows if "epoch" in row] == list(range(9))
    assert is_run(place) and not is_run(place.parent)
    assert sorted(place.parent.iterdir()) == [place]


def test_everything_comes_back(trained, place):
    run, (X, _) = trained
    stored = load(place)
    assert_same(values(stored.net), run.parameters)
    assert stored.history == run.history and stored.step_history == run.step_history
    assert (stored.steps, stored.epochs, stored.stopped) == (run.steps, 9, "finished")
    np.testing.assert_array_equal(stored.outputs(X), run.net(X.astype(np.float32)).value)
    np.testing.assert_array_equal(stored.predict(X), run.net(X).value.argmax(axis=1))
    np.testing.assert_allclose(stored.probabilities(X).sum(axis=1), 1.0)


def test_steps_are_replayed_from_the_disk_bit_by_bit(trained, place):
    run, data = trained
    stored = load(place)
    again = stored.attach(data)
    for step in (0, 7, run.steps - 1, run.steps):
        assert_same(again.parameters_at(step), run.parameters_at(step))
    for step in (0, 13, run.steps - 1):
        assert stored.replay_loss(step, data).loss.item() == run.replay_loss(step).loss.item()
    one = stored.replay(5, data)
    other = run.replay(5)
    assert one.about == other.about
    for name in run.parameters:
        np.testing.assert_array_equal(one.gradient(name), other.gradient(name))


@pytest.mark.parametrize(
    "change",
    [lambda X, y: (X + 1e-3, y), lambda X, y: (X[::-1], y[::-1]), lambda X, y: (X[:-1], y[:-1])],
)
def test_other_data_is_not_accepted(trained, place, change):
    with pytest.raises(RunError, match="not what the run .* trained on"):
        load(place).attach(change(*trained[1]))


def test_a_plateaus_scales_come_back(tmp_path):
    rate = optim.ReduceOnPlateau(0.5, factor=0.5, patience=0)
    data = examples(10)
    run = fit(tiny(), data, loss=nn.mse, epochs=20, batch_size=4, optimizer=optim.SGD(rate))
    assert len(run.course.scales.changes) > 1
    again = load(save(run, tmp_path / "run")).attach(data)
    assert_same(again.parameters_at(run.steps - 1), run.parameters_at(run.steps - 1))
    assert again.optimizer == run.optimizer


def test_lbfgs_comes_back(tmp_path):
    data = examples(8)
    run = fit(tiny(), data, loss=nn.mse, optimizer=optim.LBFGS(), epochs=40, batch_size=None)
    again = load(save(run, tmp_path / "run")).attach(data)
    for step in (0, 21, 39):
        assert_same(again.parameters_at(step), run.parameters_at(step))


def test_weights_of_examples_are_needed_again(tmp_path):
    data, weights = examples(8), np.arange(1.0, 9.0)
    run = fit(tiny(), data, loss=nn.mse, sample_weights=weights, epochs=2)
    stored = load(save(run, tmp_path / "run"))
    with pytest.raises(RunError, match="pass them as well"):
        stored.attach(data)
    again = stored.attach(data, sample_weights=weights)
    assert again.replay_loss(1).loss.item() == run.replay_loss(1).loss.item()


def test_a_data_set_is_described_and_its_names_are_predicted(tmp_path):
    data = load_data("penguins")
    scaler = Standardizer.fit(data.X)
    net = tiny("float32", inputs=data.X.shape[1], outputs=len(data.class_names), hidden=16)
    run = fit(net, (scaler.apply(data.X), data.y), loss=nn.cross_entropy, epochs=15)
    place = save(run, tmp_path / "run", data=data, preprocessing=scaler, about={"note": "test"})
    stored = load(place)
    assert stored.class_names == data.class_names and stored.about == {"note": "test"}
    assert stored.configuration["data"]["name"] == "penguins"
    predicted = stored.predict(data)
    assert set(predicted) <= set(data.class_names)
    assert np.mean(predicted == np.array(data.class_names)[data.y]) > 0.9
    # The data set as it was, and as the network saw it, are both recognized.
    expected = run.replay_loss(3).loss.item()
    assert stored.replay_loss(3, data).loss.item() == expected
    assert stored.replay_loss(3, (scaler.apply(data.X), data.y)).loss.item() == expected


def test_targets_are_predicted_in_their_units(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = 1000.0 + 50.0 * X[:, :1]
    scale = Standardizer.fit(y)
    net = tiny(outputs=1)
    run = fit(net, (X, scale.apply(y)), loss=nn.mse, optimizer=optim.Adam(0.02), epochs=150)
    preprocessing = {"features": None, "targets": scale.to_dict()}
    stored = load(save(run, tmp_path / "run", preprocessing=preprocessing))
    np.testing.assert_allclose(stored.predict(X), y, atol=20.0)
    assert stored.replay_loss(2, (X, y)).loss.item() == run.replay_loss(2).loss.item()
    with pytest.raises(RunError, match="no probabilities"):
        stored.probabilities(X)


def test_binary_runs_predict_classes(tmp_path):
    X, y = classes(30)
    net = tiny(outputs=1)
    run = fit(net, (X, y), loss=nn.binary_cross_entropy_with_logits, epochs=50)
    stored = load(save(run, tmp_path / "run", class_names=["no", "yes"]))
    logits = net(X).value[:, 0]
    assert stored.predict(X).tolist() == ["yes" if z > 0 else "no" for z in logits]
    np.testing.assert_allclose(stored.probabilities(X)[:, 0], 1 / (1 + np.exp(-logits)))


def test_options_of_a_loss_come_back(tmp_path):
    smooth = functools.partial(nn.cross_entropy, label_smoothing=0.1)
    data = classes(12)
    run = fit(tiny(), data, loss=smooth, epochs=2)
    stored = load(save(run, tmp_path / "run"))
    assert stored.replay_loss(1, data).loss.item() == run.replay_loss(1).loss.item()


def test_a_loss_of_ones_own_is_needed_for_replaying_only(tmp_path):
    def own(prediction, target):
        return nn.mse(prediction, target) * 2.0

    data = examples(10)
    run = fit(tiny(), data, loss=own, epochs=2)
    place = save(run, tmp_path / "run")
    stored = load(place)
    np.testing.assert_array_equal(stored.predict(data[0]), run.net(data[0]).value)
    with pytest.raises(RunError, match="pass it to load"):
        stored.attach(data)
    assert load(place, loss=own).replay_loss(1, data).loss.item() == run.replay_loss(1).loss.item()


class Line(nn.Module):
    def __init__(self):
        self.slope = bl.param(0.0)

    def __call__(self, x):
        return self.slope * x


def test_a_network_of_ones_own_class_is_passed_in(tmp_path):
    x = np.linspace(-1, 1, 9)
    run = fit(Line(), (x, 2 * x), loss=nn.mse, optimizer=optim.SGD(0.5), epochs=3)
    place = save(run, tmp_path / "run")
    with pytest.raises(RunError, match="own class, Line; make one and pass it as net"):
        load(place)
    fresh = Line()
    stored = load(place, net=fresh)
    assert fresh.slope.item() == run.parameters["slope"]
    assert_same(stored.attach((x, 2 * x)).parameters_at(2), run.parameters_at(2))
    with pytest.raises(RunError, match=r"lists a parameter 'slope' that the network lacks"):
        load(place, net=tiny())


def test_histories_with_values_that_are_not_finite(tmp_path):
    def odd(prediction, target):
        return nn.mse(prediction, target) * float("nan")

    run = fit(tiny(), examples(), loss=nn.mse, epochs=2, metrics=[odd])
    stored = load(save(run, tmp_path / "run"))
    assert np.isnan(stored.history["odd"]).tolist() == [True, True]


def test_an_untrained_run_can_be_saved(tmp_path):
    run = fit(tiny(), examples(), loss=nn.mse, epochs=0)
    stored = load(save(run, tmp_path / "run"))
    assert stored.epochs == stored.steps == 0
    assert_same(stored.parameters, run.parameters)


def test_what_json_cannot_hold_is_refused_before_anything_is_written(trained, tmp_path):
    for about in ({"x": object()}, {"x": float("nan")}):
        with pytest.raises(UsageError, match="JSON cannot store"):
            save(trained[0], tmp_path / "run", about=about)
    assert list(tmp_path.iterdir()) == []


# ---- the place -----------------------------------------------------------------------------------


def test_a_run_is_replaced_only_when_asked(trained, place):
    run, _ = trained
    with pytest.raises(RunError, match="overwrite=True"):
        save(run, place)
    (place / "extra").write_text("old")
    save(run, place, overwrite=True)
    assert sorted(each.name for each in place.iterdir()) == FILES
    assert sorted(place.parent.iterdir()) == [place]


def test_other_things_are_never_replaced(trained, tmp_path):
    run, _ = trained
    file, folder, empty, link = (tmp_path / name for name in ("file", "folder", "empty", "link"))
    file.write_text("mine")
    folder.mkdir()
    (folder / "run.json").write_text('{"mine": true}')
    empty.mkdir()
    link.symlink_to(tmp_path / "nowhere")
    for place, words in ((file, "not a folder"), (folder, "left alone"), (link, "not a folder")):
        with pytest.raises(RunError, match=words):
            save(run, place, overwrite=True)
    assert file.read_text() == "mine" and (folder / "run.json").read_text() == '{"mine": true}'
    assert load(save(run, empty)).steps == run.steps


def test_the_folder_around_must_exist(trained, tmp_path):
    with pytest.raises(RunError, match="does not exist; make it first"):
        save(trained[0], tmp_path / "no" / "run")


class Fails:
    """Stands for a system call that fails the n-th time."""

    def __init__(self, call, n):
        self.call, self.left = call, n

    def __call__(self, *arguments, **options):
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.call(*arguments, **options)


@pytest.mark.parametrize(
    ("existing", "function", "n"),
    [
        *((existing, "fsync", n) for existing in (False, True) for n in (1, 3, 5)),
        (False, "replace", 1),
        (True, "replace", 1),
        (True, "replace", 2),
    ],
)
def test_a_write_that_fails_leaves_everything_as_it_was(
    trained, tmp_path, monkeypatch, function, n, existing
):
    run, _ = trained
    place = tmp_path / "run"
    if existing:
        save(run, place)
    before = {each.name: each.read_bytes() for each in place.iterdir()} if existing else None
    with monkeypatch.context() as patch:
        patch.setattr(os, function, Fails(getattr(os, function), n))
        with pytest.raises(RunError, match="No space left"):
            save(run, place, overwrite=True)
    assert sorted(tmp_path.iterdir()) == ([place] if existing else [])
    if existing:
        assert {each.name: each.read_bytes() for each in place.iterdir()} == before
        assert load(place).steps == run.steps


def test_an_interruption_while_writing_leaves_no_trace(trained, tmp_path, monkeypatch):
    def interrupted(handle):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            save(trained[0], tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


# ---- damage --------------------------------------------------------------------------------------


def changed_json(place, change):
    path = place / "run.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))


def one_sentence(error):
    text = str(error)
    assert text.endswith(".") and "\n" not in text and len(text) < 600
    return text


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["removed", "emptied", "cut", "garbled", "a folder"])
def test_every_file_is_needed_whole(trained, place, name, how):
    path = place / name
    content = path.read_bytes()
    if how == "a folder":
        path.unlink()
        path.mkdir()
    elif how == "removed":
        path.unlink()
    else:
        cut = content[: len(content) * 2 // 3]
        path.write_bytes({"emptied": b"", "cut": cut, "garbled": b"\xff\x00" * 50}[how])
    with pytest.raises(RunError) as caught:
        load(place).attach(trained[1])
    one_sentence(caught.value)


def test_places_without_a_run(tmp_path):
    with pytest.raises(RunError, match="There is no run"):
        load(tmp_path / "nothing")
    with pytest.raises(RunError, match=r"not a run, because it has no run\.json"):
        load(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(RunError, match="does not describe a run"):
        load(tmp_path)


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_other_versions_are_refused(place, version):
    changed_json(place, lambda d: d.update(version=version))
    with pytest.raises(RunError, match="reads version 1"):
        load(place)


def keys():
    return [
        "architecture", "network", "parameters", "loss", "optimizer", "metrics", "batch_size",
        "shuffle", "seed", "epochs", "steps", "stopped", "best_epoch", "split", "scales",
        "snapshots", "data", "environment", "preprocessing", "class_names", "about",
    ]  # fmt: skip


@pytest.mark.parametrize("key", keys())
def test_a_missing_entry_is_named(place, key):
    changed_json(place, lambda d: d.pop(key))
    with pytest.raises(RunError, match=f"run.json: '{key}' is missing"):
        load(place)


@pytest.mark.parametrize("key", keys())
@pytest.mark.parametrize("value", [-1, "x", [3], {"a": [None]}, True, 1e400], ids=repr)
def test_a_wrong_entry_gives_a_run_error_or_does_no_harm(trained, place, key, value):
    changed_json(place, lambda d: d.update({key: value}))
    try:
        load(place).attach(trained[1]).parameters_at(0)
    except RunError as error:
        one_sentence(error)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["parameters"][0].update(name="other"), "'other' that weights"),
        (lambda d: d["parameters"][0].update(shape=[9, 9]), r"lists 'layers.0.weight' as .*9, 9"),
        (lambda d: d["parameters"].pop(), "does not list the parameter"),
        (lambda d: d["architecture"]["layers"][0].update(outputs=7), "in the network it is"),
        (lambda d: d["architecture"]["layers"][0].update(kind="Quantum"), "no layer 'Quantum'"),
        (lambda d: d["loss"].update(name="regret"), "no loss 'regret'"),
        (lambda d: d.update(epochs=4), "one row for each epoch"),
    ],
)
def test_entries_that_contradict_the_files(place, change, words):
    changed_json(place, change)
    with pytest.raises(RunError, match=words) as caught:
        load(place)
    one_sentence(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["optimizer"].update(name="Magic"), "no 'Magic' in bl.optim"),
        (lambda d: d["optimizer"].update(beta1=7.0), "beta1"),
        (lambda d: d["snapshots"][0].update(step=1), "snapshots.safetensors: the array '1/param"),
        (lambda d: d["snapshots"][0].update(slots={"m": ["who"]}), "'0/m/who' is missing"),
        (lambda d: d["snapshots"].reverse(), "from the first step to the last"),
        (lambda d: d["data"].update(fingerprint="0"), "not what the run"),
    ],
)
def test_entries_that_replaying_needs(trained, place, change, words):
    changed_json(place, change)
    stored = load(place)
    with pytest.raises(RunError, match=words) as caught:
        stored.attach(trained[1])
    one_sentence(caught.value)


def test_runs_can_be_moved(place, trained, tmp_path):
    shutil.move(place, tmp_path / "elsewhere")
    assert load(tmp_path / "elsewhere").steps == trained[0].steps
