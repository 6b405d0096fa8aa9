"""What an operation must say about itself: the record of a primitive.

Every room of Backlight (evaluation, differentiation, explanation, drawing, compilation) asks the
record and nothing else, so a primitive is added by writing one `Primitive` and registering it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from backlight.errors import MissingRuleError
from backlight.graph.notation import Form, function

Array = np.ndarray[Any, np.dtype[Any]]
"""An array of the array library that evaluates; a NumPy array unless said otherwise."""

Dtype = np.dtype[Any]
Shape = tuple[int, ...]
Attributes = Mapping[str, Any]
"""Static arguments of a primitive: axes, shapes, labels.  Hashable values only."""

NO_ATTRIBUTES: Attributes = MappingProxyType({})


class Kind(StrEnum):
    """The few ways in which operations move data; each is handled once in every room."""

    LEAF = "leaf"  #: a value from outside: parameter, input or constant
    ELEMENTWISE = "elementwise"  #: each output entry from the broadcast entries at its place
    REDUCE = "reduce"  #: each output entry from all entries along some axes
    SCAN = "scan"  #: each output entry from the entries before it along one axis
    CONTRACT = "contract"  #: sums of products over shared axes
    MOVE = "move"  #: each output entry is one input entry or a fill value
    INDEX = "index"  #: entries chosen, or added up, by integer positions in another input
    RANDOM = "random"  #: pseudo-random numbers from a seed and a counter
    CUSTOM = "custom"  #: a user's own function


class Spec(NamedTuple):
    """The shape and dtype of a value, without the value."""

    shape: Shape
    dtype: Dtype

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


class Operand(Protocol):
    """What a derivative rule may do with a tensor: arithmetic, which builds graph nodes."""

    @property
    def shape(self) -> Shape: ...
    @property
    def dtype(self) -> Dtype: ...
    @property
    def ndim(self) -> int: ...
    @property
    def spec(self) -> Spec: ...
    @property
    def inputs(self) -> tuple[Self, ...]: ...
    @property
    def attributes(self) -> Attributes: ...
    @property
    def constant(self) -> float | None: ...
    def record(
        self, primitive: Primitive, inputs: Sequence[Any], attributes: Attributes
    ) -> Self: ...
    def __neg__(self) -> Self: ...
    def __add__(self, other: Any, /) -> Self: ...
    def __radd__(self, other: Any, /) -> Self: ...
    def __sub__(self, other: Any, /) -> Self: ...
    def __rsub__(self, other: Any, /) -> Self: ...
    def __mul__(self, other: Any, /) -> Self: ...
    def __rmul__(self, other: Any, /) -> Self: ...
    def __truediv__(self, other: Any, /) -> Self: ...
    def __rtruediv__(self, other: Any, /) -> Self: ...
    def __pow__(self, other: Any, /) -> Self: ...


Partial = Callable[..., Any]
"""``partial(output, *inputs, **attributes)`` returns the local derivative as a tensor or number."""

Transpose = Callable[..., Any]
"""``transpose(upstream, output, *inputs, **attributes)`` returns the contribution to one input."""


def always(*values: Any) -> bool:
    """Watch the operation at all values."""
    return True


@dataclass(frozen=True, slots=True)
class Kink:
    """Where an operation has no derivative, and what is taken there.

    Attributes
    ----------
    at : callable
        ``at(xp, *values, **attributes)`` returns a Boolean array: True at a kink or a jump.
    convention : str
        The derivative that is used there, in words.
    """

    at: Callable[..., Array]
    convention: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Algebraic facts that a simplifier may use.

    All of them hold bit for bit, for NaN, infinities and both zeros too (one NaN counts as any
    other), but for ``associative`` and ``inverse``, which hold for real numbers only.

    Attributes
    ----------
    commutative, associative : bool
        Of a two-operand operation.
    left_identity, right_identity : float or None
        The operand that leaves the other one as it is, the sign of a zero included.
    inverse : str or None
        Name of the primitive that undoes this one everywhere on its range.
    involution : bool
        Applying it twice, with the same attributes, gives the operand back.
    idempotent : bool
        Of one operand: applying it twice is the same as once.  Of two: with equal operands it
        gives the operand.  Of a reduction: of equal entries, at least one, it gives the entry.
    transparent : bool
        The result is the only operand.
    keeps_positive : bool
        The result is greater than 0 exactly where the only operand is.
    """

    commutative: bool = False
    associative: bool = False
    left_identity: float | None = None
    right_identity: float | None = None
    inverse: str | None = None
    involution: bool = False
    idempotent: bool = False
    transparent: bool = False
    keeps_positive: bool = False


NO_FACTS = Facts()


@dataclass(frozen=True, slots=True)
class Fold:
    """How compiled code reduces: entry by entry into an accumulator, in order.

    Attributes
    ----------
    start : callable
        ``start(dtype)`` returns the accumulator's first value.
    combine : callable
        ``combine(emitter, so_far, entry)`` returns the next one.  For a position it returns
        whether the entry is better than the best so far.
    position : bool
        The result is the place of the best entry, not its value.
    """

    start: Callable[[Dtype], float | int | bool]
    combine: Callable[..., Any]
    position: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Primitive:
    """The record of one primitive operation.

    Attributes
    ----------
    name : str
        The operation's name, unique in the registry.
    kind : Kind
        How it moves data.
    specify : callable
        ``specify(*specs, **attributes)`` returns the `Spec` of the result or raises.
    evaluate : callable
        ``evaluate(xp, *values, **attributes)`` computes the value with the array namespace ``xp``.
    partials : tuple of callable or None
        One rule per input that builds the local derivative: entry by entry for an elementwise
        operation, of the input's shape for a reduction.  None where none flows.
    transposes : tuple of callable or None
        One rule per input in which the operation is linear: it carries the upstream gradient
        back.  The forward-mode rule of a linear input is the operation itself.
    formula : Form
        How it is written.
    symbol : str
        The letter for an unnamed result in derivations (``s`` for a sum, ``p`` for a product).
    domain : str
        Where the operation is defined, in words; empty for everywhere.
    special : tuple of (arguments, result)
        Values that the operation must give exactly, infinities and NaN among them.
    kink : Kink or None
        Where it has no derivative, and the convention there.
    facts : Facts
        Algebraic facts.
    variadic : bool
        It takes any number of inputs, and the first rule serves for each; the rule then gets
        ``position=``.
    careful : callable or None
        ``careful(*values)`` tells whether the operation could make a non-finite value out of
        these finite ones, for reasons other than sheer size; recording then watches it and says
        so once.
    stops_gradient : str
        Why no gradient passes, in words; empty when gradients pass or no derivative exists.
    onnx : str or None
        The ONNX operator of the same meaning.
    to_onnx : callable or None
        ``to_onnx(emitter, *operands, **attributes)`` writes the operation as ONNX nodes with the
        methods of an emitter; needed where it is not one node of `onnx` on the same operands.
    lower : callable or None
        ``lower(emitter, *scalars, **attributes)`` computes one entry in native code with the
        methods of an emitter; of elementwise and random primitives only.
    fold : Fold or None
        How native code reduces; of reductions only.
    description : str
        One sentence for people.
    pure : bool
        The same operands and attributes always give the same value and nothing else happens, so
        that a computation may be shared or done ahead of time.
    differentiable : bool
        Whether a gradient can flow through any input.
    """

    name: str
    kind: Kind
    specify: Callable[..., Spec]
    evaluate: Callable[..., Array]
    partials: tuple[Partial | None, ...] | None = None
    transposes: tuple[Transpose | None, ...] | None = None
    formula: Form | None = None
    symbol: str = "v"
    domain: str = ""
    special: tuple[tuple[tuple[float, ...], float], ...] = ()
    kink: Kink | None = None
    facts: Facts = NO_FACTS
    variadic: bool = False
    careful: Callable[..., bool] | None = None
    stops_gradient: str = ""
    onnx: str | None = None
    to_onnx: Callable[..., Any] | None = None
    lower: Callable[..., Any] | None = None
    fold: Fold | None = None
    description: str = ""
    pure: bool = True
    differentiable: bool = field(init=False)

    def __post_init__(self) -> None:
        rules = (*(self.partials or ()), *(self.transposes or ()))
        # Asked at every recorded operation, so it is worked out once.
        object.__setattr__(self, "differentiable", any(rule is not None for rule in rules))

    def __call__(self, first: Any, *rest: Any, **attributes: Any) -> Any:
        """Record the operation on operands, at least one of which is a tensor."""
        operands = (first, *rest)
        for operand in operands:
            if hasattr(operand, "record"):
                return operand.record(self, operands, attributes or NO_ATTRIBUTES)
        raise MissingRuleError(
            f"{self.name} was called without a tensor; wrap one of its operands in bl.tensor."
        )

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    @property
    def form(self) -> Form:
        """The formula, or the name called like a function when none is given."""
        return self.formula if self.formula is not None else function(self.name)

    def partial(self, position: int) -> Partial | None:
        """Return the local-derivative rule of one input, or None."""
        return self._rule(self.partials, position)

    def transpose(self, position: int) -> Transpose | None:
        """Return the transposition rule of one linear input, or None."""
        return self._rule(self.transposes, position)

    def _rule(
        self, rules: tuple[Callable[..., Any] | None, ...] | None, position: int
    ) -> Callable[..., Any] | None:
        if rules is None:
            return None
        if self.variadic:
            return rules[0]
        return rules[position] if position < len(rules) else None

    def flows(self, position: int) -> bool:
        """Tell whether a gradient flows to an input."""
        return self.partial(position) is not None or self.transpose(position) is not None


class Registry:
    """The primitives by name: the only table in Backlight that grows at run time."""

    def __init__(self) -> None:
        self._records: dict[str, Primitive] = {}

    def add(self, primitive: Primitive) -> Primitive:
        """Register a primitive under its name and return it."""
        if primitive.name in self._records:
            raise MissingRuleError(
                f"A primitive named {primitive.name!r} exists already; choose another name."
            )
        self._records[primitive.name] = primitive
        return primitive

    def remove(self, name: str) -> None:
        """Forget a primitive, so that a test can leave the registry as it was."""
        del self._records[name]

    def view(self) -> Mapping[str, Primitive]:
        """Return a read-only view of the primitives by name."""
        return MappingProxyType(self._records)


REGISTRY = Registry()
