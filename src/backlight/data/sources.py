"""Data sets by name, and files by whatever they are.

`load` takes the name of a bundled, generated or installed set; `read` takes such a name or a
path and finds the reader for it.  Both give a `Dataset`.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from backlight.data import generated
from backlight.data.columns import Column
from backlight.data.dataset import Dataset
from backlight.data.idx_file import pixel_names, read_idx, read_idx_images
from backlight.data.messages import (
    ARROW_SUFFIXES,
    PARQUET_SUFFIXES,
    PathLike,
    did_you_mean,
    existing_file,
    listed,
    name_of,
    names_in,
    plural,
    reason,
)
from backlight.data.target import FloatArray, FloatType, Task, is_missing
from backlight.errors import DataError, UnknownNameError, UsageError

FASHION_MNIST_VARIABLE = "BACKLIGHT_FASHION_MNIST"
"""The environment variable that names the folder of Fashion-MNIST."""

_FASHION_MNIST_FOLDER = "/usr/share/datasets/fashion-mnist"
_FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_MEASUREMENTS = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")


def names() -> tuple[str, ...]:
    """List the names that `load` knows.

    All are there at once but ``fashion-mnist``, whose files come with a package of the system.

    Examples
    --------
    >>> names()
    ('digits', 'penguins', 'fashion-mnist', 'xor', 'spiral', 'moons', 'circles', 'sine')
    """
    return tuple(_SETS)


def load(name: str, **options: float) -> Dataset:
    """Load a data set by its name.

    ==================  ===========================================================================
    ``digits``          1797 handwritten digits of 8 × 8 pixels, scaled from 0..16 to 0..1: the
                        test half of the UCI set by E. Alpaydin and C. Kaynak (1998)
    ``penguins``        342 penguins of 3 species by 4 measurements; the 2 of the 344 recorded
                        that lack the measurements are left out (Horst, Hill, Gorman, 2020)
    ``fashion-mnist``   60000 images of clothes of 28 × 28 pixels in 10 classes and 10000 more as
                        `Dataset.test` (H. Xiao, K. Rasul, R. Vollgraf, 2017), where installed
    ``xor``             options ``n``, ``noise``, ``seed``; four rows without ``n``
    ``spiral``          options ``classes``, ``n``, ``noise``, ``turns``, ``seed``
    ``moons``           options ``n``, ``noise``, ``seed``
    ``circles``         options ``n``, ``noise``, ``factor``, ``seed``
    ``sine``            regression; options ``n``, ``noise``, ``seed``
    ==================  ===========================================================================

    Parameters
    ----------
    name : str
    **options
        Of the generated sets; see `backlight.data.generated`.

    Returns
    -------
    Dataset
        `Dataset.source` says where it is from and under which licence.

    Raises
    ------
    UnknownNameError
        When there is no such set; the nearest name is suggested.
    UsageError
        When the set has no such option, or a value is not possible.
    DataError
        When ``fashion-mnist`` is not installed.

    Examples
    --------
    >>> load("penguins").class_names
    ('Adelie', 'Chinstrap', 'Gentoo')
    >>> len(load("spiral", classes=2, n=50, seed=3))
    50
    """
    make = _SETS.get(name)
    if make is None:
        raise UnknownNameError(
            f"There is no data set {name!r}{did_you_mean(name, _SETS)}; "
            f"there are {listed(tuple(_SETS), limit=20)}."
        )
    possible = tuple(inspect.signature(make).parameters)
    for option in options:
        if option not in possible:
            offer = f"it has {listed(possible)}" if possible else "it has no options"
            raise UsageError(
                f"Data set {name!r} has no option {option!r}{did_you_mean(option, possible)}; "
                f"{offer}."
            )
    return make(**options)


def read(
    path: PathLike,
    target: str | Sequence[str] | None = None,
    *,
    task: Task | None = None,
    dtype: FloatType = "float32",
) -> Dataset:
    """Read a data set from a name or a path.

    A name that `load` knows is loaded (write ``./digits`` for a file called so).  A folder is
    read as the four IDX files of MNIST.  A file is read by its suffix (``.csv``, ``.tsv``,
    ``.txt``, ``.data``, ``.parquet``, ``.pq``, ``.arrow``, ``.feather``, ``.ipc``, ``.npz``,
    ``.npy``, ``.idx``, or ``ubyte`` at the end, plain or with ``.gz``), and
    where the suffix says nothing, by its first bytes.

    Parameters
    ----------
    path : str or path
    target : str or sequence of str, optional
        The column or columns, or the array, to predict; it has no meaning for images, and for
        loaded sets it can only be the one they have.
    task, dtype
        As for `read_csv` and `read_npz`.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        As the reader raises it, or when there is no reader for the file.
    UnknownNameError
        When a plain word is neither a name nor a file.
    UsageError
        When `target`, `task` or `dtype` has no meaning for what was named.

    Examples
    --------
    >>> len(read("digits"))
    1797
    """
    if isinstance(path, str) and path in _SETS:
        loaded = load(path)
        if target is not None and target != loaded.target_name:
            raise UsageError(
                f"Data set {path!r} has the target {loaded.target_name!r}, not {target!r}; leave "
                "out target, or write the set to a table of your own."
            )
        _only_default(path, None, task)
        if dtype not in ("float32", np.float32):
            raise UsageError(f"Data set {path!r} is float32; leave out dtype={dtype!r}.")
        return loaded
    file = Path(path)
    if os.path.isdir(file):
        if file.suffix.lower() in PARQUET_SUFFIXES + ARROW_SUFFIXES:
            raise DataError(
                f"{name_of(path)} is a folder where a Parquet file is needed; write its parts to "
                "one file, or name one of them."
            )
        _only_default(name_of(path), target, task)
        return read_idx(file, dtype=dtype)
    if isinstance(path, str) and _is_word(path) and not os.path.exists(file):
        known = [*_SETS, *names_in(Path())]
        raise UnknownNameError(
            f"{path!r} is neither a data set nor a file{did_you_mean(path, known)}; "
            f"the data sets are {listed(tuple(_SETS), limit=20)}."
        )
    existing_file(path, "name a file or one of the data sets that backlight.data.names() lists")
    kind = _kind(file)
    # Each reader is loaded when a file is for it.
    if kind == "csv":
        from backlight.data.csv_file import read_csv

        delimiter = "\t" if file.suffix.lower() == ".tsv" else None
        return read_csv(path, target, delimiter, task=task, dtype=dtype)
    if kind == "parquet":
        from backlight.data.parquet_file import read_parquet

        return read_parquet(path, target, task=task, dtype=dtype)
    if kind == "npy":
        from backlight.data.npy_file import read_npy

        return read_npy(path, target, task=task, dtype=dtype)
    if kind == "npz":
        if target is not None and not isinstance(target, str):
            raise UsageError(f"{name_of(path)} is an archive, whose target is one array; name one.")
        from backlight.data.npz_file import read_npz

        return read_npz(path, target, task=task, dtype=dtype)
    _only_default(name_of(path), target, task)
    return read_idx(path, dtype=dtype)


def read_rows(path: PathLike, columns: Sequence[Column]) -> FloatArray:
    """Read the features of rows to predict for, from a name or a path, without any target.

    Parameters
    ----------
    path : str or path
        As for `read`.  Of a set with test rows of its own, those are read.
    columns : sequence of Column
        What a network was trained on.  Tables must have columns of these names, in any order;
        arrays without names must have as many columns.

    Returns
    -------
    array (n, d), float32
        Coded as `Column` says, NaN where a value is missing.

    Raises
    ------
    DataError
        As the reader raises it; all columns that are missing are named.
    UnknownNameError
        As for `read`.

    Examples
    --------
    >>> read_rows("penguins", [Column("body_mass_g"), Column("bill_depth_mm")])[0]
    array([3750. ,   18.7], dtype=float32)
    """
    file = Path(path)
    named = isinstance(path, str) and path in _SETS
    if not named and os.path.isfile(file):
        kind = _kind(file)
        if kind == "csv":
            from backlight.data.csv_file import read_csv_rows

            delimiter = "\t" if file.suffix.lower() == ".tsv" else None
            return read_csv_rows(path, columns, delimiter)
        if kind == "parquet":
            from backlight.data.parquet_file import read_parquet_rows

            return read_parquet_rows(path, columns)
        if kind == "npy":
            from backlight.data.npy_file import read_npy_rows

            return read_npy_rows(path, columns)
        if kind == "npz":
            from backlight.data.npz_file import read_npz_features

            return _as_wide(read_npz_features(path), columns, path)
        return _as_wide(read_idx_images(path), columns, path)
    from backlight.data.encode import missing_columns

    dataset = read(path)
    dataset = dataset.test or dataset
    there = dataset.feature_names
    wanted = [each.name for each in columns]
    missing = missing_columns(wanted, there, name_of(path))
    if missing is not None:
        raise missing
    rows: FloatArray = dataset.X.reshape(len(dataset), -1)
    order = [there.index(name) for name in wanted]
    return rows if order == list(range(len(there))) else rows[:, order]


def _as_wide(rows: FloatArray, columns: Sequence[Column], path: PathLike) -> FloatArray:
    flat: FloatArray = rows.reshape(len(rows), -1)
    if flat.shape[1] != len(columns):
        raise DataError(
            f"{name_of(path)} has {plural(flat.shape[1], 'feature')} in a row, and the network was "
            f"trained on {len(columns)}; give rows like those of the training."
        )
    return flat


def _is_word(path: str) -> bool:
    return bool(path) and path.isprintable() and not set(path) & set("./\\")


def _only_default(name: str, target: str | Sequence[str] | None, task: Task | None) -> None:
    if target is not None or task is not None:
        raise UsageError(
            f"{name} has its target already; leave out target and task, which choose it in a "
            "table or an archive."
        )


def _kind(file: Path) -> str:
    """Say which reader a file is for, by its name and, where that says nothing, its beginning."""
    plain = file.name.lower().removesuffix(".gz")
    suffix = Path(plain).suffix
    zipped = plain != file.name.lower()
    if plain.endswith("ubyte") or suffix.startswith(".idx"):
        return "idx"
    if suffix in PARQUET_SUFFIXES + ARROW_SUFFIXES and not zipped:
        return "parquet"
    if suffix in (".csv", ".tsv", ".txt", ".data", ".npz", ".npy"):
        if zipped:
            raise DataError(f"{name_of(file)} is compressed; unpack it with gunzip first.")
        return suffix[1:] if suffix in (".npz", ".npy") else "csv"
    try:
        with file.open("rb") as stream:
            start = stream.read(6)
    except OSError as error:
        raise DataError(
            f"{name_of(file)} cannot be opened ({reason(error)}); check its permissions."
        ) from error
    if suffix in (".xlsx", ".xlsm", ".xls", ".ods"):
        raise DataError(f"{name_of(file)} is a spreadsheet; save the sheet as CSV (in UTF-8).")
    if start[:2] == b"PK":
        return "npz"
    if start == b"\x93NUMPY":
        return "npy"
    if start[:4] == b"PAR1" or start == b"ARROW1":
        return "parquet"
    if start[:2] == b"\x1f\x8b" or (len(start) >= 4 and start[:2] == b"\0\0"):
        return "idx"
    raise DataError(
        f"{name_of(file)} is of a kind that cannot be read; convert it to CSV (.csv, .tsv), NPZ "
        "(.npz) or IDX (.idx or ...ubyte) and give it that suffix."
    )


def _digits() -> Dataset:
    with np.load(_bundled("digits.npz")) as stored:
        pixels, labels = stored["pixels"], stored["labels"]
    return Dataset(
        name="digits",
        X=pixels.astype(np.float32) / np.float32(16),
        y=labels.astype(np.int64),
        feature_names=pixel_names(8, 8),
        target_name="digit",
        class_names=tuple(str(digit) for digit in range(10)),
        task="classification",
        source=(
            "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak (1998), UCI "
            "Machine Learning Repository, https://doi.org/10.24432/C50P49, CC BY 4.0; the 1797 "
            "images of its test half, scaled from 0..16 to 0..1"
        ),
        image_shape=(8, 8),
    )


def _penguins() -> Dataset:
    import csv

    birds = list(csv.DictReader(_bundled("penguins.csv").read_text("utf-8").splitlines()))
    whole = [bird for bird in birds if not any(is_missing(bird[name]) for name in _MEASUREMENTS)]
    species = sorted({bird["species"] for bird in whole})
    return Dataset(
        name="penguins",
        X=np.array([[float(bird[name]) for name in _MEASUREMENTS] for bird in whole], np.float32),
        y=np.array([species.index(bird["species"]) for bird in whole], np.int64),
        feature_names=_MEASUREMENTS,
        target_name="species",
        class_names=tuple(species),
        task="classification",
        source=(
            "palmerpenguins, A. M. Horst, A. P. Hill and K. B. Gorman (2020), "
            "https://allisonhorst.github.io/palmerpenguins/, CC0 1.0; of the 344 birds, the "
            f"{len(birds) - len(whole)} that lack any of the four measurements are left out"
        ),
    )


def _bundled(file: str) -> Path:
    return Path(__file__).parent / "bundled" / file


def _fashion_mnist() -> Dataset:
    chosen = os.environ.get(FASHION_MNIST_VARIABLE)
    folder = Path(chosen or _FASHION_MNIST_FOLDER)
    if not os.path.isdir(folder):
        where = f"there is no folder {name_of(folder)}"
        remedy = (
            f"correct the environment variable {FASHION_MNIST_VARIABLE}"
            if chosen
            else "install the Debian package dataset-fashion-mnist, or name a folder with its "
            f"four files in the environment variable {FASHION_MNIST_VARIABLE}"
        )
        raise DataError(f"Fashion-MNIST is not on this machine ({where}); {remedy}.")
    train = read_idx(folder)
    if train.class_names != tuple(str(code) for code in range(10)) or train.test is None:
        raise DataError(
            f"{name_of(folder)} does not hold the ten labels 0..9 of Fashion-MNIST; get its files "
            "again."
        )
    test = _as_fashion_mnist(train.test, "fashion-mnist (test)")
    return replace(_as_fashion_mnist(train, "fashion-mnist"), test=test)


def _as_fashion_mnist(images: Dataset, name: str) -> Dataset:
    return replace(
        images,
        name=name,
        class_names=_FASHION_MNIST_CLASSES,
        source=(
            "Fashion-MNIST, H. Xiao, K. Rasul and R. Vollgraf, Zalando SE (2017), "
            "https://github.com/zalandoresearch/fashion-mnist, MIT; scaled from 0..255 to 0..1"
        ),
    )


_SETS: Mapping[str, Callable[..., Dataset]] = MappingProxyType(
    {
        "digits": _digits,
        "penguins": _penguins,
        "fashion-mnist": _fashion_mnist,
        "xor": generated.xor,
        "spiral": generated.spiral,
        "moons": generated.moons,
        "circles": generated.circles,
        "sine": generated.sine,
    }
)
