"""Colours of drawings and plots, in a light and a dark theme.

All text has a contrast of at least 4.5 to 1 against what is behind it and all lines that carry
meaning at least 3 to 1, as WCAG 2.1 asks at level AA.  Colour is never the only sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from backlight.draw.picture import BoxKind
from backlight.errors import UsageError

ThemeName = Literal["auto", "light", "dark"]
"""``"auto"`` follows what the viewer prefers."""

FONT = (
    'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "DejaVu Sans", '
    "Arial, sans-serif"
)


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one theme.

    Attributes
    ----------
    paper, ink, muted, gradient : str
        The background and the three colours of text: forward numbers, notes, backward numbers.
    line, highlight, grid : str
        Arrows, highlighted ones, and the faint lines of a plot.
    fill, border : mapping of BoxKind to str
        Of boxes.
    series : tuple of str
        For the curves of a plot.
    """

    paper: str
    ink: str
    muted: str
    gradient: str
    line: str
    highlight: str
    grid: str
    fill: Mapping[BoxKind, str]
    border: Mapping[BoxKind, str]
    series: tuple[str, ...]


def _by_kind(**colours: str) -> Mapping[BoxKind, str]:
    return MappingProxyType({kind: colours[kind.rpartition("-")[2]] for kind in get_args(BoxKind)})


LIGHT = Palette(
    paper="#ffffff",
    ink="#1b1f24",
    muted="#535a63",
    gradient="#9a3412",
    line="#69707a",
    highlight="#be185d",
    grid="#dde1e6",
    fill=_by_kind(
        parameter="#e6efff", input="#e6f6eb", constant="#f3f4f6", operation="#ffffff",
        module="#f1eafe", composite="#fdf4dc", output="#fdeaea", elided="#ffffff",
    ),
    border=_by_kind(
        parameter="#1d4ed8", input="#15803d", constant="#6b7280", operation="#535a63",
        module="#6d28d9", composite="#92600a", output="#b91c1c", elided="#6b7280",
    ),
    series=("#1d4ed8", "#b45309", "#15803d", "#be185d", "#6d28d9", "#0e7490", "#4d5560", "#b91c1c"),
)  # fmt: skip

DARK = Palette(
    paper="#10151b",
    ink="#f1f4f7",
    muted="#b4bdc8",
    gradient="#fdba74",
    line="#8d97a4",
    highlight="#f687b3",
    grid="#2c343d",
    fill=_by_kind(
        parameter="#14284b", input="#12301f", constant="#262b32", operation="#181f27",
        module="#2b1d4d", composite="#382b0c", output="#441c1f", elided="#10151b",
    ),
    border=_by_kind(
        parameter="#7fb0ff", input="#6fd39a", constant="#a3acb8", operation="#a3acb8",
        module="#b79bfb", composite="#e4b94f", output="#fb8f8f", elided="#a3acb8",
    ),
    series=("#7fb0ff", "#fbbf55", "#6fd39a", "#f687b3", "#b79bfb", "#5fd0e3", "#c3cad3", "#fb8f8f"),
)  # fmt: skip


def themed(theme: ThemeName, rules: Mapping[Literal["light", "dark"], str]) -> str:
    """Join the style rules of both themes into one style sheet.

    Parameters
    ----------
    theme : {"auto", "light", "dark"}
    rules : mapping
        The rules that set colours, for each theme.

    Raises
    ------
    UsageError
        For another theme.

    Examples
    --------
    >>> themed("auto", {"light": "a{fill:#fff}", "dark": "a{fill:#000}"})
    'a{fill:#fff}@media (prefers-color-scheme:dark){a{fill:#000}}'
    """
    if theme == "auto":
        return f"{rules['light']}@media (prefers-color-scheme:dark){{{rules['dark']}}}"
    if theme in ("light", "dark"):
        return rules[theme]
    raise UsageError(f"theme is 'auto', 'light' or 'dark', not {theme!r}.")
