"""What the namespace says about itself, in the terms of the Python Array API standard.

Complex numbers are not supported: there are no complex dtypes, and functions that only make sense
for them (``conj``, ``imag``, ``real``) are left out.
"""

from __future__ import annotations

import numpy as np

from backlight.errors import UsageError
from backlight.functions.dtypes import isdtype
from backlight.functions.operands import check_device
from backlight.graph.primitive import Dtype

__array_api_version__ = "2024.12"


class NamespaceInfo:
    """Capabilities, devices and dtypes; complex numbers are not supported.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.__array_namespace_info__().default_device()
    'cpu'
    """

    def capabilities(self) -> dict[str, bool | int]:
        """Return what depends on the library.

        Boolean indexing and shapes that depend on values work outside of tracing.
        """
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """Return the only device."""
        return "cpu"

    def devices(self) -> list[str]:
        """Return all devices."""
        return ["cpu"]

    def default_dtypes(self, *, device: str | None = None) -> dict[str, Dtype]:
        """Return the dtypes that creation functions choose by themselves."""
        check_device("default_dtypes", device)
        return {
            "real floating": np.dtype(np.float64),
            "integral": np.dtype(np.int64),
            "indexing": np.dtype(np.int64),
        }

    def dtypes(
        self, *, device: str | None = None, kind: str | tuple[str, ...] | None = None
    ) -> dict[str, Dtype]:
        """Return the dtypes of a kind by name, by default all."""
        check_device("dtypes", device)
        names = ["bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))]
        every = {name: np.dtype(name) for name in (*names, "float32", "float64")}
        if kind is None:
            return every
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not all(isinstance(each, str) for each in kinds):
            raise UsageError(f"dtypes: kind is a string or a tuple of strings, not {kind!r}.")
        return {name: dtype for name, dtype in every.items() if isdtype(dtype, kinds)}


def __array_namespace_info__() -> NamespaceInfo:  # noqa: N807 (the standard's name)
    """Return what the standard lets programs ask of an array library.

    Examples
    --------
    >>> import backlight as bl
    >>> sorted(bl.__array_namespace_info__().dtypes(kind="real floating"))
    ['float32', 'float64']
    """
    return NamespaceInfo()
