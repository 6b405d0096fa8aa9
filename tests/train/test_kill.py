"""A run that is killed at random moments and resumed ends bit for bit like one that is not."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from tests.train import resumable

from backlight.train.checkpoints import found_in

PROGRAM = resumable.__file__


def killed_and_resumed(folder, executor, kills, seed):
    """Kill a run at random moments, then let it end; return its result and the kills that hit."""
    moments = random.Random(seed)
    hits = 0
    command = [sys.executable, PROGRAM, str(folder), executor]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    while hits < kills:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        assert process.stdout.readline() == b"training\n", process.stderr.read()
        if moments.random() < 0.8:  # the others are hit at any moment, before the first step too
            wait_for_a_checkpoint(folder / "checkpoints", process)
        try:
            process.wait(moments.uniform(0.0, 0.5))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            hits += 1
        _, errors = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), errors.decode()
        if process.returncode == 0:  # done before it was hit: begin again
            assert hits < kills
            for each in [folder / "result.json", *found_in(folder / "checkpoints")]:
                each.unlink()
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads((folder / "result.json").read_text()), hits


def wait_for_a_checkpoint(folder, process):
    """Wait until a checkpoint is written, or the process ends."""
    before = [each.name for each in found_in(folder)[:1]]
    while process.poll() is None and [each.name for each in found_in(folder)[:1]] == before:
        time.sleep(0.002)


def expected(executor):
    return json.loads(json.dumps(resumable.result(resumable.train(executor))))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
@pytest.mark.parametrize(("executor", "kills"), [("native", 3), ("reference", 2)])
def test_a_killed_run_ends_like_one_that_was_not(tmp_path, executor, kills):
    found, hits = killed_and_resumed(tmp_path, executor, kills, seed=time.time_ns())
    assert hits == kills
    wanted = expected(executor)
    for key in wanted:
        assert found[key] == wanted[key], key


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("BACKLIGHT_KILLS"), reason="run by make kill")
@pytest.mark.parametrize("executor", ["native", "reference"])
def test_many_kills(tmp_path, executor):
    kills = int(os.environ["BACKLIGHT_KILLS"]) // 2
    wanted = expected(executor)
    done = 0
    while done < kills:
        folder = tmp_path / str(done)
        folder.mkdir()
        few = min(5, kills - done)
        found, hits = killed_and_resumed(folder, executor, few, seed=time.time_ns())
        assert found == wanted
        done += hits
    assert done == kills
