"""The baselines: worked out by hand, held against brute force, and their fallback rule."""

import locale
import os
import random
import signal
import sys
from functools import cache

import numpy as np
import pytest

import mecopt
from mecopt.containment import SIGNALS, only_calculates
from mecopt.incumbent import Run
from mecopt_solvers.baselines import cuts, placing
from mecopt_solvers.crosscheck import brute_force, instances, random_instance

COUPLED = ["greedy", "apdi", "rpdi", "local", "best-server", "best-node", "single-cut", "greedy-arc"]
NAMES = [*COUPLED, "best-constant"]


def chain(
    *, tasks=1, couplings=(), rates=((8.0, 4.0),), slots=None, slot_s=100.0, cycles=(4.0, 2.0), **device
):
    """Two servers of speed 2 and 1, a device of speed 1; blocks of 4 and 2 cycles, 8 bits into each."""
    return mecopt.Instance(
        name="by-hand",
        slot_count=tasks if slots is None else slots,
        slot_s=slot_s,
        models=(mecopt.Model("m", tuple(mecopt.Block(c, 8.0) for c in cycles)),),
        devices=(mecopt.Device("d", 1.0, 1.0, kappa=1.0, **device),),
        servers=(mecopt.Server("a", 2.0), mecopt.Server("b", 1.0)),
        links=mecopt.Links.of(2, 8.0),
        tasks=mecopt.Tasks.of(
            slot=np.arange(tasks) % (tasks if slots is None else slots),
            device=0,
            model=0,
            rate_bps=np.tile(rates, (tasks, 1)) if len(rates) == 1 else rates,
            blocks=len(cycles),
        ),
        rules=mecopt.Rules(deadline="none", couplings=frozenset(couplings)),
    )


def placed(instance, name, **options):
    result = mecopt.solve(instance, name, **options)
    return result.evaluation.placement.tolist(), result.objective


def test_greedy_takes_the_server_with_the_least_work():
    # Block 0: both idle, so a: 8/8 + 4/2 = 3. Load a 2, b 0. Block 1 to b: hop 8/8 + 2/1 = 3. Sum 6.
    assert placed(chain(), "greedy") == ([[1, 2]], 6.0)
    # A second task of the same slot finds a 2, b 2: a, its load then 4; block 1 to b.
    assert placed(chain(tasks=2, slots=1), "greedy") == ([[1, 2], [1, 2]], 12.0)
    # With the device: block 0 there (all idle, lowest node), 4 s; block 1 to a: 8/8 + 2/2 = 2.
    assert placed(chain(), "greedy", include_device=True) == ([[0, 1]], 6.0)


def test_apdi_cuts_equal_chunks():
    # Blocks 0 and 1 of four on a, 2 and 3 on b: 1 + 2, 1, 1 + 1, 2.
    assert placed(chain(cycles=(4.0, 2.0, 1.0, 2.0)), "apdi") == ([[1, 1, 2, 2]], 8.0)
    nodes, _ = placed(chain(cycles=(4.0, 2.0, 1.0, 2.0)), "apdi", round_robin=True)
    assert nodes == [[1, 2, 1, 2]]
    # Three blocks on two servers: floor(m 2 / 3) = 0, 0, 1.
    assert placed(chain(cycles=(4.0, 2.0, 1.0)), "apdi")[0] == [[1, 1, 2]]


def test_the_simple_ones_by_hand():
    one = chain()
    assert placed(one, "local") == ([[0, 0]], 6.0)
    # a: 8/8 + 4/2 + 2/2 = 4; b: 8/4 + 4 + 2 = 8.
    assert placed(one, "best-server") == ([[1, 1]], 4.0)
    assert placed(one, "best-node") == ([[1, 1]], 4.0)
    # With slow links: local 6, a 8/2 + 3 = 7; cut behind block 0: 4 + 4 + 1 = 9.
    slow = chain(rates=((2.0, 1.0),))
    assert placed(slow, "best-node") == ([[0, 0]], 6.0)
    assert placed(slow, "single-cut") == ([[0, 0]], 6.0)
    # The first block is small: on the device 0.5, then 1 + 4/2 = 3.5 in all; on a 1 + 0.25 + 2 = 3.25.
    assert placed(chain(cycles=(0.5, 4.0)), "single-cut") == ([[1, 1]], 3.25)
    # Without any calculation on the device it pays: 0 + 1 + 2 = 3, as much as all on a; the later cut wins.
    assert placed(chain(cycles=(0.0, 4.0)), "single-cut") == ([[0, 1]], 3.0)


def test_greedy_arc_does_not_look_ahead():
    # Block 0: device 0.5, a 1 + 0.25. Block 1: device 4, a 1 + 2. Sum 3.5, above the 3.25 of all on a.
    assert placed(chain(cycles=(0.5, 4.0)), "greedy-arc") == ([[0, 1]], 3.5)


def test_best_constant_is_best_for_all_tasks_together():
    # Task 0 is best on a (4, local 6), task 1 on the device (local 6, on a 8/1 + 3 = 11): local 12, a 15.
    two = chain(tasks=2, rates=((8.0, 4.0), (1.0, 1.0)))
    assert placed(two, "best-constant") == ([[0, 0], [0, 0]], 12.0)
    assert placed(two, "best-node") == ([[1, 1], [0, 0]], 10.0)


def test_rpdi_is_uniform():
    many = chain(tasks=6000)
    nodes = mecopt.solve(many, "rpdi", seed=3).evaluation.placement
    counts = np.bincount(nodes.ravel(), minlength=3)
    assert np.abs(counts - 4000).max() < 5 * np.sqrt(12000 * 2 / 9)
    other = mecopt.solve(many, "rpdi", seed=4).evaluation.placement
    assert (nodes != other).any()


def test_a_full_server_sends_the_next_task_elsewhere():
    # A slot of 3 s: the first task takes 3 s of a; the second one fits neither (b: 6 s), so the device.
    full = chain(tasks=2, slots=1, slot_s=3.0, couplings=["capacity"])
    result = mecopt.solve(full, "best-node")
    assert result.evaluation.placement.tolist() == [[1, 1], [0, 0]]
    assert (result.status, result.objective, result.repairs) == ("feasible", 10.0, 1)


def test_energy_runs_out_and_the_rest_is_violating():
    # A block on the device takes kappa f^2 c = 4 and 2 J; sending takes 1 W for 1 s. Budget 1.5 J: one task.
    short = chain(tasks=2, couplings=["energy"], energy_budget_j=1.5)
    result = mecopt.solve(short, "best-node")
    assert result.status in ("violating", "infeasible")
    enough = chain(tasks=2, couplings=["energy"], energy_budget_j=2.0)
    assert mecopt.solve(enough, "best-node").objective == 8.0


def test_memory_is_held_once_and_then_full():
    blocks = tuple(mecopt.Block(4.0, 8.0, param_bytes=10.0, name=f"b{i}") for i in range(2))
    base = chain(tasks=2, slots=1, couplings=["memory"])
    tight = base.replace(
        models=(mecopt.Model("m", blocks),),
        servers=(mecopt.Server("a", 2.0, memory_bytes=10.0), mecopt.Server("b", 1.0)),
    )
    # Block 0 fits on a, for both tasks at once; block 1 does not and goes to b, the next in its order.
    result = mecopt.solve(tight, "apdi")
    assert result.evaluation.placement.tolist() == [[1, 2], [1, 2]]
    result = mecopt.solve(tight, "best-server")
    assert result.evaluation.placement.tolist() == [[2, 2], [2, 2]]


def test_a_missing_link_falls_to_the_next_of_the_own_order():
    lost = chain(rates=((0.0, 4.0),))
    result = mecopt.solve(lost, "apdi")
    assert result.evaluation.placement.tolist() == [[2, 2]]
    assert result.repairs == 1
    # No server can be reached and the device is not in the order: the first choice, violating.
    cut_off = mecopt.solve(chain(rates=((0.0, 0.0),)), "apdi")
    assert cut_off.status == "violating"
    assert cut_off.evaluation.placement.tolist() == [[1, 2]]
    # A random node is drawn anew among those that exist.
    assert mecopt.solve(chain(tasks=200, rates=((0.0, 4.0),)), "rpdi").status == "feasible"


@pytest.mark.parametrize("name", NAMES)
def test_pins_win_over_the_rule(name):
    result = mecopt.solve(chain(tasks=3), name, pins=["1:0=2", "1:1=0"])
    assert result.evaluation.placement[1].tolist() == [2, 0]
    assert result.status in ("feasible", "optimal")


def test_options_are_checked():
    with pytest.raises(mecopt.InputError, match="round_robin: 1, expected true or false"):
        mecopt.solve(chain(), "apdi", round_robin=1)


@cache
def solved_by_force():
    few = (i for i in instances(40, seed=31) if (i.server_count + 1) ** int(i.block_count.sum()) <= 3000)
    return [(instance, brute_force(instance)) for instance in few]


@pytest.mark.parametrize("name", COUPLED)
def test_never_better_than_the_optimum_and_feasible_when_it_says_so(name):
    for instance, best in solved_by_force():
        result = mecopt.solve(instance, name)
        if best is None:
            assert result.status in ("infeasible", "violating")
        elif result.objective is not None:
            assert result.objective >= best.objective * (1 - 1e-9)
            assert mecopt.evaluate(instance, result.evaluation.placement).feasible


@pytest.mark.parametrize("name", ["greedy", "apdi", "rpdi", "greedy-arc", "best-node", "single-cut"])
def test_going_task_by_task_finds_what_all_at_once_found(name, monkeypatch):
    """Limits that cannot bind send nothing elsewhere, so the compiled loops must repeat the free rule."""
    drawn = [random_instance(np.random.default_rng([32, i]), frozenset()) for i in range(25)]
    free = [mecopt.solve(instance, name) for instance in drawn]
    loose = [
        instance.replace(rules=mecopt.Rules(**{**vars(instance.rules), "couplings": frozenset(["capacity"])}))
        for instance in (i.replace(slot_s=1e12) for i in drawn)
    ]
    never = type("Never", (), {"feasible": False})
    monkeypatch.setattr(placing, "evaluate", lambda *a, **k: never)
    monkeypatch.setattr(cuts, "evaluate", lambda *a, **k: never)
    for before, instance in zip(free, loose, strict=True):
        result = mecopt.solve(instance, name)
        if result.status == "infeasible":
            assert before.status == "infeasible"
        else:
            assert result.evaluation.placement.tolist() == before.evaluation.placement.tolist()


@pytest.mark.parametrize("name", [*NAMES, "selfish", "social"])
def test_nothing_of_the_process_has_to_be_undone(name):
    """Solve relies on it: see `mecopt.containment.only_calculates`."""
    method = next(m for m in mecopt.methods() if m.name == name)
    assert only_calculates(method.kind, method.solve)
    instance = chain(tasks=3, couplings={"capacity", "energy", "memory"}, energy_budget_j=1e3)
    if not method.suits(instance):
        instance = instance.replace(rules=mecopt.Rules(deadline="none"))

    def state():
        drawn = np.random.get_state()  # noqa: NPY002
        handlers = [signal.getsignal(number) for number in SIGNALS]
        settings = (os.getcwd(), dict(os.environ), locale.setlocale(locale.LC_ALL), np.geterr(), handlers)
        return (*settings, random.getstate(), drawn[1].tolist(), sys.stdout, sys.getrecursionlimit())

    before = state()
    method.solve(instance, Run(instance))
    assert state() == before
