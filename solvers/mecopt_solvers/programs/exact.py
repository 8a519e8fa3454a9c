"""Solve an instance by a solver of programs: what `milp`, `ilp` and `cpsat` have in common.

The solver is not believed. Every placement goes to the judge; one that violates a limit, because the solver's
tolerance let it through, is cut off and the search goes on. Bounds are lowered by what rounding may have
added.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from mecopt.arrays import Ints
from mecopt.errors import MethodError
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.judge import Evaluation
from mecopt.limits import SHARING, nothing_fits
from mecopt.trellis_arcs import Arcs, shortest
from mecopt_solvers.programs.jobs import HeldSearch, Job, SearchOutcome
from mecopt_solvers.programs.linear_program import Program
from mecopt_solvers.programs.presolve import Reduced, reduce

Tangents = Mapping[int, list[float]]
Build = Callable[[Reduced, float | None, Tangents], Program]
Engine = Callable[[Job], SearchOutcome]

SAFE = 1e-8  # a floating-point bound is lowered by this fraction
DONE = 1e-10  # a gap that is nothing but rounding
CLOSED = 1.01 * SAFE  # what the lowering alone leaves
SCALE = 1e3  # the solver sees an objective of about this size
BLUR = 1e-6  # what a solver may take for nothing, where it sees an objective of that size
FINE = 1e-9  # the objective's resolution, a fraction of it
FINER = 6  # searches on a better scale, at most
LEFT = 1e-7  # a larger gap than this, and the solver's optimum was one of its tolerances
WIDEST = 10.0  # times the objective: larger costs are held down
ROUNDS = 1000
SHRUNK = 0.7  # of a waiting program's arcs: with fewer left, a new one is searched sooner than that
NEAR = 1e-9  # loads that are this close, relatively, are one


@dataclass(eq=False)
class SolverRounds:
    """Rounds of one solver on one instance, until it is done or has to stop."""

    instance: Instance
    run: Run
    build: Build
    engine: Engine
    base: Ints  # a placement for the tasks that the program leaves out
    reduced: Reduced
    violating: list[Evaluation] = field(default_factory=list)
    fresh: bool = False  # whether a violating placement was found in this round
    offset: float = 0.0  # seconds that the program leaves out
    blur: float = 0.0  # seconds that the solver may not tell from nothing
    finer: int = 0  # searches repeated on a better scale
    # Loads that incumbents of sharing have, by row: where the program is to be exact.
    tangents: dict[int, list[float]] = field(default_factory=dict)
    touched: bool = False  # whether there is a new one
    unit: float = 0.0  # seconds of objective that the solver sees as 1; 0 before the first search
    strict: bool = True  # whether its tolerances are the tightest
    program: Program | None = None  # of the last search
    built_for: float | None = None  # what was known then
    built_of: int = 0  # arcs that it had
    keeps: bool = False  # whether there may be another call, and a search can wait until then
    held: HeldSearch | None = None  # the one that does
    # What the last search found, and what is left out of the next ones, the judge having priced it.
    seen: dict[bytes, Evaluation] = field(default_factory=dict)
    aside: dict[bytes, Evaluation] = field(default_factory=dict)

    def work(self) -> None:
        """Go on until the optimum is proved, nothing is feasible, or a rule says stop."""
        for _ in range(ROUNDS):
            if self._done() or self.run.should_stop():
                return
            outcome = self._search()
            if outcome is None:
                return
            if outcome.bound is not None:
                self._bound(outcome.bound)
            if self.fresh:
                continue
            fault = self._fault(outcome)
            if fault:
                self.run.notes["solver"] = fault
                if not self.strict:
                    self._give_up(fault)
                    return
                self.strict = False
                continue
            self.run.notes.pop("solver", None)
            if outcome.ended == "stopped":
                self.run.is_due()
                return
            if not self._again(outcome):
                return
            self.unit = self._unit()

    def leave(self) -> None:
        """End a search that waits."""
        if self.held is not None:
            self.held.leave()
            self.held = None

    def _search(self) -> SearchOutcome | None:
        """Search, or go on with what waits; None if time is over, with a search that waits or none begun."""
        if self.held is not None and not self._outgrown():
            held, self.held = self.held, None
            outcome = held.go_on()
        else:
            self.leave()
            self.unit = self.unit or self._unit()
            self.program = self._program(self.unit)
            if self.run.is_due():  # building takes time too
                return None
            self.fresh, self.seen = False, {}
            outcome = self.engine(self._job(self.program, self.unit, self.strict))
        self.held = outcome.held
        return None if self.held is not None else outcome

    def _outgrown(self) -> bool:
        """Say whether what is known by now would make the program of the search that waits much smaller."""
        known = self.run.objective
        if known is None or known == self.built_for or self.program is None:
            return False
        return _arcs_left(self.reduced.within(known)) < SHRUNK * self.built_of

    def _fault(self, outcome: SearchOutcome) -> str:
        """Say what is wrong with an outcome, nothing if it can be true."""
        if outcome.ended == "failed":
            return f"failed ({outcome.message})"
        if outcome.ended == "infeasible" and self._known() is not None:
            return "claims that nothing is feasible, but the judge saw a feasible placement"
        if outcome.ended == "optimal" and self.run.objective is None:
            return "claims an optimum, but the judge saw no feasible placement"
        return ""

    def _give_up(self, fault: str) -> None:
        """Leave what is known as the result; without any it is an error."""
        if self.run.objective is None:
            raise MethodError(f"the solver gave nothing that can be used: it {fault}")

    def _known(self) -> Evaluation | None:
        """Return the best feasible placement, if the program has a column for everything in it."""
        best, program = self.run.best, self.program
        if best is None or program is None or not best.feasible or best.placement.tobytes() in self.aside:
            return None
        return best if _fits(program, best) else None

    def _again(self, outcome: SearchOutcome) -> bool:
        """Take in a search that came to its end; say whether another one, of a better scale, is needed."""
        known = self.run.objective
        if known is None:
            self.run.infeasible([nothing_fits(self.instance, "proved by branch and bound")])
            return False
        if outcome.ended == "infeasible":  # nothing better than what is known
            self._bound(known - self.offset)
        if self.touched:  # the program thought the placement better than it is
            self.touched = False
            return not self._done()
        coarse = outcome.error > FINE * abs(known) or not 1e-2 < known / (self.unit * SCALE) < 1e2
        # What is known by now leaves out the arcs whose cost made the solver inexact, or was held down.
        coarse |= self.run.gap is None or self.run.gap > LEFT
        self.finer += coarse
        return not self._done() and ((coarse and self.finer <= FINER) or self._set_aside())

    def _set_aside(self) -> bool:
        """Leave placements on nearly full servers out of the next search; say whether there are new ones.

        There the curve of mm1 is so steep that a solver's tolerance moves its bound. What the judge has
        priced is not better than the best, so a bound on all others is one as far as the best is.
        """
        best = self.run.best
        if not SHARING.on(self.instance) or best is None:
            return False
        known = len(self.aside)
        self.aside |= self.seen | {best.placement.tobytes(): best}
        return len(self.aside) > known

    def _unit(self) -> float:
        """Choose the unit of the objective: from the best known one, else from the relaxation."""
        known = self.run.objective or self.reduced.offset or self.run.bound or 0.0
        if known <= 0:
            weights = self.reduced.arcs.weight
            positive = weights[np.isfinite(weights) & (weights > 0)]
            known = float(np.median(positive)) if positive.size else 1.0
        return known / SCALE

    def _program(self, unit: float) -> Program:
        reduced, known = self.reduced, self.run.objective
        if known is not None:
            reduced = reduced.within(known)
        self.built_for, self.built_of = known, _arcs_left(reduced)
        program = self.build(reduced, known, self.tangents)
        without = (*self.violating, *self.aside.values())
        rows = [row for judged in without if _fits(program, judged) for row in program.cut_off(judged)]
        self.offset, self.blur = self.reduced.offset, BLUR * unit
        # A cost far above the objective times the solver's tolerance would move its bound. Held down, it can
        # only lower the bound.
        held = np.minimum(program.cost, WIDEST * SCALE * unit)
        cost = np.where(program.task >= 0, held, program.cost)
        return dataclasses.replace(program, cost=cost).with_rows(rows)

    def _job(self, program: Program, unit: float, strict: bool) -> Job:
        run, known = self.run, self._known()

        def found(x: np.ndarray) -> None:
            placement = program.decode(x, self.base)
            judged = run.found(placement)
            self._touch(judged)
            if not judged.feasible:
                self.violating.append(judged)
                self.fresh = True
            elif SHARING.on(self.instance):
                self.seen[judged.placement.tobytes()] = judged

        return Job(
            program=program,
            unit=unit,
            start=None if known is None else program.encode(known.placement),
            start_value=None if known is None or not program.open else self._start_value(),
            found=found,
            bound=self._bound,
            due=lambda: self.fresh or run.is_due(),
            hold=lambda: self.keeps and not self.fresh,
            time_left_s=run.whole_time_left_s if self.keeps else run.time_left_s,
            threads=run.threads,
            seed=run.seed,
            strict=strict,
        )

    def _start_value(self) -> float | None:
        """Return what the program's objective is of the incumbent, where a placement does not tell."""
        known = self.run.objective
        return None if known is None else known - self.offset

    def _touch(self, judged: Evaluation) -> None:
        """Note the loads of a placement: there the next program is to be exact."""
        if not SHARING.on(self.instance):
            return
        rows, loads = SHARING.used(judged)
        for row, load in zip(rows.tolist(), loads.tolist(), strict=True):
            known = self.tangents.setdefault(row, [])
            if load > 0.0 and all(abs(load - other) > NEAR * load for other in known):
                known.append(load)
                self.touched = True

    def _bound(self, bound: float) -> None:
        value = self.offset + bound
        value -= SAFE * (abs(self.offset) + abs(bound)) + self.blur
        known = self.run.objective
        if known is not None:
            value = min(value, known - SAFE * abs(known))
        self.run.improve_bound(value)

    def _done(self) -> bool:
        gap = self.run.gap
        return bool(self.run.reasons) or (gap is not None and gap <= CLOSED)


def solve_exactly(instance: Instance, run: Run, build: Build, engine: Engine, name: str = "") -> None:
    """Run a solver of programs on an instance.

    Parameters
    ----------
    instance : Instance
    run : Run
    build : callable
        Makes the program of the reduced instance; its objective is seconds above the reduced offset.
    engine : callable
        Solves a `Job`.
    name : str, optional
        Under which a run keeps it, where it is held at the end of a turn: the next call goes on.
    """
    kept = run.kept.get(name)
    if isinstance(kept, SolverRounds):
        kept.work()
        return
    if run.free_optimum() is None:
        return
    reduced = reduce(instance, run.costs, run.node_cost)
    if reduced.reasons:
        run.infeasible(reduced.reasons)
        return
    value, base = shortest(reduced.arcs.weight, reduced.arcs.blocks)
    base[(reduced.drop == 0.0) & (value > 0)] = -1  # left out: that costs less than any path
    run.found(base, bound=reduced.offset * (1.0 - 0.5 * DONE))
    take_warm_start(run, reduced.arcs, base)
    rounds = SolverRounds(instance, run, build, engine, base, reduced)
    if name and run.holding:
        rounds.keeps = True
        run.kept[name] = rounds
        run.at_end.callback(rounds.leave)
    rounds.work()


def take_warm_start(run: Run, arcs: Arcs, base: Ints) -> None:
    """Hand over the caller's placement; one that breaks a rule is repaired task by task, or refused."""
    if run.warm_start is None:
        return
    placement = run.warm_start.copy()
    rows, stages = np.arange(len(placement))[:, None], np.arange(placement.shape[1])
    real = (stages < arcs.blocks[:, None]) & (placement >= 0)
    now = np.where(real, placement, 0)
    before = np.concatenate([np.zeros((len(now), 1), dtype=np.int64), now[:, :-1]], axis=1)
    broken = (np.isinf(arcs.weight[rows, stages, before, now]) & real).any(axis=1)
    placement[broken] = base[broken]
    judged = run.found(placement)
    if not judged.feasible:
        run.notes["warm_start_used"] = f"refused: {judged.violations[0]}"
    elif broken.any():
        run.repairs += int(broken.sum())
        run.notes["warm_start_used"] = f"repaired: {int(broken.sum())} tasks took their best path"


def _arcs_left(reduced: Reduced) -> int:
    return int(np.count_nonzero(np.isfinite(reduced.arcs.weight)))


def _fits(program: Program, judged: Evaluation) -> bool:
    """Say whether the program has a column for everything that a placement does."""
    decided = np.unique(np.stack([program.task, program.block])[:, program.decides], axis=1)
    placed = np.flatnonzero((program.encode(judged.placement) > 0.5) & program.decides)
    out = judged.dropped[decided[0]]
    tasks = np.unique(decided[0][out])  # of which one column says that they are left out
    return bool(len(placed) == np.count_nonzero(~out) + len(tasks))
