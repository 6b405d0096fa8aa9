"""Dates as numbers that a network can learn from: year, month, weekday, day of the year, hour.

It takes dates as text or as NumPy's ``datetime64``.  In which order text gives day and month is
found out from all the values of a column (`Layouts`), because ``03/04/2024`` alone does not say.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from backlight.data.target import is_missing

PARTS = ("year", "month", "weekday", "yearday", "hour")
"""What becomes of a date: month 1 to 12, weekday 0 (Monday) to 6, day of the year 1 to 366, and
the time of day in hours."""

LAYOUTS = ("ymd", "dmy", "mdy")
"""The orders of year, month and day."""

_FORM = re.compile(
    r"(\d{1,4})([-/.])(\d{1,2})\2(\d{1,4})"
    r"(?:[ T](\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d*)?))?\s*(?:Z|[-+]\d{2}:?(?:\d{2})?)?)?\s*\Z"
)

FloatArray = npt.NDArray[np.float64]


class Layouts:
    """In which orders the dates of a column can be meant, as far as they were seen.

    Examples
    --------
    >>> seen = Layouts()
    >>> seen.see(["3/4/2024"]), seen.possible
    (True, ('dmy', 'mdy'))
    >>> seen.see(["3/14/2024"]), seen.possible
    (True, ('mdy',))
    >>> seen.see(["2024-05-31"]), seen.possible
    (False, ())
    """

    def __init__(self, possible: Sequence[str] = LAYOUTS) -> None:
        self.possible = tuple(possible)

    def see(self, texts: Iterable[str]) -> bool:
        """Take in texts, none of them missing; tell whether all can be dates in one order."""
        for text in texts:
            if not self.possible:
                return False
            self.possible = tuple(each for each in self.possible if read(text, each) is not None)
        return bool(self.possible)


@lru_cache(maxsize=1 << 16)
def read(text: str, layout: str) -> str | None:
    """Read a date as text of the standard form (ISO 8601), or give None where it is none.

    A year has four digits.  An offset from universal time is passed over: the time is the one
    that is written.

    Examples
    --------
    >>> read("31.5.2024 9:30", "dmy"), read("31/2/2024", "dmy")
    ('2024-05-31T09:30:00', None)
    """
    found = _FORM.match(text.strip())
    if found is None:
        return None
    order = dict(zip(layout, (found[1], found[3], found[4]), strict=True))
    if len(order["y"]) != 4 or max(len(order["m"]), len(order["d"])) > 2:
        return None
    if found[2] == "." and layout == "mdy":  # nobody writes it so
        return None
    try:
        day = datetime.date(int(order["y"]), int(order["m"]), int(order["d"]))
        clock = datetime.time(int(found[5] or 0), int(found[6] or 0))
    except ValueError:
        return None
    seconds = found[7] or "00"
    if float(seconds) >= 60:
        return None
    return f"{day.isoformat()}T{clock.isoformat(timespec='minutes')}:{seconds.rstrip('.')}"


def parts_of_texts(texts: Sequence[str | None], layout: str) -> tuple[FloatArray, int | None]:
    """Return the parts (n, 5) of dates given as text, NaN where there is none.

    The second result is the place of the first text that is no date; None where all are.
    """
    made = []
    for k, text in enumerate(texts):
        if text is None or is_missing(text):
            made.append("NaT")
            continue
        # The order of year, month and day is never in doubt.
        date = read(text, layout) or read(text, "ymd")
        if date is None:
            return np.empty((0, len(PARTS))), k
        made.append(date)
    return parts_of(np.array(made, "datetime64[us]")), None


def parts_of(dates: npt.NDArray[np.datetime64]) -> FloatArray:
    """Return the parts (n, 5) of dates, NaN where there is none.

    Examples
    --------
    >>> parts_of(np.array(["2024-03-01T06:30", "NaT"], "datetime64[us]"))
    array([[2024. ,    3. ,    4. ,   61. ,    6.5],
           [   nan,    nan,    nan,    nan,    nan]])
    """
    there = ~np.isnat(dates)
    known = dates[there]
    days, years = known.astype("datetime64[D]"), known.astype("datetime64[Y]")
    number = days.astype(np.int64)
    made = np.full((len(dates), len(PARTS)), np.nan)
    made[there] = np.stack(
        [
            years.astype(np.int64) + 1970,
            known.astype("datetime64[M]").astype(np.int64) % 12 + 1,
            (number + 3) % 7,  # 1 January 1970 was a Thursday
            number - years.astype("datetime64[D]").astype(np.int64) + 1,
            (known - days) / np.timedelta64(1, "h"),
        ],
        axis=1,
    )
    return made
