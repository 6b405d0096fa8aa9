"""Train on a Parquet file that is read a stretch at a time, and measure the memory that it takes.

    python -m benchmarks.streaming                  5 million rows of 24 columns, one epoch
    python -m benchmarks.streaming --rows 1000000 --columns 40

It writes a file of random numbers and a category with gaps, runs ``backlight train`` on it in a
process of its own, and prints the peak of that process's resident memory (``ru_maxrss``), beside
the size of the file, of the features in memory, and of a process that only imports the readers.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROWS_AT_ONCE = 250_000

CHILD = """
import os, resource, sys
if sys.argv[1:]:
    from backlight.cli import main
    try:
        main(sys.argv[1:])
    except SystemExit as end:
        assert not end.code, end.code
else:
    import backlight.cli.commands, pyarrow.parquet
unit = 1 if sys.platform == "darwin" else 1024
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
if os.path.exists("/proc/self/status"):
    # ru_maxrss begins with what the parent had when it made this process; this does not.
    text = open("/proc/self/status").read()
    peak = min(peak, int(text.split("VmHWM:")[1].split()[0]) * 1024)
print("PEAK", peak, file=sys.stderr)
"""


def write(path: Path, rows: int, columns: int, seed: int = 0) -> None:
    """Write a table with a target that its columns tell."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    rng = np.random.default_rng(seed)
    weights = rng.normal(size=columns - 2)
    towns = np.array(["Ulm", "Bonn", "Kiel", "Trier", "Jena"])
    writer = None
    for start in range(0, rows, ROWS_AT_ONCE):
        count = min(ROWS_AT_ONCE, rows - start)
        numbers = rng.normal(size=(count, columns - 2)).astype(np.float32)
        town = rng.integers(0, len(towns), count)
        table = pa.table(
            {
                **{f"x{k}": numbers[:, k] for k in range(columns - 2)},
                "town": pa.array(towns[town], mask=rng.random(count) < 0.05),
                "y": ((numbers @ weights + town) > 1).astype(np.int8),
            }
        )
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def peak(arguments: list[str], folder: Path) -> tuple[int, float, str]:
    """Run a command in a process of its own; return its peak memory, seconds and output."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    taken = int(done.stderr.rsplit("PEAK ", 1)[1])
    return taken, time.perf_counter() - began, done.stdout


def measure(rows: int, columns: int, folder: Path, *options: str) -> dict[str, float]:
    """Write a file, train on it, and return what it took; sizes in MiB."""
    path = folder / "big.parquet"
    write(path, rows, columns)
    alone, _, _ = peak([], folder)
    arguments = ["train", str(path), "--target", "y", "--quiet", "--json", "--out", "run"]
    taken, seconds, printed = peak([*arguments, *options], folder)
    found = json.loads(printed)
    return {
        "rows": rows,
        "columns": columns,
        "file_MiB": path.stat().st_size / 2**20,
        "features_MiB": rows * (columns - 1) * 4 / 2**20,
        "imports_MiB": alone / 2**20,
        "peak_MiB": taken / 2**20,
        "seconds": seconds,
        "epochs": found["epochs"],
        "accuracy": found["scores"]["accuracy"],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--columns", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--hidden", default="128,64")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(
            arguments.rows,
            arguments.columns,
            Path(folder),
            "--epochs",
            str(arguments.epochs),
            "--hidden",
            arguments.hidden,
        )
    for name, value in found.items():
        print(f"{name:14} {value:12,.3f}" if isinstance(value, float) else f"{name:14} {value:12,}")
    within = found["peak_MiB"] < 1024
    print(f"{'within 1 GiB' if within else 'MORE THAN 1 GiB'}")
    raise SystemExit(0 if within else 1)


if __name__ == "__main__":
    main()
