"""The studio in Debian's Chromium, through Playwright.

`studio` is a running server with an open page.  Where Chromium is not installed the tests are
skipped, and the summary says so.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the extra 'studio' is not installed")
pytest.importorskip("playwright", reason="PLAYWRIGHT IS MISSING: no browser test ran")

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from tests.studio.browser.controls import WATCH, note
from tests.studio.browser.looking import open_chapter

from backlight.studio.serve import Running
from backlight.studio.session import Session

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT = 20_000
"""Milliseconds: much longer than anything takes, because tests share their machine."""
expect.set_options(timeout=TIMEOUT)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    if CHROMIUM is None:
        reason = "SKIPPED: CHROMIUM IS NOT INSTALLED, no browser test of the studio ran"
        warnings.warn(pytest.PytestWarning(reason), stacklevel=1)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


def new_context(browser: Browser) -> BrowserContext:
    """A fresh profile in a usual window."""
    made = browser.new_context(
        viewport={"width": 1440, "height": 900}, reduced_motion="reduce", accept_downloads=True
    )
    made.set_default_timeout(TIMEOUT)
    made.add_init_script(WATCH)
    made.grant_permissions(["clipboard-read", "clipboard-write"])
    return made


def listened(page: Page, complaints: list[str]) -> Page:
    """Collect what the page's console complains about."""

    def listen(message: Any) -> None:
        refused = message.text.startswith("Failed to load resource") and "400" in message.text
        if message.type in ("error", "warning") and not refused:  # the page shows its sentence
            complaints.append(message.text)
        elif message.text.startswith("control "):
            note(message.text)

    page.on("console", listen)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page in a profile of its own; the test fails when its console complains."""
    complaints: list[str] = []
    context = new_context(browser)
    yield listened(context.new_page(), complaints)
    context.close()
    assert not complaints


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a server for a session; it ends with the test."""
    started: list[Running] = []

    def start(session: Session | None = None) -> Running:
        running = Running(Session(folder=tmp_path) if session is None else session)
        running.__enter__()
        started.append(running)
        return running

    yield start
    for each in started:
        each.stop()


@pytest.fixture(scope="session")
def shared(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One server and one page for most tests: starting them is most of the time."""
    complaints: list[str] = []
    with Running(Session(folder=tmp_path_factory.mktemp("studio"))) as running:
        context = new_context(browser)
        opened = listened(context.new_page(), complaints)
        opened.goto(running.url)
        opened.locator(".box").first.wait_for()
        yield opened
        context.close()
    assert not complaints


@pytest.fixture
def studio(shared: Page) -> Page:
    """The shared page on the first worked example, at the start, with the tour closed."""
    shared.bring_to_front()
    if shared.locator("dialog[open]").count():  # a test that failed must not make others fail
        shared.reload()
        shared.locator(".box").first.wait_for()
    open_chapter(shared, "One weight, squared error")
    shared.keyboard.press("Home")
    return shared
