"""Rows of numbers in a file, read a few at a time, so that data may be larger than memory.

`FileRows` is a NumPy array whose rows are read from its file when they are asked for, and
`RowWriter` makes one, in a temporary file that is gone with the array.  `pieces`, `take_rows` and
`map_rows` treat it and an ordinary array alike, a few megabytes at once.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from backlight.data.messages import PathLike, name_of, reason
from backlight.errors import DataError

PIECE_BYTES = 4 * 2**20
"""How much is read or written at once."""

IN_MEMORY_BYTES = 64 * 2**20
"""Features larger than this are kept in a file."""

SPARSE = 64
"""Rows are read one by one where fewer than one of so many in a stretch of the file is wanted."""

AnyArray = npt.NDArray[Any]


def too_large(nbytes: int) -> bool:
    """Tell whether features of a size are kept in a file."""
    return nbytes > IN_MEMORY_BYTES


class FileRows(np.memmap[Any, Any]):
    """An array (n, ...) in a file; asking for rows reads them, and only them, into memory.

    ``rows[a:b]`` and ``rows[positions]`` give ordinary arrays.  They are read through the file
    and not through the memory map, so that what was read once does not stay in the process:
    beside its result, a read takes `PIECE_BYTES`.  Positions are read in the order of the file.
    Everything else an array can do works too, by way of the map.

    Parameters
    ----------
    file : path or binary file
        Of a path, the file is opened for reading; a file is kept open as long as the array.
    dtype : dtype
    shape : tuple of int
    offset : int
        Where the first row begins, in bytes.

    Examples
    --------
    >>> with RowWriter((2,), np.dtype(np.float32)) as writer:
    ...     writer.write(np.array([[1, 2], [3, 4], [5, 6]], np.float32))
    >>> rows = writer.rows()
    >>> rows[np.array([2, 0])]
    array([[5., 6.],
           [1., 2.]], dtype=float32)
    """

    _stream: IO[bytes] | None

    def __new__(
        cls,
        file: PathLike | IO[bytes],
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        offset: int = 0,
    ) -> FileRows:
        opened: IO[bytes] | None = None
        try:
            if isinstance(file, (str, os.PathLike)):
                opened = file = cast(IO[bytes], open(file, "rb", buffering=0))  # noqa: SIM115
            made = cast(
                FileRows,
                super().__new__(cls, file, dtype=dtype, mode="r", offset=offset, shape=shape),
            )
        except (OSError, ValueError, OverflowError) as error:
            if opened is not None:
                opened.close()
            named = getattr(file, "name", file)
            place = name_of(named) if isinstance(named, str) else "A file of rows"
            raise DataError(
                f"{place} cannot be read as rows of shape {shape[1:]} ({reason(error)}); "
                "make it anew."
            ) from error
        made._stream = file
        weakref.finalize(made, file.close)
        return made

    def __array_finalize__(self, source: object) -> None:
        """Let views be ordinary maps: only the whole array knows where its rows are."""
        super().__array_finalize__(source)
        self._stream = None

    @property
    def row_bytes(self) -> int:
        """The size of a row in bytes."""
        return int(math.prod(self.shape[1:]) * self.dtype.itemsize)

    def __getitem__(self, key: Any) -> Any:
        """Return rows as an ordinary array, or whatever else of an array the key names."""
        if self._stream is not None:
            if isinstance(key, slice):
                start, stop, step = key.indices(len(self))
                if step == 1:
                    return self._span(start, max(start, stop))
            elif isinstance(key, np.ndarray) and key.ndim == 1:
                if key.dtype == np.bool_ and len(key) == len(self):
                    return self._gather(np.flatnonzero(key))
                if key.dtype.kind in "iu" and _within(key, len(self)):
                    return self._gather(key)
        return super().__getitem__(key)

    def _span(self, start: int, stop: int) -> AnyArray:
        made = np.empty((stop - start, *self.shape[1:]), self.dtype)
        self._read(made, start)
        return made

    def _gather(self, rows: npt.NDArray[np.integer]) -> AnyArray:
        """Read rows in the order of the file, and give them in the order asked for."""
        made = np.empty((len(rows), *self.shape[1:]), self.dtype)
        if not len(rows):
            return made
        order = np.argsort(rows, kind="stable")
        wanted = rows[order]
        together = max(PIECE_BYTES // max(self.row_bytes, 1), 1)
        stretch = wanted // together
        starts = np.flatnonzero(np.diff(stretch, prepend=-1))
        for start, stop in zip(starts, [*starts[1:], len(wanted)], strict=True):
            first, last = int(wanted[start]), int(wanted[stop - 1])
            if (stop - start) * SPARSE < last - first:
                for k in range(start, stop):
                    place = order[k]
                    self._read(made[place : place + 1], int(wanted[k]))
            else:
                made[order[start:stop]] = self._span(first, last + 1)[wanted[start:stop] - first]
        return made

    def _read(self, into: AnyArray, first: int) -> None:
        """Fill an array with consecutive rows."""
        assert self._stream is not None
        view = into.data.cast("B") if into.size else memoryview(b"")
        place = int(self.offset) + first * self.row_bytes
        try:
            while len(view):
                count = _read_at(self._stream, view, place)
                if not count:
                    raise DataError(
                        "A file of data ended before its last row; it was cut short while it was "
                        "read, so start again with the whole file."
                    )
                view, place = view[count:], place + count
        except OSError as error:
            raise DataError(f"A file of data cannot be read ({reason(error)}).") from error


def _within(rows: npt.NDArray[np.integer], count: int) -> bool:
    return not len(rows) or bool(rows.min() >= 0 and rows.max() < count)


def _read_at(stream: IO[bytes], view: memoryview, place: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(stream.fileno(), [view], place)
    stream.seek(place)  # Windows; files are opened without a buffer
    return int(stream.readinto(view))  # type: ignore[attr-defined]


class RowWriter:
    """Writes rows, one block after the other, to a temporary file that has no name.

    The file is in the folder for temporary files (``TMPDIR``) and goes away with the array, or
    with the process, however that ends.

    Parameters
    ----------
    row : tuple of int
        The shape of a row.
    dtype : dtype
    """

    def __init__(self, row: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.row = row
        self.dtype = dtype
        self.count = 0
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> RowWriter:
        try:
            self._stream = tempfile.TemporaryFile(buffering=0)
        except OSError as error:
            raise _no_room(error) from error
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None and self._stream is not None:
            self._stream.close()

    def write(self, rows: AnyArray) -> None:
        """Write a block of rows.

        Raises
        ------
        DataError
            When the disk is full.
        """
        assert self._stream is not None and rows.shape[1:] == self.row
        block = np.ascontiguousarray(rows, self.dtype)
        view = block.data.cast("B") if block.size else memoryview(b"")
        try:
            while len(view):
                view = view[self._stream.write(view) :]
        except OSError as error:
            raise _no_room(error) from error
        self.count += len(rows)

    def rows(self) -> AnyArray:
        """Return what was written: `FileRows`, or an empty array in memory where there is none.

        The file now belongs to the array, so this is called once.
        """
        assert self._stream is not None
        if not self.count:
            self._stream.close()
            return np.empty((0, *self.row), self.dtype)
        return FileRows(self._stream, self.dtype, (self.count, *self.row))


def _no_room(error: OSError) -> DataError:
    return DataError(
        f"The rows cannot be written to {tempfile.gettempdir()} ({reason(error)}); make room "
        "there, or name another folder in the environment variable TMPDIR."
    )


def from_memmap(array: np.memmap[Any, Any]) -> FileRows | None:
    """Return a memory map as rows of its file; None where its rows do not lie there in order.

    Examples
    --------
    >>> import os, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = os.path.join(folder.name, "a.npy")
    >>> np.save(path, np.arange(6.0).reshape(3, 2))
    >>> from_memmap(np.load(path, mmap_mode="r"))[1:2]
    array([[2., 3.]])
    >>> folder.cleanup()
    """
    base = array
    while isinstance(base.base, np.memmap):
        base = base.base
    whole = array.shape == base.shape and array.strides == base.strides
    if (
        not isinstance(base.base, mmap.mmap)
        or array.filename is None
        or not (whole and array.flags.c_contiguous and array.ndim and array.dtype.isnative)
        or array.dtype.hasobject
        or not os.path.exists(array.filename)
    ):
        return None
    array.flush()
    return FileRows(array.filename, array.dtype, array.shape, int(array.offset))


def pieces(array: AnyArray, rows: int | None = None) -> Iterator[AnyArray]:
    """Give an array's rows in order, a few megabytes at once; nothing of an empty one.

    Examples
    --------
    >>> [each.tolist() for each in pieces(np.arange(5), rows=2)]
    [[0, 1], [2, 3], [4]]
    """
    if rows is None:
        row_bytes = math.prod(array.shape[1:]) * array.dtype.itemsize
        rows = max(PIECE_BYTES // max(row_bytes, 1), 1)
    for start in range(0, len(array), rows):
        yield array[start : start + rows]


def take_rows(array: AnyArray, rows: npt.NDArray[Any]) -> AnyArray:
    """Return some rows: in memory of an array in memory, in a file of one in a file.

    Parameters
    ----------
    array : ndarray (n, ...)
    rows : ndarray of int
        Positions.
    """
    if not isinstance(array, FileRows):
        taken: AnyArray = array[rows]
        return taken
    with RowWriter(array.shape[1:], array.dtype) as writer:
        for part in pieces(rows, max(PIECE_BYTES // max(array.row_bytes, 1), 1)):
            writer.write(array[part])
    return writer.rows()


def map_rows(
    array: AnyArray, function: Callable[[AnyArray], AnyArray], dtype: np.dtype[Any]
) -> AnyArray:
    """Apply a function to rows, a few at once; the result is where the array is.

    Parameters
    ----------
    array : ndarray (n, ...)
    function : callable
        From rows to as many rows.
    dtype : dtype
        Of the result.
    """
    if not isinstance(array, FileRows):
        return function(array).astype(dtype, copy=False)
    row = function(array[:0]).shape[1:]
    with RowWriter(row, dtype) as writer:
        for part in pieces(array):
            writer.write(function(part))
    return writer.rows()
