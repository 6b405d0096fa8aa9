"""Who may talk to the studio: its own page on this machine, with the token, and nobody else.

Every request and every socket passes here first.  A page of another site cannot reach the studio,
because its Origin is another; a name that was made to point at this machine cannot, because the
Host is another; and another program on this machine cannot, because it lacks the token.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; worker-src 'self' blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; object-src 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
HOSTS = ("127.0.0.1", "localhost", "[::1]")
TOKEN_HEADER = "x-backlight-token"


@dataclass(frozen=True)
class Refusal:
    """Why somebody is turned away: the HTTP status, and a sentence."""

    status: int
    message: str


@dataclass(frozen=True)
class Guard:
    """Checks the Host, the Origin and the token.

    Attributes
    ----------
    token : str
    port : int
        The server's own.

    Examples
    --------
    >>> guard = Guard("secret", 8377)
    >>> guard.refuses({"host": "evil.example:8377"}, "secret", needs_token=True).status
    421
    >>> guard.refuses({"host": "127.0.0.1:8377"}, "secret", needs_token=True) is None
    True
    """

    token: str
    port: int

    def refuses(
        self, headers: Mapping[str, str], token: str | None, *, needs_token: bool
    ) -> Refusal | None:
        """Return why a request is turned away, or None when it is welcome.

        Parameters
        ----------
        headers : mapping
            With names in lower case.
        token : str or None
            From the address.
        needs_token : bool
        """
        if headers.get("host", "").lower() not in self._own():
            return Refusal(421, "The studio is only reached by the address that it printed.")
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in self._origins():
            return Refusal(403, "The studio does not talk to pages of other sites.")
        given = token or headers.get(TOKEN_HEADER) or ""
        if needs_token and not hmac.compare_digest(given.encode(), self.token.encode()):
            return Refusal(
                403,
                "The token of the address is missing or wrong; open the address that backlight "
                "studio has printed.",
            )
        return None

    def _own(self) -> frozenset[str]:
        named = {f"{host}:{self.port}" for host in HOSTS}
        return frozenset(named | set(HOSTS) if self.port == 80 else named)

    def _origins(self) -> frozenset[str]:
        return frozenset(f"http://{each}" for each in self._own())
