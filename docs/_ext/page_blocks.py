"""The blocks of code of a page in Markdown, and whether an output is what a page shows.

`blocks_of` takes the text of a page and gives its blocks; `agrees` compares.  `run_blocks` says
what the comments in a page mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>[\w+-]*)[^\n`]*$")
COMMENT = re.compile(
    r"^<!-- (?P<what>not run|page not run|raises|within)[: ]\s*(?P<text>.*?)\s*-->$"
)
HIDDEN = "<!-- run"
RUNNABLE = ("python", "console")
NUMBER = re.compile(r"[-−+]?(?:\d{1,3}(?:,\d{3})+|\d+)?\.?\d+(?:[eE][-−+]?\d+)?")


@dataclass
class Block:
    """One block of a page.

    Attributes
    ----------
    language : str
        `python`, `console`, or another one, which is not run.
    code : str
        What it contains.
    line : int
        Of its first line of code, from 1.
    excuse : str
        Why it is not run; empty where it is.
    raises : str
        The error that it ends with; empty where it ends well.
    within : float
        The relative difference that numbers may have.
    expected : str or None
        What stands below it as its output.
    span : pair of int
        The lines of that output, from 0, for writing it anew.
    """

    language: str
    code: str
    line: int
    excuse: str = ""
    raises: str = ""
    within: float = 1e-3
    expected: str | None = None
    span: tuple[int, int] = (0, 0)


# ---- reading a page ------------------------------------------------------------------------------


def blocks_of(text: str) -> list[Block]:
    """Find the blocks of a page, each with the output that is shown for it.

    Parameters
    ----------
    text : str
        The page, in Markdown.

    Returns
    -------
    list of Block
        Python and console blocks in the order of the page.
    """
    lines = text.split("\n")
    found: list[Block] = []
    page_excuse, excuse, raises, within = "", "", "", 1e-3
    owner: Block | None = None  # the block whose output may come next
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.strip() == HIDDEN:
            end = next(k for k in range(at, len(lines)) if lines[k].strip() == "-->")
            owner = Block("python", "\n".join(lines[at + 1 : end]), at + 2)
            found.append(owner)
            at = end + 1
            continue
        if comment := COMMENT.match(line.strip()):
            if comment["what"] == "page not run":
                page_excuse = comment["text"]
            elif comment["what"] == "not run":
                excuse = comment["text"]
            elif comment["what"] == "raises":
                raises = comment["text"]
            else:
                within = float(comment["text"])
        elif fence := FENCE.match(line):
            closing = re.compile(rf"^ *{fence['ticks']}`* *$")
            end = next(
                (k for k in range(at + 1, len(lines)) if closing.match(lines[k])), len(lines)
            )
            margin = len(fence["indent"])
            code = "\n".join(each[margin:] for each in lines[at + 1 : end])
            if fence["language"] in RUNNABLE:
                owner = Block(
                    fence["language"], code, at + 2, excuse or page_excuse, raises, within
                )
                found.append(owner)
                excuse, raises, within = "", "", 1e-3
            else:
                if fence["language"] == "text" and owner is not None:
                    owner.expected, owner.span = code, (at + 1, end)
                owner = None
                if line.strip().startswith("```{"):  # a directive: look inside
                    end = at
            at = end + 1
            continue
        elif line.strip():
            owner = None
        at += 1
    return found


# ---- comparing -----------------------------------------------------------------------------------


def agrees(shown: str, printed: str, within: float = 1e-3) -> bool:
    """Tell whether what was printed is what is shown.

    Parameters
    ----------
    shown : str
        From the page; "…" matches anything, across lines where it has a line for itself.
    printed : str
        From the program.
    within : float
        The relative difference that numbers with decimals may have.

    Examples
    --------
    >>> agrees("loss 0.25, …", "loss 0.27, step 3")
    False
    >>> agrees("loss 0.25, …", "loss 0.26, step 3")
    True
    """
    lines = tidy(printed).split("\n")
    # How many of the lines that were printed can be used up by what has been looked at.
    used = {0}
    for line in tidy(shown).split("\n"):
        if line.strip() == "…":
            used = set(range(min(used), len(lines) + 1))
        else:
            used = {at + 1 for at in used if at < len(lines) and alike(line, lines[at], within)}
        if not used:
            return False
    return len(lines) in used


def alike(shown: str, printed: str, within: float) -> bool:
    """Tell whether one line is what is shown."""
    words, numbers = pattern_of(shown)
    match = re.fullmatch(words, printed)
    return match is not None and all(
        close(number, match[f"n{k}"], within) for k, number in enumerate(numbers)
    )


def tidy(text: str) -> str:
    """Drop what one does not see: blanks at the ends of lines, empty lines around the whole."""
    return "\n".join(each.rstrip() for each in text.strip("\n").split("\n")).rstrip()


def pattern_of(line: str) -> tuple[str, list[str]]:
    """Turn a line into a regular expression and the numbers that it captures."""
    numbers: list[str] = []
    piece, at = "", 0
    for token in re.finditer(rf"…|{NUMBER.pattern}", line):
        piece += re.escape(line[at : token.start()])
        if token[0] == "…":
            piece += ".*?"
        else:
            piece += rf"(?P<n{len(numbers)}>{NUMBER.pattern}|{re.escape(token[0])})"
            numbers.append(token[0])
        at = token.end()
    return piece + re.escape(line[at:]), numbers


def close(shown: str, printed: str, within: float = 1e-3) -> bool:
    """Tell whether two numbers agree: to one in the last digit shown (but 5 %), or to a share.

    Processors round differently, and training carries that on.  Whole numbers have to be the same.
    """
    if shown == printed:
        return True
    places = decimals(shown)
    if places <= 0 or decimals(printed) <= 0:
        return False
    a, b = (float(each.replace("−", "-").replace(",", "")) for each in (shown, printed))
    return abs(a - b) <= max(min(1.0001 * 10.0**-places, 0.05 * abs(a)), within * abs(a))


def decimals(number: str) -> int:
    """Return how many digits stand behind the point, more for a negative power of ten."""
    mantissa, _, exponent = re.sub("[−]", "-", number.lower()).partition("e")
    return len(mantissa.partition(".")[2]) - int(exponent or 0)
