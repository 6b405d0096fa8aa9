"""One program for full and for ragged batches."""

from __future__ import annotations

import numpy as np
import pytest

import backlight as bl
from backlight.execute.native.batch import BatchSize, NotOneProgramError, merge
from backlight.train.engine import Engine


def graphs(function, *pairs):
    return [bl.trace(function, *(pair[k] for pair in pairs)) for k in (0, 1)]


def array(*shape):
    return np.random.default_rng(5).standard_normal(shape)


def test_sizes_that_differ_become_multiples_of_the_batch_length():
    full, ragged = graphs(
        lambda x, w: bl.mean(bl.reshape(x @ w, (-1,))),
        (array(8, 3), array(5, 3)),
        (array(3, 4), array(3, 4)),
    )
    merged = merge(full, ragged, 8, 5)
    shapes = {node.primitive.name: node.shape for node in merged.graph.nodes}
    assert shapes["reshape"] == (BatchSize(4, 8),)
    assert [float(each) for each in merged.other.values()] in ([20.0], [1 / 20.0])


def test_a_multiple_is_no_plain_number():
    size = BatchSize(2, 16)
    assert int(size) == 32 and size != 32 and size == BatchSize(2, 16)
    assert size * 3 == BatchSize(6, 16) and 3 * size == BatchSize(6, 16) and size * 0 == 0
    for spoilt in (lambda: size + 1, lambda: 1 - size, lambda: size // 2, lambda: size * size):
        with pytest.raises(NotOneProgramError):
            spoilt()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: bl.concat([x, bl.tensor(np.ones((3, 2)))]),  # a sum, no multiple
        lambda x: x if x.shape[0] > 6 else x * 2.0,  # another computation
        lambda x: bl.sum(x, axis=0 if x.shape[0] > 6 else 1),  # another axis
    ],
)
def test_what_depends_on_the_length_otherwise_is_refused(function):
    full, ragged = graphs(function, (array(8, 2), array(5, 2)))
    with pytest.raises(NotOneProgramError):
        merge(full, ragged, 8, 5)


def test_a_constant_may_depend_on_the_length():
    full, ragged = graphs(
        lambda x: x * bl.tensor(np.linspace(0.0, 1.0, x.shape[0]))[:, None],
        (array(8, 2), array(5, 2)),
    )
    (constant,) = merge(full, ragged, 8, 5).other.values()
    np.testing.assert_array_equal(constant.ravel(), np.linspace(0.0, 1.0, 5))


NETS = {
    "dense": lambda: [bl.nn.Linear(6, 9), bl.nn.Tanh(), bl.nn.Linear(9, 3)],
    "dropout": lambda: [bl.nn.Linear(6, 9), bl.nn.ReLU(), bl.nn.Dropout(0.3), bl.nn.Linear(9, 3)],
    "softmax": lambda: [bl.nn.Linear(6, 9), bl.nn.Softmax(), bl.nn.Linear(9, 3)],
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("ragged", [2, 5, 15])
def test_a_ragged_batch_is_served_by_the_same_program(name, ragged, monkeypatch):
    engines = []
    made = Engine.__init__

    def remember(self, *arguments, **options):
        made(self, *arguments, **options)
        engines.append(self)

    monkeypatch.setattr(Engine, "__init__", remember)
    n = 32 + ragged
    X, y = array(n, 6).astype(np.float32), np.arange(n) % 3
    histories = []
    for executor in ("native", "reference"):
        net = bl.nn.Sequential(*NETS[name](), seed=0)
        run = bl.fit(net, (X, y), loss=bl.nn.cross_entropy, epochs=4, batch_size=16, seed=1,
                     executor=executor)  # fmt: skip
        histories.append(run.history["loss"])
    np.testing.assert_allclose(*histories, rtol=1e-5)
    assert set(engines[0]._steps) == {16, ragged}
    assert len(set(map(id, engines[0]._steps.values()))) == 1


def test_a_network_that_looks_at_the_batch_length_gets_two_programs():
    class Odd(bl.nn.Module):
        def __init__(self):
            self.linear = bl.nn.Linear(6, 3, seed=0)

        def __call__(self, x):
            out = self.linear(x)
            return out if x.shape[0] == 16 else out * 0.5 + out * 0.5

    X, y = array(37, 6).astype(np.float32), np.arange(37) % 3
    histories = [
        bl.fit(Odd(), (X, y), loss=bl.nn.cross_entropy, epochs=3, batch_size=16, seed=1,
               executor=executor).history["loss"]
        for executor in ("native", "reference")
    ]  # fmt: skip
    np.testing.assert_allclose(*histories, rtol=1e-5)
