"""From the columns of a table to what a network sees: scaled, encoded, without gaps.

`Preprocessor` learns from the training rows alone what it needs (means, spreads, categories),
turns rows of any part of a table into features with names, and stores as plain data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backlight.data.columns import Column
from backlight.data.messages import did_you_mean, listed, plural, quoted
from backlight.data.preprocess import Moments, Standardizer, moments
from backlight.data.rows import map_rows, pieces
from backlight.data.target import FloatArray
from backlight.errors import DataError

MOST_OUTPUTS = 100
"""Of a column with more categories than this, the rare ones share a feature."""


@dataclass(frozen=True)
class Encoding:
    """How one column becomes features.

    Attributes
    ----------
    column : Column
    mean, scale : float
        Of numbers: ``(x − mean) / scale``.
    fill : float
        Of numbers: what a gap becomes; the mean of the training rows, scaled as the others.
    kept : tuple of int
        Of categories: the codes that have a feature, which is 1 for that category and else 0.
    other : bool
        Whether there is a feature for all other categories together.
    marked : bool
        Whether there is a feature that is 1 where the value is missing.
    """

    column: Column
    mean: float = 0.0
    scale: float = 1.0
    fill: float = 0.0
    kept: tuple[int, ...] = ()
    other: bool = False
    marked: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its features."""
        name = self.column.name
        names = [name] if self.column.kind == "number" else []
        names += [f"{name}={self.column.categories[code]}" for code in self.kept]
        names += [f"{name}=other"] * self.other + [f"{name} is missing"] * self.marked
        return tuple(names)

    @property
    def summary(self) -> str:
        """What is done, in a few words."""
        if self.column.kind == "number":
            scaled = (self.mean, self.scale) != (0.0, 1.0)
            parts = ["scaled"] if scaled else []
            if self.marked:
                parts.append("gaps filled with the mean and marked")
        else:
            names = [self.column.categories[code] for code in self.kept]
            parts = [f"one of {len(names)}: {', '.join(names[:4])}{', …' * (len(names) > 4)}"]
            parts += ["rarer ones together"] * self.other + ["gaps marked"] * self.marked
        return "; ".join(parts) or "as it is"

    def write(self, values: FloatArray, into: FloatArray) -> None:
        """Write the features of one column of coded values (n,) into (n, k)."""
        gaps = np.isnan(values)
        if self.column.kind == "number":
            scaled = (values.astype(np.float64) - self.mean) / self.scale
            into[:, 0] = np.where(gaps, self.fill, scaled)
        else:
            place = np.full(len(self.column.categories) + 1, -1, np.int64)
            place[list(self.kept)] = np.arange(len(self.kept))
            if self.other:
                place[place < 0] = len(self.kept)
            unknown = gaps | (values < 0) | (values >= len(place) - 1)
            codes = np.where(unknown, len(place) - 1, values).astype(np.int64)
            chosen = np.where(gaps, -1, place[codes])
            into[...] = 0.0
            rows = np.flatnonzero(chosen >= 0)
            into[rows, chosen[rows]] = 1.0
        if self.marked:
            into[:, -1] = gaps

    def to_dict(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {
            **self.column.to_dict(),
            "mean": self.mean,
            "scale": self.scale,
            "fill": self.fill,
            "kept": list(self.kept),
            "other": self.other,
            "marked": self.marked,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Encoding:
        """Rebuild what `to_dict` gave; see `Preprocessor.from_dict`."""
        column = Column.from_dict(stored)
        mean, scale, fill = (float(stored[part]) for part in ("mean", "scale", "fill"))
        kept = tuple(int(code) for code in stored["kept"])
        if not (np.isfinite(mean) and np.isfinite(scale) and np.isfinite(fill) and scale > 0.0):
            raise ValueError("a mean or scale is not finite")
        if any(not 0 <= code < len(column.categories) for code in kept):
            raise ValueError("a category is kept that does not exist")
        other, marked = bool(stored["other"]), bool(stored["marked"])
        return cls(column, mean, scale, fill, kept, other, marked)


@dataclass(frozen=True, eq=False)
class Preprocessor:
    """The map from the columns of a table to the features of a network.

    * A *number* becomes ``(x − mean) / scale``; a gap becomes the mean, and if there were gaps in
      the training rows, a feature ``"NAME is missing"`` says where.
    * A *category* becomes one feature ``"NAME=VALUE"`` for each value of the training rows, 1 for
      that value and 0 for others; of more than 100 values, the most frequent have one each and
      the others ``"NAME=other"`` together.  A value that training did not see is 0 everywhere,
      or ``other`` where there is such a feature.

    Attributes
    ----------
    encodings : tuple of Encoding
        One for each column.

    Examples
    --------
    >>> columns = (Column("age"), Column("town", "category", ("Ulm", "Bonn")))
    >>> X = np.array([[20.0, 0], [np.nan, 1], [40.0, 1]])
    >>> learnt = Preprocessor.fit(X, columns)
    >>> learnt.feature_names
    ('age', 'age is missing', 'town=Bonn', 'town=Ulm')
    >>> learnt.apply(X)
    array([[-1.,  0.,  0.,  1.],
           [ 0.,  1.,  1.,  0.],
           [ 1.,  0.,  1.,  0.]])
    """

    encodings: tuple[Encoding, ...]

    @classmethod
    def fit(cls, X: FloatArray, columns: Sequence[Column], *, scale: bool = True) -> Preprocessor:
        """Learn from training rows.

        Parameters
        ----------
        X : array (n, d)
            Coded as `Column` says, NaN for what is missing.
        columns : sequence of Column, length d
        scale : bool
            Otherwise numbers stay as they are, but for gaps.

        Raises
        ------
        DataError
            When the spread of a column is beyond float64, or no row has a value.
        """
        found = moments(X)
        counts = _counts(X, columns)
        # All parts of a date are missing together, and the first of them says so.
        first = {column.date: k for k, column in reversed(list(enumerate(columns)))}
        made = cls(
            tuple(
                _number(found, k, column, scale, not column.date or first[column.date] == k)
                if column.kind == "number"
                else _category(counts[k], bool(found.missing[k]), column)
                for k, column in enumerate(columns)
            )
        )
        if not made.feature_names:
            raise DataError("No column has a value in the training rows; give more rows.")
        return made

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that it takes."""
        return tuple(each.column for each in self.encodings)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features that it gives."""
        return tuple(name for each in self.encodings for name in each.names)

    def apply(self, X: FloatArray) -> FloatArray:
        """Return the features of rows.

        Parameters
        ----------
        X : array (n, d)
            Coded as in training.

        Returns
        -------
        array (n, k)
            In the dtype of `X`, and in a file where `X` is.

        Raises
        ------
        DataError
            When `X` has other columns.
        """
        if X.ndim != 2 or X.shape[1] != len(self.encodings):
            raise DataError(
                f"The rows have shape {X.shape}, and {plural(len(self.encodings), 'column')} "
                f"{'was' if len(self.encodings) == 1 else 'were'} learnt from; give the same ones."
            )
        dtype = X.dtype if X.dtype.kind == "f" else np.dtype(np.float64)
        return map_rows(X, lambda rows: self._encoded(rows, dtype), dtype)

    def _encoded(self, rows: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
        made = np.empty((len(rows), len(self.feature_names)), dtype)
        start = 0
        for k, each in enumerate(self.encodings):
            stop = start + len(each.names)
            each.write(rows[:, k].astype(np.float64), made[:, start:stop])
            start = stop
        return made

    def to_dict(self) -> dict[str, object]:
        """Return plain data, which JSON stores exactly."""
        return {"kind": "table", "columns": [each.to_dict() for each in self.encodings]}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Preprocessor:
        """Rebuild what `to_dict` gave.

        Raises
        ------
        DataError
            When a part is missing or damaged.
        """
        try:
            return cls(tuple(Encoding.from_dict(each) for each in stored["columns"]))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DataError(
                "The stored preprocessing of a table is damaged; train the run again."
            ) from error


def sources(columns: Sequence[Column]) -> list[str]:
    """Return the columns of a table that columns are read from, each once."""
    return list(dict.fromkeys(each.source for each in columns))


def preprocessing_from_dict(stored: Mapping[str, Any]) -> Standardizer | Preprocessor:
    """Rebuild a `Standardizer` or a `Preprocessor` from its plain data.

    Raises
    ------
    DataError
        When it is damaged.
    """
    if isinstance(stored, Mapping) and stored.get("kind") == "table":
        return Preprocessor.from_dict(stored)
    return Standardizer.from_dict(stored)


def missing_columns(wanted: Sequence[str], there: Sequence[str], where: str) -> DataError | None:
    """Return the error for a table that lacks columns, naming all of them; None if none.

    Examples
    --------
    >>> print(missing_columns(["a", "b", "c"], ["b"], "t.csv"))
    t.csv lacks columns that the network was trained on: 'a', 'c'; it has 'b'.
    """
    missing = [name for name in wanted if name not in set(there)]
    if not missing:
        return None
    shown = [f"{quoted(name)}{did_you_mean(name, there)}" for name in missing[:50]]
    more = f" and {len(missing) - 50} more" if len(missing) > 50 else ""
    what = "columns" if len(missing) > 1 else "a column"
    return DataError(
        f"{where} lacks {what} that the network was trained on: {', '.join(shown)}{more}; "
        f"it has {listed(there)}."
    )


def _counts(X: FloatArray, columns: Sequence[Column]) -> dict[int, npt.NDArray[np.int64]]:
    """Count how often each category occurs."""
    found = {
        k: np.zeros(len(column.categories), np.int64)
        for k, column in enumerate(columns)
        if column.kind == "category"
    }
    if found:
        for part in pieces(X):
            for k, counts in found.items():
                codes = part[:, k]
                counts += np.bincount(codes[codes >= 0].astype(np.int64), minlength=len(counts))
    return found


def _number(found: Moments, k: int, column: Column, scale: bool, mark: bool) -> Encoding:
    marked = mark and bool(found.missing[k])
    if scale:
        return Encoding(column, float(found.mean[k]), float(found.scale[k]), marked=marked)
    return Encoding(column, fill=float(found.mean[k]), marked=marked)


def _category(counts: npt.NDArray[np.int64], missing: bool, column: Column) -> Encoding:
    seen = [code for code in range(len(counts)) if counts[code]]
    by_name = sorted(seen, key=lambda code: column.categories[code])
    if len(seen) <= MOST_OUTPUTS:
        return Encoding(column, kept=tuple(by_name), marked=missing)
    frequent = set(sorted(by_name, key=lambda code: -counts[code])[:MOST_OUTPUTS])
    kept = tuple(code for code in by_name if code in frequent)
    return Encoding(column, kept=kept, other=True, marked=missing)
