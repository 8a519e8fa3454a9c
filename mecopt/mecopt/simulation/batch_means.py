"""What a run says: warm-up cut, intervals by batch means, and whether there is a long run at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mecopt.arrays import Floats
from mecopt.simulation.engine import BATCHES, StreamRun, node_shares
from mecopt.simulation.world import World

GROUP = 5  # of MSER-5
LEAST_TASKS = 200
QUANTILES = {"p50_s": 0.5, "p95_s": 0.95, "p99_s": 0.99}
# Two-sided 95 % points of Student's t by degrees of freedom; beyond 30 the normal's, corrected.
T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True)
class MeanEstimate:
    """A figure with its 95 % interval; None where there are too few values for one."""

    value: float
    low: float | None
    high: float | None

    def as_list(self) -> list[float | None]:
        """Return value, low, high."""
        return [self.value, self.low, self.high]


def student(freedom: int) -> float:
    """Return the two-sided 95 % point of Student's t."""
    return T95[freedom - 1] if freedom <= len(T95) else 1.959964 + 2.3723 / freedom


def estimate(values: Floats, value: float | None = None) -> MeanEstimate:
    """Return the mean of independent values (or `value` instead of it) with its 95 % interval."""
    centre = float(np.mean(values)) if value is None else value
    if len(values) < 2:
        return MeanEstimate(centre, None, None)
    half = student(len(values) - 1) * float(np.std(values, ddof=1)) / np.sqrt(len(values))
    return MeanEstimate(centre, centre - half, centre + half)


def warm_up(values: Floats) -> int:
    """Return how many first values to leave out, by MSER-5 (White, Cobb and Spratt 2000).

    Means of five consecutive values are formed; of these the first d are left out, the d that makes the
    variance of the rest divided by their number least, among the first half.
    """
    groups = len(values) // GROUP
    if groups < 2:
        return 0
    means = values[: groups * GROUP].reshape(groups, GROUP).mean(axis=1)
    means = means - means.mean()  # or squares would cancel
    left = groups - np.arange(groups)
    total = np.cumsum(means[::-1])[::-1]
    squares = np.cumsum((means**2)[::-1])[::-1]
    error = (squares - total**2 / left) / left.astype(np.float64) ** 2
    return int(np.argmin(error[: groups // 2 + 1])) * GROUP


def batch_rows(values: Floats) -> Floats:
    """Return the values as `BATCHES` rows; the first are left out where they do not fit."""
    each = len(values) // BATCHES
    return values[len(values) - each * BATCHES :].reshape(BATCHES, each)


def stability(offered_s: Floats, spans_s: Floats) -> tuple[str, MeanEstimate, int]:
    """Say whether every resource can do what it was given in the long run.

    The work that tasks of a batch gave a resource, by the seconds in which they came, is its offered
    utilisation; its 95 % interval over the batches tells.

    Parameters
    ----------
    offered_s : array (B, R)
    spans_s : array (B,)
        Seconds in which the tasks of each batch came.

    Returns
    -------
    status : {"stable", "unsure", "unstable"}
        "unstable" when the interval of some resource lies above 1 whole, "unsure" when one reaches 1.
    worst : Estimate
        Of the resource whose interval reaches highest.
    resource : int
    """
    used = offered_s.sum(axis=0) / spans_s.sum()
    deviation = (offered_s - used * spans_s[:, None]) / spans_s.mean()
    half = student(len(spans_s) - 1) * deviation.std(axis=0, ddof=1) / np.sqrt(len(spans_s))
    worst = int(np.argmax(used + half))
    at = MeanEstimate(float(used[worst]), float((used - half)[worst]), float((used + half)[worst]))
    if ((used - half) > 1.0).any():
        return "unstable", at, worst
    return ("stable" if (used + half).max() < 1.0 else "unsure"), at, worst


def summary(world: World, run: StreamRun, time_s: Floats, task: Any, size: Floats) -> dict[str, Any]:
    """Return the figures of a run as plain values; each estimate is value, low, high.

    Everything but utilisation and stability is of the tasks behind the warm-up.
    """
    first = warm_up(run.delay_s)
    kept = slice(first, None)
    delay, rows = run.delay_s[kept], batch_rows(run.delay_s[kept])
    out: dict[str, Any] = {"mean_s": estimate(rows.mean(axis=1), float(delay.mean())).as_list()}
    for name, q in QUANTILES.items():
        out[name] = estimate(np.quantile(rows, q, axis=1), float(np.quantile(delay, q))).as_list()
    limit = world.limit_s[task[kept]]
    misses: list[float | None] | None = None
    if np.isfinite(limit).any():
        late = (delay > limit).astype(np.float64)
        misses = estimate(batch_rows(late).mean(axis=1), float(late.mean())).as_list()
    out["deadline_misses"] = misses
    energy = run.energy_j[kept]
    out["energy_j"] = estimate(batch_rows(energy).mean(axis=1), float(energy.mean())).as_list()
    out["waiting_s"] = float((delay - run.unloaded_s[kept]).mean())
    ends = (np.arange(1, BATCHES + 1) * len(time_s) + BATCHES - 1) // BATCHES  # first task of the next batch
    spans = np.diff(time_s[np.minimum(ends, len(time_s) - 1)], prepend=0.0)
    status, worst, resource = stability(run.offered_s, spans)
    late_start = first >= len(run.delay_s) // 2 - GROUP
    if status == "stable" and late_start:  # MSER's own sign that the start reaches over half of the run
        status = "unsure"
    used = run.offered_s.sum(axis=0) / spans.sum()
    servers, devices = world.servers, world.devices
    out |= {
        "status": status,
        "warm_up_tasks": first,
        "busiest": [world.resource_names[resource], *worst.as_list()],
        "utilisation": {name: float(used[n]) for n, name in enumerate(world.resource_names[:servers])},
        "device_utilisation": [
            float(used[servers : servers + devices].mean()),
            float(used[servers : servers + devices].max()),
        ],
        "radio_utilisation": [
            float(used[servers + devices :].mean()),
            float(used[servers + devices :].max()),
        ],
        "node_share": [float(share) for share in node_shares(run.nodes[kept], servers)],
        "all_mean_s": float(run.delay_s.mean()),
        "tasks": len(run.delay_s),
        "events": run.events,
        "cpu_s": run.cpu_s,
    }
    return out
