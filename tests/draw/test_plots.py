"""Plots: round marks, honest gaps, curves where the numbers say, escaped text."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backlight.draw import function_plot, line_plot
from backlight.draw.ticks import linear_axis, log_axis
from backlight.errors import UsageError

SVG = "{http://www.w3.org/2000/svg}"


def curves(svg: str) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(svg)
    return [e for e in root.iter(f"{SVG}path") if "curve" in e.get("class", "")]


def points(curve: ElementTree.Element) -> np.ndarray:
    found = re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", curve.get("d", ""))
    return np.array(found, dtype=float)


def texts(svg: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_linear_marks_are_round_even_and_hold_the_range(a: float, b: float) -> None:
    axis = linear_axis(a, b)
    assert axis.low <= min(a, b) + 1e-6 * abs(a - b) and axis.high >= max(a, b) - 1e-6 * abs(a - b)
    assert 2 <= len(axis.ticks) <= 12
    steps = np.diff(axis.ticks)
    assert np.allclose(steps, steps[0], rtol=1e-6)
    mantissa = steps[0] / 10.0 ** math.floor(math.log10(steps[0]) + 1e-6)
    assert any(math.isclose(mantissa, each, rel_tol=1e-5) for each in (1, 2, 5, 10))
    assert len(set(axis.labels)) == len(axis.labels)


def test_labels_are_exact() -> None:
    assert linear_axis(-0.3, 0.3).labels == ("−0.3", "−0.2", "−0.1", "0", "0.1", "0.2", "0.3")
    assert linear_axis(0, 60000).labels[-1] == "60,000"
    assert log_axis(3e-7, 2e-5).labels == ("1e−7", "1e−6", "1e−5", "0.0001")
    assert linear_axis(3.0, 3.0).low < 3.0 < linear_axis(3.0, 3.0).high
    assert linear_axis(0.0, 0.0).low == -1.0


@given(st.floats(1e-300, 1e300), st.floats(1e-300, 1e300))
def test_logarithmic_marks_hold_the_range(a: float, b: float) -> None:
    axis = log_axis(a, b)
    assert axis.low <= math.log10(min(a, b)) + 1e-6
    assert axis.high >= math.log10(max(a, b)) - 1e-6
    assert 2 <= len(axis.ticks) <= 9


def test_points_lie_where_the_axes_say() -> None:
    svg = line_plot({"a": [(0, 0), (5, 1), (10, 4)]}, "t", "x", "y")
    placed = points(curves(svg)[0])
    assert placed[1, 0] - placed[0, 0] == pytest.approx(placed[2, 0] - placed[1, 0], abs=0.11)
    rise = placed[0, 1] - placed[:, 1]
    assert rise[2] == pytest.approx(4 * rise[1], abs=0.5)
    log = points(curves(line_plot({"a": [(0, 1), (1, 10), (2, 100)]}, "t", "x", "y", True))[0])
    assert log[0, 1] - log[1, 1] == pytest.approx(log[1, 1] - log[2, 1], abs=0.11)


def test_what_cannot_be_drawn_is_a_gap_and_is_counted() -> None:
    series = {"a": [(0, 1.0), (1, math.nan), (2, 2.0), (3, -1.0), (4, 1.0)]}
    plain, log = line_plot(series, "t", "x", "y"), line_plot(series, "t", "x", "y", log_y=True)
    assert curves(plain)[0].get("d", "").count("M") == 2
    assert curves(log)[0].get("d", "").count("M") == 3
    assert "1 of 5 points are not finite and left out." in texts(plain)
    assert "2 of 5 points are not finite or not positive and left out." in texts(log)


def test_colour_is_not_the_only_sign() -> None:
    svg = line_plot({f"s{k}": [(0, k), (1, k + 1)] for k in range(4)}, "t", "x", "y")
    dashes = [curve.get("stroke-dasharray") for curve in curves(svg)]
    assert len(set(dashes)) == 4
    assert {"s0", "s1", "s2", "s3"} <= set(texts(svg))


def test_names_do_not_overlap() -> None:
    svg = line_plot({f"s{k}": [(0, 0), (1, 1e-3 * k)] for k in range(8)}, "t", "x", "y")
    root = ElementTree.fromstring(svg)
    heights = sorted(
        float(e.get("y")) for e in root.iter(f"{SVG}text") if re.fullmatch(r"s\d", e.text or "")
    )
    assert len(heights) == 8 and min(np.diff(heights)) >= 16.0


def test_very_long_series_keep_their_extremes() -> None:
    values = np.sin(np.arange(60_000) / 7000.0)
    values[31_234] = 25.0
    svg = line_plot({"a": list(enumerate(values.tolist()))}, "t", "x", "y")
    placed = points(curves(svg)[0])
    assert len(placed) <= 1300
    top = linear_axis(values.min(), 25.0)
    expected = 380 - 56 - (380 - 56 - 44) * top.share(25.0)
    assert placed[:, 1].min() == pytest.approx(expected, abs=0.1)


def test_no_points_one_point_and_nasty_names() -> None:
    for series in ({}, {"a": []}, {"a": [(0, math.nan)]}):
        for log in (False, True):
            assert "no points yet" in texts(line_plot(series, "t", "x", "y", log))
    ElementTree.fromstring(line_plot({"a": [(1, 2)]}, "t", "x", "y"))
    svg = line_plot({"<script>": [(0, 1)]}, "<b>&", "\x00", "]]>")
    assert "<script>" in texts(svg) and "<script" not in svg
    ElementTree.fromstring(line_plot({"a": [(0, 1e308), (1, -1e308), (2, 1)]}, "t", "x", "y"))


def test_a_series_of_something_else_is_refused() -> None:
    with pytest.raises(UsageError, match="'a' must be a sequence of pairs"):
        line_plot({"a": [1.0, 2.0]}, "t", "x", "y")


def test_a_function_is_interrupted_where_it_jumps() -> None:
    svg = function_plot(
        {
            "relu": lambda x: np.maximum(x, 0.0),
            "relu′": lambda x: (x > 0) * 1.0,
            "σ": lambda x: 1 / (1 + np.exp(-x)),
            "1/x": lambda x: 1 / x,
        },
        "Functions",
    )
    moves = [curve.get("d", "").count("M") for curve in curves(svg)]
    assert moves[:3] == [1, 2, 1]
    assert moves[3] >= 2


def test_functions_are_checked() -> None:
    with pytest.raises(UsageError, match="low < high"):
        function_plot({}, "t", low=1.0, high=1.0)
    with pytest.raises(UsageError, match="must work entry by entry"):
        function_plot({"f": lambda x: x.sum()}, "t")


def test_plots_are_the_same_every_time_and_describe_themselves() -> None:
    plot = [line_plot({"a": [(0, 2), (1, 0.5)]}, "Loss", "epoch", "loss") for _ in range(2)]
    assert plot[0] == plot[1]
    description = ElementTree.fromstring(plot[0]).find(f"{SVG}desc").text
    assert "a: 2 at 0, 0.5 at 1, between 0.5 and 2." in description
