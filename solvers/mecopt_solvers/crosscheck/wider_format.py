"""Random small instances that use the wider model: everything of it together with the old fields.

Valid ones only: where cycles or speeds are left out every node has a memory rate, where energy counts every
node has a power, and an entry of `allow` leaves every block a node.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.entities import (
    PERIOD,
    Allow,
    Block,
    Coupling,
    Deadline,
    Device,
    Model,
    Objective,
    OneRun,
    PerPhase,
    Phase,
    Rules,
    Server,
    SharedParams,
    Sharing,
)
from mecopt.instance import Instance
from mecopt.judge import Evaluation, evaluate
from mecopt.limits.sharing import FULLEST
from mecopt_solvers.crosscheck.first_format import SHARES, NumberSource, draw_plain, draw_sizes, with_limits

Node = TypeVar("Node", Device, Server)
HARDWARE = ("gpu", "npu")
# Loads that some placement makes: easy, heavy, the most that mm1 takes, more than fits.
LOADS = (0.3, 0.5, 0.9, 0.99, FULLEST, 1.5)


def wide_instance(rng: np.random.Generator) -> Instance:
    """Draw an instance of at most 20,000 placements that may use anything of the wider model."""
    servers, lengths, model = draw_sizes(rng, droppable=True)
    numbers = NumberSource(rng)
    drawn = draw_plain(numbers, servers, lengths, model)
    rules = _rules(numbers)
    roofs = rng.random() < 0.4  # memory rates everywhere, so cycles and speeds may be missing
    models = tuple(_model(numbers, one, free=roofs) for one in drawn.models)
    kinds = sorted({kind for one in models for block in one.blocks for kind in block.measured_seconds})
    drawn = drawn.replace(
        rules=rules,
        models=models,
        devices=tuple(_node(numbers, one, kinds, roofs) for one in drawn.devices),
        servers=tuple(_node(numbers, one, kinds, roofs) for one in drawn.servers),
        allow=_allow(rng, drawn),
        tasks=dataclasses.replace(drawn.tasks, **_rates_and_weights(numbers, drawn, rules)),
    )
    placement = _placement(rng, drawn)
    drawn = with_limits(rng, drawn, placement)
    if Coupling.SHARING in rules.couplings:
        load = limits.CAPACITY.used(evaluate(drawn, placement))[1].max(initial=0.0)
        drawn = drawn.replace(slot_s=load / float(rng.choice(LOADS)) if load > 0 else drawn.slot_s)
    deadlines = _deadlines(rng, evaluate(drawn, placement))
    return drawn.replace(tasks=dataclasses.replace(drawn.tasks, **deadlines))


def _rules(numbers: NumberSource) -> Rules:
    rng = numbers.rng
    objective = _objective(numbers)
    soft = not objective.period and objective.delay > 0
    deadline = rng.choice([Deadline.HARD, Deadline.NONE, *([Deadline.SOFT] * 2 if soft else [])])
    possible = [Coupling.ENERGY, Coupling.MEMORY]
    if not objective.period:
        possible += [Coupling.CAPACITY, Coupling.SHARING, Coupling.SHARING]
    some = frozenset(c for c in possible if rng.random() < 0.35)
    return Rules.preset(
        ("paper", "physical")[int(rng.integers(2))],
        deadline=deadline,
        deadline_penalty=float(rng.choice([0.5, 1.0, 3.0])),
        couplings=some,
        objective=objective,
        one_run=rng.choice([OneRun.NONE, OneRun.NONE, OneRun.SERVERS, OneRun.ALL]),
        sharing=rng.choice(list(Sharing)) if Coupling.SHARING in some else None,
    )


def _objective(numbers: NumberSource) -> Objective:
    kind = numbers.rng.random()
    if kind < 0.4:
        return Objective()
    if kind < 0.7:
        return PERIOD
    of = ("devices", "all")[int(numbers.rng.integers(2))]
    return Objective(delay=numbers.one(0.2), energy=float(numbers.rng.choice([0.5, 1.0, 4.0])), of=of)


def _model(numbers: NumberSource, model: Model, *, free: bool) -> Model:
    """Add phases, and what blocks read, hold and take to start; without cycles now and then where `free`."""
    rng = numbers.rng
    phases: tuple[Phase, ...] = (Phase(),)
    if rng.random() < 0.4:
        phases = tuple(Phase(f"p{i}", int(rng.integers(1, 4))) for i in range(rng.integers(1, 4)))

    def each(value: PerPhase) -> PerPhase:
        return value if rng.random() < 0.5 else tuple(numbers.one(0.1) for _ in phases)

    def block(old: Block) -> Block:
        cycles = None if free and rng.random() < 0.3 else each(old.cycles or 0.0)
        counts = bool(np.any(cycles)) if cycles is not None else True
        measured = {kind: each(numbers.one(0.1)) for kind in HARDWARE if counts and rng.random() < 0.2}
        return Block(
            cycles,
            each(old.input_bits),
            old.param_bytes,
            measured_seconds=measured,
            read_bytes=each(numbers.one(0.1)) if rng.random() < 0.3 else None,
            state_read_bytes=each(numbers.one(0.3)) if rng.random() < 0.3 else 0.0,
            start_seconds={kind: numbers.one(0.1) for kind in HARDWARE if rng.random() < 0.3},
            state_bytes=numbers.one(0.3) if rng.random() < 0.4 else 0.0,
        )

    blocks = tuple(block(old) for old in model.blocks)
    members = tuple(m for m in range(len(blocks)) if rng.random() < 0.6)
    parts = (SharedParams("tied", numbers.one(0.1), members),) if members and rng.random() < 0.4 else ()
    return Model(
        model.name,
        blocks,
        each(model.output_bits),
        phases,
        parts,
    )


def _node(numbers: NumberSource, node: Node, kinds: list[str], roofs: bool) -> Node:
    """Add hardware, a memory rate and a power, and leave the speed out now and then where all have rates."""
    rng = numbers.rng
    changes: dict[str, Any] = {"compute_power_w": numbers.one(0.2)}
    if roofs or rng.random() < 0.1:
        changes["memory_bytes_per_s"] = numbers.one()
    if roofs and rng.random() < 0.3:
        changes["cycles_per_s"] = None
    if kinds and rng.random() < 0.6:
        changes["hardware"] = str(rng.choice(kinds))
    return dataclasses.replace(node, **changes)


def _rates_and_weights(numbers: NumberSource, instance: Instance, rules: Rules) -> dict[str, Any]:
    rng = numbers.rng
    found: dict[str, Any] = {}
    shape = instance.tasks.rate_bps.shape
    if rng.random() < 0.4:
        found["down_rate_bps"] = np.array(
            [[numbers.one(0.15) for _ in range(shape[1])] for _ in range(shape[0])]
        )
    if not rules.objective.period and rng.random() < 0.3:
        found["weight"] = rng.choice([0.5, 1.0, 2.0, 3.7], shape[0])
    return found


def _allow(rng: np.random.Generator, instance: Instance) -> tuple[Allow, ...]:
    """Draw an entry for all blocks, then some for one block each, which share a node with the first."""
    if rng.random() < 0.6:
        return ()
    names = ["device", *(server.name for server in instance.servers)]

    def some(of: list[str]) -> list[str]:
        return list(rng.permutation(of)[: rng.integers(1, len(of) + 1)])

    kept = some(names)
    entries = [Allow("all", "all", tuple(kept))] if rng.random() < 0.5 else []
    kept = kept if entries else names
    for m in np.flatnonzero(rng.random(int(instance.block_count.min())) < 0.5).tolist():
        tasks = tuple(np.flatnonzero(rng.random(instance.task_count) < 0.7).tolist())
        nodes = {*some(names), str(rng.choice(kept))}
        entries.append(Allow(tasks or "all", (m,), tuple(sorted(nodes))))
    return tuple(entries)


def _placement(rng: np.random.Generator, instance: Instance) -> Ints:
    """Draw a placement that the list of nodes allows."""
    shape = (instance.task_count, instance.max_blocks, instance.server_count + 1)
    luck = rng.random(shape)
    if instance.barred is not None:
        luck = np.where(instance.barred, -1.0, luck)
    nodes: Ints = luck.argmax(axis=2)
    nodes[np.arange(instance.max_blocks) >= instance.block_count[:, None]] = -1
    return nodes


def _deadlines(rng: np.random.Generator, judged: Evaluation) -> dict[str, Any]:
    """Draw deadlines and drop costs as shares of what a placement takes; none where that is infinite."""
    instance, tasks = judged.instance, judged.instance.tasks

    def shares(used: Floats, often: float) -> Floats:
        factor = rng.choice(SHARES, used.shape)
        given = np.where(np.isfinite(used), used, 0.0) * factor
        return np.where((rng.random(used.shape) < often) & np.isfinite(used), given, np.inf)

    found = {"max_delay_s": np.where(rng.random(tasks.max_delay_s.shape) < 0.6, np.inf, tasks.max_delay_s)}
    found["max_delay_s"] = np.minimum(found["max_delay_s"], shares(judged.block_delay_s, 0.15))
    found["max_delay_s"][judged.placement < 0] = np.inf
    if rng.random() < 0.6:
        found |= _end_to_end(rng, judged, shares)
    if not instance.rules.objective.period and rng.random() < 0.3:
        found["drop_cost"] = shares(judged.task_objective_s, 0.6)
    return found


def _end_to_end(
    rng: np.random.Generator, judged: Evaluation, shares: Callable[[Floats, float], Floats]
) -> dict[str, Floats]:
    """Draw one deadline for all of a task, or one for each of its phases: a file has either."""
    instance = judged.instance
    passed = np.array([len(model.phases) for model in instance.models])[instance.tasks.model]
    by_phase = (passed > 1) & (rng.random(len(passed)) < 0.7)
    total = np.where(by_phase, np.inf, shares(judged.task_delay_s, 0.6))
    each = np.stack([shares(phase.task_delay_s, 0.5) for phase in judged.phases], axis=1)
    there = by_phase[:, None] & (np.arange(instance.phase_count) < passed[:, None])
    return {"max_total_delay_s": total, "max_phase_delay_s": np.where(there, each, np.inf)}
