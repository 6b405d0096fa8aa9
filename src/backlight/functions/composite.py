"""Functions made of several primitives, recorded under a scope of their own.

A composite shows as one box in drawings and one step in explanations, and can be opened.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from backlight.graph.scope import open_scope
from backlight.tensor import Tensor

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def composite(
    name: str | None = None,
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Record what a function does under a scope named after it.

    Parameters
    ----------
    name : str, optional
        What the box is called; the function's own name otherwise.

    Examples
    --------
    >>> import backlight as bl
    >>> @composite()
    ... def square_and_add(x, y):
    ...     return x**2 + y
    >>> square_and_add(bl.tensor(3.0), 1.0)
    Tensor(10.)
    """

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        label = name if name is not None else str(getattr(function, "__name__", "composite"))

        @functools.wraps(function)
        def run(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
            with open_scope(label, "composite") as scope:
                result = function(*arguments, **options)
            named: Any = result
            if isinstance(named, Tensor):
                scope.result = named.serial
            return result

        return run

    return decorate
