"""`selfish` and `social`: best responses in turn, for the task itself or for all, until nobody moves."""

from __future__ import annotations

from functools import partial

import numpy as np

from mecopt import limits
from mecopt.entities import Coupling
from mecopt.features import OF_STEPS, Feature
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import Method
from mecopt_solvers.baselines.responses import ResponseSlot

ROUNDS = 100  # at most, in each of which every task of a slot may move


def _solve(instance: Instance, run: Run, *, social: bool) -> None:
    """Settle the slots one after the other, each in rounds over its tasks in their order.

    Tasks join in that order: in the first round each sees those before it alone. Tasks of slots that time
    leaves no room for stay on their shortest paths.
    """
    paths = run.free_paths()
    if paths is None:
        return
    placement, rounds, settled = paths.placement.copy(), 0, True
    if limits.SHARING.on(instance):
        for number in np.unique(instance.tasks.slot):
            tasks = np.flatnonzero(instance.tasks.slot == number)
            slot = ResponseSlot(instance, run, tasks, social=social)
            took, still = _settle(slot, run)
            rounds, settled = max(rounds, took), settled and still
            there = (slot.path[:, 0] >= 0) | np.isfinite(slot.drop_cost)
            placement[tasks[there]] = slot.path[there]
            if run.is_due():
                break
    run.notes.update(rounds=rounds, settled=settled and not run.is_due())
    run.found(placement)


def _settle(slot: ResponseSlot, run: Run) -> tuple[int, bool]:
    """Make rounds until nobody moves; return how many, and whether it came to that."""
    for number in range(1, ROUNDS + 1):
        moved = False
        for k in range(len(slot.path)):
            if run.is_due():
                return number, False
            moved |= slot.respond(k)
        if not moved:
            return number, True
    return ROUNDS, False


SELFISH = Method(
    name="selfish",
    kind="baseline",
    summary="shared servers: each task in turn takes what is best for itself, until nobody moves",
    honours=frozenset({Coupling.SHARING}),
    solve=partial(_solve, social=False),
    takes=OF_STEPS | {Feature.DROP},
)

SOCIAL = Method(
    name="social",
    kind="baseline",
    summary="shared servers: each task in turn takes what is best for all, until nobody moves",
    honours=frozenset({Coupling.SHARING}),
    solve=partial(_solve, social=True),
    takes=OF_STEPS | {Feature.DROP},
)
