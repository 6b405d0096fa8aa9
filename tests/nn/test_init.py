"""Starting values: the moments that the formulas state, bounds, seeds and streams."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import scipy.stats

from backlight.errors import DtypeError, ShapeError, UsageError
from backlight.nn import init

SHAPE = (150, 200)  # fan_in 200, fan_out 150
VARIANCES = {
    "glorot_uniform": 2 / 350,
    "glorot_normal": 2 / 350,
    "he_uniform": 2 / 200,
    "he_normal": 2 / 200,
    "lecun_uniform": 1 / 200,
    "lecun_normal": 1 / 200,
    "uniform": 1 / 3,
    "normal": 1.0,
    "truncated_normal": float(scipy.stats.truncnorm.var(-2, 2)),
}
RULES = {
    name: each
    for name, each in vars(init).items()
    if inspect.isfunction(each) and each.__module__ == init.__name__ and "seed" in str(
        inspect.signature(each)
    ) and not name.startswith("_")
}  # fmt: skip


def test_all_rules_are_found():
    assert RULES.keys() == VARIANCES.keys() | {"zeros", "constant", "orthogonal"}


@pytest.mark.parametrize("name", VARIANCES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mean_and_variance(name, dtype):
    values = RULES[name](SHAPE, seed=3, stream=1, dtype=dtype).astype(np.float64)
    variance, count = VARIANCES[name], values.size
    assert abs(values.mean()) < 5 * np.sqrt(variance / count)
    # The variance of a sample's variance is at most 2σ⁴/n for these (kurtosis at most 3).
    assert abs(values.var() / variance - 1) < 5 * np.sqrt(2 / count)


@pytest.mark.parametrize("name", [name for name in VARIANCES if name.endswith("uniform")])
def test_uniform_numbers_are_uniform_within_their_limits(name):
    values = RULES[name](SHAPE, seed=1, dtype="float64").ravel()
    limit = np.sqrt(3 * VARIANCES[name])
    assert np.abs(values).max() <= limit
    assert scipy.stats.kstest(values, "uniform", (-limit, 2 * limit)).pvalue > 1e-3


@pytest.mark.parametrize("name", [n for n in VARIANCES if n.endswith("normal")])
def test_normal_numbers_are_normal(name):
    values = RULES[name](SHAPE, seed=2, dtype="float64").ravel() / np.sqrt(VARIANCES[name])
    if name == "truncated_normal":
        width = 2 / np.sqrt(VARIANCES[name])
        assert np.abs(values).max() <= width
        values = values * np.sqrt(VARIANCES[name])
        assert scipy.stats.kstest(values, scipy.stats.truncnorm(-2, 2).cdf).pvalue > 1e-3
    else:
        assert scipy.stats.kstest(values, "norm").pvalue > 1e-3
        assert abs(scipy.stats.pearsonr(values[0::2], values[1::2]).statistic) < 0.04


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 4), (1, 1), (0, 3), (2, 3, 5)])
def test_shape_and_dtype(name, dtype, shape):
    values = RULES[name](shape, dtype=dtype)
    assert values.shape == shape and values.dtype == dtype
    assert np.isfinite(values).all()


@pytest.mark.parametrize("name", RULES.keys() - {"zeros", "constant"})
def test_seeds_reproduce_and_seeds_and_streams_differ(name):
    rule, shape = RULES[name], (6, 6)
    base = rule(shape, 1, 2)
    assert np.array_equal(base, rule(shape, seed=1, stream=2))
    assert not np.array_equal(base, rule(shape, 2, 2))
    assert not np.array_equal(base, rule(shape, 1, 3))


def test_zeros_and_constant():
    assert not init.zeros((3,)).any()
    assert (init.constant((2, 2), value=0.25) == 0.25).all()


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3), (4, 2, 3)])
def test_orthogonal(shape):
    q = init.orthogonal(shape, 5, dtype="float64", gain=2.0).reshape(shape[0], -1)
    small = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
    assert np.allclose(small, 4 * np.eye(len(small)), atol=1e-12)


def test_orthogonal_does_not_prefer_a_sign():
    diagonals = [init.orthogonal((2, 2), seed, dtype="float64")[0, 0] for seed in range(200)]
    assert abs(np.mean(diagonals)) < 0.25


def test_fans():
    assert init.fans((10, 64)) == (64, 10)
    assert init.fans((8, 3, 5, 5)) == (75, 200)
    assert init.fans((7,)) == (7, 7)
    assert init.fans(()) == init.fans((0,)) == (1, 1)


def test_uniform_and_normal_take_their_moments():
    values = init.uniform((20_000,), 1, low=2.0, high=4.0)
    assert values.min() >= 2 and values.max() <= 4 and abs(values.mean() - 3) < 0.03
    values = init.normal((20_000,), 1, mean=5.0, std=0.5)
    assert abs(values.mean() - 5) < 0.02 and abs(values.std() - 0.5) < 0.02
    assert (init.normal((3,), std=0.0, mean=2.0) == 2).all()


def test_complaints():
    with pytest.raises(UsageError, match="low ≤ high"):
        init.uniform((2,), low=1.0, high=0.0)
    with pytest.raises(UsageError, match="std ≥ 0"):
        init.normal((2,), std=-1.0)
    with pytest.raises(UsageError, match="forever"):
        init.truncated_normal((2,), low=8.0, high=9.0)
    with pytest.raises(ShapeError, match="two axes"):
        init.orthogonal((3,))
    with pytest.raises(DtypeError, match="float16"):
        init.zeros((2,), dtype="float16")
