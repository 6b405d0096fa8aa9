"""A saved report opened in a browser, from a file, with the network cut off."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import backlight as bl

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="NO BROWSER: install Debian's chromium to open the report"
)


def test_the_report_opens_from_a_file_without_a_network(tmp_path: Path) -> None:
    w = bl.param(1.0, name="w")
    s = w * 1.0 - 2.0
    loss = s**2
    file = bl.record(loss).save(tmp_path / "run.html")
    asked: list[str] = []
    complaints: list[str] = []
    with playwright.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            page = browser.new_context(offline=True).new_page()
            page.on("request", lambda each: asked.append(each.url))
            page.on("pageerror", lambda each: complaints.append(str(each)))
            page.on(
                "console",
                lambda each: complaints.append(each.text) if each.type == "error" else None,
            )
            page.goto(file.as_uri())
            page.get_by_text("numeric check agrees").first.wait_for(timeout=20_000)
            text = page.locator("body").inner_text()
        finally:
            browser.close()
    assert "−2" in text
    assert complaints == []
    assert all(each.startswith(("file:", "blob:", "data:")) for each in asked)
