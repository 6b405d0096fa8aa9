"""Training by the native executor against training by the reference."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

import backlight as bl
from backlight import nn
from backlight.execute.native import program as program_module
from backlight.execute.native.together import run_team

SCRIPT = """
import hashlib, sys
import numpy as np
import backlight as bl
rng = np.random.default_rng(0)
X, y = rng.standard_normal((75, 20)).astype(np.float32), rng.integers(0, 4, 75)
net = bl.nn.Sequential(bl.nn.Linear(20, 33), bl.nn.Tanh(), bl.nn.Dropout(0.1), bl.nn.Linear(33, 4),
                       seed=0)
run = bl.fit(net, (X, y), loss=bl.nn.cross_entropy, epochs=6, batch_size=16, seed=2)
words = b"".join(np.ascontiguousarray(each).tobytes() for each in run.parameters.values())
print(hashlib.sha256(words + np.array(run.history["loss"]).tobytes()).hexdigest())
"""


def test_digits_are_learnt_alike():
    train, test = bl.data.load("digits").split(test=0.2, seed=0)
    runs = []
    for executor in ("native", "reference"):
        net = bl.nn.Sequential(bl.nn.Linear(64, 128), bl.nn.ReLU(), bl.nn.Linear(128, 10), seed=0)
        runs.append(
            bl.fit(net, train, loss=bl.nn.cross_entropy, optimizer=bl.optim.Adam(1e-3), epochs=12,
                   batch_size=32, validation=test, seed=0, executor=executor)
        )  # fmt: skip
    native, reference = (run.history for run in runs)
    for key in ("loss", "validation_loss"):
        np.testing.assert_allclose(native[key], reference[key], rtol=1e-4)
    for key in ("accuracy", "validation_accuracy"):
        np.testing.assert_allclose(native[key][-1], reference[key][-1], atol=1e-9)


@pytest.mark.parametrize("cache", ["", "off"])
def test_two_processes_give_the_same_bits(cache):
    environment = {**os.environ, "BACKLIGHT_CACHE": cache} if cache else dict(os.environ)
    found = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True,
            check=True,
        ).stdout
        for _ in range(2)
    }  # fmt: skip
    assert len(found) == 1 and len(found.pop().strip()) == hashlib.sha256().digest_size * 2


def test_denormals_count_as_zero_only_inside_compiled_training():
    tiny = np.float32(1e-42)

    def halves(x):
        return x * np.float32(0.5)

    assert float(bl.compile(halves)(tiny)) > 0.0  # not in compiled functions
    net = bl.nn.Sequential(bl.nn.Linear(1, 1, bias=False), seed=0)
    net.parameters()["layers.0.weight"].assign(np.full((1, 1), 1e-42, np.float32))
    X, y = np.ones((4, 1), np.float32), np.zeros((4, 1), np.float32)
    bl.fit(net, (X, y), loss=bl.nn.mse, optimizer=bl.optim.SGD(1e-3), epochs=1, batch_size=2)
    assert float(tiny) * 0.5 > 0.0 and float(np.float32(tiny) * np.float32(0.5)) > 0.0
    assert float(net.parameters()["layers.0.weight"].value[0, 0]) == 0.0


def test_a_loss_that_is_not_finite_is_named_by_replay():
    X, y = np.ones((12, 2), np.float32), np.zeros((12, 1), np.float32)
    net = bl.nn.Sequential(bl.nn.Linear(2, 1), seed=0)
    X[5] = 3e38
    with pytest.raises(bl.errors.TrainingError, match=r"step \d") as caught:
        bl.fit(net, (X, y), loss=bl.nn.mse, optimizer=bl.optim.SGD(1.0), epochs=3, batch_size=4,
               shuffle=False)  # fmt: skip
    assert "step 1" in str(caught.value)


def test_what_cannot_be_compiled_is_run_by_the_reference_and_said(monkeypatch):
    from backlight.execute.native import lower
    from backlight.execute.native.engine import CompileError

    def refuse(*arguments):
        raise CompileError("The kernel of exp is not accepted.")

    monkeypatch.setattr(lower, "lower", refuse)
    monkeypatch.setenv("BACKLIGHT_CACHE", "off")
    fast = bl.compile(lambda x: bl.exp(x) * 1.0625)
    with pytest.warns(bl.BacklightWarning, match="NumPy runs it.*exp") as said:
        found = fast(np.zeros(3))
    assert found.value.tolist() == [1.0625] * 3 and len(said) == 1
    fast(np.ones(3))  # said once


def test_too_little_memory_is_said_with_the_sizes_before_anything_runs(monkeypatch):
    from backlight.execute.native import room

    monkeypatch.setattr(room, "available", lambda: 10**8)
    fast = bl.compile(lambda x: bl.sum(bl.exp(x)[:, None] * bl.exp(x)[None, :] @ bl.exp(x)))
    with pytest.raises(bl.errors.OutOfMemoryError, match="GB of memory and 100.0 MB are there"):
        fast(np.zeros(30_000, np.float32))


@pytest.mark.parametrize("threads", [1, 2])
def test_as_many_threads_run_as_were_asked_for(monkeypatch, threads):
    teams = []

    def watched(work, size):
        teams.append(size)
        return run_team(work, 1)  # what is asked for counts, not what this machine has

    monkeypatch.setattr(program_module, "granted_cores", lambda: 4)
    monkeypatch.setattr(program_module, "run_team", watched)
    net = nn.Linear(3, 1)
    data = (np.ones((8, 3), np.float32), np.ones((8, 1), np.float32))
    bl.fit(net, data, loss=nn.mse, epochs=2, batch_size=4, threads=threads)
    assert set(teams) == {threads}
