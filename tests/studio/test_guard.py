"""Who may talk to the studio."""

from __future__ import annotations

import pytest

from backlight.studio.guard import Guard

GUARD = Guard("secret", 8377)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8377", "localhost:8377", "[::1]:8377", "LOCALHOST:8377"]
)
def test_its_own_page_is_welcome(host: str) -> None:
    headers = {"host": host, "origin": f"http://{host}"}
    assert GUARD.refuses(headers, "secret", needs_token=True) is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "evil.example"},
        {"host": "evil.example:8377"},
        {"host": "127.0.0.1:80"},
        {"host": "127.0.0.1.evil.example:8377"},
        {"host": "localhost"},
    ],
)
def test_another_host_is_turned_away(headers: dict[str, str]) -> None:
    refusal = GUARD.refuses(headers, "secret", needs_token=True)
    assert refusal is not None and refusal.status == 421


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "https://127.0.0.1:8377", "http://127.0.0.1:1", "null", "file://"],
)
def test_another_origin_is_turned_away(origin: str) -> None:
    headers = {"host": "127.0.0.1:8377", "origin": origin}
    refusal = GUARD.refuses(headers, "secret", needs_token=True)
    assert refusal is not None and refusal.status == 403


@pytest.mark.parametrize("token", [None, "", "Secret", "secret ", "sécret"])
def test_a_wrong_token_is_turned_away(token: str | None) -> None:
    refusal = GUARD.refuses({"host": "127.0.0.1:8377"}, token, needs_token=True)
    assert refusal is not None and refusal.status == 403
    assert GUARD.refuses({"host": "127.0.0.1:8377"}, token, needs_token=False) is None


def test_the_token_may_come_as_a_header() -> None:
    headers = {"host": "127.0.0.1:8377", "x-backlight-token": "secret"}
    assert GUARD.refuses(headers, None, needs_token=True) is None
