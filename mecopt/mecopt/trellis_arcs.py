"""Every arc of the trellis as a number: what methods for coupled instances work on.

The compact `ChainCosts` is enough for the trellis alone. Prices on energy, capacity and memory change
single arcs, so here each has its own weight: K M (N + 1)^2 numbers, so for some of the tasks at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mecopt import objective
from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts
from mecopt.objective import StepFigures


@dataclass(frozen=True, eq=False)
class Arcs:
    """The trellises of K tasks; M blocks of the longest model, N servers, J = N + 1 nodes.

    Arc (k, m, i, j): task k enters block m on node j from node i. For the first block only i = 0 exists. Arcs
    behind the end of shorter models have weight 0 on the diagonal and are forbidden elsewhere, so that every
    path can be followed to the last stage.
    """

    tasks: Ints  # (K,) which tasks of the instance
    blocks: Ints  # (K,) number of blocks
    weight: Floats  # (K, M, J, J) objective, penalty and result return included; inf = forbidden
    energy_j: Floats  # (K, M, J, J) joules; 0 where forbidden
    calc_s: Floats  # (K, M, J or 1, N) seconds on every server, by the node before where that matters
    costs: ChainCosts  # what they were made of

    @property
    def work_s(self) -> Floats:
        """Seconds of calculation on every server, (K, M, N), where the node before makes no difference."""
        return self.calc_s[:, :, 0]

    @property
    def allowed(self) -> np.ndarray:
        """Which arcs may be used, (K, M, J, J)."""
        return np.isfinite(self.weight)


def build_arcs(
    costs: ChainCosts,
    tasks: Ints | None = None,
    node_cost: Floats | None = None,
    stretch: Floats | None = None,
) -> Arcs:
    """Work out every arc of some tasks (all of them by default).

    Parameters
    ----------
    costs : ChainCosts
    tasks : array of int, optional
        Indices of the tasks.
    node_cost : array of shape (all tasks, M, J), optional
        As in `mecopt.trellis.shortest_paths`; inf forbids a node.
    stretch : array that broadcasts to (K, M, J, N), optional
        How many times as long calculations on servers take, as sharing makes them; delays count it, energy
        and `Arcs.calc_s` do not.
    """
    k = np.arange(len(costs.blocks)) if tasks is None else np.asarray(tasks)
    stages, servers = costs.device_s.shape[1], costs.send_s.shape[1]
    flight = _flight(costs, k)
    work = costs.batch[k, None, None] * costs.server_s[costs.group[k]]
    calc = np.concatenate([costs.device_s[k][:, :, None], work], axis=2)[:, :, None, :]
    if costs.start_s is not None:
        calc = calc + starts(costs, k)
    delay = _trans(costs, k, flight) + (calc if stretch is None else _stretched(calc, stretch))
    energy = _energy(costs, k, flight, calc)
    weight = objective.of_steps(costs, k, StepFigures(delay, costs.tau[k][:, :, None, None], energy, calc))
    weight = np.where(delay > costs.limit[k][:, :, None, None], np.inf, weight)
    if node_cost is not None:
        weight = weight + node_cost[k][:, :, None, :]
    weight[:, 0, 1:, :] = np.inf
    behind = np.arange(stages) >= costs.blocks[k, None]
    weight[behind] = np.where(np.eye(servers + 1, dtype=bool), 0.0, np.inf)
    if costs.return_result:
        back = objective.of_seconds(costs, k, _result(costs, k))
        weight[np.arange(len(k)), costs.blocks[k] - 1, :, 1:] += back[:, None, :]
    energy = np.where(np.isfinite(weight), energy, 0.0)
    energy[behind] = 0.0
    load = np.where(behind[:, :, None, None], 0.0, calc[:, :, :, 1:])
    return Arcs(k, costs.blocks[k], weight, energy, load, costs)


def delays(costs: ChainCosts, tasks: Ints, *, result: bool = True) -> Floats:
    """Return the delay of every step of some tasks, the return of the result included unless told.

    Returns
    -------
    array of shape (K, M, J, J)
        Seconds; inf over a missing link, 0 behind the end of shorter models.
    """
    stages = costs.device_s.shape[1]
    work = costs.batch[tasks, None, None] * costs.server_s[costs.group[tasks]]
    calc = np.concatenate([costs.device_s[tasks][:, :, None], work], axis=2)[:, :, None, :]
    if costs.start_s is not None:
        calc = calc + starts(costs, tasks)
    delay: Floats = _trans(costs, tasks, _flight(costs, tasks)) + calc
    if costs.return_result and result:
        last = (np.arange(len(tasks)), costs.blocks[tasks] - 1, slice(None), slice(1, None))
        delay[last] += _result(costs, tasks)[:, None, :]
    delay[np.arange(stages) >= costs.blocks[tasks, None]] = 0.0
    return delay


def shortest(weight: Floats, blocks: Ints) -> tuple[Floats, Ints]:
    """Find the shortest path of every task through arcs of any weight.

    Parameters
    ----------
    weight : array of shape (K, M, J, J)
        As in `Arcs`, prices added.
    blocks : array of shape (K,)

    Returns
    -------
    value : array of shape (K,), inf = no path
    placement : array of shape (K, M), -1 behind the end of shorter models and where there is no path
    """
    tasks, stages = weight.shape[:2]
    value = weight[:, 0, 0, :]
    before = np.empty((stages, *value.shape), dtype=np.int64)
    for m in range(1, stages):
        total = value[:, :, None] + weight[:, m]
        before[m] = total.argmin(axis=1)
        value = np.take_along_axis(total, before[m][:, None, :], axis=1)[:, 0]
    rows = np.arange(tasks)
    node = value.argmin(axis=1)
    best = value[rows, node]
    placement = np.empty((tasks, stages), dtype=np.int64)
    for m in range(stages - 1, -1, -1):
        placement[:, m] = node
        if m > 0:
            node = before[m, rows, node]
    placement[np.arange(stages) >= blocks[:, None]] = -1
    placement[np.isinf(best)] = -1
    return best, placement


def _per_bit(costs: ChainCosts, k: Ints) -> Floats:
    """Seconds per bit on every link of some tasks, (K, J, J); inf = no link."""
    servers = costs.send_s.shape[1]
    per_bit = np.zeros((len(k), servers + 1, servers + 1))
    per_bit[:, 0, 1:], per_bit[:, 1:, 0] = costs.send_s[k], costs.back_s[k]
    per_bit[:, 1:, 1:] = costs.hop_s
    return per_bit


def _flight(costs: ChainCosts, k: Ints) -> Floats:
    """Seconds that a block's input is on every link, latency left out, (K, M, J, J); inf = no link."""
    per_bit = _per_bit(costs, k)
    missing = np.isinf(per_bit)
    flight = costs.bits[k][:, :, None, None] * np.where(missing, 0.0, per_bit)[:, None]
    return np.where(missing[:, None], np.inf, flight)


def _trans(costs: ChainCosts, k: Ints, flight: Floats) -> Floats:
    """Seconds of transfer of every step, latency included where it counts, (K, M, J, J)."""
    servers = costs.send_s.shape[1]
    latency = np.zeros((servers + 1, servers + 1))
    latency[0, 1:] = latency[1:, 0] = costs.send_lat
    latency[1:, 1:] = costs.hop_lat
    np.fill_diagonal(latency, 0.0)
    every = latency if costs.passes is None else latency * costs.passes[k, None, None, None]
    trans: Floats = every + flight
    if not costs.return_transfer:
        trans[:, :, 1:, 0] = np.where(np.isinf(trans[:, :, 1:, 0]), np.inf, 0.0)
    return trans


def _result(costs: ChainCosts, k: Ints) -> Floats:
    """Seconds of the result's way back from every server, (K, N); inf = no link."""
    per_bit = costs.back_s[k]
    latency = costs.send_lat if costs.passes is None else costs.send_lat * costs.passes[k, None]
    moved = np.where(np.isinf(per_bit), 0.0, per_bit) * costs.result_bits[k, None]
    back: Floats = np.where(np.isinf(per_bit), np.inf, latency + moved)
    return back


def starts(costs: ChainCosts, k: Ints) -> Floats:
    """Seconds that beginning a stretch adds to a step, (K, M, J, J): none where the node stays the same."""
    assert costs.start_s is not None
    nodes = costs.send_s.shape[1] + 1
    starts = np.repeat(costs.start_s[k][:, :, None, :], nodes, axis=2)
    same = np.arange(nodes)
    starts[:, 1:, same, same] = 0.0  # the first block begins a stretch on the device too
    return starts


def _stretched(calc: Floats, stretch: Floats) -> Floats:
    """Lengthen calculations on servers; one that takes no time takes none under any load."""
    longer = np.where(calc[..., 1:] > 0, calc[..., 1:] * stretch, 0.0)
    shape = (*longer.shape[:3], 1)
    return np.concatenate([np.broadcast_to(calc[..., :1], shape), longer], axis=3)


def _energy(costs: ChainCosts, k: Ints, flight: Floats, calc: Floats) -> Floats:
    flying = np.where(np.isinf(flight), 0.0, flight)
    energy = np.zeros_like(flight)
    energy[:, :, 0, 1:] = costs.send_w[k, None, None] * flying[:, :, 0, 1:]
    energy[:, :, 1:, 1:] = costs.hop_w[k, None, None, None] * flying[:, :, 1:, 1:]
    energy[:, :, :, 0] = costs.device_j[k][:, :, None]
    if costs.start_s is not None and costs.device_w is not None:
        with np.errstate(invalid="ignore"):  # where nothing tells the seconds
            begun = calc[:, :, :, 0] - costs.device_s[k][:, :, None]
        energy[:, :, :, 0] += costs.device_w[k, None, None] * np.where(np.isnan(begun), 0.0, begun)
    return energy
