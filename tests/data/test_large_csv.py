"""Tables of text that are large: features in a file, and a sentence where the rows are too many."""

from __future__ import annotations

import numpy as np
import pytest

from backlight.data import csv_file, read, read_rows, rows
from backlight.data.rows import FileRows
from backlight.errors import OutOfMemoryError
from backlight.execute.native import room


def test_large_features_lie_in_a_file(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    lines = [f"{k},2024-01-{1 + k % 28:02},{'ab'[k % 2]},5,{k % 2}" for k in range(9000)]
    path.write_text("x,when,town,same,y\n" + "\n".join(lines) + "\n")
    whole = read(path)
    monkeypatch.setattr(rows, "IN_MEMORY_BYTES", 100_000)
    data = read(path)
    assert isinstance(data.X, FileRows) and not isinstance(whole.X, FileRows)
    np.testing.assert_array_equal(np.asarray(data.X), whole.X)
    np.testing.assert_array_equal(data.X[:, 0], np.arange(9000, dtype=np.float32))
    again = read_rows(path, data.columns)
    assert isinstance(again, FileRows)
    np.testing.assert_array_equal(np.asarray(again), whole.X)


def test_too_many_rows_are_refused_before_they_are_read(tmp_path, monkeypatch):
    path = tmp_path / "big.csv"
    path.write_text("x,y\n" + "1,2\n3,4\n" * 5000)
    monkeypatch.setattr(csv_file, "LARGE_BYTES", 1000)
    assert len(read(path)) == 10_000
    monkeypatch.setattr(room, "available", lambda: 10_000 * 90)
    with pytest.raises(OutOfMemoryError, match="about 10,001 rows, .*write it as Parquet"):
        read(path)
    monkeypatch.setattr(room, "available", lambda: None)
    assert len(read(path)) == 10_000
