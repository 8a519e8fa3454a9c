"""Full servers: a policy that is told a price of each server's seconds, and prices that fill servers just so.

All tasks of a slot are released together, so the prices come from them: before each task they are moved
until the tasks still to be decided, as the policy would place them at these prices, fit what is left on the
servers (subgradient steps on the Lagrangian dual, the policy in place of the shortest paths). Then the task
is decided at these prices, from the exact masks of each block.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mecopt.costs import ChainCosts, chain_costs
from mecopt.instance import Instance
from mecopt.parts import Floats
from rl import masks
from rl.checkpoint import StoredPolicy
from rl.fleet import Fleet
from rl.learner import Nodes
from rl.observation import Encoder
from rl.prices import MOST_PRICE, Sample, ServerPrices, prices_of, see

FIRST_STEPS, STEPS = 300, 10  # of the prices before the first task, and before each other
FIRST_STEP, STEP = 1.0, 0.05  # change of a price for a server that is asked for twice what is left


def decide(
    policy: StoredPolicy,
    instance: Instance,
    allow: Any,
    *,
    costs: ChainCosts | None = None,
    noise: torch.Generator | None = None,
) -> masks.Decided:
    """Let a priced policy decide an instance with limited servers; the rest as `rl.policy.decide`.

    Parameters
    ----------
    allow : callable
        ``allow(fleet)`` returns the masks of the next tasks, None where every node is allowed.
    """
    prices = prices_of(policy.card["prices"], policy.path)
    assert isinstance(prices, ServerPrices)
    costs = chain_costs(instance) if costs is None else costs
    work = costs.batch[:, None, None] * costs.server_s[costs.group]  # (K, M, N)
    behind = np.arange(work.shape[1]) >= costs.blocks[:, None]
    work = np.where(behind[:, :, None], 0.0, work)
    encoder = Encoder.from_json(policy.card["encoder"])
    before: list[Floats] = []  # the prices of the tasks before

    def ask(fleet: Fleet, tasks: Any, price: Floats) -> Nodes:
        seen = prices.seen(_speeds_only(work[tasks]), np.broadcast_to(price, (len(tasks), price.shape[-1])))
        static = fleet.pool.static[tasks]
        nodes: Nodes = policy.network.decide(torch.from_numpy(see(static, seen)), None, None)[0]
        return nodes[:, : work.shape[1]]

    def choose(fleet: Fleet) -> Nodes:
        price = np.zeros((fleet.episodes, work.shape[2]))
        for e in np.flatnonzero(fleet.now >= 0).tolist():
            at = int(fleet.position[e])
            tasks = fleet.rows[at : fleet.lengths[e], e]
            start = before[-1][e] if at else np.ones(work.shape[2])
            free = float(instance.slot_s) - fleet.state.load[e]
            price[e] = settle(fleet, tasks, start, free, first=at == 0)
        before[:] = [price]
        now = np.maximum(fleet.now, 0)
        seen = prices.seen(_speeds_only(work[now]), price)
        chosen: Nodes = policy.network.decide(
            torch.from_numpy(see(fleet.observe(), seen)), allow(fleet), noise
        )[0]
        return chosen

    def settle(fleet: Fleet, tasks: Any, price: Floats, free: Floats, *, first: bool) -> Floats:
        total = np.zeros_like(price)
        steps = FIRST_STEPS if first else STEPS
        for i in range(steps):
            nodes = ask(fleet, tasks, price)
            used = np.array([(work[tasks][:, :, n] * (nodes == n + 1)).sum() for n in range(len(price))])
            size = FIRST_STEP / (1.0 + i / 10.0) if first else STEP
            over = (used - free) / np.maximum(free, 0.1 * instance.slot_s)
            price = np.clip(price + size * np.clip(over, -1.0, 1.0), 0.0, MOST_PRICE)
            total += price if i >= steps // 2 else 0.0
        return total / (steps - steps // 2)

    return masks.decide(instance, encoder, choose, costs=costs)


def _speeds_only(work: Floats) -> Sample:
    """Return a sample of which only the servers' seconds are known."""
    none = np.zeros(0)
    return Sample(np.zeros((0, 0), dtype=np.float32), none, none, work)
