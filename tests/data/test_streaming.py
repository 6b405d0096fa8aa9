"""Training on a file that is larger than what it may take, in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchmarks.streaming import measure

ROWS, COLUMNS = 500_000, 120


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="resource is a module of POSIX")
def test_the_memory_of_training_does_not_grow_with_the_width_of_a_file(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    found = measure(
        ROWS, COLUMNS, tmp_path, "--epochs", "1", "--hidden", "8", "--batch-size", "4096"
    )
    # What is stated: 64 bytes a row and 256 MiB, beside the interpreter and its libraries.  The
    # features alone are 227 MiB, and in memory they would be there at least three times.
    bound = found["imports_MiB"] + 256 + 64 * ROWS / 2**20
    assert found["peak_MiB"] < bound, found
    assert found["features_MiB"] > 220
    assert found["accuracy"] > 0.7
