"""Generated sets: the formulas they state, their noise, and their seeds."""

from __future__ import annotations

import numpy as np
import pytest

from backlight.data import load
from backlight.errors import UsageError

GENERATED = ["xor", "spiral", "moons", "circles", "sine"]


def test_xor_is_the_truth_table():
    data = load("xor")
    np.testing.assert_array_equal(
        data.X, np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), strict=True
    )
    np.testing.assert_array_equal(data.y, np.array([0, 1, 1, 0], np.int64), strict=True)


def test_noisy_xor_stays_near_its_corners():
    data = load("xor", n=4001)
    corners = np.rint(np.clip(data.X, 0, 1))
    np.testing.assert_array_equal(data.y, np.logical_xor(*corners.T))
    assert np.std(data.X - corners) == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("name", GENERATED)
def test_seeds(name):
    first, again, other = (load(name, n=50, seed=seed).fingerprint() for seed in (3, 3, 4))
    assert first == again != other


@pytest.mark.parametrize("name", GENERATED)
@pytest.mark.parametrize("n", [5, 6, 7, 100])
def test_sizes_and_balance(name, n):
    data = load(name, n=n)
    assert len(data) == n
    assert data.X.dtype == np.float32
    if name not in ("sine", "xor"):
        counts = np.bincount(data.y, minlength=len(data.class_names))
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("n", [7, 8, 9, 300])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_spiral_without_noise(n, classes):
    data = load("spiral", n=n, classes=classes, noise=0, turns=0.6)
    assert data.class_names == tuple(str(k) for k in range(classes))
    for k in range(classes):
        points = data.X[data.y == k].astype(np.float64) @ [1, 1j]
        t = np.linspace(0, 1, len(points)) if len(points) > 1 else np.zeros(1)
        expected = t * np.exp(2j * np.pi * (k / classes + 0.6 * t))
        np.testing.assert_allclose(points, expected, atol=1e-6)


@pytest.mark.parametrize("n", [4, 9, 200])
def test_moons_and_circles_without_noise(n):
    moons = load("moons", n=n, noise=0)
    upper = moons.X[moons.y == 0].astype(np.float64)
    lower = np.array([1.0, 0.5]) - moons.X[moons.y == 1]
    for half in (upper, lower):
        angle = np.linspace(0, np.pi, len(half))
        np.testing.assert_allclose(half, np.stack([np.cos(angle), np.sin(angle)], 1), atol=1e-6)
    circles = load("circles", n=n, noise=0, factor=0.25)
    for k, radius in enumerate((1, 0.25)):
        points = circles.X[circles.y == k].astype(np.float64) @ [1, 1j]
        roots = radius * np.exp(2j * np.pi * np.arange(len(points)) / len(points))
        np.testing.assert_allclose(points, roots, atol=1e-6)


def test_sine_and_its_noise():
    data = load("sine", n=9, noise=0)
    assert data.task == "regression"
    assert data.class_names is None
    np.testing.assert_allclose(data.X[:, 0], np.pi * np.arange(-4, 5) / 4, rtol=1e-6)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(data.y, [0, -half, -1, -half, 0, half, 1, half, 0], atol=1e-6)
    noisy = load("sine", n=5000, noise=0.3)
    assert np.std(noisy.y - np.sin(noisy.X[:, 0])) == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize(
    ("name", "options", "part"),
    [
        ("xor", {"n": 1}, "n=1"),
        ("xor", {"n": 4.0}, "n=4.0"),
        ("spiral", {"classes": 1}, "classes=1"),
        ("spiral", {"classes": 5, "n": 4}, "n=4"),
        ("spiral", {"turns": float("inf")}, "turns=inf"),
        ("moons", {"noise": -0.1}, "noise=-0.1"),
        ("moons", {"noise": float("nan")}, "noise=nan"),
        ("circles", {"factor": 1.0}, "factor=1.0"),
        ("sine", {"seed": -1}, "seed=-1"),
        ("sine", {"seed": 1.5}, "seed=1.5"),
    ],
)
def test_impossible_options(name, options, part):
    with pytest.raises(UsageError) as caught:
        load(name, **options)
    assert part in str(caught.value)
