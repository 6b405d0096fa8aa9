"""The SVG text: well formed, self-contained, escaped, the same every time, readable."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backlight.draw import Box, Drawing, Edge, Line, Picture, layout, to_svg
from backlight.draw.measure import printable, shorten, text_width
from backlight.draw.picture import BoxKind
from backlight.draw.svg import wrap
from backlight.draw.theme import DARK, LIGHT, Palette
from backlight.errors import UsageError

SVG = "{http://www.w3.org/2000/svg}"
NASTY = "<script>alert('&\"')</script> ]]> @@ \x00\x1b\u202e\ud800"


def sample(title: str = "y = 2x") -> Picture:
    kinds = get_args(BoxKind)
    boxes = tuple(
        Box(str(k), f"{title}{k}", (Line("= 1", "value"), Line("∂y = 2", "gradient")), kind,
            highlighted=k < 2)
        for k, kind in enumerate(kinds)
    )  # fmt: skip
    edges = tuple(
        Edge(str(k), str(k + 1), "× 2", highlighted=k == 0) for k in range(len(kinds) - 1)
    )
    return Picture(boxes, edges, title, "A caption.", "gradient of y")


def test_it_is_well_formed_and_whole() -> None:
    picture = sample()
    for theme, direction in itertools.product(
        ("auto", "light", "dark"), ("left-to-right", "top-to-bottom")
    ):
        root = ElementTree.fromstring(to_svg(layout(picture, direction=direction), theme))
        assert root.tag == f"{SVG}svg"
        texts = [each.text for each in root.iter(f"{SVG}text")]
        for box in picture.boxes:
            assert box.title in texts
        assert texts.count("× 2") == len(picture.edges) + 1  # the legend has one as well
        assert "A caption." in texts and "gradient of y" in texts


def test_a_screen_reader_gets_title_and_description() -> None:
    root = ElementTree.fromstring(Drawing(sample()).svg)
    assert root.get("role") == "img"
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert root.get("aria-labelledby") == title.get("id")
    assert root.get("aria-describedby") == description.get("id")
    assert title.text == "y = 2x"
    assert description.text == sample().describe()


def test_whatever_text_stays_text() -> None:
    picture = Picture(
        (Box("a", NASTY, (Line(NASTY, "value"),)), Box("b", NASTY)),
        (Edge("a", "b", NASTY),),
        NASTY,
        NASTY,
        NASTY,
    )
    svg = Drawing(picture).svg
    root = ElementTree.fromstring(svg)
    svg.encode("utf-8")
    assert not list(root.iter(f"{SVG}script")) and "<script" not in svg
    assert {each.tag.removeprefix(SVG) for each in root.iter()} <= {
        "svg", "title", "desc", "style", "rect", "g", "path", "polygon", "line", "text",
    }  # fmt: skip


@given(st.text(max_size=40))
def test_any_text_makes_a_well_formed_drawing(text: str) -> None:
    picture = Picture(
        (Box("a", text, (Line(text),)), Box("b", text)), (Edge("a", "b", text),), text
    )
    ElementTree.fromstring(Drawing(picture).svg)


def test_it_refers_to_nothing_outside() -> None:
    svg = Drawing(sample()).svg.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|href|url\(|@import|@font-face|<image|<use", svg)


def test_it_is_the_same_every_time_and_two_drawings_do_not_share_ids() -> None:
    assert Drawing(sample()).svg == Drawing(sample()).svg
    marks = [re.findall(r'id="([^"]+)"', Drawing(sample(title)).svg) for title in "ab"]
    assert set(marks[0]).isdisjoint(marks[1])
    style = re.search(r"<style>(.*)</style>", Drawing(sample()).svg).group(1)
    mark = re.search(r'<svg[^>]* id="([^"]+)"', Drawing(sample()).svg).group(1)
    for selectors in re.findall(r"(?:^|[{}])([^{}]+)\{", style.replace("@media", "}@media")):
        if not selectors.startswith("@media"):
            assert all(each.startswith(f"#{mark} ") for each in selectors.split(","))


def test_themes() -> None:
    placed = layout(sample())
    light, dark, both = (to_svg(placed, theme) for theme in ("light", "dark", "auto"))
    assert LIGHT.paper in light and DARK.paper not in light
    assert DARK.paper in dark and LIGHT.ink not in dark
    assert LIGHT.paper in both and DARK.paper in both and "prefers-color-scheme:dark" in both
    with pytest.raises(UsageError, match="theme is"):
        to_svg(placed, "sepia")


def luminance(colour: str) -> float:
    """Relative luminance of an sRGB colour (WCAG 2.1)."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast_is_enough(palette: Palette) -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    grounds = {palette.paper, *palette.fill.values()}
    for text in (palette.ink, palette.muted, palette.gradient):
        assert min(contrast(text, ground) for ground in grounds) >= 4.5
    lines = [palette.line, palette.highlight, *palette.series, *palette.border.values()]
    assert min(contrast(line, palette.paper) for line in lines) >= 3.0
    for kind, colour in palette.border.items():
        assert contrast(colour, palette.fill[kind]) >= 3.0


def test_the_kinds_differ_by_more_than_colour() -> None:
    """Each pair of kinds differs in the shape, the number of sheets or the style of its border."""
    svg = to_svg(layout(sample()), "light")
    root = ElementTree.fromstring(svg)
    style = root.find(f"{SVG}style").text
    looks = set()
    for kind in get_args(BoxKind):
        rects = [r for r in root.iter(f"{SVG}rect") if kind in r.get("class", "").split()]
        rules = re.findall(rf"\.{kind}\{{((?:stroke-w|stroke-d)[^}}]*)\}}", style)
        looks.add((len(rects), rects[0].get("rx"), tuple(rules)))
    assert len(looks) >= len(get_args(BoxKind)) - 1  # modules and composites are both stacks


def test_text_is_cut_to_the_box() -> None:
    picture = Picture((Box("a", "W" * 500, (Line("i" * 500, "value"),)),), ())
    (placed,) = layout(picture).boxes
    assert placed.title.endswith("…") and placed.lines[0].text.endswith("…")
    for text, size, bold in ((placed.title, 14.0, True), (placed.lines[0].text, 12.0, False)):
        assert text_width(text, size, bold=bold) <= placed.width - 16.0
    assert "W" * 500 in to_svg(layout(picture))  # the whole text is in the tooltip


# Advance widths in units of the font size, from the metrics of DejaVu Sans, a wide font.
@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("m", 0.974), ("W", 0.989), ("i", 0.278), ("0", 0.636), ("−", 0.838), ("∂", 0.517),
        ("e", 0.615), ("σ", 0.634), ("‖", 0.500), ("@", 1.000), ("₁", 0.401), ("Σ", 0.632),
    ],
)  # fmt: skip
def test_widths_are_not_underestimated(text: str, width: float) -> None:
    assert width <= text_width(text, 1.0) <= 1.7 * width


def test_shorten_and_wrap() -> None:
    assert shorten("abc", 100.0, 10.0) == "abc"
    assert text_width(shorten("abcdefgh" * 9, 70.0, 10.0), 10.0) <= 70.0
    lines = wrap("one two three four five six", 60.0, 12.0)
    assert " ".join(lines) == "one two three four five six"
    assert all(text_width(line, 12.0) <= 60.0 for line in lines)
    assert wrap("", 60.0, 12.0) == [] and wrap("w" * 99, 60.0, 12.0) == ["w" * 99]


def test_printable_keeps_ordinary_text() -> None:
    assert printable("ŷ − y 日本 \U0001f600") == "ŷ − y 日本 \U0001f600"


def test_saving(tmp_path: Path) -> None:
    drawing = Drawing(sample(), theme="light")
    file = drawing.save(tmp_path / "graph.SVG")
    assert file.read_bytes().decode("utf-8") == drawing.svg
    with pytest.raises(UsageError, match=r"'graph.png' does not end in \.svg"):
        drawing.save(tmp_path / "graph.png")
    assert [each.name for each in tmp_path.iterdir()] == ["graph.SVG"]


def test_notebooks() -> None:
    drawing = Drawing(sample())
    assert drawing._repr_svg_() == drawing.svg
    bundle = drawing._repr_mimebundle_(include=None, exclude=None)
    assert bundle == {"image/svg+xml": drawing.svg, "text/plain": sample().describe()}
    assert repr(drawing) == "<drawing of 8 boxes>"
