"""Buttons that no other file presses: uploads, stored runs, copying, charts, pictures, panels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from tests.studio.browser.looking import heading_number, menu, open_chapter, open_live, until

import backlight as bl
from backlight import nn
from backlight.studio.serve import Running
from backlight.studio.session import Session

GOOD = "size,weight,kind\n" + "".join(
    f"{k % 7},{k % 5},{'big' if k % 7 > 3 else 'small'}\n" for k in range(40)
)


def clipboard(page: Page) -> str:
    """What was copied last."""
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_a_csv_becomes_a_data_set_and_something_else_a_sentence(studio: Page) -> None:
    menu(studio, "Data")
    chooser = studio.get_by_label("file", exact=True)
    wrong = {"name": "photo.csv", "mimeType": "text/csv", "buffer": bytes(range(256)) * 4}
    chooser.set_input_files([wrong])  # type: ignore[list-item]
    expect(studio.locator(".notice.error")).to_be_visible()
    assert studio.locator(".notice.error span").inner_text().endswith(".")
    studio.locator(".notice.error button").click()
    menu(studio, "Data")
    studio.get_by_label("target column").fill("kind")
    right = {"name": "things.csv", "mimeType": "text/csv", "buffer": GOOD.encode()}
    chooser.set_input_files([right])  # type: ignore[list-item]
    expect(studio.locator(".subject")).to_contain_text("things")
    # The settings of the data: each starts anew and is told back.
    if not studio.locator("#menu-data").is_visible():
        menu(studio, "Data")
    for label, value in (("rows", "30"), ("validation share", "0.2")):
        field = studio.get_by_label(label, exact=True)
        field.fill(value)
        field.press("Enter")
        until(
            studio,
            lambda label=label, value=value: (
                studio.get_by_label(label, exact=True).input_value() == value
            ),
        )
    studio.get_by_label("standardize").uncheck()
    studio.keyboard.press("Escape")


def test_settings_of_data_and_model(studio: Page) -> None:
    open_live(studio, "moons")
    menu(studio, "Data")
    noise = studio.get_by_label("noise")
    noise.fill("0.3")
    noise.press("Enter")
    studio.keyboard.press("Escape")
    menu(studio, "Model")
    for label, value in (
        ("learning rate", "0.02"), ("dropout", "0.1"), ("weight decay", "0.01"), ("seed", "3"),
        ("batch size", "20"), ("hidden layers", "4"),
    ):  # fmt: skip
        field = studio.locator("#menu-model").get_by_label(label)
        field.fill(value)
        field.press("Enter")
    for label, option in (("activation", "relu"), ("loss", "mse"), ("optimizer", "sgd")):
        studio.locator("#menu-model").get_by_label(label).select_option(option)
    studio.locator("#menu-model").get_by_label("biases").uncheck()
    until(studio, lambda: "2-4-" in studio.locator(".subject").inner_text())
    studio.keyboard.press("Escape")
    for each in studio.locator(".notice button").all():
        each.click()


def test_chart_and_panels(studio: Page) -> None:
    open_live(studio, "moons")
    panel = studio.locator(".live")
    panel.get_by_label("Speed of training").select_option("100")
    panel.get_by_role("button", name="Start").click()
    step = studio.get_by_label("Training step")
    until(studio, lambda: int(step.input_value()) > 5)
    panel.get_by_role("button", name="Pause").click()
    expect(panel.get_by_role("button", name="Start")).to_be_visible()
    log = panel.get_by_role("button", name="log", exact=True)
    log.click()
    expect(log).to_have_attribute("aria-pressed", "true")
    log.click()
    panel.get_by_label("Which curve").select_option("gradient_norm")
    assert "gradient_norm" in (panel.locator(".chart").get_attribute("aria-label") or "")
    # The prediction's own buttons: its table, and a click on a point chooses a row.
    prediction = studio.locator(".prediction")
    prediction.get_by_role("button", name="table").click()
    assert prediction.locator("tbody tr").count() > 20
    prediction.get_by_role("button", name="table").click()
    prediction.locator("canvas").click(position={"x": 60, "y": 60})
    row = studio.get_by_label("One training row")
    until(studio, lambda: row.input_value() != "")
    studio.locator(".row-chooser").get_by_role("button", name="batch").click()
    until(studio, lambda: row.input_value() == "")
    row.fill("3")
    row.press("Enter")
    row.fill("")
    row.press("Enter")
    # Time travel by its slider, and back to the newest step.
    studio.get_by_label("Time travel", exact=True).fill("2")
    until(studio, lambda: step.input_value() == "2")
    studio.get_by_role("button", name="latest").click()
    until(studio, lambda: step.input_value() != "2")
    before = studio.locator(".stage").bounding_box()
    names = ("outline", "example", "loss", "prediction", "moment")
    for name in names:
        studio.get_by_role("button", name=f"Collapse the {name} panel").click()
    after = studio.locator(".stage").bounding_box()
    assert before and after and after["height"] > before["height"] + 150
    studio.reload()
    expect(studio.get_by_role("button", name="Expand the loss panel")).to_be_visible()
    for name in names:
        studio.get_by_role("button", name=f"Expand the {name} panel").click()
    expect(studio.get_by_role("button", name="Collapse the loss panel")).to_be_visible()


def test_copying_choosing_and_checking(studio: Page) -> None:
    open_chapter(studio, "A network, node by node")
    studio.keyboard.press("End")
    studio.locator(".outline-row", has_text="weight").first.click()
    studio.get_by_role("button", name="choose one entry").click()
    picker = studio.locator(".entry-picker input").first
    picker.fill("1")
    picker.press("Enter")
    expect(studio.locator(".badge")).to_be_visible()
    studio.get_by_role("button", name="copy LaTeX").click()
    until(studio, lambda: "&=" in clipboard(studio) or "\\partial" in clipboard(studio))
    studio.get_by_role("button", name="copy JSON").click()
    until(studio, lambda: clipboard(studio).startswith("{"))
    assert json.loads(clipboard(studio))["format"] == "backlight.derivation"
    studio.get_by_role("button", name="copy text").click()
    until(studio, lambda: "Backward pass" in clipboard(studio))
    studio.locator(".badge summary").click()
    studio.locator(".derivation > summary").click()
    studio.get_by_role("button", name="all entries").click()
    studio.locator(".leaf-name").first.click()
    studio.keyboard.press("Home")
    studio.locator(".outline-row", has_text="weight").first.click()
    studio.get_by_role("button", name="step to where it is complete").click()
    expect(studio.locator(".derivation")).to_have_attribute("open", "")
    # A row of the table; a term of a sum; a box of the graph by mouse.
    studio.keyboard.press("End")
    studio.keyboard.press("t")
    studio.locator(".table-view .link").nth(3).click()
    expect(studio.locator(".table-view tr.chosen .link")).to_have_attribute("aria-pressed", "true")
    studio.keyboard.press("t")
    studio.locator(".box").nth(2).click()
    expect(studio.locator(".box").nth(2)).to_have_attribute("aria-pressed", "true")
    menu(studio, "Run")
    studio.get_by_role("button", name="Check all gradients").click()
    expect(studio.locator(".notice").last).to_contain_text("radient")
    menu(studio, "Export")
    studio.get_by_role("button", name="Copy link").click()
    until(studio, lambda: "token=" in clipboard(studio))
    studio.get_by_role("button", name="Tour").click()
    studio.get_by_role("button", name="copy link", exact=True).click()
    until(studio, lambda: "tour=" in clipboard(studio))
    studio.get_by_role("button", name="Chapter 1:").click()
    expect(studio.locator(".subject")).to_have_text("One weight, squared error")
    studio.locator(".tour .primary").click()
    studio.locator(".tour").get_by_role("button", name="Back").click()
    studio.get_by_role("button", name="Help and keyboard").click()
    studio.get_by_role("dialog").get_by_role("button").first.click()
    expect(studio.get_by_role("dialog")).to_have_count(0)


def test_dialogs_the_terms_of_a_sum_and_the_skip_link(studio: Page) -> None:
    menu(studio, "Run")
    studio.get_by_role("button", name="Formula …").click()
    dialog = studio.get_by_role("dialog")
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)
    open_live(studio, "moons")
    menu(studio, "Run")
    studio.get_by_role("button", name="Breakpoints …").click()
    boxes = dialog.get_by_role("checkbox")
    expect(boxes).to_have_count(6)
    for each in boxes.all():
        each.check()
    for each in dialog.locator("input[type=text]").all():
        each.fill("1000")
    dialog.get_by_role("button", name="Set").click()
    expect(dialog).to_have_count(0)
    menu(studio, "Run")
    studio.get_by_role("button", name="Breakpoints …").click()
    expect(boxes).to_have_count(6)
    for each in boxes.all():
        expect(each).to_be_checked()
        each.uncheck()
    dialog.get_by_role("button", name="Set").click()
    expect(dialog).to_have_count(0)
    menu(studio, "Run")
    studio.get_by_role("button", name="Breakpoints …").click()
    dialog.get_by_role("button", name="Close").click()
    # One term of the sum behind a weight's gradient leads to the value that it goes through.
    studio.locator(".outline-row", has_text="weight").last.click()
    studio.keyboard.press("End")
    studio.get_by_role("button", name="choose one entry").click()
    studio.locator(".split .link").first.click()
    expect(studio.locator(".target-name")).to_contain_text("[")
    studio.locator(".skip").focus()
    studio.locator(".skip").click()
    assert studio.evaluate("document.activeElement.id") == "graph-panel"
    studio.get_by_role("button", name="Tour").click()
    studio.get_by_role("button", name="Chapter 4:").click()
    studio.get_by_role("button", name="Start training").click()
    studio.get_by_role("button", name="Pause training").click()
    expect(studio.get_by_role("button", name="Start training")).to_be_visible()


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A folder with a run of the digits."""
    digits = bl.data.load("digits")
    X = np.asarray(digits.X, dtype=np.float32)[:128].reshape(128, 64) / 16
    net = nn.Sequential(nn.Linear(64, 10), seed=0)
    run = bl.fit(
        net, (X, np.asarray(digits.y)[:128]), loss=nn.cross_entropy, epochs=2, batch_size=32,
        seed=0, progress=False,
    )  # fmt: skip
    (tmp_path / "runs").mkdir()
    run.save(tmp_path / "runs" / "small")
    return tmp_path


def test_a_stored_run_is_opened_and_may_be_deleted(
    page: Page, serve: Callable[..., Running], stored: Path
) -> None:
    page.goto(serve(Session(folder=stored)).url)
    page.locator(".box").first.wait_for()
    menu(page, "Run")
    page.locator(".run-list button").click()
    expect(page.locator(".subject")).to_contain_text("small")
    for each in sorted((stored / "runs" / "small").rglob("*"), reverse=True):
        each.unlink() if each.is_file() else each.rmdir()
    (stored / "runs" / "small").rmdir()
    menu(page, "Export")
    expect(page.locator("[data-export=html]")).to_be_visible()
    page.keyboard.press("Escape")
    assert page.locator(".subject").is_visible()


def test_images_of_the_digits(page: Page, serve: Callable[..., Running]) -> None:
    session = Session()
    session.handle({"do": "open", "what": {"kind": "live", "config": {"data": "digits"}}})
    page.goto(serve(session).url)
    page.locator(".confusion").wait_for()
    page.get_by_role("button", name="examples").click()
    page.locator(".digit").first.click()
    expect(page.locator(".digit").first).to_have_attribute("aria-pressed", "true")
    row = page.get_by_label("One training row")
    until(page, lambda: row.input_value() != "")
    page.locator(".outline-row", has_text="weight").last.click()
    page.keyboard.press("End")
    until(page, lambda: page.get_by_role("button", name="choose one entry").is_visible())
    page.get_by_role("button", name="choose one entry").click()
    until(page, lambda: heading_number(page) is not None)
    later = page.get_by_role("button", name="Later entries").first
    later.click()
    page.get_by_role("button", name="Earlier entries").first.click()


def test_every_control_is_reached_by_the_tab_key(studio: Page) -> None:
    open_live(studio, "moons")
    expect(studio.locator(".outline")).to_contain_text("layers.0")
    expect(studio.locator(".boundary")).to_be_visible()
    expect(studio.locator(".derivation")).to_be_visible()
    for opened in (None, "Run", "Data", "Model", "Export"):
        start = studio.locator(".skip")
        if opened:
            start = studio.locator(".menu > button", has_text=opened)
            start.focus()
            studio.keyboard.press("Enter")
            studio.locator(f"#menu-{opened.lower()}").locator("button, input, a").first.wait_for()
        inside = f"#menu-{opened.lower()}" if opened else "body"
        wanted = set(studio.evaluate(REACHABLE, inside))
        start.focus()
        reached = set()
        for _ in range(len(wanted) + 12):
            reached.add(studio.evaluate(FOCUSED))
            studio.keyboard.press("Tab")
        assert wanted <= reached, wanted - reached
        studio.keyboard.press("Escape")


REACHABLE = """(inside) => {
  document.querySelectorAll("[data-number]").forEach((each) => delete each.dataset.number);
  const all = [...document.querySelector(inside).querySelectorAll(
    "button, select, input, a[href], summary, .box")].filter((each) =>
      !each.disabled && each.tabIndex >= 0 && each.checkVisibility() && !each.matches(".box"));
  return all.map((each, k) => (each.dataset.number =
    `${k} ${each.className} ${each.getAttribute("aria-label") ?? each.textContent.slice(0, 30)}`));
}"""
FOCUSED = "document.activeElement?.dataset.number ?? ''"
