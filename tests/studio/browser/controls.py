"""Which buttons, fields and links the tests of the browser have seen, and which they have used.

`WATCH` runs in every page and says on its console what it sees and what is used; `note` keeps it.
The last test of this folder compares the two, so that no control is left without a test.
"""

from __future__ import annotations

SEEN: set[str] = set()
USED: set[str] = set()

WATCH = r"""
(() => {
  const CONTROLS = "button, select, input, textarea, a[href], summary, canvas.boundary, .box";
  const KINDS = [
    [".box", "box of the graph"], [".outline-row", "row of the outline"], [".path", "path"],
    [".choice", "data set"], [".chapter", "chapter"], [".digit", "image of an example"],
    [".leaf-name", "name of a leaf"], [".table-view .link", "row of the table"],
    [".split .link", "term of a sum"], [".entries input", "value of a leaf"],
    ["canvas.boundary", "decision boundary"], [".badge summary", "numeric check"],
    [".derivation > summary", "whole derivation"], [".run-list button", "stored run"],
    [".explained", "explained in the report"], [".notice button", "close a message"],
  ];
  const say = (word, name) => console.debug(`control ${word} ${name}`);
  const nameOf = (element) => {
    for (const [selector, name] of KINDS) if (element.matches(selector)) return name;
    const field = element.closest("label")?.querySelector("span")?.textContent;
    const own = [...element.childNodes].find((each) => each.nodeType === 3 && each.data.trim());
    const label = element.getAttribute("aria-label") ?? field ?? own?.data ??
      element.closest("label")?.textContent ?? element.textContent;
    const place = element.closest(".menu-panel")?.id ?? element.closest("[role=dialog], dialog")
      ?.querySelector("h2")?.textContent ?? "";
    const text = label.trim().replace(/\s+/g, " ")
      .replace(/^(Fold|Unfold|Colours|Earlier entries|Later entries|Index)\b.*/, "$1");
    return `${place ? `${place}: ` : ""}${element.tagName.toLowerCase()} ${text}`;
  };
  const seen = new Set();
  const look = () => {
    for (const each of document.querySelectorAll(CONTROLS)) {
      if (each.disabled || !each.checkVisibility()) continue;
      const name = nameOf(each);
      if (!seen.has(name)) {
        seen.add(name);
        say("seen", name);
      }
    }
  };
  const used = (event) => {
    const element = event.target instanceof Element ? event.target.closest(CONTROLS) : null;
    if (element) say("used", nameOf(element));
    setTimeout(look, 30);
  };
  for (const kind of ["click", "input", "change"]) document.addEventListener(kind, used, true);
  setInterval(look, 300);
})();
"""


def note(text: str) -> None:
    """Keep what a page says about its controls."""
    _, word, name = text.split(" ", 2)
    (SEEN if word == "seen" else USED).add(name)
