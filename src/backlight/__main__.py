"""Lets ``python -m backlight`` stand for the command ``backlight``."""

from __future__ import annotations

from backlight.cli import main

if __name__ == "__main__":
    main(prog_name="backlight")
