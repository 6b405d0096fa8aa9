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
from backlight.data.target import FloatArray
from backlight.errors import DataError


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
        values = checked_features(X, "X", np.dtype(np.float64))
        low, high = values.min(axis=0), values.max(axis=0)
        constant = low == high
        with np.errstate(over="ignore", invalid="ignore"):
            # The mean of equal numbers can differ from them in the last bit; then a constant
            # feature would not become exactly zero.
            mean = np.where(constant, low, low + (values - low).mean(axis=0))
            centred = values - mean
            # Squares of very small or very large numbers leave the range of float64, so they
            # are taken relative to the largest deviation.
            widest = np.where(constant, 1.0, np.abs(centred).max(axis=0))
            spread = widest * np.sqrt(np.mean((centred / widest) ** 2, axis=0))
        if not (np.isfinite(mean).all() and np.isfinite(spread).all()):
            raise DataError(
                "X spans a range beyond float64, so it has no standard deviation; scale it first."
            )
        return cls(mean, np.where(constant | (spread == 0.0), 1.0, spread))

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
        standardized = (X.astype(np.float64) - self.mean) / self.scale
        return standardized.astype(dtype)

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
