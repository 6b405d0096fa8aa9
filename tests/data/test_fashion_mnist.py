"""Fashion-MNIST from the Debian package, read whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backlight.data import load
from backlight.errors import DataError

FOLDER = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.skipif(
    not FOLDER.is_dir(), reason="needs the Debian package dataset-fashion-mnist (apt install)"
)
def test_the_whole_set(monkeypatch):
    monkeypatch.delenv("BACKLIGHT_FASHION_MNIST", raising=False)
    data = load("fashion-mnist")
    assert data.X.shape == (60_000, 784)
    assert data.test.X.shape == (10_000, 784)
    for part, each in ((data, 6000), (data.test, 1000)):
        assert part.X.dtype == np.float32
        assert (part.X.min(), part.X.max()) == (0, 1)
        assert part.image_shape == (28, 28)
        np.testing.assert_array_equal(np.bincount(part.y), [each] * 10)
        assert part.class_names[0] == "T-shirt/top"
        assert part.class_names[9] == "Ankle boot"
    # The first labels of the training set, by eye: boot, two shirts, dress, shirt.
    assert data.y[:5].tolist() == [9, 0, 0, 3, 0]


def test_absent(monkeypatch, tmp_path):
    monkeypatch.setenv("BACKLIGHT_FASHION_MNIST", str(tmp_path / "none"))
    with pytest.raises(DataError, match="environment variable BACKLIGHT_FASHION_MNIST"):
        load("fashion-mnist")
    monkeypatch.setenv("BACKLIGHT_FASHION_MNIST", str(tmp_path))
    with pytest.raises(DataError, match="lacks train-images-idx3-ubyte"):
        load("fashion-mnist")
    monkeypatch.delenv("BACKLIGHT_FASHION_MNIST")
    monkeypatch.setattr("backlight.data.sources._FASHION_MNIST_FOLDER", str(tmp_path / "none"))
    with pytest.raises(DataError, match="install the Debian package dataset-fashion-mnist"):
        load("fashion-mnist")
