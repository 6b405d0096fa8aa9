"""A studio that takes its time: nothing flips back, no click is lost, no older answer is shown."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from tests.studio.browser.conftest import listened, new_context
from tests.studio.browser.looking import (
    box,
    choose,
    heading_number,
    menu,
    open_chapter,
    open_live,
    status,
    until,
)  # fmt: skip

import backlight as bl
from backlight import nn
from backlight.studio.serve import Running
from backlight.studio.session import Session
from backlight.studio.subjects import TraceSubject


class Slow(Session):
    """Takes some seconds before it answers a request."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder=folder)
        self.seconds: dict[str, float] = {}
        self.address = ""

    def handle(self, request: Mapping[str, Any]) -> dict[str, Any]:
        time.sleep(self.seconds.get(str(request.get("do")), 0))
        return super().handle(request)


@pytest.fixture(scope="module")
def opened(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Page, Slow]]:
    """One such studio with its page for all tests of this file."""
    complaints: list[str] = []
    session = Slow(tmp_path_factory.mktemp("slow"))
    with Running(session) as running:
        context = new_context(browser)
        page = listened(context.new_page(), complaints)
        session.address = running.url
        yield page, session
        context.close()
    assert not complaints


@pytest.fixture
def slow(opened: tuple[Page, Slow]) -> tuple[Page, Slow]:
    """The page on the first worked example, without the tour; quick until a test says otherwise."""
    page, session = opened
    session.seconds = {}
    session.handle({"do": "open", "what": {"kind": "example", "name": "one-weight"}})
    page.goto("about:blank")  # so that what was open before is not asked for by the address
    page.goto(session.address)
    page.locator(".box").first.wait_for()
    open_chapter(page, "One weight, squared error")
    page.keyboard.press("Home")
    return page, session


def test_settings_show_what_was_asked_for_while_the_studio_works(slow: tuple[Page, Slow]) -> None:
    page, session = slow
    session.seconds["configure"] = 0.4
    open_live(page, "moons")
    before = session.number
    menu(page, "Model")
    settings = page.locator("#menu-model")
    biases, dropout = settings.get_by_label("biases"), settings.get_by_label("dropout")
    dropout.fill("0.1")
    dropout.press("Enter")
    settings.get_by_label("activation").select_option("relu")
    biases.uncheck()
    for _ in range(10):  # while the answers to the three arrive
        assert not biases.is_checked()
        assert settings.get_by_label("activation").input_value() == "relu"
        assert dropout.input_value() == "0.1"
        page.wait_for_timeout(150)
    until(page, lambda: session.number == before + 3)
    # What is refused goes back to what holds.
    dropout.fill("7")
    dropout.press("Enter")
    expect(page.locator(".notice.error")).to_be_visible()
    expect(dropout).to_have_value("0.1")


def test_settings_made_before_a_training_is_open_all_hold(slow: tuple[Page, Slow]) -> None:
    page, session = slow
    session.seconds["open"] = 0.4
    before = session.number
    menu(page, "Model")
    settings = page.locator("#menu-model")
    settings.get_by_label("activation").select_option("relu")
    settings.get_by_label("optimizer").select_option("sgd")
    settings.get_by_label("biases").uncheck()
    until(page, lambda: session.number == before + 3)
    config = session.state()["subject"]["config"]
    assert (config["activation"], config["optimizer"], config["bias"]) == ("relu", "sgd", False)
    expect(settings.get_by_label("activation")).to_have_value("relu")
    expect(settings.get_by_label("biases")).not_to_be_checked()


def test_the_speed_of_training_is_kept(slow: tuple[Page, Slow]) -> None:
    page, session = slow
    session.seconds["train"] = 0.3
    open_live(page, "moons")
    panel = page.locator(".live")
    speed = panel.get_by_label("Speed of training")
    speed.select_option("10")
    panel.get_by_role("button", name="Start").click()
    panel.get_by_role("button", name="log", exact=True).click()  # draws the panel anew
    assert speed.input_value() == "10"
    expect(panel.get_by_role("button", name="Pause")).to_be_visible()
    assert speed.input_value() == "10"
    before = session.number
    panel.get_by_role("button", name="Reset").click()
    until(page, lambda: session.number == before + 1)
    expect(panel.get_by_role("button", name="Start")).to_be_visible()
    assert speed.input_value() == "10"
    assert session.state()["training"]["speed"] == 10


def test_typed_values_stay_while_their_what_if_runs(slow: tuple[Page, Slow]) -> None:
    page, session = slow
    session.seconds["trace"] = 0.4
    fields = {name: page.get_by_label(name, exact=True) for name in ("w", "x")}
    fields["w"].fill("3")
    fields["w"].press("Enter")
    fields["x"].fill("4")
    fields["x"].press("Enter")
    for _ in range(3):
        fields["x"].press("ArrowUp")  # each press counts, however late the answers are
    for _ in range(6):
        assert (fields["w"].input_value(), fields["x"].input_value()) == ("3", "4.3")
        page.wait_for_timeout(100)
    page.locator("#graph-panel").focus()
    page.keyboard.press("End")
    until(page, lambda: "value, single number: 12.9" in box(page, "ŷ"))
    page.get_by_role("button", name="take back").click()
    expect(fields["x"]).to_have_value("1")


def test_another_chapter_is_there_when_its_numbers_are(slow: tuple[Page, Slow]) -> None:
    page, session = slow
    session.seconds["trace"] = 0.4
    menu(page, "Run")
    page.locator("#menu-run").get_by_role("button", name="A derivative on every edge").click()
    page.locator("#graph-panel").focus()
    subject = page.locator(".subject")
    assert subject.inner_text() == "One weight, squared error"  # whose graph is on the screen
    expect(subject).to_have_text("A derivative on every edge")
    page.keyboard.press("End")
    said = status(page)
    assert said.startswith("b: gradient")
    page.wait_for_timeout(300)
    assert status(page) == said


def test_the_tour_points_at_what_it_says_however_fast_it_is_clicked(
    slow: tuple[Page, Slow],
) -> None:
    page, session = slow
    session.seconds["trace"] = 0.3
    page.get_by_role("button", name="Tour").click()
    page.locator(".tour .chapter").nth(2).click()
    expect(page.locator(".tour h2")).to_have_text("A derivative on every edge")
    onward = page.locator(".tour .primary")
    onward.click()
    onward.click()
    text = page.locator(".tour-text").inner_text()
    reached = status(page)
    page.locator(".tour .chapter").nth(0).click()
    expect(page.locator(".tour h2")).to_have_text("One weight, squared error")
    page.locator(".tour .chapter").nth(2).click()
    expect(page.locator(".tour h2")).to_have_text("A derivative on every edge")
    onward.click()
    onward.click()
    assert page.locator(".tour-text").inner_text() == text
    assert status(page) == reached != ""


def test_an_index_is_typed_while_training_runs(slow: tuple[Page, Slow]) -> None:
    page, _ = slow
    open_live(page, "moons")
    page.locator(".outline-row", has_text="weight").first.click()
    page.get_by_role("button", name="choose one entry").click()
    page.locator(".live").get_by_role("button", name="Start").click()
    step = page.get_by_label("Training step")
    field = page.locator(".entry-picker input").first
    field.fill("5")
    seen = int(step.input_value())
    until(page, lambda: int(step.input_value()) > seen + 200)
    page.wait_for_timeout(500)  # traces arrive a few times a second
    assert field.input_value() == "5"
    field.press("Enter")
    expect(page.locator(".target-name")).to_contain_text("weight[5,")
    page.locator(".live").get_by_role("button", name="Pause").click()
    # At rest the derivation is of the very numbers in the heading.
    expect(page.locator(".badge")).to_be_visible()
    expect(page.locator(".derivation .of-step")).to_have_count(0)


def test_letting_the_time_slider_go_where_it_was_lets_go(slow: tuple[Page, Slow]) -> None:
    page, _ = slow
    open_live(page, "moons")
    one = page.locator(".live").get_by_role("button", name="One step")
    step = page.get_by_label("Training step")
    for k in range(1, 4):
        one.click()
        expect(step).to_have_value(str(k))
    slider = page.get_by_label("Time travel", exact=True).bounding_box()
    assert slider is not None
    y, right = slider["y"] + slider["height"] / 2, slider["x"] + slider["width"] - 8
    page.mouse.move(right, y)
    page.mouse.down()
    page.mouse.move(slider["x"] + 8, y, steps=3)
    expect(step).to_have_value("0")
    page.mouse.move(right, y, steps=3)
    page.mouse.up()
    expect(step).to_have_value("3")
    one.click()
    expect(step).to_have_value("4")


def test_breakpoints_that_are_no_numbers_keep_the_dialog(slow: tuple[Page, Slow]) -> None:
    page, session = slow
    open_live(page, "moons")
    menu(page, "Run")
    page.get_by_role("button", name="Breakpoints …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("the loss is below", exact=True).check()
    dialog.get_by_label("the loss is below what").fill("soon")
    dialog.get_by_role("button", name="Set").click()
    expect(dialog.get_by_role("alert")).to_contain_text("“soon” is not a number")
    dialog.get_by_label("the loss is below what").fill("0.2")
    dialog.get_by_role("button", name="Set").click()
    expect(dialog).to_have_count(0)
    assert [each.to_dict() for each in session.breakpoints] == [{"kind": "loss", "below": 0.2}]


def test_the_entries_of_a_large_weight_are_fetched(slow: tuple[Page, Slow]) -> None:
    page, session = slow
    config = {"data": "digits", "layers": [32]}
    session.handle({"do": "open", "what": {"kind": "live", "config": config}})
    expect(page.locator(".subject")).to_contain_text("digits")
    page.locator(".outline-row", has_text="weight").first.click()
    page.keyboard.press("End")
    # 32 × 64 entries come as a summary first; selected, they are drawn and can be chosen.
    expect(page.locator(".explain .inline-cells .positive").first).to_be_visible()
    page.get_by_role("button", name="choose one entry").click()
    expect(page.locator(".explain-title .number.big")).to_have_count(1)
    expect(page.locator(".explain .number.value").first).to_be_visible()


def test_a_run_without_its_data_does_not_show_the_graph_of_another(
    slow: tuple[Page, Slow],
) -> None:
    page, session = slow
    net = nn.Sequential(nn.Linear(2, 1), seed=0)
    X = np.ones((4, 2))
    run = bl.fit(net, (X, X[:, :1]), loss=nn.mse, epochs=3, seed=0, progress=False)
    run.save(session.folder / "lost")
    menu(page, "Run")
    page.locator(".run-list button", has_text="lost").click()
    expect(page.locator(".subject")).to_have_text("lost")
    expect(page.locator(".problem")).to_contain_text("does not say where its training data is")
    expect(page.locator(".box")).to_have_count(0)
    # What is known of it is there: the final weights and the history.
    expect(page.locator(".outline-weight")).to_have_count(2)
    expect(page.locator(".chart")).to_have_attribute("aria-label", re.compile("over 3 steps"))
    expect(page).to_have_url(re.compile(r"#run=.*lost"))
    page.locator(".notice button").click()


def test_a_graph_too_large_to_draw_is_a_table(slow: tuple[Page, Slow]) -> None:
    page, session = slow
    h = bl.param(0.5, name="x")
    for k in range(1001):
        h = h * bl.param(1.0, name=f"w{k}") + 0.0
    session.put(TraceSubject(bl.record((h - 1.0) ** 2)))
    expect(page.locator(".problem")).to_contain_text("too many to draw")
    expect(page.locator(".table-view tbody tr").first).to_be_visible()
    choose(page, "w77")
    page.keyboard.press("End")
    assert heading_number(page) == -0.5  # 2 (½ − 1) · ½
    expect(page.locator(".badge")).to_contain_text("✓ numeric check agrees")
    open_chapter(page, "A derivative on every edge")
    expect(page.locator(".box")).to_have_count(6)


def test_a_chapter_opened_while_settings_are_on_their_way(slow: tuple[Page, Slow]) -> None:
    page, session = slow
    open_live(page, "moons")
    session.seconds["configure"] = session.seconds["trace"] = 0.3
    menu(page, "Model")
    for label, value in (("dropout", "0.1"), ("seed", "3")):
        field = page.locator("#menu-model").get_by_label(label)
        field.fill(value)
        field.press("Enter")
    menu(page, "Run")
    page.locator("#menu-run").get_by_role("button", name="A derivative on every edge").click()
    expect(page.locator(".tour h2")).to_have_text("A derivative on every edge")
    expect(page.locator(".subject")).to_have_text("A derivative on every edge")
    assert session.state()["subject"]["name"] == "edges"


def test_numbers_that_stream_by_are_joined_without_a_gap(slow: tuple[Page, Slow]) -> None:
    page, _ = slow
    found = page.evaluate(JOIN)
    assert found["step"] == list(range(10))
    assert found["loss"] == [10 * k for k in range(10)]
    assert found["gap"] is None
    # Every second one goes when there are too many; the first and the newest always stay.
    assert found["thin"] == [*range(0, 41, 4), 41]
    assert found["thinned"] == [10 * k for k in found["thin"]]
    # A history that lists every third step goes on with the steps after its end.
    assert found["spread"] == [0, 3, 6, 9, 10]


JOIN = """async () => {
  const { emptyScalars, joined, readScalars } = await import("./history.js");
  const push = (from, count) => ({ from,
    loss: Array.from({ length: count }, (_, k) => 10 * (from + k)),
    gradient_norm: [], learning_rate: [], metrics: { accuracy: Array(count).fill(1) } });
  let now = joined(emptyScalars(), push(0, 4));
  now = joined(now, push(2, 6));  // an answer and a push may tell the same steps
  now = joined(now, push(8, 2));
  const { step, loss } = now;
  const gap = joined(now, push(12, 1));
  let thin = emptyScalars();
  for (let k = 0; k < 42; k += 3) thin = joined(thin, push(k, 3), 12);
  const spread = joined(readScalars({ step: [0, 3, 6, 9], loss: [0, 30, 60, 90], gradient_norm: [],
    learning_rate: [], metrics: {}, every: 3, end: 10 }), push(10, 1));
  return { step: [...step], loss: [...loss], gap, thin: thin.step, thinned: thin.loss,
    spread: spread.step };
}"""


def test_the_newer_of_two_states_has_more_changes() -> None:
    session = Session()
    try:
        before = session.state()["changes"]
        what = {"kind": "live", "config": {"data": "moons"}}
        session.handle({"do": "open", "what": what})
        after = session.handle({"do": "configure", "config": {"learning_rate": 0.5}})["changes"]
        assert after > before + 1
    finally:
        session.close()
