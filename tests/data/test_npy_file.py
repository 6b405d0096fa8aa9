"""Reading .npy files as tables, in memory and in their file."""

from __future__ import annotations

import numpy as np
import pytest

from backlight.data import Column, read, read_npy, read_rows
from backlight.data import rows as rows_module
from backlight.data.rows import FileRows
from backlight.errors import DataError, UsageError

TABLE = np.array([[1.5, 2, 0], [3, 4, 1], [5, 6.5, 1], [7, 8, 0]])


@pytest.fixture
def save(tmp_path):
    def save(array, name="t.npy"):
        np.save(tmp_path / name, array)
        return tmp_path / name

    return save


def test_the_last_column_is_the_target(save):
    data = read(save(TABLE))
    np.testing.assert_array_equal(data.X, TABLE[:, :2].astype(np.float32), strict=True)
    assert data.y.tolist() == [0, 1, 1, 0]
    assert (data.feature_names, data.target_name) == (("column_1", "column_2"), "column_3")


def test_the_target_can_be_chosen(save):
    data = read(save(TABLE), "column_2")
    assert data.task == "regression"
    np.testing.assert_array_equal(data.X, TABLE[:, [0, 2]].astype(np.float32))
    labels = read(save(np.column_stack([TABLE, 1 - TABLE[:, 2]])), "column_3,column_4")
    assert (labels.task, labels.class_names) == ("labels", ("column_3", "column_4"))
    with pytest.raises(DataError, match=r"no column 'column_9' .did you mean"):
        read(save(TABLE), "column_9")
    with pytest.raises(UsageError, match="dtype"):
        read_npy(save(TABLE), dtype="int8")


def test_large_files_are_copied_a_piece_at_a_time(save, monkeypatch):
    rng = np.random.default_rng(0)
    table = np.column_stack([rng.normal(size=(300, 3)), np.arange(300) % 2])
    path = save(table)
    here = read(path)
    monkeypatch.setattr(rows_module, "IN_MEMORY_BYTES", 100)
    monkeypatch.setattr(rows_module, "PIECE_BYTES", 500)
    there = read(path)
    assert type(there.X) is FileRows
    assert there.fingerprint() == here.fingerprint()


def test_rows_to_predict_for_need_no_target(save):
    columns = [Column("column_1"), Column("column_2")]
    for array in (TABLE, TABLE[:, :2]):
        np.testing.assert_array_equal(read_rows(save(array), columns), TABLE[:, :2])
    with pytest.raises(
        DataError, match="lacks a column that the network was trained on: 'column_4'"
    ):
        read_rows(save(TABLE), [Column("column_1"), Column("column_4")])


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros(3), "shape (3,)"),
        (np.zeros((1, 3)), "shape (1, 3)"),
        (np.zeros((3, 1)), "shape (3, 1)"),
        (np.zeros((0, 3)), "shape (0, 3)"),
        (np.asfortranarray(TABLE), "column by column"),
        (np.array([["a", "b"], ["c", "d"]]), "not numbers"),
        (np.zeros((2, 2), complex), "not numbers"),
        (np.array([[1.0, 0], [np.nan, 1]]), "row 1, column_1, is nan"),
        (np.array([[1.0, 0], [2, np.inf]]), "row 1, is not finite"),
        (np.array([[1e300, 0], [2, 1]]), "row 0, column_1"),
        (np.array([[1.0, 1], [2, 1]]), "single class"),
    ],
)
def test_arrays_that_cannot_be_used(save, array, says):
    with pytest.raises(DataError) as caught:
        read(save(array))
    assert says in str(caught.value)


def test_objects_are_never_unpickled(tmp_path):
    path = tmp_path / "t.npy"
    np.save(path, np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="not numbers"):
        read(path)


def test_damaged_files(save):
    path = save(TABLE)
    whole = path.read_bytes()
    for content, says in (
        (b"", "is empty"),
        (whole[:-1], "95 bytes of data where its header announces 96"),
        (whole + b"\0", "97 bytes"),
        (whole[:20], "no readable .npy file"),
        (whole.replace(b"(4, 3)", b"(-4,3)"), "no readable .npy file"),
        (whole.replace(b"(4, 3)", b"(9**9)"), "no readable .npy file"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            read(path)
        assert says in str(caught.value)
