"""Columns of Arrow as NumPy arrays: numbers with NaN for null, texts as codes.

pyarrow is imported only when it is needed, and where it is missing, one sentence says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backlight.data.messages import reason
from backlight.data.target import number_name
from backlight.errors import DataError


def arrow() -> Any:
    """Import pyarrow.

    Raises
    ------
    DataError
        When it is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise DataError(
            "Parquet, Arrow and data frames need the extra 'data': pip install 'backlight[data]'."
        ) from error
    return pyarrow


def damage(file: str, kind: str, error: BaseException) -> DataError:
    """Return the error for a file that pyarrow could not read."""
    return DataError(
        f"{file} is no readable {kind} file ({reason(error)[:200]}); write the file again."
    )


def kind_of(kind: Any) -> str:
    """Say what a type of Arrow is to us: number, text, date or other."""
    import pyarrow.types as types

    if types.is_dictionary(kind):
        inner = kind_of(kind.value_type)
        return "text" if inner in ("text", "number") else inner
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        return "number"
    if types.is_decimal(kind) or types.is_null(kind):
        return "number"
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    return "date" if types.is_timestamp(kind) or types.is_date(kind) else "other"


def numbers_of(array: Any, place: str, start: int) -> npt.NDArray[np.float64]:
    """Return numbers as float64, NaN for null; refuse what is infinite."""
    import pyarrow as pa
    import pyarrow.types as types

    if types.is_boolean(array.type):
        array = array.cast(pa.int8())
    if types.is_float16(array.type):
        values = array.to_numpy(zero_copy_only=False).astype(np.float64)
    else:
        values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    numbers: npt.NDArray[np.float64] = values.astype(np.float64, copy=False)
    infinite = np.isinf(numbers)
    if infinite.any():
        raise DataError(
            f"{place} is infinite in row {start + int(np.argmax(infinite))}, counted from 0; "
            "correct or remove that row."
        )
    return numbers


def dates_of(array: Any) -> npt.NDArray[np.datetime64]:
    """Return dates or moments as NumPy's, NaT for null; with a time zone, in universal time."""
    import pyarrow as pa
    import pyarrow.types as types

    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    dates: npt.NDArray[np.datetime64] = (
        array.cast(pa.timestamp("us", getattr(array.type, "tz", None)), safe=False)
        .cast(pa.timestamp("us"))
        .to_numpy(zero_copy_only=False)
    )
    return dates.astype("datetime64[us]", copy=False)


def as_names(array: Any) -> Any:
    """Return numbers or booleans as the names that classes of them have."""
    import pyarrow as pa
    import pyarrow.types as types

    values = array.to_pylist()
    if types.is_boolean(array.type):
        return pa.array([None if each is None else str(each) for each in values], pa.string())
    names = (number_name(float(each)) if each is not None else None for each in values)
    return pa.array(list(names), pa.string())


def texts_of(array: Any) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the different texts of a column and the code of each row, −1 for null."""
    import pyarrow as pa
    import pyarrow.types as types

    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not types.is_large_string(array.type):
        array = array.cast(pa.large_string())
    coded = array.dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    texts = [text if text is not None else "" for text in coded.dictionary.to_pylist()]
    for text in texts:
        text.encode()  # a lone surrogate could be neither printed nor stored
    return texts, codes
