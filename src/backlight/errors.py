"""The exceptions that Backlight raises.

Every message is one sentence that names the thing, the place and the remedy.  All of them derive
from `BacklightError`, so that a program (and the command line) can tell a mistake in what was
asked from a defect.
"""

from __future__ import annotations


class BacklightError(Exception):
    """The base of every exception that Backlight raises on purpose."""


class ShapeError(BacklightError, ValueError):
    """Shapes that do not fit together, or an axis or index out of range."""


class DtypeError(BacklightError, TypeError):
    """Data types that do not mix, or one that an operation does not accept."""


class GraphError(BacklightError, ValueError):
    """A graph that is not well formed: a dangling input, wrong order, a wrong shape."""


class GradientError(BacklightError, ValueError):
    """A derivative that cannot be taken, and why."""


class MissingRuleError(BacklightError, NotImplementedError):
    """A primitive lacks the rule that was needed; the message names both."""


class TracedValueError(BacklightError, TypeError):
    """A value was asked of a tensor that has none because its function is being traced."""


class UnknownNameError(BacklightError, LookupError):
    """A parameter, primitive, data set or option that does not exist."""


class FormulaError(BacklightError, ValueError):
    """A typed formula that does not parse or names something unknown."""


class DataError(BacklightError, ValueError):
    """A data file or array that cannot be used: the file, the place in it and the remedy."""


class TrainingError(BacklightError, RuntimeError):
    """Training had to stop, for instance because the loss is no longer finite."""


class OutOfMemoryError(BacklightError, MemoryError):
    """More memory than there is, found out before anything ran."""


class RunError(BacklightError, ValueError):
    """A stored run that is missing, damaged or does not fit the request."""


class UsageError(BacklightError, ValueError):
    """An argument that has no meaning where it was given."""


class BacklightWarning(UserWarning):
    """Something that deserves to be said aloud, once, but does not stop the work."""
