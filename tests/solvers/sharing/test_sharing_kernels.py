"""The compiled loops of sharing against plain formulas: conjugates, the master, exact re-routing."""

import itertools

import numpy as np
import pytest

import mecopt
from mecopt.incumbent import Run
from mecopt_solvers.sharing import choice_kernels, curve_kernels, master_kernels, tree_kernels
from mecopt_solvers.sharing.load_prices import Dual
from mecopt_solvers.sharing.path_pool import curve_of, fill, truth_of
from mecopt_solvers.sharing.slot import build_slot


@pytest.mark.parametrize(
    ("worth", "mm1", "top"), [(2.0, True, 1 - 1e-6), (2.0, True, 0.5), (0.3, False, np.inf), (0.0, True, 0.9)]
)
def test_conjugates_are_the_largest_difference(worth, mm1, top):
    loads = np.linspace(0, min(top, 40.0), 100_001)
    curve = [curve_kernels.added(x, worth, mm1, top) for x in loads]
    for price in (0.5, 3.0, 20.0):
        largest = float((price * loads - curve).max())
        assert curve_kernels.conjugate(price, worth, mm1, top) == pytest.approx(largest, rel=1e-5)
        assert curve_kernels.conjugate(price, worth, mm1, top) >= largest * (1 - 1e-12)
    assert curve_kernels.added(top * 1.001, worth, mm1, top) == np.inf or top == np.inf


def test_conjugates_are_those_of_the_model():
    # g*(lambda) of s: the price is for a whole slot above the calculation itself, a (lambda - 1) s.
    for stretch in (1.0, 1.7, 9.0):
        price = 2.0 * 3.0 * (stretch - 1.0)
        mm1 = 2.0 * 3.0 * (np.sqrt(stretch) - 1.0) ** 2
        assert curve_kernels.conjugate(price, 6.0, True, 1.0 - 1e-6) == pytest.approx(mm1, abs=1e-15)
        affine = 2.0 * 3.0 * (stretch - 1.0) ** 2 / 4.0
        assert curve_kernels.conjugate(price, 6.0, False, np.inf) == pytest.approx(affine, abs=1e-15)


@pytest.mark.parametrize("mm1", [True, False])
@pytest.mark.parametrize("most", [0.8, 4.0])
def test_the_master_finds_the_best_mixture(mm1, most):
    rng = np.random.default_rng(3)
    for _ in range(20):
        columns, servers = int(rng.integers(1, 12)), int(rng.integers(1, 6))
        cost, load = rng.uniform(0, 3, columns), rng.uniform(0, most, (columns, servers))
        load[0] = 0.1
        share, mean, price = np.full(columns, 1 / columns), np.empty(servers), np.empty(servers)
        value = master_kernels.mix(cost, load, 1.0, mm1, share, mean, price, 1e-10)
        assert share.sum() == pytest.approx(1.0)
        assert share.min() >= 0.0
        figures = [curve_kernels.smooth(x, 1.0, mm1) for x in share @ load]
        assert value == pytest.approx(share @ cost + sum(f[0] for f in figures), rel=1e-8)
        slope = cost + load @ np.array([f[1] for f in figures])
        assert share @ slope - slope.min() <= 1e-6 * max(value, 1.0)  # what no mixture can be better by


def small(number, **rules):
    """Return a slot of a few tasks, its prices and the pool of all paths."""
    instance = mecopt.generate("crowd:batch=4,blocks=3,servers=2,couplings=none,sharing=mm1", seed=number)
    slot = build_slot(instance.replace(slot_s=0.15), Run(instance).costs, np.arange(4), None)
    dual = Dual.start(slot)
    dual.run(lambda: False)
    none = np.zeros((0, 4, 3), dtype=np.int64)
    return slot, dual, fill(slot, dual.best, 1e9, 10_000, none)


@pytest.mark.parametrize("number", range(3))
def test_rerouting_all_tasks_is_exhaustive(number):
    slot, dual, pool = small(number)
    curve, truth = curve_of(slot, dual.best.prices[:2].copy()), truth_of(slot)
    common = (pool.first, pool.reduced, pool.use, pool.path, curve, slot.slot_s, truth)
    least, load = np.inf, np.zeros(2)
    for chosen in itertools.product(*(range(a, b) for a, b in itertools.pairwise(pool.first))):
        rows = np.array(chosen)
        cost = pool.cost[rows].sum()
        loads = pool.use[rows].sum(axis=0)
        least = min(least, cost + sum(curve_kernels.added(x, *curve[:3]) for x in loads))
    start = pool.first[:-1].copy()
    above, nodes = choice_kernels.reroute(*common, start, load, np.arange(4), np.inf, 0.0, 1 << 30)
    assert 0 < nodes < np.diff(pool.first).prod()
    assert dual.best.bound + above == pytest.approx(least, rel=1e-9)
    assert load == pytest.approx(pool.use[start].sum(axis=0))
    here = np.zeros(2)
    again = choice_kernels.above(*common[1:4], start, here, curve, slot.slot_s, truth)
    assert again == pytest.approx(above, rel=1e-6, abs=1e-12)


def test_the_bound_over_a_pool_is_that_of_the_dual():
    slot, dual, pool = small(0)
    curve, tasks = slot.curve, len(pool.first) - 1
    column, share, prices = np.zeros((150, tasks), dtype=np.int64), np.zeros(150), np.zeros(2)
    column[0] = pool.first[:-1]
    bound, count = tree_kernels.relax(
        *(pool.first, pool.cost, pool.use, curve.worth, curve.mm1, curve.top),
        *(column, 1, share, prices, dual.best.bound * 1.0001, 1.0),
    )
    assert count >= 1
    assert bound == pytest.approx(dual.best.bound, rel=1e-5)
    assert bound <= dual.best.bound * (1 + 1e-9)
