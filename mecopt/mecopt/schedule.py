"""What a solution of the wider format tells beyond the first: terms, drops, phases, and when blocks run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt.allowing import DEVICE
from mecopt.arrays import Floats
from mecopt.calculation import repeats

if TYPE_CHECKING:
    from mecopt.instance import Instance
    from mecopt.judge import Evaluation


def account(instance: Instance, judged: Evaluation | None) -> dict[str, Any]:
    """Return the fields that mecopt-solution/2 adds; null where there is no placement."""
    return {
        "objective_terms": None if judged is None else judged.objective_terms,
        "dropped": None if judged is None else int(judged.dropped.sum()),
        "phase_delay_s": None if judged is None else phase_delays(judged),
        "nodes": node_names(instance),
        "schedule": None if judged is None else schedule(judged),
    }


def node_names(instance: Instance) -> list[str]:
    """Return the names of nodes 0 to N, as `allow` knows them."""
    return [DEVICE, *(server.name for server in instance.servers)]


def phase_delays(judged: Evaluation) -> dict[str, float | None]:
    """Return the seconds of every phase by its name, all passes of all tasks; None over a missing link."""
    instance, found = judged.instance, dict[str, float]()
    for p, phase in enumerate(judged.phases):
        for i, model in enumerate(instance.models):
            mine = instance.tasks.model == i
            if p < len(model.phases) and mine.any():
                name = model.phases[p].name
                found[name] = found.get(name, 0.0) + float(phase.task_delay_s[mine].sum())
    return {name: _plain(seconds) for name, seconds in found.items()}


def schedule(judged: Evaluation) -> list[dict[str, Any]]:
    """Return when the blocks of every task calculate, one pass a phase.

    Times are seconds since the task's release. The pass shown is the phase's first; it begins when all passes
    of the phases before have ended.
    """
    instance = judged.instance
    times, nodes = repeats(instance, None), node_names(instance)
    started = np.zeros(instance.task_count)
    rows: list[dict[str, Any]] = [{"task": k, "phases": []} for k in range(instance.task_count)]
    for p, phase in enumerate(judged.phases):
        once = np.maximum(times[instance.tasks.model, p], 1.0)[:, None]
        with np.errstate(invalid="ignore"):  # what follows a missing link has no time
            ends = started[:, None] + np.cumsum(phase.block_delay_s / once, axis=1)
            starts = ends - phase.calc_s / once
        for k in np.flatnonzero(~judged.dropped).tolist():
            model = instance.models[instance.tasks.model[k]]
            if p < len(model.phases):
                names = [nodes[n] for n in judged.placement[k, : len(model.blocks)].tolist()]
                rows[k]["phases"].append(
                    {
                        "phase": model.phases[p].name,
                        "repeat": model.phases[p].repeat,
                        "delay_s": _plain(phase.task_delay_s[k]),
                        "blocks": _blocks([b.name for b in model.blocks], names, starts[k], ends[k]),
                    }
                )
        started = started + phase.task_delay_s
    return rows


def _blocks(names: list[str], nodes: list[str], starts: Floats, ends: Floats) -> list[dict[str, Any]]:
    rows = zip(names, nodes, starts[: len(names)].tolist(), ends[: len(names)].tolist(), strict=True)
    return [
        {"block": name, "node": node, "start_s": _plain(start), "end_s": _plain(end)}
        for name, node, start, end in rows
    ]


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
