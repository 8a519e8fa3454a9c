"""Random instances of every shape: how many tasks, blocks and servers, which couplings, how tight.

Shape i of a range is the same on every machine. Sets of couplings and tightness go round, so that every range
of 24 holds each pair once; sizes, presets, deadlines and all figures are drawn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

import mecopt
from mecopt.costs import chain_costs
from mecopt.trellis import shortest_paths
from mecopt.trellis_arcs import build_arcs, shortest

RANGES = {"tuning": 1_000, "reported": 2_000}  # the first number of every range; none reaches the next
JOINING = (mecopt.Coupling.ENERGY, mecopt.Coupling.CAPACITY, mecopt.Coupling.MEMORY)  # sharing: auto_wider.py
SETS = tuple(frozenset(some) for size in range(4) for some in combinations(JOINING, size))
LIMITS = ("slack", "tight", "infeasible")
MOST_TASKS, MOST_BLOCKS, MOST_SERVERS = 1000, 300, 16
MOST_ARCS = 2_000_000  # drawn anew above: there the peers run out of memory
SINGLE = 0.05  # share of shapes with one task, beside those that are drawn so
FORCED_BITS = 0.02  # seconds of sending, in those of calculating, of blocks that are forced onto servers
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Generator = np.random.Generator


@dataclass(frozen=True)
class Shape:
    """One random instance, and what `solve` is told beside it."""

    number: int
    instance: mecopt.Instance
    couplings: frozenset[mecopt.Coupling]
    limits: str
    kind: str  # of infeasibility, else the preset and deadlines
    bans: tuple[str, ...] = ()

    @property
    def arcs(self) -> int:
        """Arcs of all trellises."""
        return int(self.instance.block_count.sum()) * (self.instance.server_count + 1) ** 2


def shape(kind: str, i: int) -> Shape:
    """Return shape i of a range, "tuning" or "reported"."""
    number = RANGES[kind] + i
    rng = np.random.default_rng(number)
    couplings, limits = SETS[i % len(SETS)], LIMITS[i // len(SETS) % len(LIMITS)]
    base = _base(rng, number)
    if limits == "infeasible":
        possible = KINDS_OF[None] if not couplings else [k for c in sorted(couplings) for k in KINDS_OF[c]]
        chosen = possible[int(rng.integers(len(possible)))]
        instance, bans = chosen(base, rng)
        name = chosen.__name__.strip("_").replace("_", " ")
    else:
        instance, bans = _limited(base, rng, couplings, limits)
        name = f"{'physical' if base.rules.return_transfer else 'paper'}, {instance.rules.deadline} deadlines"
    rules = dataclasses.replace(instance.rules, couplings=couplings)
    return Shape(number, instance.replace(rules=rules), couplings, limits, name, bans)


def _log(rng: Generator, low: float, high: float, size: int | None = None) -> Floats:
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def _whole(rng: Generator, most: int) -> int:
    return int(np.floor(_log(rng, 1, most + 1)))


def _base(rng: Generator, number: int) -> mecopt.Instance:
    """Draw an instance without any limit."""
    while True:
        tasks = 1 if rng.random() < SINGLE else _whole(rng, MOST_TASKS)
        blocks, servers = _whole(rng, MOST_BLOCKS), _whole(rng, MOST_SERVERS)
        if tasks * blocks * (servers + 1) ** 2 <= MOST_ARCS:
            break
    slot = np.sort(rng.permutation(np.arange(tasks) // _whole(rng, tasks)))
    place = np.arange(tasks) - np.searchsorted(slot, slot)  # within the slot
    device = place if rng.random() < 0.5 else np.arange(tasks)
    lengths = [blocks, *rng.integers(1, blocks + 1, int(rng.integers(0, 3))).tolist()]
    rates = _log(rng, 4e6, 3e7, (tasks * servers)).reshape(tasks, servers)
    uniform = rng.random() < 0.5
    wired = _log(rng, 2e7, 1e9) if uniform else _log(rng, 2e7, 1e9, servers**2).reshape(servers, servers)
    return mecopt.Instance(
        name=f"shape-{number}",
        slot_count=int(slot[-1]) + 1,
        models=tuple(_model(rng, f"m{i}", length) for i, length in enumerate(lengths)),
        devices=tuple(
            mecopt.Device(f"d{i}", float(_log(rng, 5e8, 2e9)), transmit_power_w=float(rng.uniform(0.1, 1.0)))
            for i in range(int(device.max()) + 1)
        ),
        servers=tuple(mecopt.Server(f"s{i}", float(_log(rng, 2.5e9, 2e10))) for i in range(servers)),
        links=mecopt.Links.of(servers, wired),
        tasks=mecopt.Tasks.of(
            slot=slot,
            device=device,
            model=rng.integers(0, len(lengths), tasks) if tasks > 1 else 0,
            rate_bps=rates,
            blocks=blocks,
        ),
        rules=mecopt.Rules.preset("physical" if rng.random() < 0.5 else "paper", deadline="none"),
    )


def _model(rng: Generator, name: str, blocks: int) -> mecopt.Model:
    """Draw a chain: calculation lumpy, inputs that shrink, parameters that grow."""
    along = np.linspace(0.0, 1.0, blocks)
    cycles = 2e9 / blocks * _log(rng, 0.2, 5.0, blocks)
    bits = 2e6 * np.exp(-3.0 * along) * _log(rng, 0.3, 3.0, blocks)
    size = 1e7 / blocks * np.exp(2.0 * along) * _log(rng, 0.2, 5.0, blocks)
    parts = zip(cycles.tolist(), bits.tolist(), np.round(size).tolist(), strict=True)
    return mecopt.Model(name, tuple(mecopt.Block(c, b, s) for c, b, s in parts), output_bits=1e4)


def _limited(
    base: mecopt.Instance, rng: Generator, couplings: frozenset[mecopt.Coupling], limits: str
) -> tuple[mecopt.Instance, tuple[str, ...]]:
    """Set deadlines that every device can meet, then limits from what the optimum without them uses."""
    deadline = ("none", "soft", "hard")[int(rng.integers(3))]
    rules = dataclasses.replace(base.rules, deadline=mecopt.Deadline(deadline))
    tau = chain_costs(base).device_s * _log(rng, 1.0 if deadline == "hard" else 0.3, 5.0)
    instance = base.replace(rules=rules, tasks=dataclasses.replace(base.tasks, max_delay_s=tau))
    costs = chain_costs(instance)
    arcs, free = build_arcs(costs), shortest_paths(costs).placement
    narrow = (0.9, 1.2) if limits == "slack" else (0.3, 0.9)
    if mecopt.Coupling.CAPACITY in couplings:
        load = _load(instance, arcs.work_s, free)
        instance = instance.replace(slot_s=max(float(load.max()) * rng.uniform(*narrow), 1e-6))
    if mecopt.Coupling.MEMORY in couplings:
        instance = _with_memory(instance, rng, free, narrow)
    if mecopt.Coupling.ENERGY in couplings:
        energy = np.where(arcs.allowed, arcs.energy_j, np.inf)
        least = _per_device(instance, shortest(energy, arcs.blocks)[0])
        spent = _per_device(instance, _along(arcs.energy_j, free))
        budget = least + (spent - least) * rng.uniform(*narrow, len(least)) + 1e-9
        instance = instance.replace(devices=_devices(instance, energy_budget_j=budget))
    bans: tuple[str, ...] = ()
    if rng.random() < 0.2:  # of the last server, for some tasks
        some = np.flatnonzero(rng.random(instance.task_count) < 0.3)
        bans = tuple(f"{k}:0={instance.server_count}" for k in some.tolist())
    return instance, bans


def _with_memory(
    instance: mecopt.Instance, rng: Generator, free: Ints, narrow: tuple[float, float]
) -> mecopt.Instance:
    """Give servers a share of what the optimum without limits holds there, and some devices a limit."""
    held = np.zeros(instance.server_count)
    whole = np.array([sum(b.param_bytes for b in model.blocks) for model in instance.models])
    for s in range(instance.slot_count):
        pieces: list[set[tuple[int, int]]] = [set() for _ in held]
        for k in np.flatnonzero(instance.tasks.slot == s).tolist():
            model = int(instance.tasks.model[k])
            for m, node in enumerate(free[k].tolist()):
                if node > 0:
                    pieces[node - 1].add((model, m))
        now = [sum(instance.models[i].blocks[m].param_bytes for i, m in held_) for held_ in pieces]
        held = np.maximum(held, now)
    sizes = np.round(held * rng.uniform(*narrow, len(held)))
    devices = instance.devices
    if rng.random() < 0.5:
        devices = _devices(instance, memory_bytes=np.round(whole.max() * rng.uniform(0.7, 1.2, len(devices))))
    servers = tuple(
        dataclasses.replace(server, memory_bytes=float(size))
        for server, size in zip(instance.servers, sizes, strict=True)
    )
    return instance.replace(devices=devices, servers=servers)


def _devices(instance: mecopt.Instance, **columns: Floats) -> tuple[mecopt.Device, ...]:
    return tuple(
        dataclasses.replace(device, **{name: float(values[i]) for name, values in columns.items()})
        for i, device in enumerate(instance.devices)
    )


def _load(instance: mecopt.Instance, work: Floats, placement: Ints) -> Floats:
    """Return the calculation placed on every server in every slot, (slots, N) seconds."""
    load = np.zeros((instance.slot_count, instance.server_count))
    k, m = np.nonzero(placement > 0)
    node = placement[k, m] - 1
    np.add.at(load, (instance.tasks.slot[k], node), work[k, m, node])
    return load


def _along(value: Floats, placement: Ints) -> Floats:
    """Sum the values (K, M, J, J) of the arcs that every task takes, (K,)."""
    k, m = np.nonzero(placement >= 0)
    before = np.where(m > 0, placement[k, np.maximum(m - 1, 0)], 0)
    return np.bincount(k, value[k, m, before, placement[k, m]], len(placement))


def _per_device(instance: mecopt.Instance, value: Floats) -> Floats:
    return np.bincount(instance.tasks.device, value, len(instance.devices))


# What follows makes instances that no placement can meet, each with its proof.


def _missed_deadline(base: mecopt.Instance, rng: Generator) -> tuple[mecopt.Instance, tuple[str, ...]]:
    """One block may take less than its calculation takes anywhere."""
    k = int(rng.integers(base.task_count))
    m = int(rng.integers(base.block_count[k]))
    costs = chain_costs(base)
    tau = costs.device_s * 10.0
    tau[k, m] = 0.9 * min(costs.device_s[k, m], float(build_arcs(costs, np.array([k])).work_s[0, m].min()))
    rules = dataclasses.replace(base.rules, deadline=mecopt.Deadline.HARD)
    return base.replace(rules=rules, tasks=dataclasses.replace(base.tasks, max_delay_s=tau)), ()


def _no_link(base: mecopt.Instance, rng: Generator) -> tuple[mecopt.Instance, tuple[str, ...]]:
    """A task that must leave its device has no link."""
    k = int(rng.integers(base.task_count))
    rates = base.tasks.rate_bps.copy()
    rates[k] = 0.0
    return base.replace(tasks=dataclasses.replace(base.tasks, rate_bps=rates)), (f"{k}:0=0",)


def _forced(base: mecopt.Instance, rng: Generator, whole: bool) -> tuple[mecopt.Instance, NDArray[np.bool_]]:
    """Let deadlines keep some blocks from the devices, and none from a server; returns which, (K, M)."""
    models = []
    for model in base.models:
        level = float(np.mean([block.cycles for block in model.blocks]))
        blocks = tuple(
            dataclasses.replace(
                block,
                input_bits=FORCED_BITS * (level if whole else block.cycles) / 1e9 * 4e6,
                cycles=level if whole else block.cycles,
            )
            for block in model.blocks
        )
        models.append(dataclasses.replace(model, blocks=blocks))
    speed = float(np.mean([server.cycles_per_s for server in base.servers]))
    servers = tuple(
        dataclasses.replace(s, cycles_per_s=speed if whole else s.cycles_per_s) for s in base.servers
    )
    devices = tuple(
        dataclasses.replace(device, cycles_per_s=min(device.cycles_per_s, 1e9)) for device in base.devices
    )
    rules = dataclasses.replace(base.rules, deadline=mecopt.Deadline.HARD)
    instance = base.replace(models=tuple(models), servers=servers, devices=devices, rules=rules)
    real = np.arange(base.max_blocks) < base.block_count[:, None]
    forced = real & (rng.random(real.shape) < rng.uniform(0.3, 1.0))
    forced[0, 0] = True
    local = chain_costs(instance).device_s
    tau = np.where(forced, 0.9 * local, 10.0 * local + 1.0)
    return instance.replace(tasks=dataclasses.replace(base.tasks, max_delay_s=tau)), forced


def _too_much_work(base: mecopt.Instance, rng: Generator) -> tuple[mecopt.Instance, tuple[str, ...]]:
    """What must run on servers needs more than all of them have in a slot, wherever it runs."""
    instance, forced = _forced(base, rng, whole=False)
    work = np.where(forced, build_arcs(chain_costs(instance)).work_s.min(axis=2), 0.0).sum(axis=1)
    needed = np.bincount(instance.tasks.slot, work, instance.slot_count).max()
    return instance.replace(slot_s=float(needed) / instance.server_count / rng.uniform(1.02, 1.3)), ()


def _too_many_pieces(base: mecopt.Instance, rng: Generator) -> tuple[mecopt.Instance, tuple[str, ...]]:
    """Equal servers hold a whole number of equal blocks each: one less in all than there are to hold."""
    instance, forced = _forced(
        base.replace(
            models=base.models[:1],
            tasks=dataclasses.replace(base.tasks, model=np.zeros(base.task_count, dtype=np.int64)),
        ),
        rng,
        whole=True,
    )
    count = np.bincount(instance.tasks.slot, forced.sum(axis=1), instance.slot_count).max()
    most = -(-int(count) // instance.server_count) - 1  # of every server
    work = float(build_arcs(chain_costs(instance), np.array([0])).work_s[0, 0, 0])
    return instance.replace(slot_s=work * (most + 0.9)), ()


def _too_little_energy(base: mecopt.Instance, rng: Generator) -> tuple[mecopt.Instance, tuple[str, ...]]:
    """A device has less than its tasks spend at the least."""
    arcs = build_arcs(chain_costs(base))
    least = _per_device(base, shortest(np.where(arcs.allowed, arcs.energy_j, np.inf), arcs.blocks)[0])
    budget = 3.0 * least + 1.0
    d = int(rng.integers(len(budget)))
    budget[d] = least[d] * rng.uniform(0.5, 0.99)
    return base.replace(devices=_devices(base, energy_budget_j=budget)), ()


def _too_large_block(base: mecopt.Instance, rng: Generator) -> tuple[mecopt.Instance, tuple[str, ...]]:
    """A block is larger than the memory of every node."""
    sizes = [block.param_bytes for block in base.models[int(base.tasks.model[0])].blocks]
    return _all_memory(base, max(sizes) * 0.9, max(sizes) * 0.9), ()


def _too_little_memory(base: mecopt.Instance, rng: Generator) -> tuple[mecopt.Instance, tuple[str, ...]]:
    """A task's blocks are more than its device and all servers hold together."""
    sizes = [block.param_bytes for block in base.models[int(base.tasks.model[0])].blocks]
    share = max(sum(sizes) / rng.uniform(1.02, 1.3) / (base.server_count + 1), 1.0)
    return _all_memory(base, share, share), ()


def _all_memory(base: mecopt.Instance, device: float, server: float) -> mecopt.Instance:
    servers = tuple(dataclasses.replace(s, memory_bytes=server) for s in base.servers)
    return base.replace(
        servers=servers, devices=_devices(base, memory_bytes=np.full(len(base.devices), device))
    )


Kind = Callable[[mecopt.Instance, Generator], tuple[mecopt.Instance, tuple[str, ...]]]
KINDS_OF: dict[mecopt.Coupling | None, list[Kind]] = {
    None: [_missed_deadline, _no_link],
    mecopt.Coupling.ENERGY: [_too_little_energy],
    mecopt.Coupling.CAPACITY: [_too_much_work, _too_many_pieces],
    mecopt.Coupling.MEMORY: [_too_large_block, _too_little_memory],
}
