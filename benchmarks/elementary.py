"""How fast the elementary functions are in native code: nanoseconds per element beside NumPy's.

Each function runs over 65,536 elements, native and NumPy in turn; the minimum over many repeats is
reported, because other work on the machine can only make a repeat longer.

    python benchmarks/elementary.py [--json] [name …]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import timeit
from collections.abc import Callable

import numpy as np
from llvmlite import ir

import backlight as bl
from backlight.execute.native import compile_module, elementwise_kernel

SIZE = 65_536
REPEATS = 25
LOW_HIGH: dict[str, tuple[float, float]] = {
    **dict.fromkeys(["exp", "expm1", "tanh", "sigmoid", "erf", "sinh", "cosh"], (-4.0, 4.0)),
    **dict.fromkeys(["sin", "cos", "tan", "atan", "asinh", "relu", "abs"], (-4.0, 4.0)),
    **dict.fromkeys(["log", "log1p", "log2", "log10", "sqrt", "rsqrt"], (0.1, 4.0)),
    **dict.fromkeys(["asin", "acos", "atanh"], (-0.99, 0.99)),
    **dict.fromkeys(["acosh"], (1.0, 4.0)),
    **dict.fromkeys(["pow", "hypot", "atan2", "logaddexp", "add", "div", "maximum"], (0.1, 4.0)),
    **dict.fromkeys(["remainder", "floor_divide"], (0.1, 4.0)),
}
PAIRS = {
    "pow", "hypot", "atan2", "logaddexp", "add", "div", "maximum", "remainder", "floor_divide",
}  # fmt: skip


def fastest(call: Callable[[], object]) -> float:
    """Return the least seconds of one call."""
    number = max(1, int(2e-3 / max(timeit.timeit(call, number=1), 1e-7)))
    return min(timeit.repeat(call, number=number, repeat=REPEATS)) / number


def measure(dtype: np.dtype, names: list[str]) -> list[dict[str, object]]:
    """Time functions of one dtype, native and NumPy in turn."""
    module = ir.Module()
    records = bl.registry()
    for name in names:
        elementwise_kernel(module, name, records[name], [dtype] * (1 + (name in PAIRS)))
    library = compile_module(module)
    rng, rows = np.random.default_rng(0), []
    for name in names:
        low, high = LOW_HIGH[name]
        inputs = [rng.uniform(low, high, SIZE).astype(dtype) for _ in range(1 + (name in PAIRS))]
        out = np.empty(SIZE, dtype)
        kinds = [ctypes.c_int64, *[ctypes.c_void_p] * (1 + len(inputs))]
        function = library.function(name, ctypes.CFUNCTYPE(None, *kinds))
        addresses = [SIZE, out.ctypes.data, *(each.ctypes.data for each in inputs)]
        evaluate = records[name].evaluate
        native = fastest(lambda f=function, a=addresses: f(*a))
        numpy = fastest(lambda f=evaluate, a=inputs: f(np, *a))
        rows.append(
            {
                "function": name,
                "dtype": str(dtype),
                "native_ns": native / SIZE * 1e9,
                "numpy_ns": numpy / SIZE * 1e9,
            }
        )
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="functions; all by default")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    names = options.names or list(LOW_HIGH)
    rows = [row for kind in ("float32", "float64") for row in measure(np.dtype(kind), names)]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'function':<14} {'dtype':<8} {'native':>8} {'NumPy':>8}  ns/element   ratio")
    for row in rows:
        native, numpy = float(str(row["native_ns"])), float(str(row["numpy_ns"]))
        print(
            f"{row['function']:<14} {row['dtype']:<8} {native:>8.3f} {numpy:>8.3f} "
            f"{numpy / native:>18.1f}x"
        )


if __name__ == "__main__":
    main()
