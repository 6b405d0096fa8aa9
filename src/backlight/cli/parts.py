"""Divides a data set into training, validation and test rows, always in the same way.

A stored run keeps what was asked for, so that its rows can be found again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backlight.data import Dataset

LEAST_ROWS_TO_SPLIT = 20
DEFAULT_TEST_SHARE = 0.2


@dataclass(frozen=True)
class Parts:
    """A data set in three; a part that is None was not wanted or could not be had."""

    train: Dataset
    validation: Dataset | None
    test: Dataset | None


def divide(dataset: Dataset, test: float | None, validation: float, seed: int) -> Parts:
    """Divide a data set into training, validation and test rows.

    Parameters
    ----------
    dataset : Dataset
    test : float or None
        The share of test rows.  When it is None, the set's own test rows are used where it has
        any, and otherwise a share of 0.2; a set of fewer than 20 rows stays whole.
    validation : float
        The share of the remaining rows to watch while training.
    seed : int

    Raises
    ------
    DataError
        When a part would be empty.

    Examples
    --------
    >>> from backlight.data import load
    >>> parts = divide(load("penguins"), None, 0.25, seed=0)
    >>> len(parts.train), len(parts.validation), len(parts.test)
    (206, 68, 68)
    """
    if test is None and dataset.test is not None:
        train, held = dataset, dataset.test
    elif test == 0 or (test is None and len(dataset) < LEAST_ROWS_TO_SPLIT):
        train, held = dataset, None
    else:
        train, held = _split(dataset, DEFAULT_TEST_SHARE if test is None else test, seed)
    if not validation:
        return Parts(train, None, held)
    kept, watched = _split(train, validation, seed)
    return Parts(kept, watched, held)


def _split(dataset: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Split by class where each class has rows enough for both sides."""
    stratify = False
    if dataset.task == "classification":
        sizes = np.bincount(dataset.y)
        sizes = sizes[sizes > 0]
        count = round(share * len(dataset))
        stratify = bool(sizes.min() >= 2 and len(sizes) <= count <= len(dataset) - len(sizes))
    return dataset.split(share, seed, stratify)
