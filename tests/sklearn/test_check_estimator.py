"""Every check that scikit-learn has for estimators, on both executors."""

from __future__ import annotations

import os
from typing import Any

import pytest

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import check_estimator

from backlight.sklearn import MLPClassifier, MLPRegressor

# What is not tried, and why.  Nothing is expected to fail.
SKIPPED = {
    "check_array_api_input": "needs the environment variable SCIPY_ARRAY_API",
    "check_classifiers_multilabel_output_format_decision_function": "there is no "
    "decision_function, as in scikit-learn's own classifier",
}


def complaints(estimator: Any) -> list[str]:
    """Return the checks that did not pass, the known ones aside."""
    found = []
    for each in check_estimator(estimator, on_fail=None, on_skip=None):
        name, status = each["check_name"], each["status"]
        if name == "check_array_api_input" and os.environ.get("SCIPY_ARRAY_API"):
            assert status == "passed"
        if status == "passed" or (status == "skipped" and name in SKIPPED):
            continue
        found.append(f"{name} {status}: {each['exception']}")
    return found


pytestmark = pytest.mark.filterwarnings("ignore")  # many checks give a fit too little time


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_all_checks_pass(kind: type) -> None:
    # The numbers of iterations are those that scikit-learn tries its own estimators with.
    assert complaints(kind(max_iter=100, executor="reference")) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_all_checks_pass_as_made(kind: type) -> None:
    assert complaints(kind()) == []
