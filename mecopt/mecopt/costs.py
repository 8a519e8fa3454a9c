"""Eq. 3-9 of the paper as arrays.

What a step of the chain costs depends on few numbers: seconds of calculation on each node, seconds per
bit on each link, a fixed latency. `ChainCosts` holds these; `steps` prices the steps of given
placements, and `mecopt.trellis` searches over all of them.

These formulas have six twins, each for its speed and each held to this one by tests: `mecopt.trellis_arcs`
(every step of a trellis), `mecopt.trellis` and `mecopt.trellis_numba` (shortest paths),
`mecopt.steps_kernels` (`steps`, once numba is loaded), `mecopt.planner.plan_kernels` (a planner's paths,
priced), and `mecopt_rl.world.step_kernels` (environments). All but the first know `ChainCosts.plain`
figures only.
`tests/reference.py` is a fifth, scalar and for tests alone.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mecopt import calculation
from mecopt.arrays import Floats, Ints
from mecopt.entities import Deadline
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
    a missing link. All figures are of the whole batch and of all passes of all phases. Arrays of a row a task
    are in Fortran order: the trellis works on many tasks side by side.
    """

    blocks: Ints  # (K,) number of blocks
    group: Ints  # (K,) row of server_s
    server_s: Floats  # (groups, M, N) seconds of one inference on a server, inf where nothing tells them
    batch: Floats  # (K,) inferences, or 1 where server_s has them already
    device_s: Floats  # (K, M) seconds on the device, inf where nothing tells them
    device_j: Floats  # (K, M) joules on the device, NaN where nothing tells them
    bits: Floats  # (K, M) input
    result_bits: Floats  # (K,) final output, 0 unless the result returns
    send_s: Floats  # (K, N) seconds per bit from device to server, inf = no link
    back_s: Floats  # (K, N) seconds per bit from server to device, inf = no link
    send_lat: Floats  # (N,) seconds of a pass
    hop_s: Floats  # (N, N) seconds per bit between servers, inf = no link, diagonal 0
    hop_lat: Floats  # (N, N) seconds of a pass, diagonal 0
    send_w: Floats  # (K,) watts while the device sends
    hop_w: Floats  # (K,) watts that a hop between servers is charged with
    tau: Floats  # (K, M) deadline in seconds, NO_DEADLINE = none
    penalty: float  # seconds of objective for each second above tau, 0 unless deadlines are soft
    limit: Floats  # (K, M) largest delay allowed, inf = none
    return_transfer: bool  # whether the step back to the device is charged
    return_result: bool  # whether the result returns to the device
    uniform: bool  # whether all server links are alike
    delay_worth: float = 1.0  # objective of a second of delay
    energy_worth: float = 0.0  # objective of a joule
    passes: Floats | None = None  # (K,) passes, each of which pays the latencies; None: one
    start_s: Floats | None = None  # (K, M, N + 1) seconds more where a stretch begins; None: nowhere
    device_w: Floats | None = None  # (K,) watts of calculation on the device; None where start_s is
    server_w: Floats | None = (
        None  # (N,) watts of calculation that the objective counts; None: it counts none
    )
    weight: Floats | None = None  # (K,) factor of the task's objective; None: 1
    drop_cost: Floats | None = None  # (K,) objective of leaving the task out, inf = never; None: none may be

    @property
    def plain(self) -> bool:
        """Whether Eq. 3-9 with delay as objective are all there is: what the fast kernels know."""
        added = (self.passes, self.start_s, self.server_w, self.weight, self.drop_cost)
        return (
            all(figure is None for figure in added)
            and self.back_s is self.send_s
            and (self.delay_worth, self.energy_worth) == (1.0, 0.0)
        )

    @property
    def arcs(self) -> int:
        """Number of arcs of the full trellis, all tasks together."""
        nodes = self.send_s.shape[1] + 1
        return int((nodes + (self.blocks - 1) * nodes * nodes).sum())


@dataclass(frozen=True, eq=False)
class Steps:
    """What the steps of one placement cost; 0 behind the end of shorter models and of tasks left out."""

    trans_s: Floats  # (K, M) transfer into the block, inf = missing link
    calc_s: Floats  # (K, M) calculation
    energy_j: Floats  # (K, M) energy of the device
    excess_s: Floats  # (K, M) seconds above the deadline
    result_s: Floats  # (K,) return of the result, inf = missing link
    missing: NDArray[np.bool_]  # (K, M + 1) whether the step needs a link that is missing; last: the result


def chain_costs(
    instance: Instance, *, device_speed: Floats | None = None, phase: int | None = None
) -> ChainCosts:
    """Work out the cost figures of every task of the instance.

    Parameters
    ----------
    instance : Instance
    device_speed : array of shape (tasks,), optional
        Cycles/s of every task's device, in place of the instance's own.
    phase : int, optional
        Of this phase alone, 0 for models that do not have it; without limits and penalties.

    Raises
    ------
    InstanceError
        If a delay or an energy is too large for a floating-point number.
    """
    tasks, rules = instance.tasks, instance.rules
    times = calculation.repeats(instance, phase)
    group, server_s, factor = calculation.server_seconds(instance, times)
    device_s, device_j, device_w = calculation.device_costs(instance, times, device_speed)
    watts = np.array([device.transmit_power_w for device in instance.devices])[tasks.device]
    free = rules.deadline is Deadline.NONE or phase is not None
    hard = rules.deadline is Deadline.HARD and not free
    given, shape = np.asfortranarray(tasks.max_delay_s), tasks.max_delay_s.shape
    start_s = calculation.start_seconds(instance, times)
    passes = times.sum(axis=1)
    of_servers = rules.objective.of == "all"
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        send_s = np.asfortranarray(1.0 / tasks.rate_bps)
        down = tasks.given("down_rate_bps")
        costs = ChainCosts(
            blocks=instance.block_count,
            group=group,
            server_s=server_s,
            batch=factor,
            device_s=np.asfortranarray(device_s),
            device_j=device_j,
            bits=np.asfortranarray(_bits(instance, times)),
            result_bits=_result_bits(instance, times),
            send_s=send_s,
            back_s=send_s if down is None else np.asfortranarray(1.0 / down),
            send_lat=instance.links.device_latency_s,
            hop_s=np.where(np.eye(instance.server_count, dtype=bool), 0.0, 1.0 / instance.links.server_bps),
            hop_lat=instance.links.server_latency_s,
            send_w=watts,
            hop_w=watts * rules.hop_energy,
            tau=np.full(shape, NO_DEADLINE, order="F") if free else np.minimum(given, NO_DEADLINE),
            penalty=rules.deadline_penalty if rules.deadline is Deadline.SOFT and not free else 0.0,
            limit=slack(given) if hard else np.full(shape, np.inf, order="F"),
            return_transfer=rules.return_transfer,
            return_result=rules.return_result,
            uniform=instance.links.uniform,
            delay_worth=rules.objective.delay,
            energy_worth=rules.objective.energy,
            passes=None if (passes == 1.0).all() else passes[tasks.model],
            start_s=start_s,
            device_w=None if start_s is None else device_w,
            server_w=_server_watts(instance) if of_servers else None,
            weight=tasks.given("weight"),
            drop_cost=tasks.given("drop_cost"),
        )
    _refuse_overflow(costs, instance)
    return costs


def steps(costs: ChainCosts, placement: Ints) -> Steps:
    """Price the steps of a placement of shape (tasks, blocks), -1 behind the end of shorter models.

    A row of -1 alone is a task that is left out.
    """
    if costs.plain and "mecopt.trellis_numba" in sys.modules:
        from mecopt.steps_kernels import priced

        return Steps(*priced(costs, placement))
    # All in Fortran order, as the costs are: arrays of both orders together take several times as long.
    placement = np.asfortranarray(placement)
    rows = np.arange(len(placement))[:, None]
    columns = np.arange(placement.shape[1])
    real = (columns[:, None] < costs.blocks).T
    if costs.drop_cost is not None:
        real = real & (placement >= 0)
    now = np.where(real, placement, 0)
    before = np.zeros_like(now)
    before[:, 1:] = now[:, :-1]
    server, previous = np.maximum(now - 1, 0), np.maximum(before - 1, 0)  # 0 stands in for the device
    sends, returns = (before == 0) & (now > 0), (before > 0) & (now == 0)
    hops = (before > 0) & (now > 0) & (before != now)

    radio = np.where(sends, server, previous)  # the server at the far end of the device's link
    way = costs.send_s[rows, radio]
    if costs.back_s is not costs.send_s:
        way = np.where(returns, costs.back_s[rows, radio], way)
    per_bit = np.where(hops, costs.hop_s[previous, server], way)
    latency = np.where(hops, costs.hop_lat[previous, server], costs.send_lat[radio])
    if costs.passes is not None:
        latency = latency * costs.passes[:, None]
    moves = (sends | returns | hops) & real
    missing = moves & np.isinf(per_bit)
    flight = np.where(moves & ~missing, per_bit, 0.0) * costs.bits
    charged = moves & ~(returns & (not costs.return_transfer))
    trans = np.where(missing & charged, np.inf, np.where(charged, latency + flight, 0.0))

    groups = costs.group[:, None]
    calc = np.where(now > 0, costs.batch[:, None] * costs.server_s[groups, columns, server], costs.device_s)
    watts = np.where(sends, costs.send_w[:, None], np.where(hops, costs.hop_w[:, None], 0.0))
    energy = np.where(now == 0, costs.device_j, np.where(missing & (watts > 0), np.inf, watts * flight))
    if costs.start_s is not None and costs.device_w is not None:
        begins = (now != before) | (columns == 0)
        start = np.where(begins, costs.start_s[rows, columns, now], 0.0)
        calc = calc + start
        energy = energy + np.where(now == 0, costs.device_w[:, None] * start, 0.0)
    excess = np.maximum(trans + calc - costs.tau, 0.0)

    last = placement[rows[:, 0], costs.blocks - 1]
    far = (last > 0) & costs.return_result
    result_per_bit = costs.back_s[rows[:, 0], np.maximum(last - 1, 0)]
    linked = np.isfinite(result_per_bit)
    lost = far & ~linked
    latency = costs.send_lat[np.maximum(last - 1, 0)] * (1.0 if costs.passes is None else costs.passes)
    back = latency + np.where(linked, result_per_bit, 0.0) * costs.result_bits
    return Steps(
        trans_s=np.where(real, trans, 0.0),
        calc_s=np.where(real, calc, 0.0),
        energy_j=np.where(real, energy, 0.0),
        excess_s=np.where(real, excess, 0.0),
        result_s=np.where(lost, np.inf, np.where(far, back, 0.0)),
        missing=np.concatenate([missing.T, lost[None, :]]).T,
    )


def _bits(instance: Instance, times: Floats) -> Floats:
    """Return the input of every block for the whole batch, all passes together, (K, M)."""
    tasks = instance.tasks
    bits = np.zeros((len(tasks), instance.max_blocks), order="F")
    for p in np.flatnonzero(times.any(axis=0)).tolist():
        inputs = calculation.block_table(instance, "input_bits", p)
        bits += calculation.of_rows(times[:, p, None] * inputs, tasks.model)
    return bits * tasks.batch[:, None]


def _result_bits(instance: Instance, times: Floats) -> Floats:
    """Return the final output for the whole batch, all passes together, (K,); 0 unless it returns."""
    outputs = np.stack([calculation.outputs(instance, p) for p in range(times.shape[1])], axis=1)
    totals = (times * outputs).sum(axis=1)[instance.tasks.model]
    bits: Floats = totals * instance.tasks.batch * float(instance.rules.return_result)
    return bits


def _server_watts(instance: Instance) -> Floats:
    return np.array([server.compute_power_w or 0.0 for server in instance.servers])


def _refuse_overflow(costs: ChainCosts, instance: Instance) -> None:
    """Refuse what a sum of delays or energies could not hold: no result may ever be inf or NaN.

    A node that cannot run a block at all (infinite seconds) is none of its concern.
    """
    if _small(costs, instance):
        return
    worst = _worst(costs, instance, costs.server_s, costs.device_s)
    if not (worst < LARGEST).all():
        known = (np.where(np.isinf(s), 0.0, s) for s in (costs.server_s, costs.device_s))
        worst = _worst(costs, instance, *known)
    for k, m in np.argwhere(~(worst < LARGEST))[:1]:
        raise InstanceError(
            f"tasks[{k}]: a delay or energy of block {m}, weighed, is above {LARGEST:g}, out of range"
        )


def _small(costs: ChainCosts, instance: Instance) -> bool:
    """Say whether the largest figures of all tasks together are in range, which is soon told."""
    if not costs.plain:
        return False
    flight = max(costs.bits.max(), costs.result_bits.max()) * (1.0 + costs.send_w.max())
    radio = np.max(costs.send_s, where=instance.tasks.rate_bps > 0, initial=0.0)
    wired = np.max(costs.hop_s, where=instance.links.server_bps > 0, initial=0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        calc = costs.batch.max() * costs.server_s.max() + costs.device_s.max() + costs.device_j.max()
        worst = calc + costs.send_lat.max() + costs.hop_lat.max() + flight * (radio + wired)
        return bool(worst * (1.0 + costs.penalty) < LARGEST)


def _worst(costs: ChainCosts, instance: Instance, server_s: Floats, device_s: Floats) -> Floats:
    """Return a bound on the delays and joules of every block together, (K, M)."""
    radio = np.where(instance.tasks.rate_bps > 0, costs.send_s, 0.0).max(axis=1)
    if costs.back_s is not costs.send_s:
        radio = np.maximum(radio, np.where(np.isfinite(costs.back_s), costs.back_s, 0.0).max(axis=1))
    wired = np.where(instance.links.server_bps > 0, costs.hop_s, 0.0).max()
    latency = costs.send_lat.max() + costs.hop_lat.max()
    with np.errstate(over="ignore", invalid="ignore"):
        slowest = costs.batch[:, None] * calculation.of_rows(server_s.max(axis=2), costs.group) + device_s
        if costs.passes is not None:
            latency = latency * costs.passes[:, None]
        if costs.start_s is not None:
            slowest = slowest + costs.start_s.max(axis=2)
        flight = np.maximum(costs.bits, costs.result_bits[:, None]) * (radio + wired)[:, None]
        joules = costs.device_j
        if device_s is not costs.device_s:  # the joules of what takes for ever, or is not told, are no matter
            joules = np.where(np.isinf(costs.device_s) | np.isnan(joules), 0.0, joules)
        worst: Floats = slowest + latency + flight * (1.0 + costs.send_w[:, None]) + joules
        worst *= (1.0 + costs.penalty) * max(1.0, costs.delay_worth, costs.energy_worth)
        if costs.weight is not None:
            worst *= np.maximum(1.0, costs.weight)[:, None]
    return worst
