"""Named regions of a computation: modules (``layers.0``) and composites (``softmax``).

Whatever is recorded while a scope is open carries it, so that explanations and drawings can fold
the region into one box or open it.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Literal

from backlight.source import call_site

ScopeKind = Literal["module", "composite", "backward"]


class Scope:
    """One entry into a named region; every call opens a new one.

    Attributes
    ----------
    name : str
        What the region is called, ``layers.0`` or ``softmax``.
    kind : {"module", "composite", "backward"}
        A module of a network, a function made of primitives, or a backward pass.
    parent : Scope or None
        The region around this one.
    result : int
        Serial number of the tensor that the region returned; -1 while it is open.
    site : Site or None
        The place in the user's code that was running when the region was entered.
    """

    __slots__ = ("kind", "name", "parent", "result", "site")

    def __init__(self, name: str, kind: ScopeKind, parent: Scope | None) -> None:
        self.name = name
        self.kind: ScopeKind = kind
        self.parent = parent
        self.result = -1
        self.site = call_site()

    def chain(self) -> tuple[Scope, ...]:
        """Return the scopes from the outermost to this one."""
        found: list[Scope] = []
        scope: Scope | None = self
        while scope is not None:
            found.append(scope)
            scope = scope.parent
        return tuple(reversed(found))

    @property
    def path(self) -> str:
        """The names from the outermost scope inwards, joined by ``/``."""
        return "/".join(scope.name for scope in self.chain() if scope.name)

    def __repr__(self) -> str:
        return f"Scope({self.path!r}, {self.kind})"


_current: ContextVar[Scope | None] = ContextVar("backlight_scope", default=None)

current_scope = _current.get
"""Return the innermost open scope, or None."""


class open_scope:  # noqa: N801 (used like a function: ``with open_scope(...)``)
    """Record everything inside the ``with`` block under a new scope.

    Parameters
    ----------
    name : str
    kind : {"module", "composite", "backward"}
    """

    __slots__ = ("_kind", "_name", "_token")

    def __init__(self, name: str, kind: ScopeKind) -> None:
        self._name = name
        self._kind: ScopeKind = kind
        self._token: Token[Scope | None] | None = None

    def __enter__(self) -> Scope:
        scope = Scope(self._name, self._kind, _current.get())
        self._token = _current.set(scope)
        return scope

    def __exit__(self, *error: object) -> None:
        if self._token is not None:
            _current.reset(self._token)
