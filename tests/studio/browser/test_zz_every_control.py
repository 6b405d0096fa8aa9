"""Runs last: every control that any test has seen on the page was used by some test."""

from __future__ import annotations

import pytest
from tests.studio.browser import controls

FILES = {"test_controls.py", "test_examples.py", "test_live.py", "test_page.py"}


def test_no_control_is_without_a_test(request: pytest.FixtureRequest) -> None:
    ran = {item.path.name for item in request.session.items}
    if not ran >= FILES or request.config.option.keyword:
        pytest.skip("only a part of the tests of the browser ran")
    assert len(controls.SEEN) > 80
    missing = sorted(controls.SEEN - controls.USED)
    assert not missing, "; ".join(missing)
