"""A data set in memory: features, target, their names, and where they come from.

`Dataset` is what every loader and reader of this package gives and what training takes; it can
be split exactly by a seed, and it has a fingerprint that a stored run can be checked against.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from backlight.data.columns import Column, LeftOut
from backlight.data.messages import listed, plural
from backlight.data.rows import pieces, take_rows
from backlight.data.target import FloatArray, IntArray, TargetArray, Task
from backlight.errors import DataError, UsageError


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Features and target of a set of examples, one example a row.

    Treat the arrays as read-only; they are not copied.

    Attributes
    ----------
    name : str
        What the set is called.
    X : array (n, ...), float32 or float64
        The features, usually (n, d).
    y : array (n,), int64, for classification; (n,) or (n, k), float32 or float64, otherwise
        Class codes that index `class_names`, or real numbers; of several labels, 1 for each
        that an example has and 0 for the others.
    feature_names : tuple of str
        One for each feature of a row, in row-major order.
    target_name : str
    class_names : tuple of str, or None
        None for regression; the labels where an example may have several of them.
    task : {"classification", "regression", "labels"}
    source : str
        Where the data is from and under which licence.
    image_shape : (height, width), or None
        Set when a row of `X` is a flattened grey image.
    test : Dataset or None
        The test split that belongs to the set, where it has one.
    columns : tuple of Column, or None
        Of a table: what each feature is.  Categories are held as codes and gaps as NaN, which a
        `Preprocessor` turns into what a network can see.  None means numbers without gaps.
    left_out : tuple of LeftOut
        The columns of a table that are not used, and why.
    remarks : tuple of str
        What else was noticed when the data was read, in sentences.

    Raises
    ------
    DataError
        When the parts do not fit together.

    Examples
    --------
    >>> from backlight.data import load
    >>> load("xor")
    Dataset 'xor': 4 rows × 2 features (float32), target 'y' with 2 classes ('0', '1')
    """

    name: str
    X: FloatArray
    y: TargetArray
    feature_names: tuple[str, ...]
    target_name: str
    class_names: tuple[str, ...] | None
    task: Task
    source: str = ""
    image_shape: tuple[int, int] | None = None
    test: Dataset | None = None
    columns: tuple[Column, ...] | None = None
    left_out: tuple[LeftOut, ...] = ()
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        if self.X.ndim < 2 or self.X.dtype.kind != "f":
            raise DataError(
                f"Data set {self.name!r} has features of shape {self.X.shape} and dtype "
                f"{self.X.dtype}; give floating-point numbers in two or more dimensions."
            )
        if self.y.ndim < 1 or len(self.X) != len(self.y):
            raise DataError(
                f"Data set {self.name!r} has {plural(len(self.X), 'row')} of features and a "
                f"target of shape {self.y.shape}; give one target to each row."
            )
        width = int(np.prod(self.X.shape[1:]))
        if len(self.feature_names) != width:
            raise DataError(
                f"Data set {self.name!r} has {plural(width, 'feature')} and "
                f"{plural(len(self.feature_names), 'feature name')}; give one name to each."
            )
        if self.image_shape is not None and self.image_shape[0] * self.image_shape[1] != width:
            raise DataError(
                f"Data set {self.name!r} has {plural(width, 'feature')}, which do not make an "
                f"image of {self.image_shape[0]} × {self.image_shape[1]}; correct image_shape."
            )
        self._check_target()

    def _check_target(self) -> None:
        if self.task == "regression":
            if self.class_names is not None or self.y.dtype.kind != "f":
                raise DataError(
                    f"Data set {self.name!r} is a regression, so its target must be "
                    "floating-point and class_names must be None."
                )
            return
        if self.task == "labels":
            self._check_labels()
            return
        if self.class_names is None or self.y.dtype != np.int64 or self.y.ndim != 1:
            raise DataError(
                f"Data set {self.name!r} is a classification, so its target must be int64 codes "
                "of shape (n,) and class_names must be given."
            )
        if len(self.y) and not 0 <= self.y.min() <= self.y.max() < len(self.class_names):
            raise DataError(
                f"Data set {self.name!r} has class codes from {self.y.min()} to {self.y.max()} "
                f"for {len(self.class_names)} class names; codes begin at 0."
            )

    def _check_labels(self) -> None:
        fits = self.y.ndim == 2 and self.y.dtype.kind == "f" and self.class_names is not None
        if not fits or self.y.shape[1] != len(self.class_names or ()):
            raise DataError(
                f"Data set {self.name!r} has several labels, so its target must be floating-point "
                "of shape (n, k) with k class names."
            )
        if not ((self.y == 0) | (self.y == 1)).all():
            raise DataError(
                f"Data set {self.name!r} has labels other than 0 and 1; give 1 for each label "
                "that an example has."
            )

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.X)

    def __repr__(self) -> str:
        """Describe the set in one line."""
        if self.image_shape is None:
            inside = " × ".join(str(n) for n in self.X.shape[1:])
            features = f"{inside} {'feature' if inside == '1' else 'features'}"
        else:
            features = f"{self.image_shape[0]}×{self.image_shape[1]} pixels"
        if self.task == "labels":
            target = f"any of {plural(len(self.class_names or ()), 'label')}"
        elif self.class_names is None:
            target = f"target {self.target_name!r} of real numbers"
        else:
            classes = f"{len(self.class_names)} classes ({listed(self.class_names, limit=4)})"
            target = f"target {self.target_name!r} with {classes}"
        rows = f"{plural(len(self), 'row')} × {features} ({self.X.dtype})"
        test = "" if self.test is None else f", and {plural(len(self.test), 'test row')}"
        return f"Dataset {self.name!r}: {rows}, {target}{test}"

    def fingerprint(self) -> str:
        """Return a SHA-256 over the rows and the names, in hexadecimal.

        Equal data gives the equal fingerprint on every machine; one changed bit gives another.
        It covers `X` and `y` with their dtypes and shapes, `feature_names`, `target_name`,
        `class_names`, `task` and the categories of columns, but not `name`, `source` or `test`.

        Examples
        --------
        >>> from backlight.data import load
        >>> len(load("xor").fingerprint())
        64
        """
        digest = hashlib.sha256()
        for array in (self.X, self.y):
            dtype = array.dtype.newbyteorder("<")
            _add(digest, [dtype.str, *(str(n) for n in array.shape)])
            for part in pieces(array):
                fixed = part.astype(dtype, order="C", copy=False)
                digest.update(fixed.data if fixed.size else b"")
        _add(digest, self.feature_names)
        _add(digest, [self.target_name, self.task])
        _add(digest, ["none"] if self.class_names is None else ["classes", *self.class_names])
        for column in self.columns or ():
            if column.kind == "category":
                _add(digest, [column.name, *column.categories])
        return digest.hexdigest()

    def split(
        self, test: float | int = 0.2, seed: int = 0, stratify: bool = True
    ) -> tuple[Dataset, Dataset]:
        """Split the rows into a training and a test set.

        The two are disjoint and complete, and both keep the order of the rows.  The same seed
        gives the same split on every machine and with every version of NumPy: rows are drawn by
        sorting the raw output of a Philox generator (J. K. Salmon et al., *Parallel random
        numbers: as easy as 1, 2, 3*, SC 2011), whose bits are fixed.

        Parameters
        ----------
        test : float between 0 and 1, or int
            The share of rows for the test set, rounded to the nearest row, or their number.
        seed : int
            Zero or greater.
        stratify : bool
            For classification: let each class have its share of the test set (rounded by
            largest remainder) and at least one row on both sides.

        Returns
        -------
        train, test : Dataset

        Raises
        ------
        DataError
            When there are too few rows, or too few of a class.
        UsageError
            When `test` or `seed` has no meaning.

        Examples
        --------
        >>> from backlight.data import load
        >>> train, test = load("digits").split(test=0.25, seed=1)
        >>> len(train), len(test)
        (1348, 449)
        """
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise UsageError(f"seed={seed!r} is not possible; give a whole number from 0 on.")
        count = self._test_count(test)
        by_class = stratify and self.task == "classification"
        groups = (
            [np.flatnonzero(self.y == code) for code in range(len(self.class_names or ()))]
            if by_class
            else [np.arange(len(self))]
        )
        groups = [group for group in groups if len(group)]
        sizes = self._stratified(groups, count) if by_class else [count]
        key = np.random.Philox(seed).random_raw(len(self))
        drawn = np.zeros(len(self), dtype=np.bool_)
        for group, size in zip(groups, sizes, strict=True):
            drawn[group[np.argsort(key[group], kind="stable")[:size]]] = True
        return self._part(np.flatnonzero(~drawn), "train"), self._part(
            np.flatnonzero(drawn), "test"
        )

    def _test_count(self, test: float | int) -> int:
        if isinstance(test, bool) or not isinstance(test, (int, float)):
            raise UsageError(f"test={test!r} is not possible; give a share or a number of rows.")
        if isinstance(test, float) and not 0.0 < test < 1.0:
            raise UsageError(f"test={test!r} is not a share; give one between 0 and 1.")
        count = test if isinstance(test, int) else round(test * len(self))
        if not 0 < count < len(self):
            raise DataError(
                f"Data set {self.name!r} with {plural(len(self), 'row')} cannot give {count} to "
                f"a test set (test={test!r}) and keep some of each; change test or add rows."
            )
        return count

    def _stratified(self, groups: list[IntArray], count: int) -> list[int]:
        """Share `count` test rows among the classes, proportionally, at least one to each."""
        sizes = [len(group) for group in groups]
        for group, size in zip(groups, sizes, strict=True):
            if size < 2:
                code = int(self.y[group[0]])
                label = self.class_names[code] if self.class_names else str(code)
                raise DataError(
                    f"Data set {self.name!r} has a single row of class {label!r} (row "
                    f"{int(group[0])}), which cannot be on both sides of a split; add rows of "
                    "it, or give stratify=False."
                )
        if not len(sizes) <= count <= len(self) - len(sizes):
            raise DataError(
                f"Data set {self.name!r} has {len(sizes)} classes in {plural(len(self), 'row')}, "
                f"so {plural(count, 'test row')} cannot leave one of each class on both sides; "
                "change test, or give stratify=False."
            )
        # Whole-number arithmetic, so that no rounding can make two machines differ.
        shares = [min(max(size * count // len(self), 1), size - 1) for size in sizes]

        def owed(i: int) -> int:
            return sizes[i] * count - shares[i] * len(self)

        while sum(shares) < count:
            open_ = [i for i, size in enumerate(sizes) if shares[i] < size - 1]
            shares[max(open_, key=lambda i: (owed(i), -i))] += 1
        while sum(shares) > count:
            open_ = [i for i in range(len(sizes)) if shares[i] > 1]
            shares[min(open_, key=lambda i: (owed(i), i))] -= 1
        return shares

    def _part(self, rows: IntArray, label: str) -> Dataset:
        return Dataset(
            name=f"{self.name} ({label})",
            X=take_rows(self.X, rows),
            y=self.y[rows],
            feature_names=self.feature_names,
            target_name=self.target_name,
            class_names=self.class_names,
            task=self.task,
            source=self.source,
            image_shape=self.image_shape,
            columns=self.columns,
            left_out=self.left_out,
            remarks=self.remarks,
        )


def _add(digest: hashlib._Hash, texts: Iterable[str]) -> None:
    """Add texts with their lengths, so that ("ab", "c") and ("a", "bc") differ."""
    encoded = [text.encode() for text in texts]
    digest.update(len(encoded).to_bytes(8, "little"))
    for text in encoded:
        digest.update(len(text).to_bytes(8, "little") + text)
