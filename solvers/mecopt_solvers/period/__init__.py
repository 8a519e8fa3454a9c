"""The period of slots of many tasks: weights of resources for the bound, annealing for placements.

docs/methods/period.md says how it works.
"""

from __future__ import annotations

from mecopt.arrays import Floats, Ints
from mecopt.features import OF_STEPS, Feature
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import Method

__all__ = ["METHOD", "delay_within"]


def delay_within(instance: Instance, periods: Floats) -> tuple[Floats, list[Ints]]:
    """Bound the delay of all plans within each of some periods, of tasks that share one slot.

    Parameters
    ----------
    instance : Instance
        Without couplings, its tasks in one slot. Its objective does not count.
    periods : array of shape (P,)
        Seconds.

    Returns
    -------
    cuts : array of shape (P, 3)
        Rows p, b, c: every plan of period T <= p takes c - b T seconds or more; c is inf where there is none.
    placements : list of arrays of shape (tasks, longest model)
        Plans near these bounds, not all of them within their periods.
    """
    from mecopt_solvers.period import slot_delays  # imports numba

    return slot_delays.cuts(instance, periods)


def _solve(instance: Instance, run: Run) -> None:
    if not instance.rules.objective.period:
        run.free_optimum()
        return
    with run.loading():
        from mecopt_solvers.period.slot_solving import solve  # imports numba

    solve(instance, run)


def _refuses(instance: Instance) -> str:
    return "" if instance.rules.objective.period else "is for the objective period alone"


METHOD = Method(
    name="period",
    kind="heuristic",
    summary="the period of slots of many tasks: a bound by weights and columns, annealing among paths",
    honours=frozenset(),
    solve=_solve,
    random=True,
    takes=OF_STEPS | {Feature.PERIOD, Feature.TOTAL_DEADLINE, Feature.ONE_RUN},
    refuses=_refuses,
)
