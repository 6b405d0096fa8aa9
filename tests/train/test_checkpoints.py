"""Checkpoints: what is written, what is gone on from, and every way in which that can go wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.train.networks import assert_same, classes, examples, tiny

from backlight import nn, optim
from backlight.errors import BacklightWarning, RunError, UsageError
from backlight.train import Checkpoints, EarlyStopping, fit
from backlight.train.checkpoint import DamagedError, NewerError, decode, encode
from backlight.train.checkpoints import found_in, latest
from backlight.train.durable import Lock


class Stop:
    """Interrupts training after so many steps, as Ctrl-C would."""

    def __init__(self, steps):
        self.steps = steps

    def on_step_end(self, state):
        if state.step == self.steps:
            raise KeyboardInterrupt


def train(executor="reference", epochs=6, **options):
    chosen = {
        "loss": nn.cross_entropy,
        "optimizer": optim.Adam(0.02),
        "batch_size": 5,
        "validation": 0.2,
        "seed": 3,
        "health": 2,
    } | options
    data = chosen.pop("data", classes(22, k=3))
    dropout = chosen.pop("dropout", 0.2)
    net = chosen.pop("net", None) or tiny("float32", outputs=3, dropout=dropout)
    return fit(net, data, executor=executor, epochs=epochs, **chosen)


def same(a, b):
    """Compare runs bit by bit, the clock aside."""
    assert_same(a.parameters, b.parameters)
    for slot in b.final_state.slots:
        assert_same(a.final_state.slots[slot], b.final_state.slots[slot])
    for mine, other in ((a.history, b.history), (a.step_history, b.step_history)):
        assert list(mine) == list(other)
        for key in mine:
            if key != "seconds":
                np.testing.assert_array_equal(mine[key], other[key], err_msg=key)
    assert (a.steps, a.stopped, a.best_epoch) == (b.steps, b.stopped, b.best_epoch)
    assert a.course.scales.changes == b.course.scales.changes


OPTIONS = {
    "adam": {},
    "momentum": {"optimizer": optim.SGD(optim.Cosine(0.1, 20), momentum=0.9)},
    "plateau": {
        "optimizer": optim.SGD(optim.ReduceOnPlateau(0.5, factor=0.5, patience=0)),
        "early_stopping": EarlyStopping(patience=50),
        "log_every": 3,
        "gradient_norms": True,
    },
    "lbfgs": {"optimizer": optim.LBFGS(), "batch_size": None, "epochs": 24, "dropout": 0.0},
    "weights": {"sample_weights": np.linspace(0.5, 2.0, 22)},
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("steps", [1, 7, 16])
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path, name, steps):
    options = OPTIONS[name]
    whole = train(**options)
    begun = train(**options, callbacks=[Stop(steps)], checkpoint=tmp_path / "c")
    assert (begun.stopped, begun.steps) == ("interrupted", steps)
    same(train(**options, checkpoint=tmp_path / "c", resume=True), whole)
    # A run that has ended is gone on from as well: there is nothing left to do.
    same(train(**options, checkpoint=tmp_path / "c", resume=True), whole)


@pytest.mark.parametrize("step", [3, 8, 13])
def test_native_runs_end_alike_from_any_checkpoint(tmp_path, step):
    options = {"executor": "native", "log_every": 2}
    whole = train(**options)
    every = Checkpoints(tmp_path / "c", every_steps=1, keep=1000)
    same(train(**options, checkpoint=every), whole)
    for path in found_in(tmp_path / "c"):
        if int(path.stem[5:]) > step:
            path.unlink()
    same(train(**options, checkpoint=every, resume=True), whole)


def test_more_epochs_may_be_asked_for(tmp_path):
    train(epochs=2, checkpoint=tmp_path / "c")
    same(train(epochs=5, checkpoint=tmp_path / "c", resume=True), train(epochs=5))


def test_steps_before_the_interruption_can_be_replayed(tmp_path):
    whole = train()
    train(callbacks=[Stop(9)], checkpoint=tmp_path / "c")
    again = train(checkpoint=tmp_path / "c", resume=True)
    for step in (0, 4, 9, 17, whole.steps):
        assert_same(again.parameters_at(step), whole.parameters_at(step))


def test_the_health_goes_on_too(tmp_path):
    whole = train(health=1)
    train(health=1, callbacks=[Stop(9)], checkpoint=tmp_path / "c")
    again = train(health=1, checkpoint=tmp_path / "c", resume=True)
    assert list(again.health) == list(whole.health)
    for key in whole.health:
        np.testing.assert_array_equal(again.health[key], whole.health[key], err_msg=key)


def test_resuming_where_there_is_nothing_begins(tmp_path):
    same(train(checkpoint=tmp_path / "c", resume=True), train())


def test_when_and_how_many(tmp_path):
    train(checkpoint=Checkpoints(tmp_path / "c", every_steps=4, every_seconds=None, keep=3))
    assert [path.name for path in found_in(tmp_path / "c")] == [
        "step-000000024.safetensors", "step-000000020.safetensors", "step-000000016.safetensors",
    ]  # fmt: skip
    assert sorted(os.listdir(tmp_path / "c"))[0] == "lock"
    train(checkpoint=Checkpoints(tmp_path / "d", every_seconds=0, keep=100))
    assert len(found_in(tmp_path / "d")) == 25
    assert decode(found_in(tmp_path / "d")[0].read_bytes()).stopped == "finished"


# ---- damage -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Checkpoints at the steps 0, 4, ..., 24 of an ended run."""
    place = tmp_path_factory.mktemp("checkpoints") / "c"
    train(checkpoint=Checkpoints(place, every_steps=4, keep=100), early_stopping=EarlyStopping())
    return place


@pytest.fixture
def copied(folder, tmp_path):
    for path in found_in(folder):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.parametrize("how", ["cut", "emptied", "a bit", "garbled", "a folder"])
def test_a_damaged_checkpoint_is_passed_over_aloud(copied, how):
    whole = train(early_stopping=EarlyStopping())
    path = found_in(copied)[0]
    content = bytearray(path.read_bytes())
    if how == "a folder":
        path.unlink()
        path.mkdir()
    else:
        changed = bytearray(content)
        changed[len(content) * 3 // 4] ^= 1
        kinds = {"cut": content[:-100], "emptied": b"", "garbled": b"\xff" * 99, "a bit": changed}
        path.write_bytes(kinds[how])
    with pytest.warns(BacklightWarning, match=r"000024.* the one before, step-000000020"):
        again = train(
            checkpoint=Checkpoints(copied, keep=100), resume=True, early_stopping=EarlyStopping()
        )
    same(again, whole)
    assert latest(copied).mark.state.step == 24  # written anew, without a warning


def test_when_all_are_damaged(copied):
    for path in found_in(copied):
        path.write_bytes(path.read_bytes()[:-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BacklightWarning)
        with pytest.raises(RunError, match="None of the 7 checkpoints"):
            train(checkpoint=copied, resume=True, early_stopping=EarlyStopping())


def test_another_version_is_not_called_damaged(folder):
    content = found_in(folder)[0].read_bytes().replace(b'"version":"1"', b'"version":"7"')
    with pytest.raises(NewerError, match="version 7 .* reads version 1"):
        decode(content)


def test_there_is_no_pickle_in_it(folder):
    import pickletools

    content = found_in(folder)[0].read_bytes()
    with pytest.raises((ValueError, UnicodeDecodeError, KeyError)):
        list(pickletools.genops(content))
    size = int.from_bytes(content[:8], "little")
    assert json.loads(content[8 : 8 + size])["__metadata__"]["format"] == "backlight.checkpoint"


tried = {"changed": 0, "refused": 0}


@given(st.data())
def test_fuzzed_checkpoints_are_refused_or_the_same(folder, data):
    content = bytearray(found_in(folder)[0].read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["set", "cut", "insert", "copy"]))
        if kind == "set":
            content[place] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del content[place : place + data.draw(st.integers(1, 64))]
        elif kind == "insert":
            content[place:place] = data.draw(st.binary(min_size=1, max_size=16))
        else:
            content[place : place + 32] = content[:32]
    tried["changed"] += 1
    try:
        saved = decode(bytes(content))
    except (DamagedError, NewerError):
        tried["refused"] += 1
        return
    original = decode(found_in(folder)[0].read_bytes())
    assert_same(saved.mark.state.parameters, original.mark.state.parameters)
    assert saved.history == original.history


def test_the_fuzzing_did_something():
    assert tried["changed"] >= 50
    assert tried["refused"] > tried["changed"] // 2


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=5,
    ),
    st.data(),
)
def test_any_content_with_a_right_checksum_is_read_or_called_damaged(folder, value, data):
    import safetensors.numpy

    from backlight.train.checkpoint import digest

    content = found_in(folder)[0].read_bytes()
    size = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + size])["__metadata__"]
    arrays = safetensors.numpy.load(content)
    state = json.loads(metadata["state"])
    state[data.draw(st.sampled_from(sorted(state)))] = value
    metadata["state"] = json.dumps(state)
    metadata["sha256"] = digest(metadata["state"], arrays)
    try:
        decode(safetensors.numpy.save(arrays, metadata))
    except DamagedError:
        return


def test_what_is_written_is_read(folder):
    content = found_in(folder)[0].read_bytes()
    again = encode(decode(content))
    # The header's entries come in any order; the checksum is over everything else.
    assert re.findall(rb'"sha256":"\w{64}"', again) == re.findall(rb'"sha256":"\w{64}"', content)
    assert len(again) == len(content)


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"optimizer": optim.Adam(0.03)}, r"optimizer\.learning_rate is 0\.03 and was 0\.02"),
        ({"batch_size": 6}, "batch_size is 6 and was 5"),
        ({"seed": 4}, "seed is 4 and was 3"),
        ({"shuffle": False}, "shuffle is False and was True"),
        ({"net": tiny("float32", outputs=3, hidden=5)}, r"outputs is 5 and was 4"),
        ({"data": classes(22, k=3, seed=1)}, "training data"),
        ({"data": classes(24, k=3)}, "training rows"),
        ({"validation": None}, "validation data"),
        ({"early_stopping": EarlyStopping()}, "early_stopping"),
        ({"loss": nn.nll}, "loss.name is nll and was cross_entropy"),
        ({"executor": "native"}, "executor is native and was reference"),
    ],
)
def test_another_run_is_not_gone_on_with(tmp_path, changes, says):
    train(epochs=1, checkpoint=tmp_path / "c")
    before = {path.name: path.read_bytes() for path in found_in(tmp_path / "c")}
    with pytest.raises(RunError, match=says) as caught:
        train(**changes, checkpoint=tmp_path / "c", resume=True)
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in found_in(tmp_path / "c")} == before


def test_checkpoints_of_an_earlier_run_are_not_mixed_with_new_ones(tmp_path):
    train(epochs=1, checkpoint=tmp_path / "c")
    with pytest.raises(RunError, match="up to step 4; go on from there with resume=True"):
        train(checkpoint=tmp_path / "c")


@pytest.mark.parametrize(
    "options",
    [
        {"every_steps": 0}, {"every_steps": 1.5}, {"every_seconds": -1.0}, {"keep": 0},
        {"every_seconds": float("nan")}, {"directory": ""}, {"directory": 3},
    ],
)  # fmt: skip
def test_options_without_a_meaning(options):
    with pytest.raises(UsageError):
        Checkpoints(**{"directory": "c", **options})


def test_resume_needs_a_folder():
    with pytest.raises(UsageError, match="needs checkpoint="):
        train(resume=True)


# ---- the disk, other processes, signals ---------------------------------------------------------


def test_a_folder_that_cannot_be_made_is_found_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    steps = []
    with pytest.raises(RunError, match="cannot be made"):
        train(checkpoint=tmp_path / "file" / "c", callbacks=[steps.append])
    assert steps == []


def test_a_read_only_folder_is_found_before_training(tmp_path, monkeypatch):
    (tmp_path / "c").mkdir()
    (tmp_path / "c").chmod(0o500)
    if os.access(tmp_path / "c", os.W_OK):  # root may write anywhere
        opened = open

        def refuse(path, mode="r", *arguments, **options):
            if set(mode) & set("wa+"):
                raise PermissionError(13, "Permission denied")
            return opened(path, mode, *arguments, **options)

        monkeypatch.setattr("builtins.open", refuse)
    steps = []
    with pytest.raises(RunError, match="cannot be written to \\(Permission denied"):
        train(checkpoint=tmp_path / "c", callbacks=[steps.append])
    assert steps == []


def test_a_full_disk_at_the_start_is_found_before_training(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No checkpoint can be written .*No space left"):
        train(checkpoint=tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_costs_no_training(tmp_path):
    """With a limit on the size of files set in the middle, as a full disk would."""
    program = """
import resource, signal, sys, warnings
from tests.train.test_checkpoints import train
from backlight.train import Checkpoints
from backlight.train.checkpoints import latest
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def limit(state):
    if state.step == 7:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
class Limit:
    def on_step_end(self, state):
        limit(state)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    run = train(checkpoint=Checkpoints(sys.argv[1], every_steps=3), callbacks=[Limit()])
print(run.stopped, run.steps, latest(sys.argv[1]).mark.state.step, len(said))
print(said[0].message)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "c"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout.startswith("finished 24 6 1\nNo checkpoint could be written"), done
    assert not [path for path in (tmp_path / "c").iterdir() if path.suffix == ".new"]


def test_two_processes_cannot_train_one_run(tmp_path):
    (tmp_path / "c").mkdir()
    with Lock(tmp_path / "c", "The folder"):
        program = "import sys; from tests.train.test_checkpoints import train\n" + (
            "train(checkpoint=sys.argv[1])"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, tmp_path / "c"],
            capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
    assert f"in use by another process (process {os.getpid()}" in done.stderr
    train(checkpoint=tmp_path / "c", resume=True)


def test_sigterm_stops_as_ctrl_c_does(tmp_path):
    def terminate(state):
        if state.epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.5)

    begun = train(checkpoint=tmp_path / "c", callbacks=[terminate])
    assert begun.stopped == "interrupted"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    same(train(checkpoint=tmp_path / "c", resume=True), train())


def test_other_handlers_and_threads_are_left_alone(tmp_path):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    try:
        run = train(
            checkpoint=tmp_path / "c",
            callbacks=[lambda state: os.kill(os.getpid(), signal.SIGTERM)],
        )
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (run.stopped, len(heard)) == ("finished", 6)
    runs = []
    thread = threading.Thread(target=lambda: runs.append(train(checkpoint=tmp_path / "d")))
    thread.start()
    thread.join()
    assert runs[0].stopped == "finished"


def test_an_interruption_leaves_whole_histories(monkeypatch):
    """Ctrl-C in the middle of the bookkeeping at the end of an epoch."""
    from backlight.train.engine import Engine

    evaluate, calls = Engine.evaluate, []

    def interrupted(self, *arguments):
        calls.append(0)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return evaluate(self, *arguments)

    monkeypatch.setattr(Engine, "evaluate", interrupted)
    run = train()
    assert run.stopped == "interrupted"
    assert {len(values) for values in run.history.values()} == {2}
    assert run.epochs == 2


def test_regression_of_plain_arrays(tmp_path):
    options = {"loss": nn.mse, "validation": None, "data": examples(), "net": None}
    whole = train(**{**options, "net": tiny()})
    train(**{**options, "net": tiny()}, checkpoint=tmp_path / "c", callbacks=[Stop(3)])
    same(train(**{**options, "net": tiny()}, checkpoint=tmp_path / "c", resume=True), whole)
