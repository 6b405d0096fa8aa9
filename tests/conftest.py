"""Hypothesis profiles for the tests.

HYPOTHESIS_PROFILE chooses one: `ci` (the default; the same examples on every run) or `fuzz`
(`make fuzz`; many more, and different ones on every run).
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Derandomized, so that a change is never blamed for an example that it did not cause.
settings.register_profile("ci", deadline=None, derandomize=True, max_examples=60, database=None)
settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=5_000,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
