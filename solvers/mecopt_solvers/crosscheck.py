"""Random small instances, and every placement of them: what exact methods are held against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.entities import Block, Coupling, Device, Links, Model, Rules, Server, Tasks
from mecopt.errors import MecoptError
from mecopt.instance import Instance
from mecopt.judge import Evaluation, evaluate
from mecopt.registry import methods
from mecopt.solving import solve

MOST = 20_000  # joint placements of one instance
AGREEMENT = 1e-9
TRIES = 20  # for a start that is feasible and not the optimum
ROWS = [
    coupling for coupling in Coupling if coupling in limits.OF_ROWS
]  # those that instances are drawn with
SETS = [frozenset(c) for size in range(4) for c in combinations(ROWS, size)]
# Limits are what some placement uses, times one of these: exactly met, missed by a hair, half, plenty,
# nothing.
SHARES = (1.0, 1.0, 1.0 + 1e-12, 1.0 - 0.5e-9, 1.0 - 2e-9, 0.9, 0.5, 1.5, 0.0)


@dataclass(frozen=True)
class Check:
    """One method on one instance; `what` says how its answer differs from brute force's, "" if not at all."""

    method: str
    what: str


def random_instance(rng: np.random.Generator, couplings: frozenset[Coupling] | None = None) -> Instance:
    """Draw an instance of at most 20,000 placements.

    A third are on a coarse grid, full of ties; a third have numbers of very different size; links are
    missing, deadlines hard, limits met exactly or missed by a hair.
    """
    while True:
        servers, tasks = int(rng.integers(1, 4)), int(rng.integers(1, 5))
        lengths = rng.integers(1, 4, int(rng.integers(1, 3)))
        model = rng.integers(0, len(lengths), tasks)
        if (servers + 1.0) ** lengths[model].sum() <= MOST:
            break
    drawn = _draw(rng, servers, lengths, model)
    on = SETS[int(rng.integers(len(SETS)))] if couplings is None else couplings
    return _with_limits(rng, drawn.replace(rules=_rules(rng, on)))


def _draw(rng: np.random.Generator, servers: int, lengths: Ints, model: Ints) -> Instance:
    style = ("grid", "plain", "wild")[int(rng.integers(3))]

    def number(zero: float = 0.0) -> float:
        if rng.random() < zero:
            return 0.0
        if style == "grid":
            return float(rng.choice([0.5, 1.0, 2.0, 4.0]))
        return float(10.0 ** rng.uniform(-3, 9) if style == "wild" else rng.uniform(0.5, 5.0))

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


def _with_limits(rng: np.random.Generator, instance: Instance) -> Instance:
    """Set the limits around what a random placement uses."""
    nodes = rng.integers(0, instance.server_count + 1, (instance.task_count, instance.max_blocks))
    nodes[np.arange(instance.max_blocks) >= instance.block_count[:, None]] = -1
    judged = evaluate(instance, nodes)

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
        servers=tuple(Server(s.name, s.cycles_per_s, memory[n]) for n, s in enumerate(instance.servers)),
        devices=tuple(
            Device(d.name, d.cycles_per_s, d.transmit_power_w, d.kappa, None, limit(spent), memory[at])
            for at, (d, spent) in enumerate(
                zip(instance.devices, judged.device_energy, strict=True), instance.server_count
            )
        ),
    )


def brute_force(instance: Instance) -> Evaluation | None:
    """Look at every placement of all tasks; return the best feasible one, None where there is none."""
    paths = [_paths(instance, k) for k in range(instance.task_count)]
    fine, value = _alone(instance, paths)
    kept = [np.flatnonzero(ok) for ok in fine]
    total = np.zeros(1)
    for k, rows in enumerate(kept):
        total = np.add.outer(total, value[k][rows]).ravel()
    shape = [len(rows) for rows in kept]
    for joint in np.argsort(total, kind="stable").tolist():
        index = np.unravel_index(joint, shape)
        placement = np.stack([paths[k][rows[i]] for k, (rows, i) in enumerate(zip(kept, index, strict=True))])
        judged = evaluate(instance, placement)
        if judged.feasible:
            return judged
    return None


def _paths(instance: Instance, k: int) -> Ints:
    """Return every placement of one task, a row each."""
    blocks = int(instance.block_count[k])
    nodes = list(product(range(instance.server_count + 1), repeat=blocks))
    rows = np.full((len(nodes), instance.max_blocks), -1)
    rows[:, :blocks] = nodes
    return rows


def _alone(instance: Instance, paths: list[Ints]) -> tuple[list[NDArray[np.bool_]], list[Floats]]:
    """Judge every path of every task on its own: whether links and deadlines allow it, and its objective."""
    fine, value = [], []
    uncoupled = instance.replace(rules=Rules(**{**vars(instance.rules), "couplings": frozenset()}))
    for k, rows in enumerate(paths):
        tasks = instance.tasks
        one = uncoupled.replace(
            tasks=Tasks(
                *(
                    np.repeat(getattr(tasks, name)[k : k + 1], len(rows), axis=0)
                    for name in ("slot", "device", "model", "batch", "rate_bps", "max_delay_s")
                )
            )
        )
        judged = evaluate(one, rows)
        broken = {int(violation.where["task"]) for violation in judged.violations}
        fine.append(np.array([row not in broken for row in range(len(rows))]))
        value.append(judged.task_objective_s)
    return fine, value


def check(
    instance: Instance, names: Sequence[str] = (), time_limit_s: float | None = 60.0
) -> Iterator[Check]:
    """Solve by every exact method that honours the couplings, or by those named; hold each to the truth.

    Some start from a placement, mostly a feasible one.
    """
    best = brute_force(instance)
    start = _start(instance, best)
    for method in methods():
        if not method.honours >= instance.rules.couplings:
            continue
        if method.name not in names if names else not method.exact:
            continue
        try:
            what = _compare(instance, method.name, best, start, time_limit_s)
        except MecoptError as error:
            what = f"{type(error).__name__}: {error}"
        yield Check(method.name, what)


def instances(count: int, seed: int) -> Iterator[Instance]:
    """Draw instances; every eight of them have all sets of couplings. Each has a seed of its own."""
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        yield random_instance(rng, SETS[i % len(SETS)]).replace(name=f"crosscheck-{seed}-{i}")


def _start(instance: Instance, best: Evaluation | None) -> Ints | None:
    """Draw a placement to start from, for half of the instances: the optimum with some blocks moved."""
    rng = np.random.default_rng(int(instance.sha256[:8], 16))
    if best is None or rng.random() < 0.5:
        return None
    for _ in range(TRIES):
        start = best.placement.copy()
        for _ in range(int(rng.integers(1, 4))):
            k = int(rng.integers(instance.task_count))
            start[k, rng.integers(instance.block_count[k])] = rng.integers(instance.server_count + 1)
        if (start != best.placement).any() and evaluate(instance, start).feasible:
            break
    return start


def _compare(
    instance: Instance, name: str, best: Evaluation | None, start: Ints | None, time_limit_s: float | None
) -> str:
    """Say how a method's answer differs from brute force's; nothing where it does not."""
    result = solve(instance, name, time_limit_s=time_limit_s, warm_start=start)
    truth = None if best is None else best.objective
    if result.stopped_by == "interrupt":  # of the whole check: it says nothing about the method
        raise KeyboardInterrupt
    if result.stopped_by is not None:
        return f"stopped by {result.stopped_by} with status {result.status}, gap {result.gap}"
    if truth is None:
        return "" if result.status == "infeasible" else f"{result.status}, but nothing is feasible"
    if result.status != "optimal" or result.objective is None or result.lower_bound is None:
        return f"{result.status} {result.reasons or result.objective!r}, the optimum is {truth!r}"
    allowed = AGREEMENT * truth + float(result.options.get("scaling_error_s", 0.0))
    if abs(result.objective - truth) > allowed:
        return f"objective {result.objective!r}, the optimum is {truth!r}"
    if result.lower_bound > truth + allowed:
        return f"bound {result.lower_bound!r} above the optimum {truth!r}"
    return ""
