"""What can be chosen on the page: examples, data sets, options of a training, exports, limits."""

from __future__ import annotations

from backlight.formula import function_names
from backlight.report.payload import LISTED
from backlight.studio.asking import Json
from backlight.studio.config import (
    ACTIVATIONS,
    LOSSES,
    MOST_LAYERS,
    MOST_PARAMETERS,
    OPTIMIZERS,
    WIDEST,
    Configuration,
)
from backlight.studio.session import MESSAGE_LIMIT, UPLOAD_LIMIT, Session
from backlight.studio.tour import CHAPTERS

EXPORTS = ("html", "svg", "tex", "csv", "json", "py")


def catalogue(session: Session) -> Json:
    """List what can be chosen."""
    sets: list[Json] = [
        {"name": "digits", "kind": "classification", "features": 64, "rows": 1797, "image": [8, 8]},
        {"name": "penguins", "kind": "classification", "features": 4, "rows": 342, "image": None},
        *(
            {"name": name, "kind": "classification", "features": 2, "rows": rows, "image": None}
            for name, rows in (("xor", 200), ("spiral", 300), ("moons", 200), ("circles", 200))
        ),
        {"name": "sine", "kind": "regression", "features": 1, "rows": 200, "image": None},
    ]
    for name, dataset in session.uploads.items():
        sets.append(
            {
                "name": name,
                "title": dataset.name,
                "kind": dataset.task,
                "features": len(dataset.feature_names),
                "rows": len(dataset),
                "image": None,
            }
        )
    return {
        "examples": [each.describe() for each in CHAPTERS.values()],
        "data": sets,
        "activations": list(ACTIVATIONS),
        "optimizers": list(OPTIMIZERS),
        "losses": ["auto", *LOSSES],
        "functions": list(function_names()),
        "exports": list(EXPORTS),
        "limits": {
            "message": MESSAGE_LIMIT,
            "upload": UPLOAD_LIMIT,
            "layers": MOST_LAYERS,
            "width": WIDEST,
            "parameters": MOST_PARAMETERS,
            "listed": LISTED,
            "drawn": 300,
        },
        "config": Configuration().to_dict(),
    }
