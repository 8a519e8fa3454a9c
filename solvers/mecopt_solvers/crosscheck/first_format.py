"""Random small instances of the first format: links, deadlines and the couplings of rows, nothing wider."""

from __future__ import annotations

import dataclasses
from itertools import combinations

import numpy as np

from mecopt import limits
from mecopt.arrays import Ints
from mecopt.entities import Block, Coupling, Device, Links, Model, Rules, Server, Tasks
from mecopt.instance import Instance
from mecopt.judge import evaluate

MOST = 20_000  # joint placements of one instance
SETS = [
    frozenset(some)
    for size in range(4)
    for some in combinations((Coupling.ENERGY, Coupling.CAPACITY, Coupling.MEMORY), size)
]
# Limits are what some placement uses, times one of these: exactly met, missed by a hair, half, plenty,
# nothing.
SHARES = (1.0, 1.0, 1.0 + 1e-12, 1.0 - 0.5e-9, 1.0 - 2e-9, 0.9, 0.5, 1.5, 0.0)


def random_instance(rng: np.random.Generator, couplings: frozenset[Coupling] | None = None) -> Instance:
    """Draw an instance of at most 20,000 placements.

    A third are on a coarse grid, full of ties; a third have numbers of very different size; links are
    missing, deadlines hard, limits met exactly or missed by a hair.
    """
    servers, lengths, model = draw_sizes(rng)
    drawn = draw_plain(NumberSource(rng), servers, lengths, model)
    on = SETS[int(rng.integers(len(SETS)))] if couplings is None else couplings
    drawn = drawn.replace(rules=_rules(rng, on))
    nodes = rng.integers(0, drawn.server_count + 1, (drawn.task_count, drawn.max_blocks))
    nodes[np.arange(drawn.max_blocks) >= drawn.block_count[:, None]] = -1
    return with_limits(rng, drawn, nodes)


class NumberSource:
    """Where the numbers of one instance come from: a coarse grid, a narrow range, or twelve decades."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.style = ("grid", "plain", "wild")[int(rng.integers(3))]

    def one(self, zero: float = 0.0) -> float:
        """Draw a number, 0 with the given chance."""
        rng = self.rng
        if rng.random() < zero:
            return 0.0
        if self.style == "grid":
            return float(rng.choice([0.5, 1.0, 2.0, 4.0]))
        return float(10.0 ** rng.uniform(-3, 9) if self.style == "wild" else rng.uniform(0.5, 5.0))


def draw_sizes(rng: np.random.Generator, *, droppable: bool = False) -> tuple[int, Ints, Ints]:
    """Draw the number of servers, the lengths of the models and the model of every task, few enough together.

    With `droppable` every task has one placement more: to be left out.
    """
    while True:
        servers, tasks = int(rng.integers(1, 4)), int(rng.integers(1, 5))
        lengths = rng.integers(1, 4, int(rng.integers(1, 3)))
        model = rng.integers(0, len(lengths), tasks)
        if ((servers + 1.0) ** lengths[model] + droppable).prod() <= MOST:
            return servers, lengths, model


def draw_plain(numbers: NumberSource, servers: int, lengths: Ints, model: Ints) -> Instance:
    """Draw all of an instance but its rules and its limits."""
    rng, number = numbers.rng, numbers.one
    slots, devices = int(rng.integers(1, 3)), int(rng.integers(1, 3))
    models = [
        Model(
            f"m{i}",
            tuple(Block(number(0.1), number(0.1), number(0.2)) for _ in range(count)),
            output_bits=number(0.3),
        )
        for i, count in enumerate(lengths)
    ]
    rates = np.array([[number(0.15) for _ in range(servers)] for _ in model])
    hop = np.array([[number(0.15) for _ in range(servers)] for _ in range(servers)])
    tau = np.array(
        [[np.inf if rng.random() < 0.4 else 3 * number() for _ in range(max(lengths))] for _ in model]
    )
    return Instance(
        name="random",
        slot_count=slots,
        slot_s=number(),
        models=tuple(models),
        devices=tuple(
            Device(f"d{i}", number(), number(0.2), kappa=float(10.0 ** rng.uniform(-3, 0)))
            for i in range(devices)
        ),
        servers=tuple(Server(f"s{n}", number()) for n in range(servers)),
        links=Links.of(servers, hop if rng.random() < 0.5 else number(), number(0.5), number(0.5)),
        tasks=Tasks.of(
            slot=rng.integers(0, slots, len(model)),
            device=rng.integers(0, devices, len(model)),
            model=model,
            batch=rng.integers(1, 3, len(model)),
            rate_bps=rates,
            blocks=max(lengths),
            max_delay_s=tau,
        ),
    )


def _rules(rng: np.random.Generator, couplings: frozenset[Coupling]) -> Rules:
    preset = ("paper", "physical")[int(rng.integers(2))]
    deadline = ("hard", "soft", "none", "none")[int(rng.integers(4))]
    return Rules.preset(
        preset, deadline=deadline, deadline_penalty=float(rng.choice([0.5, 1.0, 3.0])), couplings=couplings
    )


def with_limits(rng: np.random.Generator, instance: Instance, placement: Ints) -> Instance:
    """Set slots, budgets and memories around what a placement uses."""
    judged = evaluate(instance, placement)

    def limit(used: float) -> float | None:
        if rng.random() < 0.2 or not np.isfinite(used):
            return None
        return float(used * rng.choice(SHARES))

    held = np.zeros(instance.server_count + len(instance.devices))
    rows, used = limits.MEMORY.used(judged)
    holder = rows % limits.MEMORY.holders(judged.instance)
    np.maximum.at(held, holder, used)
    load = limits.CAPACITY.used(judged)[1].max(initial=0.0) * float(rng.choice(SHARES[:-1]))
    memory = [limit(value) for value in held]
    return instance.replace(
        slot_s=load if load > 0 else instance.slot_s,
        servers=tuple(
            dataclasses.replace(server, memory_bytes=memory[n]) for n, server in enumerate(instance.servers)
        ),
        devices=tuple(
            dataclasses.replace(device, energy_budget_j=limit(spent), memory_bytes=memory[at])
            for at, (device, spent) in enumerate(
                zip(instance.devices, judged.device_energy, strict=True), instance.server_count
            )
        ),
    )
