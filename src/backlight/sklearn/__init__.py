"""Estimators with scikit-learn's names and meanings, trained by Backlight.

Changing the import is enough: ``from backlight.sklearn import MLPClassifier, MLPRegressor``.
"""

from __future__ import annotations

try:
    import sklearn as _sklearn  # noqa: F401  # to say what is missing before anything needs it
except ImportError:
    raise ImportError(
        "backlight.sklearn needs the extra 'sklearn': pip install 'backlight[sklearn]'."
    ) from None

from backlight.sklearn.classifier import MLPClassifier
from backlight.sklearn.regressor import MLPRegressor
from backlight.sklearn.training import DivergedError

__all__ = ["DivergedError", "MLPClassifier", "MLPRegressor"]
