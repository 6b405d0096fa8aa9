"""The page itself: every button, everything by keyboard alone, access, exports, reports."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import xml.dom.minidom
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.studio.browser.conftest import listened, new_context
from tests.studio.browser.looking import box, open_chapter, status, until, violations

import backlight as bl
from backlight.studio.serve import Running

FILES = Path(bl.__file__).parent / "studio" / "page"


def test_less_than_150_kilobytes_of_compressed_javascript() -> None:
    sizes = [len(gzip.compress(each.read_bytes(), 9)) for each in FILES.rglob("*.js")]
    assert sum(sizes) < 150_000


def test_the_libraries_are_what_their_checksums_say() -> None:
    lines = (FILES / "vendor" / "CHECKSUMS").read_text(encoding="utf-8").splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    found = {
        each.relative_to(FILES / "vendor").as_posix(): hashlib.sha256(each.read_bytes()).hexdigest()
        for each in (FILES / "vendor").rglob("*")
        if each.is_file() and each.name != "CHECKSUMS"
    }
    assert found == listed


def test_every_stepping_button(studio: Page) -> None:
    def press(name: str) -> str:
        studio.get_by_role("button", name=name, exact=True).click()
        return studio.locator(".phase").inner_text()

    assert press("One step on").startswith("1 / 7")
    assert press("To the end").startswith("7 / 7")
    assert press("One step back").startswith("6 / 7")
    assert press("To the start").startswith("0 / 7")
    studio.get_by_label("Speed", exact=True).select_option("10")
    press("Play")
    expect(studio.locator(".phase")).to_contain_text("7 / 7", timeout=6000)
    expect(studio.get_by_role("button", name="Play", exact=True)).to_be_visible()
    studio.get_by_label("Step by").select_option("layer")
    press("To the start")
    assert "1 / 7" in press("One step on")
    studio.get_by_label("Step by").select_option("node")
    slider = studio.get_by_label("Moment of the passes")
    slider.fill("5")
    assert status(studio).startswith("s: gradient")


def test_every_button_of_the_graph(studio: Page) -> None:
    studio.keyboard.press("End")
    studio.get_by_role("button", name="Forward", exact=True).click()
    expect(studio.locator(".box-gradient")).to_have_count(0)
    studio.get_by_role("button", name="Backward", exact=True).click()
    expect(studio.locator(".box-value")).to_have_count(0)
    studio.get_by_role("button", name="Both", exact=True).click()
    expect(studio.locator(".box-value").first).to_be_visible()
    studio.get_by_role("button", name="Table", exact=True).click()
    table = studio.locator(".table-view")
    expect(table).to_contain_text("1 × (−2) = −2")
    studio.get_by_role("button", name="Graph", exact=True).click()
    for name in ("Closer", "Farther", "Whole graph"):
        studio.get_by_role("button", name=name).click()
    for colours in ("light", "dark", "auto"):
        studio.get_by_role("button", name="Colours:").click()
        expect(studio.get_by_role("button", name=f"Colours: {colours}")).to_be_visible()
    open_chapter(studio, "A network, node by node")
    boxes = studio.locator(".box").count()
    studio.get_by_role("button", name="Less detail").click()
    until(studio, lambda: studio.locator(".box").count() < boxes)
    studio.get_by_role("button", name="More detail").click()
    until(studio, lambda: studio.locator(".box").count() == boxes)
    fold = studio.get_by_role("button", name="Fold squared_error")
    fold.click()
    until(studio, lambda: studio.locator(".box").count() < boxes)
    studio.get_by_role("button", name="Unfold squared_error").click()
    until(studio, lambda: studio.locator(".box").count() == boxes)


def test_paths_are_lit(studio: Page) -> None:
    open_chapter(studio, "A network, node by node")
    studio.keyboard.press("End")
    studio.locator(".outline-row").nth(2).click()
    studio.get_by_role("button", name="choose one entry").click()
    path = studio.locator(".path").first
    path.click()
    expect(path).to_have_attribute("aria-pressed", "true")
    assert studio.locator(".edge.lit").count() > 3
    studio.get_by_role("button", name="path off").click()
    expect(studio.locator(".edge.lit")).to_have_count(0)


def test_keyboard_alone(studio: Page) -> None:
    press = studio.keyboard.press
    press(".")
    press(".")
    assert status(studio).startswith("sub: s")
    press(",")
    assert status(studio).startswith("mul: ŷ")
    press("End")
    press("Home")
    studio.locator("#graph-panel").focus()
    # w is selected; along the edges to the loss and back.
    chosen = lambda: studio.locator(".target-name").inner_text()  # noqa: E731
    assert chosen() == "w"
    for wanted in ("y_hat", "s", "loss"):
        press("ArrowRight")
        assert chosen() == wanted
    press("ArrowLeft")
    assert chosen() in ("s", "y_hat")
    press("Enter")
    assert studio.evaluate("document.activeElement.id") == "explain"
    press("t")
    expect(studio.locator(".table-view")).to_be_visible()
    press("t")
    expect(studio.locator("#graph-svg")).to_be_visible()
    press("f")
    expect(studio.get_by_role("button", name="Forward", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    press("b")
    press("g")
    press("/")
    studio.keyboard.type("loss")
    press("Enter")
    assert chosen() == "loss"
    press("Escape")
    press("?")
    expect(studio.get_by_role("dialog")).to_be_visible()
    press("Escape")
    expect(studio.get_by_role("dialog")).to_have_count(0)
    studio.locator("#graph-panel").focus()
    press("Home")
    press("Space")
    until(studio, lambda: not status(studio).startswith("Before"))
    press("Space")
    for key in ("+", "-", "0", "[", "]"):
        press(key)
    # Menus open and close with the keyboard, and give the focus back.
    studio.get_by_role("button", name="Run").first.focus()
    press("Enter")
    expect(studio.locator("#menu-run")).to_be_visible()
    press("Tab")
    press("Escape")
    expect(studio.locator("#menu-run")).to_be_hidden()


def test_the_tour_leads_through_every_chapter(studio: Page) -> None:
    studio.get_by_role("button", name="Tour").click()
    seen = set()
    for _ in range(60):
        text = studio.locator(".tour-text").inner_text()
        seen.add(text)
        onward = studio.locator(".tour .primary")
        if onward.is_disabled():
            break
        onward.click()
        until(studio, lambda before=text: studio.locator(".tour-text").inner_text() != before)
    assert len(seen) >= 18
    expect(studio.locator(".subject")).to_have_text("A network that learns while you watch")
    studio.get_by_role("button", name="Close the tour").click()


def test_a_link_opens_the_same_moment(studio: Page, browser: Browser) -> None:
    studio.locator(".outline-row", has_text="w").first.click()
    for _ in range(5):
        studio.keyboard.press(".")
    until(studio, lambda: "moment=5" in studio.url and "node=w" in studio.url)
    context = new_context(browser)
    other = context.new_page()
    other.goto(studio.url)
    expect(other.locator("#status")).to_have_text("s: gradient −2 × 1 = −2")
    context.close()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_nothing(studio: Page, colours: str) -> None:
    studio.emulate_media(color_scheme=colours)  # type: ignore[arg-type]
    open_chapter(studio, "A network, node by node")
    studio.keyboard.press("End")
    studio.wait_for_timeout(300)
    assert violations(studio) == []
    if colours == "dark":
        return
    studio.keyboard.press("t")
    studio.keyboard.press("?")
    assert violations(studio) == []
    studio.keyboard.press("Escape")
    studio.keyboard.press("t")
    studio.get_by_role("button", name="Run").first.click()
    studio.get_by_role("button", name="Live training").click()
    expect(studio.locator(".prediction")).to_be_visible()
    studio.get_by_role("button", name="Model").click()
    assert violations(studio) == []


@pytest.mark.parametrize("size", [(360, 740), (720, 450)])
def test_narrow_windows_and_zoom_need_no_sideways_scrolling(
    studio: Page, size: tuple[int, int]
) -> None:
    usual = studio.viewport_size
    studio.set_viewport_size({"width": size[0], "height": size[1]})
    studio.keyboard.press("End")
    until(studio, lambda: studio.evaluate("document.documentElement.scrollWidth") <= size[0])
    assert "gradient, single number: −2" in box(studio, "w")
    if size[0] < 400:
        assert violations(studio) == []
    assert usual is not None
    studio.set_viewport_size(usual)


def test_every_export_opens_again(studio: Page, tmp_path: Path, browser: Browser) -> None:
    open_chapter(studio, "A network, node by node")
    studio.keyboard.press("End")
    found = {}
    for kind in ("html", "svg", "tex", "csv", "json", "py"):
        studio.get_by_role("button", name="Export").click()
        with studio.expect_download() as download:
            studio.locator(f"[data-export={kind}]").click()
        found[kind] = tmp_path / f"export.{kind}"
        download.value.save_as(found[kind])
    trace = bl.Trace.from_json(found["json"].read_text(encoding="utf-8"))
    assert float(trace.value(trace.graph.nodes[trace.output].name)) == pytest.approx(
        0.6180362425825663
    )
    assert xml.dom.minidom.parse(str(found["svg"])).documentElement.tagName == "svg"
    assert r"\begin{document}" in found["tex"].read_text(encoding="utf-8")
    assert len(found["csv"].read_text(encoding="utf-8").splitlines()) > 5
    compile(found["py"].read_text(encoding="utf-8"), "export.py", "exec")
    report_works_offline(found["html"], browser)


def report_works_offline(path: Path, browser: Browser) -> None:
    """Open a report from its file with the network cut off, and step through it."""
    complaints: list[str] = []
    context = new_context(browser)
    context.set_offline(True)
    page = listened(context.new_page(), complaints)
    page.goto(path.as_uri())
    page.locator(".box").first.wait_for()
    page.keyboard.press("Home")
    assert status(page).startswith("Before the forward pass")
    page.keyboard.press(".")
    assert status(page)
    page.keyboard.press("End")
    said = page.locator(".box.output").get_attribute("aria-label") or ""
    assert "gradient, single number: 1" in said
    expect(page.locator(".explain")).to_contain_text("The whole derivation")
    assert violations(page) == []
    for name in ("Graph (SVG)", "Numbers (CSV)", "Trace (JSON)"):
        page.get_by_role("button", name="Export").click()
        with page.expect_download() as download:
            page.get_by_role("button", name=name).click()
        saved = path.with_name(download.value.suggested_filename)
        download.value.save_as(saved)
        if saved.suffix == ".json":
            assert json.loads(saved.read_text(encoding="utf-8"))["format"] == "backlight.trace"
        elif saved.suffix == ".svg":
            xml.dom.minidom.parse(str(saved))
    context.close()
    assert not complaints


def test_a_saved_trace_opens_without_a_network(tmp_path: Path, browser: Browser) -> None:
    w = bl.param(3.0, name="w")
    L = w * w
    bl.record(L).save(tmp_path / "run.html")
    report_works_offline(tmp_path / "run.html", browser)


def test_first_paint_is_quick(page: Page, serve: Callable[..., Running]) -> None:
    url = serve().url
    times = []
    for _ in range(3):  # the best of a few: tests share their machine
        page.goto("about:blank")
        page.goto(url)
        page.locator(".box").first.wait_for()
        times.append(
            page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        )
        if min(times) < 1000:
            break
    assert min(times) < 1000  # milliseconds
    assert re.search(r"tour=\d", page.url) or page.locator(".tour").is_visible()
