"""The site is whole: every public name is in the reference, every page in a table of contents."""

from __future__ import annotations

import importlib
import re

import pytest
from tests.examples.running import ROOT

DOCS = ROOT / "docs"
NAMES = re.compile(r"^```\{names\} (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Named together in a sentence at the end of reference/functions.md.
SPOKEN_OF = {
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float32", "float64", "e", "inf", "nan", "newaxis", "pi",
}  # fmt: skip
MODULES = {"data", "nn", "optim", "init"}  # have pages of their own


def documented():
    found: dict[str, set[str]] = {}
    for path in (DOCS / "reference").glob("*.md"):
        for module, names in NAMES.findall(path.read_text(encoding="utf-8")):
            found.setdefault(module, set()).update(names.split())
    return found


@pytest.mark.parametrize(
    "module", ["backlight", "backlight.nn", "backlight.optim", "backlight.data", "backlight.train",
               "backlight.io", "backlight.explain", "backlight.sklearn"],
)  # fmt: skip
def test_every_public_name_is_in_the_reference(module):
    if module == "backlight.sklearn":
        pytest.importorskip("sklearn")
    public = {each for each in importlib.import_module(module).__all__ if not each.startswith("__")}
    everywhere = set().union(*documented().values())
    here = documented()[module] | (everywhere if module == "backlight" else set())
    here |= documented()["backlight"]  # a name that `backlight` has as well stands there
    assert public - here - SPOKEN_OF - MODULES == set()


def test_the_names_of_the_reference_exist():
    for module, names in documented().items():
        if module == "backlight.sklearn":
            pytest.importorskip("sklearn")
        loaded = importlib.import_module(module)
        assert [each for each in names if not hasattr(loaded, each)] == []


def test_every_command_is_in_the_reference():
    from backlight.cli.commands import main

    text = (DOCS / "reference/command-line.md").read_text(encoding="utf-8")
    described = {
        each.strip() for each in re.findall(r"^```\{command-help\}(.*)$", text, re.MULTILINE)
    }
    runs = main.commands["runs"]
    assert described == {"", *main.commands, *(f"runs {each}" for each in runs.commands)}


def test_every_page_is_in_a_table_of_contents():
    pages = {
        path.relative_to(DOCS).with_suffix("").as_posix()
        for path in DOCS.rglob("*.md")
        if not path.is_relative_to(DOCS / "_ext")
    }
    listed = {"index"}
    for name in pages:
        text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
        for tree in re.findall(r"^```\{toctree\}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            for line in tree.splitlines():
                target = re.sub(r"^.*<(.+)>$", r"\1", line.strip())
                if target and not target.startswith(":"):
                    there = (DOCS / f"{name}.md").parent / target
                    listed.add(there.resolve().relative_to(DOCS).as_posix())
    assert pages - listed == set()


def test_the_site_needs_no_network():
    for path in [DOCS / "conf.py", *(DOCS / "_static").iterdir()]:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http" not in text, path
        assert "intersphinx" not in text
