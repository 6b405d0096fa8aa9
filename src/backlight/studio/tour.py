"""The tour: the worked examples that the page opens on, with a few sentences each.

Each chapter is a small program whose lines the page quotes; what a chapter says is a list of
sentences that the page walks through, each with what it points at.
"""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from types import FunctionType, MappingProxyType

import numpy as np

import backlight as bl
from backlight import nn
from backlight.data import Dataset
from backlight.graph.node import Node
from backlight.record import Trace
from backlight.source import Location
from backlight.studio.asking import Json
from backlight.studio.task import Task
from backlight.studio.training import Start


@dataclass(frozen=True)
class Sentence:
    """One sentence of the tour, what it points at, and which pass it belongs to."""

    text: str
    select: str | None = None
    phase: str | None = None

    def to_dict(self) -> Json:
        """Return plain data for the page."""
        return {"text": self.text, "select": self.select, "phase": self.phase}


@dataclass(frozen=True)
class Chapter:
    """One worked example."""

    name: str
    chapter: int
    title: str
    sentences: tuple[Sentence, ...]
    build: Callable[[], bl.Tensor] | None

    def loss(self) -> bl.Tensor:
        """Run the chapter's program as if it were the user's own.

        What it records then carries the program's names and lines, which the page quotes; lines
        inside the library are passed over otherwise.
        """
        assert isinstance(self.build, FunctionType)
        text = inspect.getsource(self.build)
        file = f"{self.build.__name__}.py"
        linecache.cache[file] = (len(text), None, text.splitlines(True), file)
        code = self.build.__code__.replace(co_filename=file, co_firstlineno=1)
        found: bl.Tensor = FunctionType(code, self.build.__globals__)()
        return found

    def located(self, trace: Trace) -> Trace:
        """Say of the values of the chapter that trains which line of it they are from.

        Its steps are taken by the library, so that no frame of the stack says it.
        """
        if self.build is not None:
            return trace
        parts = (half_squared_error, accumulated_deltas)
        text = "\n\n".join(inspect.getsource(each) for each in parts)
        file = f"{accumulated_deltas.__name__}.py"
        lines = text.splitlines(True)
        linecache.cache[file] = (len(text), None, lines, file)

        def place(node: Node) -> Location:
            layers = next((each for each in _LINES if node.name.startswith(each)), "")
            words, which = _LINES[layers]
            found = [number for number, line in enumerate(lines, 1) if words in line]
            return Location(file, found[which], "")

        nodes = tuple(replace(each, location=place(each)) for each in trace.graph.nodes)
        return replace(trace, graph=replace(trace.graph, nodes=nodes))

    def describe(self) -> Json:
        """Return what a list of the examples needs."""
        return {"name": self.name, "chapter": self.chapter, "title": self.title}


def one_weight() -> bl.Tensor:
    """Predict ŷ = w·x and measure the squared error."""
    w = bl.param(1.0, name="w")
    x = bl.tensor(1.0, name="x")
    y = bl.tensor(2.0, name="y")
    y_hat = w * x
    s = y_hat - y
    loss = s**2
    return loss


def node_by_node() -> bl.Tensor:
    """Run a network of 3, 3, 3 and 2 nodes with sigmoids and no biases."""
    sizes = (3, 3, 3, 2)
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(sizes), start=1):
        weight = [
            [((3 * j + 5 * k + 7 * number) % 11 - 5) / 10 for k in range(1, before + 1)]
            for j in range(1, after + 1)
        ]
        layers.append(nn.Linear(before, after, bias=False, init=weight, dtype="float64"))
        layers.append(nn.Sigmoid())
    net = nn.Sequential(*layers)
    x = bl.tensor([0.5, -1.0, 2.0], name="x")
    y = bl.tensor([1.0, 0.0], name="y")
    loss: bl.Tensor = nn.squared_error(net(x), y)
    return loss


def edges() -> bl.Tensor:
    """Compute L = c·(a + 2b) by way of d = 2b and e = a + d."""
    a = bl.param(3.0, name="a")
    b = bl.param(1.0, name="b")
    c = bl.param(-2.0, name="c")
    d = 2 * b
    e = a + d
    L = c * e
    return L


def two_layers() -> bl.Tensor:
    """Classify one example with two ReLU units and a sigmoid."""
    hidden = nn.Linear(2, 2, init=[[0.1, 0.4], [-0.3, 0.2]], dtype="float64")
    hidden.parameters()["bias"].assign([0.05, 0.3])
    output = nn.Linear(2, 1, init=[[0.7, -0.6]], dtype="float64")
    output.parameters()["bias"].assign([0.1])
    net = nn.Sequential(hidden, nn.ReLU(), output, nn.Sigmoid())
    x = bl.tensor([0.5, -0.2], name="x")
    y = bl.tensor([1.0], name="y")
    p = net(x)
    L = bl.sum(-(y * bl.log(p) + (1 - y) * bl.log(1 - p)))
    return L


@bl.composite()
def half_squared_error(prediction: bl.Tensor, label: bl.Tensor) -> bl.Tensor:
    """Return ½ Σ (prediction − label)², whose derivative by a prediction is its error."""
    return bl.sum(0.5 * (prediction - label) ** 2)


def accumulated_deltas(seed: int = 1) -> Start:
    """Learn four patterns of three bits, all of them in every step."""
    patterns = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=np.float64)
    labels = np.array([[0], [1], [1], [0]], dtype=np.float64)
    net = nn.Sequential(
        nn.Linear(3, 4, bias=False, init="uniform", dtype="float64"),
        nn.Sigmoid(),
        nn.Linear(4, 1, bias=False, init="uniform", dtype="float64"),
        nn.Sigmoid(),
        seed=seed,
    )
    data = Dataset(
        name="patterns",
        X=patterns,
        y=labels,
        feature_names=("x1", "x2", "x3"),
        target_name="y",
        class_names=None,
        task="regression",
        source="the exclusive or of the first two bits; the third is always 1",
    )
    return Start(
        net,
        Task(data, dtype="float64", link="none"),
        half_squared_error,
        bl.optim.SGD(1.0),
        batch_size=None,
        seed=0,
        metrics=("mean_absolute_error",),
    )


# What a value's name begins with → words of its line, and which of the lines with them it is.
_LINES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "layers.0": ("nn.Linear(", 0),
        "layers.1": ("nn.Sigmoid(", 0),
        "layers.2": ("nn.Linear(", 1),
        "layers.3": ("nn.Sigmoid(", 1),
        "X": ("patterns = ", 0),
        "y": ("labels = ", 0),
        "": ("return bl.sum(", 0),
    }
)

CHAPTERS: Mapping[str, Chapter] = MappingProxyType(
    {
        each.name: each
        for each in (
            Chapter(
                "one-weight",
                1,
                "One weight, squared error",
                (
                    Sentence(
                        "One weight w predicts ŷ = w·x. The example is x = 1 with the answer "
                        "y = 2, and w starts at 1, so the prediction 1 is too small.",
                        "w",
                    ),
                    Sentence(
                        "Forward: each node computes its value from those before it. The "
                        "difference s is −1, and the loss s² is 1.",
                        "s",
                        "forward",
                    ),
                    Sentence(
                        "Each node also knows how its own value changes with its operand: "
                        "∂loss/∂s = 2s = −2, ∂s/∂ŷ = 1, ∂ŷ/∂w = x = 1. These are the local "
                        "derivatives, written on the edges.",
                        "s",
                        "backward",
                    ),
                    Sentence(
                        "Backward: from the loss towards the weight, each local derivative is "
                        "multiplied with what arrived from above. ŷ gets −2 · 1 = −2.",
                        "y_hat",
                        "backward",
                    ),
                    Sentence(
                        "The weight gets −2 · 1 = −2: making w larger makes the loss smaller, "
                        "twice as fast. A step of gradient descent with learning rate 0.1 takes w "
                        "to 1.2.",
                        "w",
                        "backward",
                    ),
                ),
                one_weight,
            ),
            Chapter(
                "node-by-node",
                2,
                "A network, node by node",
                (
                    Sentence(
                        "Four layers of 3, 3, 3 and 2 nodes, joined by three matrices of weights; "
                        "every node applies a sigmoid. The loss adds up (a − y)² over the outputs.",
                        "loss",
                        "forward",
                    ),
                    Sentence(
                        "A weight of the output layer acts on the loss by one route: z, then a, "
                        "then the loss. Its derivative is a product of three factors.",
                        "layers.4.weight[0,1]",
                        "backward",
                    ),
                    Sentence(
                        "An activation of a hidden layer feeds every node of the next layer, so "
                        "its derivative is a sum: 0.1018… − 0.0288… = 0.0731….",
                        "layers.3.a[1]",
                        "backward",
                    ),
                    Sentence(
                        "That sum is the first factor for a weight of the hidden layer. So the "
                        "derivatives of later layers are needed first, which is why one goes back.",
                        "layers.2.weight[1,1]",
                        "backward",
                    ),
                    Sentence(
                        "One layer further back it is the same again.",
                        "layers.0.weight[0,0]",
                        "backward",
                    ),
                ),
                node_by_node,
            ),
            Chapter(
                "edges",
                3,
                "A derivative on every edge",
                (
                    Sentence(
                        "L = c·(a + 2b) in three operations: d = 2b, e = a + d, L = c·e. Forward, "
                        "each node gets its value: d = 2, e = 5, L = −10.",
                        "L",
                        "forward",
                    ),
                    Sentence(
                        "Backward, each edge carries the local derivative times what came from "
                        "above: ∂L/∂e = c = −2 and ∂L/∂c = e = 5.",
                        "e",
                        "backward",
                    ),
                    Sentence(
                        "A sum passes its derivative on unchanged, so a and d get −2 each.",
                        "d",
                        "backward",
                    ),
                    Sentence("And b gets 2 · (−2) = −4.", "b", "backward"),
                ),
                edges,
            ),
            Chapter(
                "two-layers",
                3,
                "A two-layer classifier",
                (
                    Sentence(
                        "Two ReLU units, one sigmoid output, and the cross-entropy loss of an "
                        "example of class 1. The prediction is a = 0.512.",
                        "L",
                        "forward",
                    ),
                    Sentence(
                        "Sigmoid and cross-entropy together have a simple derivative: a − y, "
                        "prediction minus truth, here −0.488.",
                        "layers.2.s[0]",
                        "backward",
                    ),
                    Sentence(
                        "A weight of the output layer gets that error times the activation that "
                        "it multiplies.",
                        "layers.2.weight[0,0]",
                        "backward",
                    ),
                    Sentence(
                        "The hidden layer gets it through the output weights and the slope of "
                        "ReLU, which is 1 for a unit that is on and 0 for one that is off.",
                        "layers.0.weight[0,0]",
                        "backward",
                    ),
                ),
                two_layers,
            ),
            Chapter(
                "accumulated-deltas",
                4,
                "A network that learns while you watch",
                (
                    Sentence(
                        "Four patterns of three bits; the answer is the exclusive or of the first "
                        "two. Three inputs, four hidden nodes, one output, sigmoids everywhere."
                    ),
                    Sentence(
                        "Every step looks at all four patterns, adds up what each of them asks of "
                        "a weight, and then changes the weights by it, times the learning rate 1. "
                        "Press start.",
                        "layers.0.weight[0,0]",
                        "backward",
                    ),
                    Sentence(
                        "The error falls slowly, then fast: after a few thousand steps the "
                        "predictions round to 0, 1, 1, 0. Pause anywhere and look at any weight.",
                        "layers.2.weight[0,0]",
                        "backward",
                    ),
                ),
                None,
            ),
        )
    }
)


def script(chapter: Chapter) -> str:
    """Return the Python of a chapter: the lines that the page quotes, made to run by themselves."""
    build = chapter.build
    if build is None:
        body = inspect.getsource(half_squared_error) + "\n\n"
        body += inspect.getsource(accumulated_deltas)
        head = (
            "import numpy as np\n\nimport backlight as bl\nfrom backlight import nn\n"
            "from backlight.data import Dataset\nfrom backlight.studio.task import Task\n"
            "from backlight.studio.training import Start\n\n\n"
        )
        return (
            f"{head}{body}\n\nstart = accumulated_deltas()\nrun = bl.fit(\n    start.net,\n"
            "    (start.task.inputs(start.task.dataset.X), start.task.wanted()),\n"
            "    loss=start.loss,\n    optimizer=start.optimizer,\n    batch_size=None,\n"
            '    epochs=STEPS,\n    metrics=["mean_absolute_error"],\n    executor="native",\n)\n'
        )
    return (
        "import backlight as bl\nfrom backlight import nn\n\n\n"
        f"{inspect.getsource(build)}\n\nloss = {build.__name__}()\n"
    )
