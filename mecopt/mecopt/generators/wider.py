"""What the parameters of the wider model add to a generated instance: nothing at their defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from mecopt.arrays import Floats
from mecopt.entities import (
    Block,
    Coupling,
    Model,
    Objective,
    OneRun,
    PerPhase,
    Phase,
    Rules,
    Sharing,
    Tasks,
    in_phase,
)
from mecopt.generators.draws import unit
from mecopt.generators.parameters import Parameters
from mecopt.generators.values import Range

MICRO = 1e6  # what is drawn is rounded to millionths


def rules(p: Parameters, plain: Rules) -> Rules:
    """Return the rules with objective, stretches and sharing."""
    wider, couplings = p.wider, set(plain.couplings)
    if wider.sharing != "none":
        couplings.add(Coupling.SHARING)
    return dataclasses.replace(
        plain,
        objective=_objective(p),
        one_run=OneRun(wider.one_run),
        couplings=frozenset(couplings),
        sharing=None if wider.sharing == "none" else Sharing(wider.sharing),
    )


def _objective(p: Parameters) -> Objective:
    if p.wider.objective == "period":
        return Objective(period=True)
    if p.wider.objective == "energy":
        return Objective(0.0, 1.0, p.wider.objective_of)
    return Objective(1.0, p.wider.joule_worth, p.wider.objective_of)


def model(p: Parameters, plain: Model) -> Model:
    """Return the model with its phases; all after the first take `phase_share` of the first."""
    if not p.wider.phases:
        return plain
    phases = tuple(Phase(name, repeat) for name, repeat in p.wider.phases)

    def each(value: PerPhase | None) -> PerPhase:
        first = in_phase(value)
        return (first, *[first * p.wider.phase_share] * (len(phases) - 1))

    def phased(block: Block) -> Block:
        return dataclasses.replace(block, cycles=each(block.cycles), input_bits=each(block.input_bits))

    return dataclasses.replace(
        plain, phases=phases, output_bits=each(plain.output_bits), blocks=tuple(map(phased, plain.blocks))
    )


def tasks(p: Parameters, plain: Tasks, seed: int) -> Tasks:
    """Return the tasks with end-to-end deadlines, down rates, weights and drop costs."""
    wider, count = p.wider, len(plain)

    def column(name: str, value: Any) -> Floats | None:
        if value is None:
            return None
        drawn = _drawn(value, lambda: unit(seed, name, count)[:, 0], MICRO)
        return np.broadcast_to(drawn, count)

    down = wider.down_rate_bps
    shape = (count, p.servers.servers)
    changes = {
        "max_total_delay_s": column("total_delay", wider.max_total_delay_s),
        "weight": column("weight", wider.weight),
        "drop_cost": column("drop_cost", wider.drop_cost),
        "down_rate_bps": None
        if down is None
        else np.broadcast_to(_drawn(down, lambda: unit(seed, "down_rate", *shape), 1.0), shape),
    }
    said: dict[str, Any] = {name: table for name, table in changes.items() if table is not None}
    return dataclasses.replace(plain, **said)


def _drawn(value: float | Range, draw: Callable[[], Floats], digits: float) -> Floats:
    """Return the number itself, or numbers drawn from the range, rounded."""
    return np.rint(value(draw()) * digits) / digits if isinstance(value, Range) else np.array(value)
