"""Makes the pictures of the studio in docs/pictures: light and dark, wide and narrow.

It needs Debian's Chromium and the packages of the extras ``studio`` and ``test``.

    python tools/screenshots.py                     all pictures
    python tools/screenshots.py --only tour         those whose name contains "tour"
    python tools/screenshots.py --into DIR          somewhere else
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from backlight.studio.serve import Running
from backlight.studio.session import Session

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--font-render-hinting=none"]
WIDE = (1440, 900)
NARROW = (390, 844)


@dataclass(frozen=True)
class Shot:
    """One picture: what is open, what is done before, and in which window."""

    name: str
    do: Callable[[Page], None]
    colours: Literal["light", "dark"] = "light"
    size: tuple[int, int] = WIDE


def open_data(page: Page, name: str) -> None:
    """Start a live training on a data set."""
    page.get_by_role("button", name="Data").click()
    page.locator(".choice", has_text=name).click()
    page.locator(".live").wait_for()


def open_example(page: Page, title: str) -> None:
    """Open a worked example without the tour's text."""
    page.get_by_role("button", name="Run").first.click()
    page.locator("#menu-run").get_by_role("button", name=title).click()
    page.get_by_text(title).first.wait_for()


def train_until(page: Page, step: int) -> None:
    """Train for so many steps, then pause."""
    panel = page.locator(".live")
    panel.get_by_role("button", name="Start").click()
    while int(page.get_by_label("Training step").input_value()) < step:
        page.wait_for_timeout(30)
    panel.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(900)


def tour(page: Page) -> None:
    """The first chapter, where the difference passes its gradient on."""
    for _ in range(3):
        page.locator(".tour .primary").click()
        page.wait_for_timeout(250)


def backward(page: Page) -> None:
    """A hidden activation whose gradient is a sum."""
    open_example(page, "A network, node by node")
    for _ in range(2):
        page.locator(".tour .primary").click()
        page.wait_for_timeout(300)
    page.get_by_role("button", name="Close the tour").click()


def spiral(page: Page) -> None:
    """The spiral, learnt."""
    open_data(page, "spiral")
    train_until(page, 1200)


def digits(page: Page) -> None:
    """Digits, and one weight of them."""
    open_data(page, "digits")
    train_until(page, 400)
    page.locator(".outline-row", has_text="weight").last.click()
    page.get_by_role("button", name="choose one entry").click()
    page.get_by_role("button", name="examples").click()
    page.wait_for_timeout(900)


def table(page: Page) -> None:
    """The table twin."""
    page.get_by_role("button", name="Close the tour").click()
    page.keyboard.press("End")
    page.keyboard.press("t")


SHOTS = (
    Shot("studio-tour", tour),
    Shot("studio-tour-dark", tour, "dark"),
    Shot("studio-backward", backward),
    Shot("studio-spiral", spiral),
    Shot("studio-digits", digits),
    Shot("studio-digits-dark", digits, "dark"),
    Shot("studio-table", table),
    Shot("studio-narrow", tour, size=NARROW),
    Shot("studio-narrow-dark", backward, "dark", NARROW),
)


def take(browser: Browser, shot: Shot, into: Path) -> Path:
    """Take one picture with a server of its own."""
    with Running(Session()) as running:
        context = browser.new_context(
            viewport={"width": shot.size[0], "height": shot.size[1]},
            color_scheme=shot.colours,
            reduced_motion="reduce",
        )
        page = context.new_page()
        page.goto(running.url)
        page.locator(".box").first.wait_for()
        shot.do(page)
        page.mouse.move(0, 0)
        page.wait_for_timeout(600)
        path = into / f"{shot.name}.png"
        page.screenshot(path=path)
        context.close()
    return path


def main() -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description="Pictures of the studio.")
    parser.add_argument("--into", type=Path, default=PICTURES, metavar="DIR")
    parser.add_argument("--only", default="", metavar="TEXT", help="names that contain it")
    options = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        print("Chromium is not installed: apt-get install chromium.", file=sys.stderr)
        return 1
    options.into.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for shot in SHOTS:
            if options.only in shot.name:
                print(take(browser, shot, options.into))
        browser.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
