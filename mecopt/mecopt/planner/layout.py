"""What does not change from call to call of a planner, as the arrays that its compiled loop reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt import calculation, features
from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts, chain_costs
from mecopt.entities import Deadline
from mecopt.features import Feature
from mecopt.instance import Instance
from mecopt.planner.plan_kernels import HARD, NONE, SOFT

MODES = {Deadline.NONE: NONE, Deadline.HARD: HARD, Deadline.SOFT: SOFT}


@dataclass(frozen=True, eq=False)
class Layout:
    """The figures of an instance's K tasks; M blocks of the longest model, N servers.

    All arrays may be written to, though nobody does: the loop has one signature.
    """

    rates: Floats  # (K, N) bits/s
    tau: Floats  # (K, M) seconds, inf = none
    batch: Floats  # (K,) inferences
    kinds: Ints  # (K, 3) model, row of server_s, number of blocks
    cycles: Floats  # (models, M)
    input_bits: Floats  # (models, M)
    output_bits: Floats  # (models,) 0 unless the result returns
    seen: Floats  # (models, M, N) measured seconds of one inference, NaN = none
    unit_s: Floats  # (K, M) seconds of one inference on the device
    server_s: Floats  # (groups, M, N) seconds of one inference
    send_lat: Floats  # (N,) seconds
    hop_s: Floats  # (N, N) seconds per bit, inf = no link
    hop_lat: Floats  # (N, N) seconds
    barred: NDArray[np.bool_]  # (K, M, N + 1), or (1, 0, 0) where `allow` forbids nothing
    # (7,) the largest figures of any task: of one inference seconds and joules on the device, seconds on a
    # server, bits; watts of sending, seconds per bit of a wired link, cycles, latency
    worst: Floats

    @property
    def fixed(self) -> tuple[NDArray[Any], ...]:
        """Return what the loop takes behind the tables that change."""
        return tuple(vars(self).values())[3:]


def fits(instance: Instance, costs: ChainCosts) -> bool:
    """Say whether the compiled loop knows all that the instance asks for."""
    return costs.plain and Feature.ROOFLINE not in features.of(instance)


def lay_out(instance: Instance, costs: ChainCosts) -> Layout:
    """Work out the figures of an instance that `fits`."""
    tasks, stages = instance.tasks, instance.max_blocks
    single = instance.replace(tasks=_of_one(instance))
    of_one = chain_costs(single)
    measured = np.full((len(instance.models), stages, instance.server_count), np.nan)
    for i, model in enumerate(instance.models):
        for m, block in enumerate(model.blocks):
            for n, server in enumerate(instance.servers):
                seen = block.measured_seconds.get(server.hardware or "")
                measured[i, m, n] = np.nan if seen is None else seen[0] if isinstance(seen, tuple) else seen
    output_bits = calculation.outputs(instance, 0) * float(instance.rules.return_result)
    barred = np.zeros((1, 0, 0), dtype=bool) if instance.barred is None else instance.barred
    bits = max(calculation.block_table(instance, "input_bits", 0).max(), output_bits.max())
    cycles = calculation.block_table(instance, "cycles", 0)
    wired = np.where(np.isfinite(costs.hop_s), costs.hop_s, 0.0).max()
    known = np.where(np.isnan(measured), 0.0, measured).max()
    worst = [
        float((of_one.device_s + of_one.device_j).max() + known),
        float(costs.server_s.max()),
        bits,
        float(costs.send_w.max()),
        float(wired),
        float(cycles.max()),
        float(costs.send_lat.max() + costs.hop_lat.max()),
    ]
    return Layout(
        rates=_own(tasks.rate_bps),
        tau=_own(tasks.max_delay_s),
        batch=_own(tasks.batch, np.float64),
        kinds=_own(np.stack([tasks.model, costs.group, instance.block_count], axis=1), np.int64),
        cycles=_own(calculation.block_table(instance, "cycles", 0)),
        input_bits=_own(calculation.block_table(instance, "input_bits", 0)),
        output_bits=_own(output_bits),
        seen=_own(measured),
        unit_s=_own(of_one.device_s),
        server_s=_own(costs.server_s),
        send_lat=_own(costs.send_lat),
        hop_s=_own(costs.hop_s),
        hop_lat=_own(costs.hop_lat),
        barred=_own(barred, np.bool_),
        worst=np.array(worst),
    )


def _of_one(instance: Instance) -> Any:
    """Return the tasks with one inference each."""
    import dataclasses

    return dataclasses.replace(instance.tasks, batch=np.ones(instance.task_count, dtype=np.int64))


def _own(array: NDArray[Any], kind: type[np.generic] = np.float64) -> NDArray[Any]:
    """Return a copy as the loop takes it."""
    return np.array(array, dtype=kind, order="C")
