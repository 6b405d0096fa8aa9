"""What the columns of a table are: numbers, categories, or nothing that a network can learn from.

A `Profile` collects what is seen of a column, a stretch of rows at a time; `decide` makes of it a
`Column`, which becomes features, or a `LeftOut` with the reason in words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from backlight.data.messages import plural, quoted
from backlight.data.target import is_missing, number
from backlight.errors import DataError

UNKNOWN = -1.0
"""The code of a category that the data set does not know; a missing value is NaN."""

MOST_TEXTS = 10_000
"""A column with more different texts than this is no longer looked at as categories."""

FEW_TEXTS = 20
"""So many different texts are categories in a table of any length."""

_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d{1,2}:\d{2}.*)?\s*\Z")
_IDENTIFIER = re.compile(
    r"(.*[_\W])?(id|ids|uuid|guid|index|idx|row|rows|row[_ -]?number|rownames)\Z"
)
_CAMEL_IDENTIFIER = re.compile(r".*[a-z](ID|Id|Index)\Z")


@dataclass(frozen=True)
class Column:
    """A column whose values a data set holds.

    Attributes
    ----------
    name : str
    kind : {"number", "category"}
        A category is held as its place in `categories`, `UNKNOWN` where it is none of them; a
        missing value of either kind is NaN.
    categories : tuple of str
    missing : int
        In how many rows there is no value.
    remark : str
        What deserves a look, in a sentence; usually empty.
    """

    name: str
    kind: Literal["number", "category"] = "number"
    categories: tuple[str, ...] = ()
    missing: int = 0
    remark: str = ""

    @property
    def plain(self) -> bool:
        """Whether it is numbers without gaps."""
        return self.kind == "number" and not self.missing

    def encode(self, texts: Sequence[str | None]) -> npt.NDArray[np.float64]:
        """Return the codes of categories given as text."""
        code = {text: float(k) for k, text in enumerate(self.categories)}
        return np.array(
            [
                math.nan if text is None or is_missing(text) else code.get(text.strip(), UNKNOWN)
                for text in texts
            ],
            np.float64,
        )

    def to_dict(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {"name": self.name, "kind": self.kind, "categories": list(self.categories)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Column:
        """Rebuild what `to_dict` gave.

        Raises
        ------
        DataError
            When it is something else.
        """
        kind = stored["kind"]
        if kind not in ("number", "category"):
            raise DataError("A stored column is of an unknown kind; train the run again.")
        return cls(str(stored["name"]), kind, tuple(str(each) for each in stored["categories"]))


@dataclass(frozen=True)
class LeftOut:
    """A column that is not used.

    Attributes
    ----------
    name : str
    kind : str
        One word: constant, empty, identifier, date, text, or other.
    reason : str
        Why, as the end of a sentence.
    """

    name: str
    kind: str
    reason: str


@dataclass
class Profile:
    """What has been seen of a column so far.

    Attributes
    ----------
    name : str
    kind : {"number", "text", "date", "other"}
    texts : dict of str to int
        The different texts, with their codes in order of appearance.
    """

    name: str
    kind: str
    type: str = ""
    rows: int = 0
    missing: int = 0
    low: float = math.inf
    high: float = -math.inf
    whole: bool = True
    distinct: bool = True
    too_many: bool = False
    texts: dict[str, int] = field(default_factory=dict)

    def see_numbers(self, values: npt.NDArray[np.floating]) -> None:
        """Take in numbers, NaN where there is none."""
        there = values[~np.isnan(values)]
        first = self.rows == 0
        self.rows += len(values)
        self.missing += len(values) - len(there)
        if not len(there):
            return
        self.low, self.high = min(self.low, float(there.min())), max(self.high, float(there.max()))
        if self.whole:
            self.whole = bool((there == np.rint(there)).all())
        if first and self.whole:
            # The first stretch of rows tells a count of the rows from a measurement.
            self.distinct = len(np.unique(there)) == len(there)

    def see_texts(self, texts: Sequence[str], codes: npt.NDArray[np.integer]) -> None:
        """Take in texts as codes into a list of different ones, −1 where there is none."""
        self.rows += len(codes)
        counts = np.bincount(codes[codes >= 0], minlength=len(texts))
        present = 0
        for text, count in zip(texts, counts.tolist(), strict=True):
            if count and not is_missing(text):
                present += count
                self._see_text(text.strip())
        self.missing += len(codes) - present

    def _see_text(self, text: str) -> None:
        if text not in self.texts:
            if len(self.texts) >= MOST_TEXTS:
                self.too_many = True
            else:
                self.texts[text] = len(self.texts)


def decide(profile: Profile) -> Column | LeftOut:
    """Say what a column is.

    * Without a value in any row it is *empty*; with the same in every row, *constant*.
    * Whole numbers that differ from row to row, in a column called ``id``, ``user_id``,
      ``index`` or the like, are an *identifier*.
    * Text is a *category* when it has at most 20 values, or at most 10,000 and each occurs
      twice on average; otherwise it is *text*.  Text such as ``2024-05-31`` is a *date*.
    * Other numbers are *numbers*.
    """
    name, present = profile.name, profile.rows - profile.missing
    if profile.kind == "other":
        return LeftOut(name, "other", f"it holds {profile.type}, which cannot be used")
    if not present:
        return LeftOut(name, "empty", "it has no value in any row")
    if profile.kind == "date":
        return LeftOut(name, "date", _DATE_REMEDY)
    if profile.kind == "text":
        return _decide_text(profile, present)
    if profile.low == profile.high and not profile.missing:
        return LeftOut(name, "constant", f"it is {profile.low:g} in every row")
    counts = profile.whole and profile.distinct and profile.rows > FEW_TEXTS
    if counts and _names_rows(name):
        return LeftOut(
            name, "identifier", "it numbers the rows; rename it if it measures something"
        )
    remark = ""
    if counts and not profile.missing and profile.high - profile.low == profile.rows - 1:
        remark = "counts the rows; remove it unless the order means something"
    return Column(name, "number", (), profile.missing, remark)


_DATE_REMEDY = "dates are not used; add columns with what matters of them, such as the month"


def _decide_text(profile: Profile, present: int) -> Column | LeftOut:
    name, texts = profile.name, profile.texts
    sample = list(texts)[:100]
    if all(_DATE.match(text) for text in sample):
        return LeftOut(name, "date", _DATE_REMEDY)
    if len(texts) == 1 and not profile.missing:
        return LeftOut(name, "constant", f"it is {quoted(sample[0])} in every row")
    if profile.too_many or (len(texts) > FEW_TEXTS and 2 * len(texts) > present):
        if all(number(text) is not None for text in sample):
            return LeftOut(name, "text", "it holds numbers as text; convert it to numbers")
        count = f"more than {MOST_TEXTS:,}" if profile.too_many else f"{len(texts):,}"
        return LeftOut(name, "text", f"it has {count} different texts, as names and remarks do")
    return Column(name, "category", tuple(texts), profile.missing)


def _names_rows(name: str) -> bool:
    return bool(_IDENTIFIER.match(name.casefold()) or _CAMEL_IDENTIFIER.match(name))


def nothing_left(file: str, left_out: Sequence[LeftOut]) -> DataError:
    """Return the error for a table none of whose columns can be used."""
    shown = "; ".join(f"{quoted(each.name)}: {each.reason}" for each in left_out[:4])
    more = f"; and {plural(len(left_out) - 4, 'more column')}" if len(left_out) > 4 else ""
    return DataError(
        f"{file} has no column to learn from beside its target ({shown}{more}); add one."
    )
