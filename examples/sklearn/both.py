"""Runs an example with scikit-learn's estimators and with Backlight's, and draws both sheets.

It takes the function that makes an example's panels and is given the module to take the
estimators from: that import is all that is swapped.  Each library runs it twice, in turn: in its
first run Backlight makes its programs, or loads those that an earlier process has left on disk.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import platformdirs
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
    """Run an example with both, say how long each took, and write the picture."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("--out", type=Path, help="the SVG file to write")
    given = parser.parse_args()
    # The examples stop early on purpose.
    warnings.simplefilter("ignore", ConvergenceWarning)
    # What scikit-learn loads when it is first used belongs to neither.
    neural_network.MLPClassifier(max_iter=1).fit([[0.0], [1.0]], [0, 1])
    before = kept_on_disk()
    seconds: dict[str, list[float]] = {name: [] for name in LIBRARIES}
    found: dict[str, list[Panel]] = {}
    for _ in range(2):
        for name, library in LIBRARIES.items():
            start = time.perf_counter()
            found[name] = panels(library)
            seconds[name].append(time.perf_counter() - start)
    for name, (first, again) in seconds.items():
        print(f"{name}: {first:.2f} s, again {again:.2f} s for {len(found[name])} pictures")
    new = kept_on_disk() - before
    how = "was compiled, and is kept on disk" if new else "was found on disk, or not needed"
    print(f"What Backlight's first run needed of machine code {how}.")
    scores = [[float(p.note.split()[-1]) for p in each if p.note] for each in found.values()]
    apart = max(abs(a - b) for a, b in zip(*scores, strict=True))
    print("The same scores." if apart == 0 else f"The scores differ by {apart:.2g} at most.")
    if given.out is not None:
        rows = [
            (name if k == 0 else "", each[k : k + columns])
            for name, each in found.items()
            for k in range(0, len(each), columns)
        ]
        print(f"Written: {write_text(given.out, sheet(rows, title, legend))}")
    return 0


def kept_on_disk() -> set[str]:
    """Name the files of machine code that Backlight keeps.

    `backlight.execute.native.cache` knows the folder, but loading it here would take from
    Backlight's first run what belongs there.
    """
    chosen = os.environ.get("BACKLIGHT_CACHE_DIR") or platformdirs.user_cache_dir("backlight")
    folder = Path(chosen) / "native"
    return {each.name for each in folder.iterdir()} if folder.exists() else set()
