"""What cannot be: a proof that nothing is feasible, or a bound, against a placement that was judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt.tolerances import LARGEST_NEGATIVE_GAP, SMALLEST_REFERENCE

if TYPE_CHECKING:
    import pandas as pd

STORE = "the store of best-known values"


def contradictions(runs: pd.DataFrame) -> pd.Series[Any]:
    """Return for every run what contradicts it, in words; None for most.

    Parameters
    ----------
    runs : DataFrame
        With the columns of `Comparison.runs`.
    """
    import pandas as pd

    known = runs["best_known"].astype(float)
    false = (runs["status"] == "infeasible") & known.notna()
    wrong = false | _lies_above(runs["lower_bound"], known)
    found: list[str | None] = [None] * len(runs)
    best = _best_of_runs(runs) if wrong.any() else {}
    rows = zip(runs["instance_sha256"], known, runs["lower_bound"], false, wrong, strict=True)
    for i, (sha256, stored, bound, is_false, is_wrong) in enumerate(rows):
        if not is_wrong:
            continue
        value, who = best.get(sha256, (stored, STORE))
        if is_false:
            found[i] = f"says infeasible, but {who} has a feasible placement of {value!r}: the proof is wrong"
            continue
        if not _lies_above(bound, value):
            value, who = stored, STORE
        found[i] = f"its bound {bound!r} lies above {value!r}, found by {who}: one of them is wrong"
    return pd.Series(found, index=runs.index, dtype=object)


def _lies_above(bound: Any, value: Any) -> Any:
    """Say whether a bound lies above a value by more than rounding, as `mecopt.result.gap` counts it."""
    return value - bound < -LARGEST_NEGATIVE_GAP * np.maximum(np.abs(bound), SMALLEST_REFERENCE)


def _best_of_runs(runs: pd.DataFrame) -> dict[str, tuple[float, str]]:
    """Return the best value of every instance, and which run found it, the first one of several."""
    placed = runs[runs["objective"].notna()].sort_values("objective", kind="stable")
    rows = zip(placed["instance_sha256"], placed["objective"], placed["method"], placed["seed"], strict=True)
    best: dict[str, tuple[float, str]] = {}
    for sha256, value, method, seed in rows:
        best.setdefault(sha256, (value, f"{method} (seed {seed})"))
    return best


def lines(runs: pd.DataFrame, found: pd.Series[Any]) -> list[str]:
    """Return one line for every run that is contradicted."""
    wrong = runs[found.notna()]
    rows = zip(wrong["instance"], wrong["method"], wrong["seed"], found[found.notna()], strict=True)
    return [f"{instance}: {method} (seed {seed}): {text}" for instance, method, seed, text in rows]
