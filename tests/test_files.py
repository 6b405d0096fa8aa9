"""Files are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import backlight as bl
from backlight.errors import DataError
from backlight.files import write_text


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    place = tmp_path / "page.txt"
    place.write_text("old", encoding="utf-8")
    assert write_text(place, "∂L/∂w\r\n") == place
    assert place.read_bytes() == "∂L/∂w\r\n".encode()
    assert list(tmp_path.iterdir()) == [place]


def test_what_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "page.txt"
    place.write_text("old", encoding="utf-8")

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DataError, match="No space left on device"):
        write_text(place, "new")
    assert place.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("name", ["w.svg", "w.html", "w.json"])
def test_a_missing_folder_is_named(tmp_path: Path, name: str) -> None:
    w = bl.param(2.0, name="w")
    with pytest.raises(DataError, match="nowhere"):
        bl.record(w * w).save(tmp_path / "nowhere" / name)
