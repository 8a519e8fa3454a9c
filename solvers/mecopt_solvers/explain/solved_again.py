"""What demands cost, and which cannot hold together: found by solving the instance again without them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mecopt import features, registry
from mecopt.errors import InputError, InstanceError
from mecopt.instance import Instance
from mecopt.result import Result, Status
from mecopt.solving import solve
from mecopt.stop import StopReason
from mecopt_solvers.explain.deadlines import smallest_conflict
from mecopt_solvers.explain.demands import EASED, GONE, Demand, changed, demands
from mecopt_solvers.explain.resolved import Clock

SAME = 1e-9  # relative: a difference that counts as none


@dataclass(frozen=True)
class DemandValue:
    """What a demand costs: the optimum less the optimum with more of it, and without it.

    Parameters
    ----------
    demand : Demand
    saved_eased : float or None
        Objective that 10 % more would save; None where there cannot be more, or it is not known.
    saved_without : float or None
        Objective that is saved without it; None where it is not known.
    """

    demand: Demand
    saved_eased: float | None
    saved_without: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        saved = {"saved_eased": self.saved_eased, "saved_without": self.saved_without}
        return {**self.demand.to_dict(), **saved}


@dataclass(frozen=True)
class Clash:
    """Demands that cannot hold together, given the links.

    Parameters
    ----------
    demands : tuple of Demand
    irreducible : bool
        Whether without any one of them the others are known to be possible.
    """

    demands: tuple[Demand, ...]
    irreducible: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"demands": [one.to_dict() for one in self.demands], "irreducible": self.irreducible}


class Again:
    """Solves variants of an instance within the time that there is."""

    def __init__(self, method: str, time_limit_s: float | None, seed: int, threads: int) -> None:
        self.method, self.time_limit_s = method, time_limit_s
        self.seed, self.threads = seed, threads

    def __call__(
        self,
        instance: Instance,
        pins: Iterable[str] = (),
        bans: Iterable[str] = (),
        clock: Clock | None = None,
    ) -> Result:
        """Solve an instance.

        Raises
        ------
        InputError
            If the method does not take it.
        KeyboardInterrupt
            If the solve was interrupted.
        """
        left = self.time_limit_s if clock is None or self.time_limit_s is None else clock.left
        result = solve(
            instance,
            self.method,
            time_limit_s=left,
            seed=self.seed,
            threads=self.threads,
            pins=pins,
            bans=bans,
        )
        if result.stopped_by is StopReason.INTERRUPT:
            raise KeyboardInterrupt
        return result


def able(instance: Instance, method: str) -> str:
    """Return the method; for an `auto` that does not take the instance the most special exact one."""
    if method != "auto" or _takes(registry.method("auto"), instance):
        return method
    exact = [m for m in registry.methods() if m.exact and _takes(m, instance)]
    return min(exact, key=lambda m: len(m.takes) + len(m.honours)).name if exact else method


def _takes(method: registry.Method, instance: Instance) -> bool:
    return method.honours >= instance.rules.couplings and method.takes >= features.of(instance)


def values(
    instance: Instance, optimum: Result, again: Callable[..., Result], clock: Clock, notes: list[str]
) -> list[DemandValue]:
    """List the demands without which the optimum would be smaller, the dearest first.

    Parameters
    ----------
    instance : Instance
    optimum : Result
        Proved.
    again : callable
        As `Again`.
    clock : Clock
    notes : list of str
        Told of what could not be worked out.
    """
    assert optimum.objective is not None
    best, found, missed = optimum.objective, [], 0

    def saved(demand: Demand, factor: float) -> float | None:
        other = _solved(instance, {demand: factor}, again, clock)
        if other is None or other.status is not Status.OPTIMAL or other.objective is None:
            return None
        return best - other.objective if best - other.objective > SAME * best else 0.0

    for demand in demands(instance):
        without = saved(demand, GONE)
        eased = saved(demand, EASED) if demand.eases and without != 0.0 else None
        missed += without is None
        if without != 0.0:
            found.append(DemandValue(demand, eased, without))
    if missed:
        notes.append(f"what {missed:,} of the demands cost is not known: unknown times, or no time left")
    return sorted(found, key=lambda value: -(value.saved_without or 0.0))


def clash(
    instance: Instance,
    again: Callable[..., Result],
    clock: Clock,
    pins: Sequence[str] = (),
    bans: Sequence[str] = (),
) -> Clash | None:
    """Find demands of an infeasible instance that cannot hold together, none of them superfluous.

    Returns
    -------
    Clash or None
        None where no placement has all the links that it needs: no demand is to blame.
    """
    every = demands(instance, pins, bans)
    unsure = False

    def impossible(kept: list[Demand]) -> bool:
        nonlocal unsure
        gone = dict.fromkeys((one for one in every if one not in kept), GONE)
        result = _solved(instance, gone, again, clock, kept)
        unsure |= result is None or result.status not in (Status.INFEASIBLE, Status.OPTIMAL, Status.FEASIBLE)
        return result is not None and result.status is Status.INFEASIBLE

    if impossible([]):
        return None
    return Clash(tuple(smallest_conflict(every, impossible)), not unsure)


def _solved(
    instance: Instance,
    factors: dict[Demand, float],
    again: Callable[..., Result],
    clock: Clock,
    kept: Sequence[Demand] = (),
) -> Result | None:
    """Solve a variant; None where it is no valid instance, the method does not take it, or time is up."""
    if clock.left <= 0:
        return None
    texts = {kind: [str(dict(d.where)["text"]) for d in kept if d.kind == kind] for kind in ("pin", "ban")}
    try:
        pinned = {d: f for d, f in factors.items() if d.kind not in texts}
        return again(changed(instance, pinned), texts["pin"], texts["ban"], clock)
    except (InstanceError, InputError):
        return None
