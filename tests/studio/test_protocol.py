"""docs/studio-protocol.md says what the server does: names of requests, fields, routes, limits."""

from __future__ import annotations

import re
from pathlib import Path

from backlight.studio.breakpoints import KINDS
from backlight.studio.catalogue import catalogue
from backlight.studio.config import Configuration
from backlight.studio.exports import EXPORTS
from backlight.studio.requests import HANDLERS
from backlight.studio.session import MESSAGE_LIMIT, UPLOAD_LIMIT, Session

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "docs" / "studio-protocol.md").read_text("utf-8")


def section(title: str) -> str:
    return TEXT.partition(f"{title}\n")[2].partition("\n## ")[0].partition("\n### ")[0]


def test_every_request_is_described_and_no_other() -> None:
    found = set(re.findall(r"^\| `(\w+)` \|", section("### Requests"), re.MULTILINE))
    assert found - {"do"} == set(HANDLERS)  # the heading of the table is `do`


def test_every_export_is_described_and_no_other() -> None:
    found = set(re.findall(r"^\| `(\w+)` \|", section("## Exports"), re.MULTILINE))
    assert found == set(EXPORTS)


def test_the_fields_of_a_configuration_are_listed() -> None:
    listed = set(re.findall(r'"(\w+)":', section("### A configuration").partition("```\n")[0]))
    assert set(Configuration().to_dict()) <= listed


def test_the_fields_of_the_state_and_the_catalogue_are_listed() -> None:
    session = Session(executor="reference")
    for title, made in (
        ("### The state", session.state()),
        ("### The catalogue", catalogue(session)),
    ):
        for field in made:
            assert f'"{field}"' in section(title), (title, field)
    for kind in KINDS:
        assert f'"kind": "{kind}"' in section("### Requests")


def test_the_limits_are_those_that_hold() -> None:
    assert f'"message": {MESSAGE_LIMIT}' in TEXT and f'"upload": {UPLOAD_LIMIT}' in TEXT
    assert f"at most {UPLOAD_LIMIT >> 20} MiB" in TEXT
