"""Philox4x32-10 against published answers, and the numbers made from it against statistics.

The known answers are those of Random123's `kat_vectors` (Salmon, Moraes, Dror and Shaw, SC 2011).
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats

import backlight as bl
from backlight.errors import DtypeError
from backlight.ops.random import bits, permutation, philox, uniform
from backlight.trace import rebuild, trace

RANDOM_UNIFORM = bl.registry()["random_uniform"]
ONES = 0xFFFFFFFF
KNOWN_ANSWERS = (
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)
F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


def one_block(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """Philox4x32-10 on Python integers, word by word."""
    c, k = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [second >> 32 ^ c[1] ^ k[0], second & ONES, first >> 32 ^ c[3] ^ k[1], first & ONES]
        k = [(k[0] + 0x9E3779B9) & ONES, (k[1] + 0xBB67AE85) & ONES]
    return tuple(c)


def draw(shape: tuple[int, ...], *, seed: int = 0, step: int = 0, stream: int = 0,
         dtype: np.dtype = F64) -> np.ndarray:  # fmt: skip
    result = RANDOM_UNIFORM(
        bl.tensor(seed), bl.tensor(step), stream=stream, shape=shape, dtype=dtype
    )
    assert result.dtype == dtype
    assert result.shape == shape
    return result.value


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], answer: tuple[int, ...]
) -> None:
    assert tuple(philox(np.array([counter], np.uint64), key)[0].tolist()) == answer
    assert one_block(counter, key) == answer


@pytest.mark.parametrize("seed", [0, 7, 2**32 + 5, 2**63 - 1])
@pytest.mark.parametrize("step", [0, 1, 2**32 + 3])
def test_words_come_from_counter_and_key(seed: int, step: int) -> None:
    stream = 11
    got = bits(seed, stream, step, 11).tolist()
    blocks = [
        one_block((k, stream, step & ONES, step >> 32), (seed & ONES, seed >> 32)) for k in range(3)
    ]
    assert got == [word for block in blocks for word in block][:11]


def test_uniform_numbers_are_the_top_bits() -> None:
    words = [int(each) for each in bits(3, 1, 2, 6)]
    singles = uniform(3, 1, 2, (3,), F32)
    assert [float(each) for each in singles] == [(word >> 8) / 2**24 for word in words[:3]]
    doubles = uniform(3, 1, 2, (3,), F64)
    assert doubles.tolist() == [
        ((words[k] >> 5) * 2**26 + (words[k + 1] >> 6)) / 2**53 for k in (0, 2, 4)
    ]


@pytest.mark.parametrize("dtype", [F32, F64])
def test_uniform_statistics(dtype: np.dtype) -> None:
    count = 200_000
    x = draw((count,), seed=42, dtype=dtype).astype(float)
    assert x.min() >= 0.0
    assert x.max() < 1.0
    # Five standard errors of the mean and of the variance (fourth central moment 1/80).
    assert abs(x.mean() - 1 / 2) < 5 * np.sqrt(1 / 12 / count)
    assert abs(x.var() - 1 / 12) < 5 * np.sqrt((1 / 80 - 1 / 144) / count)
    counts = np.bincount((x * 100).astype(int), minlength=100)
    assert 1e-4 < scipy.stats.chisquare(counts).pvalue < 1 - 1e-4
    pairs = np.histogram2d(x[::2], x[1::2], bins=10, range=[[0, 1], [0, 1]])[0]
    assert 1e-4 < scipy.stats.chisquare(pairs.ravel()).pvalue < 1 - 1e-4


def test_numbers_depend_on_their_position_only() -> None:
    whole = draw((60,), seed=5)
    for shape in ((), (1,), (7,), (3, 4), (5, 3, 4)):
        count = int(np.prod(shape, dtype=int))
        np.testing.assert_array_equal(draw(shape, seed=5).ravel(), whole[:count])
    assert draw((0, 3)).shape == (0, 3)


def test_seeds_streams_and_steps_give_unrelated_numbers() -> None:
    count = 20_000
    drawn = [
        draw((count,), seed=seed, stream=stream, step=step)
        for seed, stream, step in itertools.product((0, 1, 2**32), (0, 1), (0, 1, 2**32))
    ]
    table = np.corrcoef(drawn)
    others = np.abs(table[~np.eye(len(drawn), dtype=bool)])
    assert others.max() < 5 / np.sqrt(count)


def test_negative_seeds_are_taken_as_64_bits() -> None:
    np.testing.assert_array_equal(bits(-1, 0, 0, 4), bits(2**64 - 1, 0, 0, 4))


def test_traced_numbers_are_the_same() -> None:
    attributes = {"stream": 3, "shape": (2, 3), "dtype": F32}
    graph = trace(lambda seed, step: RANDOM_UNIFORM(seed, step, **attributes), 9, 4)
    node = graph.nodes[graph.outputs[0]]
    assert (node.shape, node.dtype) == ((2, 3), F32)
    made = rebuild(graph, [bl.tensor(9), bl.tensor(4)])[graph.outputs[0]]
    np.testing.assert_array_equal(made.value, draw((2, 3), seed=9, step=4, stream=3, dtype=F32))


def test_unfit_arguments_are_refused() -> None:
    attributes = {"stream": 0, "shape": (2,), "dtype": F64}
    for seed, step in ((1.5, 0), (0, 1.5), ([1, 2], 0), (True, 0)):
        with pytest.raises(DtypeError, match="random_uniform"):
            RANDOM_UNIFORM(bl.tensor(seed), bl.tensor(step), **attributes)
    for dtype in ("int64", "bool", "float16"):
        with pytest.raises(DtypeError, match="random_uniform"):
            RANDOM_UNIFORM(bl.tensor(0), bl.tensor(0), stream=0, shape=(2,), dtype=np.dtype(dtype))


@pytest.mark.parametrize("count", [0, 1, 2, 5, 1000])
def test_a_permutation_holds_each_number_once(count: int) -> None:
    assert sorted(permutation(1, 2, 3, count).tolist()) == list(range(count))


def test_permutations_are_uniform() -> None:
    orders = list(itertools.permutations(range(4)))
    drawn = [tuple(permutation(6, 0, step, 4).tolist()) for step in range(4800)]
    counts = [drawn.count(each) for each in orders]
    assert 1e-4 < scipy.stats.chisquare(counts).pvalue < 1 - 1e-4
