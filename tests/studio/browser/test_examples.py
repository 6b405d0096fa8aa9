"""The worked examples, stepped to their published numbers."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from tests.studio.browser.looking import (
    box,
    choose,
    every_status,
    heading_number,
    number,
    open_chapter,
    status,
    step_until,
    until,
)


def test_one_weight_says_what_arrives_and_never_draws_a_missing_gradient(studio: Page) -> None:
    said = every_status(studio)
    assert said[1].endswith("= 1")  # ŷ = w·x
    assert said[2].endswith("= −1")  # s = ŷ − y
    assert said[3].endswith("= 1")  # the loss
    assert "= 1" in said[4]  # ∂loss/∂loss
    assert said[5:] == [
        "s: gradient −2 × 1 = −2",
        "ŷ: gradient 1 × (−2) = −2",
        "w: gradient 1 × (−2) = −2",
    ]
    studio.keyboard.press("Home")
    assert "gradient not computed yet" in box(studio, "w")
    assert "value not computed yet" in box(studio, "ŷ")
    expect(studio.locator(".box .box-gradient")).to_have_count(0)
    studio.keyboard.press("End")
    assert "value, single number: 1; gradient, single number: −2" in box(studio, "w")
    expect(studio.locator(".edge-label .edge-result")).to_have_text(["= −2", "= −2", "= −2"])


def test_gradient_descent_steps_go_towards_two(studio: Page) -> None:
    field = studio.get_by_label("w", exact=True)
    for before, gradient in ((1.0, -2.0), (1.2, -1.6), (1.36, -1.28)):
        field.fill(str(before))
        field.press("Enter")
        studio.keyboard.press("Tab")
        studio.locator("#graph-panel").focus()
        studio.keyboard.press("End")
        expect(studio.locator(".explain-title .number")).to_have_text(
            f"{gradient:g}".replace("-", "−")
        )
    expect(studio.locator(".what-if")).to_contain_text("1 value changed")
    studio.get_by_role("button", name="take back").click()
    expect(studio.locator(".what-if")).to_have_count(0)
    expect(studio.locator(".explain-title .number")).to_have_text("−2")


def test_node_by_node(studio: Page) -> None:
    open_chapter(studio, "A network, node by node")
    studio.keyboard.press("End")
    for node, index, value in (
        ("layers.4.weight", (0, 1), -0.12173931125565628),
        ("layers.3.a", (1,), 0.07306088997376127),
        ("layers.2.weight", (1, 1), 0.012181382894588729),
        ("layers.0.weight", (0, 0), -0.0013553347477880228),
    ):
        choose(studio, node, *index)
        assert heading_number(studio) == pytest.approx(value, rel=1e-6)
        expect(studio.locator(".badge")).to_contain_text("✓ numeric check agrees")


def test_the_effects_on_every_node_of_the_next_layer_are_added(studio: Page) -> None:
    open_chapter(studio, "A network, node by node")
    choose(studio, "layers.3.a", 1)
    step_until(studio, "a⁽²⁾: gradient 0.07306")
    rows = studio.locator(".split tbody tr .strong").all_inner_texts()
    assert rows == ["= 0.101833", "= −0.0287719"]
    assert "0.0730609" in studio.locator(".now-strip .running").inner_text()


def test_a_derivative_on_every_edge(studio: Page) -> None:
    open_chapter(studio, "A derivative on every edge")
    studio.keyboard.press("End")
    for name, value, gradient in (
        ("a", "3", "−2"), ("b", "1", "−4"), ("c", "−2", "5"), ("d", "2", "−2"), ("e", "5", "−2"),
    ):  # fmt: skip
        assert f"value, single number: {value}; gradient, single number: {gradient}" in box(
            studio, name
        )
    assert "value, single number: −10" in box(studio, "L")


def test_a_value_that_is_used_twice_adds_up_as_it_arrives(studio: Page) -> None:
    studio.get_by_role("button", name="Run", exact=False).first.click()
    studio.get_by_role("button", name="Formula …").click()
    studio.get_by_label("formula", exact=True).fill("x*y + 3*x")
    studio.get_by_label("at", exact=True).fill("x=2, y=5")
    studio.get_by_role("dialog").get_by_role("button", name="Open").click()
    expect(studio.get_by_role("dialog")).to_have_count(0)
    slider = studio.get_by_label("Moment of the passes")
    until(studio, lambda: slider.get_attribute("max") == "9")
    said = [each for each in every_status(studio) if each.startswith("x: gradient")]
    assert len(said) == 2
    assert "1 of 2 contributions" in said[0]
    assert said[1].endswith("= 8")
    assert {"3", "5"} <= set(said[1].replace("=", " ").replace("+", " ").split())


def test_two_layer_classifier(studio: Page) -> None:
    open_chapter(studio, "A two-layer classifier")
    studio.keyboard.press("End")
    for node, index, value in (
        ("layers.2.weight", (0, 0), -0.009760046069385638),
        ("layers.2.weight", (0, 1), -0.053680253381621024),
        ("layers.0.weight", (0, 1), 0.0683203224856995),
        ("layers.0.weight", (1, 0), 0.14640069104078463),
    ):
        choose(studio, node, *index)
        assert heading_number(studio) == pytest.approx(value, rel=1e-6)


def test_the_fourth_learns_while_one_watches(studio: Page) -> None:
    open_chapter(studio, "A network that learns while you watch")
    panel = studio.locator(".live")
    panel.get_by_role("button", name="Start").click()
    step = studio.get_by_label("Training step")
    until(studio, lambda: int(step.input_value()) > 8000)
    panel.get_by_role("button", name="Pause").click()
    expect(panel.get_by_role("button", name="Start")).to_be_visible()
    cells = studio.locator(".prediction tbody td:last-child")
    expect(cells).to_have_count(4)
    until(
        studio,
        lambda: [round(number(each)) for each in cells.all_inner_texts()] == [0, 1, 1, 0],
    )
    assert status(studio)
