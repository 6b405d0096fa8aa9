"""Labels of classes and the matrices of numbers that a loss takes for them.

`learn` finds the classes in labels; the `Labels` it returns turn labels into targets and outputs
back into labels.  A column of whole numbers or text, which is what nearly everybody has, is dealt
with here; everything else is left to scikit-learn's `LabelBinarizer`, whose meaning is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.preprocessing import LabelBinarizer

from backlight.graph.primitive import Array

PLAIN_KINDS = "biuUS"
"""Kinds of NumPy dtypes whose values are labels as they stand: no fractions, nothing missing."""

SEVERAL_CLASSES = "multiclass"


@dataclass(frozen=True, eq=False)
class Labels:
    """The classes that there are.

    Attributes
    ----------
    classes : ndarray
        In order.
    kind : str
        "binary", "multiclass" or "multilabel-indicator".
    """

    classes: Array
    kind: str
    _binarizer: Any = field(default=None, repr=False)

    @property
    def several(self) -> bool:
        """Whether there are three classes or more, of which each example has one."""
        return self.kind == SEVERAL_CLASSES

    @property
    def binarizer(self) -> Any:
        """The `LabelBinarizer` of these classes, for labels that are not plain."""
        return self._binarizer or LabelBinarizer().fit(self.classes)

    def targets(self, y: Any, dtype: str) -> Array:
        """Return labels as numbers.

        Parameters
        ----------
        y : array_like of shape (n,), or (n, labels) for several labels at once
        dtype : str

        Returns
        -------
        ndarray of shape (n, outputs)
            1 for the class of an example and 0 elsewhere.  Two classes share a column, which is 1
            for the second.

        Raises
        ------
        ValueError
            For a label that is none of the classes.

        Examples
        --------
        >>> learn(np.array([3, 1, 3, 2])).targets(np.array([2, 3]), "float64")
        array([[0., 1., 0.],
               [0., 0., 1.]])
        """
        alike = is_plain(y) and y.dtype.kind == self.classes.dtype.kind
        if not alike or self.kind.startswith("multilabel"):
            return np.ascontiguousarray(self.binarizer.transform(y), dtype)
        places = np.minimum(np.searchsorted(self.classes, y), len(self.classes) - 1)
        if not (known := self.classes[places] == y).all():
            raise ValueError(
                f"y has the label {y[~known][0]!s}, which is none of the classes "
                f"{', '.join(str(each) for each in self.classes)}; fit with examples of it first."
            )
        if not self.several:
            column: Array = places[:, None].astype(dtype)
            return column
        found = np.zeros((len(y), len(self.classes)), dtype)
        found[np.arange(len(y)), places] = 1.0
        return found

    def named(self, outputs: Array) -> Any:
        """Return the label that each row of activated outputs speaks for."""
        if self.several:
            return self.classes[outputs.argmax(axis=1)]
        if self._binarizer is not None:
            return self._binarizer.inverse_transform(outputs)
        return self.classes[np.minimum(outputs.ravel() > 0.5, len(self.classes) - 1)]


def is_plain(y: Any) -> bool:
    """Whether labels are a column of whole numbers or text."""
    return isinstance(y, np.ndarray) and y.ndim == 1 and y.dtype.kind in PLAIN_KINDS


def learn(y: Any) -> Labels:
    """Find the classes.

    Parameters
    ----------
    y : array_like of shape (n,), or an indicator matrix for several labels at once

    Raises
    ------
    ValueError
        When these are no labels.

    Examples
    --------
    >>> learn(np.array(["no", "yes", "no"])).kind, learn(np.array([3, 1, 2, 3, 2, 1])).classes
    ('binary', array([1, 2, 3]))
    """
    if is_plain(y) and len(y):
        classes = np.unique(y)
        # Almost as many classes as examples may be a mistake, of which scikit-learn warns.
        if len(classes) <= 2 or 2 * len(classes) <= len(y):
            return Labels(classes, SEVERAL_CLASSES if len(classes) > 2 else "binary")
    binarizer = LabelBinarizer().fit(y)
    return Labels(binarizer.classes_, binarizer.y_type_, binarizer)
