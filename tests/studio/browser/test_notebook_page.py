"""The page inside a notebook's frame: what it asks is answered by the kernel, what-ifs as well."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Browser, expect
from tests.studio.browser.conftest import listened, new_context

import backlight as bl
from backlight.studio.notebook import SCRIPT, answer, page_of
from backlight.studio.session import Session
from backlight.studio.subjects import TraceSubject

# What a notebook does with a widget: gives it a place, its data, and a way to the kernel.
HOST = """
(page) => {
  const listeners = new Set();
  const model = {
    get: (name) => ({ page, height: 800 })[name],
    send: async (content) => {
      const found = JSON.parse(await window.kernel(JSON.stringify(content)));
      listeners.forEach((each) => each(found));
    },
    on: (_, listener) => listeners.add(listener),
    off: (_, listener) => listeners.delete(listener),
  };
  window.render({ model, el: document.body });
}
"""


def test_a_value_is_changed_in_a_notebook(browser: Browser) -> None:
    w = bl.param(3.0, name="w")
    session = Session(TraceSubject(bl.record((w - 1.0) ** 2)))

    def kernel(content: str) -> str:
        found: Any = answer(session, json.loads(content))
        return json.dumps({"backlight": found})

    complaints: list[str] = []
    context = new_context(browser)
    page = listened(context.new_page(), complaints)
    page.expose_function("kernel", kernel)
    page.set_content("<!doctype html><title>notebook</title>")
    page.add_script_tag(content=SCRIPT.replace("export default { render };", ""))
    page.evaluate(HOST, page_of(session))
    frame = page.frame_locator("iframe")
    frame.locator(".box").first.wait_for()
    frame.locator("body").press("End")
    expect(frame.locator(".explain-title .number")).to_have_text("4")
    field = frame.get_by_label("w", exact=True)
    field.fill("5")
    field.press("Enter")
    expect(frame.locator(".what-if")).to_contain_text("1 value changed")
    expect(frame.locator(".explain-title .number")).to_have_text("8")
    frame.get_by_role("button", name="take back").click()
    expect(frame.locator(".explain-title .number")).to_have_text("4")
    assert float(w.value) == 3.0
    context.close()
    assert not complaints
