"""What came out, as one table: a row for every scheme on every instance of every figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecopt.errors import MecoptError
from mecopt_rl.reproduce import experiments as ex
from mecopt_rl.reproduce import running as run

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

BEST_OTHER = "best other baseline"  # of those that the paper does not have, the best at each point
NUMBERS = ("objective", "total_delay_s", "edge_delay_s", "local_delay_s", "energy_j")
AT = ["figure", "setting", "sweep", "x", "network"]  # a point

# T quantiles of 97.5 % for 1 to 9 degrees of freedom; beyond, their expansion about the normal one.
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True)
class Interval:
    """Mean over seeds with its 95 % t interval; none of a single seed."""

    mean: float
    low: float | None
    high: float | None
    seeds: int


def interval(values: Sequence[float] | Floats) -> Interval:
    """Return mean and t interval of one value a seed, NaN left out."""
    own = np.asarray(values, dtype=float)
    own = own[np.isfinite(own)]
    count = len(own)
    if count < 2:
        return Interval(float(own[0]) if count else float("nan"), None, None, count)
    freedom = count - 1
    quantile = T_975[freedom - 1] if freedom <= len(T_975) else 1.96 + 2.37 / freedom
    half = quantile * float(own.std(ddof=1)) / count**0.5
    mean = float(own.mean())
    return Interval(mean, mean - half, mean + half, count)


@dataclass(frozen=True, eq=False)
class Results:
    """The results of a reproduction.

    Attributes
    ----------
    rows : DataFrame
        Columns figure, setting, sweep, x, network, seed, scheme, method, stands_for, status, objective, the
        delays [s], energy_j, excess (over the optimum's objective, a fraction), instance, policy.
    courses : dict
        (figure, setting) -> part -> label -> one `Course` a seed.
    cpu_s : dict
        CPU seconds of the trainings and of the runs.
    """

    names: tuple[str, ...]
    budget: ex.Budget
    seeds: int
    rows: pd.DataFrame
    courses: dict[tuple[str, str], dict[str, dict[str, list[run.Course]]]]
    cpu_s: dict[str, float]

    def series(
        self, figure: str, setting: str, scheme: str, column: str, sweep: str = "", network: str = ""
    ) -> tuple[list[float], Floats]:
        """Return the values of x and the column at each, (points, seeds); NaN where nothing was run."""
        name = sweep or next(iter(ex.FIGURES[figure].sweeps))
        rows = self.rows
        own = rows[
            (rows["figure"] == figure)
            & (rows["setting"] == setting)
            & (rows["sweep"] == name)
            & (rows["network"] == network)
        ]
        xs = sorted(own["x"].unique())
        table = own[own["scheme"] == scheme].pivot(index="x", columns="seed", values=column)
        return xs, table.reindex(index=xs, columns=range(self.seeds)).to_numpy(dtype=float)


def collect(folder: Path, names: tuple[str, ...], budget: ex.Budget, seeds: int) -> Results:
    """Read what the folder holds.

    Raises
    ------
    MecoptError
        If a run that has to be there failed.
    """
    import pandas as pd

    from mecopt.comparing import Comparison

    work = run.meetings(folder, names, budget, seeds)
    with Comparison.open(folder / run.RUNS) as comparison:
        runs = comparison.runs
    left = pd.DataFrame(
        {
            "figure": m.figure, "setting": m.point.setting, "sweep": m.point.sweep, "x": m.point.x,
            "network": m.point.network, "seed": m.seed, "scheme": m.scheme, "method": m.method,
            "instance": m.instance.name, "instance_sha256": m.instance.sha256,
            "options": m.options_text, "policy": Path(m.policy).parent.name if m.policy else "",
        }
        for m in work
    )  # fmt: skip
    own = runs[runs["seed"] == 0]  # the store may hold what another command added
    wanted = own[["instance_sha256", "method", "options", "status", *NUMBERS]]
    rows = left.merge(wanted, on=["instance_sha256", "method", "options"], how="left", validate="m:1")
    wrong = rows[rows["objective"].isna()]
    if len(wrong):
        first = wrong.iloc[0]
        raise MecoptError(
            f"{first['scheme']} on {first['instance']}: {first['status']}, expected a placement"
        )
    best = rows[rows["scheme"] == ex.OPTIMUM][[*AT, "seed", "objective"]]
    rows = rows.merge(best.rename(columns={"objective": "optimum"}), on=[*AT, "seed"], validate="m:1")
    rows["excess"] = (rows["objective"] / rows["optimum"] - 1.0).clip(lower=0.0)
    rows["stands_for"] = ""
    rows = pd.concat([rows, _best_other(rows)], ignore_index=True)
    kept = [*AT, "seed", "scheme", "stands_for", "method", "status", *NUMBERS, "excess", "instance", "policy"]
    courses = _courses(folder, names, budget, seeds)
    trained = [run.course(folder, job) for job in run.jobs(names, budget, seeds)]
    cpu_s = {
        "trainings": sum(one.cpu_s for one in trained if one is not None),
        "runs": float(runs["cpu_s"].sum()),
    }
    return Results(names, budget, seeds, rows[kept], courses, cpu_s)


def _best_other(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the best baseline at each point that is not the paper's."""
    own = rows[rows["scheme"].isin(ex.OTHER_BASELINES)]
    mean = own.groupby([*AT, "scheme"], sort=False)["objective"].mean().reset_index()
    best = mean.loc[mean.groupby(AT, sort=False)["objective"].idxmin(), [*AT, "scheme"]]
    found = own.merge(best, on=[*AT, "scheme"])
    return found.assign(stands_for=found["scheme"], scheme=BEST_OTHER)


def _courses(folder: Path, names: Sequence[str], budget: ex.Budget, seeds: int) -> dict[tuple[str, str], Any]:
    found: dict[tuple[str, str], Any] = {}
    for name in names:
        for setting in ex.settings(name, budget):
            parts: dict[str, dict[str, list[run.Course]]] = {}
            for part, shown in ex.curves(name, setting, budget).items():
                for label, one in shown.items():
                    made = (
                        run.course(folder, run.SeededTraining(one, run.FIRST_TRAINING + seed, budget))
                        for seed in range(seeds)
                    )
                    parts.setdefault(part, {})[label] = [each for each in made if each is not None]
            if parts:
                found[name, setting] = parts
    return found
