"""Prices of what is scarce, as a policy sees them, and what they add to its cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.errors import InputError
from mecopt.trellis_arcs import Arcs, shortest
from mecopt_rl.learners.learner import Reals

ENDS = 0.01  # of the way between most and least spending, where the range of prices ends
MOST_PRICE = 8.0  # of a second on a server, in seconds


class Prices(Protocol):
    """What prices of one kind look like to a policy, and what they add to its cost."""

    @property
    def size(self) -> int:
        """Numbers that a policy sees."""
        ...

    def draw(self, tasks: Sample, rng: np.random.Generator) -> Floats:
        """Draw prices for training, (K, size), as the policy sees them."""
        ...

    def weight(self, tasks: Sample, seen: Floats) -> Floats:
        """Return the priced cost of every arc, (K, M, J, J), inf = forbidden."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return everything that makes this object, as JSON holds it."""
        ...


@dataclass(frozen=True, eq=False)
class Sample:
    """Some tasks: their observations, arcs, and the speeds of the servers in their slots."""

    static: Reals  # (K, D)
    weight: Floats  # (K, M, J, J) seconds
    energy_j: Floats  # (K, M, J, J)
    work_s: Floats  # (K, M, N)

    def __getitem__(self, rows: Ints) -> Sample:
        """Return some of the tasks."""
        return Sample(*(getattr(self, f.name)[rows] for f in dataclasses.fields(self)))

    @classmethod
    def of(cls, static: Reals, arcs: Arcs) -> Sample:
        """Put observations and arcs of the same tasks together."""
        return cls(static, arcs.weight, arcs.energy_j, arcs.work_s)


@dataclass(frozen=True)
class EnergyPrice:
    """A price on each joule, between the two where spending stops to change.

    A policy sees its place between their logarithms, 0 to 1.
    """

    low: float  # seconds for each joule
    high: float
    delay_s: float  # mean of a task without a price: with the next, the unit of its cost
    energy_j: float
    size: int = 1

    def price(self, seen: Floats) -> Floats:
        """Return seconds for each joule."""
        prices: Floats = self.low * (self.high / self.low) ** seen
        return prices

    def draw(self, tasks: Sample, rng: np.random.Generator) -> Floats:
        """Draw evenly."""
        return rng.random((len(tasks.static), 1))

    def weight(self, tasks: Sample, seen: Floats) -> Floats:
        """Return delay plus price times energy, in units of what a task costs at that price."""
        price = self.price(seen)[:, :, None, None]
        weight: Floats = (tasks.weight + price * tasks.energy_j) / (self.delay_s + price * self.energy_j)
        return weight

    def to_json(self) -> dict[str, Any]:
        """Return the range."""
        return {"of": "energy", **{n: getattr(self, n) for n in ("low", "high", "delay_s", "energy_j")}}

    @classmethod
    def of(cls, tasks: Sample) -> EnergyPrice:
        """Read the range from tasks.

        Raises
        ------
        InputError
            If energy cannot be traded for delay.
        """
        blocks = np.full(len(tasks.static), tasks.weight.shape[1])

        def spent(price: float) -> tuple[float, float]:
            _, nodes = shortest(tasks.weight + price * tasks.energy_j, blocks)
            return float(along(tasks.weight, nodes).sum()), float(along(tasks.energy_j, nodes).sum())

        delay, most = spent(0.0)
        if most <= 0.0:
            raise InputError("energy: the tasks spend none, there is nothing to put a price on")
        grid = delay / most * np.geomspace(1e-4, 1e4, 161)
        spends = np.array([spent(float(price))[1] for price in grid])
        slip = ENDS * (spends[0] - spends[-1])
        if slip <= 0.0:
            raise InputError("energy: the tasks spend as much whatever it costs")
        low = grid[np.flatnonzero(spends >= spends[0] - slip)[-1]]
        high = grid[np.flatnonzero(spends <= spends[-1] + slip)[0]]
        count = len(tasks.static)
        return cls(float(low), float(high), delay / count, most / count)


@dataclass(frozen=True)
class ServerPrices:
    """A price on each server's seconds.

    What a second on a server costs, its own delay included, is 1 + price; times the seconds of a cycle this
    is what tells servers apart, and at the right prices they become alike. A policy sees both logarithms.
    """

    servers: int
    slowest: float  # seconds that the device needs for the chain, the largest of the tasks: the unit
    delay_s: float  # mean of a task without prices: the unit of its cost

    @property
    def size(self) -> int:
        """Numbers that a policy sees."""
        return 2 * self.servers

    def seen(self, tasks: Sample, price: Floats) -> Floats:
        """Return what a policy sees of prices (K, N)."""
        dear = np.log1p(np.minimum(price, MOST_PRICE))
        chain = np.log(np.maximum(tasks.work_s.sum(axis=1) / self.slowest, 1e-9))
        return np.concatenate([dear, dear + chain], axis=1)

    def draw(self, tasks: Sample, rng: np.random.Generator) -> Floats:
        """Draw prices that make servers about alike, for some tasks prices that have nothing in common."""
        chain = tasks.work_s.sum(axis=1)  # (K, N)
        count = len(chain)
        common = self.slowest * np.exp(rng.uniform(np.log(0.12), np.log(0.8), (count, 1)))
        alike = (
            common * np.exp(rng.normal(0.0, rng.choice([0.02, 0.1, 0.4], (count, 1)), chain.shape)) / chain
        )
        anyhow = np.exp(rng.uniform(0.0, np.log1p(MOST_PRICE), chain.shape))
        full = rng.random(chain.shape) < rng.choice([0.0, 0.25], (count, 1), p=[0.7, 0.3])
        price = np.where(rng.random((count, 1)) < 0.8, alike, anyhow) - 1.0
        return self.seen(tasks, np.where(full, MOST_PRICE, np.clip(price, 0.0, MOST_PRICE)))

    def weight(self, tasks: Sample, seen: Floats) -> Floats:
        """Return the delay plus the price of the servers' seconds, in units of a task's delay."""
        price = np.expm1(seen[:, : self.servers])
        weight = tasks.weight.copy()
        weight[..., 1:] += (price[:, None, :] * tasks.work_s)[:, :, None, :]
        return weight / self.delay_s

    def to_json(self) -> dict[str, Any]:
        """Return the units."""
        return {"of": "capacity", **{n: getattr(self, n) for n in ("servers", "slowest", "delay_s")}}

    @classmethod
    def of(cls, tasks: Sample) -> ServerPrices:
        """Read the units from tasks."""
        blocks = np.full(len(tasks.static), tasks.weight.shape[1])
        device = along(tasks.weight, np.zeros(tasks.weight.shape[:2], dtype=np.int64)).sum(axis=1)
        best = shortest(tasks.weight, blocks)[0]
        return cls(tasks.work_s.shape[2], float(device.max()), float(best.mean()))


def prices_of(document: Mapping[str, Any], path: str) -> EnergyPrice | ServerPrices:
    """Read what `to_json` of one of the two wrote.

    Raises
    ------
    InputError
        If a field is missing or of the wrong kind.
    """
    try:
        fields: dict[str, Any] = {name: float(value) for name, value in document.items() if name != "of"}
        if document["of"] == "energy":
            return EnergyPrice(**fields)
        if document["of"] == "capacity":
            return ServerPrices(int(fields.pop("servers")), **fields)
        raise ValueError(f"prices of {document['of']!r}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"card: prices: {type(error).__name__}: {error}", path) from None


def along(arcs: Floats, nodes: Ints) -> Floats:
    """Return a figure of arcs (K, M, J, J) along paths (K, M), for each block."""
    before = np.concatenate([np.zeros((len(nodes), 1), dtype=np.int64), nodes[:, :-1]], axis=1)
    found: Floats = arcs[np.arange(len(nodes))[:, None], np.arange(nodes.shape[1]), before, nodes]
    return found


def see(static: Reals, seen: Floats) -> Reals:
    """Return the observation that a priced policy gets: the task's own, and the prices."""
    return np.concatenate([static, seen.astype(np.float32)], axis=1)
