"""Inner loop of the sweep over slots: placements of every slot by itself, budgets charged at their prices."""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit
from mecopt_solvers.decomposition import search_kernels
from mecopt_solvers.decomposition.problem import WITHIN

repair, improve, loads = search_kernels.repair, search_kernels.improve, search_kernels.loads
KICKED = 2  # tasks of a slot that a kick sends elsewhere
LARGEST_GROUP = 5  # tasks that are re-routed together
GROUP_NODES = 30_000  # most that one exact re-routing may visit
SEEDS_A_SLOT = 1_009  # how far the seeds of two slots are apart


@njit(cache=True, nogil=True)
def search_slots(first, cost, reduced, use, start, lowest, chosen, work, fee, seed, placed, value):  # type: ignore[no-untyped-def]
    """Repair and improve every slot, again and again from its best with a few tasks sent elsewhere.

    Reads a pool of paths, cost (P,) with budgets at their prices, use (P, servers); start (S + 1,), where the
    tasks of each slot begin; lowest (S,), a bound on its cost; chosen (K,), a path of the pool a task.
    Fills placed (turns, K), paths of the pool, and value (turns, S), inf where a turn met no capacity.
    """
    turns, servers = placed.shape[0], use.shape[1]
    limit = np.full(servers + 1, WITHIN)
    limit[servers] = np.inf
    for s in range(start.shape[0] - 1):
        begin, end = start[s], start[s + 1]
        tasks = end - begin
        mine = first[begin : end + 1]
        row = np.empty((tasks, servers), dtype=np.int64)
        row[:] = np.arange(servers)
        now = chosen[begin:end].copy()
        best, kept = np.inf, now.copy()
        for turn in range(turns):
            if turn > 0:
                np.random.seed(seed + SEEDS_A_SLOT * s + turn)  # noqa: NPY002 (all that the compiler knows)
                now[:] = kept
                for _ in range(min(KICKED, tasks)):
                    k = np.random.randint(0, tasks)  # noqa: NPY002
                    now[k] = mine[k] + int((mine[k + 1] - mine[k]) * np.random.random() ** 2)  # noqa: NPY002
            load = loads(use, row, now, servers + 1)
            placed[turn, begin:end], value[turn, s] = now, np.inf
            if not repair(mine, cost, use, row, limit, now, load, fee, 3 * tasks + 30):
                continue
            improve(
                mine, cost, reduced, use, row, limit, lowest[s], now, load,
                work, 2, LARGEST_GROUP, GROUP_NODES, seed + SEEDS_A_SLOT * s + turn,
            )  # fmt: skip
            total = 0.0
            for k in range(tasks):
                total += cost[now[k]]
            placed[turn, begin:end], value[turn, s] = now, total
            if total < best:
                best = total
                kept[:] = now
