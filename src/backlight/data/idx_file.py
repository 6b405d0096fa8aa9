"""Reading IDX files, the format of MNIST and of the sets made in its likeness.

It takes a file of images and a file of labels, plain or gzipped, or a folder with the four usual
files, and gives a `Dataset`.  The format is a big-endian header (two zero bytes, a type code, the
number of dimensions, then each length as an unsigned 32-bit number) followed by the values in
row-major order, as described on the MNIST page of Y. LeCun, C. Cortes and C. J. C. Burges.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from backlight.data.arrays import checked_features, numbered_names
from backlight.data.dataset import Dataset
from backlight.data.messages import PathLike, existing_file, name_of, plural, reason
from backlight.data.target import (
    AnyArray,
    FloatArray,
    FloatType,
    float_type,
    target_from_array,
    target_from_classes,
)
from backlight.errors import DataError

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MOST_DIMENSIONS = 16
_CHUNK = 1 << 20

# Deflate cannot shrink data by more than about 1032 to 1 (two bits for a copy of 258 bytes), so a
# gzipped file whose header claims more than this is wrong before anything is allocated.
_LARGEST_RATIO = 1040

_FOLDER_FILES = {
    "train_images": ("train-images-idx3-ubyte", "train-images.idx3-ubyte"),
    "train_labels": ("train-labels-idx1-ubyte", "train-labels.idx1-ubyte"),
    "test_images": ("t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte"),
    "test_labels": ("t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte"),
}


def read_idx(
    images: PathLike, labels: PathLike | None = None, *, dtype: FloatType = "float32"
) -> Dataset:
    """Read IDX images and labels, plain or gzipped.

    Unsigned bytes are divided by 255, so that they lie in 0..1; other types are kept as they are.
    Each image becomes one row; its height and width stay in `Dataset.image_shape`.

    Parameters
    ----------
    images : path
        A file of two or more dimensions, or a folder that holds ``train-images-idx3-ubyte``,
        ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``
        (each also with ``.gz``, or with ``.idx3`` for ``-idx3``), whose second pair becomes
        `Dataset.test`.
    labels : path, optional
        A file of one dimension.  By default the file beside `images` whose name has ``labels``
        for ``images`` and ``idx1`` for ``idx3``.
    dtype : {"float32", "float64"}
        Of the features.

    Returns
    -------
    Dataset
        With the distinct labels, sorted, as classes.

    Raises
    ------
    DataError
        When a file is missing, damaged, truncated or too long, or the two do not fit together.
    """
    kind = float_type(dtype)
    if os.path.isdir(images):
        return _read_folder(Path(images), kind)
    existing_file(images)
    labels = _labels_beside(Path(images)) if labels is None else labels
    return _read_pair(images, labels, kind, classes=None)


def read_idx_images(path: PathLike) -> FloatArray:
    """Read images alone, as for a prediction: (n, pixels), float32, bytes scaled to 0..1.

    Raises
    ------
    DataError
        As for `read_idx`.
    """
    pixels, name = read_idx_array(path), name_of(path)
    if pixels.ndim < 2:
        raise DataError(f"{name} has one dimension, as labels have; give the images.")
    return _features(pixels, name, np.dtype(np.float32))


def read_idx_array(path: PathLike) -> AnyArray:
    """Read one IDX file, plain or gzipped, as an array in the machine's byte order.

    The size that the header claims is compared with the size of the file before memory is taken.

    Raises
    ------
    DataError
        When the file is missing, damaged, truncated or too long, or is not IDX.
    """
    file, size = existing_file(path)
    name = name_of(path)
    try:
        with file.open("rb") as raw:
            gzipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not gzipped:
                return _read_array(raw, name, size)
            with gzip.GzipFile(fileobj=raw) as unzipped:
                return _read_array(cast(BinaryIO, unzipped), name, None, size * _LARGEST_RATIO)
    except (OSError, EOFError, zlib.error) as error:
        what = "ends too early" if isinstance(error, EOFError) else f"is damaged ({reason(error)})"
        raise DataError(f"{name} {what}; get the file again.") from error
    except MemoryError as error:
        raise DataError(f"{name} does not fit into memory; use a smaller file.") from error


def _read_array(
    stream: BinaryIO, name: str, size: int | None, size_at_most: int | None = None
) -> AnyArray:
    """Read an array; `size` is the exact size of the stream where it is known."""
    start = stream.read(4)
    if not start:
        raise DataError(f"{name} is empty; get the file again.")
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _TYPES:
        raise DataError(
            f"{name} is not an IDX file (it begins with {start.hex(' ')} where 00 00, a type code "
            "and the number of dimensions belong); check that the right file was named."
        )
    if not 1 <= start[3] <= _MOST_DIMENSIONS:
        raise DataError(
            f"{name} announces {plural(start[3], 'dimension')} where images have 2 to 4 and labels "
            "have 1; get the file again."
        )
    element = np.dtype(_TYPES[start[2]])
    lengths = stream.read(4 * start[3])
    if len(lengths) < 4 * start[3]:
        raise DataError(f"{name} is truncated within its header; get the file again.")
    shape = tuple(int(n) for n in np.frombuffer(lengths, dtype=">u4"))
    claimed = math.prod(shape) * element.itemsize
    header = len(start) + len(lengths)
    too_long = DataError(
        f"{name} goes on after the {plural(claimed, 'byte')} of data that its header announces; "
        "get the file again."
    )
    if size is not None and header + claimed < size:
        raise too_long
    known = size if size is not None else size_at_most
    if known is not None and header + claimed > known:
        raise _truncated(name, claimed, known - header if size is not None else None)
    if 0 in shape:
        raise DataError(f"{name} announces {shape} values, which is none; get the file again.")
    data = bytearray()
    while len(data) < claimed:
        chunk = stream.read(min(_CHUNK, claimed - len(data)))
        if not chunk:
            raise _truncated(name, claimed, len(data))
        data += chunk
    if stream.read(1):
        raise too_long
    values = np.frombuffer(data, dtype=element).reshape(shape)
    return values.astype(element.newbyteorder("="), copy=False)


def _truncated(name: str, claimed: int, found: int | None) -> DataError:
    holds = "it cannot hold that many" if found is None else f"it holds {found}"
    return DataError(
        f"{name} is truncated: its header announces {plural(claimed, 'byte')} of data but "
        f"{holds}; get the file again."
    )


def _read_pair(
    images: PathLike,
    labels: PathLike,
    dtype: np.dtype[np.floating],
    classes: tuple[int, ...] | None,
) -> Dataset:
    pixels, codes = read_idx_array(images), read_idx_array(labels)
    image_name, label_name = name_of(images), name_of(labels)
    if pixels.ndim < 2:
        raise DataError(
            f"{image_name} has one dimension, as labels have; give the images first and then the "
            "labels."
        )
    if codes.ndim != 1 or codes.dtype.kind == "f":
        raise DataError(
            f"{label_name} has {plural(codes.ndim, 'dimension')} of {codes.dtype}, where labels "
            "are one dimension of integers; give the images first and then the labels."
        )
    if len(pixels) != len(codes):
        raise DataError(
            f"{image_name} holds {plural(len(pixels), 'image')} but {label_name} holds "
            f"{plural(len(codes), 'label')}; give two files that belong together."
        )
    if len(pixels) < 2:
        raise DataError(f"{image_name} holds a single image; two or more are needed.")
    if classes is None:
        target = target_from_array(codes, label_name, task="classification", dtype=dtype)
    else:
        target = target_from_classes(codes, classes, label_name)
    X = _features(pixels, image_name, dtype)
    image_shape = (pixels.shape[1], pixels.shape[2]) if pixels.ndim == 3 else None
    return Dataset(
        name=Path(images).name,
        X=X,
        y=target.y,
        feature_names=numbered_names(X) if image_shape is None else pixel_names(*image_shape),
        target_name="label",
        class_names=target.class_names,
        task=target.task,
        source=f"IDX files {image_name} and {label_name}",
        image_shape=image_shape,
    )


def pixel_names(height: int, width: int) -> tuple[str, ...]:
    """Name the pixels of an image by row and column, in row-major order.

    Examples
    --------
    >>> pixel_names(1, 2)
    ('pixel_0_0', 'pixel_0_1')
    """
    return tuple(f"pixel_{row}_{column}" for row in range(height) for column in range(width))


def _features(values: AnyArray, name: str, dtype: np.dtype[np.floating]) -> FloatArray:
    X = checked_features(values.reshape(len(values), -1), name, dtype)
    if values.dtype == np.uint8:
        X /= 255
    return X


def _read_folder(folder: Path, dtype: np.dtype[np.floating]) -> Dataset:
    found = {part: _first_there(folder, names) for part, names in _FOLDER_FILES.items()}
    missing = [_FOLDER_FILES[part][0] for part, file in found.items() if file is None]
    if missing:
        raise DataError(
            f"{name_of(folder)} lacks {' and '.join(missing)} (each may also end in .gz); "
            "add what is missing, or name two files instead of a folder."
        )
    files = {part: file for part, file in found.items() if file is not None}
    train = _read_pair(files["train_images"], files["train_labels"], dtype, classes=None)
    classes = tuple(int(name) for name in train.class_names or ())
    test = _read_pair(files["test_images"], files["test_labels"], dtype, classes)
    if train.X.shape[1:] != test.X.shape[1:] or train.image_shape != test.image_shape:
        raise DataError(
            f"{name_of(folder)} holds training images of {train.image_shape} and test images of "
            f"{test.image_shape}; give files that belong together."
        )
    name = folder.resolve().name or "idx"
    return replace(train, name=name, test=replace(test, name=f"{name} (test)"))


def _first_there(folder: Path, names: tuple[str, ...]) -> Path | None:
    candidates = [folder / (name + suffix) for name in names for suffix in ("", ".gz")]
    return next((path for path in candidates if os.path.isfile(path)), None)


def _labels_beside(images: Path) -> Path:
    name = images.name.replace("images", "labels").replace("idx3", "idx1")
    beside = images.with_name(name)
    if name == images.name or not os.path.isfile(beside):
        raise DataError(
            f"{name_of(images)} was given without labels, and none were found beside it; "
            "name the file of labels as well."
        )
    return beside
