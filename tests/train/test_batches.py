"""The batch order is a permutation, a pure function of seed and epoch, and keeps ragged ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backlight.data.rows import FileRows, RowWriter
from backlight.errors import UsageError
from backlight.train.batches import ORDER_STREAM, Ahead, BatchPlan, ahead_of, batches, order


@given(st.integers(0, 2**63 - 1), st.integers(0, 10**6), st.integers(1, 200))
def test_every_epoch_sees_every_example_once(seed, epoch, n):
    assert sorted(order(seed, epoch, n).tolist()) == list(range(n))


def test_the_order_is_that_of_the_streams_keys():
    generator = np.random.Philox(key=[7, ORDER_STREAM], counter=[0, 0, 3, 0])
    keys = [int(word) >> 4 for word in generator.random_raw(9)]  # four bits tell 9 places apart
    assert order(7, 3, 9).tolist() == sorted(range(9), key=keys.__getitem__)


@pytest.mark.parametrize("n", [1, 2, 3, 64, 65, 1000])
def test_every_order_has_each_place_once(n):
    assert sorted(order(2, 1, n).tolist()) == list(range(n))


def test_all_orders_are_about_equally_frequent():
    counts = np.unique([order(seed, 0, 3) for seed in range(3000)], axis=0, return_counts=True)[1]
    assert len(counts) == 6 and np.sum((counts - 500) ** 2 / 500) < 20.5  # chi², 5 degrees, 0.1 %


def test_seeds_and_epochs_give_different_orders():
    found = {tuple(order(seed, epoch, 30)) for seed in range(5) for epoch in range(5)}
    assert len(found) == 25


def test_numpys_generator_has_no_say():
    np.random.seed(0)
    first = order(1, 2, 50)
    np.random.seed(9)
    assert order(1, 2, 50).tolist() == first.tolist()


@given(st.integers(1, 300), st.one_of(st.none(), st.integers(1, 400)))
def test_batches_cut_an_epoch_without_gaps(n, size):
    found = batches(n, size)
    assert [k for each in found for k in each] == list(range(n))
    full = n if size is None else min(size, n)
    assert all(len(each) == full for each in found[:-1])
    assert 1 <= len(found[-1]) <= full


@pytest.mark.parametrize(("n", "size", "word"), [(0, 3, "example"), (5, 0, "batch_size")])
def test_nothing_cannot_be_cut(n, size, word):
    with pytest.raises(UsageError, match=word):
        batches(n, size)


@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 400), st.booleans())
def test_a_steps_examples_are_those_of_its_place_in_the_epoch(n, size, step, shuffle):
    plan = BatchPlan(n, size, seed=3, shuffle=shuffle)
    epoch, batch = plan.position(step)
    assert epoch * plan.per_epoch + batch == step and 0 <= batch < plan.per_epoch
    rows = plan.indices(step).tolist()
    expected = plan.epoch_order(epoch)[batch * size : (batch + 1) * size].tolist()
    assert rows == expected
    assert len(rows) == plan.length(batch) and len(rows) in plan.lengths


def test_without_shuffling_and_in_full_batches_the_order_is_the_datas():
    assert BatchPlan(5, 2, shuffle=False).indices(4).tolist() == [2, 3]
    assert BatchPlan(5, None, shuffle=True).indices(9).tolist() == [0, 1, 2, 3, 4]


# ---- data in files ------------------------------------------------------------------------------


@given(
    st.integers(1, 60), st.integers(1, 20), st.integers(1, 9), st.sampled_from([1, 100, 400, 10**6])
)
def test_reading_ahead_gives_each_step_its_examples(n, size, together, nbytes):
    X, y = np.arange(3.0 * n).reshape(n, 3), np.arange(n)
    with RowWriter((3,), X.dtype) as writer:
        writer.write(X)
    plan = BatchPlan(n, size, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backlight.train.batches.AHEAD_BYTES", nbytes)
        ahead = ahead_of((writer.rows(), y))
    assert isinstance(ahead, Ahead)
    for epoch in (0, 1, 0):
        in_order = plan.epoch_order(epoch)
        for batch in range(0, plan.per_epoch, together):
            count = min(together, plan.per_epoch - batch)
            start, stop = plan.span(batch, count)
            held, first = ahead.take(epoch, in_order, start, stop)
            rows = in_order[start:stop]
            assert not isinstance(held[0], FileRows)
            np.testing.assert_array_equal(held[0][first : first + len(rows)], X[rows])
            np.testing.assert_array_equal(held[1][first : first + len(rows)], rows)
            # It holds no more than it may, but for a request that is larger.
            assert len(held[0]) <= max(nbytes // 32, len(rows), 1)


def test_data_in_memory_is_not_read_ahead():
    assert ahead_of((np.zeros((3, 2)), np.zeros(3))) is None
