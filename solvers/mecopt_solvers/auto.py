"""`auto`: the methods that suit an instance's couplings and size, taking turns until one of them is done."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mecopt import features
from mecopt.entities import Coupling
from mecopt.errors import MethodError
from mecopt.features import ALL, OF_STEPS, Feature
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.limits import OF_ROWS
from mecopt.registry import Method, method
from mecopt.tolerances import OPTIMALITY_TOLERANCE

PROGRAM_ARCS = 500_000  # arcs that HiGHS still takes as one program in reasonable time and memory
LOOK_ARCS = 20_000  # up to here a program is tried for a moment, which is what most small ones take
LOOK_S = 0.3  # that moment: the decomposition's compiled loops take longer to load
FEW_TASKS = 3.0  # of a slot on average: hardly anybody shares what has a price
MANY_TASKS = 12  # in slots of few: a program a slot, as the decomposition has, is better than one of all
FIRST_TURN_S = 1.0  # at least
FIRST_SHARE = 0.02  # of the time limit, or
UNLIMITED_TURN_S = 5.0  # where there is no limit
LATER_SHARE = 0.1  # of the time that all turns had so far, where that is longer
AGAIN = 2.0  # times its last turn, for a method that begins anew each time
OPENING_S = 0.5  # the first of all, and local search after it
MOVES = "local-search"
MOST_TURNS = 3  # in a row of a method that makes progress
PROGRESS = 0.05  # of the gap: a turn that closes less has stalled, and its time
LATE = 1.5  # times its turn that a method took: what counts then is what it took
STALLED = 2.0  # counts so often where the next turn is given to who had least
WIDE = 0.05  # gap up to which better placements are not what is missing most


@dataclass(frozen=True)
class TableRow:
    """One row of the table: the first that fits an instance counts."""

    when: str
    fits: Callable[[Instance], bool]
    methods: tuple[str, ...]  # they take turns in this order


# Of what is wider than the paper, those that take all of an instance (benchmarks/auto_wider.py); what only
# changes the costs of steps goes by the table all the same.
WIDER = ("trellis", "stages", "labels", "equal-tasks", "decomposition", "period", "ilp", "enumeration")
ALONE = ("trellis", "stages", "labels")  # quicker than all others on what they take
TABLE = (
    TableRow("no couplings", lambda i: not i.rules.couplings, ("trellis",)),
    TableRow(
        "energy budgets alone", lambda i: i.rules.couplings == {Coupling.ENERGY}, ("energy-path", "ilp")
    ),
    TableRow(
        "too many arcs for a program", lambda i: _arcs(i) > PROGRAM_ARCS, ("decomposition", "local-search")
    ),
    TableRow(
        "many slots of few tasks each",
        lambda i: _tasks_a_slot(i) <= FEW_TASKS and i.task_count > MANY_TASKS,
        ("decomposition", "local-search", "ilp"),
    ),
    TableRow(
        "few tasks, or none that share servers' time",
        lambda i: _tasks_a_slot(i) <= FEW_TASKS or Coupling.CAPACITY not in i.rules.couplings,
        ("ilp", "decomposition", "local-search"),
    ),
    TableRow("many tasks that do", lambda i: True, ("decomposition", "local-search", "ilp")),
)


def choose(instance: Instance) -> TableRow:
    """Return the row of the table that fits the instance."""
    asked, shared = features.of(instance), Coupling.SHARING in instance.rules.couplings
    if shared or not asked <= OF_STEPS:
        return TableRow("the wider model", lambda i: True, _suited(WIDER, instance))
    rows = (row for row in TABLE if row.fits(instance))
    if not asked:
        return next(rows)
    return next(
        replace(row, methods=_suited(row.methods, instance))
        for row in rows
        if method(row.methods[0]).suits(instance) or row is TABLE[-1]
    )


def _suited(names: tuple[str, ...], instance: Instance) -> tuple[str, ...]:
    return tuple(name for name in names if method(name).suits(instance))


def _arcs(instance: Instance) -> int:
    nodes = instance.server_count + 1
    return int(instance.block_count.sum()) * nodes * nodes


def _tasks_a_slot(instance: Instance) -> float:
    return instance.task_count / len(np.unique(instance.tasks.slot))


def _solve(instance: Instance, run: Run) -> None:
    methods = list(choose(instance).methods)
    alone = next((name for name in ALONE if name in methods), None)
    if not methods or alone:
        if alone:
            _turn(alone, instance, run, math.inf)
        else:
            run.free_optimum()
            run.notes["proof"] = "no installed method takes all of it: a bound without what tasks share"
        return
    _begin(instance, run)
    if run.reasons:
        return
    beside_energy = bool(instance.rules.couplings - {Coupling.ENERGY})
    if beside_energy and _settled(instance, run):
        return
    try:
        if beside_energy and methods[0] != "ilp" and "ilp" in methods and _look(instance, run):
            return
        _take_turns(methods, instance, run)
    finally:
        run.at_end.close()


def _begin(instance: Instance, run: Run) -> None:
    """Hand over two placements that often meet what the wider model asks: all on devices, all left out."""
    if features.of(instance) <= OF_STEPS and Coupling.SHARING not in instance.rules.couplings:
        return
    if run.free_optimum() is None or run.node_cost is not None:
        return
    behind = np.arange(instance.max_blocks) >= instance.block_count[:, None]
    tries = [np.where(behind, -1, 0)]
    if Feature.DROP in features.of(instance):
        tries.append(np.full(behind.shape, -1))
    for placement in tries:
        with contextlib.suppress(MethodError):  # no placement of this instance
            run.found(placement)


def _take_turns(methods: list[str], instance: Instance, run: Run) -> None:
    """Give the next turn to the method that had least time, until there is a proof or the time is over."""
    first = max(FIRST_TURN_S, FIRST_SHARE * run.time_left_s)
    if math.isinf(first):
        first = UNLIMITED_TURN_S
    had, last = dict.fromkeys(methods, 0.0), dict.fromkeys(methods, 0.0)
    while playing := [name for name in had if not _needless(name, run)]:
        name = min(playing, key=had.__getitem__)
        for _ in range(MOST_TURNS):
            so_far = sum(had.values())
            length = max(first, LATER_SHARE * so_far, AGAIN * last[name])
            if MOVES in had and not so_far:
                length = OPENING_S
            before, start = (run.objective, run.bound), time.perf_counter()
            ended = _turn(name, instance, run, length if len(playing) > 1 else math.inf)
            if _done(run):
                return
            if ended:  # it has given up, with whatever it found
                del had[name]
                break
            used = time.perf_counter() - start
            used = used if used > LATE * length else length  # the clock's noise changes no order
            advanced = _progress(run, *before)
            had[name] += used if advanced else STALLED * used
            last[name] = 0.0 if _goes_on(name, run) else length
            if had.get(MOVES) == 0.0 and not _needless(MOVES, run):  # a good placement soon, if there is none
                _turn(MOVES, instance, run, OPENING_S)
                had[MOVES] = OPENING_S
            elif not advanced:
                break


def _goes_on(name: str, run: Run) -> bool:
    """Say whether a method's next turn goes on where this one ended."""
    if name == "ilp":
        return getattr(run.kept.get(name), "held", None) is not None
    return name == "decomposition" or (name == MOVES and run.objective is not None)


def _settled(instance: Instance, run: Run) -> bool:
    """Look for what needs no search: a free optimum within all limits, or a limit that one task breaks alone.

    It takes milliseconds, and the compiled loops of the methods take longer to load.
    """
    from mecopt_solvers.programs.presolve import reduce

    if run.free_optimum() is None:
        return True
    if _arcs(instance) <= PROGRAM_ARCS and (reasons := reduce(instance, run.costs, run.node_cost).reasons):
        run.infeasible(reasons)
    return bool(run.reasons)


def _look(instance: Instance, run: Run) -> bool:
    """Try a small program for a moment; whether that was enough."""
    if _arcs(instance) > LOOK_ARCS:
        return False
    _turn("ilp", instance, run, LOOK_S)
    return _done(run)


def _turn(name: str, instance: Instance, run: Run, seconds: float) -> bool:
    """Let a method work for some time; whether it ended by itself."""
    picked = run.notes.setdefault("picked", [])
    if name not in picked:
        picked.append(name)
    if run.objective is not None and run.best is not None:
        run.warm_start = run.best.placement
    with run.slice(seconds, hold=True) as over:
        try:
            method(name).solve(instance, run)
        except MethodError as error:  # a library's failure need not be that of the others
            run.notes.setdefault("failed", []).append(f"{name}: {error}")
            return True
        return not over() and run.time_left_s > 0.0  # a library may keep the limit by itself


def _needless(name: str, run: Run) -> bool:
    """Say whether a method that only finds placements has nothing to add."""
    return name == MOVES and run.gap is not None and run.gap <= WIDE


def _done(run: Run) -> bool:
    """Say whether there is a proof, or the run is to stop."""
    proved = run.gap is not None and run.gap <= OPTIMALITY_TOLERANCE
    return proved or bool(run.reasons) or run.is_due()


def _progress(run: Run, objective: float | None, bound: float | None) -> bool:
    """Say whether a turn has closed a part of the gap that is worth another one."""
    if run.objective is None or objective is None:
        return run.objective is not None
    if bound is None or run.bound is None:
        return run.bound is not None
    closed = (objective - run.objective) + (run.bound - bound)
    return closed > PROGRESS * (objective - bound)


def _warm_up() -> None:
    from mecopt_solvers import decomposition

    decomposition.warm_up()


METHOD = Method(
    name="auto",
    kind="exact",
    summary="picks methods by couplings and size; they take turns until one of them is done",
    honours=OF_ROWS | {Coupling.SHARING},
    takes=ALL,
    solve=_solve,
    random=True,
    warm_up=_warm_up,
)
