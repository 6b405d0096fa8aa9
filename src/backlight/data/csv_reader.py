"""The rows of a table of text: delimiters, quotes, encodings, and what is wrong with them.

It takes a file and gives the names of its columns and its rows, each with the line it began on,
or one sentence that names the line at fault.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

from backlight.data.messages import name_of, plural, quoted, reason
from backlight.data.target import is_missing, number
from backlight.errors import DataError, UsageError

_DELIMITERS = ",;\t|"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_SEPARATOR = re.compile(r"sep=(.)\s*\Z")
"""The line by which spreadsheets say what stands between cells."""

_POINT = re.compile(r"\s*[-+]?\d+\.\d+\s*\Z")
_COMMA = re.compile(r"\s*[-+]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+\s*\Z")
_THOUSANDS = re.compile(r"\s*[-+]?\d{1,3}(?:[.,]\d{3})+\s*\Z")
_ROWS_FOR_COMMAS = 1000
"""So many rows show whether numbers have a decimal comma."""

Record = tuple[int, list[str]]
"""The line on which a row begins, counted from 1, and its cells."""


class Reader:
    """An open table; its errors of encoding and quoting come out as `DataError`."""

    def __init__(self, file: Path, delimiter: str | None) -> None:
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n\0'):
            raise UsageError(
                f"delimiter={delimiter!r} is not possible; give one character, such as ';'."
            )
        self.name = name_of(file)
        self._path = file
        self._delimiter = delimiter
        self._stream: TextIO | None = None
        self._encoding = "utf-8"
        self._before = 0
        self.decimal_comma = False

    def __enter__(self) -> Reader:
        try:
            with self._path.open("rb") as beginning:
                wide = beginning.read(2) in _UTF_16
            self._encoding = "utf-16" if wide else "utf-8-sig"
            self._stream = self._path.open(encoding=self._encoding, newline="")
        except OSError as error:
            raise DataError(
                f"{self.name} cannot be opened ({reason(error)}); check its permissions."
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def header_and_rows(self) -> tuple[tuple[str, ...], Iterator[Record]]:
        """Give the names of the columns and the rows of data, each of the right length."""
        delimiter = self._delimiter or self._announced() or self._detect()
        self._before = self._remarks(delimiter)
        records = self._records(delimiter)
        self.decimal_comma = delimiter != "," and self._has_decimal_commas(delimiter)
        if self.decimal_comma:
            records = ((line, [_with_point(cell) for cell in cells]) for line, cells in records)
        first = next(records, None)
        if first is None:
            raise DataError(f"{self.name} is empty; write a header and rows of data to it.")
        line, cells = first
        if _is_data(cells):
            names = tuple(f"column_{i + 1}" for i in range(len(cells)))
            return names, self._of_equal_length(names, line, records, first)
        names = _named(tuple(cell.strip() for cell in cells))
        width = len(cells)
        if len(names) < width:
            records = self._without_last(names, line, records)
        if any(not (number(cell) or 0.0).is_integer() for cell in names):
            raise DataError(
                f"{self.name}, line {line}, should name the columns but holds numbers among text, "
                "as a row of data does; put a row of names above it."
            )
        self._check_names(names, line)
        return names, self._of_equal_length(names, line, records, None)

    def _detect(self) -> str:
        return max(_DELIMITERS, key=self._width)

    def _announced(self) -> str | None:
        """Return the delimiter that a first line ``sep=;`` names, and pass over that line."""
        assert self._stream is not None
        try:
            self._stream.seek(0)
            found = _SEPARATOR.match(self._stream.readline(100))
        except UnicodeError:
            return None  # which is said when the rows are read
        if found is None:
            return None
        self._before = 1
        return found[1]

    def _remarks(self, delimiter: str) -> int:
        """Count the lines above the header: ``#`` and a remark, of another width than the rest."""
        remarks, first = self._before, None
        for line, cells in islice(self._records(delimiter), 100):
            if not cells[0].lstrip().startswith("#"):
                return remarks if first is not None and first != len(cells) else self._before
            first, remarks = len(cells) if first is None else first, line
        return self._before

    def _has_decimal_commas(self, delimiter: str) -> bool:
        """Tell whether numbers are written as 0,5: some are, and none as 0.5."""
        commas = False
        for _, cells in islice(self._records(delimiter), _ROWS_FOR_COMMAS):
            for cell in cells:
                if _POINT.match(cell) and not _THOUSANDS.match(cell):
                    return False
                # 1,234 may be a number of thousands, and says nothing.
                commas = commas or bool(_COMMA.match(cell) and not _THOUSANDS.match(cell))
        return commas

    def _without_last(
        self, names: tuple[str, ...], header_line: int, records: Iterator[Record]
    ) -> Iterator[Record]:
        """Leave out the cell behind a delimiter that ends each row."""
        for line, cells in records:
            if len(cells) == len(names) + 1 and cells[-1].strip():
                raise DataError(
                    f"{self.name}, line {header_line}, has no name for column {len(cells)}, and "
                    f"line {line} has {quoted(cells[-1])} in it; name it or remove the column."
                )
            yield line, cells[: len(names)] if len(cells) == len(names) + 1 else cells

    def _width(self, delimiter: str) -> int:
        """Count the cells that a delimiter makes of the first row; none where it cannot be."""
        try:
            first = next(self._records(delimiter), None)
        except DataError:
            return 0  # what is wrong is said when the rows are read with the delimiter chosen
        return len(first[1]) if first else 0

    def _records(self, delimiter: str) -> Iterator[Record]:
        assert self._stream is not None
        line = 1
        try:
            self._stream.seek(0)
            for _ in range(self._before):
                self._stream.readline()
            line += self._before
            reader = csv.reader(self._lines(self._stream), delimiter=delimiter, strict=True)
            for cells in reader:
                # A blank line has no cell, and two quotes make an empty one.
                if len(cells) > 1 or (cells and (not cells[0] or cells[0].strip())):
                    yield line, cells
                line = self._before + reader.line_num + 1
        except csv.Error as error:
            raise DataError(
                f"{self.name}, line {line}, breaks the rules of quoting or length ({error}); "
                "close every quote and double those inside a cell."
            ) from error
        except UnicodeError as error:
            if self._encoding == "utf-16":
                raise DataError(
                    f"{self.name} is no whole text in UTF-16; save the file as CSV in UTF-8."
                ) from error
            raise DataError(
                f"{self.name}, line {self._undecodable_line()}, is not text in UTF-8; save the "
                "file as CSV in UTF-8 (one of Western Europe with: iconv -f WINDOWS-1252 -t UTF-8 "
                f"{self.name} > NEW.csv)."
            ) from error
        except OSError as error:
            raise DataError(f"{self.name} cannot be read ({reason(error)}).") from error

    def _lines(self, stream: TextIO) -> Iterator[str]:
        for line in stream:
            if "\0" in line:
                raise DataError(
                    f"{self.name} is a binary file, not a table of text; name a CSV file, or give "
                    "the file the suffix of its format."
                )
            yield line

    def _undecodable_line(self) -> int:
        with self._path.open("rb") as stream:
            for count, line in enumerate(stream, start=1):
                try:
                    line.decode()
                except UnicodeDecodeError:
                    return count
        return 1

    def _check_names(self, names: tuple[str, ...], line: int) -> None:
        seen: dict[str, int] = {}
        for i, name in enumerate(names):
            if not name:
                raise DataError(
                    f"{self.name}, line {line}, has no name for column {i + 1} (a column of row "
                    "numbers is often written without one); name it or remove the column."
                )
            if name in seen:
                raise DataError(
                    f"{self.name}, line {line}, gives the name {quoted(name)} to column "
                    f"{seen[name] + 1} and to column {i + 1}; rename one of them."
                )
            seen[name] = i

    def _of_equal_length(
        self,
        names: tuple[str, ...],
        header_line: int,
        records: Iterator[Record],
        first: Record | None,
    ) -> Iterator[Record]:
        if first is not None:
            yield first
        for line, cells in records:
            if len(cells) != len(names):
                raise DataError(
                    f"{self.name}, line {line}, has {plural(len(cells), 'field')} where line "
                    f"{header_line} has {len(names)}; correct the row, or quote a cell that "
                    "holds the delimiter."
                )
            yield line, cells


def _named(names: tuple[str, ...]) -> tuple[str, ...]:
    """Give a name to a first column without one, and leave out a last one without one."""
    if len(names) > 1 and not names[0] and "index" not in names:
        names = ("index", *names[1:])  # programs write the numbers of the rows so
    return names[:-1] if len(names) > 1 and not names[-1] else names


def _with_point(cell: str) -> str:
    """Write a number that has a decimal comma with a point."""
    if _COMMA.match(cell) or _THOUSANDS.match(cell):
        return cell.replace(".", "").replace(",", ".")
    return cell


def _is_data(cells: list[str]) -> bool:
    """Tell whether a first row is data: numbers, perhaps with gaps, and no text."""
    numbers = [number(cell) is not None for cell in cells]
    gaps = [is_missing(cell) for cell in cells]
    return any(n and not gap for n, gap in zip(numbers, gaps, strict=True)) and all(
        n or gap for n, gap in zip(numbers, gaps, strict=True)
    )
