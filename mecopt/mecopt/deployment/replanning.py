"""What was measured, as an instance: drifts from what was predicted, and plans made again from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mecopt.allowing import DEVICE
from mecopt.arrays import Floats
from mecopt.deployment.stages import Stretch, sent_bits
from mecopt.entities import Coupling
from mecopt.errors import MecoptError
from mecopt.schedule import node_names

if TYPE_CHECKING:
    from mecopt.instance import Instance
    from mecopt.judge import Evaluation

LEAST_S = 1e-4  # a calculation below this tells nothing of a speed
LEAST_SENT_S = 1e-3  # bits that take less than this, by the instance, tell nothing of a rate


@dataclass(frozen=True)
class Measured:
    """What stretches took, by the median: S stretches, seconds; NaN where nothing is known."""

    transfers_s: Floats
    calculations_s: Floats


def one_task(instance: Instance, task: int) -> Instance:
    """Return the instance of one task alone: what others made of shared servers is not in it."""
    from mecopt import allowing

    couplings = instance.rules.couplings - {Coupling.SHARING}
    rules = dataclasses.replace(instance.rules, couplings=couplings, sharing=None)
    tasks = instance.tasks.take(np.array([task]))
    return instance.replace(tasks=tasks, rules=rules, allow=allowing.of_task(instance, task))


def ratios(plan: list[Stretch], measured: Measured) -> dict[str, float]:
    """Return how many times longer than predicted every node of a plan calculated."""
    found = {}
    for node in {one.node for one in plan}:
        # A node that was lost early may have told of some of its stretches, or of none.
        known = np.isfinite(measured.calculations_s)
        mine = [s for s, one in enumerate(plan) if one.node == node and one.first >= 0 and known[s]]
        predicted = sum(plan[s].calculation_s for s in mine)
        took = float(np.sum(measured.calculations_s[mine]))
        if predicted > 0.0 and max(predicted, 0.1 * took) > LEAST_S:
            found[node] = took / predicted
    return found


def rates(
    instance: Instance, task: int, plan: list[Stretch], measured: Measured
) -> dict[tuple[str, str], float]:
    """Return the rate [bits/s] of every link that a plan used, its latency taken as the instance has it."""
    names = node_names(instance)
    bits: dict[tuple[str, str], float] = {}
    seconds: dict[tuple[str, str], float] = {}
    for s in range(1, len(plan)):
        sent, start, to = sent_bits(instance, task, plan[s]), plan[s - 1].node, plan[s].node
        i, j = names.index(start), names.index(to)
        took = float(measured.transfers_s[s]) - _latency(instance, i, j)
        given = _rate(instance, task, i, j) if start != to else 0.0
        # What is sent in no time takes what messages cost, whatever the rate.
        if given and took > 0 and (sent / given > LEAST_SENT_S or took > 10 * LEAST_SENT_S) and sent:
            bits[start, to] = bits.get((start, to), 0.0) + sent
            seconds[start, to] = seconds.get((start, to), 0.0) + took
    return {link: bits[link] / seconds[link] for link in bits}


def _latency(instance: Instance, i: int, j: int) -> float:
    links = instance.links
    return float(
        links.device_latency_s[max(i, j) - 1] if 0 in (i, j) else links.server_latency_s[i - 1, j - 1]
    )


def drifts(
    instance: Instance, task: int, plan: list[Stretch], measured: Measured, tolerance: float
) -> list[str]:
    """Say which nodes and links are not as the instance has them, beyond a tolerance (a fraction)."""
    texts = [
        f"{node} calculates {ratio:.2f} times as long as predicted"
        for node, ratio in ratios(plan, measured).items()
        if not 1 / (1 + tolerance) <= ratio <= 1 + tolerance
    ]
    names = node_names(instance)
    for (start, to), rate in rates(instance, task, plan, measured).items():
        given = _rate(instance, task, names.index(start), names.index(to))
        if not given / (1 + tolerance) <= rate <= given * (1 + tolerance):
            texts.append(f"{start} to {to}: {rate / 1e6:.3g} Mbit/s, the instance says {given / 1e6:.3g}")
    return sorted(texts)


def _rate(instance: Instance, task: int, i: int, j: int) -> float:
    tasks = instance.tasks
    if i and j:
        return float(instance.links.server_bps[i - 1, j - 1])
    down = tasks.given("down_rate_bps")
    if j == 0 and down is not None and not np.isnan(down[task]).any():
        return float(down[task, i - 1])
    return float(tasks.rate_bps[task, max(i, j) - 1])


def as_measured(instance: Instance, task: int, plan: list[Stretch], measured: Measured) -> Instance:
    """Return the instance of one task with the rates and speeds that a plan met.

    What the plan did not use stays as it was.
    """
    alone = _rated(one_task(instance, task), rates(instance, task, plan, measured))
    for node, ratio in ratios(plan, measured).items():
        alone = _timed(alone, node, ratio)
    return alone


def _rated(alone: Instance, found: dict[tuple[str, str], float]) -> Instance:
    names, tasks = node_names(alone), alone.tasks
    up, wired = np.array(tasks.rate_bps), np.array(alone.links.server_bps)
    down = np.where(np.isnan(tasks.down_rate_bps), up, tasks.down_rate_bps)
    for (start, to), rate in found.items():
        i, j = names.index(start), names.index(to)
        if i and j:
            wired[i - 1, j - 1] = rate
        elif j:
            up[0, j - 1] = rate
        else:
            down[0, i - 1] = rate
    asked = tasks.given("down_rate_bps") is not None or any(to == DEVICE for _, to in found)
    changed = dataclasses.replace(tasks, rate_bps=up, **({"down_rate_bps": down} if asked else {}))
    return alone.replace(tasks=changed, links=dataclasses.replace(alone.links, server_bps=wired))


def _timed(alone: Instance, node: str, ratio: float) -> Instance:
    """Give a node a kind of hardware of its own, of the seconds that its blocks take now."""
    from mecopt.judge import evaluate

    n, kind = node_names(alone).index(node), f"{node}, measured"
    number, batch = int(alone.tasks.model[0]), float(alone.tasks.batch[0])
    model = alone.models[number]
    if len(model.phases) > 1:
        return alone
    whole = np.full((1, alone.max_blocks), -1)
    whole[0, : len(model.blocks)] = n
    free = alone.replace(allow=())
    seconds = evaluate(free, whole).steps.calc_s[0]
    old = alone.devices[alone.tasks.device[0]].hardware if n == 0 else alone.servers[n - 1].hardware
    blocks = []
    for m, block in enumerate(model.blocks):
        begin = block.start_seconds.get(old, 0.0) if old is not None else 0.0
        inside = float(seconds[m]) - (float(begin) if m == 0 else 0.0)
        blocks.append(
            dataclasses.replace(
                block,
                measured_seconds={**block.measured_seconds, kind: max(inside, 0.0) * ratio / batch},
                start_seconds={**block.start_seconds, kind: float(begin) * ratio},
            )
        )
    models = list(alone.models)
    models[number] = dataclasses.replace(model, blocks=tuple(blocks))
    devices, servers = list(alone.devices), list(alone.servers)
    if n == 0:
        at = int(alone.tasks.device[0])
        devices[at] = dataclasses.replace(devices[at], hardware=kind)
    else:
        servers[n - 1] = dataclasses.replace(servers[n - 1], hardware=kind)
    return alone.replace(models=tuple(models), devices=tuple(devices), servers=tuple(servers))


def planned(alone: Instance, nodes: Collection[str]) -> Evaluation:
    """Solve the instance of one task on some of its nodes.

    Raises
    ------
    MecoptError
        If nothing is feasible there.
    """
    import mecopt

    names = node_names(alone)
    away = [n for n, name in enumerate(names) if name not in nodes]
    bans = [f"0:{m}={n}" for m in range(int(alone.block_count[0])) for n in away]
    result = mecopt.solve(alone, "auto", bans=bans, time_limit_s=5.0)
    if result.evaluation is None or not result.evaluation.feasible or result.evaluation.dropped[0]:
        raise MecoptError(f"nothing is feasible on {', '.join(sorted(nodes))} alone")
    return result.evaluation
