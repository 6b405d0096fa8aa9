"""Loads the scripts that write the documentation, and runs each example once for all tests."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


@cache
def script(path: str) -> ModuleType:
    """Import a script of the repository by its path."""
    name = path.removesuffix(".py").replace("/", "_")
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for the module of a class
    spec.loader.exec_module(module)
    return module


@cache
def made(name: str) -> dict[str, str]:
    """Run an example in a process of its own; return its page and its pictures by file name."""
    pages = script("docs/examples/build.py")
    example = next(each for each in pages.EXAMPLES if each.script == name)
    return pages.build(example)


def output(name: str) -> str:
    """Return what an example prints, with single spaces between words."""
    page = made(name)[name.replace("_", "-") + ".md"]
    return " ".join(page.split())
