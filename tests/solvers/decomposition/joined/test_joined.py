"""Slots joined by energy budgets: the search of all together against brute force, and what it promises."""

import signal
import threading
import time
from collections import Counter

import numpy as np
import pytest

import mecopt
from mecopt.entities import Coupling
from mecopt_solvers.crosscheck import brute_force, random_instance
from mecopt_solvers.decomposition import searches

LIMIT_S = 1.5  # all but a few take a tenth of a second; what those few claim by then has to hold too
BOTH = frozenset({Coupling.CAPACITY, Coupling.ENERGY})


@pytest.fixture
def joined(monkeypatch):
    """Send instances of any size to the joined search; return those searches, in order."""
    begun = []

    class Counted(searches.JoinedSearch):
        def __post_init__(self):
            super().__post_init__()
            begun.append(self)

    monkeypatch.setattr(searches, "JOINED_TASKS", 0)
    monkeypatch.setattr(searches, "JoinedSearch", Counted)
    return begun


def claim(instance, result):
    """Hold what a result claims against brute force; return what kind of answer it is."""
    best = brute_force(instance)
    if best is None:
        assert result.objective is None
        return result.status.value
    assert result.status != "infeasible"
    assert result.lower_bound is None or result.lower_bound <= best.objective * (1 + 1e-9)
    if result.objective is None:
        return "none found"
    assert result.objective >= best.objective * (1 - 1e-9)
    if result.status == "optimal":
        assert result.objective <= best.objective * (1 + 1e-9)
    return result.status.value


def check(joined, seed, wanted):
    """Solve so many tiny instances that slots are joined in; count the kinds of answers."""
    rng, kinds = np.random.default_rng(seed), Counter()
    while kinds.total() < wanted:
        instance = random_instance(rng, BOTH)
        before = len(joined)
        if len(np.unique(instance.tasks.slot)) < 2:
            continue
        result = mecopt.solve(instance, "decomposition", time_limit_s=LIMIT_S)
        if len(joined) > before:
            kinds[claim(instance, result)] += 1
    return kinds


def test_agrees_with_brute_force(joined):
    kinds = check(joined, 0, 30)
    assert kinds["optimal"] > 5  # of those with a placement most are proved, and so are most without one
    assert kinds["infeasible"] > 5
    assert kinds["optimal"] + kinds["infeasible"] + kinds["feasible"] > 25


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_agrees_with_brute_force_on_many(joined, seed):
    kinds = check(joined, seed, 100)
    assert kinds["optimal"] + kinds["infeasible"] + kinds["feasible"] > 90


def crowd(share, **changes):
    figures = {"seed": 7, "slots": 60, "batch": 8, "ratio": 0.8} | changes
    return mecopt.generate("crowd", couplings=("capacity", "energy"), energy_budget_share=share, **figures)


def test_budgets_that_bind_reach_their_gap(joined):
    instance = crowd(0.996)
    result = mecopt.solve(instance, "decomposition", gap=1e-2, time_limit_s=60)
    assert result.stopped_by == "gap"
    assert result.gap <= 1e-2
    assert len(joined) == 1
    spent = result.evaluation.device_energy
    budgets = np.array([device.energy_budget_j for device in instance.devices])
    assert (spent <= budgets * (1 + 1e-9)).all()
    assert (spent > 0.999 * budgets).any()
    bounds = [bound for _, _, bound in result.trace if bound is not None]
    assert bounds == sorted(bounds)


def test_few_tasks_are_proved_optimal(joined):
    """Fixed prices of the budgets leave a gap; one tree of all slots closes it."""
    instance = crowd(1.02, slots=3, batch=3, seed=8)
    result = mecopt.solve(instance, "decomposition", time_limit_s=60)
    assert result.status == "optimal"
    assert joined[-1].whole is not None
    assert result.objective == pytest.approx(mecopt.solve(instance, "ilp").objective, rel=1e-9)


def test_the_same_seed_gives_the_same_placement(joined):
    first, again = (mecopt.solve(crowd(1.0, slots=20), "decomposition", gap=2e-2, seed=3) for _ in range(2))
    assert (first.placement == again.placement).all()
    assert first.lower_bound == again.lower_bound
    assert len(joined) == 2


@pytest.mark.parametrize("limit_s", [0.2, 1.0])
def test_the_limit_holds(joined, limit_s):
    mecopt.solve(crowd(1.0, slots=20), "decomposition", gap=5e-2, time_limit_s=60)  # compiles
    instance = crowd(0.998, slots=200)
    begin = time.perf_counter()
    result = mecopt.solve(instance, "decomposition", time_limit_s=limit_s)
    assert time.perf_counter() - begin < limit_s + 5.0  # of a machine that others use too
    assert result.stopped_by == "time"
    assert result.lower_bound > 0


def test_an_interrupt_returns_what_is_there(joined):
    instance = crowd(0.997)
    begun = []

    def interrupt():
        while not begun and not (joined and joined[-1].value < np.inf):
            time.sleep(0.01)
        time.sleep(0.5)
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt, daemon=True)
    try:
        thread.start()
        result = mecopt.solve(instance, "decomposition", time_limit_s=60)
    finally:
        begun.append(True)
        signal.signal(signal.SIGINT, before)
    assert result.stopped_by == "interrupt"
    assert mecopt.evaluate(instance, result.placement).feasible
    assert 0 < result.lower_bound <= result.objective
