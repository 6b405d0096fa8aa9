"""The arithmetic of the benchmarks: what is counted, compared and judged.  Nothing is timed."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.worker import Worker, environment

from benchmarks import analysis, driver, networks, picture, products, report, training


def case(name="digits", optimizer="sgd", **rows):
    """Return a case in which each library, written with _ for a space, took given times."""
    network = networks.with_optimizer(networks.NETWORKS[name], optimizer)
    return {
        "network": network.to_dict(),
        "rows": [
            {"name": key.replace("_", " "), "threads": 1, "microseconds": list(values)}
            for key, values in rows.items()
        ],
        "equal_work": {"agree": True},
    }


# ── the networks ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("network", networks.NETWORKS.values(), ids=str)
def test_a_network_crosses_processes_and_its_batches_are_full(network):
    assert networks.Network.from_dict(json.loads(json.dumps(network.to_dict()))) == network
    assert network.examples % network.batch == 0
    assert network.weights == sum(each.size for each in networks.first_weights(network))


def test_the_products_of_a_step_are_those_of_a_hand_made_pass():
    network = networks.Network("small", (5, 4, 3), 2, 8)
    # X·W₁ᵀ, A·W₂ᵀ forward; G₂ᵀ·A and G₂·W₂, G₁ᵀ·X backward.
    wanted = sorted([(2, 4, 5), (2, 3, 4), (3, 4, 2), (2, 4, 3), (4, 5, 2)])
    assert sorted(each.sizes for each in network.products()) == wanted
    assert network.operations == 2 * sum(math.prod(each) for each in wanted)


def test_the_operands_of_a_product_have_its_sizes():
    for product in networks.NETWORKS["tab"].products():
        left, right = products._operands(product)
        m, n, k = product.sizes
        assert (left.shape, right.shape) == ((m, k), (k, n))


@pytest.mark.parametrize("kind", ["forward", "data", "weight"])
def test_two_halves_have_the_operations_of_the_whole(kind):
    whole = networks.Product(kind, 64, 256, 128)
    halves = products._halves(whole)
    assert sum(math.prod(each.sizes) for each in halves) == math.prod(whole.sizes)


def test_the_limit_adds_up_the_best_times_of_a_networks_products():
    network = networks.Network("small", (5, 4, 3), 2, 8)
    rows = [
        {
            "kind": each.kind,
            "batch": each.batch,
            "outputs": each.outputs,
            "inputs": each.inputs,
            "best_microseconds": 2.0**k,
        }
        for k, each in enumerate(network.products())
    ]
    assert products.limit_of(network, rows) == 1 + 2 + 4 + 8 + 16


@pytest.mark.parametrize("name", ["xor", "tab", "digits"])
def test_the_data_are_what_the_network_takes(name):
    network = networks.NETWORKS[name]
    X, y = networks.data_of(network)
    assert X.shape == (network.examples, network.sizes[0]) and X.dtype == np.float32
    assert y.shape == (network.examples,) and y.dtype == np.int64
    assert set(np.unique(y)) == set(range(max(network.sizes[-1], 2)))
    again, _ = networks.data_of(network)
    np.testing.assert_array_equal(X, again)


def test_the_judging_loss_by_hand():
    # One layer, logits 1 and 0: cross-entropy of class 0 is log(1 + e⁻¹).
    network = networks.Network("one", (2, 2), 1, 1)
    weights = [np.array([[1, 0], [0, 0]], np.float32), np.zeros(2, np.float32)]
    X, y = np.array([[1, 5]], np.float32), np.array([0])
    assert networks.loss_of(network, weights, X, y) == pytest.approx(math.log1p(math.exp(-1)))
    binary = networks.Network("one", (1, 1), 1, 1)
    weights = [np.array([[2]], np.float32), np.array([1], np.float32)]
    X = np.array([[1]], np.float32)
    assert networks.loss_of(binary, weights, X, np.array([1])) == pytest.approx(
        math.log1p(math.exp(-3))
    )


def test_growing_networks_differ_in_one_thing():
    for quick in (False, True):
        names = [each.name for each in networks.growth(quick)]
        assert len(set(names)) == len(names)


# ── equal work ───────────────────────────────────────────────────────────────────────────────────


def test_losses_agree_relative_to_how_far_they_went_down():
    assert training.agreement(2.3, [0.3, 0.3001, 0.2999])["agree"]
    assert not training.agreement(2.3, [0.3, 0.32, 0.3])["agree"]
    assert training.agreement(2.3, [])["agree"]


def test_backlight_trains_as_plain_numpy_does():
    """Two epochs of gradient descent, written out with NumPy in float64."""
    network = replace(networks.NETWORKS["tab"], examples=96, optimizer="sgd")
    X, y = networks.data_of(network)
    weights = [each.astype(np.float64) for each in networks.first_weights(network)]
    for _, start in itertools.product(range(2), range(0, 96, network.batch)):
        rows = slice(start, start + network.batch)
        inputs = [X[rows].astype(np.float64)]
        for k in range(0, len(weights), 2):
            z = inputs[-1] @ weights[k].T + weights[k + 1]
            inputs.append(np.maximum(z, 0) if k < len(weights) - 2 else z)
        g = (1 / (1 + np.exp(-inputs[-1])) - y[rows, None]) / network.batch
        for k in range(len(weights) - 2, -1, -2):
            below = inputs[k // 2]
            g_below = (g @ weights[k]) * (below > 0)
            weights[k] -= network.rate * g.T @ below
            weights[k + 1] -= network.rate * g.sum(axis=0)
            g = g_below
    worker = Worker("Backlight", 1)
    worker.answer({"do": "prepare", "network": network.to_dict(), "shuffle": False})
    seconds = worker.answer({"do": "run", "epochs": 2})["seconds"]
    found = worker.trainer.weights()
    worker.answer({"do": "close"})
    assert seconds > 0
    for a, b in zip(found, weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


# ── turns ────────────────────────────────────────────────────────────────────────────────────────


def test_everyone_has_a_turn_in_every_round():
    order = []

    def turn(name):
        order.append(name)
        return float(len(order))

    found = driver.take_turns({name: lambda name=name: turn(name) for name in "abc"}, 3, 0.0)
    assert order == list("abcbcacab")
    assert found == {"a": [1, 6, 8], "b": [2, 4, 9], "c": [3, 5, 7]}


def test_repetitions_fill_the_time_that_is_wanted():
    assert driver.repetitions(0.001, 0.1) == 100
    assert driver.repetitions(5.0, 0.1) == 1


def test_the_number_of_threads_reaches_every_library():
    one, two = environment(1), environment(2)
    assert one["OMP_NUM_THREADS"] == "1" and two["OPENBLAS_NUM_THREADS"] == "2"
    assert "multi_thread_eigen=false" in one["XLA_FLAGS"] and "XLA_FLAGS" not in two


# ── ratios and verdicts ──────────────────────────────────────────────────────────────────────────


def test_a_ratio_is_the_median_of_the_ratios_within_rounds():
    # Within the rounds 2, 3 and 10; the ratio of the medians would be 30 / 6 = 5.
    found = case(Backlight=[1, 10, 6], JAX_scan=[2, 30, 60])
    assert analysis.ratio(found, "JAX scan") == 3
    assert analysis.ratio(found, "autograd") is None


def test_the_better_number_of_threads_counts():
    found = case(Backlight=[4, 4])
    found["rows"].append({"name": "Backlight", "threads": 2, "microseconds": [3, 3]})
    found["rows"].append({"name": "JAX scan", "threads": 1, "absent": "not installed"})
    assert analysis.best_rows(found)["Backlight"]["threads"] == 2
    assert analysis.best_peer(found) is None


def test_the_share_of_the_limit():
    found = case(Backlight=[4, 5, 6]) | {"limit_microseconds": 4.0}
    assert analysis.share_of_limit(found) == pytest.approx(0.8)


def results(**more):
    """Return results in which xor is measured with both optimizers."""
    cases = [
        case("xor", "sgd", Backlight=[1], JAX_scan=[6], PyTorch_eager=[400]),
        case("xor", "adam", Backlight=[1], JAX_scan=[4], PyTorch_eager=[500]),
    ]
    return {"training": cases, **more}


def verdict(found, words):
    return next(each for each in analysis.verdicts(found) if words in each.what)


def test_the_worse_optimizer_decides():
    found = verdict(results(), "xor: speed against the best peer")
    assert (found.measured, found.met) == (4, False)
    found = verdict(results(), "xor: speed against PyTorch")
    assert (found.measured, found.met) == (400, True)


def test_what_was_not_measured_is_neither_met_nor_missed():
    found = verdict(results(), "digits: speed against the best peer")
    assert found.measured is None and found.met is None


def test_a_cold_start_is_a_share_of_the_import_of_torch():
    cold = [
        {"name": "Backlight, trained", "seconds": [1.0, 1.2]},
        {"name": "import torch", "seconds": [2.5, 2.4]},
    ]
    found = verdict({"cold": cold}, "cold start")
    assert found.measured == pytest.approx(0.45) and found.met


def test_memory_is_compared_network_by_network():
    memory = [
        {"network": "mnist", "name": "Backlight", "bytes": 60.0},
        {"network": "mnist", "name": "PyTorch eager", "bytes": 100.0},
    ]
    assert verdict({"memory": memory}, "memory").met is False


def test_scalar_graphs_that_were_too_large_say_so():
    rows = [
        {"name": "Backlight compiled", "nodes": 1000, "nanoseconds_per_node": 4.0},
        {"name": "micrograd", "nodes": 1000, "nanoseconds_per_node": 4000.0},
        {"name": "Backlight compiled", "nodes": 1_000_000, "absent": "too slow to compile"},
        {"name": "micrograd", "nodes": 1_000_000, "nanoseconds_per_node": 4000.0},
    ]
    found = verdict({"scalars": rows}, "scalars")
    assert found.met is None and "too slow" in found.detail and "1,000 nodes" in found.detail
    rows[2] = {"name": "Backlight compiled", "nodes": 1_000_000, "nanoseconds_per_node": 5.0}
    assert verdict({"scalars": rows}, "scalars").measured == 800


# ── the pages ────────────────────────────────────────────────────────────────────────────────────


def test_only_what_is_between_the_markers_is_replaced():
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    found = report.replaced(page, "new\n")
    assert found == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"
    assert report.replaced(found, "new") == found
    with pytest.raises(ValueError, match="must hold"):
        report.replaced("no markers", "new")


@pytest.mark.parametrize("page", report.PAGES, ids=lambda each: each.name)
def test_the_pages_have_their_markers(page):
    report.replaced(page.read_text("utf-8"), "x")


def test_a_quick_run_is_never_the_one_that_pages_are_made_of(tmp_path):
    for name in ("2026-01-02.json", "2026-01-03-quick.json", "2026-01-01.json"):
        (tmp_path / name).write_text("{}")
    assert report.newest(tmp_path).name == "2026-01-02.json"
    assert report.newest(tmp_path / "none") is None


def test_numbers_have_the_digits_that_mean_something():
    wanted = {0.4512: "0.45", 9.96: "10", 99.6: "100", 12.34: "12", 123.4: "123", 0: "0"}
    assert {value: report.number(value) for value in wanted} == wanted
    assert report.number(8765.4) == "8,770"


def test_the_tables_hold_every_case_and_goal():
    found = results() | {
        "date": "2026-01-02",
        "quick": False,
        "machine": {"processor": "a processor", "cores": 2},
        "versions": {"torch": "2.13.0"},
        "python": "3.11",
    }
    found["goals"] = [each.to_dict() for each in analysis.verdicts(found)]
    json.dumps(found)
    path = driver.ROOT / "benchmarks" / "results" / "2026-01-02.json"
    text = report.long(found, path)
    assert "xor 2-4-1, batch 4, SGD | 1.0 (1.0–1.0) | 6.0 (6.0–6.0)" in text
    assert "**not met**" in text and "a processor, 2 cores" in text
    assert str(driver.ROOT) not in text
    svg = picture.picture(found["training"])
    assert svg.count("<circle") == 2 + 1 and "xor, SGD: Backlight 1, JAX scan 6" in svg


def test_a_library_that_fails_in_the_middle_ends_only_its_own_turns():
    class Fails:
        def ask(self, do, **more):
            raise driver.AbsentError("its process ended")

    row = {"name": "JAX scan"}
    turn = training._turn(Fails(), 3, row)
    assert math.isnan(turn()) and row["absent"] == "its process ended"
