"""The run store: what is entered, migrations, other processes, and trouble with the disk."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.train.networks import classes, tiny

import backlight
from backlight import nn, optim
from backlight.errors import BacklightWarning, RunError, TrainingError, UnknownNameError, UsageError
from backlight.train import RunLog, RunStore, fit, process, save
from backlight.train.adopt import adopt_all
from backlight.train.code_version import code_version
from backlight.train.schema import MIGRATIONS, migrate


def train(store, epochs=4, **options):
    chosen = {"loss": nn.cross_entropy, "batch_size": 5, "seed": 3} | options
    net = tiny("float32", outputs=3)
    return fit(net, classes(22, k=3), epochs=epochs, store=store, **chosen)


def test_a_run_is_entered_with_everything(tmp_path):
    run = train(RunLog(tmp_path, "first"), log_every=4, health=2, validation=0.2)
    with RunStore(tmp_path) as store:
        record = store.record("first")
        assert record.status == "finished"
        assert store.histories(record) == run.history
        steps = store.metrics(record, "step")
        assert [value for _, value in steps["loss"]] == run.step_history["loss"]
        assert [step for step, _ in steps["loss"]] == run.step_history["step"]
        health = store.metrics(record, "health")
        name = "gradient_norm/layers.0.weight"
        assert [value for _, value in health[name]] == run.health[name]
        assert [event.kind for event in store.events(record)] == ["started", "stopped"]
    values = record.values
    assert (values["epochs"], values["steps"], values["stopped"]) == (4, run.steps, "finished")
    assert (values["loss"], values["optimizer"], values["seed"]) == ("cross_entropy", "Adam", 3)
    assert values["configuration"]["optimizer"] == json.loads(json.dumps(run.optimizer.to_dict()))
    assert values["environment"]["numpy"] == np.__version__
    assert len(values["fingerprint"]) == 64
    assert values["parameters"] == 4 * 3 + 4 + 3 * 4 + 3
    assert json.dumps(record.to_dict())


def test_anyone_can_query_it(tmp_path):
    run = train(RunLog(tmp_path, "a"))
    database = sqlite3.connect(tmp_path / "backlight.sqlite3")
    query = "SELECT value FROM finals WHERE run = 'a' AND metric = 'loss'"
    assert database.execute(query).fetchall() == [(run.history["loss"][-1],)]
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    database.close()


def test_names(tmp_path):
    train(tmp_path)
    train(tmp_path)
    with RunStore(tmp_path) as store:
        assert [each.name for each in store.records()] == ["run-1", "run-2"]
        with pytest.raises(UnknownNameError, match=r"no run 'run-3'"):
            store.record("run-3")
    with pytest.raises(RunError, match="has a run 'run-1' already"):
        train(RunLog(tmp_path, "run-1"))
    train(RunLog(tmp_path, "run-1", replace=True), epochs=2)
    with RunStore(tmp_path) as store:
        assert store.record("run-1").values["epochs"] == 2
    for name in ("", "a/b", " a", "a\n", "x" * 300, 3):
        with pytest.raises(UsageError):
            RunLog(tmp_path, name)


def test_numbers_that_are_not_finite_come_back(tmp_path):
    def odd(prediction, target):
        return nn.mse(prediction, nn.softmax(prediction)) * float("nan")

    train(RunLog(tmp_path, "a"), metrics=[odd])
    with RunStore(tmp_path) as store:
        assert all(math.isnan(value) for value in store.histories(store.record("a"))["odd"])


def test_a_failed_run_says_why(tmp_path):
    with pytest.raises(TrainingError):
        train(RunLog(tmp_path, "a"), optimizer=optim.SGD(1e38), epochs=30)
    with RunStore(tmp_path) as store:
        record = store.record("a")
        assert record.status == "failed"
        kinds = {event.kind: event.message for event in store.events(record)}
        assert "no longer finite" in kinds["non-finite"]


def test_a_resumed_run_is_one_run(tmp_path):
    def stop(state):
        if state.epoch == 1:
            raise KeyboardInterrupt

    log, place = RunLog(tmp_path, "a"), tmp_path / "c"
    train(log, checkpoint=place, callbacks=[stop], log_every=2)
    with RunStore(tmp_path) as store:
        assert store.record("a").values["stopped"] == "interrupted"
    run = train(log, checkpoint=place, resume=True, log_every=2)
    with RunStore(tmp_path) as store:
        (record,) = store.records()
        assert (record.status, record.values["stopped"]) == ("finished", "finished")
        assert store.histories(record) == run.history
        assert len(store.metrics(record, "step")["loss"]) == len(run.step_history["loss"])
        kinds = [event.kind for event in store.events(record)]
        assert kinds[:2] == ["started", "interrupted"] and "resumed" in kinds


def test_a_killed_process_is_told_from_a_running_one(tmp_path):
    program = """
import os, sys
from tests.train.test_run_store import train
from backlight.train import RunLog
train(RunLog(sys.argv[1], "a"), callbacks=[lambda state: os.kill(os.getpid(), 9)])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], check=False, cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == -9
    with RunStore(tmp_path) as store:
        assert store.record("a").status == "died"
        store.change(store.record("a").id, {"process": process.own()})
        assert store.record("a").status == "running"
    assert process.alive("elsewhere 1 2")
    for wrong in (None, "", "x", "a b c", f"{os.uname().nodename} 99999999999999 1"):
        assert not process.alive(wrong)


def test_several_processes_write_at_once(tmp_path):
    program = """
import sys
from tests.train.test_run_store import train
train(sys.argv[1], epochs=40)
"""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, tmp_path], cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    errors = [each.communicate()[1].decode() for each in started]
    with RunStore(tmp_path) as store:
        done = [each for each in store.records() if each.status == "finished"]
        assert all(len(store.histories(each)["loss"]) == 40 for each in done)
    # Both take the first free name; when that is at the same moment, one is told so.
    taken = sum("has a run" in each for each in errors)
    assert len(done) + taken == 2


# ---- versions and damage ------------------------------------------------------------------------


def test_a_newer_store_is_refused_and_an_older_one_brought_up_to_date(tmp_path):
    train(RunLog(tmp_path, "a"))
    path = tmp_path / "backlight.sqlite3"
    database = sqlite3.connect(path, isolation_level=None)
    newer = (*MIGRATIONS, "ALTER TABLE runs ADD COLUMN notes TEXT;")
    migrate(database, "the store", newer)
    assert database.execute("SELECT name, notes FROM runs").fetchall() == [("a", None)]
    with pytest.raises(RunError, match=rf"has version {len(newer)}, and this Backlight knows"):
        RunStore(tmp_path)
    broken = (*newer, "CREATE TABLE more (a); SELECT * FROM nowhere;")
    with pytest.raises(sqlite3.OperationalError):
        migrate(database, "the store", broken)
    assert database.execute("PRAGMA user_version").fetchone() == (len(newer),)
    assert not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'more'").fetchall()
    database.close()


def test_other_files_are_left_alone(tmp_path):
    path = tmp_path / "backlight.sqlite3"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE mine (a)")
    database.close()
    with pytest.raises(RunError, match="another program"):
        RunStore(tmp_path)
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(RunError, match="damaged"):
        RunStore(tmp_path)
    assert path.read_bytes().startswith(b"no database")
    with pytest.raises(RunError, match="does not exist"):
        RunStore(tmp_path / "none")
    with pytest.raises(RunError, match="no run store"):
        RunStore(tmp_path / "none", make=False)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    train(RunLog(folder, "a"))
    return (folder / "backlight.sqlite3").read_bytes()


tried = {"changed": 0, "refused": 0}


@given(
    st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=30),
    st.integers(0, 2**20) | st.none(),
)
def test_fuzzed_stores_give_sentences(stored, tmp_path_factory, changes, cut):
    folder = tmp_path_factory.mktemp("fuzzed")
    content = bytearray(stored)
    for place, value in changes:
        content[place % len(content)] = value
    end = len(content) if cut is None else cut % len(content) + 1
    (folder / "backlight.sqlite3").write_bytes(content[:end])
    tried["changed"] += 1
    try:
        with RunStore(folder) as store:
            for record in store.records():
                store.metrics(record), store.events(record)
    except RunError:
        tried["refused"] += 1


def test_the_fuzzing_did_something():
    assert tried["changed"] >= 50 and tried["refused"] > 0


def test_a_store_that_cannot_be_written_is_read(tmp_path, monkeypatch):
    train(RunLog(tmp_path, "a"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with RunStore(tmp_path) as store:
        assert store.read_only and [each.name for each in store.records()] == ["a"]
    with pytest.raises(RunError, match="cannot be written to"):
        train(RunLog(tmp_path, "b"))


def test_trouble_on_the_way_costs_no_training(tmp_path, monkeypatch):
    write, calls = RunStore.write, []

    def troubled(self, *arguments):
        calls.append(0)
        if len(calls) > 1:
            raise RunError("The disk is full.")
        write(self, *arguments)

    monkeypatch.setattr(RunStore, "write", troubled)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", BacklightWarning)
        run = train(RunLog(tmp_path, "a"))
    assert run.stopped == "finished"
    assert [str(each.message) for each in said] == ["The disk is full. Training goes on."]


# ---- folders, code ------------------------------------------------------------------------------


def test_saved_runs_are_entered_by_their_folders(tmp_path):
    run = fit(tiny("float32", outputs=3), classes(22, k=3), loss=nn.cross_entropy, epochs=3,
              log_every=2)  # fmt: skip
    save(run, tmp_path / "old")
    save(run, tmp_path / "hurt")
    (tmp_path / "hurt" / "history.jsonl").write_text("x")
    with RunStore(tmp_path) as store:
        (trouble,) = adopt_all(store)
        assert "hurt" in trouble and "damaged" in trouble
        assert adopt_all(store) == [trouble]
        (record,) = store.records()
        assert (record.name, record.values["directory"]) == ("old", "old")
        assert store.histories(record) == run.history
        assert len(store.metrics(record, "step")["loss"]) == len(run.step_history["loss"])


def test_the_code_version(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert code_version().commit is None
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@x"]
    try:
        for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
            subprocess.run([*git, *command], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("git is not installed")
    Path("a").write_text("1")
    subprocess.run([*git, "add", "a"], check=True)
    found = code_version()
    assert len(found.commit) == 40 and found.modified is True
    monkeypatch.setenv("PATH", "")
    assert code_version().commit is None


def test_sqlite_is_loaded_only_when_it_is_needed():
    program = "import sys, backlight; print('sqlite3' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "False\n"
    assert backlight.train.RunStore is RunStore
