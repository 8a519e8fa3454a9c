"""Where episodes come from: an instance, several, or a generator that makes a fresh one each time."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import fsum
from pathlib import Path
from typing import Any

import numpy as np

from mecopt import io, sources
from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts, chain_costs
from mecopt.entities import in_phase
from mecopt.errors import InputError
from mecopt.generation import Range, Spec, expand, generate
from mecopt.generators.assemble import server_speeds
from mecopt.generators.parameters import Parameters, resolve
from mecopt.instance import Instance
from mecopt.judge import evaluate
from mecopt_rl.world.fleet import Sites, TaskPool, in_order, paths
from mecopt_rl.world.observation import Encoder, Ranges, ranges_of

SAMPLE_SEEDS = (0, 1)  # of the instances that tell a generator's shape
MOST_TASKS = 50_000  # of an instance that episodes are made of: larger ones leave the processor cache


@dataclass(frozen=True, eq=False)
class Batch:
    """Some episodes, ready to run.

    `draws` and `origin` lead back to the instances: episode e is number ``origin[e][1]`` of draw
    ``origin[e][0]``.
    """

    pool: TaskPool
    rows: Ints  # (T, E) tasks of the pool in order, -1 behind the last
    draws: tuple[Draw, ...]
    origin: tuple[tuple[int, int], ...]

    def instance(self, e: int) -> Instance:
        """Return the instance of episode e."""
        draw, number = self.origin[e]
        return self.draws[draw].episode(number)


@dataclass(frozen=True, eq=False)
class Draw:
    """One instance that holds `count` episodes: slot s of it is slot s // count of episode s % count."""

    instance: Instance
    count: int
    sites: Sites | None = None

    def rows(self) -> Ints:
        """Return the tasks of every episode, (T, count)."""
        if self.sites is None:
            return in_order(self.instance)[:, None]
        slots = in_order(self.instance).reshape(-1, self.count, self._per_slot)
        return slots.swapaxes(1, 2).reshape(-1, self.count)

    def costs(self) -> ChainCosts:
        """Return the costs of the tasks, with the speeds of each episode's own devices."""
        return chain_costs(self.instance, device_speed=self.sites.task_speed if self.sites else None)

    @property
    def _per_slot(self) -> int:
        return self.instance.task_count // self.instance.slot_count

    def episode(self, e: int) -> Instance:
        """Return episode e as an instance of its own."""
        if self.sites is None:
            return self.instance
        whole, sites = self.instance, self.sites
        budgets = [None if np.isinf(b) else b for b in sites.budget[e].tolist()]
        speeds = [d.cycles_per_s for d in whole.devices]
        speeds = speeds if sites.device_speed is None else sites.device_speed[e].tolist()
        devices = [
            dataclasses.replace(d, cycles_per_s=v, energy_budget_j=b)
            for d, v, b in zip(whole.devices, speeds, budgets, strict=True)
        ]
        speed = whole.server_speed
        speed = speed[:, e :: self.count] if speed.shape[1] > 1 else speed
        servers = [
            dataclasses.replace(s, cycles_per_s=_plain(v)) for s, v in zip(whole.servers, speed, strict=True)
        ]
        rows = self.rows()[:, e]
        columns = {f.name: getattr(whole.tasks, f.name)[rows] for f in dataclasses.fields(whole.tasks)}
        columns |= {"slot": sites.slot[rows], "device": sites.device[rows]}
        return whole.replace(
            name=f"{whole.name}, episode {e}",
            origin=None,
            slot_count=whole.slot_count // self.count,
            slot_s=float(sites.slot_s[e]),
            devices=tuple(devices),
            servers=tuple(servers),
            tasks=dataclasses.replace(whole.tasks, **columns),
        )


Drawn = tuple[Draw, ChainCosts]


class SizesDiffer(InputError):
    """Episodes of several numbers of servers."""


class Episodes:
    """A source of episodes of one shape.

    Parameters
    ----------
    source : Instance, sequence of Instance, str, Path or Spec
        An instance (or its file, or the name of a shipped one) is the same every time; of several, each
        episode takes any. A text such as ``"camera-vgg-load"`` or ``"paper:servers=6"`` names a generator:
        every episode is a fresh instance of it. A text that gives a seed, or seeds, names fixed instances.

    Attributes
    ----------
    spec : str or None
        The text that named a generator.
    name : str
        What was given, for messages: the text, or the name of the first instance.
    servers, blocks : int
        N, and M of the longest model.
    horizon : int
        Tasks of the longest episode.
    samples : tuple of Instance
        The fixed instances, or two of each generator.
    ranges : dict
        (low, high) of every part of an observation; from the generator's parameters where they say.

    Raises
    ------
    InputError
        If the instances differ in their number of servers or in their rules, or a text names none.
    """

    def __init__(self, source: Any) -> None:
        self.spec: str | None = None
        self._specs: list[Spec] = []
        if isinstance(source, (str, Path, Spec)):
            fixed = self._named(source)
        else:
            fixed = (source,) if isinstance(source, Instance) else tuple(source)
        if not all(isinstance(instance, Instance) for instance in fixed) or not (fixed or self._specs):
            raise InputError("episodes: expected an instance, several, or the text of a generator")
        self.samples = fixed or tuple(generate(s, seed=n) for s in self._specs for n in SAMPLE_SEEDS)
        self._fixed = fixed
        self._one_shape()
        self.servers = self.samples[0].server_count
        self.blocks = max(instance.max_blocks for instance in self.samples)
        self.horizon = max(instance.task_count for instance in self.samples)
        self.rules = self.samples[0].rules
        self.name = str(source) if isinstance(source, (str, Path, Spec)) else self.samples[0].name
        self._pools: dict[str, Batch] = {}

    def _named(self, source: Any) -> tuple[Instance, ...]:
        """Read a text: an instance's file or name, instances of a generator, or the generator itself."""
        text = str(source)
        path = None if isinstance(source, Spec) else sources.find(text)
        if path is not None:
            return (io.load(path),)
        specs = [source] if isinstance(source, Spec) else expand(text)
        seeded = [spec for spec in specs if spec.seed is not None]
        if seeded:
            return tuple(generate(spec) for spec in seeded)
        self.spec, self._specs = text, specs
        return ()

    def _one_shape(self) -> None:
        first = self.samples[0]
        for other in self.samples[1:]:
            if other.server_count != first.server_count:
                counts = f"{other.server_count} servers, {first.name!r} has {first.server_count}"
                raise SizesDiffer(f"episodes: {other.name!r} has {counts}; expected one number of servers")
            if other.rules != first.rules:
                raise InputError(
                    f"episodes: {other.name!r} and {first.name!r} have different rules; expected the same"
                )

    @cached_property
    def ranges(self) -> Ranges:
        """(low, high) of every part of an observation."""
        found = ranges_of(self.samples)
        for spec in self._specs:
            for name, (low, high) in _known(spec.parameters()).items():
                found[name] = (min(low, found[name][0]), max(high, found[name][1]))
        return found

    @cached_property
    def scales(self) -> Ranges:
        """(low, high) by which an encoder scales: `ranges`, and what an instance says of how it was made.

        So an instance is seen as the fresh ones of its generator are.
        """
        found = dict(self.ranges)
        for instance in self._fixed:
            for name, (low, high) in _made_from(instance).items():
                found[name] = (min(low, found[name][0]), max(high, found[name][1]))
        return found

    def encoder(self, parts: Sequence[str] | None = None, *, raw: bool = False) -> Encoder:
        """Return the encoder of these episodes, by default with the parts that matter."""
        return Encoder.of(self.samples, parts=parts, ranges=self.scales, raw=raw)

    def next(self, rng: np.random.Generator) -> Instance:
        """Return the instance of one more episode."""
        if self._fixed:
            return self._fixed[int(rng.integers(len(self._fixed)))]
        spec = self._specs[int(rng.integers(len(self._specs)))]
        return generate(spec, seed=int(rng.integers(2**62)))

    def draw(self, count: int, rng: np.random.Generator, encoder: Encoder) -> Batch:
        """Return `count` more episodes, ready to run; far cheaper than one by one.

        A generator makes them out of one long instance each time: as its slots are drawn independently, so
        are the episodes; speeds of servers and devices are drawn for each. With rates from geometry, each is
        generated by itself.
        """
        if self._fixed:
            return self._from_fixed(rng.integers(len(self._fixed), size=count), encoder)
        return _batch(self._drawn(count, rng), encoder)

    def _drawn(self, count: int, rng: np.random.Generator) -> Iterator[Drawn]:
        which = rng.integers(len(self._specs), size=count)
        for number, spec in enumerate(self._specs):
            wanted = int((which == number).sum())
            p = spec.parameters()
            if p.radio.rates == "geometry":
                for seed in rng.integers(2**62, size=wanted).tolist():
                    yield _single(generate(spec, seed=seed))
                continue
            most = max(1, MOST_TASKS // (p.release.slots * p.tasks_per_slot))
            for at in range(0, wanted, most):
                yield _drawn(spec, min(most, wanted - at), rng)

    def _from_fixed(self, which: Ints, encoder: Encoder) -> Batch:
        key = str(encoder.to_json())
        if key not in self._pools:
            self._pools[key] = _batch(map(_single, self._fixed), encoder)
        everything = self._pools[key]
        origin = tuple(everything.origin[i] for i in which.tolist())
        return Batch(everything.pool, everything.rows[:, which], everything.draws, origin)


def _single(instance: Instance) -> Drawn:
    draw = Draw(instance, 1)
    return draw, draw.costs()


def _batch(drawn: Iterable[Drawn], encoder: Encoder) -> Batch:
    draws, pools = [], []
    for draw, costs in drawn:
        draws.append(draw)
        pools.append(TaskPool.of(draw.instance, encoder, costs=costs, sites=draw.sites))
    tables = [draw.rows() for draw in draws]
    starts = np.cumsum([0] + [draw.instance.task_count for draw in draws])
    rows = np.full((max(map(len, tables)), sum(draw.count for draw in draws)), -1)
    at, origin = 0, []
    for number, (draw, table) in enumerate(zip(draws, tables, strict=True)):
        rows[: len(table), at : at + draw.count] = table + starts[number]
        origin += [(number, e) for e in range(draw.count)]
        at += draw.count
    return Batch(TaskPool.joined(pools), rows, tuple(draws), tuple(origin))


def _drawn(spec: Spec, count: int, rng: np.random.Generator) -> Drawn:
    """Make one instance that holds `count` episodes of a generator."""
    p = spec.parameters()
    seed = int(rng.integers(2**62))
    changes: dict[str, Any] = {"slots": p.release.slots * count}
    for name in ("energy_budget_share", "energy_budget_j"):  # every episode gets its own below
        if getattr(p.devices, name) is not None:
            changes[name] = None
    if p.release.ratio is not None:
        changes |= {"ratio": None, "slot_s": 1.0}  # the same
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # `samples` gave them already
        instance = generate(spec, seed=seed, **changes)
    speeds = server_speeds(p, seed)[:, None]
    if isinstance(p.servers.server_cycles_per_s, Range):
        own = np.rint(p.servers.server_cycles_per_s(rng.random((p.servers.servers, count))))
        factor = np.broadcast_to(instance.server_speed / speeds, (len(speeds), instance.slot_count))
        every = np.rint(factor * np.tile(own, p.release.slots))
        servers = [
            dataclasses.replace(s, cycles_per_s=v) for s, v in zip(instance.servers, every, strict=True)
        ]
        instance, speeds = instance.replace(servers=tuple(servers)), own
    slot, site = np.divmod(instance.tasks.slot, count)
    device = instance.tasks.device
    speed: Floats | None = None
    if isinstance(p.devices.device_cycles_per_s, Range):
        drawn = p.devices.device_cycles_per_s(rng.random(count * p.tasks_per_slot))
        speed = np.rint(drawn).reshape(count, p.tasks_per_slot)
    slot_s = np.full(count, instance.slot_s)
    if p.release.ratio is not None:
        work = fsum(in_phase(block.cycles) for block in instance.models[0].blocks) * p.release.release_rate
        total = [fsum(column) for column in np.broadcast_to(speeds, (len(speeds), count)).T.tolist()]
        slot_s = np.array([work / (p.release.ratio * speed) for speed in total])
    sites = Sites(site, slot, device, slot_s, np.empty(0), speed)
    costs = chain_costs(instance, device_speed=sites.task_speed)
    budget = _budgets(p, instance, costs, site * p.tasks_per_slot + device, count)
    return Draw(instance, count, dataclasses.replace(sites, budget=budget)), costs


def _budgets(p: Parameters, instance: Instance, costs: ChainCosts, place: Ints, count: int) -> Floats:
    """Return the budget of every device in every episode, (count, devices); as `mecopt.generate` sets it."""
    devices = p.tasks_per_slot
    share, given = p.devices.energy_budget_share, p.devices.energy_budget_j
    if share is None:
        return np.full((count, devices), np.inf if given is None else given)
    spent = evaluate(instance, paths(costs).placement, costs=costs).task_energy_j
    optimum = np.bincount(place, spent, count * devices).reshape(count, devices)
    return np.round(share * optimum, 6)


def _plain(speed: Floats) -> float | Floats:
    """Return one number where the speed is the same in every slot."""
    return float(speed[0]) if (speed == speed[0]).all() else np.array(speed)


def _made_from(instance: Instance) -> Ranges:
    """Return the ranges of the generator's parameters in an instance's origin, none where it has none."""
    given = (instance.origin or {}).get("parameters")
    if not isinstance(given, Mapping):
        return {}
    drawn = {
        name: Range(*value["uniform"]) if isinstance(value, Mapping) and "uniform" in value else value
        for name, value in given.items()
    }
    try:
        return _known(resolve({}, drawn))
    except (InputError, TypeError, ValueError):  # of another release, or by another hand
        return {}


def _known(p: Parameters) -> Ranges:
    """Return the ranges that a generator's parameters state."""
    ranges: Ranges = {}

    def ends(value: Any) -> tuple[float, float]:
        if isinstance(value, Range):
            return value.low, value.high
        values = value if isinstance(value, tuple) else (value,)
        return min(values), max(values)

    if p.radio.rates == "uniform":
        ranges["rate"] = ends(p.radio.rate_bps)
    speed, factor = ends(p.servers.server_cycles_per_s), ends(p.servers.server_load_factor)
    ranges["server_speed"] = speed[0] * factor[0], speed[1] * factor[1]
    ranges["device_speed"] = ends(p.devices.device_cycles_per_s)
    if p.limits.max_delay_s is not None and p.limits.deadline != "none":
        ranges["max_delay"] = ends(p.limits.max_delay_s)
    return ranges
