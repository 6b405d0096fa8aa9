"""Reading NPZ archives of NumPy arrays, without ever unpickling.

It takes an archive that holds features and target under one of the usual pairs of names, and
gives a `Dataset`.  Each array is read by its header, whose size is compared with what the archive
holds before memory is taken.
"""

from __future__ import annotations

import io
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from backlight.data.arrays import as_dataset, checked_features
from backlight.data.dataset import Dataset
from backlight.data.idx_file import pixel_names
from backlight.data.messages import (
    PathLike,
    did_you_mean,
    existing_file,
    listed,
    name_of,
    reason,
)
from backlight.data.target import AnyArray, FloatArray, FloatType, Task, check_task, float_type
from backlight.errors import DataError

_PAIRS = (("X", "y"), ("x", "y"), ("X_train", "y_train"), ("x_train", "y_train"))
_FEATURES = ("X_test", "x_test", "X", "x", "X_train", "x_train")
_LARGEST_RATIO = 1040  # what deflate can reach, see idx_file.py
_LONGEST_HEADER = 10_000

# What zipfile, zlib and the reader of array headers raise on damaged archives.
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_npz(
    path: PathLike,
    target: str | None = None,
    *,
    task: Task | None = None,
    dtype: FloatType = "float32",
) -> Dataset:
    """Read features and target from an NPZ archive.

    The features are the array ``X`` or ``x`` and the target is ``y``; an archive with
    ``x_train``, ``y_train``, ``x_test``, ``y_test`` (or with a capital X) has its second pair in
    `Dataset.test`.  The values of the features are kept as they are.

    Parameters
    ----------
    path : path
    target : str, optional
        The name of the target array, where it is not ``y``.
    task : {"classification", "regression"}, optional
        Overrides the rule of `as_dataset` for arrays: the dtype decides.
    dtype : {"float32", "float64"}
        Of the features, and of a regression target.

    Returns
    -------
    Dataset
        With features ``x0``, ``x1``, …; images of shape (n, h, w) become rows, and
        `Dataset.image_shape` is set.

    Raises
    ------
    DataError
        When the file is missing or damaged, holds none of these arrays (those it has are
        listed), an array of Python objects, or arrays that do not fit together.
    """
    check_task(task)
    float_type(dtype)
    name = name_of(path)
    with _opened(path) as (archive, members):
        pair = _pair(tuple(members), target, name)
        tests = [part.replace("_train", "_test") for part in pair]
        wanted = [*pair, *tests] if pair[0] != tests[0] and set(tests) <= set(members) else pair
        arrays = [_read_member(archive, members[part], part, name) for part in wanted]
    file = Path(path)
    train = _dataset(arrays[0], arrays[1], pair, file, task, dtype, None)
    if len(arrays) == 2:
        return train
    classes = None if train.class_names is None else _distinct(arrays[1])
    test = _dataset(arrays[2], arrays[3], tuple(tests), file, train.task, dtype, classes)
    if train.X.shape[1:] != test.X.shape[1:]:
        raise DataError(
            f"{name} holds {pair[0]!r} with rows of shape {train.X.shape[1:]} and {tests[0]!r} "
            f"with rows of shape {test.X.shape[1:]}; save arrays that belong together."
        )
    test = replace(test, name=f"{train.name} (test)", class_names=train.class_names)
    return replace(train, test=test)


def read_npz_features(path: PathLike) -> FloatArray:
    """Read the features alone from an NPZ archive, as for a prediction; it needs no target.

    Of an archive with test rows of its own, those are read.

    Returns
    -------
    array (n, ...), float32

    Raises
    ------
    DataError
        As for `read_npz`.
    """
    name = name_of(path)
    with _opened(path) as (archive, members):
        chosen = next((part for part in _FEATURES if part in members), None)
        if chosen is None:
            holds = f"it holds {listed(tuple(members))}" if members else "it holds no arrays"
            raise DataError(
                f"{name} has no array 'X' ({holds}); save it with numpy.savez(path, X=...)."
            )
        X = _read_member(archive, members[chosen], chosen, name)
    flat = X.reshape(len(X), -1) if X.ndim > 1 else X
    return checked_features(flat, f"{name}, array {chosen!r},", np.dtype(np.float32))


@contextmanager
def _opened(path: PathLike) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """Open an archive and list its arrays; what goes wrong comes out as `DataError`."""
    file, size = existing_file(path)
    name = name_of(path)
    if size == 0:
        raise DataError(f"{name} is empty; save the arrays again with numpy.savez.")
    try:
        with zipfile.ZipFile(file) as archive:
            yield (
                archive,
                {
                    info.filename.removesuffix(".npy"): info
                    for info in archive.infolist()
                    if info.filename.endswith(".npy")
                },
            )
    except MemoryError as error:
        raise DataError(f"{name} does not fit into memory; use a smaller file.") from error
    except DataError:
        raise
    except _DAMAGE as error:
        raise DataError(
            f"{name} is no readable NPZ archive ({reason(error)}); save the arrays again with "
            "numpy.savez."
        ) from error


def _pair(there: tuple[str, ...], target: str | None, name: str) -> tuple[str, str]:
    holds = f"it holds {listed(there)}" if there else "it holds no arrays"
    if target is not None and target not in there:
        raise DataError(
            f"{name} has no array {target!r} for the target{did_you_mean(target, there)}; {holds}."
        )
    for features, default in _PAIRS:
        chosen = default if target is None else target
        if features in there and chosen in there and features != chosen:
            return features, chosen
    raise DataError(
        f"{name} does not have the arrays 'X' and {target or 'y'!r} ({holds}); save them with "
        "numpy.savez(path, X=..., y=...)."
    )


def _read_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, array: str, name: str
) -> AnyArray:
    if info.file_size > info.compress_size * _LARGEST_RATIO + _LONGEST_HEADER:
        raise DataError(
            f"{name} claims more data for {array!r} than it can hold; save the arrays again with "
            "numpy.savez."
        )
    with archive.open(info) as stream:
        shape, fortran_order, element = read_header(stream)
        if element.hasobject:
            raise DataError(
                f"{name} holds {array!r} as Python objects, which are never unpickled for safety; "
                "convert it to numbers or text and save it again."
            )
        if element.kind not in "biufSU" or element.itemsize == 0:
            raise DataError(
                f"{name} holds {array!r} with dtype {str(element)[:60]}, which is neither numbers "
                "nor text; convert it and save it again."
            )
        claimed = math.prod(shape) * element.itemsize
        data = stream.read(claimed + 1) if claimed <= info.file_size else b""
        if len(data) != claimed:
            raise DataError(
                f"{name} holds {array!r} with {'less' if len(data) < claimed else 'more'} data "
                "than its header announces; save the arrays again with numpy.savez."
            )
    values = np.frombuffer(data, dtype=element)
    if element.kind != "S" and element.kind != "U":
        values = values.astype(element.newbyteorder("="), copy=False)
    return values.reshape(shape, order="F" if fortran_order else "C")


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Read shape, order and dtype, and refuse negative lengths, which NumPy lets through."""
    version = np.lib.format.read_magic(stream)
    length_bytes = 2 if version == (1, 0) else 4
    prefix = stream.read(length_bytes)
    length = int.from_bytes(prefix, "little")
    if length > _LONGEST_HEADER:
        raise ValueError("an array header is too long")
    text = io.BytesIO(prefix + stream.read(length))
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"array format {version} is only used for structured arrays")
    with warnings.catch_warnings():
        # Python warns of odd literals in a header; what matters is whether it parses.
        warnings.simplefilter("ignore")
        if version == (1, 0):
            shape, fortran_order, element = np.lib.format.read_array_header_1_0(text)
        else:
            shape, fortran_order, element = np.lib.format.read_array_header_2_0(text)
    if any(n < 0 for n in shape):
        raise ValueError("an array has a negative length")
    return shape, fortran_order, element


def _dataset(
    X: AnyArray,
    y: AnyArray,
    names: Sequence[str],
    file: Path,
    task: Task | None,
    dtype: FloatType,
    classes: Sequence[object] | None,
) -> Dataset:
    if X.ndim < 1 or len(X) < 2 or X.size == 0:
        raise DataError(
            f"{name_of(file)} holds {names[0]!r} of shape {X.shape}; two or more rows and one or "
            "more features are needed."
        )
    image_shape = (X.shape[1], X.shape[2]) if X.ndim == 3 else None
    try:
        return as_dataset(
            X if image_shape is None else X.reshape(len(X), math.prod(image_shape)),
            y,
            task=task,
            classes=classes,
            feature_names=None if image_shape is None else pixel_names(*image_shape),
            target_name=names[1],
            name=file.stem,
            source=f"NPZ file {name_of(file)}",
            image_shape=image_shape,
            dtype=dtype,
        )
    except DataError as error:
        raise DataError(f"{name_of(file)}, arrays {listed(names)}: {error}") from error


def _distinct(values: AnyArray) -> list[object]:
    texts = values.ravel().tolist()
    return sorted({text.decode() if isinstance(text, bytes) else text for text in texts})
