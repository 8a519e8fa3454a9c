"""The paths that can matter: nearly shortest under good prices, and not beaten by another of their task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt_solvers.decomposition import pricing_kernels, search_kernels
from mecopt_solvers.decomposition.dual import Priced, price_paths
from mecopt_solvers.decomposition.master import Columns
from mecopt_solvers.decomposition.problem import Part
from mecopt_solvers.decomposition.runs import run_kernels

MOST_PATHS = 4_000_000
MOST_EQUAL = 20_000  # paths, of all tasks: more of equal length are not worth listing
FRUGAL = (1.0, 3.0, 1e4)  # times the prices, each raised by their mean: paths that use less and less


@dataclass(frozen=True, eq=False)
class Pool:
    """Paths of every task, sorted by reduced cost; P paths."""

    first: Ints  # (K + 1,) where each task's paths begin
    columns: Columns  # P paths
    reduced: Floats  # (P,) value under the prices above the task's least
    within: float  # every path that is not dominated and has at most this reduced cost is here
    priced: Priced  # the prices

    @property
    def size(self) -> int:
        """Number of paths."""
        return len(self.reduced)

    def complete(self, objective: float) -> bool:
        """Whether every solution better than this objective is made of paths of the pool.

        A solution costs at least the bound plus the reduced costs of its paths.
        """
        return self.within >= objective - self.priced.bound


def fill_pool(part: Part, priced: Priced, within: Floats, most: int = MOST_PATHS) -> Pool | None:
    """List all paths of reduced cost up to `within` (K,); None where they are more than `most`."""
    listed = _list_paths(part, priced, within, most)
    if listed is None:
        return None
    columns, reduced = listed
    return sort_pool(len(part.tasks), columns, reduced, float(within.min(initial=np.inf)), priced)


def _list_paths(part: Part, priced: Priced, within: Floats, most: int) -> tuple[Columns, Floats] | None:
    tasks, stages = part.weight.shape[:2]
    first = np.empty(tasks + 1, dtype=np.int64)
    common = (part.weight, part.work, part.spend, priced.extra, part.row, part.blocks, priced.prices)

    def enumerate_paths(path: Ints, reduced: Floats) -> bool:
        if len(priced.runs):
            return bool(run_kernels.enumerate_paths(*common, priced.runs, within, first, path, reduced))
        return bool(pricing_kernels.enumerate_paths(*common, within, first, path, reduced))

    if not enumerate_paths(np.empty((0, stages), dtype=np.int64), np.empty(most)):
        return None
    path, reduced = np.empty((first[-1], stages), dtype=np.int64), np.empty(first[-1])
    if first[-1]:
        enumerate_paths(path, reduced)
    task = np.repeat(np.arange(tasks), np.diff(first))
    cost, use = np.empty(len(task)), np.empty((len(task), part.row.shape[1]))
    pricing_kernels.measure_columns(part.weight, part.work, part.spend, part.blocks, task, path, cost, use)
    return Columns(task, path, cost, use), reduced


def sort_pool(tasks: int, columns: Columns, reduced: Floats, within: float, priced: Priced) -> Pool:
    """Sort the paths of every task by reduced cost and drop those that another beats."""
    order = np.lexsort((reduced, columns.task))
    columns, reduced = columns.at(order), reduced[order]
    first = np.searchsorted(columns.task, np.arange(tasks + 1))
    kept = search_kernels.undominated(first, columns.cost, columns.use)
    columns, reduced = columns.at(kept), reduced[kept]
    return Pool(np.searchsorted(columns.task, np.arange(tasks + 1)), columns, reduced, within, priced)


def pool_of_size(part: Part, priced: Priced, each: int, largest: float, columns: Columns) -> Pool:
    """Fill a pool with at least some `each` paths a task, or all of reduced cost up to `largest`.

    The columns of the master join them, and paths that use little, which the repair needs in full slots.
    """
    tasks = len(part.tasks)
    reach = np.full(tasks, min(largest, 1e-3 * max(float(priced.value.max(initial=0.0)), 1e-300)))
    listed = _list_paths(part, priced, np.zeros(tasks), max(8 * each * tasks, MOST_EQUAL))
    if listed is None:  # like blocks on like servers: no sample of so many says more than the columns
        return pool_of_columns(part, priced, columns)
    while True:
        wider = _list_paths(part, priced, reach, 8 * each * tasks)
        if wider is None:
            break
        listed = wider
        short = (np.bincount(wider[0].task, minlength=tasks) < each) & (reach < largest)
        if not short.any():
            break
        reach = np.where(short, np.minimum(2.0 * reach, largest), reach)
    return _with_columns(part, priced, listed, float(reach.min(initial=np.inf)), columns)


def pool_of_columns(part: Part, priced: Priced, columns: Columns) -> Pool:
    """Make a pool of columns, of which every task has one, and of paths that use little."""
    none = np.zeros(0, dtype=np.int64)
    return _with_columns(part, priced, (columns.at(none), np.zeros(0)), -np.inf, columns)


def _with_columns(
    part: Part, priced: Priced, listed: tuple[Columns, Floats], within: float, columns: Columns
) -> Pool:
    """Add the columns and the shortest paths under higher prices."""
    tasks, more = np.arange(len(part.tasks)), columns
    # A row without a price is full all the same once tasks are moved there from others.
    level = priced.prices.sum() / max(part.rows, 1)
    for factor in FRUGAL:
        frugal = price_paths(part, factor * np.append(priced.prices[:-1] + level, 0.0))
        more = more.joined(Columns.of(part, tasks, frugal.path))
    reduced = np.concatenate([listed[1], more.reduced(part, priced)])
    return sort_pool(len(tasks), listed[0].followed(more), reduced, within, priced)
