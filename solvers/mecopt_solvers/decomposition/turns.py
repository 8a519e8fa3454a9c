"""From an instance to its parts, and whose turn it is: every part a bit, then the worst again."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import numpy as np

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.trellis_arcs import build_arcs
from mecopt_solvers.decomposition import program_search
from mecopt_solvers.decomposition.branch import CLOSED, Tree
from mecopt_solvers.decomposition.first import first_placement
from mecopt_solvers.decomposition.searches import Search, search_part
from mecopt_solvers.overload import overloads
from mecopt_solvers.sharing.mixed.mixed_search import MixedSearch
from mecopt_solvers.sharing.slot_search import SharedSearch

FIRST_GAP = 1e-3  # relative gap of every part before any part is searched further
FIRST_NODES = 12
FRUITFUL = 0.9  # what a turn leaves of a gap, to be followed by another one before others have theirs
POLL_S = 0.1  # how often the stopping rules are asked while threads are at work
KEPT = "decomposition"  # name of what a run keeps for the next call
HAND_OVER_SHARE = 0.05  # of the time may go into judging placements


def solve(instance: Instance, run: Run) -> None:
    """Solve an instance, or go on where the last call on the same run was stopped.

    Everything found is handed to the run as it comes.
    """
    kept = run.kept.get(KEPT)
    if isinstance(kept, Schedule):
        kept.work()
        return
    optimum = run.free_optimum()
    if optimum is None:
        return
    free, judged = optimum
    if run.warm_start is not None:
        run.found(run.warm_start)
    _offer_first(instance, run, free.placement)
    strained = limits.strained(judged) | limits.SHARING.on(instance)  # which lengthens everything
    parts = [tasks for tasks in limits.parts(instance) if strained[tasks].any()]
    schedule = Schedule(instance, run, parts, free.value, free.placement)
    run.kept[KEPT] = schedule
    schedule.work()


def _offer_first(instance: Instance, run: Run, free: Ints) -> None:
    """Hand over something that fits before the search, whose loops may have to be loaded or compiled."""
    if run.objective is not None:
        return
    if limits.CAPACITY in limits.of(instance):
        first = first_placement(instance, run, free)
        if first is not None and run.found(first).feasible:
            return
    if run.node_cost is None:  # everything on its device, which fits any server
        run.found(np.where(free >= 0, 0, -1))


@dataclass(eq=False)
class Schedule:
    """The searches of all parts, their sum, and what has been handed to the run."""

    instance: Instance
    run: Run
    parts: list[Ints]
    free: Floats  # (tasks,) value of the free optimum
    placement: Ints  # (tasks, longest model) best so far, the free optimum where a part has none
    searches: list[Search | None] = field(init=False)
    begun: int = 0  # parts that had their first turn
    stopped: bool = False
    handed: float = np.inf  # objective handed over last
    judging_s: float = 0.0
    start: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.placement = self.placement.copy()
        self.searches = [None] * len(self.parts)
        self.fruitless = np.zeros(len(self.parts), dtype=np.int64)  # turns in a row
        self.done = np.zeros(len(self.parts), dtype=bool)
        rest = np.ones(len(self.free), dtype=bool)
        for tasks in self.parts:
            rest[tasks] = False
        self.settled = float(self.free[rest].sum())
        self.bounds = np.array([float(self.free[tasks].sum()) for tasks in self.parts])
        self.values = np.full(len(self.parts), np.inf)

    def work(self) -> None:
        """Search until everything is proved or the run says stop; may be called again to go on."""
        self.stopped = False
        self._take_in()
        if self.run.threads == 1 or len(self.parts) == 1:
            while (job := self._next()) is not None:
                self._advance(*job, self._is_due)
                if self._account(job[0]) or self.run.should_stop():
                    break
        else:
            self._in_threads()
        self._hand_over(last=True)
        self._note_dual()

    def _note_dual(self) -> None:
        """Say what prices alone prove, and whether any others would prove more."""
        duals = [
            search.prices_alone
            for search in self.searches
            if isinstance(search, SharedSearch | MixedSearch | Tree)
        ]
        if duals and len(duals) == len(self.searches):
            bound = self.settled + sum(bound for bound, _ in duals)
            if np.isfinite(bound):  # else some task has no path at all
                self.run.notes.update(dual_bound=bound, dual_proved=all(met for _, met in duals))

    def _next(self, busy: Collection[int] = ()) -> tuple[int, float, int] | None:
        """Choose a piece of work: the part, the gap to reach (seconds) and the most nodes.

        Every part once, then the worst that no thread is busy with; None where there is none. A part whose
        last turns came to nothing waits until the others are so much better, and then gets longer ones.
        """
        if self.begun < len(self.parts):
            p = self.begun
            self.begun += 1
            return p, FIRST_GAP * abs(self.bounds[p]), FIRST_NODES
        worth = (self.values - self.bounds) * 0.5 ** np.minimum(self.fruitless, 60)
        worth[self.done] = worth[list(busy)] = -np.inf
        p = int(worth.argmax())
        if worth[p] == -np.inf:
            return None
        gap = float(self.values[p] - self.bounds[p])
        whole = len(self.parts) == 1 or not np.isfinite(gap)
        return p, 0.0 if whole else 0.5 * gap, FIRST_NODES * 2 ** int(min(self.fruitless[p] + 1, 6))

    def _advance(self, p: int, gap: float, nodes: int, should_stop: Callable[[], bool]) -> None:
        search = self.searches[p]
        if search is None:
            seed = self.run.seed * 1_000_003 + p
            search = self._open(p, seed)
            self.searches[p] = search
            if np.isfinite(self.values[p]):
                search.offer(float(self.values[p]), self.placement[self.parts[p]])
        search.advance(gap, should_stop, nodes)

    def _account(self, p: int) -> bool:
        """Take over what a finished piece of work has found; whether it proved that nothing is feasible."""
        search = self.searches[p]
        if search is None:
            return False
        if search.infeasible:
            arcs = build_arcs(self.run.costs, self.parts[p], self.run.node_cost)
            reasons = overloads(self.instance, arcs)
            self.run.infeasible(reasons or [_reason(self.instance, self.parts[p])])
            return True
        before = self.values[p] - self.bounds[p]
        self._take_over(p, search)
        gap = self.values[p] - self.bounds[p]
        self.fruitless[p] = 0 if gap < FRUITFUL * before else self.fruitless[p] + 1
        self.done[p] = search.finished or (np.isfinite(gap) and gap <= CLOSED * abs(self.values[p]))
        return False

    def _take_over(self, p: int, search: Search) -> None:
        """Report a part's bound and placement; the search may be in the middle of its work."""
        self.bounds[p] = max(self.bounds[p], search.bound)
        path = search.path
        if path is not None and search.value < self.values[p]:
            self.values[p] = search.value
            self.placement[self.parts[p]] = path
        self.run.improve_bound(self.settled + float(self.bounds.sum()))
        self._hand_over()

    def _open(self, p: int, seed: int) -> Search:
        tasks = self.parts[p]
        few = len(self.parts) > 1 and len(tasks) <= program_search.MOST_TASKS
        if few and not limits.SHARING.on(self.instance):
            return program_search.ProgramSearch(self.instance, self.run, tasks, seed)
        return search_part(self.instance, self.run, tasks, seed)

    def _take_in(self) -> None:
        """Let the parts and their searches know the run's best placement, whoever has found it."""
        best = self.run.best
        if best is None or best.objective is None:
            return
        for p, tasks in enumerate(self.parts):
            value = float(best.task_objective_s[tasks].sum())
            if value < self.values[p]:
                self.values[p], self.placement[tasks] = value, best.placement[tasks]
            if (search := self.searches[p]) is not None:
                search.offer(value, best.placement[tasks])
        self.handed = min(self.handed, best.objective)

    def _is_due(self) -> bool:
        if len(self.parts) == 1 and (search := self.searches[0]) is not None:
            self._take_over(0, search)
        return self.run.is_due()

    def _hand_over(self, last: bool = False) -> None:
        """Let the judge see the placement when it is better, if that costs little of the time."""
        value = self.settled + float(self.values.sum())
        now = time.perf_counter()
        if value >= self.handed or self.run.reasons:
            return
        if not last and self.judging_s > HAND_OVER_SHARE * (now - self.start) and np.isfinite(self.handed):
            return
        self.run.found(self.placement, objective=value)
        self.handed = value
        self.judging_s += time.perf_counter() - now

    def _in_threads(self) -> None:
        """Work on several parts at a time: kernels and HiGHS let go of the interpreter."""
        busy: dict[Future[None], int] = {}
        stop = False
        with ThreadPoolExecutor(self.run.threads) as pool:
            try:
                while not stop:
                    while len(busy) < self.run.threads and (job := self._next(busy.values())) is not None:
                        busy[pool.submit(self._advance, *job, lambda: self.stopped)] = job[0]
                    if not busy:
                        return
                    done, _ = wait(busy, timeout=POLL_S, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                        stop |= self._account(busy.pop(future))
                    stop |= self.run.should_stop()
            finally:
                self.stopped = True  # whatever ends it: the threads come back after the node they are at
        for p in busy.values():
            self._account(p)


def _reason(instance: Instance, tasks: Ints) -> dict[str, object]:
    """Name the limits that cannot hold together."""
    kinds = sorted(instance.rules.couplings)
    slots = np.unique(instance.tasks.slot[tasks])
    place = f"slot {slots[0]}" if len(slots) == 1 else f"slots {slots[0]} to {slots[-1]}"
    kind = kinds[0] if len(kinds) == 1 else "+".join(str(k) for k in kinds)
    where: dict[str, object] = (
        {"slot": int(slots[0])} if len(slots) == 1 else {"slots": [int(slots[0]), int(slots[-1])]}
    )
    if limits.ENERGY in limits.of(instance) and len(np.unique(instance.tasks.device[tasks])) == 1:
        where = {"device": instance.devices[int(instance.tasks.device[tasks[0]])].name, **where}
    message = f"{place}: no placement of its {len(tasks)} tasks meets every limit ({', '.join(kinds)})"
    return {"kind": kind, "where": where, "limit": None, "value": None, "message": message}
