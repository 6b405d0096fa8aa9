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

from backlight.data.dates import LAYOUTS, PARTS, Layouts
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
_WITH_SIGN = re.compile(r"[^\w\s]?\s?[-+]?\d[\d.,]*\s?(?:\D{1,3})?\Z")
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
    date : str
        Of a number that is a part of a date: the name of the column of dates.
    part : str
        Which of `backlight.data.dates.PARTS` it is.
    layout : str
        The order of day, month and year where the dates are text.
    """

    name: str
    kind: Literal["number", "category"] = "number"
    categories: tuple[str, ...] = ()
    missing: int = 0
    remark: str = ""
    date: str = ""
    part: str = ""
    layout: str = ""

    @property
    def source(self) -> str:
        """The name of the column of the table that it is read from."""
        return self.date or self.name

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
        stored: dict[str, object] = {
            "name": self.name,
            "kind": self.kind,
            "categories": list(self.categories),
        }
        if self.date:
            stored |= {"date": self.date, "part": self.part, "layout": self.layout}
        return stored

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
        date, part, layout = (str(stored.get(each, "")) for each in ("date", "part", "layout"))
        if date and (part not in PARTS or layout not in ("", *LAYOUTS)):
            raise DataError("A stored column is an unknown part of a date; train the run again.")
        categories = tuple(str(each) for each in stored["categories"])
        return cls(str(stored["name"]), kind, categories, date=date, part=part, layout=layout)


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
    date: str = ""
    part: str = ""
    layout: str = ""

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
      twice on average; otherwise it is *text*.
    * Other numbers are *numbers*.
    """
    name, present = profile.name, profile.rows - profile.missing
    if profile.kind == "other":
        return LeftOut(name, "other", f"it holds {profile.type}, which cannot be used")
    if not present:
        return LeftOut(name, "empty", "it has no value in any row")
    if profile.kind == "text":
        return _decide_text(profile, present)
    if profile.low == profile.high and (profile.date or not profile.missing):
        if abs(profile.low) >= 2**53 and not profile.date:
            return LeftOut(
                name, "constant", f"it is about {profile.low:g} in every row, and no number tells "
                "such large ones apart; subtract what they have in common"
            )  # fmt: skip
        return LeftOut(name, "constant", f"it is {profile.low:g} in every row")
    if profile.date:
        remark = f"the {PART_NAMES[profile.part]} of {quoted(profile.date)}"
        parts = {"date": profile.date, "part": profile.part, "layout": profile.layout}
        return Column(name, "number", (), profile.missing, remark, **parts)
    counts = profile.whole and profile.distinct and profile.rows > FEW_TEXTS
    if counts and _names_rows(name):
        return LeftOut(
            name, "identifier", "it numbers the rows; rename it if it measures something"
        )
    remark = ""
    if _coarse(profile):
        remark = "its numbers are nearly alike; subtract what they have in common"
    elif counts and not profile.missing and profile.high - profile.low == profile.rows - 1:
        remark = "counts the rows; remove it unless the order means something"
    return Column(name, "number", (), profile.missing, remark)


def _decide_text(profile: Profile, present: int) -> Column | LeftOut:
    name, texts = profile.name, profile.texts
    sample = list(texts)[:100]
    if looks_like_dates(profile):
        return LeftOut(name, "date", date_remedy(sample))
    if len(texts) == 1 and not profile.missing:
        return LeftOut(name, "constant", f"it is {quoted(sample[0])} in every row")
    if profile.too_many or (len(texts) > FEW_TEXTS and 2 * len(texts) > present):
        if all(number(text) is not None for text in sample):
            return LeftOut(name, "text", "it holds numbers as text; convert it to numbers")
        if all(_WITH_SIGN.match(text) for text in sample):
            why = f"it holds numbers with other signs ({quoted(sample[0])}); write them without"
            return LeftOut(name, "text", why)
        count = f"more than {MOST_TEXTS:,}" if profile.too_many else f"{len(texts):,}"
        return LeftOut(name, "text", f"it has {count} different texts, as names and remarks do")
    return Column(name, "category", tuple(texts), profile.missing)


PART_NAMES = {"yearday": "day of the year", "hour": "time of day"} | {
    each: each for each in ("year", "month", "weekday")
}


def profiles_of_dates(name: str, layout: str = "") -> list[Profile]:
    """Return a profile for each part of a column of dates."""
    return [
        Profile(f"{name} {part}", "number", date=name, part=part, layout=layout) for part in PARTS
    ]


def _coarse(profile: Profile) -> bool:
    """Whether float32, with its 24 bits, holds few of the steps between the numbers."""
    size = max(abs(profile.low), abs(profile.high))
    return 0 < profile.high - profile.low < size * 2.0**-23 * 256


def looks_like_dates(profile: Profile) -> bool:
    """Tell whether the texts of a column could be dates, by the first of them."""
    sample = list(profile.texts)[:100]
    return profile.kind == "text" and bool(sample) and all(_DATE.match(text) for text in sample)


def date_remedy(sample: Sequence[str]) -> str:
    """Say why dates given as text are not used."""
    seen = Layouts()
    if seen.see(sample):
        return (
            f"day and month cannot be told apart in {quoted(sample[0])}; write dates as 2024-05-31"
        )
    return f"{quoted(sample[0])} and others are no dates of one form; write them as 2024-05-31"


def decide_all(profiles: Sequence[Profile]) -> tuple[list[int], list[Column], list[LeftOut]]:
    """Decide what all columns of a table are.

    Returns
    -------
    places : list of int
        Of the columns that are used, among the profiles.
    columns : list of Column
    left_out : list of LeftOut
        Without the parts of a date that say nothing, such as the hour where there is no time.
    """
    taken = {each.name for each in profiles if not each.date}
    places: list[int] = []
    columns: list[Column] = []
    left_out: list[LeftOut] = []
    useful: set[str] = set()
    for k, profile in enumerate(profiles):
        found = decide(profile)
        if isinstance(found, Column) and not (profile.date and profile.name in taken):
            places.append(k)
            columns.append(found)
            useful.add(profile.date)
        elif isinstance(found, LeftOut) and not profile.date:
            left_out.append(found)
    for date in dict.fromkeys(each.date for each in profiles if each.date):
        if date not in useful:
            empty = all(each.rows == each.missing for each in profiles if each.date == date)
            kind, why = ("empty", "no value") if empty else ("constant", "one date")
            left_out.append(
                LeftOut(date, kind, f"it has {why} in {'any' if empty else 'every'} row")
            )
    return places, columns, left_out


def _names_rows(name: str) -> bool:
    return bool(_IDENTIFIER.match(name.casefold()) or _CAMEL_IDENTIFIER.match(name))


def nothing_left(file: str, left_out: Sequence[LeftOut]) -> DataError:
    """Return the error for a table none of whose columns can be used."""
    shown = "; ".join(f"{quoted(each.name)}: {each.reason}" for each in left_out[:4])
    more = f"; and {plural(len(left_out) - 4, 'more column')}" if len(left_out) > 4 else ""
    return DataError(
        f"{file} has no column to learn from beside its target ({shown}{more}); add one."
    )
