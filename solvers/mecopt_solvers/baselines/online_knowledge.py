"""What `online-price` may know of later slots: the tasks to come, and ranges or a trace of what they meet."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts, chain_costs
from mecopt.entities import Tasks
from mecopt.errors import InputError
from mecopt.instance import Instance
from mecopt.trellis_arcs import Arcs, build_arcs
from mecopt_solvers.energy.price_search import Stages

SAMPLES, FEWEST = 512, 16  # tasks drawn in all, and of every kind at least
COARSE, FINE = 41, 96  # prices tried to find where they matter, and within that range
LEAST_PRICE, LARGEST_PRICE = 1e-290, 1e290  # of a joule, in seconds, around which they are tried


@dataclass(frozen=True)
class Ranges:
    """Between which bounds later rates and server speeds lie, each uniform and independent."""

    rate_bps: tuple[float, float]
    speed: Floats  # (N, 2) cycles/s


@dataclass(frozen=True, eq=False)
class ComingTasks:
    """The tasks to come by kind: what is known of each is its device, model, batch and deadlines."""

    kind: Ints  # (K,)
    kinds: int
    device: Ints  # (K,)

    @classmethod
    def of(cls, instance: Instance) -> ComingTasks:
        """Sort the tasks by device (alike but for name and budget), model and batch."""
        alike = [dataclasses.replace(d, name="", energy_budget_j=None) for d in instance.devices]
        number = {device: i for i, device in enumerate(dict.fromkeys(alike))}
        device = np.array([number[d] for d in alike])[instance.tasks.device]
        keys = np.stack([device, instance.tasks.model, instance.tasks.batch], axis=1)
        found, kind = np.unique(keys, axis=0, return_inverse=True)
        return cls(kind.ravel(), len(found), instance.tasks.device)

    def counts(self, device: int) -> Ints:
        """Return how many tasks of each kind a device has, (kinds,)."""
        return np.bincount(self.kind[self.device == device], minlength=self.kinds)


@dataclass(frozen=True, eq=False)
class Outlook:
    """What tasks of each kind will spend: at a price on average, at least, and in the worst case."""

    prices: Floats  # (G,) from 0 to inf, seconds for each joule
    spends: Floats  # (kinds, G) mean joules of a task at a price
    mean: Floats  # (kinds,) least joules of a task, on average
    variance: Floats  # (kinds,) of these
    worst: Floats  # (kinds,) and in the worst case
    samples: int

    def price(self, to_come: Ints, left: float) -> float:
        """Return the price at which the tasks to come spend what is left, inf if there is none."""
        total = to_come @ self.spends
        above = int((total > left).sum())  # what is spent falls as the price rises
        if above == 0:
            return 0.0
        if above >= len(total) - 1:
            return float("inf")
        share = (total[above - 1] - left) / (total[above - 1] - total[above])
        return float(self.prices[above - 1] + share * (self.prices[above] - self.prices[above - 1]))


def known_ranges(instance: Instance, options: Mapping[str, Any]) -> Ranges | None:
    """Read the ranges from the options, else from how the instance was made; None where neither says.

    Raises
    ------
    InputError
        If an option is no pair of numbers.
    """
    made = (instance.origin or {}).get("parameters")
    made = made if isinstance(made, Mapping) else {}
    rate = _pair(options["rate_bps"], "rate_bps") if "rate_bps" in options else _read(made.get("rate_bps"))
    if rate is None:
        return None
    if instance.server_speed.shape[1] == 1:
        return Ranges(rate, np.repeat(instance.server_speed, 2, axis=1))
    factor = options.get("load_factor")
    factor = _read(made.get("server_load_factor")) if factor is None else _pair(factor, "load_factor")
    full = made.get("server_cycles_per_s")
    if factor is None or not isinstance(full, list) or len(full) != instance.server_count:
        return None
    return Ranges(rate, np.array(full, dtype=np.float64)[:, None] * np.array(factor))


def _read(value: Any) -> tuple[float, float] | None:
    """Read a range of the generator's: {"uniform": [low, high]} or a number."""
    if isinstance(value, Mapping):
        value = value.get("uniform")
    elif isinstance(value, (int, float)):
        value = [value, value]
    try:
        return _pair(value, "")
    except InputError:
        return None


def _pair(value: Any, name: str) -> tuple[float, float]:
    ok = isinstance(value, (list, tuple)) and len(value) == 2
    if (
        not ok
        or not all(isinstance(x, (int, float)) for x in value)
        or not 0 <= value[0] <= value[1] < np.inf
    ):
        raise InputError(f"{name}: {value!r}, expected [lowest, largest]")
    return float(value[0]), float(value[1])


def from_ranges(instance: Instance, plan: ComingTasks, ranges: Ranges, seed: int) -> Outlook:
    """Work out the outlook from tasks drawn within the ranges."""
    rng = np.random.default_rng(seed)
    each = max(FEWEST, SAMPLES // plan.kinds)
    members = [np.flatnonzero(plan.kind == kind) for kind in range(plan.kinds)]
    drawn = np.concatenate([rng.choice(m, each) for m in members])
    shape = (len(drawn), instance.server_count)
    rates = rng.uniform(*ranges.rate_bps, shape)
    speed = rng.uniform(ranges.speed[:, 0], ranges.speed[:, 1], shape)
    arcs = _imagined(instance, drawn, rates, speed)
    low = np.full((plan.kinds, shape[1]), ranges.rate_bps[0])
    slow = np.tile(ranges.speed[:, 0], (plan.kinds, 1))
    first = np.array([m[0] for m in members])
    tau = np.stack([instance.tasks.max_delay_s[m].min(axis=0) for m in members])
    worst = Stages(_imagined(instance, first, low, slow, tau), np.arange(plan.kinds)).least_energy()[0]
    return _outlook(arcs, np.repeat(np.arange(plan.kinds), each), plan.kinds, worst)


def from_trace(costs: ChainCosts, plan: ComingTasks, seen: Ints) -> Outlook:
    """Work out the outlook from the latest tasks seen; kinds never seen count as the mean of the others."""
    some = seen[-SAMPLES:]
    outlook = _outlook(build_arcs(costs, some), plan.kind[some], plan.kinds, None)
    return dataclasses.replace(outlook, samples=len(seen))


def _imagined(
    instance: Instance, like: Ints, rates: Floats, speed: Floats, tau: Floats | None = None
) -> Arcs:
    """Return trellises of tasks like those given, each in a slot of its own, with other rates and speeds."""
    tasks = instance.tasks
    imagined = instance.replace(
        slot_count=len(like),
        tasks=Tasks(
            np.arange(len(like)), tasks.device[like], tasks.model[like], tasks.batch[like], rates,
            tasks.max_delay_s[like] if tau is None else tau,
        ),
        servers=tuple(
            dataclasses.replace(server, cycles_per_s=speed[:, n]) for n, server in enumerate(instance.servers)
        ),
    )  # fmt: skip
    return build_arcs(chain_costs(imagined))


def _outlook(arcs: Arcs, kind: Ints, kinds: int, worst: Floats | None) -> Outlook:
    """Sum up sampled tasks: what each kind spends at every price; without `worst`, the worst seen counts."""
    keep = np.isfinite(Stages(arcs, np.arange(len(kind))).least_energy()[0])
    if not keep.any():
        keep[:] = True
    stages, kind = Stages(arcs, np.flatnonzero(keep)), kind[keep]
    seen = np.bincount(kind, minlength=kinds)

    def means(values: Floats) -> Floats:
        found = np.bincount(kind, values, kinds) / np.maximum(seen, 1)
        return np.where(seen > 0, found, values.mean())

    def spends(prices: Floats) -> Floats:
        return np.stack([means(stages.priced(float(price))[1]) for price in prices], axis=1)

    delay, most = stages.priced(0.0)
    least = stages.least_energy()[0]
    typical = float(delay.sum()) / max(float(most.sum()), 1e-300)
    typical = min(max(typical, LEAST_PRICE), LARGEST_PRICE)  # delays or joules may all be 0
    grid = typical * np.geomspace(1e-5, 1e5, COARSE)
    total = spends(grid).sum(axis=0)
    moves = np.flatnonzero(np.diff(total) < 0)
    low, high = (moves[0], moves[-1] + 1) if moves.size else (0, 1)
    prices = np.geomspace(grid[low], grid[high], FINE)
    table = np.concatenate([means(most)[:, None], spends(prices), means(least)[:, None]], axis=1)
    mean, highest = means(least), np.full(kinds, least.max())
    variance = np.maximum(means(least**2) - mean**2, 0.0)
    for i in np.flatnonzero(seen).tolist():
        highest[i] = least[kind == i].max()
    largest = highest if worst is None else np.where(np.isfinite(worst), np.maximum(worst, highest), highest)
    table = np.minimum.accumulate(table, axis=1)
    return Outlook(np.concatenate([[0.0], prices, [np.inf]]), table, mean, variance, largest, len(kind))
