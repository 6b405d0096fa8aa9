"""What a test sees of the studio's page, as a person would read it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect


def number(text: str) -> float:
    """Read a number as the page writes it."""
    found = re.search(r"([−-]?[\d.]+)(?:·10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?", text)
    assert found is not None, text
    powers = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    exponent = int(found[2].translate(powers)) if found[2] else 0
    return float(found[1].replace("−", "-")) * 10.0**exponent


def open_chapter(page: Page, name: str) -> None:
    """Open a worked example through the menu, and close the tour."""
    page.get_by_role("button", name="Run").first.click()
    page.locator("#menu-run").get_by_role("button", name=name).click()
    expect(page.locator(".subject")).to_have_text(name)
    close = page.get_by_role("button", name="Close the tour")
    close.click()
    expect(close).to_have_count(0)
    expect(page.locator(".box").first).to_be_visible()
    page.locator("#graph-panel").focus()


def menu(page: Page, name: str) -> None:
    """Open a menu of the header."""
    page.locator(".menu > button", has_text=name).click()


def open_live(page: Page, data: str) -> None:
    """Start a live training on a data set."""
    menu(page, "Data")
    page.locator(".choice", has_text=data).click()
    expect(page.locator(".subject")).to_contain_text(data)


def until(page: Page, condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        page.wait_for_timeout(30)


def box(page: Page, name: str) -> str:
    """What a box of the graph says: its spoken label."""
    labels = [each.get_attribute("aria-label") or "" for each in page.locator(".box").all()]
    return next((each for each in labels if each.startswith(f"{name} ")), "")


def step_until(page: Page, text: str, most: int = 60) -> None:
    """Step on with the key until the status line begins with a text."""
    for _ in range(most):
        if status(page).startswith(text):
            return
        page.keyboard.press(".")
        page.wait_for_timeout(5)
    raise AssertionError(f"{text!r} was never reached; last: {status(page)!r}")


def status(page: Page) -> str:
    """The status line."""
    return page.locator("#status").inner_text()


def every_status(page: Page) -> list[str]:
    """The status line at every moment, from the start."""
    page.keyboard.press("Home")
    said = [status(page)]
    total = int(page.get_by_label("Moment of the passes").get_attribute("max") or 0)
    for _ in range(total):
        page.keyboard.press(".")
        said.append(status(page))
    return said


def choose(page: Page, row: str, *index: int) -> None:
    """Select a node in the outline by searching, and one entry of it."""
    page.keyboard.press("/")
    page.keyboard.type(row)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(page.locator(".target-name")).to_contain_text(row)
    if index:
        button = page.get_by_role("button", name="choose one entry")
        if button.count():
            button.click()
        for axis, each in enumerate(index):
            field = page.locator(".entry-picker input").nth(axis)
            field.fill(str(each))
            field.press("Enter")
        page.locator("#graph-panel").focus()


def heading_number(page: Page) -> float:
    """The derivative in the heading of the explanation."""
    return number(page.locator(".explain-title .number").inner_text())


def violations(page: Page) -> list[Any]:
    """What axe-core finds wrong with the page."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [(each["id"], [node["target"] for node in each["nodes"]]) for each in found]
