"""SciPy's sparse matrices as rows that a network can take.

It takes a matrix or array of scipy.sparse and gives dense rows: in memory, or, where they are
large, in a temporary file that is read a few rows at a time.  SciPy itself is not imported.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backlight.data.rows import PIECE_BYTES, AnyArray, RowWriter, too_large
from backlight.errors import DataError


def is_sparse(value: object) -> bool:
    """Tell whether something is a sparse matrix of SciPy.

    Examples
    --------
    >>> is_sparse(np.eye(2))
    False
    """
    return type(value).__module__.startswith("scipy.sparse") and hasattr(value, "tocsr")


def dense_rows(matrix: Any, name: str = "X") -> AnyArray:
    """Return a sparse matrix as dense rows, in float32 unless it is float64.

    Parameters
    ----------
    matrix : scipy.sparse matrix or array (n, d)
    name : str
        How messages call it.

    Raises
    ------
    DataError
        When it does not hold real numbers, or is not two-dimensional.
    """
    if matrix.ndim != 2 or matrix.dtype.kind not in "biuf":
        raise DataError(
            f"{name} is a sparse array of shape {matrix.shape} and dtype {matrix.dtype}; give real "
            "numbers in rows and columns."
        )
    dtype = np.dtype(np.float64 if matrix.dtype == np.float64 else np.float32)
    n, d = matrix.shape
    rows = matrix.tocsr()
    if not too_large(n * d * dtype.itemsize):
        whole: AnyArray = rows.astype(dtype).toarray()
        return whole
    together = max(PIECE_BYTES // (d * dtype.itemsize), 1)
    with RowWriter((d,), dtype) as writer:
        for start in range(0, n, together):
            writer.write(rows[start : start + together].astype(dtype).toarray())
    return writer.rows()
