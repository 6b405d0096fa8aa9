"""The page and the pictures: every block of code runs, both libraries draw the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("sklearn")

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_every_block_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "estimators.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) > 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/estimators.md", "exec"), names)
    assert "∂loss" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name",
    [
        "first_layer_weights",
        pytest.param("regularisation", marks=pytest.mark.slow),
        pytest.param("learning_strategies", marks=pytest.mark.slow),
    ],
)
def test_an_example_draws_the_same_with_both(name: str, tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, f"examples/sklearn/{name}.py", "--out", tmp_path / "sheet.svg"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert found.returncode == 0, found.stderr
    # L-BFGS goes on until rounding decides.
    apart = re.search(r"differ by ([\d.]+) at most", found.stdout)
    assert "The same scores." in found.stdout or (apart and float(apart[1]) <= 0.06)
    sheet = ElementTree.parse(tmp_path / "sheet.svg").getroot()
    names = [each.text for each in sheet.iter("{http://www.w3.org/2000/svg}text")]
    assert "scikit-learn" in names and "Backlight" in names
