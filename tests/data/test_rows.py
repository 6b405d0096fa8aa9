"""Rows in a file give what an array in memory gives, whatever is asked of them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backlight.data import rows as rows_module
from backlight.data.rows import FileRows, RowWriter, from_memmap, map_rows, pieces, take_rows
from backlight.errors import DataError


def in_file(array: np.ndarray) -> FileRows:
    with RowWriter(array.shape[1:], array.dtype) as writer:
        for part in np.array_split(array, 3):
            writer.write(part)
    return writer.rows()


TABLE = np.arange(60, dtype=np.float32).reshape(20, 3)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.integers(0, 19), max_size=40),
    piece=st.sampled_from([1, 24, 100, 10_000]),
    sparse=st.sampled_from([1, 3, 64]),
)
def test_rows_in_any_order_and_number(rows, piece, sparse):
    held = in_file(TABLE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "PIECE_BYTES", piece)
        patch.setattr(rows_module, "SPARSE", sparse)
        found = held[np.array(rows, np.int64)]
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, TABLE[rows].reshape(-1, 3), strict=True)


@pytest.mark.parametrize("key", [slice(None), slice(3, 7), slice(-4, None), slice(7, 3), slice(0)])
def test_spans_are_copies_in_memory(key):
    found = in_file(TABLE)[key]
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, TABLE[key], strict=True)


def test_everything_else_of_an_array_works():
    held = in_file(TABLE)
    assert held.shape == (20, 3) and len(held) == 20 and held.nbytes == TABLE.nbytes
    np.testing.assert_array_equal(held[TABLE[:, 0] > 30], TABLE[TABLE[:, 0] > 30])
    np.testing.assert_array_equal(held[2:11:4], TABLE[2:11:4])
    np.testing.assert_array_equal(held[:, 1], TABLE[:, 1])
    np.testing.assert_array_equal(held[np.array([-1, 0])], TABLE[[-1, 0]])
    np.testing.assert_array_equal(held.reshape(60)[5:9], np.arange(5, 9))
    assert held[3, 2] == TABLE[3, 2]
    assert held.sum() == TABLE.sum()
    assert not held.flags.writeable
    with pytest.raises(IndexError):
        held[np.array([20])]


def test_reading_does_not_map_the_file():
    # 40 MB, read twice in full: the pages of a map would count as memory of the process.
    big = in_file(np.zeros((100_000, 100), np.float32))

    def resident() -> int:
        text = Path("/proc/self/status").read_text()
        return int(text.split("RssFile:")[1].split()[0]) // 1024

    if not os.path.exists("/proc/self/status"):
        pytest.skip("needs /proc")
    before = resident()
    for part in pieces(big):
        assert part[0, 0] == 0
    big[np.random.default_rng(0).permutation(100_000)[:20_000]]
    assert resident() - before < 10


def test_rows_of_other_shapes_and_dtypes():
    for array in (
        np.arange(7, dtype=np.int64),
        np.arange(24, dtype=np.float64).reshape(2, 3, 4),
        np.zeros((3, 0), np.float32),
    ):
        held = in_file(array) if array.size else take_rows(array, np.arange(3))
        np.testing.assert_array_equal(held[np.arange(len(array))[::-1]], array[::-1], strict=True)


def test_no_rows_are_an_array_in_memory():
    with RowWriter((2,), np.dtype(np.float32)) as writer:
        writer.write(np.empty((0, 2), np.float32))
    assert writer.rows().shape == (0, 2)


def test_take_and_map_stay_where_the_data_is():
    held = in_file(TABLE)
    rows = np.array([19, 0, 5, 5])
    for data, kind in ((TABLE, np.ndarray), (held, FileRows)):
        taken = take_rows(data, rows)
        doubled = map_rows(data, lambda part: part[:, :2] * 2, np.dtype(np.float64))
        assert type(taken) is kind and type(doubled) is kind
        np.testing.assert_array_equal(taken, TABLE[rows])
        np.testing.assert_array_equal(np.asarray(doubled), TABLE[:, :2].astype(np.float64) * 2)


def test_memory_maps_that_lie_in_rows_are_read_as_such(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, TABLE)
    mapped = np.load(path, mmap_mode="r")
    np.testing.assert_array_equal(from_memmap(mapped)[np.array([4, 2])], TABLE[[4, 2]])
    for other in (mapped[1:], mapped[:, :2], mapped.T, mapped.reshape(60)[::2]):
        assert from_memmap(other) is None


def test_a_file_cut_short_is_noticed(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(TABLE.tobytes())
    held = FileRows(path, np.dtype(np.float32), (20, 3))
    os.truncate(path, 100)
    with pytest.raises(DataError, match="cut short"):
        held[0:20]
    with pytest.raises(DataError, match="cannot be read as rows"):
        FileRows(path, np.dtype(np.float32), (20, 3))
    with pytest.raises(DataError, match="cannot be read as rows"):
        FileRows(tmp_path / "none", np.dtype(np.float32), (20, 3))


def test_a_full_disk_is_one_sentence(monkeypatch):
    class Full:
        def write(self, data):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: Full())
    with pytest.raises(DataError, match=r"No space left.*TMPDIR"):  # noqa: SIM117
        with RowWriter((3,), np.dtype(np.float32)) as writer:
            writer.write(TABLE)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    held = in_file(TABLE)
    assert held[0:1].tolist() == [[0, 1, 2]]
    assert not list(tmp_path.iterdir())
