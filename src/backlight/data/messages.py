"""The small pieces that the package's error messages share.

They take names, cells and paths and give text that fits into one sentence: a shortened cell, a
short list, a suggestion for a misspelt name, or a path that is known to be a readable file.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from backlight.errors import DataError

PathLike = str | os.PathLike[str]

PARQUET_SUFFIXES = (".parquet", ".pq")
ARROW_SUFFIXES = (".arrow", ".feather", ".ipc")

_FOLDER_ENTRIES_LOOKED_AT = 10_000
_LONGEST_PATH = 200


def quoted(text: str, limit: int = 40) -> str:
    """Give `text` in quotes, on one line and no longer than about `limit` characters.

    Examples
    --------
    >>> quoted("abc")
    "'abc'"
    >>> quoted("a" * 100, limit=5)
    "'aaaaa…'"
    """
    return repr(text if len(text) <= limit else text[:limit] + "…")


def listed(names: Sequence[str], limit: int = 8) -> str:
    """Give the first `limit` names, quoted, and how many more there are.

    Examples
    --------
    >>> listed(["a", "b", "c"], limit=2)
    "'a', 'b' and 1 more"
    """
    shown = ", ".join(quoted(name) for name in names[:limit])
    rest = len(names) - limit
    return f"{shown} and {rest} more" if rest > 0 else shown


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Give ``" (did you mean 'x'?)"`` for the known name nearest to `word`, or nothing.

    Examples
    --------
    >>> did_you_mean("digts", ["digits", "xor"])
    " (did you mean 'digits'?)"
    """
    by_folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    return f" (did you mean {quoted(by_folded[close[0]], limit=80)}?)" if close else ""


def plural(count: int, singular: str, several: str | None = None) -> str:
    """Give the count and the noun in the right number.

    Examples
    --------
    >>> plural(1, "row"), plural(2, "row")
    ('1 row', '2 rows')
    """
    return f"{count} {singular if count == 1 else several or singular + 's'}"


def reason(error: BaseException) -> str:
    """Give the cause of a system error in a few words, on one line."""
    text = error.strerror if isinstance(error, OSError) else None
    return " ".join((text or str(error) or type(error).__name__).split())


def existing_file(path: PathLike, remedy: str = "check the path") -> tuple[Path, int]:
    """Return the path and its size in bytes, once it is known to be a plain file.

    Raises
    ------
    DataError
        When there is no such file (similarly named ones beside it are suggested), or it is a
        folder, a device or a pipe, or cannot be looked at.
    """
    file = Path(path)
    try:
        status = file.stat()
    except FileNotFoundError:
        raise DataError(_not_there(file, remedy)) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{name_of(file)} cannot be read ({reason(error)}); {remedy}.") from error
    if stat.S_ISDIR(status.st_mode):
        raise DataError(f"{name_of(file)} is a folder where a file is needed; name a file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise DataError(
            f"{name_of(file)} is a device or a pipe, which cannot be read as data; "
            "copy its content to a file first."
        )
    return file, status.st_size


def name_of(path: PathLike) -> str:
    """Give the path as it was written, on one line even where it holds odd characters.

    Of a very long path, the end is given.
    """
    text = os.fspath(path)
    if len(text) > _LONGEST_PATH:
        text = "…" + text[-_LONGEST_PATH:]
    return text if text.isprintable() and text else repr(text)


def names_in(folder: Path) -> list[str]:
    """List the names in a folder, and nothing where it cannot be looked into."""
    try:
        return sorted(entry.name for entry in islice(folder.iterdir(), _FOLDER_ENTRIES_LOOKED_AT))
    except (OSError, ValueError):
        return []


def _not_there(file: Path, remedy: str) -> str:
    if not os.path.isdir(file.parent):
        return f"{name_of(file)} cannot be read: there is no folder {name_of(file.parent)}."
    suggestion = did_you_mean(file.name, names_in(file.parent))
    return f"{name_of(file)} does not exist{suggestion}; {remedy}."
