"""Episodes side by side: the tasks' figures as tables, the state of every episode, and what deciding does.

The one piece of code behind the single environment, the vector environment and the methods of trained
policies; `mecopt_rl.world.step_kernels` holds its loops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts, chain_costs
from mecopt.entities import Coupling, Deadline
from mecopt.instance import Instance
from mecopt.limits import ENERGY, MEMORY
from mecopt.trellis import Paths, shortest_paths
from mecopt_rl.world import step_kernels as kernels
from mecopt_rl.world.kernel_tables import BLOCKS, GROUP, SITE, Changing, Outcome, RuleTables, State, Tables
from mecopt_rl.world.observation import HIGH, Encoder

Bools = NDArray[np.bool_]
COMPILED_TASKS = 10_000


@dataclass(frozen=True, eq=False)
class Sites:
    """What differs between episodes that share one instance: each is a site of its own."""

    task: Ints  # (K,) site of every task
    slot: Ints  # (K,) slot of every task within its episode
    device: Ints  # (K,) device of every task within its episode
    slot_s: Floats  # (I,) seconds
    budget: Floats  # (I, devices) joules, inf = none
    device_speed: Floats | None = None  # (I, devices) cycles/s; None: those of the instance

    @property
    def task_speed(self) -> Floats | None:
        """Speed of every task's device, (K,)."""
        return None if self.device_speed is None else self.device_speed[self.task, self.device]


@dataclass(frozen=True, eq=False)
class TaskPool:
    """Everything that is known of K tasks before any is decided."""

    tables: Tables
    rule: RuleTables
    static: NDArray[np.float32]  # (K, D) observations, all limits unused
    optimum: Floats  # (K,) least objective in seconds, couplings left out; inf = no placement allowed

    @classmethod
    def of(
        cls,
        instance: Instance,
        encoder: Encoder,
        *,
        costs: ChainCosts | None = None,
        sites: Sites | None = None,
    ) -> TaskPool:
        """Lay out the tasks of an instance, in its own order."""
        encoder.check(instance)
        sites = sites if sites is not None else _one_site(instance)
        speed = sites.task_speed
        costs = chain_costs(instance, device_speed=speed) if costs is None else costs
        tables = _tables(instance, costs, sites, encoder.blocks)
        static = encoder.encode(instance, device_speed=speed)
        return cls(tables, rule_of(instance), static, paths(costs).value)

    @classmethod
    def joined(cls, pools: Sequence[TaskPool]) -> TaskPool:
        """Put pools of the same rules one after the other."""
        if len(pools) == 1:
            return pools[0]
        whole = [pool.tables.whole.copy() for pool in pools]
        groups = np.cumsum([0] + [len(pool.tables.server_s) for pool in pools])
        sites = np.cumsum([0] + [len(pool.tables.slot_s) for pool in pools])
        for table, group, site in zip(whole, groups, sites, strict=False):
            table[:, GROUP] += group
            table[:, SITE] += site
        rest = {
            name: np.concatenate(_same_width([getattr(pool.tables, name) for pool in pools], fill))
            for name, fill in (
                *(("number", 0.0), ("block", 0.0), ("server_s", 0.0), ("send_lat", 0.0), ("hop_s", 0.0)),
                *(("hop_lat", 0.0), ("slot_s", 0.0), ("budget", np.inf), ("memory", np.inf), ("params", 0.0)),
            )
        }
        static = np.concatenate([pool.static for pool in pools])
        optimum = np.concatenate([pool.optimum for pool in pools])
        return cls(Tables(whole=np.concatenate(whole), **rest), pools[0].rule, static, optimum)

    def taken(self, tasks: Ints) -> TaskPool:
        """Keep some of the tasks, in the given order, and only their sites and speeds."""
        whole = self.tables.whole[tasks]
        group, whole[:, GROUP] = np.unique(whole[:, GROUP], return_inverse=True)
        site, whole[:, SITE] = np.unique(whole[:, SITE], return_inverse=True)
        t = self.tables
        of_site = {
            name: getattr(t, name)[site]
            for name in ("send_lat", "hop_s", "hop_lat", "slot_s", "budget", "memory", "params")
        }
        tables = Tables(
            whole=whole, number=t.number[tasks], block=t.block[tasks], server_s=t.server_s[group], **of_site
        )
        return TaskPool(tables, self.rule, self.static[tasks], self.optimum[tasks])


class Fleet:
    """E episodes that run side by side, each over tasks of a pool.

    Parameters
    ----------
    pool : Pool
    rows : array of shape (T, E)
        Tasks of every episode in the order in which they are decided, -1 behind the last.
    encoder : Encoder

    Attributes
    ----------
    now : array of shape (E,)
        Task that every episode decides next, -1 when it has ended.
    """

    def __init__(self, pool: TaskPool, rows: Ints, encoder: Encoder) -> None:
        self.encoder = encoder
        self.load(pool, rows)

    def load(self, pool: TaskPool, rows: Ints) -> None:
        """Begin all episodes anew, on these tasks."""
        self.pool, self.rows = pool, np.ascontiguousarray(rows, dtype=np.int64)
        self.changing = _changing(self.encoder, pool.rule)
        episodes, t = rows.shape[1], pool.tables
        self.lengths = (self.rows >= 0).sum(axis=0)
        self.position = np.zeros(episodes, dtype=np.int64)
        self.state = _fresh(t, pool.rule, episodes)
        self._lanes = np.arange(episodes)
        self._arrive()

    def restart(self, episodes: Bools, pool: TaskPool, rows: Ints) -> None:
        """Begin some of the episodes anew; the others go on where they are.

        Parameters
        ----------
        episodes : array of bool, shape (E,)
        pool : Pool
            Of the new tasks; the one in use already, or another.
        rows : array of shape (T, episodes that begin anew)
        """
        if episodes.all():
            self.load(pool, rows)
            return
        old, kept = self.rows, ~episodes
        if pool is not self.pool:
            live = np.unique(old[:, kept])
            live = live[live >= 0]
            renamed = np.full(len(self.pool.static) + 1, -1)  # the last stays -1, which is what -1 points at
            renamed[live] = np.arange(len(live))
            old = np.where(old >= 0, renamed[old], -1)
            rows = np.where(rows >= 0, rows + len(live), -1)
            pool = TaskPool.joined([self.pool.taken(live), pool])
        length = max(len(old), len(rows))
        merged = np.full((length, len(kept)), -1)
        merged[: len(old), kept] = old[:, kept]
        merged[: len(rows), episodes] = rows
        state, position = self.state, self.position
        self.pool, self.rows = pool, merged
        self.lengths = (merged >= 0).sum(axis=0)
        self.position = np.where(kept, position, 0)
        self.state = _fresh(pool.tables, pool.rule, len(kept))
        for now, before in zip(self.state, state, strict=True):
            # One of the two may have more devices or models than the other.
            common = tuple(slice(0, min(pair)) for pair in zip(now.shape[1:], before.shape[1:], strict=True))
            both: Any = (kept, *common)
            now[both] = before[both]
        self._arrive()

    @property
    def episodes(self) -> int:
        """Number of episodes E."""
        return int(self.rows.shape[1])

    @property
    def ended(self) -> Bools:
        """Which episodes have no task left, (E,)."""
        ended: Bools = self.now < 0
        return ended

    @property
    def blocks_left(self) -> Ints:
        """Number of blocks of every episode's next task, 0 when it has ended, (E,)."""
        blocks = self.pool.tables.whole[:, BLOCKS][self.now]
        return np.where(self.now >= 0, blocks, 0)

    def decide(self, actions: Ints) -> Outcome:
        """Decide the next task of every episode that has one.

        Parameters
        ----------
        actions : array of int64, shape (E, M), each 0 to N
        """
        t = self.pool.tables
        count, blocks = self.episodes, t.block.shape[1]
        per_task, counts = np.empty((5, count)), np.empty((3, count), dtype=np.int64)
        cost, nodes = np.empty((count, blocks)), np.empty((count, blocks), dtype=np.int64)
        kernels.decide(t, self.pool.rule, self.state, self.now, actions, per_task, counts, cost, nodes)
        self.position += self.now >= 0
        self._arrive()
        reward, local, edge, energy, signal = per_task
        violations, repairs, forced = counts
        return Outcome(reward, local, edge, energy, signal, violations, repairs, forced, cost, nodes)

    def observe(self) -> NDArray[np.float32]:
        """Return the observation of every episode's next task, (E, D); zeros where none is left."""
        out = np.empty((self.episodes, self.encoder.size), dtype=np.float32)
        kernels.observe(
            self.pool.tables, self.pool.rule, self.state, self.now, self.pool.static, self.changing, out
        )
        return out

    def branch_masks(self) -> Bools:
        """Return which nodes each block of the next task can use at all, (E, M, N + 1)."""
        t = self.pool.tables
        out = np.empty((self.episodes, t.block.shape[1], t.send_lat.shape[1] + 1), dtype=np.bool_)
        kernels.branch_masks(t, self.pool.rule, self.state, self.now, out)
        return out

    def block_mask(self, m: int, chosen: Ints) -> Bools:
        """Return which nodes block m can use after the blocks before it went to `chosen` (E, m)."""
        t = self.pool.tables
        out = np.empty((self.episodes, t.send_lat.shape[1] + 1), dtype=np.bool_)
        chosen = np.ascontiguousarray(chosen, dtype=np.int64)
        kernels.block_masks(t, self.pool.rule, self.state, self.now, m, chosen, out)
        return out

    def step_cost(self) -> Floats:
        """Return the seconds of every step of the next tasks, (E, M, N + 1, N + 1) from and to.

        As in the reward: penalties and the return of the result included; inf = no link.
        """
        t = self.pool.tables
        nodes = t.send_lat.shape[1] + 1
        out = np.empty((self.episodes, t.block.shape[1], nodes, nodes))
        kernels.step_costs(t, self.pool.rule, self.now, out)
        return out

    def _arrive(self) -> None:
        at = np.minimum(self.position, len(self.rows) - 1)
        self.now = np.where(self.position < self.lengths, self.rows[at, self._lanes], -1)
        if self.pool.rule.capacity or self.pool.rule.memory:
            kernels.arrive(self.pool.tables, self.pool.rule, self.state, self.now)


def paths(costs: ChainCosts) -> Paths:
    """Return the optimum of every task, couplings left out.

    The compiled kernel pays earlier than in `mecopt.trellis`, since numba is loaded here anyway.
    """
    return shortest_paths(costs, kernel="numba" if len(costs.blocks) > COMPILED_TASKS else "auto")


def in_order(instance: Instance) -> Ints:
    """Return the tasks in the order in which they are decided: by slot, then by position."""
    order: Ints = np.argsort(instance.tasks.slot, kind="stable")
    return order


def rule_of(instance: Instance) -> RuleTables:
    """Return what the kernels need to know of the instance's rules."""
    rules = instance.rules
    return RuleTables(
        return_transfer=bool(rules.return_transfer),
        return_result=bool(rules.return_result),
        capacity=Coupling.CAPACITY in rules.couplings,
        memory=Coupling.MEMORY in rules.couplings,
        energy=Coupling.ENERGY in rules.couplings,
        hard=rules.deadline is Deadline.HARD,
        beta=0.0 if rules.deadline is Deadline.NONE else float(rules.deadline_penalty),
    )


def _one_site(instance: Instance) -> Sites:
    budget = ENERGY.given(instance, np.arange(len(instance.devices)))[None]
    task = np.zeros(instance.task_count, dtype=np.int64)
    return Sites(task, instance.tasks.slot, instance.tasks.device, np.array([instance.slot_s]), budget)


def _tables(instance: Instance, costs: ChainCosts, sites: Sites, blocks: int) -> Tables:
    tasks, servers, count = instance.tasks, instance.server_count, len(sites.slot_s)
    own = instance.max_blocks
    missing = ~np.isfinite(costs.send_s).all(axis=1) | ~np.isfinite(costs.hop_s).all()
    whole = [costs.blocks, costs.group, sites.slot, sites.device, tasks.model, sites.task, missing]
    block = np.zeros((len(tasks), blocks, 4))
    for column, figures in enumerate((costs.device_s, costs.device_j, costs.bits, costs.tau)):
        block[:, :own, column] = figures
    server_s = np.zeros((len(costs.server_s), blocks, servers))
    server_s[:, :own] = costs.server_s
    params = np.zeros((len(instance.models), blocks))
    params[:, :own] = MEMORY.sizes(instance)
    # Servers, then devices; those of other episodes have the same memory.
    memory = MEMORY.given(instance, np.arange(servers + sites.budget.shape[1]))
    number = [costs.batch, costs.result_bits, costs.send_w, costs.hop_w]

    def each(figures: Floats) -> Floats:
        return np.repeat(np.asarray(figures, dtype=np.float64)[None], count, axis=0)

    return Tables(
        whole=np.stack(whole, axis=1).astype(np.int64, copy=False),
        number=np.concatenate([np.stack(number, axis=1), costs.send_s], axis=1),
        block=block,
        server_s=server_s,
        send_lat=each(costs.send_lat),
        hop_s=each(costs.hop_s),
        hop_lat=each(costs.hop_lat),
        slot_s=sites.slot_s,
        budget=sites.budget,
        memory=each(memory),
        params=each(params.ravel()),
    )


def _same_width(arrays: Sequence[Floats], fill: float) -> list[Floats]:
    """Widen arrays to a common shape behind the first axis: more devices or models in one than in another."""
    shape = tuple(np.max([array.shape[1:] for array in arrays], axis=0))
    if all(array.shape[1:] == shape for array in arrays):
        return list(arrays)
    wide = [np.full((len(array), *shape), fill) for array in arrays]
    for target, array in zip(wide, arrays, strict=True):
        target[tuple(slice(0, size) for size in array.shape)] = array
    return wide


def _fresh(t: Tables, rule: RuleTables, episodes: int) -> State:
    servers, devices = t.send_lat.shape[1], t.budget.shape[1]
    held = (t.memory.shape[1], t.params.shape[1]) if rule.memory else (0, 0)
    return State(
        slot=np.full(episodes, -1),
        load=np.zeros((episodes, servers)),
        used=np.zeros((episodes, servers + devices)),
        held=np.zeros((episodes, *held), dtype=np.bool_),
        spent=np.zeros((episodes, devices)),
    )


def _changing(encoder: Encoder, rule: RuleTables) -> Changing:
    def start(name: str, on: bool) -> int:  # what is switched off does not change
        return encoder.slices[name].start if on and name in encoder.slices else -1

    def top(name: str) -> float:
        return HIGH * encoder.ranges[name][1] if encoder.raw and name in encoder.ranges else HIGH

    return Changing(
        energy=start("energy_left", rule.energy),
        capacity=start("free_capacity", rule.capacity),
        memory=start("free_memory", rule.memory),
        raw=encoder.raw,
        energy_top=top("energy_left"),
        capacity_top=top("free_capacity"),
        memory_top=top("free_memory"),
    )
