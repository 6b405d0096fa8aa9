"""Runs an example with scikit-learn's estimators and with Backlight's, and draws both sheets.

It takes the function that makes an example's panels and is given the module to take the
estimators from: that import is all that is swapped.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from pictures import Panel, sheet
from sklearn import neural_network
from sklearn.exceptions import ConvergenceWarning

from backlight import sklearn as estimators
from backlight.files import write_text

LIBRARIES = {"scikit-learn": neural_network, "Backlight": estimators}


def run(
    text: str,
    panels: Callable[[ModuleType], list[Panel]],
    title: str,
    *,
    columns: int,
    legend: Sequence[str] = (),
) -> int:
    """Run an example twice, say how long each took, and write the picture."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("--out", type=Path, help="the SVG file to write")
    given = parser.parse_args()
    # The examples stop early on purpose.
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows: list[tuple[str, list[Panel]]] = []
    scores = []
    for name, library in LIBRARIES.items():
        start = time.perf_counter()
        found = panels(library)
        print(f"{name}: {time.perf_counter() - start:.2f} s for {len(found)} pictures")
        scores.append([float(panel.note.split()[-1]) for panel in found if panel.note])
        for k in range(0, len(found), columns):
            rows.append((name if k == 0 else "", found[k : k + columns]))
    apart = max(abs(a - b) for a, b in zip(*scores, strict=True))
    print("The same scores." if apart == 0 else f"The scores differ by {apart:.2g} at most.")
    if given.out is not None:
        print(f"Written: {write_text(given.out, sheet(rows, title, legend))}")
    return 0
