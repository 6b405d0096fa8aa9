"""From a network or a function to an ONNX file: `save_onnx`, and `model_bytes` in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backlight import nn
from backlight.data.messages import reason
from backlight.errors import DataError, GraphError, ShapeError, UsageError
from backlight.graph.primitive import Kind
from backlight.graph.pytree import flatten, leaf_names, unflatten
from backlight.io.onnx.emitter import ML, ML_OPSET, OPSET, Emitter, Symbol, Written
from backlight.io.onnx.extent import ROWS, Extent, Filled, Size, Step, fixed, together
from backlight.ops.leaf import CONSTANT, Literal
from backlight.tensor import as_tensor
from backlight.trace import Traced, trace_function
from backlight.train.durable import write_durably
from backlight.version import __version__

if TYPE_CHECKING:
    import onnx

IR_VERSION = 8
"""The version of the file format that belongs to the version of the operators."""
MOST_BYTES = 2**31 - 2**20
"""A protocol buffer holds less than 2 GiB."""

Network = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Words that an input takes in place of numbers.

    Attributes
    ----------
    codes : mapping of str to float
        The number that each word stands for.
    unknown : float
        The number that any other word stands for.
    """

    codes: Mapping[str, float]
    unknown: float


def save_onnx(
    net: Network, path: str | os.PathLike[str], *example: Any, batch: bool = True
) -> Path:
    """Write a network as an ONNX model, which other programs run.

    Parameters
    ----------
    net : callable
        A network, or any function of tensors; networks are written as in evaluation, without
        dropout.
    path : path
        Replaced when it exists; written whole or not at all.
    *example : array_like, or nested dicts, lists and tuples of them
        What `net` takes.  Only shapes and data types are used, and they become the model's.
    batch : bool
        The first axis of every example is the rows, of which the model takes any number;
        otherwise all sizes are those of the example.

    Returns
    -------
    Path

    Raises
    ------
    MissingRuleError
        When ONNX has no form for a primitive; it is named.
    UsageError
        When the extra ``onnx`` is missing, or the network depends on the number of rows in a way
        that ONNX cannot say.
    ShapeError
        When an example has no rows.
    DataError
        When the file cannot be written.

    Notes
    -----
    The model has the operators of opset 18.  Inputs are named as the arguments of `net`, and the
    output is called ``output``.  A program that runs models need not have every operator in
    float64; layers are float32 unless told otherwise.

    Examples
    --------
    >>> import backlight as bl
    >>> net = bl.nn.Sequential(bl.nn.Linear(2, 1), bl.nn.Tanh(), seed=0)
    >>> bl.io.save_onnx(net, "net.onnx", np.zeros((1, 2), np.float32))  # doctest: +SKIP
    PosixPath('net.onnx')
    """
    content = model_bytes(net, example, batch=batch)
    place = Path(path)
    try:
        write_durably(place, content)
    except OSError as error:
        raise DataError(
            f"{place} cannot be written ({reason(error)}); choose another place."
        ) from error
    return place


def model_bytes(
    net: Network,
    example: Sequence[Any],
    *,
    batch: bool = True,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    vocabularies: Mapping[str, Vocabulary] | None = None,
    about: Mapping[str, str] | None = None,
) -> bytes:
    """Return the content of an ONNX file; see `save_onnx`.

    Parameters
    ----------
    net, example, batch
        As for `save_onnx`, with the examples in one sequence.
    inputs, outputs : sequence of str, optional
        Names in place of those of `save_onnx`.
    vocabularies : mapping of str to Vocabulary, optional
        For inputs by name, the words that they take.
    about : mapping of str to str, optional
        What is stored with the model, for people and programs.
    """
    _require_onnx()
    if not example:
        raise UsageError(
            "An ONNX model needs an example of the network's input, such as the first rows of the "
            "data; give it behind the path."
        )
    with nn.running(training=False):
        traced, steps = _traced(net, example, batch)
    emitter = Emitter()
    names = _names(traced, inputs, outputs or leaf_names(traced.results, "output"))
    plan = _Plan(traced, steps, *names, vocabularies or {})
    given = _declared(plan, emitter)
    emitter.rows_of = next(iter(given.values())) if batch else None
    made = _written(plan, emitter, given)
    return _model(emitter, list(given.values()), made, about or {})


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise UsageError(
            "Writing ONNX needs the extra 'onnx': pip install 'backlight[onnx]'."
        ) from None


def _traced(net: Network, example: Sequence[Any], batch: bool) -> tuple[Traced, list[Step]]:
    if not batch:
        traced = trace_function(net, *example)
        return traced, fixed(traced.graph)
    leaves, tree = flatten(tuple(example))
    tensors = [as_tensor(each) for each in leaves]
    for each in tensors:
        if not each.shape:
            raise ShapeError(
                "An example of a network's input is a single number, which has no rows; give "
                "batch=False for a model of these sizes alone."
            )

    def at(rows: int) -> Traced:
        # A view of a single entry: only the shape is used.
        made = [np.broadcast_to(np.zeros((), t.dtype), (rows, *t.shape[1:])) for t in tensors]
        return trace_function(net, *unflatten(tree, made))

    made = [at(rows) for rows in ROWS]
    return made[0], together([each.graph for each in made])


@dataclass(frozen=True, eq=False)
class _Plan:
    """A traced network and what its values are called in the model."""

    traced: Traced
    steps: Sequence[Step]
    names: Sequence[str]
    outputs: Sequence[str]
    vocabularies: Mapping[str, Vocabulary]


def _names(
    traced: Traced, inputs: Sequence[str], outputs: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Name the values as in the graph, inputs as the arguments, and outputs as is asked."""
    graph = traced.graph
    if not inputs:
        inputs = [each.name or "input" for each in traced.inputs]
    taken = {node.name for node in graph.nodes} | {*inputs, *outputs}

    def another(name: str) -> str:
        while name in taken:
            name += "_"
        taken.add(name)
        return name

    wanted = {*inputs, *outputs}
    names = [another(each.name) if each.name in wanted else each.name for each in graph.nodes]
    for index, name in zip(graph.inputs, inputs, strict=True):
        names[index] = name
    chosen = [another(name) if name in inputs else name for name in outputs]
    for name, index in zip(chosen, graph.outputs, strict=True):
        if not graph.nodes[index].is_leaf and names[index] not in chosen:
            names[index] = name
    return names, chosen


def _declared(plan: _Plan, emitter: Emitter) -> dict[int, Symbol]:
    """Return a symbol for each input."""
    found = {}
    for index in plan.traced.graph.inputs:
        name, step = plan.names[index], plan.steps[index]
        dtype = np.dtype(str) if name in plan.vocabularies else step.node.dtype
        found[index] = Symbol(emitter, name, dtype, step.shape)
    return found


def _written(plan: _Plan, emitter: Emitter, inputs: Mapping[int, Symbol]) -> list[Symbol]:
    """Write the nodes of the graph and return its outputs."""
    made: list[Symbol] = []
    for index, step in enumerate(plan.steps):
        emitter.begin(step.node)
        if index in inputs:
            made.append(_coded(emitter, inputs[index], step, plan.vocabularies))
        elif step.node.primitive is CONSTANT:
            made.append(_constant(emitter, step, plan.names[index]))
        else:
            result = _applied(emitter, step, [made[k] for k in step.node.inputs])
            name = plan.names[index]
            made.append(emitter.finish(result, name, step.node.dtype, step.shape))
    outputs = []
    for name, index in zip(plan.outputs, plan.traced.graph.outputs, strict=True):
        emitter.begin(plan.steps[index].node)
        result = made[index]
        if result.name != name:  # an input, a constant, or one value that is returned twice
            copy = emitter.node("Identity", result)
            result = emitter.finish(copy, name, result.dtype, plan.steps[index].shape)
        outputs.append(result)
    return outputs


def _coded(
    emitter: Emitter, given: Symbol, step: Step, vocabularies: Mapping[str, Vocabulary]
) -> Symbol:
    """Return an input, its words as numbers."""
    words = vocabularies.get(given.name)
    if words is None:
        return given
    coded = emitter.node(
        "LabelEncoder",
        given,
        gives=np.dtype(np.float32),
        domain=ML,
        keys_strings=list(words.codes),
        values_floats=list(words.codes.values()),
        default_float=words.unknown,
    )
    coded = emitter.cast(coded, step.node.dtype)
    return Symbol(emitter, coded.name, coded.dtype, step.shape)


def _constant(emitter: Emitter, step: Step, name: str) -> Symbol:
    value = step.attributes["value"]
    if isinstance(value, Filled):
        spread = emitter.expand(emitter.constant(value.value), value.shape)
        return emitter.finish(spread, name, step.node.dtype, step.shape)
    assert isinstance(value, Literal)
    return emitter.constant(value.array, name)


def _applied(emitter: Emitter, step: Step, operands: list[Symbol]) -> Symbol:
    """Write one primitive by its record."""
    primitive = step.node.primitive
    if primitive.to_onnx is not None:
        try:
            result: Symbol = primitive.to_onnx(emitter, *operands, **step.attributes)
        except TypeError as error:
            if not any(isinstance(size, Extent) for size in _sizes(step)):
                raise
            raise emitter.refuse(
                "it needs to know the number of rows; give batch=False to fix it"
            ) from error
        return result
    if primitive.onnx is None:
        raise emitter.refuse("ONNX has no operator of the same meaning")
    alike = emitter.alike(*operands) if primitive.kind is Kind.ELEMENTWISE else operands
    return emitter.node(primitive.onnx, *alike, gives=step.node.dtype)


def _sizes(step: Step) -> list[object]:
    given = [each for each in step.attributes.values() if isinstance(each, tuple)]
    return [size for each in (step.shape, *given) for size in each]


def _model(
    emitter: Emitter,
    inputs: Sequence[Symbol],
    outputs: Sequence[Symbol],
    about: Mapping[str, str],
) -> bytes:
    """Make the protocol buffer and have it checked."""
    import onnx
    from onnx import helper, numpy_helper

    held = sum(each.nbytes for each in emitter.constants.values())
    if held > MOST_BYTES:
        raise DataError(
            f"The network holds {held / 2**30:.1f} GiB of weights, and an ONNX file less than 2 "
            f"GiB; write them as safetensors instead."
        )
    nodes = [
        helper.make_node(
            each.operator, each.inputs, _results(each), name=each.output, domain=each.domain,
            **each.attributes,
        )
        for each in emitter.nodes
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "backlight",
        [_described(each) for each in inputs],
        [_described(each) for each in outputs],
        [numpy_helper.from_array(each, name) for name, each in emitter.constants.items()],
    )
    domains = [helper.make_opsetid("", OPSET)]
    if any(each.domain == ML for each in emitter.nodes):
        domains.append(helper.make_opsetid(ML, ML_OPSET))
    model = helper.make_model(
        graph,
        opset_imports=domains,
        ir_version=IR_VERSION,
        producer_name="backlight",
        producer_version=__version__,
    )
    helper.set_model_props(model, dict(about))
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GraphError(
            f"ONNX's own checker refuses the model ({str(error).strip().splitlines()[0]}); please "
            f"report this with the network."
        ) from error
    content: bytes = model.SerializeToString()
    return content


def _results(node: Written) -> list[str]:
    return [f"{node.output}/{k}" for k in range(node.result)] + [node.output]


def _described(symbol: Symbol) -> onnx.ValueInfoProto:
    """Describe an input or output; sizes that depend on the rows have names."""
    from onnx import TensorProto, helper

    kind = (
        TensorProto.STRING
        if symbol.dtype.kind == "U"
        else helper.np_dtype_to_tensor_dtype(symbol.dtype)
    )
    return helper.make_tensor_value_info(
        symbol.name, kind, [_dimension(each) for each in symbol.shape or ()]
    )


def _dimension(size: Size) -> int | str:
    if isinstance(size, int):
        return size
    times = "" if size.times == 1 else f"{size.times}*"
    plus = "" if size.plus == 0 else f"{size.plus:+d}"
    return f"{times}batch{plus}"
