"""A drawing that a notebook shows and that can be saved."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Literal

from backlight.draw.layout import Direction, Layout, layout
from backlight.draw.picture import Picture
from backlight.draw.svg import to_svg
from backlight.draw.theme import ThemeName
from backlight.errors import UsageError
from backlight.files import write_text


@dataclass(frozen=True, eq=False)
class Drawing:
    """A picture as SVG.

    Attributes
    ----------
    picture : Picture
    direction : {"auto", "left-to-right", "top-to-bottom"}
    theme : {"auto", "light", "dark"}

    Examples
    --------
    >>> import backlight as bl
    >>> from backlight.draw import picture_of
    >>> drawing = Drawing(picture_of(bl.trace(lambda w, x: w * x, 1.0, 2.0)))
    >>> print(drawing)
    Computation graph of p: 3 boxes, 2 arrows.
    w (input)
    x (input)
    p = w·x (result) from w, x
    >>> drawing.svg.startswith("<svg")
    True
    """

    picture: Picture
    direction: Direction | Literal["auto"] = "auto"
    theme: ThemeName = "auto"

    @cached_property
    def layout(self) -> Layout:
        """The picture with positions."""
        return layout(self.picture, direction=self.direction)

    @cached_property
    def svg(self) -> str:
        """The drawing as one ``<svg>`` element that refers to nothing outside itself."""
        return to_svg(self.layout, self.theme)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the drawing to a file.

        Parameters
        ----------
        path : path-like
            Its name ends in ``.svg``.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        UsageError
            For another kind of file.
        DataError
            When the file cannot be written.
        """
        file = Path(path)
        if file.suffix.lower() != ".svg":
            raise UsageError(
                f"A drawing is saved as SVG, and {file.name!r} does not end in .svg; give the "
                f"file that ending (a browser or rsvg-convert makes PNG or PDF of it)."
            )
        return write_text(file, self.svg)

    def __str__(self) -> str:
        return self.picture.describe()

    def __repr__(self) -> str:
        return f"<drawing of {len(self.picture.boxes)} boxes>"

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, str]:
        """Return what notebooks show: the picture, and the same in words."""
        return {"image/svg+xml": self.svg, "text/plain": str(self)}
