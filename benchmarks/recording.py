"""What recording costs beyond NumPy: microseconds per operation on small arrays.

Each operation is timed on tensors and, in turn with it, on NumPy values of the same shape; the
difference is what Backlight adds.  The minimum over many short repeats is reported, because other
work on the machine can only make a repeat longer.

    python benchmarks/recording.py [--json]
"""

from __future__ import annotations

import argparse
import json
import timeit
from collections.abc import Callable

import numpy as np

import backlight as bl

NUMBER = 2000
REPEATS = 40
GOAL = 5.0


def pairs(size: int) -> list[tuple[str, Callable[[], object], Callable[[], object]]]:
    """Return (name, on tensors, on NumPy) for arrays of a size; size 0 means scalars."""
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(0.5, 1.5, size or ()) for _ in range(2))
    a, b = (np.float64(each) if size == 0 else each for each in (a, b))
    x, y = bl.param(a, name="x"), bl.tensor(b, name="y")
    found = [
        ("x + y", lambda: x + y, lambda: a + b),
        ("x * y", lambda: x * y, lambda: a * b),
        ("x * 2.0", lambda: x * 2.0, lambda: a * 2.0),
        ("-x", lambda: -x, lambda: -a),
        ("x / y", lambda: x / y, lambda: a / b),
        ("x ** 2", lambda: x**2, lambda: a**2),
        ("tanh(x)", lambda: bl.tanh(x), lambda: np.tanh(a)),
        ("exp(x)", lambda: bl.exp(x), lambda: np.exp(a)),
        ("x > y", lambda: x > y, lambda: a > b),
    ]
    if size:
        found.append(("sum(x)", lambda: bl.sum(x), lambda: np.sum(a)))
    return found


def measure(size: int) -> list[dict[str, float | str | int]]:
    """Time all operations of one size, tensors and NumPy in turn."""
    rows = []
    for name, ours, theirs in pairs(size):
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(REPEATS):
            times[0].append(timeit.timeit(ours, number=NUMBER) / NUMBER * 1e6)
            times[1].append(timeit.timeit(theirs, number=NUMBER) / NUMBER * 1e6)
        tensor, numpy = min(times[0]), min(times[1])
        rows.append(
            {
                "operation": name,
                "size": size,
                "backlight_us": tensor,
                "numpy_us": numpy,
                "overhead_us": tensor - numpy,
            }
        )
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    rows = [row for size in (0, 8) for row in measure(size)]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'operation':<12} {'size':>6} {'Backlight':>10} {'NumPy':>8} {'overhead':>9}   µs")
    for row in rows:
        size = row["size"] or "scalar"
        print(
            f"{row['operation']:<12} {size:>6} {row['backlight_us']:>10.2f} "
            f"{row['numpy_us']:>8.2f} {row['overhead_us']:>9.2f}"
        )
    overheads = [float(row["overhead_us"]) for row in rows]
    print(
        f"\nmedian overhead {np.median(overheads):.2f} µs, largest {max(overheads):.2f} µs; "
        f"goal: at most {GOAL:g} µs."
    )


if __name__ == "__main__":
    main()
