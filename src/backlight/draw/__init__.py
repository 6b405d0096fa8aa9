"""Drawing: a graph, with the numbers of a run, as a self-contained SVG picture.

`picture_of` says what is shown, `layout` where, `to_svg` writes it, and `Drawing` puts the three
together for notebooks and files.  `line_plot` and `function_plot` draw curves.
"""

from __future__ import annotations

from backlight.draw.build import picture_of
from backlight.draw.drawing import Drawing
from backlight.draw.layout import Layout, layout
from backlight.draw.picture import Box, Edge, Line, Picture
from backlight.draw.plots import function_plot, line_plot
from backlight.draw.run import draw
from backlight.draw.svg import to_svg

__all__ = [
    "Box",
    "Drawing",
    "Edge",
    "Layout",
    "Line",
    "Picture",
    "draw",
    "function_plot",
    "layout",
    "line_plot",
    "picture_of",
    "to_svg",
]
