"""What the runs of a comparison add to the best-known values, every placement judged again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from mecopt.best_known import Entry
from mecopt.errors import DisagreementError
from mecopt.result import Status
from mecopt.tolerances import agree

if TYPE_CHECKING:
    from mecopt.comparing import Comparison
    from mecopt.instance import Instance


def found_by(comparison: Comparison) -> Iterator[tuple[Instance, list[Entry]]]:
    """Yield every instance of a comparison with what its runs found: best placement, best bound, or a proof.

    The best placement is judged again. A bound cannot be; `Store.improve` checks that it lies below
    every known objective.

    Raises
    ------
    DisagreementError
        If the judge does not confirm a placement, or its value.
    """
    for sha256, group in comparison.runs.groupby("instance_sha256", sort=False):
        instance = comparison.instance(str(sha256))
        rows: list[Any] = group.to_dict("records")
        entries = []
        for row in sorted((r for r in rows if r["objective"] == r["objective"]), key=_OBJECTIVE)[:1]:
            objective = _judged_again(comparison, instance, row["run"], row["objective"])
            entries.append((row, Entry(instance.name, objective, method=row["method"])))
        for row in sorted((r for r in rows if r["lower_bound"] == r["lower_bound"]), key=_BOUND)[-1:]:
            entry = Entry(instance.name, lower_bound=row["lower_bound"], bound_method=row["method"])
            entries.append((row, entry))
        proofs = [row for row in rows if row["status"] == Status.INFEASIBLE.value]
        entries += [(row, Entry(instance.name, infeasible=True)) for row in proofs[:1]]
        yield instance, [_dated(entry, row["mecopt_version"], row["started"]) for row, entry in entries]


_OBJECTIVE, _BOUND = itemgetter("objective"), itemgetter("lower_bound")


def _dated(entry: Entry, version: str, started: str) -> Entry:
    return dataclasses.replace(entry, version=version, date=started[:10])


def _judged_again(comparison: Comparison, instance: Instance, run: int, value: float) -> float:
    from mecopt.judge import evaluate

    solution = comparison.solution(run) or {}
    if solution.get("placement") is None:
        raise DisagreementError(f"{instance.name}: run {run} has an objective and no placement")
    judged = evaluate(instance, solution["placement"])
    if judged.objective is None or not agree(value, judged.objective):
        raise DisagreementError(
            f"{instance.name}: run {run} claims a placement of value {value!r}, the judge finds {judged!r}"
        )
    return judged.objective
