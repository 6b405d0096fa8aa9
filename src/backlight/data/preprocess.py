"""Preprocessing that is learnt from the training rows and applied to all others.

`Standardizer` takes features and gives them mean 0 and standard deviation 1, column by column;
it stores as a dictionary of plain numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backlight.data.arrays import checked_features
from backlight.data.rows import FileRows, map_rows, pieces
from backlight.data.target import FloatArray
from backlight.errors import DataError


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and spread of each feature over its values, and how often it has none.

    Attributes
    ----------
    mean : array (...), float64
    scale : array (...), float64
        The standard deviation, and 1 for a feature that is constant.
    missing : array (...), int
        How many rows hold NaN.
    """

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    missing: npt.NDArray[np.int64]


def moments(X: FloatArray) -> Moments:
    """Compute mean and standard deviation (dividing by the count) of what is not NaN.

    It is done in float64, a few megabytes at once, in three passes: the range, the mean relative
    to its lower end, the squares relative to the largest possible deviation.  So the mean of
    equal numbers is that number, and squares of very small or large numbers do not leave the
    range of float64.

    Raises
    ------
    DataError
        When the spread is beyond float64.
    """
    shape = X.shape[1:]
    low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
    missing = np.zeros(shape, np.int64)
    for part in pieces(X):
        gaps = np.isnan(part)
        missing += np.count_nonzero(gaps, axis=0)
        low = np.minimum(low, np.where(gaps, np.inf, part).min(axis=0))
        high = np.maximum(high, np.where(gaps, -np.inf, part).max(axis=0))
    count = len(X) - missing
    low, high = np.where(count, low, 0.0), np.where(count, high, 0.0)
    constant, count = low == high, np.maximum(count, 1)
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.zeros(shape)
        for part in pieces(X):
            total += np.nansum((part - low) / count, axis=0)
        mean = np.where(constant, low, low + total)
        widest = np.where(constant, 1.0, np.maximum(high - mean, mean - low))
        squares = np.zeros(shape)
        for part in pieces(X):
            squares += np.nansum(((part - mean) / widest) ** 2 / count, axis=0)
        spread = widest * np.sqrt(squares)
    if not (np.isfinite(mean).all() and np.isfinite(spread).all()):
        raise DataError(
            "X spans a range beyond float64, so it has no standard deviation; scale it first."
        )
    return Moments(mean, np.where(constant | (spread == 0.0), 1.0, spread), missing)


@dataclass(frozen=True, eq=False)
class Standardizer:
    """The map ``(x − mean) / scale`` of each feature.

    Attributes
    ----------
    mean : array (...), float64
        The mean of each feature over the rows of the training set.
    scale : array (...), float64
        Its standard deviation (dividing by n), and 1 for a feature that is constant.

    Examples
    --------
    >>> X = np.array([[1.0, 7.0], [3.0, 7.0]])
    >>> Standardizer.fit(X).apply(X)
    array([[-1.,  0.],
           [ 1.,  0.]])
    """

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    @classmethod
    def fit(cls, X: FloatArray) -> Standardizer:
        """Learn mean and standard deviation, in float64 whatever the dtype of `X`.

        Parameters
        ----------
        X : array (n, ...)
            At least one row, everything finite.

        Raises
        ------
        DataError
            When `X` is not such an array, or so large that its spread is beyond float64.
        """
        if not isinstance(X, FileRows):
            checked_features(X, "X", np.dtype(np.float64))
        found = moments(X)
        if found.missing.any():
            place = np.unravel_index(int(np.argmax(found.missing > 0)), found.missing.shape)
            where = ", ".join(str(k) for k in place)
            raise DataError(f"X, column {where}, has NaN; fill in or remove what is not finite.")
        return cls(found.mean, found.scale)

    def apply(self, X: FloatArray) -> FloatArray:
        """Return ``(X − mean) / scale``, computed in float64, in the dtype of `X`.

        Parameters
        ----------
        X : array (n, ...), float32 or float64
            With the features that `fit` saw.

        Raises
        ------
        DataError
            When `X` has other features.
        """
        if X.ndim < 1 or X.shape[1:] != self.mean.shape:
            raise DataError(
                f"X has shape {X.shape}, but the standardizer was fitted on rows of shape "
                f"{self.mean.shape}; give the same features."
            )
        dtype = X.dtype if X.dtype.kind == "f" else np.dtype(np.float32)

        def standardize(rows: FloatArray) -> FloatArray:
            return (rows.astype(np.float64) - self.mean) / self.scale

        return map_rows(X, standardize, dtype)

    def to_dict(self) -> dict[str, object]:
        """Return lists of plain numbers, which JSON stores exactly.

        Examples
        --------
        >>> Standardizer.fit(np.array([[1.0], [3.0]])).to_dict()
        {'mean': [2.0], 'scale': [1.0]}
        """
        return {"mean": self.mean.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, object]) -> Standardizer:
        """Rebuild what `to_dict` gave.

        Raises
        ------
        DataError
            When a part is missing or is not a list of finite numbers of the same shape, or a
            scale is not positive.
        """
        try:
            mean = np.array(stored["mean"], dtype=np.float64)
            scale = np.array(stored["scale"], dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                "The stored standardizer lacks a list of numbers 'mean' or 'scale'; fit it anew."
            ) from error
        fits = mean.shape == scale.shape and np.isfinite(mean).all() and np.isfinite(scale).all()
        if not fits or not (scale > 0.0).all():
            raise DataError(
                "The stored standardizer is damaged (mean and scale must be finite, of one shape, "
                "and scale positive); fit it anew."
            )
        return cls(mean, scale)
