"""Full servers: a policy that is told a price of each server's seconds, and prices that fill servers just so.

All tasks of a slot are released together, so the prices come from them: before each task they are moved
until the tasks still to be decided, as the policy would place them at these prices, fit what is left on the
servers (subgradient steps on the Lagrangian dual, the policy in place of the shortest paths). Then the task
is decided at these prices, from the exact masks of each block.

Tasks do not divide, so prices that fit all of them together do not fit the last few. Two rules keep that
cheap: the tasks that lose most when no server takes them come first, and a choice that no longer fits is made
anew as a whole, at higher prices of the full servers, rather than mended block by block by the masks.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts, chain_costs
from mecopt.entities import Coupling
from mecopt.instance import Instance
from mecopt.trellis_arcs import build_arcs
from mecopt_rl.deciding import without_torch
from mecopt_rl.learners.learner import Nodes
from mecopt_rl.training.checkpoint import StoredPolicy
from mecopt_rl.world import masks
from mecopt_rl.world.fleet import Fleet
from mecopt_rl.world.observation import Encoder
from mecopt_rl.world.prices import MOST_PRICE, Sample, ServerPrices, along, prices_of, see

if TYPE_CHECKING:
    import torch

FIRST_STEPS, STEPS = 300, 10  # of the prices before the first task, and before each other
FIRST_STEP, STEP = 1.0, 0.05  # change of a price for a server that is asked for twice what is left
RAISE = 1.1  # of what a second costs on a server on which a choice does not fit


def decide(
    policy: StoredPolicy,
    instance: Instance,
    allow: Any,
    *,
    costs: ChainCosts | None = None,
    noise: torch.Generator | None = None,
) -> masks.Decided:
    """Let a priced policy decide an instance with limited servers; the rest as `policy_methods.decide`.

    Parameters
    ----------
    allow : callable
        ``allow(fleet)`` returns the masks of the next tasks, None where every node is allowed.
    """
    crowd = _PricedCrowd(policy, instance, chain_costs(instance) if costs is None else costs)
    whole = crowd.begin()

    def choose(fleet: Fleet) -> Nodes:
        return without_torch.choose(policy.network, crowd.seen(), allow(fleet), noise)

    decided = masks.decide(instance, crowd.encoder, choose, costs=crowd.costs, fleet=crowd.fleet)
    if Coupling.CAPACITY not in instance.rules.couplings:
        return decided
    return dataclasses.replace(decided, prices={"capacity": whole.ravel()})


class _PricedCrowd:
    """The tasks of an instance, lane by lane, and the prices of the servers at which the policy places them.

    Attributes
    ----------
    work : (K, M, N) array
        Seconds of each block on each server.
    price : (E, N) array
        Of each lane's servers, now.
    """

    def __init__(self, policy: StoredPolicy, instance: Instance, costs: ChainCosts) -> None:
        told = prices_of(policy.card["prices"], policy.path)
        assert isinstance(told, ServerPrices)
        self.network, self.told, self.instance, self.costs = policy.network, told, instance, costs
        work = costs.batch[:, None, None] * costs.server_s[costs.group]
        behind = np.arange(work.shape[1]) >= costs.blocks[:, None]
        self.work: Floats = np.where(behind[:, :, None], 0.0, work)
        self.encoder = Encoder.from_json(policy.card["encoder"])
        self.fleet = masks.fleet_of(instance, self.encoder, costs=costs)
        self.price = np.ones((self.fleet.episodes, work.shape[2]))

    def begin(self) -> Floats:
        """Price all tasks of each slot together, and put those first that lose most without a server.

        Returns
        -------
        (T, N) array
            These prices, by slot.
        """
        fleet, rows = self.fleet, self.fleet.rows.copy()
        whole = np.zeros((self.instance.slot_count, self.work.shape[2]))
        for e in range(fleet.episodes):
            tasks = rows[: fleet.lengths[e], e]
            free = np.full(self.work.shape[2], float(self.instance.slot_s))
            self.price[e] = self._settled(tasks, self.price[e], free, first=True)
            whole[self.instance.tasks.slot[tasks[0]]] = self.price[e]
            rows[: len(tasks), e] = tasks[np.argsort(-self._loss(tasks, self.price[e]), kind="stable")]
        fleet.load(fleet.pool, rows)
        return whole

    def seen(self) -> Any:
        """Return what the policy sees of the next tasks, at prices moved to what is left for them."""
        fleet = self.fleet
        free = float(self.instance.slot_s) - fleet.state.load
        live = np.flatnonzero(fleet.now >= 0)
        for e in live[fleet.position[live] > 0].tolist():
            tasks = fleet.rows[fleet.position[e] : fleet.lengths[e], e]
            self.price[e] = self._settled(tasks, self.price[e], free[e], first=False)
        price = self.price.copy()
        price[live] = self._fitting(fleet.now[live], price[live], free[live])
        return see(fleet.observe(), self.told.seen(_speeds_only(self.work[np.maximum(fleet.now, 0)]), price))

    def _choice(self, tasks: Ints, price: Floats) -> Nodes:
        """Return where the policy places tasks at prices, limits left out."""
        price = np.broadcast_to(price, (len(tasks), price.shape[-1]))
        seen = self.told.seen(_speeds_only(self.work[tasks]), price)
        nodes = without_torch.choose(self.network, see(self.fleet.pool.static[tasks], seen), None)
        return nodes[:, : self.work.shape[1]]

    def _used(self, tasks: Ints, nodes: Nodes) -> Floats:
        """Return the seconds of each server that placements take, (K, N)."""
        on = nodes[:, :, None] == np.arange(1, self.work.shape[2] + 1)
        seconds: Floats = np.where(on, self.work[tasks], 0.0).sum(axis=1)
        return seconds

    def _settled(self, tasks: Ints, price: Floats, free: Floats, *, first: bool) -> Floats:
        """Move prices by subgradient steps; the mean of the later half."""
        total = np.zeros_like(price)
        steps = FIRST_STEPS if first else STEPS
        for i in range(steps):
            size = FIRST_STEP / (1.0 + i / 10.0) if first else STEP
            over = self._used(tasks, self._choice(tasks, price)).sum(axis=0) - free
            over /= np.maximum(free, 0.1 * self.instance.slot_s)
            price = np.clip(price + size * np.clip(over, -1.0, 1.0), 0.0, MOST_PRICE)
            total += price if i >= steps // 2 else 0.0
        return total / (steps - steps // 2)

    def _loss(self, tasks: Ints, price: Floats) -> Floats:
        """Return what each task loses when it stays on its device, at these prices."""
        nodes, weight = self._choice(tasks, price), build_arcs(self.costs, tasks).weight
        best = along(weight, nodes).sum(axis=1) + self._used(tasks, nodes) @ price
        lost: Floats = along(weight, np.zeros_like(nodes)).sum(axis=1) - best
        return lost

    def _fitting(self, tasks: Ints, price: Floats, free: Floats) -> Floats:
        """Raise prices until the choice fits, each task on its own."""
        while True:
            full = (self._used(tasks, self._choice(tasks, price)) > free) & (price < MOST_PRICE)
            if not full.any():
                return price
            price = np.where(full, np.minimum((1.0 + price) * RAISE - 1.0, MOST_PRICE), price)


def _speeds_only(work: Floats) -> Sample:
    """Return a sample of which only the servers' seconds are known."""
    none = np.zeros(0)
    return Sample(np.zeros((0, 0), dtype=np.float32), none, none, work)
