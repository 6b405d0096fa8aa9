"""SciPy's sparse matrices become dense rows, in memory or in a file."""

from __future__ import annotations

import numpy as np
import pytest

import backlight as bl
from backlight import nn
from backlight.data import as_dataset
from backlight.data import rows as rows_module
from backlight.data.rows import FileRows
from backlight.data.sparse import dense_rows, is_sparse
from backlight.errors import DataError

sparse = pytest.importorskip("scipy.sparse")


@pytest.fixture(params=["csr_matrix", "csc_array", "coo_array", "lil_matrix"])
def matrix(request):
    dense = np.zeros((40, 5), np.float32)
    dense[np.arange(40), np.arange(40) % 5] = np.arange(40)
    return getattr(sparse, request.param)(dense)


def test_rows_are_dense(matrix, monkeypatch):
    assert is_sparse(matrix)
    np.testing.assert_array_equal(dense_rows(matrix), matrix.toarray(), strict=True)
    monkeypatch.setattr(rows_module, "IN_MEMORY_BYTES", 100)
    monkeypatch.setattr("backlight.data.sparse.PIECE_BYTES", 64)
    held = dense_rows(matrix)
    assert type(held) is FileRows
    np.testing.assert_array_equal(np.asarray(held), matrix.toarray(), strict=True)


def test_sets_and_training_take_them(matrix):
    y = np.arange(40) % 2
    data = as_dataset(matrix, y)
    np.testing.assert_array_equal(data.X, matrix.toarray())
    runs = []
    for X in (matrix, matrix.toarray()):
        net = nn.Sequential(nn.Linear(5, 2), seed=0)
        runs.append(bl.fit(net, (X, y), loss=nn.cross_entropy, epochs=2).history["loss"])
    assert runs[0] == runs[1]


def test_what_is_not_real_numbers():
    with pytest.raises(DataError, match="give real numbers"):
        dense_rows(sparse.csr_array(np.eye(2) * 1j))
