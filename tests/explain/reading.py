"""Reads printed formulas as a person would, and works them out.

The oracle for the explainer's notation: it knows nothing of expression trees, only the text.
Products bind from left to right with quotients (``a/b·c`` is ``(a/b)·c``), a number right before a
bracket, a name or a root multiplies it, and a sign binds less tightly than a power.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np
from scipy import special

FUNCTIONS = {
    "exp": np.exp, "ln": np.log, "log1p": np.log1p, "expm1": np.expm1, "tanh": np.tanh,
    "σ": special.expit, "relu": lambda x: max(x, 0.0), "sin": np.sin, "cos": np.cos,
    "tan": np.tan, "arctan": np.arctan, "erf": special.erf,
    "max": lambda *x: max(x), "min": lambda *x: min(x),
    "hypot": np.hypot, "logaddexp": np.logaddexp, "atan2": np.arctan2, "sign": np.sign,
    "sgn": np.sign, "rsqrt": lambda x: 1 / np.sqrt(x), "detach": lambda x: x, "cast": lambda x: x,
    "where": lambda c, a, b: a if c else b, "swish": lambda x: x * special.expit(x),
    "σ′": lambda x: special.expit(x) * special.expit(-x), "relu′": lambda x: float(x > 0),
    "logsumexp": lambda *x: special.logsumexp(x), "Π": lambda *x: math.prod(x),
    "Σ": lambda *x: sum(x), "softplus": lambda x: np.logaddexp(x, 0.0), "arcsin": np.arcsin,
    "tanh′": lambda x: 1 - np.tanh(x) ** 2, "square": lambda x: x * x,
}  # fmt: skip
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
NUMBER = r"\d+(?:\.\d+)?(?:e−?\d+)?|∞|NaN"
OPENING = {"(": ")", "[": "]", "⌊": "⌋", "⌈": "⌉"}


class UnreadableError(ValueError):
    """The text has an abbreviation that no reader could work out, such as ``…``."""


class Reader:
    """Works out one line of text."""

    def __init__(self, text: str, values: Mapping[str, float]) -> None:
        names = sorted((re.escape(each) for each in values), key=len, reverse=True)
        known = "|".join(rf"{each}(?![A-Za-z0-9_′₀-₉⁽⟨])" for each in names)
        functions = "|".join(
            sorted((re.escape(f"{each}(") for each in FUNCTIONS), key=len, reverse=True)
        )
        pattern = "|".join(
            f"(?P<{kind}>{each})"
            for kind, each in (
                ("name", known),
                ("function", functions),
                ("number", NUMBER),
                ("raised", "⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+"),
                ("sign", r"[−+·⊙/^√|()\[\],<>=≥≤≠¬∧∨⌊⌋⌈⌉]"),
                ("space", " +"),
            )
            if each
        )
        self.tokens: list[tuple[str, str]] = []
        place = 0
        for match in re.finditer(pattern, text):
            if match.start() != place:
                raise UnreadableError(f"{text[place : match.start()]!r} in {text!r}")
            place = match.end()
            if match.lastgroup != "space":
                self.tokens.append((str(match.lastgroup), match.group()))
        if place != len(text):
            raise UnreadableError(f"{text[place:]!r} in {text!r}")
        self.text, self.values, self.at = text, values, 0

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def take(self, text: str | None = None) -> tuple[str, str]:
        token = self.peek()
        if text is not None and token[1] != text:
            raise UnreadableError(f"{text!r} missing before {token[1]!r} in {self.text!r}")
        self.at += 1
        return token

    def whole(self) -> float:
        value = self.compared()
        if self.peek()[0] != "end":
            raise UnreadableError(f"{self.peek()[1]!r} is left over in {self.text!r}")
        return float(value)

    def compared(self) -> float:
        value = self.total()
        compare = {
            ">": value.__gt__, "<": value.__lt__, "=": value.__eq__, "≠": value.__ne__,
            "≥": value.__ge__, "≤": value.__le__,
        }  # fmt: skip
        while self.peek()[1] in compare or (self.peek()[1] in ("∧", "∨") and self.peek()[1]):
            sign = self.take()[1]
            if sign in compare:
                value = float(compare[sign](self.total()))
            else:
                other = self.compared()
                value = float((value and other) if sign == "∧" else (value or other))
        return value

    def total(self) -> float:
        value = self.product()
        while self.peek()[1] in ("+", "−"):
            sign = self.take()[1]
            if self.peek()[1] in ("−", "+"):
                raise UnreadableError(f"two signs in a row in {self.text!r}")
            other = self.product()
            value = value + other if sign == "+" else value - other
        return value

    def product(self) -> float:
        value = self.signed()
        while True:
            kind, text = self.peek()
            if text in ("·", "⊙", "/"):
                self.take()
                if self.peek()[1] in ("−", "+"):
                    raise UnreadableError(f"a sign right after {text} in {self.text!r}")
                other = self.signed()
                value = value * other if text != "/" else np.float64(value) / other
            elif text in ("(", "[", "√", "|", "⌊", "⌈") or kind in ("name", "function"):
                if text == "|" and self.inside_bars:
                    return value
                value = value * self.power()
            elif kind == "number":
                raise UnreadableError(f"two numbers side by side in {self.text!r}")
            else:
                return value

    inside_bars = 0

    def signed(self) -> float:
        if self.peek()[1] in ("−", "¬"):
            sign = self.take()[1]
            if self.peek()[1] in ("−", "+"):
                raise UnreadableError(f"two signs in a row in {self.text!r}")
            value = self.signed()
            return -value if sign == "−" else float(not value)
        return self.power()

    def power(self) -> float:
        value = self.atom()
        while self.peek()[1] == "^" or self.peek()[0] == "raised":
            kind, text = self.take()
            exponent = float(text.translate(RAISED)) if kind == "raised" else self.atom()
            value = np.float64(value) ** exponent
        return value

    def atom(self) -> float:
        kind, text = self.take()
        if kind == "number":
            special_names = {"∞": math.inf, "NaN": math.nan}
            return special_names.get(text) or float(text.replace("−", "-"))
        if kind == "name":
            return self.values[text]
        if kind == "function":
            arguments = [self.compared()]
            while self.peek()[1] == ",":
                self.take()
                arguments.append(self.compared())
            self.take(")")
            return float(FUNCTIONS[text[:-1]](*arguments))
        if text == "√":
            return float(np.sqrt(self.atom()))
        if text == "|":
            self.inside_bars += 1
            value = self.compared()
            self.inside_bars -= 1
            self.take("|")
            return abs(value)
        if text in OPENING:
            bars, self.inside_bars = self.inside_bars, 0
            value = self.compared()
            self.inside_bars = bars
            self.take(OPENING[text])
            round_ = {"⌊": math.floor, "⌈": math.ceil}.get(text)
            return float(round_(value)) if round_ else value
        raise UnreadableError(f"{text!r} has no meaning in {self.text!r}")


def read(text: str, values: Mapping[str, float] | None = None) -> float:
    """Work out a printed formula with the values of its names."""
    with np.errstate(all="ignore"):
        return Reader(text, values or {}).whole()
