"""`ilp`, and what it shares with `milp` and `cpsat`: start, limits, interrupt, a solver that lies or dies."""

import _thread
import threading
import time
import warnings

import numpy as np
import pytest
from places import ROOT
from reference import Reference

import mecopt
from mecopt.costs import chain_costs
from mecopt.errors import MethodError
from mecopt.io import load
from mecopt.trellis import shortest_paths
from mecopt.trellis_arcs import build_arcs
from mecopt_solvers.crosscheck import brute_force, instances
from mecopt_solvers.programs import exact, linear_program, watched
from mecopt_solvers.programs.flow import build_flow
from mecopt_solvers.programs.jobs import SearchOutcome
from mecopt_solvers.programs.linear_program import at_most, safe_bound
from mecopt_solvers.programs.presolve import reduce
from mecopt_solvers.programs.relaxation import lp_bound

HARD = "instances/crowd_k60_n4.json"


@pytest.fixture(scope="module")
def crowd():
    return load(HARD)


EACH = pytest.mark.parametrize("method", ["milp", "ilp", "cpsat"])


@EACH
@pytest.mark.parametrize(
    "name", ["tiny_capacity", "tiny_energy", "tiny_memory", "tiny_deadline", "tiny_measured"]
)
def test_the_hand_checked_instances(method, name):
    instance = load(f"instances/{name}.json")
    result = mecopt.solve(instance, method)
    assert result.status == "optimal"
    assert result.objective == pytest.approx(brute_force(instance).objective, rel=1e-9)


@EACH
def test_infeasible_is_a_result_with_reasons(method):
    result = mecopt.solve(load("instances/tiny_infeasible.json"), method)
    assert result.status == "infeasible"
    assert result.reasons[0]["kind"] == "deadline"


@EACH
@pytest.mark.parametrize("coupling", ["capacity", "memory", "energy"])
def test_zero_limits_are_limits(method, coupling):
    """Nothing may be used at all: the device computes for nothing, the server may not."""
    instance = mecopt.Instance(
        name="zero",
        slot_count=1,
        slot_s=1e-12 if coupling == "capacity" else 1.0,
        models=(mecopt.Model("m", (mecopt.Block(1.0, 1.0, 5.0), mecopt.Block(1.0, 1.0, 5.0))),),
        devices=(mecopt.Device("d", 1.0, 1.0, kappa=0.0, energy_budget_j=0.0),),
        servers=(mecopt.Server("s", 100.0, memory_bytes=0.0),),
        links=mecopt.Links.of(1),
        tasks=mecopt.Tasks.of(slot=[0], device=0, model=0, rate_bps=[[100.0]], blocks=2),
        rules=mecopt.Rules(couplings=frozenset({coupling})),
    )
    result = mecopt.solve(instance, method)
    assert result.status == "optimal"
    assert result.placement.tolist() == [[0, 0]]


@EACH
@pytest.mark.parametrize(("share", "status"), [(1 - 0.9e-9, "optimal"), (1 - 1.1e-9, "infeasible")])
def test_feasible_by_a_hair(method, share, status):
    """What counts as within a limit is 1e-9 wider than the limit, for everybody."""
    base = load("instances/tiny_energy.json")
    least = min(judged.device_energy[0] for judged in _all(base.replace(rules=mecopt.Rules(deadline="none"))))
    tight = mecopt.Device(**{**vars(base.devices[0]), "energy_budget_j": float(least * share)})
    instance = base.replace(
        devices=(tight, *base.devices[1:]),
        rules=mecopt.Rules(deadline="none", couplings=frozenset({"energy"})),
    )
    assert mecopt.solve(instance, method).status == status


def _all(instance):
    """Judge every placement."""
    from itertools import product

    shape = (instance.task_count, instance.max_blocks)
    for flat in product(range(instance.server_count + 1), repeat=shape[0] * shape[1]):
        yield mecopt.evaluate(instance, np.reshape(flat, shape))


# --- start, pins, options ---
@EACH
def test_a_feasible_start_is_used(method, crowd):
    start = np.zeros((60, crowd.max_blocks), dtype=int)
    result = mecopt.solve(crowd, method, warm_start=start, time_limit_s=0.0)
    assert result.status == "feasible"
    assert result.objective == mecopt.evaluate(crowd, start).objective


@EACH
def test_a_start_that_violates_is_refused_and_said_so(method):
    instance = load("instances/tiny_capacity.json")
    start = np.ones((instance.task_count, instance.max_blocks), dtype=int)
    assert not mecopt.evaluate(instance, start).feasible
    result = mecopt.solve(instance, method, warm_start=start)
    assert result.status == "optimal"
    assert result.options["warm_start_used"].startswith("refused: capacity")


@EACH
def test_a_late_task_of_a_start_is_repaired_and_said_so(method):
    document = mecopt.to_dict(load("instances/tiny_capacity.json"))
    document["rules"]["deadline"] = "hard"
    document["tasks"][0]["max_delay_s"] = [1.2, None]
    instance = mecopt.from_dict(document)
    best = brute_force(instance)
    start = best.placement.copy()
    start[0] = [0, 0]
    result = mecopt.solve(instance, method, warm_start=start)
    assert result.objective == pytest.approx(best.objective, rel=1e-9)
    if result.repairs:
        assert "warm_start_used" in result.options


@EACH
def test_pins_and_bans_hold(method):
    for instance in instances(24, seed=5):
        free = mecopt.solve(instance, method)
        if free.status != "optimal":
            continue
        node = int(free.placement[0, 0])
        other = mecopt.solve(instance, method, bans=[f"0:0={node}"])
        same = mecopt.solve(instance, method, pins=[f"0:0={node}"])
        assert same.objective == pytest.approx(free.objective, rel=1e-9)
        if other.status == "optimal":
            assert other.placement[0, 0] != node
            assert other.objective >= free.objective * (1 - 1e-9)


@EACH
def test_unknown_options_are_refused(method):
    with pytest.raises(mecopt.InputError, match="has no option 'colour'"):
        mecopt.solve(load("instances/tiny_capacity.json"), method, colour="red")


@EACH
def test_threads_may_differ_from_one_solve_to_the_next(method):
    instance = load("instances/tiny_capacity.json")
    values = [mecopt.solve(instance, method, threads=n).objective for n in (1, 2, 1)]
    assert values == [values[0]] * 3


# --- limits ---
@EACH
def test_the_time_limit_holds(method, crowd):
    start = time.perf_counter()
    result = mecopt.solve(crowd, method, time_limit_s=1.0)
    assert time.perf_counter() - start < 1.0 + watched.GRACE_S + 1.0
    assert result.stopped_by == "time"
    assert result.lower_bound > 0
    assert result.trace == tuple(sorted(result.trace, key=lambda point: point[0]))


@pytest.mark.parametrize("method", ["ilp", "cpsat"])
def test_the_gap_is_a_limit(method, crowd):
    result = mecopt.solve(crowd, method, gap=0.2, time_limit_s=30)
    assert result.stopped_by == "gap"
    assert result.gap <= 0.2


def test_a_library_that_does_not_stop_is_left_behind(monkeypatch):
    monkeypatch.setattr(watched, "GRACE_S", 0.2)
    never = threading.Event()
    start = time.perf_counter()
    done = watched.watched(lambda post: never.wait(20), lambda: None, lambda kind, value: None, lambda: True)
    assert done == (None, True)
    assert time.perf_counter() - start < 2
    never.set()


def test_an_error_in_the_library_comes_out():
    def work(post):
        raise OSError("dead")

    with pytest.raises(OSError, match="dead"):
        watched.watched(work, lambda: None, lambda kind, value: None, lambda: False)


@EACH
def test_ctrl_c_keeps_the_best_so_far(method, crowd):
    start = np.zeros((60, crowd.max_blocks), dtype=int)
    timer = threading.Timer(1.0, _thread.interrupt_main)
    timer.start()
    before = time.perf_counter()
    result = mecopt.solve(crowd, method, warm_start=start, time_limit_s=30)
    assert time.perf_counter() - before < 5.0  # the machine may be busy; left alone it would take 30
    timer.cancel()
    assert result.stopped_by == "interrupt"
    assert result.objective is not None
    assert result.lower_bound > 0


# --- a solver that lies or dies ---
def lying(monkeypatch, engine):
    monkeypatch.setattr("mecopt_solvers.programs.ilp.branch_and_bound", engine)
    return mecopt.solve(load("instances/tiny_capacity.json"), "ilp")


def test_a_bound_above_the_truth_is_held_down_by_the_judge(monkeypatch):
    def engine(job):
        nodes = np.zeros((2, 2), dtype=int)
        job.found(job.program.encode(nodes))
        return SearchOutcome("optimal", 1e9)

    result = lying(monkeypatch, engine)
    assert result.lower_bound <= result.objective


def test_placements_that_violate_are_cut_off_until_none_is_left(monkeypatch):
    seen = []

    def engine(job):
        seen.append(len(job.program.rows.lower))
        if len(seen) <= 3:
            job.found(job.program.encode(np.ones((2, 2), dtype=int)))
        return SearchOutcome("failed", None, "died")

    with pytest.raises(MethodError, match="died"):
        lying(monkeypatch, engine)
    assert seen[1] > seen[0]


def test_a_claim_of_an_optimum_without_a_placement_is_not_believed(monkeypatch):
    with pytest.raises(MethodError, match="no feasible placement"):
        lying(monkeypatch, lambda job: SearchOutcome("optimal", None))


# --- the program itself ---
def test_the_flow_lp_is_the_trellis_without_couplings():
    for instance in instances(16, seed=6):
        costs = chain_costs(instance)
        value = shortest_paths(costs).value
        if np.isinf(value).any():
            continue
        free = instance.replace(rules=mecopt.Rules(**{**vars(instance.rules), "couplings": frozenset()}))
        program = build_flow(free, build_arcs(costs), all_tasks=True)
        total = value.sum()
        assert lp_bound(program, unit=max(total, 1e-9) / 1e3) == pytest.approx(total, rel=1e-6, abs=1e-12)


def test_placements_survive_the_columns():
    for instance in instances(32, seed=8):
        best = brute_force(instance)
        if best is None:
            continue
        program = build_flow(instance, reduce(instance, chain_costs(instance)).arcs, all_tasks=True)
        x = program.encode(best.placement)
        assert (program.decode(x, np.full_like(best.placement, -1)) == best.placement).all()
        use = np.bincount(
            program.rows.index, program.rows.value * x[program.rows.column], len(program.rows.lower)
        )
        assert (use <= program.rows.upper + 1e-12).all()
        assert (use >= program.rows.lower - 1e-12).all()
        assert program.cost @ x >= 0


def test_a_safe_bound_is_safe_for_any_duals():
    rng = np.random.default_rng(0)
    for instance in instances(24, seed=9):
        best = brute_force(instance)
        reduced = reduce(instance, chain_costs(instance))
        if best is None:
            continue
        program = build_flow(instance, reduced.arcs, all_tasks=True)
        scale = program.cost.max() if program.columns else 1.0
        dual = rng.normal(size=len(program.rows.lower)) * scale
        assert reduced.offset + safe_bound(program, dual) <= best.objective * (1 + 1e-9) + 1e-12


def test_arcs_above_the_best_known_objective_are_left_out(crowd):
    reduced = reduce(crowd, chain_costs(crowd))
    known = reduced.offset * 1.01
    fewer = build_flow(crowd, reduced.within(known).arcs)
    assert fewer.columns < 0.9 * build_flow(crowd, reduced.arcs).columns


def test_a_cut_off_row(crowd):
    row = at_most(np.array([3, 5]), 1)
    assert row.entries(0)[0].tolist() == [3, 5]
    assert row.upper.tolist() == [1.0]
    assert exact.DONE < exact.SAFE < 1e-6


def _due(seed):
    """Return a document of a crowded slot whose deadlines are about what load makes of the best response."""
    rng = np.random.default_rng(seed)
    tasks, blocks, servers = 3, 2, 2
    speeds = rng.uniform(1, 2, tasks).tolist()
    document = {
        "format": "mecopt-instance/2",
        "slots": {"count": 1, "seconds": rng.uniform(4, 12)},
        "rules": {"deadline": "none", "couplings": ["sharing"], "sharing": ["mm1", "affine"][seed % 2]},
        "models": [
            {
                "name": "m",
                "blocks": [
                    {
                        "cycles": rng.uniform(1, 8),
                        "input_bits": rng.uniform(0, 1),
                        "start_seconds": {"s": 0.1},
                    }
                    for _ in range(blocks)
                ],
            }
        ],
        "devices": [{"name": f"d{k}", "cycles_per_s": speed} for k, speed in enumerate(speeds)],
        "servers": [{"cycles_per_s": rng.uniform(4, 8), "hardware": "s"} for _ in range(servers)],
        "links": {"server_bps": 2.0},
        "tasks": [
            {"slot": 0, "device": f"d{k}", "model": "m", "rate_bps": rng.uniform(1, 4, servers).tolist()}
            for k in range(tasks)
        ],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        judged = mecopt.solve(mecopt.from_dict(document), "selfish").evaluation
    for k, task in enumerate(document["tasks"]):
        share = rng.uniform(0.9, 1.8)
        if rng.random() < 0.5:
            task["max_total_delay_s"] = float(share * judged.task_delay_s[k])
        else:
            task["max_delay_s"] = (share * judged.block_delay_s[k]).tolist()
    document["rules"]["deadline"] = "hard"
    return document


def test_hard_deadlines_are_on_times_that_load_stretches(monkeypatch):
    cut, found = [], linear_program.late_columns
    monkeypatch.setattr(linear_program, "late_columns", lambda *a: cut.extend(c := list(found(*a))) or c)
    statuses = set()
    for seed in range(16):
        document = _due(seed)
        result = mecopt.solve(mecopt.from_dict(document), "ilp", time_limit_s=30)
        truth = Reference(document).best_coupled()
        statuses.add(result.status)
        if truth is None:
            assert result.status == "infeasible", seed
            continue
        assert result.status == "optimal", seed
        assert result.objective == pytest.approx(truth, rel=1e-6)
        assert all(b <= truth * (1 + 1e-6) for _, _, b in result.trace if b is not None)
    assert statuses == {"optimal", "infeasible"}
    assert len(cut) > 8


def test_a_task_that_only_the_others_make_late_by_hand():
    """A second on the server, a slot of 2 s, affine sharing: one there takes 1.5 s, two take 2 s each."""
    task = {"slot": 0, "device": "d", "model": "m", "rate_bps": [1.0], "max_delay_s": 1.8}
    document = {
        "format": "mecopt-instance/2",
        "slots": {"count": 1, "seconds": 2.0},
        "rules": {"deadline": "hard", "couplings": ["sharing"], "sharing": "affine"},
        "models": [{"name": "m", "blocks": [{"cycles": 11, "input_bits": 0}]}],
        "devices": [{"name": "d", "cycles_per_s": 5, "transmit_power_w": 0}],
        "servers": [{"cycles_per_s": 11}],
        "tasks": [task, {**task, "max_delay_s": 2.2}],
    }
    result = mecopt.solve(mecopt.from_dict(document), "ilp")
    assert result.status == "optimal"
    assert result.placement.tolist() == [[1], [0]]  # on the device the first would take 2.2 s
    assert result.objective == pytest.approx(1.5 + 2.2)
    both = {**document, "tasks": [task, task]}
    assert mecopt.solve(mecopt.from_dict(both), "ilp").status == "infeasible"


def test_a_server_filled_to_the_most_that_mm1_takes_is_proved():
    instance = load(ROOT / "tests" / "data" / "full_server.json")
    result = mecopt.solve(instance, "ilp")
    assert result.status == "optimal"
    assert result.objective == brute_force(instance).objective
