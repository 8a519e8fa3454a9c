"""Energy budgets: a policy that is told a price, and the price that spends what is left evenly.

Before each task the price is set anew: that at which the policy would spend, on average over the tasks still
to come, what the device has left. How much it spends at a price is measured beforehand on tasks drawn from
the ranges it was trained on. A choice that would eat into the reserve is made anew at a higher price, and
at last gives way to the least energy. The reserve is what the tasks to come need in the worst case of these
ranges, so a budget that covers it is never overspent while figures stay within them; a smaller budget is
kept but for a probability of `DOUBT`.

As `mecopt_solvers.baselines.online_price` it looks at no rate of a later task; its paths are the
network's instead of the cheapest.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts, chain_costs, steps
from mecopt.entities import Coupling, Tasks
from mecopt.instance import Instance
from mecopt.tolerances import JUST_BELOW, slack
from mecopt.trellis_arcs import build_arcs
from mecopt_rl.deciding import without_torch
from mecopt_rl.learners.learner import Masks, Nodes
from mecopt_rl.training.checkpoint import StoredPolicy
from mecopt_rl.world import masks
from mecopt_rl.world.fleet import Fleet
from mecopt_rl.world.observation import Encoder
from mecopt_rl.world.prices import EnergyPrice, ServerPrices, along, prices_of, see
from mecopt_solvers.baselines.online_knowledge import ComingTasks, Outlook, Ranges, from_ranges
from mecopt_solvers.baselines.online_price import cheapest
from mecopt_solvers.baselines.placing import cut_off
from mecopt_solvers.energy.price_search import Stages

if TYPE_CHECKING:
    import torch

PRICES = 65  # of which the spending is measured
SAMPLES, FEWEST = 512, 16  # tasks on which it is, in all and of every kind at least
DOUBT = 1e-4  # probability that the reserve falls short, where the worst case cannot be paid for
LEAST = 4096  # tasks on whose least energies the reserve rests


@dataclass(frozen=True, eq=False)
class Reserve:
    """What the tasks to come may need at least, by what is known of the least energies of single tasks.

    Where the worst case of the ranges can be paid for, it is kept. Otherwise Chernoff's bound: a sum of
    independent needs is above it with probability `DOUBT` at most (needs as in the sample, the worst case
    being one of it).
    """

    worst: Floats  # (kinds,) joules of a task in the worst case
    rate: Floats  # (R,) 1/joule
    growth: Floats  # (kinds, R) log of the mean of exp(rate * least energy)

    @classmethod
    def of(cls, least: Floats, worst: Floats) -> Reserve:
        """Work it out from sampled least energies (kinds, samples)."""
        sample = np.concatenate([least, worst[:, None]], axis=1)
        top = max(float((worst - sample.mean(axis=1)).max()), 1e-12)
        rate = np.geomspace(1e-3, 1e3, 49) / top
        above = np.exp(rate[:, None] * (sample - worst[:, None])[:, None, :]).mean(axis=2)
        return cls(worst, rate, rate * worst[:, None] + np.log(above))

    def __call__(self, to_come: Ints, left: float) -> float:
        """Return the joules to keep for so many tasks of each kind."""
        worst = float(to_come @ self.worst)
        if left >= worst:
            return worst
        likely = (np.log(1.0 / DOUBT) + to_come @ self.growth) / self.rate
        return min(worst, float(likely.min()))


class EnergyPolicy:
    """A priced policy at work on one instance.

    Parameters
    ----------
    policy : StoredPolicy
    instance : Instance
    costs : ChainCosts
    node_cost : array of shape (tasks, blocks, nodes), optional
        inf where the caller forbids a node.
    noise : torch.Generator, optional
        Sample; without it the likeliest nodes are taken.
    seed : int
        Of the tasks on which the spending is measured.
    """

    def __init__(
        self,
        policy: StoredPolicy,
        instance: Instance,
        costs: ChainCosts,
        node_cost: Floats | None = None,
        noise: torch.Generator | None = None,
        seed: int = 0,
    ) -> None:
        self.network, self.instance, self.costs = policy.network, instance, costs
        self.node_cost, self.noise = node_cost, noise
        self.encoder = Encoder.from_json(policy.card["encoder"])
        self.plan = ComingTasks.of(instance)
        self.budget = {
            d: float(slack(np.float64(device.energy_budget_j)) * JUST_BELOW)
            for d, device in enumerate(instance.devices)
            if Coupling.ENERGY in instance.rules.couplings and device.energy_budget_j is not None
        }
        self.to_come = {d: self.plan.counts(d) for d in self.budget}
        self.asked: dict[int, list[float]] = {d: [] for d in self.budget}  # finite prices, 0 to 1
        if self.budget:
            self.outlook = self._outlook(policy.card["fingerprint"]["ranges"], seed)

    def choose(self, fleet: Fleet, allowed: Masks | None) -> Nodes:
        """Decide the next task, the only one that `fleet` runs."""
        k, static = int(fleet.now[0]), fleet.observe()
        device = int(self.instance.tasks.device[k])
        if device not in self.budget:
            return self._nodes(static, 0.0, allowed)
        left = self.budget[device] - float(fleet.state.spent[0, device])
        to_come = self.to_come[device]
        price = self.outlook.price(to_come, left)
        to_come[self.plan.kind[k]] -= 1
        free = left - self.reserve(to_come, left)
        arcs = build_arcs(self.costs, np.array([k]), self.node_cost)

        def spent(nodes: Nodes) -> float:
            within = nodes[:, : arcs.energy_j.shape[1]]
            return float(along(arcs.energy_j, cut_to(within, arcs.blocks))[0].sum())

        if np.isfinite(price):
            self.asked[device].append(price)
            for dearer in (price, *self.outlook.prices[self.outlook.prices > price][:-1:8], 1.0):
                nodes = self._nodes(static, dearer, allowed)
                if spent(nodes) <= free:
                    return nodes
        least = cheapest(arcs.weight[0], arcs.energy_j[0], np.array([np.inf]))[0]
        return np.pad(least, ((0, 0), (0, self.encoder.blocks - least.shape[1])))

    def prices(self, seen: EnergyPrice | ServerPrices) -> dict[str, Floats] | None:
        """Return for every device the median of its tasks' prices; None without budgets."""
        if not self.budget:
            return None
        assert isinstance(seen, EnergyPrice)
        found = np.zeros(len(self.instance.devices))
        for d, places in self.asked.items():
            if places:
                found[d] = float(seen.price(np.array(np.median(places))))
        return {"energy": found}

    def _nodes(self, static: Any, price: float, allowed: Masks | None) -> Nodes:
        seen = np.full((len(static), 1), price)
        return without_torch.choose(self.network, see(static, seen), allowed, self.noise)

    def _outlook(self, known: Any, seed: int) -> Outlook:
        """Measure what the policy spends at every price, on tasks drawn from the ranges it knows."""
        ranges = Ranges((known["rate"][0], known["rate"][1]), self._speeds(known["server_speed"]))
        base = from_ranges(self.instance, self.plan, ranges, seed)
        rng = np.random.default_rng(seed)
        self.reserve = Reserve.of(self._least(ranges, rng), base.worst)
        imagined = self._imagined(SAMPLES, ranges, rng)
        each = imagined.task_count // self.plan.kinds
        costs, static = chain_costs(imagined), self.encoder.encode(imagined)
        prices = np.linspace(0.0, 1.0, PRICES)
        spends = np.empty((self.plan.kinds, PRICES + 1))
        for i, price in enumerate(prices):
            nodes = self._nodes_of(static, float(price))[:, : imagined.max_blocks]
            joules = steps(costs, cut_off(imagined, nodes)).energy_j.sum(axis=1)
            spends[:, i] = joules.reshape(self.plan.kinds, each).mean(axis=1)
        spends[:, -1] = base.mean
        return dataclasses.replace(
            base, prices=np.append(prices, np.inf), spends=np.minimum.accumulate(spends, axis=1)
        )

    def _least(self, ranges: Ranges, rng: np.random.Generator) -> Floats:
        """Return the least energies of drawn tasks, (kinds, samples); of those that have any placement."""
        imagined = self._imagined(LEAST, ranges, rng)
        arcs = build_arcs(chain_costs(imagined))
        least = Stages(arcs, np.arange(imagined.task_count)).least_energy()[0]
        least = np.where(np.isfinite(least), least, 0.0)
        return least.reshape(self.plan.kinds, -1)

    def _imagined(self, count: int, ranges: Ranges, rng: np.random.Generator) -> Instance:
        """Draw tasks of every kind, as many of each, with rates and speeds within the ranges."""
        each = max(FEWEST, count // self.plan.kinds)
        kinds = [np.flatnonzero(self.plan.kind == kind) for kind in range(self.plan.kinds)]
        return _like(self.instance, np.concatenate([rng.choice(k, each) for k in kinds]), ranges, rng)

    def _nodes_of(self, static: Any, price: float) -> Nodes:
        seen = np.full((len(static), 1), price)
        return without_torch.choose(self.network, see(static, seen), None)

    def _speeds(self, known: Any) -> Floats:
        """Return between which speeds every server lies: its own, where that is the same in all slots."""
        speed = self.instance.server_speed
        if speed.shape[1] == 1:
            return np.repeat(speed, 2, axis=1)
        return np.tile(np.asarray(known, dtype=np.float64), (len(speed), 1))


def cut_to(nodes: Nodes, blocks: Ints) -> Nodes:
    """Let what stands behind the end of shorter models stay on the node of the last block."""
    last = np.take_along_axis(nodes, blocks[:, None] - 1, axis=1)
    kept: Nodes = np.where(np.arange(nodes.shape[1]) < blocks[:, None], nodes, last)
    return kept


def _like(instance: Instance, like: Ints, ranges: Ranges, rng: np.random.Generator) -> Instance:
    """Return tasks like those given, each in a slot of its own, with rates and speeds within the ranges."""
    tasks, shape = instance.tasks, (len(like), instance.server_count)
    rates = rng.uniform(*ranges.rate_bps, shape)
    speed = rng.uniform(ranges.speed[:, 0], ranges.speed[:, 1], shape)
    servers = [dataclasses.replace(s, cycles_per_s=speed[:, n]) for n, s in enumerate(instance.servers)]
    drawn = Tasks(
        np.arange(len(like)), tasks.device[like], tasks.model[like], tasks.batch[like], rates,
        tasks.max_delay_s[like],
    )  # fmt: skip
    return instance.replace(slot_count=len(like), tasks=drawn, servers=tuple(servers))


def decide(
    policy: StoredPolicy,
    instance: Instance,
    allow: Any,
    *,
    costs: ChainCosts | None = None,
    node_cost: Floats | None = None,
    noise: torch.Generator | None = None,
    seed: int = 0,
) -> masks.Decided:
    """Let a priced policy decide an instance with energy budgets; the rest as `policy_methods.decide`.

    Parameters
    ----------
    allow : callable
        ``allow(fleet)`` returns the masks of the next task, None where every node is allowed.
    """
    costs = chain_costs(instance) if costs is None else costs
    acting = EnergyPolicy(policy, instance, costs, node_cost, noise, seed)

    def choose(fleet: Fleet) -> Nodes:
        if fleet.episodes > 1:  # nothing is coupled: all tasks at once, and no budget
            return acting._nodes(fleet.observe(), 0.0, allow(fleet))
        return acting.choose(fleet, allow(fleet))

    decided = masks.decide(instance, acting.encoder, choose, costs=costs)
    return dataclasses.replace(decided, prices=acting.prices(prices_of(policy.card["prices"], policy.path)))
