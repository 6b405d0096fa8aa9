"""What a program will do, as data and as text: its kernels in order, its memory, what it costs.

The native executor's `describe` fills a `PlanDescription`; this is what people read and print.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

WIDTH = 100
COST = 62
"""The column in which costs begin."""

LONGEST = 120
"""Of longer lists the middle is left out."""


@dataclass(frozen=True, slots=True)
class ValueDescription:
    """A value that has memory.

    Attributes
    ----------
    name, shape, dtype : str
        The shape in words: ``32×10``, ``B×10`` for a batch of any length, ``number`` without axes.
    bytes : int
        Of a full batch.
    formula : str
        How it is computed; empty for an input or a constant.
    replaces : str
        The input whose memory it is written over; empty when it has its own.
    """

    name: str
    shape: str
    dtype: str
    bytes: int
    formula: str = ""
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class KernelDescription:
    """One pass over memory.

    Attributes
    ----------
    number : int
        From 1, in the order in which kernels run.
    what : str
        ``matrix product 32×784×256``, ``loop over 8,192 entries``.
    results : tuple of ValueDescription
        What it computes and stores.
    flops, reads, writes : int
        Multiplications and additions, and bytes, of a full batch.
    callback : bool
        Whether Python is called because there is no machine code for it.
    shared : bool
        Whether threads divide it among themselves.
    """

    number: int
    what: str
    results: tuple[ValueDescription, ...]
    flops: int
    reads: int
    writes: int
    callback: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True)
class PlaceDescription:
    """A place in the working memory, and what is there, one after the other.

    Attributes
    ----------
    offset, bytes : int
    buffers : tuple of str
        The names of the values, in the order of time.
    """

    offset: int
    bytes: int
    buffers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlanDescription:
    """What a program will do.

    Attributes
    ----------
    message : str
        Said instead of everything else when there is no plan.
    passes : str
        What simplification did, in words.
    inputs, constants, results : tuple of ValueDescription
    kernels : tuple of KernelDescription
    places : tuple of PlaceDescription
        The working memory.
    arena, workspace : int
        Bytes of the working memory, and of each thread's room for copies of operands.
    inlined, views : tuple of str
        Values without memory: computed where they are used, and seen in another value's memory.
    callbacks : tuple of str
        Operations for which Python is called.
    threads : int
    lengths : tuple of int
        The batch lengths that the program serves; empty without an iteration.
    flops, reads, writes : int
        Of all kernels together.
    """

    message: str = ""
    passes: str = ""
    inputs: tuple[ValueDescription, ...] = ()
    constants: tuple[ValueDescription, ...] = ()
    results: tuple[ValueDescription, ...] = ()
    kernels: tuple[KernelDescription, ...] = ()
    places: tuple[PlaceDescription, ...] = ()
    arena: int = 0
    workspace: int = 0
    inlined: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    callbacks: tuple[str, ...] = ()
    threads: int = 1
    lengths: tuple[int, ...] = ()
    flops: int = 0
    reads: int = 0
    writes: int = 0

    def __str__(self) -> str:
        return self.message or plan_text(self)

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        """Return the same as plain data: numbers, texts, and lists and dictionaries of them."""
        if self.message:
            return {"message": self.message}
        found = asdict(self)
        del found["message"]
        return found


def plan_text(plan: PlanDescription) -> str:
    """Write a description as text.

    Parameters
    ----------
    plan : PlanDescription

    Returns
    -------
    str
        Lines of at most 100 characters, but for names that are longer.
    """
    usual = _usual_dtype(plan)
    return "\n".join(
        [
            *_summary(plan, usual),
            "",
            "Kernels, in order",
            *_shortened([_kernel(each, usual) for each in plan.kernels]),
            *_memory(plan, usual),
        ]
    )


def _usual_dtype(plan: PlanDescription) -> str:
    """The dtype that most bytes have; only others are named."""
    weight: Counter[str] = Counter()
    for value in (*plan.inputs, *(each for kernel in plan.kernels for each in kernel.results)):
        weight[value.dtype] += value.bytes
    return weight.most_common(1)[0][0] if weight else "float64"


def bytes_text(count: int) -> str:
    """Write a number of bytes with two or three digits.

    Examples
    --------
    >>> [bytes_text(n) for n in (0, 8, 999, 1000, 33_000, 1_064_960)]
    ['0 B', '8 B', '999 B', '1.0 kB', '33 kB', '1.1 MB']
    """
    return _scaled(count, ("B", "kB", "MB", "GB", "TB"))


def flops_text(count: int) -> str:
    """Write a number of operations.

    Examples
    --------
    >>> flops_text(12_845_056), flops_text(320)
    ('12.8 Mflop', '320 flop')
    """
    if count >= 10_000_000 and count < 1_000_000_000:
        return f"{count / 1e6:.1f} Mflop"
    return _scaled(count, ("flop", "kflop", "Mflop", "Gflop", "Tflop"))


def _scaled(count: int, units: Sequence[str]) -> str:
    if count < 1000:
        return f"{count} {units[0]}"
    number = float(count)
    largest = 0
    while number >= 999.5 and largest + 1 < len(units):
        number /= 1000
        largest += 1
    return f"{number:.1f} {units[largest]}" if number < 9.95 else f"{number:.0f} {units[largest]}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _summary(plan: PlanDescription, usual: str) -> list[str]:
    def held(values: Sequence[ValueDescription], what: str, further: str = "") -> str:
        size = bytes_text(sum(each.bytes for each in values))
        return f"{_count(len(values), what)} ({size}{further})"

    costs = f"{flops_text(plan.flops)}, reads {bytes_text(plan.reads)}"
    lines = [f"{_count(len(plan.kernels), 'kernel')}: {costs}, writes {bytes_text(plan.writes)}"]
    here = sum(bool(each.replaces) for each in plan.results)
    values = [held(plan.inputs, "input")]
    if plan.constants:
        values.append(held(plan.constants, "constant"))
    values.append(held(plan.results, "result", f", {here:,} in place" if here else ""))
    values.append(f"working memory {bytes_text(plan.arena)}")
    lines.append(", ".join(values))
    shared = sum(each.shared for each in plan.kernels)
    if plan.threads > 1 and shared:
        lines.append(f"{plan.threads} threads, which divide {shared:,} of the kernels")
    else:
        lines.append("one thread")
    lines[-1] += f"; {usual} where nothing else is said"
    if len(plan.lengths) > 1:
        lengths = " or ".join(map(str, plan.lengths))
        lines.append(f"B is the batch length, {lengths}; costs are those of {plan.lengths[0]}")
    if plan.passes:
        lines += textwrap.wrap(plan.passes, WIDTH, subsequent_indent="  ")
    if plan.callbacks:
        lines.append(f"Python is called in every run, for {', '.join(plan.callbacks)}")
    return lines


def _kernel(kernel: KernelDescription, usual: str) -> str:
    work = flops_text(kernel.flops) if kernel.flops else ""
    costs = f"{work:>11}  {bytes_text(kernel.reads):>7} → {bytes_text(kernel.writes)}"
    what = kernel.what + (", by all threads" if kernel.shared else "")
    lines = [f"{kernel.number:4}  {what:<{COST - 6}}{costs}"]
    for each in kernel.results:
        place = "  (in place)" if each.replaces else ""
        lines += textwrap.wrap(
            f"{each.name}{_kind(each, usual)} = {each.formula}{place}",
            WIDTH,
            initial_indent=" " * 8,
            subsequent_indent=" " * 12,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def _kind(value: ValueDescription, usual: str) -> str:
    """Write shape and dtype, but for what is usual: `` [32×10]``, `` [float64]``."""
    parts = [] if value.shape == "number" else [value.shape]
    if value.dtype != usual:
        parts.append(value.dtype)
    return f" [{' '.join(parts)}]" if parts else ""


def _shortened(lines: list[str]) -> list[str]:
    if len(lines) <= LONGEST:
        return lines
    half = LONGEST // 2
    return [*lines[:half], f"   …  {len(lines) - 2 * half:,} more", *lines[-half:]]


def _memory(plan: PlanDescription, usual: str) -> list[str]:
    lines = []
    buffers = sum(len(each.buffers) for each in plan.places)
    if buffers:
        lines += ["", "Working memory: where it begins, its size, and what is there in turn"]
        lines += _shortened([_place(each) for each in plan.places])
    if plan.workspace:
        room = bytes_text(plan.workspace)
        lines += ["", f"Each thread has {room} more: for parts of matrices, and for addresses."]
    inlined = [
        f"{len(values):,} {what}"
        for values, what in (
            (plan.inlined, "computed where they are used"),
            (plan.views, "seen in the memory of another one"),
        )
        if values
    ]
    if inlined:
        lines += ["", f"Values without memory: {', '.join(inlined)}."]
    for title, values in (("Inputs", plan.inputs), ("Constants", plan.constants)):
        if values:
            lines += ["", title]
            lines += _shortened(
                [f"  {bytes_text(v.bytes):>8}  {v.name}{_kind(v, usual)}" for v in values]
            )
    return lines


def _place(place: PlaceDescription) -> str:
    return "\n".join(
        textwrap.wrap(
            " → ".join(place.buffers),
            WIDTH,
            initial_indent=f"  {place.offset:>12,}  {bytes_text(place.bytes):>8}  ",
            subsequent_indent=" " * 26,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )
