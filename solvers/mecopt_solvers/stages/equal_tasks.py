"""Many equal tasks that share the memory of nodes, or the period: prices, paths, and how many go which way.

Of n equal tasks, the path of each takes on node j ``held[j, m] = state + parameters / n`` bytes for block m.
However many of the tasks run the block there, k say, together they hold ``k state + parameters`` bytes, which
is no less than k times that. So the sum of ``held`` over all tasks within the memory of every node is a
relaxation, and for prices mu >= 0 of its rows and weights w >= 0 of sum 1 of the period's resources,

    n min over paths (cost + w busy + mu held) - mu memory

is a lower bound: one shortest path of one task. A linear program over the paths seen makes the prices
(column generation), and a program over how many tasks go each of those paths makes placements.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mecopt import busy, limits
from mecopt.arrays import Floats, Ints
from mecopt.highs import Highs, Matrix
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt_solvers.stages import programme
from mecopt_solvers.stages.chain import StageChain, chain_of

SAFE = 1e-9  # the bound is lowered by this fraction: rounding of sums
CLOSE = 1e-6  # bound and value of the linear program: no more to gain
ROUNDS = 1000
KEPT = 0.5  # of the best prices so far in those that are tried next
OVER = 1e3  # what memory that is not there costs, in costs of a path
WITHIN = 1e-7  # of memory that placements leave free: HiGHS lets a little more through
PROGRAM_S = 20.0  # at most, of the program of placements
PROGRAM_GAP = 1e-5


@dataclass(frozen=True, eq=False)
class Shared:
    """What a task's steps take of what tasks share."""

    count: int  # of tasks
    chain: StageChain
    cost: Floats  # (J, J, M), 0 where the period counts
    busy: Floats  # (R, J, J, M) seconds of resources, R = 0 where it does not
    params: Floats  # (M,) bytes that a node holds once
    state: Floats  # (M,) bytes that it holds for each task
    memory: Floats  # (J,) bytes of nodes, inf = no limit

    @property
    def held(self) -> Floats:
        """Share of a node's memory that n tasks take for block m, (J, M)."""
        taken: Floats = (self.params + self.count * self.state) / np.maximum(self.memory, 1.0)[:, None]
        return taken

    def priced(self, price: Floats, weight: Floats) -> Floats:
        """Return costs of steps with prices (J,) of memory and weights (R,) of busy seconds."""
        paid: Floats = self.cost + (price[:, None] * self.held)[None]
        return paid + np.tensordot(weight, self.busy, 1)

    def takes(self, path: Ints) -> tuple[float, Floats, Floats]:
        """Return cost, busy seconds (R,) and shares of memory (J,) of a path."""
        before, m = np.concatenate([[0], path[:-1]]), np.arange(len(path))
        held: Floats = np.bincount(path, self.held[path, m], len(self.memory)).astype(np.float64)
        return float(self.cost[before, path, m].sum()), self.busy[:, before, path, m].sum(axis=1), held


def solve(instance: Instance, run: Run) -> None:
    """Find placements of equal tasks, and a bound."""
    if run.free_paths() is None:
        return
    if run.node_cost is not None and (run.node_cost != run.node_cost[:1]).any():
        run.notes["proof"] = "pins and bans of single tasks: a bound without what tasks share"
        return
    shared = _shared(instance, run)
    paths = _same_way(instance, run, shared)
    _price(run, shared, paths)
    _mix(run, shared, paths)


def _shared(instance: Instance, run: Run) -> Shared:
    chain = chain_of(instance, run.costs, 0, run.node_cost)
    nodes, blocks = chain.begin.shape
    taken = np.zeros((0, nodes, nodes, blocks))
    if instance.rules.objective.period:
        i, j, m = (axis.ravel() for axis in np.indices((nodes, nodes, blocks)))
        row, step, seconds = busy.entries(instance, run.costs, np.zeros(len(m), dtype=np.int64), m, i, j)
        rows, row = np.unique(row, return_inverse=True)
        table = np.zeros((len(rows), len(m)))
        np.add.at(table, (row, step), np.where(np.isfinite(seconds), seconds, 0.0))
        taken = table.reshape(len(rows), nodes, nodes, blocks)
    params, state, memory = np.zeros(blocks), np.zeros(blocks), np.full(nodes, np.inf)
    if limits.MEMORY.on(instance):
        params = limits.MEMORY.sizes(instance)[instance.tasks.model[0], :blocks]
        each = limits.MEMORY.each(instance)
        state = state if each is None else each[0, :blocks]
        memory = limits.MEMORY.most(instance, limits.MEMORY.rows(instance, np.array([0]))[0])
    return Shared(
        count=instance.task_count,
        # What the device holds is priced, and judged: no labels.
        chain=dataclasses.replace(chain, held=np.inf),
        cost=np.zeros(chain.cost.shape) if instance.rules.objective.period else chain.cost,
        busy=taken,
        params=params,
        state=state,
        memory=memory,
    )


def _same_way(instance: Instance, run: Run, shared: Shared) -> list[Ints]:
    """Send all tasks the way that is best for one of them with the states of all."""
    blocks = tuple(
        dataclasses.replace(block, state_bytes=block.state_bytes * shared.count)
        for block in instance.models[instance.tasks.model[0]].blocks
    )
    models = list(instance.models)
    models[instance.tasks.model[0]] = dataclasses.replace(models[instance.tasks.model[0]], blocks=blocks)
    one = instance.replace(models=tuple(models))
    chain = dataclasses.replace(chain_of(one, run.costs, 0, run.node_cost), held=np.inf)
    if instance.rules.objective.period:
        path = programme.least_period(chain, run.keep_time)
    else:
        path = programme.shortest(chain, chain.cost, run.keep_time)
    if path is None:
        return []
    _hand_over(run, np.tile(path, (shared.count, 1)))
    return [path]


def _hand_over(run: Run, paths: Ints) -> None:
    """Hand over a path for every task, (n, M)."""
    placement = np.full((len(paths), run.instance.max_blocks), -1)
    placement[:, : paths.shape[1]] = paths
    run.found(placement)


def _price(run: Run, shared: Shared, paths: list[Ints]) -> None:
    """Raise the bound by prices, and add the paths of least priced cost."""
    rows, limited = len(shared.busy), np.isfinite(shared.memory)
    price, weight = np.zeros(len(shared.memory)), np.full(rows, 1.0 / max(rows, 1))
    centre, best = (price, weight), -np.inf
    value = np.inf
    for _ in range(ROUNDS):
        run.keep_time()
        bound, path = _bound(run, shared, price, weight)
        if path is None:
            return
        run.improve_bound(shared.count * (bound - SAFE * abs(bound)))
        if bound > best:
            best, centre = bound, (price, weight)
        known = any(np.array_equal(path, other) for other in paths)
        if not known:
            paths.append(path)
        found = _prices(shared, paths, limited)
        if found is None:
            return
        value, exact_price, exact_weight = found
        if value - best <= CLOSE * abs(value):
            return
        near = 0.0 if known else KEPT
        price = near * centre[0] + (1 - near) * exact_price
        weight = near * centre[1] + (1 - near) * exact_weight


def _bound(run: Run, shared: Shared, price: Floats, weight: Floats) -> tuple[float, Ints | None]:
    """Return the bound of one task at prices, and the path that it rests on."""
    cost = shared.priced(price, weight)
    path = programme.shortest(shared.chain, cost, run.keep_time)
    if path is None:
        return np.inf, None
    before = np.concatenate([[0], path[:-1]])
    return float(cost[before, path, np.arange(len(path))].sum() - price.sum()), path


def _prices(
    shared: Shared, paths: list[Ints], limited: NDArray[np.bool_]
) -> tuple[float, Floats, Floats] | None:
    """Solve the linear program of shares of paths: value for one task, prices of memory, weights.

    Columns: the paths, the period, memory that is not there. Rows: all shares, memory, resources.
    """
    cost, taken, held = (np.array(part) for part in zip(*map(shared.takes, paths), strict=True))
    rows, nodes = len(shared.busy), int(limited.sum())
    scale = max(float(cost.max() if rows == 0 else taken.max()), 1e-12)
    table = np.zeros((1 + nodes + rows, len(paths) + 2))
    table[0, : len(paths)] = 1.0
    table[1 : 1 + nodes, : len(paths)] = held[:, limited].T
    table[1 : 1 + nodes, -1] = -1.0
    table[1 + nodes :, : len(paths)] = taken.T / scale
    table[1 + nodes :, -2] = -1.0
    upper = np.concatenate([np.ones(1 + nodes), np.zeros(rows)])
    lower = np.full(len(upper), -np.inf)
    lower[0] = 1.0
    costs = np.concatenate([cost / scale, [1.0, OVER]])
    program = _program(costs, np.full(len(costs), np.inf), lower, upper, table)
    if program.run() != "optimal":
        return None
    duals = np.maximum(-program.duals, 0.0)
    price = np.zeros(len(limited))
    price[limited] = duals[1 : 1 + nodes] * scale
    weight = duals[1 + nodes :]
    if rows and weight.sum() <= 0.0:
        return None
    return program.objective * scale, price, weight / weight.sum() if rows else weight


def _mix(run: Run, shared: Shared, paths: list[Ints]) -> None:
    """Find how many tasks go which of the paths: a program, with what nodes hold."""
    if not paths:
        return
    seen = np.array(paths)
    cost, taken, _ = (np.array(part) for part in zip(*map(shared.takes, paths), strict=True))
    limited = np.flatnonzero(np.isfinite(shared.memory))
    runs = seen[:, :, None] == limited  # (P, M, L)
    # Blocks of a node that the same paths run there are held together.
    sets = runs.reshape(len(seen), -1).T
    at = np.tile(limited, seen.shape[1])
    sizes = np.repeat(shared.params, len(limited))
    keys, group = np.unique(np.column_stack([at, sets]), axis=0, return_inverse=True)
    size = np.bincount(group.ravel(), sizes, len(keys))
    keys, size = keys[keys[:, 1:].any(axis=1)], size[keys[:, 1:].any(axis=1)]
    many, kinds, rows = len(seen), len(keys), len(shared.busy)
    scale = max(float(cost.max() if rows == 0 else taken.max()), 1e-12)
    table = np.zeros((1 + kinds + len(limited) + rows, many + kinds + 1))
    table[0, :many] = 1.0
    table[1 : 1 + kinds, :many] = keys[:, 1:]
    table[1 : 1 + kinds, many:-1] = -shared.count * np.eye(kinds)
    memory = slice(1 + kinds, 1 + kinds + len(limited))
    room = np.maximum(shared.memory[limited], 1.0)
    table[memory, :many] = (runs * shared.state[None, :, None]).sum(axis=1).T / room[:, None]
    table[memory, many:-1] = (keys[:, 0] == limited[:, None]) * size / room[:, None]
    table[memory.stop :, :many] = taken.T / scale
    table[memory.stop :, -1] = -1.0
    most = shared.memory[limited] / room * (1.0 - WITHIN)
    top = np.concatenate([[shared.count], np.zeros(kinds), most, np.zeros(rows)])
    low = np.full(len(top), -np.inf)
    low[0] = shared.count
    upper = np.concatenate([np.full(many, float(shared.count)), np.ones(kinds), [np.inf]])
    whole = np.concatenate([np.ones(many + kinds, dtype=bool), [False]])
    costs = np.concatenate([cost / scale, np.zeros(kinds), [1.0]])
    program = _program(costs, upper, low, top, table, whole)
    program.set(mip_rel_gap=PROGRAM_GAP)
    program.set_time_left(min(PROGRAM_S, run.time_left_s))
    program.interrupt_when(run.is_due)
    program.run()
    if program.feasible:
        counts = np.rint(program.values[:many]).astype(np.int64)
        if counts.sum() == shared.count:
            _hand_over(run, np.repeat(seen, counts, axis=0))


def _program(
    cost: Floats,
    upper: Floats,
    low: Floats,
    top: Floats,
    table: Floats,
    whole: NDArray[np.bool_] | None = None,
) -> Highs:
    """Return a program of a dense table (rows, columns), on one thread."""
    row, column = np.nonzero(table)
    start = np.searchsorted(row, np.arange(len(table) + 1))[:-1]
    highs = Highs(cost, upper, low, top, Matrix(start, column, table[row, column], by_rows=True), whole)
    highs.set(threads=1, parallel="off")
    return highs
