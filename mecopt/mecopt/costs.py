"""Eq. 3-9 of the paper as arrays.

What a step of the chain costs depends on few numbers: seconds of calculation on each node, seconds per
bit on each link, a fixed latency. `ChainCosts` holds these; `steps` prices the steps of given
placements, and `mecopt.trellis` searches over all of them.

These formulas have four twins, each for its speed and each held to this one by tests: `mecopt.trellis_arcs`
(every step of a trellis), `mecopt.trellis` and `mecopt.trellis_numba` (shortest paths), and
`mecopt_rl.world.step_kernels` (environments). `tests/reference.py` is a fifth, scalar and for tests alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.entities import Deadline, frozen
from mecopt.errors import InstanceError
from mecopt.instance import Instance
from mecopt.tolerances import slack

LARGEST = 1e150  # seconds or joules of one block
NO_DEADLINE = np.finfo(np.float64).max  # finite, so that inf - NO_DEADLINE is not NaN


@dataclass(frozen=True, eq=False)
class ChainCosts:
    """What Eq. 3-9 need to know of every task; K tasks, M blocks of the longest model, N servers.

    A calculation on a server takes ``batch[k] * server_s[group[k], m, n]`` seconds: tasks of one model in one
    slot share a row. A transfer takes a latency plus its bits times the link's seconds per bit; inf marks
    a missing link. Arrays of a row a task are in Fortran order: the trellis works on many tasks side by side.
    """

    blocks: Ints  # (K,) number of blocks
    group: Ints  # (K,) row of server_s
    server_s: Floats  # (groups, M, N) seconds of one inference on a server
    batch: Floats  # (K,) inferences
    device_s: Floats  # (K, M) seconds of the whole batch on the device
    device_j: Floats  # (K, M) joules of the whole batch on the device
    bits: Floats  # (K, M) input of the whole batch
    result_bits: Floats  # (K,) final output of the whole batch, 0 unless the result returns
    send_s: Floats  # (K, N) seconds per bit between device and server, inf = no link
    send_lat: Floats  # (N,) seconds
    hop_s: Floats  # (N, N) seconds per bit between servers, inf = no link, diagonal 0
    hop_lat: Floats  # (N, N) seconds, diagonal 0
    send_w: Floats  # (K,) watts while the device sends
    hop_w: Floats  # (K,) watts that a hop between servers is charged with
    tau: Floats  # (K, M) deadline in seconds, NO_DEADLINE = none
    penalty: float  # seconds of objective for each second above tau, 0 unless deadlines are soft
    limit: Floats  # (K, M) largest delay allowed, inf = none
    return_transfer: bool  # whether the step back to the device is charged
    return_result: bool  # whether the result returns to the device
    uniform: bool  # whether all server links are alike

    @property
    def arcs(self) -> int:
        """Number of arcs of the full trellis, all tasks together."""
        nodes = self.send_s.shape[1] + 1
        return int((nodes + (self.blocks - 1) * nodes * nodes).sum())


@dataclass(frozen=True, eq=False)
class Steps:
    """What the steps of one placement cost; zero behind the end of shorter models."""

    trans_s: Floats  # (K, M) transfer into the block, inf = missing link
    calc_s: Floats  # (K, M) calculation
    energy_j: Floats  # (K, M) energy of the device
    excess_s: Floats  # (K, M) seconds above the deadline
    result_s: Floats  # (K,) return of the result, inf = missing link
    missing: NDArray[np.bool_]  # (K, M + 1) whether the step needs a link that is missing; last: the result


def chain_costs(instance: Instance, *, device_speed: Floats | None = None) -> ChainCosts:
    """Work out the cost figures of every task of the instance.

    Parameters
    ----------
    instance : Instance
    device_speed : array of shape (tasks,), optional
        Cycles/s of every task's device, in place of the instance's own.

    Raises
    ------
    InstanceError
        If a delay or an energy is too large for a floating-point number.
    """
    tasks, rules = instance.tasks, instance.rules
    batch = tasks.batch.astype(np.float64)
    cycles, inputs = (_block_table(instance, name) for name in ("cycles", "input_bits"))
    group, server_s = _server_seconds(instance, cycles)
    device_s, device_j = _device_costs(instance, cycles, device_speed)
    outputs = np.array([model.output_bits for model in instance.models])[tasks.model]
    watts = np.array([device.transmit_power_w for device in instance.devices])[tasks.device]
    no_deadline = np.full(tasks.max_delay_s.shape, np.inf)
    tau = no_deadline if rules.deadline is Deadline.NONE else tasks.max_delay_s
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        costs = ChainCosts(
            blocks=instance.block_count,
            group=group,
            server_s=server_s,
            batch=batch,
            device_s=np.asfortranarray(device_s * batch[:, None]),
            device_j=device_j * batch[:, None],
            bits=np.asfortranarray(inputs[tasks.model] * batch[:, None]),
            result_bits=outputs * batch * rules.return_result,
            send_s=np.asfortranarray(1.0 / tasks.rate_bps),
            send_lat=instance.links.device_latency_s,
            hop_s=np.where(np.eye(instance.server_count, dtype=bool), 0.0, 1.0 / instance.links.server_bps),
            hop_lat=instance.links.server_latency_s,
            send_w=watts,
            hop_w=watts * rules.hop_energy,
            tau=np.asfortranarray(np.minimum(tau, NO_DEADLINE)),
            penalty=rules.deadline_penalty if rules.deadline is Deadline.SOFT else 0.0,
            limit=np.asfortranarray(
                slack(tasks.max_delay_s) if rules.deadline is Deadline.HARD else no_deadline
            ),
            return_transfer=rules.return_transfer,
            return_result=rules.return_result,
            uniform=instance.links.uniform,
        )
    _refuse_overflow(costs, instance)
    return costs


def steps(costs: ChainCosts, placement: Ints) -> Steps:
    """Price the steps of a placement of shape (tasks, blocks), -1 behind the end of shorter models."""
    rows = np.arange(len(placement))[:, None]
    columns = np.arange(placement.shape[1])
    real = columns < costs.blocks[:, None]
    now = np.where(real, placement, 0)
    before = np.concatenate([np.zeros((len(now), 1), dtype=np.int64), now[:, :-1]], axis=1)
    server, previous = np.maximum(now - 1, 0), np.maximum(before - 1, 0)  # 0 stands in for the device
    sends, returns = (before == 0) & (now > 0), (before > 0) & (now == 0)
    hops = (before > 0) & (now > 0) & (before != now)

    radio = np.where(sends, server, previous)  # the server at the far end of the device's link
    per_bit = np.where(hops, costs.hop_s[previous, server], costs.send_s[rows, radio])
    latency = np.where(hops, costs.hop_lat[previous, server], costs.send_lat[radio])
    moves = (sends | returns | hops) & real
    missing = moves & np.isinf(per_bit)
    flight = np.where(moves & ~missing, per_bit, 0.0) * costs.bits
    charged = moves & ~(returns & (not costs.return_transfer))
    trans = np.where(missing & charged, np.inf, np.where(charged, latency + flight, 0.0))

    groups = costs.group[:, None]
    calc = np.where(now > 0, costs.batch[:, None] * costs.server_s[groups, columns, server], costs.device_s)
    watts = np.where(sends, costs.send_w[:, None], np.where(hops, costs.hop_w[:, None], 0.0))
    energy = np.where(now == 0, costs.device_j, np.where(missing & (watts > 0), np.inf, watts * flight))
    excess = np.maximum(trans + calc - costs.tau, 0.0)

    last = placement[rows[:, 0], costs.blocks - 1]
    far = (last > 0) & costs.return_result
    result_per_bit = costs.send_s[rows[:, 0], np.maximum(last - 1, 0)]
    linked = np.isfinite(result_per_bit)
    lost = far & ~linked
    back = costs.send_lat[np.maximum(last - 1, 0)] + np.where(linked, result_per_bit, 0.0) * costs.result_bits
    return Steps(
        trans_s=np.where(real, trans, 0.0),
        calc_s=np.where(real, calc, 0.0),
        energy_j=np.where(real, energy, 0.0),
        excess_s=np.where(real, excess, 0.0),
        result_s=np.where(lost, np.inf, np.where(far, back, 0.0)),
        missing=np.concatenate([missing, lost[:, None]], axis=1),
    )


def _block_table(instance: Instance, name: str) -> Floats:
    """Return one figure of every block, shape (models, longest model), zero behind the end."""
    table = np.zeros((len(instance.models), instance.max_blocks))
    for i, model in enumerate(instance.models):
        table[i, : len(model.blocks)] = [getattr(block, name) for block in model.blocks]
    return table


def _measured(instance: Instance, hardware: str | None) -> Floats:
    """Return the measured seconds on a kind of hardware, shape (models, longest model), NaN = none."""
    table = np.full((len(instance.models), instance.max_blocks), np.nan)
    if hardware is not None:
        for i, model in enumerate(instance.models):
            table[i, : len(model.blocks)] = [b.measured_seconds.get(hardware, np.nan) for b in model.blocks]
    return table


def _server_seconds(instance: Instance, cycles: Floats) -> tuple[Ints, Floats]:
    """Group the tasks by model and speeds of the slot; Eq. 6 (or the measured time) for every group."""
    speed = instance.server_speed
    columns = instance.tasks.slot if speed.shape[1] > 1 else np.zeros_like(instance.tasks.slot)
    pairs, group = np.unique(columns * len(instance.models) + instance.tasks.model, return_inverse=True)
    column, model = np.divmod(pairs, len(instance.models))
    with np.errstate(over="ignore"):
        seconds = cycles[model][:, :, None] / speed.T[column][:, None, :]
    for n, server in enumerate(instance.servers):
        measured = _measured(instance, server.hardware)[model]
        seconds[:, :, n] = np.where(np.isnan(measured), seconds[:, :, n], measured)
    return group, frozen(seconds)


def _device_costs(instance: Instance, cycles: Floats, device_speed: Floats | None) -> tuple[Floats, Floats]:
    """Eq. 3 (or the measured time) and Eq. 4 (or power times time) of one inference, both (tasks, blocks)."""
    devices, tasks = instance.devices, instance.tasks
    if device_speed is None:
        device_speed = np.array([device.cycles_per_s for device in devices])[tasks.device]
    speed = device_speed[:, None]
    kappa = np.array([device.kappa for device in devices])[tasks.device][:, None]
    power = np.array([np.nan if d.compute_power_w is None else d.compute_power_w for d in devices])
    work = cycles[tasks.model]
    with np.errstate(over="ignore", invalid="ignore"):
        seconds = work / speed
        if any(device.hardware is not None for device in devices):
            kinds, kind = np.unique([device.hardware or "" for device in devices], return_inverse=True)
            tables = np.stack([_measured(instance, name or None) for name in kinds.tolist()])
            measured = tables[kind[tasks.device], tasks.model]
            seconds = np.where(np.isnan(measured), seconds, measured)
        watts = power[tasks.device][:, None]
        return seconds, np.where(np.isnan(watts), kappa * speed**2 * work, watts * seconds)


def _refuse_overflow(costs: ChainCosts, instance: Instance) -> None:
    """Refuse what a sum of delays or energies could not hold: no result may ever be inf or NaN."""
    radio = np.where(instance.tasks.rate_bps > 0, costs.send_s, 0.0).max(axis=1)
    wired = np.where(instance.links.server_bps > 0, costs.hop_s, 0.0).max()
    latency = costs.send_lat.max() + costs.hop_lat.max()
    with np.errstate(over="ignore", invalid="ignore"):
        slowest = costs.batch[:, None] * costs.server_s.max(axis=2)[costs.group] + costs.device_s
        flight = np.maximum(costs.bits, costs.result_bits[:, None]) * (radio + wired)[:, None]
        worst = slowest + latency + flight * (1.0 + costs.send_w[:, None]) + costs.device_j
        worst = worst * (1.0 + costs.penalty)
    for k, m in np.argwhere(~(worst < LARGEST))[:1]:
        raise InstanceError(f"tasks[{k}]: a delay or energy of block {m} is above {LARGEST:g}, out of range")
