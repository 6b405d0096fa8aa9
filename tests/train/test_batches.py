"""The batch order is a permutation, a pure function of seed and epoch, and keeps ragged ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backlight.errors import UsageError
from backlight.ops.random import bits
from backlight.train.batches import ORDER_STREAM, BatchPlan, batches, order


@given(st.integers(0, 2**63 - 1), st.integers(0, 10**6), st.integers(1, 200))
def test_every_epoch_sees_every_example_once(seed, epoch, n):
    assert sorted(order(seed, epoch, n).tolist()) == list(range(n))


def test_the_order_is_that_of_the_streams_64_bit_keys():
    words = bits(7, ORDER_STREAM, 3, 2 * 9).astype(object)
    keys = [int(words[2 * i]) * 2**32 + int(words[2 * i + 1]) for i in range(9)]
    assert order(7, 3, 9).tolist() == sorted(range(9), key=keys.__getitem__)


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
