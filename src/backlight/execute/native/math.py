"""How exact the elementary functions of native code are.

The functions themselves stand in `exponentials`, `logarithms`, `circular`, `powers` and
`neighbours`; `tools/minimax.py` writes their polynomials into `coefficients`.  They are
straight-line code without tables (but for the sine and its kin in float64), so that loops around
them become vector instructions, and they give what IEEE 754 and the C standard say for NaN,
infinities, zeros and subnormal numbers, with gradual underflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ULPS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        # primitive: float32, float64
        "exp": (1.25, 1.25),
        "expm1": (1.5, 2.25),
        "log": (1.0, 1.0),
        "log1p": (1.0, 1.0),
        "log2": (0.6, 0.6),
        "log10": (0.6, 0.6),
        "sqrt": (0.5, 0.5),
        "rsqrt": (1.75, 1.75),
        # 1 + e⁻ˣ and the quotient are each rounded after the exponential.
        "sigmoid": (2.5, 2.5),
        "erf": (1.5, 1.5),
        "tanh": (2.75, 2.75),
        "sinh": (2.5, 2.5),
        "cosh": (1.5, 1.5),
        "asinh": (2.0, 2.0),
        # Near 1 the square root and the logarithm add their errors.
        "acosh": (2.75, 2.75),
        "atanh": (2.0, 2.0),
        "sin": (1.75, 1.0),
        "cos": (1.75, 1.0),
        "tan": (0.6, 2.5),
        "asin": (1.5, 1.5),
        "acos": (1.5, 1.5),
        "atan": (2.0, 2.0),
        "atan2": (2.0, 2.0),
        "pow": (0.6, 1.5),
        "hypot": (1.25, 1.25),
        # In units of the larger of the result and the operands: close to 0 they cancel.
        "logaddexp": (2.75, 2.75),
    }
)
"""A bound on the error in units in the last place, by the name of a primitive; 0.5 is rounding.

The bounds hold, with some room, for millions of arguments of every exponent; they are not proofs.
"""
