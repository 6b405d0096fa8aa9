"""`backlight doctor`: what it finds is what the system's own tools say."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from backlight.cli import doctor, machine, main


def report() -> dict[str, object]:
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["format"], document["version"]) == ("backlight.doctor", 1)
    return document


def test_versions_and_processor() -> None:
    document = report()
    assert document["python"]["version"] == platform.python_version()
    assert document["packages"]["numpy"] == np.__version__
    assert set(document["packages"]) >= set(doctor.CORE)
    assert document["processor"]["name"]
    assert document["cores"]["present"] == os.cpu_count()


def test_thread_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert report()["thread_variables"]["OMP_NUM_THREADS"] == "3"


def test_fashion_mnist_that_is_missing_is_a_note_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BACKLIGHT_FASHION_MNIST", str(tmp_path / "nowhere"))
    document = report()
    assert document["data"] == {"fashion-mnist": False}
    assert any("BACKLIGHT_FASHION_MNIST" in note for note in document["notes"])


def test_a_missing_package_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CORE", ("numpy", "no-such-package-here"))
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert "problem: no-such-package-here is missing; install it with pip" in result.stdout


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs permissions that hold")
def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    result = CliRunner().invoke(main, ["doctor"])
    tmp_path.chmod(0o700)
    assert result.exit_code == 1
    assert "cannot be written" in result.stdout


def test_a_cache_below_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(
        "platformdirs.user_cache_dir", lambda name: str(tmp_path / "file" / "cache")
    )
    assert CliRunner().invoke(main, ["doctor"]).exit_code == 1


def test_the_limit_of_a_control_group(tmp_path: Path) -> None:
    assert machine.cores_of_group(tmp_path) is None
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert machine.cores_of_group(tmp_path) is None
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert machine.cores_of_group(tmp_path) == 1.5
    (tmp_path / "cpu.max").write_text("nonsense\n")
    assert machine.cores_of_group(tmp_path) is None


def test_where_machine_code_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BACKLIGHT_CACHE_DIR", str(tmp_path))
    kept = tmp_path / "native" / "some.code"
    kept.parent.mkdir()
    kept.write_bytes(bytes(123))
    assert report()["machine_code"] == {"path": str(kept.parent), "bytes": 123}
    monkeypatch.setenv("BACKLIGHT_CACHE", "off")
    assert report()["machine_code"] == {"path": "in memory only", "bytes": 0}
    monkeypatch.delenv("BACKLIGHT_CACHE")
    monkeypatch.setenv("BACKLIGHT_CACHE_DIR", str(kept))  # a file, not a folder
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert "BACKLIGHT_CACHE_DIR" in result.stdout
