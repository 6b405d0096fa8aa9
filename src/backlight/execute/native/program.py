"""The native executor: a graph as one machine-code function."""

from __future__ import annotations

import ctypes
import math
import threading
import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from backlight.errors import BacklightWarning, ShapeError
from backlight.execute.iteration import Iteration
from backlight.execute.native.engine import Library, compile_module
from backlight.execute.native.loop import LOOP, OUT_OF_RANGE
from backlight.execute.native.lower import MAIN, Lowered, lower
from backlight.execute.native.plan import Plan, Storage, make_plan
from backlight.execute.reference import Program
from backlight.graph.graph import Graph
from backlight.graph.primitive import Array

_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_int32)


class NativeProgram:
    """A graph made ready to run as machine code; the counterpart of the reference's `Program`.

    Parameters
    ----------
    graph : Graph
    iteration : Iteration, optional
        How the graph is run over and over; `iterate` then does so.

    Examples
    --------
    >>> import backlight as bl
    >>> program = NativeProgram(bl.trace(lambda w, x: (w * x - 2.0) ** 2, 1.0, 1.0))
    >>> program.run([3.0, 2.0])
    [array(16.)]
    """

    def __init__(self, graph: Graph, iteration: Iteration | None = None) -> None:
        self.graph = graph
        self.iteration = iteration
        self.reference = Program(graph)
        carried = () if iteration is None else iteration.carried
        self.plan: Plan = make_plan(
            graph, [(graph.outputs[out], graph.inputs[into]) for out, into in carried]
        )
        self.lowered: Lowered = lower(self.plan, iteration)
        self.library: Library = compile_module(self.lowered.module)
        self._main = self.library.function(
            MAIN, ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, _CALLBACK)
        )
        # The function works in one arena, so that two threads take turns.
        self._lock = threading.Lock()
        self._arena = _aligned(max(self.plan.arena + self.lowered.workspace, 1))
        self._constants = {
            k: np.ascontiguousarray(graph.nodes[k].attributes["value"].array)
            for k in self.lowered.arguments
            if self.plan.storage.get(k) is Storage.CONSTANT
        }
        self._loop = None
        if iteration is not None:
            kind = ctypes.CFUNCTYPE(
                ctypes.c_int64,
                *(ctypes.c_void_p, ctypes.c_void_p, _CALLBACK, ctypes.c_void_p, ctypes.c_void_p),
                *(ctypes.c_int64, ctypes.c_void_p),
            )
            self._loop = self.library.function(LOOP, kind)
        self._say_callbacks()

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
        with self._lock:
            callback = _CALLBACK(self._called_back(arrays, errors))
            status = self._main(ctypes.addressof(table), self._arena.ctypes.data, callback)
        if errors:
            raise errors[0]
        if status:
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
        self, values: Sequence[Array | None], sources: Sequence[Array], rows: Array, count: int
    ) -> tuple[int, Array]:
        """Run the graph over and over, feeding what is carried back in.

        Parameters
        ----------
        values : sequence of ndarray or None
            One for each input, C-contiguous.  Those of carried inputs and of the counter are
            overwritten; those of gathered inputs are not looked at.
        sources : sequence of ndarray
            For each gathered input, the C-contiguous array whose rows are gathered.
        rows : ndarray of int64, shape (count, length of a batch)
            Checked to lie in the sources.
        count : int
            How many runs.

        Returns
        -------
        done : int
            How many runs came before the first whose first recorded number is not finite.
        recorded : ndarray of float64, shape (count, recorded)
        """
        iteration, nodes = self.iteration, self.graph.nodes
        assert iteration is not None and self._loop is not None
        arrays: dict[int, Array] = {}
        for position, (index, value) in enumerate(zip(self.graph.inputs, values, strict=True)):
            if position in iteration.gathered:
                value = np.empty(nodes[index].shape, nodes[index].dtype)
            assert value is not None and value.flags.c_contiguous
            assert (value.shape, value.dtype) == (nodes[index].shape, nodes[index].dtype)
            arrays[index] = value
        rows = np.ascontiguousarray(rows, np.int64)
        if sources and rows.size and not 0 <= rows.min() <= rows.max() < len(sources[0]):
            raise ShapeError("A row number lies outside the data that rows are gathered from.")
        arrays |= self._constants | self._make_results(arrays)
        recorded = np.full((count, iteration.recorded), np.nan)
        origins = (ctypes.c_void_p * max(len(sources), 1))(*[each.ctypes.data for each in sources])
        table = self._table(arrays)
        errors: list[BaseException] = []
        with self._lock:
            done = self._loop(
                ctypes.addressof(table),
                self._arena.ctypes.data,
                _CALLBACK(self._called_back(arrays, errors)),
                ctypes.addressof(origins),
                rows.ctypes.data,
                count,
                recorded.ctypes.data,
            )
        if errors:
            raise errors[0]
        if done == OUT_OF_RANGE:
            raise ShapeError("A position in the data is out of range; check the targets' classes.")
        return int(done), recorded

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


def _aligned(size: int) -> Array:
    """Return zeroed bytes that start at a multiple of 64."""
    room = np.zeros(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size]
