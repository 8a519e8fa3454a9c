"""Every limit of an instance: its unit, its rows, what uses them, how it is judged, whom it joins.

A limit is a set of rows, each a number: a device's budget, a server's time in a slot, a node's memory in a
slot, a task's end-to-end deadline. There are three kinds. Of a `LinearLimit` every step of a chain uses
something, and the uses add up. Of a `ChargedLimit` a node uses something once for each distinct piece that it
runs, whoever runs it. `sharing` is of a kind of its own: what a server calculates lengthens all that it
calculates.

The judge, the programs, the decomposition, the ledger of the baselines, `explain` and the environments take
rows, right-hand sides and uses from here. A coupling that is not in `LIMITS` is refused by all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Ints
from mecopt.entities import Coupling
from mecopt.errors import CouplingError
from mecopt.limits.couplings import CAPACITY, ENERGY, MEMORY
from mecopt.limits.kinds import ChargedLimit, Limit, LinearLimit, Where
from mecopt.limits.own import OneStretch, TotalDeadline
from mecopt.limits.sharing import SHARING

if TYPE_CHECKING:
    from mecopt.instance import Instance
    from mecopt.judge import Evaluation

__all__ = ["CAPACITY", "ENERGY", "MEMORY", "SHARING", "ChargedLimit", "Limit", "LinearLimit", "Where"]

TOTAL, ONE_RUN = TotalDeadline(), OneStretch()

# Couplings, in the order in which the judge names what is broken.
LIMITS: dict[str, Limit] = {limit.name: limit for limit in (ENERGY, CAPACITY, MEMORY, SHARING)}
KNOWN = frozenset(LIMITS)
COUPLINGS = frozenset(Coupling(name) for name in LIMITS)
# Those that are rows of a program: what takes rows takes any of them, one that is added here too.
OF_ROWS = frozenset(
    Coupling(name) for name, limit in LIMITS.items() if isinstance(limit, (LinearLimit, ChargedLimit))
)


def of(instance: Instance) -> tuple[Limit, ...]:
    """Return the limits that are on in an instance, those of single tasks first and last.

    Raises
    ------
    CouplingError
        If one of its couplings has no limit here: nothing would judge it.
    """
    unknown = sorted(str(name) for name in instance.rules.couplings - KNOWN)
    if unknown:
        raise CouplingError(f"rules.couplings: nothing here judges {', '.join(unknown)}")
    every = (*deadlines(instance), *LIMITS.values(), ONE_RUN)
    return tuple(limit for limit in every if limit.on(instance))


def deadlines(instance: Instance) -> tuple[TotalDeadline, ...]:
    """Return the end-to-end deadlines that some task has, whatever the rules make of them."""
    phases = (TotalDeadline(p) for p in range(instance.phase_count))
    return tuple(limit for limit in (TOTAL, *phases) if limit.there(instance))


def named(instance: Instance, name: str) -> Limit:
    """Return the limit of that name."""
    return next(limit for limit in of(instance) if limit.name == name)


def linear(instance: Instance) -> tuple[LinearLimit, ...]:
    """Return those whose uses add up."""
    return tuple(limit for limit in of(instance) if isinstance(limit, LinearLimit))


def charged(instance: Instance) -> tuple[ChargedLimit, ...]:
    """Return those of which a node uses something once for each piece."""
    return tuple(limit for limit in of(instance) if isinstance(limit, ChargedLimit))


def parts(instance: Instance) -> list[Ints]:
    """Sort the tasks into sets that share nothing with each other."""
    label = np.arange(instance.task_count)
    for limit in of(instance):
        label = _joined(label, limit.joins(instance))
    if instance.rules.objective.period:  # the busiest resource of a slot is everybody's
        label = _joined(label, instance.tasks.slot)
    _, label = np.unique(label, return_inverse=True)
    order = np.argsort(label, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(label[order])) + 1)


def strained(judged: Evaluation) -> NDArray[np.bool_]:
    """Say which tasks take part in a row that a placement breaks, (K,)."""
    instance = judged.instance
    found = np.zeros(instance.task_count, dtype=bool)
    for limit in of(instance):
        broken = limit.broken(judged)[0]
        if broken.size:
            found |= np.isin(limit.rows(instance), broken).any(axis=1)
    return found


def nothing_fits(instance: Instance, how: str) -> dict[str, Any]:
    """Say that no placement of all tasks meets the limits, and how that is known."""
    kinds = sorted(limit.name for limit in of(instance)) or ["deadlines and links"]
    return {
        "kind": kinds[0] if len(kinds) == 1 else "couplings",
        "where": {},
        "limit": None,
        "value": None,
        "message": f"no placement of all tasks meets the limits of {' and '.join(kinds)} ({how})",
    }


def _joined(label: Ints, group: Ints) -> Ints:
    """Give tasks of one group the same label, and those that shared a label before, until nothing changes."""
    inside = group >= 0
    if not inside.any():
        return label
    groups = int(group.max()) + 1
    while True:
        least = np.full(groups, label.max())
        np.minimum.at(least, group[inside], label[inside])
        joined = np.where(inside, least[group], label)
        smallest = np.arange(label.max() + 1)
        np.minimum.at(smallest, label, joined)
        joined = smallest[label]
        if (joined == label).all():
            return label
        label = joined
