"""From parameters and a seed to an instance."""

from __future__ import annotations

import dataclasses
from math import fsum
from typing import Any

import numpy as np

from mecopt import models
from mecopt.arrays import Floats
from mecopt.costs import chain_costs
from mecopt.entities import Deadline, Device, Links, Model, Rules, Server, Tasks, in_phase
from mecopt.generators import wider
from mecopt.generators.draws import unit
from mecopt.generators.energy import with_budgets
from mecopt.generators.parameters import Parameters
from mecopt.generators.rates import rates
from mecopt.generators.values import Range
from mecopt.instance import Instance
from mecopt.judge import evaluate
from mecopt.trellis import shortest_paths

MICRO = 1e6  # deadlines are written in whole microseconds


def build(parameters: Parameters, seed: int, name: str) -> tuple[Instance, dict[str, Any]]:
    """Draw an instance.

    Returns
    -------
    instance : Instance
    derived : dict
        What followed from the parameters and the draws rather than being set.

    Raises
    ------
    InputError
        If no placement can meet an energy budget.
    """
    p, derived = parameters, dict[str, Any]()
    model = wider.model(p, _model(p))
    speeds = server_speeds(p, seed)
    slot_s = p.release.slot_s
    if slot_s is None and p.release.ratio is not None:
        passes = [fsum(in_phase(b.cycles, i) for b in model.blocks) for i in range(len(model.phases))]
        cycles = fsum(phase.repeat * once for phase, once in zip(model.phases, passes, strict=True))
        work = cycles * p.release.release_rate
        slot_s = derived["slot_s"] = work / (p.release.ratio * fsum(speeds.tolist()))
    instance = Instance(
        name=name,
        slot_count=p.release.slots,
        slot_s=slot_s or 1.0,
        models=(model,),
        devices=_devices(p, seed),
        servers=_servers(p, speeds, seed),
        links=Links.of(p.servers.servers, p.servers.server_bps),
        tasks=wider.tasks(p, _tasks(p, seed), seed),
        rules=wider.rules(p, _rules(p)),
    )
    if p.limits.max_delay_lift:
        instance, derived["lifted_tasks"] = lifted(instance)
    if p.devices.energy_budget_j is not None or p.devices.energy_budget_share is not None:
        instance, energies = with_budgets(instance, p.devices)
        derived |= energies
    return instance, derived


def _rules(p: Parameters) -> Rules:
    return Rules.preset(
        p.limits.preset,
        deadline=Deadline(p.limits.deadline),
        deadline_penalty=p.limits.deadline_penalty,
        couplings=frozenset(p.limits.couplings),
    )


def _model(p: Parameters) -> Model:
    network = p.network
    model = models.chain(
        network.model,
        network.blocks,
        cycles_per_mac=network.cycles_per_mac,
        input=network.input,  # type: ignore[arg-type]
    )
    return (
        model if network.output_bits is None else dataclasses.replace(model, output_bits=network.output_bits)
    )


def _devices(p: Parameters, seed: int) -> tuple[Device, ...]:
    count, speed = p.tasks_per_slot, p.devices.device_cycles_per_s
    drawn = unit(seed, "device_speed", count)[:, 0]
    speeds = np.rint(speed(drawn)) if isinstance(speed, Range) else np.full(count, speed)
    return tuple(
        Device(
            name=f"device{d}",
            cycles_per_s=value,
            transmit_power_w=p.devices.transmit_power_w,
            kappa=p.devices.kappa,
            memory_bytes=p.devices.device_memory_bytes,
        )
        for d, value in enumerate(speeds.tolist(), 1)
    )


def server_speeds(p: Parameters, seed: int) -> Floats:
    """Return the speed of every server without other load, in cycles/s."""
    given, count = p.servers.server_cycles_per_s, p.servers.servers
    if isinstance(given, Range):
        return np.rint(given(unit(seed, "server_speed", 1, count)[0]))
    return np.broadcast_to(np.array(given), count)


def _servers(p: Parameters, speeds: Floats, seed: int) -> tuple[Server, ...]:
    factor, count = p.servers.server_load_factor, len(speeds)
    slots: list[Any] = speeds.tolist()
    if isinstance(factor, Range):
        slots = list(np.rint(speeds * factor(unit(seed, "load", p.release.slots, count))).T)
    elif factor != 1.0:
        slots = np.rint(speeds * factor).tolist()
    power, memory = p.wider.server_power_w, p.servers.server_memory_bytes
    return tuple(Server(f"es{n}", speed, memory, compute_power_w=power) for n, speed in enumerate(slots, 1))


def _tasks(p: Parameters, seed: int) -> Tasks:
    slots, each = p.release.slots, p.tasks_per_slot
    device = np.tile(np.arange(each), slots)
    tau, blocks = p.limits.max_delay_s, p.network.blocks
    if isinstance(tau, Range):
        delays = np.round(tau(unit(seed, "delay", slots * each, blocks)) * MICRO) / MICRO
    else:
        delays = np.full((slots * each, blocks), np.inf if tau is None else tau)
    return Tasks.of(
        slot=np.repeat(np.arange(slots), each),
        device=device,
        model=0,
        batch=p.batch,
        rate_bps=rates(p, device, seed),
        max_delay_s=delays,
        blocks=blocks,
    )


def lifted(instance: Instance) -> tuple[Instance, int]:
    """Lift the deadlines of tasks that no placement can serve; return how many there were.

    Such a task's deadlines are raised, where they are smaller, to the delays of the blocks under its optimum
    without deadlines, in whole microseconds rounded up. All other tasks keep theirs.
    """
    stuck = np.isinf(shortest_paths(chain_costs(instance), kernel="numpy").value)
    if not stuck.any():
        return instance, 0
    free = instance.replace(rules=dataclasses.replace(instance.rules, deadline=Deadline.NONE))
    fastest = shortest_paths(chain_costs(free), kernel="numpy").placement
    delays = np.ceil(evaluate(free, fastest).block_delay_s * MICRO) / MICRO
    tau = instance.tasks.max_delay_s
    raised = np.where(stuck[:, None], np.maximum(tau, delays), tau)
    return instance.replace(tasks=dataclasses.replace(instance.tasks, max_delay_s=raised)), int(stuck.sum())
