"""What `explain` says against brute force and finite differences, on small random instances."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from reference import Reference
from strategies import judged, small_documents, tiny_documents

import mecopt
from mecopt.costs import chain_costs
from mecopt.trellis import shortest_paths
from mecopt.trellis_arcs import build_arcs
from mecopt_solvers.explain import account, explain
from mecopt_solvers.explain.deadlines import relax_task, smallest_conflict
from mecopt_solvers.explain.dual_prices import prices
from mecopt_solvers.explain.elastic_flow import FlowModel
from mecopt_solvers.explain.paths import best_paths
from mecopt_solvers.explain.resolved import Clock, Solver

EXAMPLES = settings.default.max_examples
FEW = settings(max_examples=EXAMPLES * 2 // 5)
SOME = settings(max_examples=EXAMPLES // 4, suppress_health_check=list(HealthCheck))
CLOSE = {"rel": 1e-9, "abs": 1e-12}


def brute_paths(reference, task):
    """Return every placement of a task that keeps its deadlines and links, the best first."""
    paths = [path for path in reference.paths(task) if reference.task_feasible(task, path)]
    return sorted((reference.task_objective(task, path), path) for path in paths)


def instance_of(document):
    """Return the instance, or skip figures too large for sums."""
    try:
        instance = mecopt.from_dict(document)
        chain_costs(instance)
    except mecopt.InstanceError:
        assume(False)
    return instance


@given(small_documents(couplings=()), st.integers(1, 300))
@FEW
def test_the_best_placements_are_those_of_brute_force(document, count):
    instance, reference = instance_of(document), Reference(document)
    costs = chain_costs(instance)
    for task in range(instance.task_count):
        weight = build_arcs(costs, np.array([task])).weight[0]
        values, paths = best_paths(weight, int(costs.blocks[task]), count)
        expected = brute_paths(reference, task)[:count]
        assert values == pytest.approx([value for value, _ in expected], **CLOSE)
        found = [tuple(path) for path in paths.tolist()]
        assert len(set(found)) == len(expected)
        own = [reference.task_objective(task, path) for path in found]
        assert own == pytest.approx(values.tolist(), **CLOSE)


@given(judged(small_documents()))
@FEW
def test_time_and_energy_add_up(pair):
    document, placement = pair
    instance = instance_of(document)
    evaluation = mecopt.evaluate(instance, placement)
    tasks = tuple(range(instance.task_count))
    found = explain(instance, placement, tasks=tasks, time_limit_s=5.0)
    spent = found.spending
    for rows in (spent.blocks, spent.nodes, spent.tasks):
        for name, total in (
            ("delay_s", evaluation.total_delay_s),
            ("energy_j", evaluation.energy_j),
            ("excess_s", evaluation.deadline_excess_s),
        ):
            parts = [getattr(row, name) for row in rows]
            if total is None:
                assert None in parts
            else:
                assert sum(parts) == pytest.approx(total, **CLOSE)
    assert spent.total.count == instance.block_count.sum()
    assert found.source == "given"
    broken = {(v.kind, *v.where.items()) for v in evaluation.violations}
    limits = {limit.key: limit for limit in (*found.limits, *found.deadlines)}
    for key in broken:
        assert key[0] == "link" or limits[key].used is None or limits[key].binds


@given(small_documents(couplings=(), deadlines=("hard", "soft")))
@FEW
def test_what_deadlines_cost(document):
    instance, reference = instance_of(document), Reference(document)
    best = [reference.best_path(k) for k in range(instance.task_count)]
    assume(None not in best)
    found = {(value.task, value.block): value for value in explain(instance).deadline_values}
    for k, m in itertools.product(range(instance.task_count), range(instance.max_blocks)):
        if m >= instance.block_count[k] or reference.limit(k, m) is None:
            assert (k, m) not in found
            continue
        saved = []
        for factor in (1.1, None):
            tau = [reference.limit(k, i) for i in range(instance.block_count[k])]
            tau[m] = None if factor is None else tau[m] * factor
            tasks = [{**task} for task in document["tasks"]]
            tasks[k]["max_delay_s"] = tau
            saved.append(best[k][0] - Reference({**document, "tasks": tasks}).best_path(k)[0])
        value = found.get((k, m))
        own = (0.0, 0.0) if value is None else (value.saved_longer_s, value.saved_without_s)
        assert own == pytest.approx(saved, rel=1e-6, abs=1e-9 * max(best[k][0], 1e-3))


@given(small_documents(couplings=()), st.data())
@FEW
def test_the_cost_of_pins_and_bans(document, data):
    instance, reference = instance_of(document), Reference(document)
    task = data.draw(st.integers(0, instance.task_count - 1))
    blocks = int(instance.block_count[task])
    block, node = data.draw(st.integers(0, blocks - 1)), data.draw(st.integers(0, instance.server_count))
    pin = data.draw(st.booleans())
    best = [brute_paths(reference, k) for k in range(instance.task_count)]
    assume(all(best))
    text = f"{task}:{block}={node}"
    found = explain(instance, pins=[text] if pin else [], bans=[] if pin else [text]).forced
    left = [value for value, path in best[task] if (path[block] == node) == pin]
    if not left:
        assert found.cost_s is None
        assert found.reasons
    else:
        assert found.cost_s == pytest.approx(
            left[0] - best[task][0][0], rel=1e-6, abs=1e-9 * best[task][0][0]
        )
        assert found.exact


@given(tiny_documents(couplings=("energy", "capacity", "memory")), st.data())
@SOME
def test_the_cost_of_pins_under_couplings(document, data):
    instance, reference = instance_of(document), Reference(document)
    task = data.draw(st.integers(0, instance.task_count - 1))
    node = data.draw(st.integers(0, instance.server_count))
    choices = [
        [path for path in reference.paths(k) if reference.task_feasible(k, path)]
        for k in range(instance.task_count)
    ]
    feasible = [joint for joint in itertools.product(*choices) if reference.feasible(joint)]
    assume(feasible)
    found = explain(instance, pins=[f"{task}:0={node}"], method="ilp", time_limit_s=10.0)
    free = min(map(reference.objective, feasible))
    assert found.objective == pytest.approx(free, rel=1e-6, abs=1e-9)
    held = [reference.objective(joint) for joint in feasible if joint[task][0] == node]
    if not held:
        assert found.forced.cost_s is None
    else:
        assert found.forced.cost_s == pytest.approx(min(held) - free, rel=1e-5, abs=2e-6 * max(free, 1.0))


def raised(instance, limit, amount):
    """Return the instance with one shared limit raised by so many units."""
    where = limit.where
    if limit.kind == "capacity":
        return instance.replace(slot_s=instance.slot_s + amount)
    if limit.kind == "energy":
        devices = [
            dataclasses.replace(d, energy_budget_j=d.energy_budget_j + amount)
            if d.name == where["device"]
            else d
            for d in instance.devices
        ]
        return instance.replace(devices=tuple(devices))
    servers, devices = list(instance.servers), list(instance.devices)
    parts, i = (servers, where["node"] - 1) if where["node"] else (
        devices, [d.name for d in devices].index(where["device"]))  # fmt: skip
    parts[i] = dataclasses.replace(parts[i], memory_bytes=parts[i].memory_bytes + amount * 1e6)
    return instance.replace(servers=tuple(servers), devices=tuple(devices))


def lp_value(instance):
    model = FlowModel(instance, chain_costs(instance), np.arange(instance.task_count))
    return Solver(model.program, model.program.cost, integer=False).solve(Clock(10.0)).value


def priced_instance(kind, seed):
    """Return an instance in which limits of one kind bind, and no tie makes a slope ambiguous."""
    draw = np.random.default_rng(seed)
    tasks, servers, blocks = 6, 2, 3
    model = mecopt.Model(
        "m",
        tuple(
            mecopt.Block(*(float(v) for v in draw.uniform((1e8, 1e5, 1e6), (1e9, 1e6, 1e7))))
            for _ in range(blocks)
        ),
    )
    memory = float(draw.uniform(3e6, 8e6)) if kind == "memory" else None
    instance = mecopt.Instance(
        name=f"{kind}{seed}",
        slot_count=1,
        slot_s=float(draw.uniform(0.3, 1.0)),
        models=(model,),
        devices=(mecopt.Device("d", 1e9, 1.0, compute_power_w=0.5, energy_budget_j=4.0),),
        servers=tuple(
            mecopt.Server(f"s{n}", float(draw.uniform(3e9, 6e9)), memory_bytes=memory) for n in range(servers)
        ),
        links=mecopt.Links.of(servers, 1e7),
        tasks=mecopt.Tasks.of(
            slot=np.zeros(tasks, dtype=int),
            device=np.zeros(tasks, dtype=int),
            model=np.zeros(tasks, dtype=int),
            rate_bps=draw.uniform(1e6, 4e6, (tasks, servers)),
            blocks=blocks,
        ),
        rules=mecopt.Rules.preset("paper", deadline="none", couplings=frozenset([kind])),
    )
    free = mecopt.evaluate(instance, shortest_paths(chain_costs(instance)).placement).energy_j
    device = dataclasses.replace(instance.devices[0], energy_budget_j=0.98 * free)
    return instance.replace(devices=(device,))


@pytest.mark.parametrize("kind", ["energy", "capacity", "memory"])
@pytest.mark.parametrize("seed", range(5))
def test_prices_are_slopes_of_the_relaxation(kind, seed):
    instance = priced_instance(kind, seed)
    costs = chain_costs(instance)
    found = prices(instance, costs, shortest_paths(costs), Clock(10.0))
    base = lp_value(instance)
    assert found.lower_bound == pytest.approx(base, rel=1e-7)
    assert found.lower_bound <= base * (1 + 1e-9)
    # All servers' capacities are one number of the instance, so they are raised together.
    groups = [found.limits] if kind == "capacity" else [(limit,) for limit in found.limits]
    for limits in groups:
        step = 1e-4 * limits[0].limit / (1e6 if kind == "memory" else 1.0)
        saved = base - lp_value(raised(instance, limits[0], step))
        assert sum(limit.price for limit in limits) * step == pytest.approx(saved, rel=1e-3, abs=1e-8)
    if kind != "memory":
        assert any(limit.price > 0 for limit in found.limits)


@given(st.sets(st.integers(0, 12)), st.integers(0, 2**13 - 1))
def test_the_smallest_conflict(guilty, extra):
    members = list(range(13))
    other = {m for m in members if extra >> m & 1}

    def impossible(kept):
        return guilty <= set(kept) or other <= set(kept)

    found = smallest_conflict(members, impossible)
    assert impossible(found)
    assert not any(impossible([m for m in found if m != left_out]) for left_out in found)


@given(small_documents(couplings=(), deadlines=("hard",)))
@FEW
def test_tasks_that_cannot_be_placed(document):
    instance, reference = instance_of(document), Reference(document)
    costs = chain_costs(instance)
    values = shortest_paths(costs).value
    for k in np.flatnonzero(np.isinf(values)).tolist():
        found = relax_task(costs, k)
        linked = [path for path in reference.paths(k) if reference.has_links(k, path)]
        if not linked:
            assert found is None
            continue
        late = [reference.late_blocks(k, path) for path in linked]
        least = min(
            sum(reference.block_delays(k, path)[m] - reference.limit(k, m) for m in blocks)
            for path, blocks in zip(linked, late, strict=True)
        )
        assert found.extra_s == pytest.approx(least, rel=1e-6, abs=1e-9)
        kept = {m for m, _ in found.conflict}
        assert all(kept & set(blocks) for blocks in late)
        for m in kept:
            assert any(not (kept - {m}) & set(blocks) for blocks in late)
        if found.factor is not None:
            assert _placed(document, k, found.factor * (1 + 1e-6))
            assert not _placed(document, k, found.factor * (1 - 1e-6))


def _placed(document, task, factor):
    """Say whether a task can be placed with its deadlines times a factor."""
    reference = Reference(document)
    tau = [reference.limit(task, m) for m in range(len(reference.blocks(task)))]
    tasks = [{**one} for one in document["tasks"]]
    tasks[task]["max_delay_s"] = [None if one is None else one * factor for one in tau]
    return bool(brute_paths(Reference({**document, "tasks": tasks}), task))


def lifted(reference, joint, kept):
    """Say whether a placement breaks none of the limits in `kept`."""
    return not any(key in kept for key in reference.broken(joint))


@given(tiny_documents(deadlines=("hard",), couplings=("energy", "capacity", "memory")))
@SOME
def test_conflicts_and_relaxations_of_coupled_instances(document):
    assume(document.get("rules", {}).get("couplings"))
    instance, reference = instance_of(document), Reference(document)
    choices = [
        [path for path in reference.paths(k) if reference.has_links(k, path)]
        for k in range(instance.task_count)
    ]
    alone = all(any(reference.task_feasible(k, path) for path in paths) for k, paths in enumerate(choices))
    joints = list(itertools.product(*choices))
    assume(alone and not any(map(reference.feasible, joints)))
    found = explain(instance, method="ilp", time_limit_s=20.0)
    assert found.status == "infeasible"
    conflict, relaxation = found.infeasibility.conflict, found.infeasibility.relaxation
    kept = [_key(limit) for limit in conflict.limits]
    assert conflict.irreducible
    assert not any(lifted(reference, joint, kept) for joint in joints)
    for left_out in kept:
        others = [key for key in kept if key != left_out]
        assert any(lifted(reference, joint, others) for joint in joints)
    placement = relaxation.placement.tolist()
    joint = [tuple(node for node in row if node >= 0) for row in placement]
    assert {_key(violation) for violation in relaxation.violations} == reference.broken(joint)
    costs = [shares(mecopt.evaluate(instance, joint).violations) for joint in joints]
    assert relaxation.bound <= min(costs) * (1 + 1e-6) + 1e-9
    if min(costs) < 1e5:
        assert relaxation.least
        assert relaxation.cost == pytest.approx(min(costs), rel=1e-5, abs=1e-8)


def shares(violations):
    """Add up by how much limits are exceeded, as shares of them; above a shared 0 is too much."""
    if any(v.limit == 0 and v.kind != "deadline" for v in violations):
        return np.inf
    return sum((v.value - v.limit) / (v.limit or 1.0) for v in violations)


@given(tiny_documents())
@SOME
def test_any_instance_is_explained(document):
    instance, reference = instance_of(document), Reference(document)
    method = "ilp" if instance.rules.couplings else "trellis"
    found = explain(instance, tasks=[0], best=3, pins=["0:0=0"], method=method)
    json.dumps(found.to_dict(), allow_nan=False)
    best = reference.best_coupled()
    if best is None:
        assert found.status == "infeasible"
        assert found.infeasibility is not None
    else:
        assert found.status == "optimal"
        assert found.objective == pytest.approx(best, rel=2e-6, abs=1e-12)
        assert found.lower_bound <= best * (1 + 1e-9)


def test_without_a_method_the_relaxation_is_explained(monkeypatch):
    def solve(*args, relax=False, **options):
        if not relax:
            raise mecopt.CouplingError("no method")
        return mecopt.solve(*args, relax=True, **options)

    monkeypatch.setattr(account, "solve", solve)
    instance = priced_instance("capacity", 0)
    found = explain(instance, pins=["0:0=0"])
    assert found.forced.note == "couplings left out"
    assert any("no installed method" in note for note in found.notes)
    assert found.status in ("violating", "feasible")


def test_arguments_out_of_range():
    instance = priced_instance("energy", 0)
    for arguments in ({"tasks": [6]}, {"tasks": [0], "best": 0}, {"pins": ["0:9=0"]}):
        with pytest.raises(mecopt.InputError):
            explain(instance, **arguments)


def test_no_time_is_said_so():
    found = explain(priced_instance("capacity", 0), [[0, 0, 0]] * 6, time_limit_s=0.0)
    assert any("no prices for 6 of 6 tasks" in note for note in found.notes)
    assert all(limit.price is None for limit in found.limits)


def _key(limit):
    """Return a limit's place in the form that `Reference.broken` uses."""
    where = limit.where
    if limit.kind == "memory":
        return ("memory", where["slot"], where.get("device", where["node"]))
    return (limit.kind, *where.values())
