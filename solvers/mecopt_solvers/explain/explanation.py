"""What an explanation consists of, and its plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mecopt.instance import Instance
from mecopt.judge import Evaluation
from mecopt.placements import placement_lists
from mecopt_solvers.explain.conflict import Conflict, Relaxation
from mecopt_solvers.explain.deadlines import DeadlineValue, TaskRelaxation
from mecopt_solvers.explain.forced import ForcedChoice
from mecopt_solvers.explain.limits import ExplainedLimit
from mecopt_solvers.explain.paths import Alternative
from mecopt_solvers.explain.solved_again import Clash, DemandValue
from mecopt_solvers.explain.spending import Spending

FORMAT = "mecopt-explanation/1"


@dataclass(frozen=True)
class Load:
    """How full a server is that its calculations share.

    Parameters
    ----------
    where : dict
        Slot and node.
    load : float
        Seconds of calculation as a fraction of the slot.
    longer : float or None
        Factor by which every calculation there takes longer; None above the largest load.
    """

    where: dict[str, int | str]
    load: float
    longer: float | None


@dataclass(frozen=True)
class Busiest:
    """What makes the period of a slot.

    Parameters
    ----------
    where : dict
        Slot, and node, device, radio (of a device) or from and to (of a wired link).
    busy_s : float
        Seconds.
    """

    where: dict[str, int | str]
    busy_s: float


@dataclass(frozen=True)
class Infeasibility:
    """Why no placement is feasible.

    Parameters
    ----------
    reasons : tuple of dict
        One for every task that no placement can serve, or the method's own; each with a `message`.
    tasks : tuple of TaskRelaxation
        What would let such tasks be placed.
    conflict : Conflict or None
        Limits that cannot hold together.
    relaxation : Relaxation or None
        The least that would have to give way.
    clash : Clash or None
        Demands of the wider model among others that cannot hold together.
    """

    reasons: tuple[dict[str, Any], ...] = ()
    tasks: tuple[TaskRelaxation, ...] = ()
    conflict: Conflict | None = None
    relaxation: Relaxation | None = None
    clash: Clash | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        conflict, relaxation = self.conflict, self.relaxation
        return {
            "reasons": list(self.reasons),
            "tasks": [{name: _lists(value) for name, value in vars(task).items()} for task in self.tasks],
            "conflict": None
            if conflict is None
            else {
                "limits": [limit.to_dict() for limit in conflict.limits],
                "irreducible": conflict.irreducible,
                "tasks": list(conflict.tasks),
            },
            "clash": None if self.clash is None else self.clash.to_dict(),
            "relaxation": None
            if relaxation is None
            else {
                "violations": [vars(violation) for violation in relaxation.violations],
                "cost": relaxation.cost,
                "bound": relaxation.bound,
                "least": relaxation.least,
                "placement": [[n for n in row if n >= 0] for row in relaxation.placement.tolist()],
            },
        }


@dataclass(frozen=True, eq=False)
class Explanation:
    """What there is to say about an instance and one placement of it.

    Parameters
    ----------
    instance : Instance
    source : str
        Where the placement comes from: a method's name, or "given".
    status : {"optimal", "feasible", "violating", "infeasible", "unknown"}
    evaluation : Evaluation or None
        The judge's account of the placement.
    lower_bound : float or None
        A proved lower bound on the optimum.
    spending : Spending or None
    limits : tuple of Limit
        Every shared limit, with use and price.
    deadlines : tuple of Limit
        Deadlines that the placement meets within 0.1 %, or misses.
    deadline_values : tuple of DeadlineValue
        Deadlines without which the optimum, couplings ignored, would be smaller.
    demand_values : tuple of DemandValue
        Of an instance that uses the wider model: demands without which the optimum would be smaller.
    loads : tuple of Load
        Of servers that share their time.
    busiest : tuple of Busiest
        Where the period is minimised: what makes it, slot by slot.
    alternatives : tuple of Alternative
    forced : ForcedChoice or None
    infeasibility : Infeasibility or None
    notes : tuple of str
        What was left out, and why.
    """

    instance: Instance
    source: str
    status: str
    evaluation: Evaluation | None
    lower_bound: float | None
    spending: Spending | None = None
    limits: tuple[ExplainedLimit, ...] = ()
    deadlines: tuple[ExplainedLimit, ...] = ()
    deadline_values: tuple[DeadlineValue, ...] = ()
    demand_values: tuple[DemandValue, ...] = ()
    loads: tuple[Load, ...] = ()
    busiest: tuple[Busiest, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    forced: ForcedChoice | None = None
    infeasibility: Infeasibility | None = None
    notes: tuple[str, ...] = ()

    @property
    def objective(self) -> float | None:
        """Objective of the placement; None unless it is feasible."""
        return None if self.evaluation is None else self.evaluation.objective

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        judged = self.evaluation
        return {
            "format": FORMAT,
            "instance": self.instance.name,
            "instance_sha256": self.instance.sha256,
            "source": self.source,
            "status": self.status,
            "objective": self.objective,
            "lower_bound": self.lower_bound,
            "violations": [] if judged is None else [vars(violation) for violation in judged.violations],
            "spending": None if self.spending is None else self.spending.to_dict(),
            "limits": [limit.to_dict() for limit in self.limits],
            "deadlines": [limit.to_dict() for limit in self.deadlines],
            "deadline_values": [vars(value) for value in self.deadline_values],
            "demand_values": [value.to_dict() for value in self.demand_values],
            "loads": [vars(load) for load in self.loads],
            "busiest": [vars(one) for one in self.busiest],
            "alternatives": [alternative.to_dict() for alternative in self.alternatives],
            "forced": None if self.forced is None else self.forced.to_dict(),
            "infeasibility": None if self.infeasibility is None else self.infeasibility.to_dict(),
            "notes": list(self.notes),
            "placement": None if judged is None else placement_lists(judged.placement, judged.instance),
        }


def _lists(value: Any) -> Any:
    """Turn tuples into lists."""
    return [_lists(part) for part in value] if isinstance(value, tuple) else value
