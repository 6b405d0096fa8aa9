"""Find the polynomials of the native executor and write them out as Python.

Each polynomial is the weighted minimax approximation of a function on an interval, found by the
exchange algorithm (E. Y. Remez, 1934; see J.-M. Muller, "Elementary Functions", chapter 3) in
60-digit arithmetic; the largest weighted error, with the coefficients already rounded to the
dtype, is written beside it as a power of two.

    python tools/minimax.py > src/backlight/execute/native/coefficients.py
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import mpmath
import numpy as np
from mpmath import mpf

mpmath.mp.dps = 60
Real = Callable[[mpf], mpf]
POINTS = 24  # samples between neighbouring nodes when looking for the largest error


@dataclass(frozen=True)
class Task:
    """One polynomial: `name` as the constant is called, `what` as the comment above it."""

    name: str
    what: str
    target: Real
    weight: Real
    low: mpf
    high: mpf
    single: int  # degree for float32; 0 for none
    double: int  # degree for float64; 0 for none


def polynomial(coefficients: list[mpf], x: mpf) -> mpf:
    """Evaluate by Horner's rule, lowest power first in the list."""
    total = mpf(0)
    for each in reversed(coefficients):
        total = total * x + each
    return total


def level(nodes: list[mpf], task: Task, degree: int) -> list[mpf]:
    """Return coefficients whose weighted errors at the nodes are equal and alternate."""
    size = degree + 2
    matrix, right = mpmath.matrix(size, size), mpmath.matrix(size, 1)
    for row, x in enumerate(nodes):
        for power in range(degree + 1):
            matrix[row, power] = x**power
        matrix[row, degree + 1] = (-1) ** row / task.weight(x)
        right[row] = task.target(x)
    return list(mpmath.lu_solve(matrix, right))[: degree + 1]


def extremes(error: Real, nodes: list[mpf], low: mpf, high: mpf) -> list[mpf]:
    """Return one point of largest error near each node, signs alternating."""
    edges = [low, *((a + b) / 2 for a, b in itertools.pairwise(nodes)), high]
    found: list[mpf] = []
    for number, (left, right) in enumerate(itertools.pairwise(edges)):
        sign = mpmath.sign(error(nodes[number])) or (-1) ** number
        grid = [left + (right - left) * k / POINTS for k in range(POINTS + 1)]
        found.append(max(grid, key=lambda x, sign=sign: sign * error(x)))
    return found


def minimax(task: Task, degree: int) -> list[mpf]:
    """Return the coefficients of the best polynomial of a degree."""
    count = degree + 2
    middle, half = (task.low + task.high) / 2, (task.high - task.low) / 2
    # Keep off the very ends, where a weight may vanish.
    nodes = [
        middle - half * mpmath.cos(mpmath.pi * (2 * k + 1) / (2 * count)) for k in range(count)
    ]
    best: list[mpf] = []
    for _ in range(8):
        best = level(nodes, task, degree)

        def error(x: mpf, best: list[mpf] = best) -> mpf:
            return task.weight(x) * (polynomial(best, x) - task.target(x))

        moved = extremes(error, nodes, task.low, task.high)
        if max(abs(a - b) for a, b in zip(moved, nodes, strict=True)) < half * mpf("1e-3"):
            break
        nodes = moved
    return best


def rounded(coefficients: list[mpf], single: bool) -> list[float]:
    """Return the coefficients as numbers of the dtype."""
    return [float(np.float32(float(each))) if single else float(each) for each in coefficients]


def largest_error(task: Task, coefficients: list[float]) -> mpf:
    """Return the largest weighted error of rounded coefficients on a fine grid."""
    exact = [mpf(each) for each in coefficients]
    points = [task.low + (task.high - task.low) * (mpf(k) + mpf("0.5")) / 400 for k in range(400)]
    return max(abs(task.weight(x) * (polynomial(exact, x) - task.target(x))) for x in points)


def safe(function: Real, center: mpf) -> Real:
    """Evaluate a function with a removable singularity at 0 slightly off it."""

    def evaluate(x: mpf) -> mpf:
        with mpmath.workdps(120):
            return function(x if abs(x) > mpf("1e-30") else center)

    return evaluate


TINY = mpf("1e-25")
LN2 = mpmath.log(2)
SQRT2 = mpmath.sqrt(2)
EIGHTH = mpmath.tan(mpmath.pi / 8) ** 2
QUARTER = (mpmath.pi / 4) ** 2 * mpf("1.001")


def odd(function: Real) -> Real:
    """Return g with function(x) = x + x³·g(x²)."""
    return safe(lambda z: (function(mpmath.sqrt(z)) / mpmath.sqrt(z) - 1) / z, TINY)


def tasks() -> Iterator[Task]:
    """Yield what is to be approximated."""
    half = LN2 / 2 * mpf("1.002")
    yield Task(
        "EXP", "(eʳ − 1 − r)/r² on |r| ≤ ½ ln 2, relative to (eʳ − 1)/r²",
        safe(lambda r: (mpmath.expm1(r) - r) / r**2, TINY),
        safe(lambda r: r**2 / mpmath.expm1(r), TINY),
        -half, half, 5, 10,
    )  # fmt: skip
    yield Task(
        "LOG", "(ln(1 + f) − f + f²/2)/f³ on √½ ≤ 1 + f ≤ √2, relative to ln(1 + f)/f³",
        safe(lambda f: (mpmath.log1p(f) - f + f**2 / 2) / f**3, TINY),
        safe(lambda f: f**3 / mpmath.log1p(f), TINY),
        1 / SQRT2 - 1, SQRT2 - 1, 8, 0,
    )  # fmt: skip
    yield Task(
        "ATANH", "(artanh(s)/s − 1)/s² by s² on s ≤ (√2 − 1)/(√2 + 1), relative",
        odd(mpmath.atanh), lambda z: z, TINY, ((SQRT2 - 1) / (SQRT2 + 1)) ** 2 * mpf("1.001"),
        0, 7,
    )  # fmt: skip
    yield Task(
        "ATANH_TAIL", "(artanh(s)/s − 1 − s²/3)/s⁴ by s², on the same interval",
        safe(lambda z: (mpmath.atanh(mpmath.sqrt(z)) / mpmath.sqrt(z) - 1 - z / 3) / z**2,
             mpf("1e-20")),
        lambda z: z**2, mpf("1e-20"), ((SQRT2 - 1) / (SQRT2 + 1)) ** 2 * mpf("1.001"), 0, 8,
    )  # fmt: skip
    yield Task(
        "SIN", "(sin(r)/r − 1)/r² by r² on r ≤ π/4, relative",
        odd(mpmath.sin), lambda z: z * mpmath.sqrt(z) / mpmath.sin(mpmath.sqrt(z)),
        TINY, QUARTER, 3, 6,
    )  # fmt: skip
    yield Task(
        "COS", "(cos(r) − 1 + r²/2)/r⁴ by r² on r ≤ π/4, relative",
        safe(lambda z: (mpmath.cos(mpmath.sqrt(z)) - 1 + z / 2) / z**2, mpf("1e-20")),
        lambda z: z**2 / mpmath.cos(mpmath.sqrt(z)), mpf("1e-20"), QUARTER, 3, 6,
    )  # fmt: skip
    yield Task(
        "ASIN", "(arcsin(x)/x − 1)/x² by x² on x ≤ ½, relative",
        odd(mpmath.asin), lambda z: z, TINY, mpf("0.25"), 5, 12,
    )  # fmt: skip
    yield Task(
        "ATAN", "(arctan(t)/t − 1)/t² by t² on t ≤ tan(π/8), relative",
        odd(mpmath.atan), lambda z: z, TINY, EIGHTH * mpf("1.001"), 4, 11,
    )  # fmt: skip
    yield Task(
        "ERF", "erf(x)/x − 1 by x² on x ≤ 1, relative to erf(x)/x",
        safe(lambda z: mpmath.erf(mpmath.sqrt(z)) / mpmath.sqrt(z) - 1, TINY),
        lambda z: mpmath.sqrt(z) / mpmath.erf(mpmath.sqrt(z)), TINY, mpf(1), 6, 12,
    )  # fmt: skip


def tail(single: bool) -> Task:
    """ln(erfc(x)) above 1, by the distance from 1; the end is where erf rounds to 1."""
    low, high = mpf("0.99"), mpf("3.95") if single else mpf("5.95")

    def weight(t: mpf) -> mpf:
        x = t + 1
        return mpmath.erfc(x) / mpmath.erf(x)

    return Task(
        "ERFC", f"ln(erfc(1 + t)) for 0.99 ≤ 1 + t ≤ {float(high)}, error relative to erf(1 + t)",
        lambda t: mpmath.log(mpmath.erfc(t + 1)), weight, low - 1, high - 1, 10, 22,
    )  # fmt: skip


def show(name: str, coefficients: list[float]) -> str:
    """Return a Python tuple, one number a line."""
    return "\n".join([f"{name} = (", *(f"    {each!r}," for each in coefficients), ")"])


def reduction_rows(single: bool) -> tuple[list[list[float]], int]:
    """Return 2/π without the bits that give multiples of 8, by exponent, split into doubles.

    Row j serves numbers that are multiples of 2^(2 + j·step): bits of 2/π worth 2^(1 − j·step)
    or more then give multiples of 8 quadrants, two whole turns, and are left out.  The rows for
    float64 are multiplied by 2^512, so that their last parts do not underflow.
    """
    step, rows = (24, 5) if single else (16, 61)
    widths = [29, 29, 53] if single else [53, 53, 53, 53]
    found = []
    with mpmath.workprec(1400):
        for row in range(rows):
            unit = mpf(2) ** (1 - row * step)
            rest = 2 / mpmath.pi
            if row:
                rest -= mpmath.floor(rest / unit) * unit
            parts = []
            for width in widths:
                scale = mpf(2) ** (width - 1 - mpmath.floor(mpmath.log(rest, 2)))
                part = mpmath.floor(rest * scale) / scale
                parts.append(float(part if single else part * mpf(2) ** 512))
                rest -= part
            found.append(parts)
    return found, step


def parts(value: mpf, bits: int | None = None) -> tuple[float, float]:
    """Split a constant into a number of so many bits, or the nearest one, and the rest."""
    if bits is None:
        high = mpf(float(value))
    else:
        unit = mpf(2) ** (int(mpmath.floor(mpmath.log(value, 2))) + 1 - bits)
        high = mpmath.floor(value / unit) * unit
    return float(high), float(value - high)


def constants() -> Iterator[str]:
    """Yield the constants that need more than one number."""
    yield f"S_LN2 = {parts(LN2, 14)}"
    yield f"D_LN2 = {parts(LN2, 40)}"
    yield f"D_LOG10_2 = {parts(mpmath.log10(2), 40)}"
    yield f"D_LOG2_E = {parts(1 / LN2)}"
    yield f"D_LOG10_E = {parts(1 / mpmath.log(10))}"
    yield f"D_THIRD = {parts(mpf(1) / 3)}"
    yield f"D_PI = {parts(+mpmath.pi)}"
    single = mpf(float(np.float32(float(mpmath.pi))))
    yield f"S_PI = {(float(single), float(mpmath.pi - single))}"


def main() -> None:
    """Print the module."""
    print('"""Polynomials and constants of the elementary functions; written by tools/minimax.py.')
    print('\nLowest power first.  `S_` is for float32, `D_` for float64.\n"""')
    print("\nfrom __future__ import annotations")
    for single in (True, False):
        for task in [*tasks(), tail(single)]:
            degree = task.single if single else task.double
            if not degree:
                continue
            numbers = rounded(minimax(task, degree), single)
            error = float(mpmath.log(largest_error(task, numbers), 2))
            print(f"\n# {task.what}: 2^{error:.1f}.")
            print(show(("S_" if single else "D_") + task.name, numbers), flush=True)
    print("\n# Constants as a number, in some cases of few bits, and the rest.")
    print("\n".join(constants()))
    print("\n# 2/π for the reduction of large angles: see `reduction_rows` in tools/minimax.py.")
    for name, single in (("S_TURNS", True), ("D_TURNS", False)):
        rows, step = reduction_rows(single)
        print(f"{name}_STEP = {step}")
        print(f"{name} = (")
        for row in rows:
            print(f"    ({', '.join(map(repr, row))}),")
        print(")")


if __name__ == "__main__":
    main()
