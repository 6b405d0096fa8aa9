"""Importing Backlight, and training with it, loads what is needed and nothing else.

Structure, not time: which modules a new process has loaded, and that the names a package imports
late are the ones it shows to type checkers.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import backlight as bl
from backlight.late import LatePackage, import_late

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "backlight"

LATE = sorted(
    ".".join(("backlight", *path.relative_to(PACKAGE).parts[:-1]))
    for path in PACKAGE.rglob("__init__.py")
    if "import_late(\n" in path.read_text(encoding="utf-8")
)

NEVER = {
    *("click", "pandas", "pyarrow", "scipy", "sklearn", "sqlite3", "starlette", "torch"),
    *("importlib.metadata", "email", "rich", "safetensors"),
    *("backlight.draw", "backlight.report", "backlight.studio", "backlight.cli"),
    *("backlight.explain.derivation", "backlight.data.csv_file", "backlight.data.npz_file"),
    *("backlight.train.checkpoint", "backlight.train.save", "backlight.train.stored"),
}
"""What no program needs that only trains on arrays."""

BEFORE_TRAINING = {"llvmlite", "platformdirs", "backlight.execute", "backlight.explain"} | {
    f"backlight.{each}" for each in ("data", "differentiate", "nn", "optim", "record", "train")
}
"""What is loaded when it is first used."""


def loaded_by(code: str, cache: Path | None = None) -> set[str]:
    """Return the modules that a new process has loaded after running some code."""
    code += "\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "BACKLIGHT_CACHE": "off"}
    if cache is not None:
        environment |= {"BACKLIGHT_CACHE": "on", "BACKLIGHT_CACHE_DIR": str(cache)}
    environment.pop("COVERAGE_PROCESS_START", None)
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return set(json.loads(found.stdout.splitlines()[-1]))


def test_importing_backlight_loads_little() -> None:
    loaded = loaded_by("import backlight")
    assert "backlight.tensor" in loaded
    assert loaded & (NEVER | BEFORE_TRAINING) == set()


def test_training_loads_only_what_trains() -> None:
    loaded = loaded_by(
        "import numpy as np, backlight as bl\n"
        "data = bl.data.load('xor')\n"
        "net = bl.nn.Sequential(bl.nn.Linear(2, 3), bl.nn.Tanh(), bl.nn.Linear(3, 1))\n"
        "bl.fit(net, data, loss=bl.nn.mse, optimizer=bl.optim.SGD(0.1), epochs=1,\n"
        "       validation=data, executor='reference')"
    )
    assert "backlight.train.loop" in loaded
    assert loaded & (NEVER | {"llvmlite"}) == set()


def test_machine_code_that_is_kept_needs_nothing_that_writes_it(tmp_path: Path) -> None:
    code = (
        "import numpy as np, backlight as bl\n"
        "net = bl.nn.Sequential(bl.nn.Linear(20, 30), bl.nn.ReLU(), bl.nn.Linear(30, 1))\n"
        "data = np.ones((50, 20)), np.ones((50, 1))\n"
        "bl.fit(net, data, loss=bl.nn.mse, optimizer=bl.optim.Adam(0.1), epochs=1,\n"
        "       batch_size=16, executor='native')\n"
        "def f(x):\n"
        "    for _ in range(200):\n"
        "        x = x * 0.5 + 1.0\n"
        "    return x\n"
        "assert abs(float(bl.compile(f)(0.0)) - 2.0) < 1e-12"
    )
    parts = ("lower", "emit", "writer", "kernels_library", "matmul", "tape_machine")
    writing = {f"backlight.execute.native.{each}" for each in parts}
    assert loaded_by(code, tmp_path) >= writing
    again = loaded_by(code, tmp_path)
    assert "backlight.execute.native.program" in again
    assert again & writing == set()


@pytest.mark.parametrize("first", ["backlight.explain.paths", "backlight.draw.layout"])
def test_a_function_is_not_hidden_by_the_package_of_its_name(first: str) -> None:
    name = first.split(".")[1]
    code = f"import {first}, backlight\nassert type(backlight.{name}).__name__ == 'function'"
    assert first in loaded_by(code)


def test_all_names_are_there() -> None:
    loaded_by("from backlight import *\nassert callable(explain) and nn.Linear and callable(fit)")


@pytest.mark.parametrize("package", LATE)
def test_each_public_name_can_be_had_and_is_listed(package: str) -> None:
    module = importlib.import_module(package)
    assert isinstance(module, LatePackage)
    names: list[str] = vars(module)["__all__"]
    assert set(names) <= set(dir(module))
    assert [name for name in names if not hasattr(module, name)] == []


def typed_imports(block: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Yield the module and the name of each ``from module import name``."""
    for statement in block:
        assert isinstance(statement, ast.ImportFrom), "only imports are left to type checkers"
        for alias in statement.names:
            yield str(statement.module), alias.name


@pytest.mark.parametrize("package", LATE)
def test_type_checkers_see_what_is_imported_late(package: str) -> None:
    path = PACKAGE.joinpath(*package.split(".")[1:], "__init__.py")
    (block,) = (
        each.body
        for each in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(each, ast.If)
    )
    module = importlib.import_module(package)
    assert isinstance(module, LatePackage)
    late = {(place, name) for name, place in module.__late__.items()}
    seen = set(typed_imports(block))
    assert seen <= late
    modules = late - seen  # which type checkers know without being told
    assert all(place == package and (PACKAGE / name).exists() for place, name in modules)


def test_an_unknown_name_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="module 'backlight' has no attribute 'fits'"):
        bl.fits  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(bl.train, "fits")


def test_a_late_name_is_imported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    package = LatePackage("some.package")
    monkeypatch.setitem(sys.modules, "some.package", package)
    import_late("some.package", {"collections": ("OrderedDict",)})
    assert "OrderedDict" in dir(package)
    assert "OrderedDict" not in vars(package)
    assert package.OrderedDict is importlib.import_module("collections").OrderedDict
    assert "OrderedDict" in vars(package)


def test_a_late_name_can_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bl, "explain", len)
    assert bl.explain is len


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert bl.__version__ == project["version"]
