"""What a machine's matrix products can do: the limit of a network's training step.

Each product of a network's dense layers is timed in every way there is here (Backlight's kernels,
BLAS by its address, NumPy, PyTorch; one thread and two), in turns.  The limit of a step is the sum
of the best times.  `time_product` runs inside a worker, `best_times` asks the workers.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.driver import AbsentError, Team, cores, repetitions, take_turns
from benchmarks.networks import Network, Product

Run = Callable[[int], object]

LARGE = 2_000_000
"""From so many operations on, a product is tried with two threads too."""

WAYS: tuple[tuple[str, str, int], ...] = (
    ("generated", "Backlight", 1),
    ("generated", "Backlight", 2),
    ("blas", "Backlight", 1),
    ("numpy", "scikit-learn", 1),
    ("numpy", "scikit-learn", 2),
    ("torch", "PyTorch eager", 1),
    ("torch", "PyTorch eager", 2),
)
"""The way, the worker that times it, and its threads."""

_RUNS: dict[tuple[Any, ...], Run] = {}
_CASES: list[object] = []


def time_product(
    way: str, kind: str, batch: int, outputs: int, inputs: int, threads: int, wanted: float
) -> float:
    """Return the seconds that one product takes, from a turn of about as many as wanted."""
    key = (way, kind, batch, outputs, inputs, threads)
    if key not in _RUNS:
        _RUNS[key] = _run(way, Product(kind, batch, outputs, inputs), threads)
        _RUNS[key](1)
    run = _RUNS[key]
    times = 1
    while True:
        begun = time.perf_counter()
        run(times)
        seconds = time.perf_counter() - begun
        if seconds >= 0.5 * wanted or times > 1 << 24:
            return seconds / times
        times = max(2 * times, repetitions(seconds / times, wanted))


def _run(way: str, product: Product, threads: int) -> Run:
    if way == "numpy":
        return _numpy(product)
    if way == "torch":
        return _torch(product, threads)
    from benchmarks.matmul import blas, choose, make_case, ours

    runs = []
    for each in _halves(product) if threads > 1 else [product]:
        case = make_case(each.kind, each.batch, each.outputs, each.inputs, "float32")
        tiling = choose(case.spec, case.m, case.n, case.k)
        found = blas(case) if way == "blas" else ours(case, tiling)
        if found is None:
            raise ImportError("SciPy", name="scipy")
        runs.append(found)
        _CASES.append(case)  # the runs know the operands only by their addresses
    if len(runs) == 1:
        return runs[0]
    pool = ThreadPoolExecutor(len(runs))
    return lambda times: [each.result() for each in [pool.submit(run, times) for run in runs]]


def _halves(product: Product) -> list[Product]:
    """Cut a product in two that need not wait for each other: the most that two threads can do."""
    b, o, i = product.batch, product.outputs, product.inputs
    if product.kind == "forward" and o >= 2 * b:
        return [Product("forward", b, o // 2, i)] * 2
    if product.kind == "weight":
        return [Product("weight", b, o // 2, i)] * 2 if o > 1 else [product]
    return [Product(product.kind, b // 2, o, i)] * 2


def _operands(product: Product) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    b, o, i = product.batch, product.outputs, product.inputs

    def some(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape).astype(np.float32)

    if product.kind == "forward":
        return some(b, i), some(o, i).T
    if product.kind == "data":
        return some(b, o), some(o, i)
    return some(b, o).T, some(b, i)


def _numpy(product: Product) -> Run:
    left, right = _operands(product)
    out = np.empty((left.shape[0], right.shape[1]), np.float32)

    def run(times: int) -> object:
        for _ in range(times):
            np.matmul(left, right, out=out)
        return out

    return run


def _torch(product: Product, threads: int) -> Run:
    import torch

    torch.set_num_threads(threads)
    left, right = (torch.from_numpy(each) for each in _operands(product))
    out = torch.empty((left.shape[0], right.shape[1]))

    def run(times: int) -> object:
        with torch.no_grad():
            for _ in range(times):
                torch.mm(left, right, out=out)
        return out

    return run


def best_times(
    team: Team, networks: Sequence[Network], rounds: int, wanted: float
) -> list[dict[str, Any]]:
    """Return, for every product of the networks, its best time and whose that is."""
    products = sorted({each for net in networks for each in net.products()}, key=repr)
    return [_best(team, each, rounds, wanted) for each in products]


def _best(team: Team, product: Product, rounds: int, wanted: float) -> dict[str, Any]:
    arguments = (product.kind, product.batch, product.outputs, product.inputs)
    operations = 2 * product.batch * product.outputs * product.inputs
    turns: dict[str, Callable[[], float]] = {}
    for way, name, threads in WAYS:
        if threads > 1 and (operations < LARGE or cores() < 2):
            continue
        member = team.member(name, threads)

        def turn(member: Any = member, way: str = way, threads: int = threads) -> float:
            function = "benchmarks.products.time_product"
            return float(member.call(function, way, *arguments, threads, wanted))

        try:
            turn()
        except AbsentError as error:
            team.say(f"  product {arguments}: {way}: {error}")
            continue
        turns[f"{way} {threads}"] = turn
    medians = {
        way: statistics.median(each) for way, each in take_turns(turns, rounds, 0.005).items()
    }
    best = min(medians, key=medians.__getitem__)
    return {
        "kind": product.kind,
        "batch": product.batch,
        "outputs": product.outputs,
        "inputs": product.inputs,
        "microseconds": {way: each * 1e6 for way, each in medians.items()},
        "best": best,
        "best_microseconds": medians[best] * 1e6,
        "gigaflops": operations / medians[best] / 1e9,
    }


def limit_of(network: Network, products: Sequence[dict[str, Any]]) -> float:
    """Return the microseconds that a step's products take at the best rates."""
    best = {
        Product(each["kind"], each["batch"], each["outputs"], each["inputs"]): float(
            each["best_microseconds"]
        )
        for each in products
    }
    return sum(best[each] for each in network.products())
