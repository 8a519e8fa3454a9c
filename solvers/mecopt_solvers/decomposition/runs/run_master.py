"""The linear program over paths and patterns, kept in HiGHS from one round of columns to the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.highs import Matrix
from mecopt_solvers.decomposition import lp
from mecopt_solvers.decomposition.dual import Counts
from mecopt_solvers.decomposition.master import Columns, Solution
from mecopt_solvers.decomposition.problem import Part

if TYPE_CHECKING:
    from mecopt_solvers.decomposition.runs.patterns import RunSizes

PRIMAL = 4  # HiGHS's number for the primal simplex: adding columns leaves it feasible
LEAST_PENALTY = 0.05  # of the price cap, for sizes that take next to nothing of a server


@dataclass(eq=False)
class RunMaster:
    """Rows are sizes of runs, counts, tasks and servers; columns are overflows, then what was added.

    A size's row says that the runs of that size are at most those in the patterns chosen.
    """

    part: Part
    sizes: RunSizes
    counts: Counts
    price_cap: float
    columns: Columns  # at first those to begin with; what is added comes behind
    patterns: Floats  # (Q, L)
    path_at: Ints = field(init=False)  # (P,) column of the program
    pattern_at: Ints = field(init=False)  # (Q,)

    def __post_init__(self) -> None:
        columns, patterns = self.columns, self.patterns
        linked, decided = len(self.sizes.size), len(self.counts)
        self.shared = linked + decided
        self.scale = float(np.abs(columns.cost).max(initial=0.0)) or 1.0
        self.known = set(_keys(columns.task, columns.path)) | set(_keys(np.full(len(patterns), -1), patterns))
        self.path_at, self.pattern_at = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        tasks, servers = len(self.part.tasks), len(self.sizes.first) - 1
        penalty = np.concatenate([np.maximum(self.sizes.size, LEAST_PENALTY), np.ones(decided)])
        self.highs = lp.model(
            self.price_cap / self.scale * penalty,
            np.repeat([-np.inf, 1.0, -np.inf], [self.shared, tasks, servers]),
            np.concatenate([np.zeros(linked), self.counts.limit, np.ones(tasks + servers)]),
            Matrix(np.arange(self.shared), np.arange(self.shared), np.full(self.shared, -1.0)),
        )
        self._append(columns, patterns)

    def add(self, columns: Columns, patterns: Floats) -> bool:
        """Add the paths and patterns that are new; whether any is."""
        paths = self._new(_keys(columns.task, columns.path))
        fillings = self._new(_keys(np.full(len(patterns), -1), patterns))
        if not len(paths) and not len(fillings):
            return False
        columns, patterns = columns.at(paths), patterns[fillings]
        self.columns = self.columns.followed(columns)
        self.patterns = np.concatenate([self.patterns, patterns])
        self._append(columns, patterns)
        return True

    def solve(self) -> tuple[Floats, Solution] | None:
        """Return the prices of sizes and counts, none negative, and the optimum; None where HiGHS fails."""
        if self.highs.run() != "optimal":
            self.highs.forget()  # forgets the basis, which may be what it stumbles on
            if self.highs.run() != "optimal":
                return None
        self.highs.set(simplex_strategy=PRIMAL)
        value = self.highs.values
        prices = self.scale * np.maximum(-self.highs.duals[: self.shared], 0.0)
        solution = Solution(
            value[self.path_at],
            self.scale * self.highs.objective,
            float(value[: self.shared].sum()),
            np.zeros(self.part.rows + 1),
            prices[len(self.sizes.size) :],
        )
        self.weights: Floats = value[self.pattern_at]
        return prices, solution

    def fix(self, pattern: int) -> None:
        """Choose a pattern for its server from now on."""
        self.highs.fix_column(int(self.pattern_at[pattern]), 1.0)

    def _new(self, keys: list[bytes]) -> Ints:
        """Return the places of the keys seen for the first time, which are known from now on."""
        places = []
        for at, key in enumerate(keys):
            if key not in self.known:
                self.known.add(key)
                places.append(at)
        return np.array(places, dtype=np.int64)

    def _append(self, columns: Columns, patterns: Floats) -> None:
        """Append paths and patterns to the program."""
        linked, tasks, paths = len(self.sizes.size), len(self.part.tasks), len(columns.task)
        column, size, number = self.sizes.rows(self.part, columns)
        entries = self.counts.entries(columns.task, columns.path)
        p, b = np.nonzero(entries)
        q, c = np.nonzero(patterns)
        col = np.concatenate([column, p, np.arange(paths), paths + q, paths + np.arange(len(patterns))])
        row = np.concatenate([
            size, linked + b, self.shared + columns.task, c, self.shared + tasks + self.sizes.owner(patterns)
        ])  # fmt: skip
        value = np.concatenate([
            number, entries[p, b], np.ones(paths), -patterns[q, c], np.ones(len(patterns))
        ])  # fmt: skip
        order = np.lexsort((row, col))
        width = paths + len(patterns)
        self.highs.add_columns(
            np.concatenate([columns.cost / self.scale, np.zeros(len(patterns))]),
            Matrix(np.searchsorted(col[order], np.arange(width)), row[order], value[order]),
        )
        begin = self.shared + len(self.path_at) + len(self.pattern_at)
        self.path_at = np.append(self.path_at, begin + np.arange(paths))
        self.pattern_at = np.append(self.pattern_at, begin + paths + np.arange(len(patterns)))


def _keys(label: Ints, rows: Floats | Ints) -> list[bytes]:
    """Return what tells labelled rows apart."""
    return [a.tobytes() + b.tobytes() for a, b in zip(label.astype(np.int64), rows, strict=True)]
