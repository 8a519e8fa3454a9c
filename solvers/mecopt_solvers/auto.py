"""`auto`: the method that suits an instance's couplings and size, and the next one where it gives up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mecopt.entities import Coupling
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import Method, method
from mecopt.result import OPTIMALITY_TOLERANCE

PROGRAM_ARCS = 500_000  # arcs that HiGHS still takes as one program in reasonable time and memory


@dataclass(frozen=True)
class Choice:
    """One row of the table: the first that fits an instance counts."""

    when: str
    fits: Callable[[Instance], bool]
    methods: tuple[str, ...]  # in this order, each with the time that the ones before it left


TABLE = (
    Choice("no couplings", lambda i: not i.rules.couplings, ("trellis",)),
    Choice("energy budgets alone", lambda i: i.rules.couplings == {Coupling.ENERGY}, ("energy-path", "ilp")),
    Choice("couplings, few arcs", lambda i: _arcs(i) <= PROGRAM_ARCS, ("decomposition", "ilp")),
    Choice("couplings, many arcs", lambda i: True, ("decomposition",)),
)


def choose(instance: Instance) -> Choice:
    """Return the row of the table that fits the instance."""
    return next(choice for choice in TABLE if choice.fits(instance))


def _arcs(instance: Instance) -> int:
    nodes = instance.server_count + 1
    return int(instance.block_count.sum()) * nodes * nodes


def _solve(instance: Instance, run: Run) -> None:
    for name in choose(instance).methods:
        run.notes.setdefault("picked", []).append(name)
        method(name).solve(instance, run)
        proved = run.gap is not None and run.gap <= OPTIMALITY_TOLERANCE
        if proved or run.reasons or run.should_stop():
            return
        if run.objective is not None and run.best is not None:
            run.warm_start = run.best.placement


METHOD = Method(
    name="auto",
    kind="exact",
    summary="picks a method by couplings and size, and the next one where it gives up",
    honours=frozenset({Coupling.ENERGY, Coupling.CAPACITY, Coupling.MEMORY}),
    solve=_solve,
    random=True,
)
