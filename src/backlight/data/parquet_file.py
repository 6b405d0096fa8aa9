"""Reading Parquet and Arrow files, a stretch of rows at a time.

It takes a path and gives a `Dataset`; where the features are larger than `IN_MEMORY_BYTES`, they
lie in a temporary file.  Whatever is damaged is said in one sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backlight.data.arrow_columns import arrow, damage
from backlight.data.arrow_table import ROWS_AT_ONCE, Table, checked, dataset_of, rows_of
from backlight.data.columns import Column
from backlight.data.dataset import Dataset
from backlight.data.messages import PARQUET_SUFFIXES, PathLike, existing_file, name_of
from backlight.data.target import FloatArray, FloatType, Task, check_task, float_type
from backlight.errors import DataError

BUFFER_BYTES = 2**18
"""How much of each column of a Parquet file is read ahead."""


def read_parquet(
    path: PathLike,
    target: str | Sequence[str] | None = None,
    *,
    task: Task | None = None,
    dtype: FloatType = "float32",
) -> Dataset:
    """Read a data set from a Parquet or Arrow (IPC, Feather) file.

    Columns of numbers and booleans are numbers, text and dictionaries are categories, null and
    NaN are missing values; `backlight.data.columns.decide` says what is left out.  Rows without
    a target are left out.

    However long and wide a Parquet file is, reading, splitting and training take no more than
    64 bytes for each row (the target, the order of the rows, what is needed to shuffle them) and
    256 MiB, beside the interpreter and its libraries: features of more than 64 MiB are written to
    a temporary file in the folder ``TMPDIR``, from which training reads them in its exact
    shuffled order, see `backlight.train.batches.Ahead`.  ``benchmarks/streaming.py`` measures
    it.  Of an Arrow file, a record batch is held as well.

    Parameters
    ----------
    path : path
    target : str or sequence of str, optional
        The column to predict; the last one by default.  Several columns, also as ``"a,b"``, are
        labels when they hold only 0 and 1, and numbers otherwise.
    task : {"classification", "regression", "labels"}, optional
        Otherwise text, booleans and few whole numbers are classes, see
        `backlight.data.target.decide_task`, and other numbers are regression.
    dtype : {"float32", "float64"}

    Raises
    ------
    DataError
        When the file is missing or damaged, has no such target or no features, holds an
        infinity, or pyarrow is not installed.
    """
    check_task(task)
    float_type(dtype)
    with opened(path) as table:
        return dataset_of(
            table,
            target,
            name=Path(path).stem,
            source=f"{kind_of(path)} file {name_of(path)}",
            task=task,
            dtype=dtype,
        )


def read_parquet_rows(path: PathLike, columns: Sequence[Column]) -> FloatArray:
    """Read the given columns of a Parquet or Arrow file, coded as they say.

    Raises
    ------
    DataError
        As for `read_parquet`; all missing columns are named.
    """
    with opened(path) as table:
        return rows_of(table, columns)


def kind_of(path: PathLike) -> str:
    """Say which of the two formats a file is of, by its first bytes."""
    try:
        with open(path, "rb") as stream:
            start = stream.read(4)
    except OSError:
        return "Parquet"
    return "Parquet" if start == b"PAR1" else "Arrow"


@contextmanager
def opened(path: PathLike) -> Iterator[Table]:
    """Open a file as a `Table`; what goes wrong until the end comes out as `DataError`."""
    file, size = existing_file(path)
    name = name_of(path)
    if size == 0:
        raise DataError(f"{name} is empty; write the table again.")
    suffix = file.suffix.lower()
    kind = kind_of(path)
    if kind == "Arrow" and suffix in PARQUET_SUFFIXES:
        kind = "Parquet"  # and damaged, which its reader says
    pa = arrow()
    try:
        with _parquet(file, name) if kind == "Parquet" else _ipc(file, name) as table:
            yield table
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(
            f"{name} does not fit into memory or is damaged; write it again."
        ) from error
    except (pa.ArrowException, OSError, ValueError, KeyError, IndexError, TypeError,
            OverflowError, NotImplementedError) as error:  # fmt: skip
        raise damage(name, kind, error) from error


@contextmanager
def _parquet(file: Path, name: str) -> Iterator[Table]:
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(
        str(file), buffer_size=BUFFER_BYTES, pre_buffer=False, memory_map=False
    ) as opened_file:
        schema = opened_file.schema_arrow

        def batches(names: list[str]) -> Iterator[Any]:
            return opened_file.iter_batches(  # type: ignore[no-any-return]
                batch_size=ROWS_AT_ONCE, columns=names, use_threads=False
            )

        rows = opened_file.metadata.num_rows
        yield checked(name, list(schema.names), list(schema.types), batches, rows)


@contextmanager
def _ipc(file: Path, name: str) -> Iterator[Table]:
    import pyarrow as pa

    # Not by a memory map: its pages would count as memory of the process.
    with pa.OSFile(str(file), "rb") as source:
        try:
            reader = pa.ipc.open_file(source)
            stored = range(reader.num_record_batches)
        except pa.ArrowInvalid:
            source.seek(0)
            # The format of streams cannot be entered again.
            stream = [_validated(each) for each in pa.ipc.open_stream(source)]
            schema = stream[0].schema if stream else pa.schema([])
            yield of_batches(name, schema, stream)
            return
        schema = reader.schema

        def batches(names: list[str]) -> Iterator[Any]:
            for k in stored:
                yield _validated(reader.get_batch(k).select(names))

        rows = sum(reader.get_batch(k).num_rows for k in stored)
        yield checked(name, list(schema.names), list(schema.types), batches, rows)


def _validated(batch: Any) -> Any:
    """Check a batch before its memory is followed, which a damaged file may make point anywhere."""
    batch.validate(full=True)
    return batch


def of_batches(name: str, schema: Any, stored: Sequence[Any]) -> Table:
    """Make a `Table` of record batches in memory."""

    def batches(names: list[str]) -> Iterator[Any]:
        for each in stored:
            yield each.select(names)

    rows = sum(each.num_rows for each in stored)
    return checked(name, list(schema.names), list(schema.types), batches, rows)
