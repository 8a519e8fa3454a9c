"""Placements by fixing one server's pattern after another, the linear program solved anew in between.

Paths have many equals (the same blocks on another server), so that near the best prices thousands of them
cost the same, and rounding shares or re-routing from a pool of nearly shortest paths leads nowhere where few
tasks fill many servers. What a server holds as a whole says much more.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Ints
from mecopt_solvers.decomposition.dual import Counts
from mecopt_solvers.decomposition.master import Columns, Solution, largest_shares
from mecopt_solvers.decomposition.problem import WITHIN, Part
from mecopt_solvers.decomposition.runs.patterns import RunGeneration, price_runs
from mecopt_solvers.decomposition.runs.run_master import RunMaster

ROUNDS = 25  # of new columns after a pattern was fixed
CHOSEN = 0.999  # share from which a pattern counts as chosen
OVERFLOW = 1e-6


def dive(
    generation: RunGeneration, price_cap: float, worth: float, should_stop: Callable[[], bool]
) -> tuple[float, Ints] | None:
    """Fix patterns until every server has one; return cost and paths (K, M) of a placement that fits.

    None as soon as runs are left that no pattern has room for, or nothing below `worth` can come of it.
    """
    part, sizes, counts = generation.part, generation.sizes, generation.counts
    master = RunMaster(part, sizes, counts, price_cap, generation.columns, generation.patterns)
    fixed = np.zeros(len(sizes.first) - 1, dtype=bool)
    while not should_stop():
        solution = _converged(master, counts, fixed, should_stop)
        if solution is None or solution.overflow > OVERFLOW or solution.value >= worth:
            return None
        owner = sizes.owner(master.patterns)
        weight = np.where(fixed[owner], 0.0, master.weights)
        if not weight.any():
            return _placement(part, master.columns, solution)
        for q in np.flatnonzero(weight >= min(float(weight.max()), CHOSEN)):
            if not fixed[owner[q]]:
                fixed[owner[q]] = True
                master.fix(int(q))
    return None


def _converged(
    master: RunMaster, counts: Counts, fixed: NDArray[np.bool_], should_stop: Callable[[], bool]
) -> Solution | None:
    """Add columns at the master's own prices until none is new; patterns only for servers without one."""
    part, sizes = master.part, master.sizes
    task, many = np.arange(len(part.tasks)), len(sizes.size)
    for _ in range(ROUNDS):
        if should_stop() or (solved := master.solve()) is None:
            return None
        prices, solution = solved
        priced, filled = price_runs(part, sizes, prices[:many], counts, prices[many:])
        patterns = sizes.apart(filled.pattern)
        paths = Columns.of(part, task, priced.path)
        if not master.add(paths, patterns[~fixed[sizes.owner(patterns)]]):
            return solution
    solved = master.solve()
    return None if solved is None else solved[1]


def _placement(part: Part, columns: Columns, solution: Solution) -> tuple[float, Ints] | None:
    """Return every task's path of largest share if all together fit: sizes were rounded down."""
    chosen = columns.at(largest_shares(columns, solution))
    load = np.bincount(part.row.ravel(), chosen.use.ravel(), part.rows + 1)[:-1]
    return (float(chosen.cost.sum()), chosen.path) if load.max(initial=0.0) <= WITHIN else None
