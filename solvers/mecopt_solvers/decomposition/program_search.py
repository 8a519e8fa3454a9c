"""Parts of very few tasks: each a program of its own, which beats prices that hardly anybody pays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mecopt.arrays import Ints
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.stop import StopReason
from mecopt_solvers.programs.branch_and_bound import branch_and_bound
from mecopt_solvers.programs.exact import DONE, solve_exactly
from mecopt_solvers.programs.flow import build_flow
from mecopt_solvers.programs.linear_program import Program
from mecopt_solvers.programs.presolve import Reduced

MOST_TASKS = 3
SECONDS_A_NODE = 0.05  # what a turn of so many nodes may take: a program that it ends too early begins anew


@dataclass(frozen=True)
class _Asked:
    """A stopping rule that asks somebody else's."""

    should_stop: Callable[[], bool]

    def __call__(self, gap: float | None) -> StopReason | None:
        return StopReason.TIME if self.should_stop() else None


@dataclass(eq=False)
class ProgramSearch:
    """The search of a few tasks that share no limit with any other, by HiGHS."""

    instance: Instance  # of all tasks
    run: Run
    tasks: Ints
    seed: int = 0
    finished: bool = False
    bound: float = field(default=float("-inf"))

    def __post_init__(self) -> None:
        self.part = self.instance.replace(tasks=self.instance.tasks.take(self.tasks))
        node_cost = None if self.run.node_cost is None else self.run.node_cost[self.tasks]
        self.own = Run(self.part, seed=self.seed, threads=1, node_cost=node_cost)

    @property
    def value(self) -> float:
        """Objective of the best placement so far, inf while there is none."""
        return float("inf") if self.own.objective is None else self.own.objective

    @property
    def path(self) -> Ints | None:
        """The best placement so far, (K, M)."""
        return None if self.own.objective is None or self.own.best is None else self.own.best.placement

    @property
    def infeasible(self) -> bool:
        """Whether it is proved that no placement meets every limit."""
        return bool(self.own.reasons)

    def offer(self, value: float, path: Ints) -> None:
        """Let the search know a placement (K, M) that meets every limit, and what it costs."""
        if value < self.value:
            self.own.found(path)

    def advance(self, gap: float, should_stop: Callable[[], bool], nodes: int) -> None:
        """Search on, until it is solved, about so many nodes' time is over, or `should_stop` says so."""
        own = self.own
        with own.slice(min(nodes * SECONDS_A_NODE, self.run.time_left_s), _Asked(should_stop)) as over:
            solve_exactly(self.part, own, self._build, branch_and_bound)
            stopped = over()
        if own.bound is not None:
            self.bound = max(self.bound, own.bound)
        proved = own.gap is not None and own.gap <= DONE
        self.finished = proved or self.infeasible or not stopped

    def _build(self, reduced: Reduced) -> Program:
        return build_flow(self.part, reduced.arcs)
