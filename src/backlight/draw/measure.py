"""How wide a line of text is, estimated without a font, and how to shorten one that is too wide.

Which font a viewer uses is not known, so the widths are those of a wide one (DejaVu Sans): text
set in any ordinary sans-serif font then stays inside the space that was made for it.
"""

from __future__ import annotations

import unicodedata

TITLE_SIZE = 14.0
LINE_SIZE = 12.0
WIDEST = 320.0
"""No line of text in a box is wider than this; longer ones are cut."""

_NARROW = frozenset("ijlI|!.,:;'·‘’ ")
_SLIM = frozenset('ftr()[]/\\-"°‖₀₁₂₃₄₅₆₇₈₉ₗᵢⱼ`*∣')
_WIDE = frozenset("mwMW@%—…∑∏ωœæŒÆ")
_LARGE = frozenset("&+−=<>×±≤≥≠~^#¬÷")
_DEFAULT = 0.66
_BOLD = 1.1


def _character_width(character: str) -> float:
    """Return a width in units of the font size."""
    if unicodedata.combining(character):
        return 0.0
    for group, width in ((_NARROW, 0.36), (_SLIM, 0.53), (_WIDE, 1.03), (_LARGE, 0.85)):
        if character in group:
            return width
    if unicodedata.east_asian_width(character) in "WF" or ord(character) > 0x1F000:
        return 1.3
    category = unicodedata.category(character)
    if category == "Lu":
        plain = unicodedata.normalize("NFD", character)[0]
        return 1.03 if plain in "MWΜ" else 0.88
    if (category in ("Sm", "So") and character != "∂") or ord(character) > 0x2FFF:
        return 1.05
    return _DEFAULT


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return a generous estimate of a text's width.

    Parameters
    ----------
    text : str
    size : float
        The font size; the result has the same unit.
    bold : bool

    Examples
    --------
    >>> text_width("ii", 10.0) < text_width("mm", 10.0)
    True
    """
    return sum(map(_character_width, text)) * size * (_BOLD if bold else 1.0)


def shorten(text: str, limit: float, size: float, *, bold: bool = False) -> str:
    """Return the text, cut and ended with ``…`` when it is wider than a limit.

    Examples
    --------
    >>> shorten("gradient", 30.0, 10.0)
    'gra…'
    """
    if text_width(text, size, bold=bold) <= limit:
        return text
    room = limit - text_width("…", size, bold=bold)
    kept = 0
    for character in text:
        room -= text_width(character, size, bold=bold)
        if room < 0.0:
            break
        kept += 1
    return text[:kept].rstrip() + "…"


def printable(text: str) -> str:
    """Return a text without characters that XML forbids or that reorder what is around them.

    Examples
    --------
    >>> printable("a\\x00b\\nc")
    'a�b c'
    """
    return "".join(map(_printable_character, text))


_REORDERING = frozenset({"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"})


def _printable_character(character: str) -> str:
    if character.isspace():
        return " "
    forbidden = unicodedata.category(character) in {"Cc", "Cs", "Cn"}
    if forbidden or unicodedata.bidirectional(character) in _REORDERING:
        return "\N{REPLACEMENT CHARACTER}"
    return character
