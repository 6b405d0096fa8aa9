"""Counter-based random numbers: Philox4x32-10.

J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw, "Parallel random numbers: as easy as 1, 2,
3", SC 2011.  Each number is a pure function of (seed, stream, step, position), so the same bits
come out in any order, on any number of threads, in the reference and in compiled code.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backlight.errors import DtypeError
from backlight.graph.notation import function
from backlight.graph.primitive import REGISTRY, Dtype, Kind, Primitive, Shape, Spec

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MASK = 0xFFFFFFFF


def philox(counter: np.ndarray[Any, Any], key: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Return the four 32-bit outputs of Philox4x32-10 for each counter.

    Parameters
    ----------
    counter : ndarray of uint32 in uint64, shape (n, 4)
        The counters.
    key : pair of int
        Two 32-bit words.

    Returns
    -------
    ndarray of uint32, shape (n, 4)
    """
    c0, c1, c2, c3 = (counter[:, k].astype(np.uint64) for k in range(4))
    k0, k1 = key
    for _ in range(10):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (
            (p1 >> _HALF) ^ c1 ^ np.uint64(k0),
            p1 & _LOW,
            (p0 >> _HALF) ^ c3 ^ np.uint64(k1),
            p0 & _LOW,
        )
        k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def bits(seed: int, stream: int, step: int, count: int, start: int = 0) -> np.ndarray[Any, Any]:
    """Return ``count`` random 32-bit words of one stream at one step, from a multiple of 4 on.

    Word ``i`` is output ``i % 4`` of the block with counter (i // 4, stream, step's low and high
    half) under the key made of the seed's low and high half.

    Examples
    --------
    >>> bits(0, 0, 0, 3).dtype
    dtype('uint32')
    """
    blocks = -(-count // 4)
    counter = np.empty((blocks, 4), np.uint64)
    counter[:, 0] = np.arange(start // 4, start // 4 + blocks, dtype=np.uint64) & _LOW
    counter[:, 1] = stream & _MASK
    counter[:, 2] = step & _MASK
    counter[:, 3] = (step >> 32) & _MASK
    return philox(counter, (seed & _MASK, (seed >> 32) & _MASK)).reshape(-1)[:count]


def uniform(seed: int, stream: int, step: int, shape: Shape, dtype: Dtype) -> np.ndarray[Any, Any]:
    """Return numbers in [0, 1): the top 24 bits of a word for float32, 53 of two for float64."""
    count = math.prod(shape)
    if np.dtype(dtype) == np.float32:
        words = bits(seed, stream, step, count)
        return ((words >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)).reshape(shape)
    words = bits(seed, stream, step, 2 * count).astype(np.uint64)
    high, low = words[0::2] >> np.uint64(5), words[1::2] >> np.uint64(6)
    return ((high * np.uint64(2**26) + low).astype(np.float64) * 2.0**-53).reshape(shape)


def permutation(seed: int, stream: int, step: int, count: int) -> np.ndarray[Any, Any]:
    """Return a random order of ``range(count)``: the order of random keys.

    The keys are the upper bits of 64-bit numbers, and the position stands in the lower ones, so
    that sorting the keys alone gives the order and equal keys keep theirs.  The numbers are
    NumPy's Philox (4 words of 64 bits), with seed and stream for its key and the step in the
    counter; nothing but the data's order is drawn from it.

    Examples
    --------
    >>> sorted(permutation(7, 1, 0, 5).tolist())
    [0, 1, 2, 3, 4]
    """
    key = np.array([each % 2**64 for each in (seed, stream)], np.uint64)
    counter = np.array([0, 0, step % 2**64, 0], np.uint64)
    keys = np.random.Philox(key=key, counter=counter).random_raw(count)
    positions = np.uint64((1 << max(count - 1, 1).bit_length()) - 1)
    keys &= ~positions
    keys |= np.arange(count, dtype=np.uint64)
    keys.sort()
    keys &= positions
    return keys.view(np.int64)


def _uniform_spec(seed: Spec, step: Spec, stream: int, shape: Shape, dtype: Dtype) -> Spec:
    for name, spec in (("seed", seed), ("step", step)):
        if spec.shape != () or spec.dtype.kind not in "iu":
            raise DtypeError(f"random_uniform: the {name} must be one integer, not {spec}.")
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise DtypeError(f"random_uniform gives float32 or float64, not {np.dtype(dtype)}.")
    return Spec(tuple(shape), np.dtype(dtype))


def _lower_uniform(
    e: Any, seed: Any, step: Any, position: Any, *, stream: int, shape: Shape, dtype: Dtype
) -> Any:
    """The same numbers in native code: one block of Philox for each of them."""
    wide = np.dtype(np.uint64)
    seed, step, position = (e.cast(each, wide) for each in (seed, step, position))
    single = np.dtype(dtype) == np.float32
    c0 = e.bitwise_and(e.shift_right(position, 2 if single else 1), _MASK)
    c1 = e.like(stream & _MASK, c0)
    c2, c3 = e.bitwise_and(step, _MASK), e.bitwise_and(e.shift_right(step, 32), _MASK)
    k0, k1 = e.bitwise_and(seed, _MASK), e.bitwise_and(e.shift_right(seed, 32), _MASK)
    for _ in range(10):
        p0, p1 = e.mul(c0, int(_M0)), e.mul(c2, int(_M1))
        c0, c1, c2, c3 = (
            e.bitwise_xor(e.bitwise_xor(e.shift_right(p1, 32), c1), k0),
            e.bitwise_and(p1, _MASK),
            e.bitwise_xor(e.bitwise_xor(e.shift_right(p0, 32), c3), k1),
            e.bitwise_and(p0, _MASK),
        )
        k0, k1 = (e.bitwise_and(e.add(k, w), _MASK) for k, w in ((k0, _W0), (k1, _W1)))
    odd = e.not_equal(e.bitwise_and(position, 1), 0)
    if single:
        upper = e.not_equal(e.bitwise_and(position, 2), 0)
        word = e.select(upper, e.select(odd, c3, c2), e.select(odd, c1, c0))
        return e.mul(e.cast(e.shift_right(word, 8), np.dtype(dtype)), 2.0**-24)
    high = e.shift_right(e.select(odd, c2, c0), 5)
    low = e.shift_right(e.select(odd, c3, c1), 6)
    return e.mul(e.cast(e.add(e.mul(high, 2**26), low), np.dtype(dtype)), 2.0**-53)


RANDOM_UNIFORM = REGISTRY.add(
    Primitive(
        "random_uniform",
        Kind.RANDOM,
        _uniform_spec,
        lambda xp, seed, step, stream, shape, dtype: xp.asarray(
            uniform(int(seed), stream, int(step), shape, dtype)
        ),
        formula=function("uniform"),
        symbol="r",
        lower=_lower_uniform,
        stops_gradient="random numbers depend on no other value",
        description="Numbers in [0, 1), a pure function of seed, stream, step and position.",
    )
)
