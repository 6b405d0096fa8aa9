"""The native executor: a graph as one machine-code function."""

from __future__ import annotations

import ctypes
import math
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from backlight.errors import BacklightWarning, ShapeError
from backlight.execute.iteration import Iteration
from backlight.execute.native.batch import Merged, NotOneProgramError, merge
from backlight.execute.native.build import Built, build
from backlight.execute.native.cores import granted_cores, usual_threads
from backlight.execute.native.effort import WORTH_SHARING
from backlight.execute.native.key import program_key
from backlight.execute.native.lowered import LOOP, MAIN, OUT_OF_RANGE, Lowered
from backlight.execute.native.plan import Plan, make_plan
from backlight.execute.native.room import aligned
from backlight.execute.native.storage import Storage, can_lower
from backlight.execute.native.together import run_team
from backlight.execute.reference import Program
from backlight.graph.graph import Graph
from backlight.graph.primitive import Array

if TYPE_CHECKING:
    from llvmlite import ir

_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_int32)
_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_int64
_MAIN = ctypes.CFUNCTYPE(
    ctypes.c_int32, _POINTER, _POINTER, _CALLBACK, _SIZE, _SIZE, _SIZE, _POINTER
)
_LOOP = ctypes.CFUNCTYPE(
    _SIZE, *(_POINTER, _POINTER, _CALLBACK, _POINTER, _POINTER, _POINTER), _SIZE, _POINTER,
    _SIZE, _SIZE, _POINTER,
)  # fmt: skip

WORTH_A_TEAM = 1e-4
"""Seconds on one thread below which a program is left to one thread."""

WORTH_A_THREAD = 4e-5
"""Seconds of divisible work that each thread should have."""


class NativeProgram:
    """A graph made ready to run as machine code; the counterpart of the reference's `Program`.

    Parameters
    ----------
    graph : Graph
    iteration : Iteration, optional
        How the graph is run over and over; `iterate` then does so.
    threads : int, optional
        How many threads may run it; chosen by its size and the cores granted when not given.

    Examples
    --------
    >>> import backlight as bl
    >>> program = NativeProgram(bl.trace(lambda w, x: (w * x - 2.0) ** 2, 1.0, 1.0))
    >>> program.run([3.0, 2.0])
    [array(16.)]
    """

    def __init__(
        self, graph: Graph, iteration: Iteration | None = None, threads: int | None = None
    ) -> None:
        self.graph = graph
        self.passes = ""  # what simplification did before, in words
        self.iteration = iteration
        self.reference = Program(graph)
        self.merged = _merged(graph, iteration)
        planned = graph if self.merged is None else self.merged.graph
        other = {} if self.merged is None else self.merged.other
        carried = () if iteration is None else iteration.carried
        self.plan: Plan = make_plan(
            planned, [(graph.outputs[out], graph.inputs[into]) for out, into in carried], other
        )
        self._batch = 0 if self.merged is None else self.merged.full
        if self.merged is not None and self._calls_back():
            # Python sees whole batches only.
            self.merged, self._batch = None, 0
            self.plan = make_plan(
                graph, [(graph.outputs[out], graph.inputs[into]) for out, into in carried]
            )
        self.built: Built = self._build()
        self.lowered = Lowered(None, **self.built.notes)
        self.threads = self._choose_threads(threads)
        self.library = self.built.library
        self._main = self.library.function(MAIN, _MAIN)
        self._loop = None if iteration is None else self.library.function(LOOP, _LOOP)
        # The function works in one arena, so that two threads take turns.
        self._lock = threading.Lock()
        room = self.plan.arena + self.lowered.workspace * self.threads
        self._arena = aligned(max(room, 1), "The compiled program")
        self._constants = {
            k: np.ascontiguousarray(graph.nodes[k].attributes["value"].array)
            for k in self.lowered.arguments
            if self.plan.storage.get(k) is Storage.CONSTANT
        }
        self._others = {k: np.ascontiguousarray(each) for k, each in other.items()}
        self._say_callbacks()

    @property
    def lengths(self) -> tuple[int, ...]:
        """The numbers of rows that a run of `iterate` may gather."""
        if self.merged is not None:
            return (self.merged.full, self.merged.ragged)
        return () if self.iteration is None else (self.iteration.length,)

    @property
    def seconds(self) -> float:
        """About how long a run takes on one thread."""
        return self.lowered.seconds

    def _calls_back(self) -> bool:
        """Whether Python is called back for a node."""
        nodes = self.plan.graph.nodes
        return any(not can_lower(nodes[members[0]]) for members in self.plan.groups)

    def _build(self) -> Built:
        """Return the machine code, lowered and compiled only if it is not kept."""

        def write() -> tuple[ir.Module, Mapping[str, Any]]:
            # Here, because it takes a while to load, and code that is kept needs none of it.
            from backlight.execute.native.lower import lower

            lowered = lower(self.plan, self.iteration, self._batch, WORTH_SHARING)
            notes = {each.name: getattr(lowered, each.name) for each in fields(lowered)}
            return notes.pop("module"), notes

        key = program_key(self.plan.graph, self.plan, self.iteration, self._batch, WORTH_SHARING)
        return build(key, write)

    def _choose_threads(self, asked: int | None) -> int:
        if asked is not None:
            return max(min(asked, granted_cores()), 1)
        lowered = self.lowered
        if lowered.seconds < WORTH_A_TEAM or lowered.divisible < lowered.seconds / 2:
            return 1
        return max(min(usual_threads(), int(lowered.divisible / WORTH_A_THREAD)), 1)

    @property
    def iterates(self) -> bool:
        """Whether `iterate` can be called."""
        return self._loop is not None

    def __repr__(self) -> str:
        return f"<native program of {len(self.plan.kernels)} kernels>"

    def _say_callbacks(self) -> None:
        names = sorted({self.graph.nodes[k].primitive.name for k in self.lowered.callbacks})
        if names:
            warnings.warn(
                f"No machine code is made for {', '.join(names)}, so Python is called back for "
                f"{'it' if len(names) == 1 else 'them'} in every run.",
                BacklightWarning,
                stacklevel=4,
            )

    @cached_property
    def _results(self) -> list[int]:
        """The stored outputs, each once, in the order of the function's arguments."""
        outputs = set(self.graph.outputs)
        return [k for k in self.plan.kernels if k in outputs]

    def run(self, values: Sequence[Any], *, keep: bool = False) -> list[Array]:
        """Evaluate the graph; see `backlight.execute.reference.Program.run`."""
        if keep:
            return self.reference.run(values, keep=True)
        given = [np.asarray(each, order="C") for each in self.reference.checked(values)]
        arrays = dict(zip(self.graph.inputs, given, strict=True))
        for overwritten in self.plan.alias.values():
            arrays[overwritten] = arrays[overwritten].copy()
        made = self._make_results(arrays)
        arrays |= self._constants | made
        table = self._table(arrays)
        errors: list[BaseException] = []
        callback = _CALLBACK(self._called_back(arrays, errors))
        arena = self._arena.ctypes.data

        def work(thread: int, threads: int, team: int) -> int:
            return int(
                self._main(
                    ctypes.addressof(table), arena, callback, self._batch, thread, threads, team
                )
            )

        with self._lock:
            status = run_team(work, self.threads)
        if errors:
            raise errors[0]
        if any(status):
            # A position was out of range.  The reference says which and where.
            return self.reference.run(values)
        # An output that is an input or a constant itself is copied, and so is one asked for twice.
        taken: set[int] = set()
        found = []
        for index in self.graph.outputs:
            fresh = index in made and index not in taken
            found.append(made[index] if fresh else np.array(self._seen(index, arrays)))
            taken.add(index)
        return found

    def bound(self, values: Sequence[Array], results: Sequence[Array]) -> Callable[[], None]:
        """Return a function that evaluates the graph for what is in some arrays at that moment.

        Whoever runs a small graph thousands of times saves most of `run`, which looks for every
        array anew.

        Parameters
        ----------
        values : sequence of ndarray
            One for each input, C-contiguous, of its shape and dtype; read in every run.
        results : sequence of ndarray
            One for each output, likewise; written in every run.
        """
        nodes, outputs = self.graph.nodes, self.graph.outputs
        places = (*self.graph.inputs, *outputs)
        for index, each in zip(places, (*values, *results), strict=True):
            assert each.flags.c_contiguous
            assert (each.shape, each.dtype) == (nodes[index].shape, nodes[index].dtype)
        arrays = dict(zip(self.graph.inputs, values, strict=True)) | self._constants
        made = self._make_results(arrays)
        for index, into in zip(outputs, results, strict=True):
            if index in made and index not in self.plan.alias:
                made[index] = into
        arrays |= made
        copied = [
            (into, self._seen(index, arrays))
            for index, into in zip(outputs, results, strict=True)
            if made.get(index) is not into
        ]
        table, arena = self._table(arrays), self._arena.ctypes.data
        errors: list[BaseException] = []
        callback = _CALLBACK(self._called_back(arrays, errors))
        main, address = self._main, ctypes.addressof(table)

        def work(thread: int, threads: int, team: int) -> int:
            return int(main(address, arena, callback, self._batch, thread, threads, team))

        def run(_kept_alive: object = table) -> None:
            with self._lock:
                status = run_team(work, self.threads)
            if errors:
                raise errors.pop()
            if any(status):
                self.reference.run(values)  # says which position was out of range
            for into, found in copied:
                into[...] = found

        return run

    def _make_results(self, arrays: dict[int, Array]) -> dict[int, Array]:
        """Return memory for the outputs: new, or that of the input that is overwritten."""
        nodes, alias = self.graph.nodes, self.plan.alias
        return {
            k: arrays[alias[k]] if k in alias else np.empty(nodes[k].shape, nodes[k].dtype)
            for k in self._results
        }

    def _table(self, arrays: dict[int, Array]) -> Any:
        order = self.lowered.arguments
        return (ctypes.c_void_p * max(len(order), 1))(*[arrays[k].ctypes.data for k in order])

    def iterate(
        self,
        values: Sequence[Array | None],
        sources: Sequence[Array],
        rows: Array,
        starts: Array,
    ) -> tuple[int, Array]:
        """Run the graph over and over, feeding what is carried back in.

        Parameters
        ----------
        values : sequence of ndarray or None
            One for each input, C-contiguous.  Those of carried inputs and of the counter are
            overwritten; those of gathered inputs are not looked at.
        sources : sequence of ndarray
            For each gathered input, the C-contiguous array whose rows are gathered.
        rows : ndarray of int64
            Those of all runs, one after the other; checked to lie in the sources.
        starts : ndarray of int64, shape (runs + 1,)
            Where the rows of each run begin, and where the last one's end; each run has one of
            the `lengths`.

        Returns
        -------
        done : int
            How many runs came before the first whose first recorded number is not finite.
        recorded : ndarray of float64, shape (runs, recorded)
        """
        iteration, nodes = self.iteration, self.graph.nodes
        assert iteration is not None and self._loop is not None
        count = len(starts) - 1
        arrays: dict[int, Array] = {}
        for position, (index, value) in enumerate(zip(self.graph.inputs, values, strict=True)):
            if position in iteration.gathered:
                value = np.empty(nodes[index].shape, nodes[index].dtype)
            assert value is not None and value.flags.c_contiguous
            assert (value.shape, value.dtype) == (nodes[index].shape, nodes[index].dtype)
            arrays[index] = value
        rows = np.ascontiguousarray(rows, np.int64)
        starts = np.ascontiguousarray(starts, np.int64)
        if sources and rows.size and not 0 <= rows.min() <= rows.max() < len(sources[0]):
            raise ShapeError("A row number lies outside the data that rows are gathered from.")
        assert not sources or set(np.diff(starts).tolist()) <= set(self.lengths)
        arrays |= self._constants | self._make_results(arrays)
        recorded = np.full((count, iteration.recorded), np.nan)
        origins = (ctypes.c_void_p * max(len(sources), 1))(*[each.ctypes.data for each in sources])
        full = self._table(arrays)
        other = self._table(arrays | self._others) if self._others else full
        tables = (ctypes.c_void_p * 2)(ctypes.addressof(full), ctypes.addressof(other))
        errors: list[BaseException] = []
        callback = _CALLBACK(self._called_back(arrays, errors))
        loop, arena = self._loop, self._arena.ctypes.data
        where = (ctypes.addressof(origins), rows.ctypes.data, starts.ctypes.data)

        def work(thread: int, threads: int, team: int) -> int:
            return int(loop(ctypes.addressof(tables), arena, callback, *where, count,
                            recorded.ctypes.data, thread, threads, team))  # fmt: skip

        with self._lock:
            done = run_team(work, self.threads)[0]
        if errors:
            raise errors[0]
        if done == OUT_OF_RANGE:
            raise ShapeError("A position in the data is out of range; check the targets' classes.")
        return done, recorded

    def _called_back(self, arrays: dict[int, Array], errors: list[BaseException]) -> Any:
        """Return the function that evaluates a node without machine code."""

        def run(number: int) -> None:
            index = self.lowered.callbacks[number]
            node = self.graph.nodes[index]
            try:
                with np.errstate(all="ignore"):
                    operands = [self._seen(k, arrays) for k in node.inputs]
                    value = node.primitive.evaluate(np, *operands, **node.attributes)
                self._seen(index, arrays)[...] = value
            except BaseException as error:  # noqa: BLE001 (it is raised again outside)
                errors.append(error)

        return run

    def _seen(self, index: int, arrays: dict[int, Array]) -> Array:
        """Show a stored node as an array: one of the arguments, or a place in the arena."""
        node = self.graph.nodes[index]
        if index in arrays:
            return arrays[index]
        if self.plan.storage[index] is Storage.CONSTANT:
            array: Array = node.attributes["value"].array
            return array
        if index in self.plan.offsets:
            start = self.plan.offsets[index]
            size = math.prod(node.shape) * node.dtype.itemsize
            return self._arena[start : start + size].view(node.dtype).reshape(node.shape)
        view = self.plan.view(index)
        assert view is not None, "an operand of a callback is stored or a view"
        base = self._seen(view.base, arrays).reshape(-1)
        return np.lib.stride_tricks.as_strided(
            base[view.offset :],
            node.shape,
            tuple(stride * base.itemsize for stride in view.strides),
        )


def _merged(graph: Graph, iteration: Iteration | None) -> Merged | None:
    """Make one graph for both batch lengths, if there are two and one graph will do."""
    if iteration is None or iteration.shorter is None:
        return None
    try:
        return merge(graph, iteration.shorter.graph, iteration.length, iteration.shorter.length)
    except NotOneProgramError:
        return None
