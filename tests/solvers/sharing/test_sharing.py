"""Sharing in the decomposition: the reference's optimum, bounds at every moment, slots apart, refusals."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT
from reference import Reference
from strategies import examples
from wide_strategies import wide_documents

import mecopt
from mecopt.features import forbidden
from mecopt.incumbent import Run
from mecopt_solvers.decomposition.searches import search_part
from mecopt_solvers.sharing.load_prices import Dual, price
from mecopt_solvers.sharing.path_pool import _codes
from mecopt_solvers.sharing.slot import build_slot

NAME = "decomposition"


@st.composite
def shared_documents(draw, **options):
    """Draw a document with sharing, capacity now and then, and nothing that the decomposition refuses."""
    document = draw(wide_documents(objectives=("delay", "sum"), **options))
    rules = document["rules"]
    capacity = ["capacity"] if "capacity" in rules.get("couplings", []) else []
    rules |= {"couplings": ["sharing", *capacity], "sharing": draw(st.sampled_from(["mm1", "affine"]))}
    rules.pop("one_run", None)
    document["slots"]["seconds"] = draw(st.sampled_from([0.5, 4.0, 64.0, 1e4, 1e8]))
    for task in document["tasks"]:
        task.pop("max_total_delay_s", None)
    return document


def crowd(batch=60, servers=4, load=0.85, seed=0, **options):
    """Return a crowd's slot of which the least calculations on servers take so much of all servers."""
    made = mecopt.generate(
        "crowd", seed=seed, batch=batch, servers=servers, couplings=(), sharing="mm1", **options
    )
    costs = Run(made).costs
    least = costs.server_s.min(axis=2)[costs.group]
    seconds = float((costs.batch[:, None] * least).sum()) / made.slot_count
    return made.replace(slot_s=seconds / (servers * load))


def bounds(result):
    return [result.lower_bound, *(bound for _, _, bound in result.trace if bound is not None)]


@examples(70)
@given(shared_documents(joint=400))
def test_it_finds_the_references_optimum(document):
    result = mecopt.solve(mecopt.from_dict(document), NAME)
    truth = Reference(document).best_coupled()
    if truth is None:
        assert result.status == "infeasible"
        return
    assert result.status == "optimal"
    assert result.objective == pytest.approx(truth, rel=1e-6, abs=1e-18)
    assert max(bounds(result)) <= truth * (1 + 1e-9) + 1e-18


@examples(25)
@given(shared_documents(joint=400), st.lists(st.floats(0, 1e4), min_size=3, max_size=3))
def test_any_prices_prove_a_bound(document, prices):
    instance = mecopt.from_dict(document)
    truth, tasks = Reference(document).best_coupled(), np.arange(instance.task_count)
    if truth is None or len(np.unique(instance.tasks.slot)) > 1:
        return
    run = Run(instance)
    slot = build_slot(instance, run.costs, tasks, forbidden(instance))
    free = Dual.start(slot)
    if free.infeasible:
        return
    for factor in (0.0, 1e-3, 1.0):
        scaled = factor * np.array(prices[: slot.servers]) * max(slot.curve.worth, 1e-3)
        assert price(slot, scaled).bound <= truth * (1 + 1e-9) + 1e-18


def test_two_tasks_and_a_server_by_hand():
    # 2.2 s on the device, 1 s on a server of a slot of 2 s: one there takes 1.5 s, two take 2 s each.
    task = {"slot": 0, "device": "d", "model": "m", "rate_bps": [1.0]}
    document = {
        "format": "mecopt-instance/2",
        "slots": {"count": 1, "seconds": 2.0},
        "rules": {"deadline": "none", "couplings": ["sharing"], "sharing": "affine"},
        "models": [{"name": "m", "blocks": [{"cycles": 11, "input_bits": 0}]}],
        "devices": [{"name": "d", "cycles_per_s": 5, "transmit_power_w": 0}],
        "servers": [{"cycles_per_s": 11}],
        "tasks": [task, task],
    }
    instance = mecopt.from_dict(document)
    assert mecopt.solve(instance, NAME).objective == pytest.approx(3.7)
    # The bound of section "Sharing" at stretch l: 2 min(2.2, l) - 2 (l - 1)^2 / 4, largest at l = 2.2.
    slot = build_slot(instance, Run(instance).costs, np.arange(2), None)
    dual = Dual.start(slot)
    dual.run(lambda: False)
    assert dual.best.bound == pytest.approx(4.4 - 2 * 1.2**2 / 4, rel=1e-9)


@pytest.mark.parametrize(("batch", "gap"), [(60, 3e-4), (100, 1e-4)])
def test_many_tasks_are_certified(batch, gap):
    result = mecopt.solve(crowd(batch), NAME, gap=gap, iterations=40, time_limit_s=60)
    assert result.gap <= gap
    assert result.stopped_by == "gap"
    social = mecopt.solve(crowd(batch), "social")
    assert max(bounds(result)) <= result.objective * (1 + 1e-9)
    assert result.objective <= social.objective * (1 + 1e-12)


def test_few_tasks_are_proved():
    instance = crowd(8, blocks=3)
    result = mecopt.solve(instance, NAME, time_limit_s=60)
    assert result.status == "optimal"
    assert result.objective <= mecopt.solve(instance, "social").objective * (1 + 1e-12)
    assert result.objective == pytest.approx(mecopt.solve(instance, "ilp", gap=1e-7).objective, rel=1e-6)


def test_slots_are_apart_whatever_the_threads():
    instance = crowd(8, blocks=3, slots=3)
    whole = [mecopt.solve(instance, NAME, threads=threads, time_limit_s=60) for threads in (1, 2)]
    alone = 0.0
    for slot in range(3):
        mine = np.flatnonzero(instance.tasks.slot == slot)
        task = {
            field.name: value[mine] if isinstance(value, np.ndarray) else value
            for field in dataclasses.fields(instance.tasks)
            if field.init
            for value in [getattr(instance.tasks, field.name)]
        }
        part = instance.replace(tasks=dataclasses.replace(instance.tasks, **task))
        alone += mecopt.solve(part, NAME, time_limit_s=60).objective
    for result in whole:
        assert result.status == "optimal"
        assert result.objective == pytest.approx(alone, rel=1e-9)


def test_a_starting_placement_is_never_lost():
    instance = crowd(40)
    best = mecopt.solve(instance, NAME, gap=1e-3, time_limit_s=60)
    again = mecopt.solve(instance, NAME, warm_start=best.placement, iterations=1)
    assert again.objective <= best.objective * (1 + 1e-12)


def test_pins_and_bans_are_kept():
    instance = crowd(12)
    result = mecopt.solve(instance, NAME, pins=["0:0=0"], bans=["1:2=1", "1:2=3"], iterations=3)
    assert result.placement[0, 0] == 0
    assert result.placement[1, 2] not in (1, 3)


@pytest.mark.parametrize("seed", range(12))
def test_budgets_and_memory_beside_sharing_are_exact(seed):
    """Few tasks under all limits at once: decomposition and enumeration agree, bounds at every moment."""
    rng = np.random.default_rng(seed)
    instance = mecopt.generate("crowd", seed=seed, batch=3, servers=2, blocks=2, couplings=(), sharing="mm1")
    joules = mecopt.solve(instance.replace(slot_s=1e6), NAME).evaluation.device_energy
    devices = tuple(
        dataclasses.replace(device, energy_budget_j=float(j * rng.choice([0.7, 1.0, 2.0])))
        for device, j in zip(instance.devices, joules, strict=True)
    )
    held = sum(block.param_bytes for block in instance.models[0].blocks)
    servers = tuple(
        dataclasses.replace(server, memory_bytes=held * float(rng.choice([0.5, 0.99, 2.0])))
        for server in instance.servers
    )
    some = [("energy",), ("memory",), ("energy", "memory"), ("capacity", "energy", "memory")][seed % 4]
    rules = dataclasses.replace(instance.rules, couplings=frozenset({"sharing", *some}))
    instance = instance.replace(devices=devices, servers=servers, rules=rules, slot_s=0.05)
    truth, found = mecopt.solve(instance, "enumeration"), mecopt.solve(instance, NAME, time_limit_s=60)
    assert found.status == truth.status
    if truth.objective is not None:
        assert found.objective == pytest.approx(truth.objective, rel=1e-6)
        assert max(bounds(found)) <= truth.objective * (1 + 1e-9)


def test_prices_alone_prove_a_bound_beside_budgets_too():
    instance = mecopt.generate(
        "crowd:batch=8,blocks=3,sharing=mm1,energy_budget_share=1.05", couplings=("energy",)
    )
    search = search_part(instance, Run(instance), np.arange(instance.task_count), 0)
    search.advance(0.0, lambda: False, 1)
    bound, _ = search.prices_alone
    assert -np.inf < bound <= search.bound * (1 + 1e-9)
    assert search.bound <= search.value * (1 + 1e-9)


def test_rows_are_told_apart_however_wide():
    rng = np.random.default_rng(0)
    for columns, top in ((3, 4), (40, 9)):
        rows = rng.integers(-1, top, (200, columns))
        rows = rows[rng.integers(0, 200, 400)]
        codes, (_, truth) = _codes(rows), np.unique(rows, axis=0, return_inverse=True)
        assert (np.unique(codes, return_inverse=True)[1] == truth.ravel()).all()


def test_the_wider_model_without_sharing_is_refused_by_name():
    instance = mecopt.generate("crowd:batch=4,drop_cost=5,couplings=capacity")
    with pytest.raises(mecopt.InputError, match=r"takes drop costs under sharing alone; .* ilp"):
        mecopt.solve(instance, NAME)


def test_auto_goes_by_it():
    result = mecopt.solve(crowd(60), time_limit_s=60, gap=5e-4)
    assert NAME in result.options["picked"]
    assert result.gap <= 5e-4


def test_no_placement_known_is_no_proof_that_there_is_none():
    """A tree without an incumbent cut everything off: inf less a part of inf is no number."""
    instance = mecopt.load(str(ROOT / "tests/data/sharing_deadlines.json"))
    result = mecopt.solve(instance, NAME)
    assert (result.status, result.objective) == ("optimal", pytest.approx(40.0))


@pytest.mark.parametrize("seed", range(6))
def test_hard_deadlines_of_blocks_leave_what_they_leave(seed):
    """Few tasks whose deadlines bind: decomposition, auto and enumeration agree, also that nothing fits."""
    draw = np.random.default_rng(seed)
    blocks = [
        {"name": "a", "cycles": 2e8, "input_bits": 1e6},
        {"name": "b", "cycles": 6e8, "input_bits": 2e5},
    ]
    tasks = [
        {"slot": 0, "device": "cam", "model": "m", "rate_bps": draw.uniform(5e6, 3e7, 2).tolist(),
         "max_delay_s": [round(draw.uniform(0.15, 0.35), 2), round(draw.uniform(0.15, 0.4), 2)]}
        for _ in range(int(draw.integers(2, 7)))
    ]  # fmt: skip
    document = {
        "format": "mecopt-instance/2", "name": "cams", "slots": {"count": 1, "seconds": 1},
        "rules": {"preset": "physical", "deadline": "hard", "couplings": ["sharing"], "sharing": "mm1"},
        "models": [{"name": "m", "blocks": blocks}], "devices": [{"name": "cam", "cycles_per_s": 1e9}],
        "servers": [{"cycles_per_s": 6e9}, {"cycles_per_s": 4e9}], "links": {"server_bps": 1e8},
        "tasks": tasks,
    }  # fmt: skip
    instance = mecopt.from_dict(document)
    truth = mecopt.solve(instance, "enumeration")
    for method in (NAME, "auto"):
        found = mecopt.solve(instance, method)
        assert found.status == truth.status
        if truth.objective is not None:
            assert found.objective == pytest.approx(truth.objective, rel=1e-6)
            assert found.lower_bound <= truth.objective * (1 + 1e-9)
