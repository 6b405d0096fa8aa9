"""The command line: parsing of arguments and printing of results, and nothing else.

`main` is what the command ``backlight`` and ``python -m backlight`` run.
"""

from __future__ import annotations

from backlight.cli.commands import main

__all__ = ["main"]
