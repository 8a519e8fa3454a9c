"""Seconds and joules of calculation: what blocks take on devices and servers, phases and batches included.

A pass of a batch b takes its measured seconds times b where the node's kind of hardware is measured. Else it
takes b c / F (Eq. 3 and 6), and where the node has a memory rate the larger of that and of the time in which
its bytes are read (the roofline model: Williams, Waterman, Patterson 2009).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.entities import Block, Device, PerPhase, Server, frozen, in_phase
from mecopt.instance import Instance


def repeats(instance: Instance, phase: int | None) -> Floats:
    """Return how often each model passes each phase, (models, phases); of one phase alone if it is given."""
    table = np.zeros((len(instance.models), instance.phase_count))
    for i, model in enumerate(instance.models):
        table[i, : len(model.phases)] = [p.repeat for p in model.phases]
    if phase is not None:
        table[:, np.arange(table.shape[1]) != phase] = 0.0
    return table


def block_table(instance: Instance, name: str, phase: int) -> Floats:
    """Return one figure of every block in a phase, (models, longest model), 0 behind the end; NaN = none."""
    return _table(instance, lambda block: in_phase(getattr(block, name), phase))


def of_rows(table: Floats, rows: Ints) -> Floats:
    """Return some rows of a table in Fortran order, as `ChainCosts` has what tasks cost."""
    return np.take(table.T, rows, axis=1).T


def outputs(instance: Instance, phase: int) -> Floats:
    """Return the output of every model in a phase, in bits, (models,)."""
    return np.array([in_phase(model.output_bits, phase) for model in instance.models])


def server_seconds(instance: Instance, times: Floats) -> tuple[Ints, Floats, Floats]:
    """Work out the seconds on every server for tasks of one model and speed (and batch, under a roofline).

    Parameters
    ----------
    times : array of shape (models, phases)
        As `repeats` gives it.

    Returns
    -------
    group : (K,) row of seconds
    seconds : (groups, M, N), inf where nothing tells them
    factor : (K,) by which a task's seconds are multiplied
    """
    tasks, speed = instance.tasks, instance.server_speed
    column = tasks.slot if speed.shape[1] > 1 else np.zeros_like(tasks.slot)
    roofs = any(server.memory_bytes_per_s is not None for server in instance.servers)
    batch = tasks.batch if roofs else np.ones_like(tasks.batch)
    kinds, kind = np.unique(batch, return_inverse=True)
    keys = (kind * speed.shape[1] + column) * len(instance.models) + tasks.model
    pairs, group = np.unique(keys, return_inverse=True)
    rest, model = np.divmod(pairs, len(instance.models))
    b, at = np.divmod(rest, speed.shape[1])
    size = kinds[b].astype(np.float64)[:, None, None]
    seconds: Floats | None = None
    for p in np.flatnonzero(times.any(axis=0)).tolist():
        cycles = block_table(instance, "cycles", p)
        with np.errstate(over="ignore", invalid="ignore"):
            once = cycles[model][:, :, None] / speed.T[at][:, None, :]
            once = once * size if roofs else once
        for n, server in enumerate(instance.servers):
            if server.memory_bytes_per_s is not None or server.hardware is not None:
                once[:, :, n] = _told(instance, server, p, once[:, :, n], model, size[:, 0])
        seconds = _added(seconds, _known(once), times[model, p])
    assert seconds is not None
    return group, frozen(seconds), np.ones(len(tasks)) if roofs else tasks.batch.astype(np.float64)


def device_costs(
    instance: Instance, times: Floats, device_speed: Floats | None
) -> tuple[Floats, Floats, Floats]:
    """Eq. 3 and 4 (or measured times, a roofline, power times time) for whole batches.

    Returns
    -------
    seconds, joules : (K, M) each; joules NaN where neither power nor speed tell them
    watts : (K,) while calculating, 0 where energy goes by cycles
    """
    devices, tasks = instance.devices, instance.tasks
    if device_speed is None:
        given = [np.nan if d.cycles_per_s is None else d.cycles_per_s for d in devices]
        device_speed = np.array(given)[tasks.device]
    kappa = np.array([device.kappa for device in devices])[tasks.device][:, None]
    power = np.array([np.nan if d.compute_power_w is None else d.compute_power_w for d in devices])
    watts = power[tasks.device][:, None]
    batch = tasks.batch.astype(np.float64)
    plain = all(d.hardware is None and d.memory_bytes_per_s is None for d in devices)
    kinds, kind = ([], np.zeros(0)) if plain else _kinds(devices)
    seconds: Floats | None = None
    joules: Floats | None = None
    by_power = ~np.isnan(power[tasks.device])
    for p in np.flatnonzero(times.any(axis=0)).tolist():
        cycles = block_table(instance, "cycles", p)
        work = of_rows(cycles, tasks.model)
        with np.errstate(over="ignore", invalid="ignore"):
            once = work / device_speed[:, None]
            once *= batch[:, None]  # in place: memory that is new takes longer than the sum
            for i, like in enumerate(kinds):
                mine = kind[tasks.device] == i
                once[mine] = _told(instance, like, p, once[mine], tasks.model[mine], batch[mine, None])
            once = _known(once)
            spent = kappa * device_speed[:, None] ** 2 * work
            spent *= batch[:, None]
            if by_power.any():
                # What takes no power takes none for however long.
                spent[by_power] = np.where(watts == 0, 0.0, watts * once)[by_power]
        if np.isnan(cycles).any():
            spent[np.isnan(work) & ~by_power[:, None] & ~np.isnan(device_speed[:, None])] = 0.0
        passes = times[tasks.model, p]
        seconds, joules = _added(seconds, once, passes), _added(joules, spent, passes)
    assert seconds is not None
    assert joules is not None
    return seconds, joules, np.nan_to_num(watts[:, 0])


def start_seconds(instance: Instance, times: Floats) -> Floats | None:
    """Return the seconds of beginning a stretch with a block on a node, (K, M, J); None: nowhere any."""
    if not any(block.start_seconds for model in instance.models for block in model.blocks):
        return None
    tasks = instance.tasks
    passes = times.sum(axis=1)[tasks.model][:, None]
    start = np.empty((len(tasks), instance.max_blocks, instance.server_count + 1))
    kinds, kind = _kinds(instance.devices)
    own = np.stack([_starts(instance, like.hardware) for like in kinds])
    start[:, :, 0] = own[kind[tasks.device], tasks.model] * passes
    for n, server in enumerate(instance.servers, 1):
        start[:, :, n] = _starts(instance, server.hardware)[tasks.model] * passes
    return start


def _added(sum_: Floats | None, once: Floats, times: Floats) -> Floats:
    """Add some passes to a sum; nothing where there is none, though one would be infinite."""
    if (times == 1.0).all():
        return once if sum_ is None else sum_ + once
    shape = (-1,) + (1,) * (once.ndim - 1)
    with np.errstate(over="ignore", invalid="ignore"):
        more = np.where(times.reshape(shape) > 0, times.reshape(shape) * once, 0.0)
    return more if sum_ is None else sum_ + more


def _known(seconds: Floats) -> Floats:
    """Return infinity where nothing tells the seconds; what is only too large stays a number."""
    if np.isfinite(seconds.max(initial=0.0)):
        return seconds
    return np.where(np.isnan(seconds), np.inf, np.minimum(seconds, np.finfo(np.float64).max))


def _kinds(devices: Sequence[Device]) -> tuple[list[Device], Ints]:
    """Return a device of every kind, by hardware and memory rate, and the kind of each device."""
    keys = [(device.hardware or "", device.memory_bytes_per_s or 0.0) for device in devices]
    found = {key: i for i, key in reversed(list(enumerate(keys)))}
    order = {key: at for at, key in enumerate(found)}
    return [devices[i] for i in found.values()], np.array([order[key] for key in keys])


def _told(
    instance: Instance, node: Device | Server, phase: int, seconds: Floats, model: Ints, size: Floats
) -> Floats:
    """Correct the seconds of one pass by the node's memory rate and by what is measured on its hardware.

    Parameters
    ----------
    seconds : array of shape (rows, M)
        By cycles, NaN where those do not tell them.
    size : array of shape (rows, 1)
        Batches.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if node.memory_bytes_per_s is not None:
            read = _table(instance, lambda block: in_phase(_reads(block), phase))[model]
            state = block_table(instance, "state_read_bytes", phase)[model]
            seconds = np.fmax(seconds, (read + size * state) / node.memory_bytes_per_s)
        kind = node.hardware
        if kind is not None:
            seen = _table(instance, lambda b: in_phase(b.measured_seconds.get(kind), phase))[model]
            seconds = np.where(np.isnan(seen), seconds, seen * size)
    return seconds


def _reads(block: Block) -> PerPhase:
    return block.param_bytes if block.read_bytes is None else block.read_bytes


def _starts(instance: Instance, hardware: str | None) -> Floats:
    return _table(instance, lambda block: block.start_seconds.get(hardware or "", 0.0))


def _table(instance: Instance, figure: Callable[[Block], float]) -> Floats:
    table = np.zeros((len(instance.models), instance.max_blocks))
    for i, model in enumerate(instance.models):
        table[i, : len(model.blocks)] = [figure(block) for block in model.blocks]
    return table
