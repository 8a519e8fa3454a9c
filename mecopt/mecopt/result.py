"""What a solve returns: what was found, how good it is proved to be, and why it stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt import objective, schedule
from mecopt._version import __version__
from mecopt.arrays import Ints
from mecopt.errors import DisagreementError
from mecopt.files import write_bytes
from mecopt.instance import WIDER_FORMAT, Instance
from mecopt.judge import Evaluation
from mecopt.placements import placement_lists, placement_text
from mecopt.stop import StopReason
from mecopt.tolerances import LARGEST_NEGATIVE_GAP, OPTIMALITY_TOLERANCE, excess

if TYPE_CHECKING:
    import pandas as pd

SOLUTION_FORMATS = ("mecopt-solution/1", "mecopt-solution/2")


class Status(StrEnum):
    """What was found; why it stopped is `Result.stopped_by`."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    VIOLATING = "violating"
    INFEASIBLE = "infeasible"
    UNKNOWN = "unknown"


def gap(objective: float | None, lower_bound: float | None) -> float | None:
    """Return (objective - bound) / max(|bound|, 1e-12), a fraction; None where one of them is missing.

    Raises
    ------
    DisagreementError
        If the bound lies above the objective by more than rounding.
    """
    if objective is None or lower_bound is None:
        return None
    value = excess(objective, lower_bound)
    if value < -LARGEST_NEGATIVE_GAP:
        raise DisagreementError(f"the bound {lower_bound!r} lies above the objective {objective!r}")
    return max(value, 0.0)


@dataclass(frozen=True, eq=False)
class Result:
    """The outcome of one method on one instance; None where something is missing, never 0.

    Attributes
    ----------
    status : Status
    objective : float or None
        What is minimised, in seconds unless the rules weigh joules; None unless a feasible placement was
        found.
    lower_bound : float or None
        A proved lower bound on the optimum, in the same unit.
    gap : float or None
        (objective - lower_bound) / lower_bound, a fraction.
    evaluation : Evaluation or None
        The judge's account of the placement.
    reasons : tuple of dict
        Why no placement is feasible, for status ``infeasible``.
    trace : tuple of (seconds, objective or None, bound or None)
    """

    instance: Instance
    method: str
    status: Status
    evaluation: Evaluation | None
    lower_bound: float | None
    stopped_by: StopReason | None
    runtime_s: float
    seed: int
    options: Mapping[str, Any]
    reasons: tuple[dict[str, Any], ...] = ()
    repairs: int = 0
    trace: tuple[tuple[float, float | None, float | None], ...] = ()

    @property
    def objective(self) -> float | None:
        """What is minimised."""
        return None if self.evaluation is None else self.evaluation.objective

    @property
    def gap(self) -> float | None:
        """Gap to the bound, a fraction."""
        return gap(self.objective, self.lower_bound)

    @property
    def placement(self) -> Ints | None:
        """Node of every block, (tasks, longest model), -1 behind the end of shorter models."""
        return None if self.evaluation is None else self.evaluation.placement

    def to_dict(self) -> dict[str, Any]:
        """Return the plain values of format ``mecopt-solution/1``, or /2 where the instance's is."""
        judged = self.evaluation
        lists = None if judged is None else placement_lists(judged.placement, judged.instance)
        return {**self._but_the_long(), "placement": lists, **self._schedule()}

    def _but_the_long(self) -> dict[str, Any]:
        """Return the fields that have no row a task."""
        judged = self.evaluation
        delays = ("total_delay_s", "edge_delay_s", "local_delay_s", "deadline_excess_s")
        sums = (*delays, "energy_j", "device_energy_j")
        wider = self.instance.format == WIDER_FORMAT
        return {
            "format": SOLUTION_FORMATS[wider],
            "instance": self.instance.name,
            "instance_sha256": self.instance.sha256,
            "method": self.method,
            "mecopt_version": __version__,
            "seed": self.seed,
            "options": dict(self.options),
            "status": self.status.value,
            "stopped_by": None if self.stopped_by is None else self.stopped_by.value,
            "objective": self.objective,
            "lower_bound": self.lower_bound,
            "gap": self.gap,
            "optimality_tolerance": OPTIMALITY_TOLERANCE,
            **{name: None if judged is None else getattr(judged, name) for name in sums},
            "violations": [] if judged is None else [vars(violation) for violation in judged.violations],
            "reasons": list(self.reasons),
            "repairs": self.repairs,
            "runtime_s": self.runtime_s,
            "trace": [list(point) for point in self.trace],
        }

    def _schedule(self) -> dict[str, Any]:
        """Return what only the wider format has."""
        wider = self.instance.format == WIDER_FORMAT
        return schedule.account(self.instance, self.evaluation) if wider else {}

    def to_json(self) -> str:
        """Return the solution as JSON text, placement and schedule one task a line."""
        document, judged = {**self._but_the_long(), **self._schedule()}, self.evaluation
        long = {"schedule": _lines(document.pop("schedule"))} if "schedule" in document else {}
        long["placement"] = "null" if judged is None else placement_text(judged.placement, judged.instance)
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)[:-2]
        for name, lines in long.items():
            text += f',\n "{name}": {lines}'
        return f"{text}\n}}\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the solution file, whole or not at all."""
        write_bytes(path, self.to_json().encode())

    def to_frame(self) -> pd.DataFrame:
        """Return one row a block: where it runs, its transfer, calculation, deadline excess and energy."""
        import pandas as pd

        if self.evaluation is None:
            return pd.DataFrame(columns=["task", "slot", "block", "node"])
        judged = self.evaluation
        task, block = np.nonzero(judged.placement >= 0)
        steps = judged.steps
        columns = {
            "trans_s": steps.trans_s,
            "calc_s": steps.calc_s,
            "excess_s": steps.excess_s,
            "energy_j": steps.energy_j,
        }
        return pd.DataFrame(
            {
                "task": task,
                "slot": self.instance.tasks.slot[task],
                "block": block,
                "node": judged.placement[task, block],
                **{name: values[task, block] for name, values in columns.items()},
            }
        )

    def phases_to_frame(self) -> pd.DataFrame:
        """Return one row a task and phase: its passes, and the seconds that all of them take.

        A model without phases has one, ``pass``; a task that is left out has no rows.
        """
        import pandas as pd

        columns = ["task", "phase", "repeat", "delay_s"]
        if self.evaluation is None:
            return pd.DataFrame(columns=columns)
        rows = []
        for p, found in enumerate(self.evaluation.phases):
            for number, model in enumerate(self.instance.models):
                if p < len(model.phases):
                    mine = (self.instance.tasks.model == number) & ~self.evaluation.dropped
                    phase, task = model.phases[p], np.flatnonzero(mine)
                    values = (task, phase.name, phase.repeat, found.task_delay_s[task])
                    rows.append(pd.DataFrame(dict(zip(columns, values, strict=True))))
        frame = pd.concat(rows, ignore_index=True)
        return frame.sort_values("task", kind="stable", ignore_index=True)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: what was found, how good it is, and which nodes are used."""
        from mecopt.drawing.html import of_result

        return of_result(self)

    def __repr__(self) -> str:
        unit = f" {objective.unit(self.instance)}".rstrip()
        worth = "none" if self.objective is None else f"{self.objective:.6g}{unit}"
        proved = "no gap" if self.gap is None else f"gap {self.gap:.3%}"
        return f"<Result {self.status} by {self.method}: {worth}, {proved}>"


def _lines(rows: list[Any] | None) -> str:
    """Write a list as JSON, a line for each of its members."""
    if rows is None:
        return "null"
    each = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
    return "[\n  " + ",\n  ".join(each) + "\n ]"
