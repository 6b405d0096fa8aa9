"""Several threads on one program: the same bits for any number of them, and no way to hang."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.explain import programs

import backlight as bl
from backlight.differentiate.reverse import sweep, unit_seed
from backlight.execute.native import cores, program, together
from backlight.execute.native.program import NativeProgram
from backlight.tensor import quiet
from backlight.trace import capture

RNG = np.random.default_rng(3)


@pytest.fixture
def many_cores(monkeypatch):
    """As if there were enough cores, and nothing too small to be divided."""
    monkeypatch.setattr(program, "granted_cores", lambda: 8)
    monkeypatch.setattr(program, "WORTH_SHARING", 0.0)


def bits(arrays):
    return [np.asarray(each).tobytes() for each in arrays]


def array(*shape, dtype="float32"):
    return RNG.standard_normal(shape).astype(dtype)


CASES = {
    "network": (
        lambda x, w, b: bl.sum(bl.relu(x @ w.T + b), axis=0),
        array(37, 41), array(65, 41), array(65),
    ),
    "reductions": (lambda x: (bl.sum(x, axis=0), bl.sum(x, axis=1), bl.max(x)), array(33, 70)),
    "moves": (lambda x: (bl.reshape(x.T, (-1,)), bl.concat([x, x * 2.0])), array(19, 23)),
    "tall": (lambda x, y: x @ y, array(301, 7), array(7, 3)),
    "contraction": (lambda x, y: bl.einsum("abc,cbd->da", x, y), array(5, 6, 7), array(7, 6, 9)),
    "running sum": (lambda x: bl.cumulative_sum(x * x, axis=0) + 1.0, array(40, 9)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_any_number_of_threads_gives_the_same_bits(name, many_cores):
    function, *values = CASES[name]
    graph = bl.trace(function, *values)
    wanted = bits(NativeProgram(graph, threads=1).run(values))
    for threads in (2, 3, 7):
        made = NativeProgram(graph, threads=threads)
        assert made.threads == threads and made.lowered.shared
        assert bits(made.run(values)) == wanted


@pytest.mark.filterwarnings("ignore::backlight.BacklightWarning")
@settings(max_examples=15)
@given(st.randoms(use_true_random=False))
def test_random_programs_do_not_depend_on_the_threads(random):
    before, limit = program.granted_cores, program.WORTH_SHARING
    program.granted_cores, program.WORTH_SHARING = (lambda: 8), 0.0
    try:
        with quiet():
            built = programs.build(random.randrange, most=6)
            done = sweep([built.loss], [unit_seed(built.loss, "test")], built.leaves)
        gradients = [done.gradient(leaf) for leaf in built.leaves]
        outputs = [built.loss, *[each for each in gradients if each is not None]]
        graph, tensors = capture(outputs)
        values = [
            np.asarray(each.known_value)
            for each in tensors
            if each.inputs == () and each.primitive is not None and "value" not in each.attributes
        ]
        found = [bits(NativeProgram(graph, threads=k).run(values)) for k in (1, 2, 3)]
        assert found[0] == found[1] == found[2]
    finally:
        program.granted_cores, program.WORTH_SHARING = before, limit
        programs.forget_custom_operations()


def trained(threads: int) -> tuple[dict[str, list[float]], list[bytes]]:
    net = bl.nn.Sequential(
        bl.nn.Linear(12, 40), bl.nn.ReLU(), bl.nn.Dropout(0.2), bl.nn.Linear(40, 3), seed=0
    )
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((70, 12)).astype(np.float32), rng.integers(0, 3, 70)
    run = bl.fit(net, (X, y), loss=bl.nn.cross_entropy, epochs=4, batch_size=16, seed=1,
                 executor="native", threads=threads)  # fmt: skip
    history = {key: values for key, values in run.history.items() if key != "seconds"}
    return history, [np.asarray(each).tobytes() for each in run.parameters.values()]


def test_training_gives_the_same_bits_for_any_number_of_threads(many_cores):
    wanted = trained(1)
    assert trained(2) == wanted
    assert trained(3) == wanted


def test_no_more_threads_than_cores_are_granted():
    graph = bl.trace(lambda x: x @ x, array(300, 300))
    assert NativeProgram(graph, threads=1000).threads <= cores.granted_cores()


def test_small_programs_stay_on_one_thread():
    assert NativeProgram(bl.trace(lambda x: bl.exp(x) + 1.0, array(16))).threads == 1


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("max 100000", None), ("150000 100000", 1.5), ("400000 100000", 4.0), ("nonsense", None)],
)
def test_the_quota_of_the_control_group_is_respected(text, wanted, tmp_path, monkeypatch):
    path = tmp_path / "cpu.max"
    path.write_text(text + "\n")
    monkeypatch.setattr(cores, "CGROUP_2", path)
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    assert cores._quota() == wanted
    assert cores.granted_cores() == (6 if wanted is None else int(wanted))


@pytest.mark.parametrize(("asked", "wanted"), [("1", 1), ("2,1", 2), ("64", 6), ("x", 6), ("", 6)])
def test_the_usual_variable_limits_the_usual_number(asked, wanted, monkeypatch):
    monkeypatch.setattr(cores, "granted_cores", lambda: 6)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert cores.usual_threads() == wanted


def test_a_system_without_more_threads_runs_with_those_that_it_has(monkeypatch):
    start = threading.Thread.start
    begun = []

    def refuse(self):
        if begun:
            raise RuntimeError("can't start new thread")
        begun.append(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    seen = []
    lock = threading.Lock()

    def work(thread, threads, memory):
        with lock:
            seen.append((thread, threads))
        return thread

    assert together.run_team(work, 4) == [0, 1]
    assert sorted(seen) == [(0, 2), (1, 2)]
