"""A comparison as its readers see it: the table of runs, and the details behind each."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecopt.comparing import database, stored_solution
from mecopt.comparing.contradictions import STORE, contradictions, lines
from mecopt.comparing.soundness import points, shares
from mecopt.comparing.store_reader import StoreReader
from mecopt.errors import InputError
from mecopt.tolerances import LARGEST_NEGATIVE_GAP, SMALLEST_REFERENCE

if TYPE_CHECKING:
    import pandas as pd

    from mecopt.instance import Instance

Trace = list[tuple[float, float | None, float | None]]

COLUMNS = [
    *(
        "run",
        "instance",
        "instance_sha256",
        "method",
        "options",
        "fingerprint",
        "seed",
        "status",
        "stopped_by",
        "error",
    ),
    "contradiction",
    *("objective", "lower_bound", "gap", "best_bound", "best_known", "gap_to_best_bound"),
    *("excess_over_best_known", "total_delay_s", "edge_delay_s", "local_delay_s", "deadline_excess_s"),
    *("energy_j", "violations", "violation_kinds", "repairs", "cpu_s", "wall_s", "peak_memory_bytes"),
    *("time_limit_s", "threads", "mecopt_version", "started", "host"),
]
INSTANCE_COLUMNS = [
    *(
        "instance",
        "instance_sha256",
        "tasks",
        "slots",
        "devices",
        "servers",
        "blocks",
        "couplings",
        "deadline",
    ),
    *("local_share", "one_server_share", "mixed_share", "trellis_bound"),
]
TEXTS = ("stopped_by", "error", "violation_kinds", "mecopt_version", "started", "host")


class Comparison:
    """What is in the folder of a comparison, read only; `Comparison.open` makes one.

    Runs that are not finished yet are left out; `pending` counts them.
    """

    def __init__(self, path: Path, known: dict[str, Any]) -> None:
        self.path = path
        self._store = StoreReader(path)
        self._known = known

    @classmethod
    def open(
        cls, folder: str | os.PathLike[str], *, best_known: str | os.PathLike[str] | None = None
    ) -> Comparison:
        """Open the folder of a comparison; runs may be added to it meanwhile.

        Parameters
        ----------
        folder : path
        best_known : path, optional
            The store of best-known values to join in; by default instances/best_known.json, or else the one
            that comes with mecopt.

        Raises
        ------
        InputError
            If there is no comparison, or its store is cut short, no database or of another format.
        """
        from mecopt import sources
        from mecopt.best_known import Store

        path = Path(folder) / database.FILE
        if not Path(folder).is_dir():
            raise InputError("no such folder, expected the output of `mecopt compare`", str(folder))
        if not path.is_file():
            raise InputError(
                f"no {database.FILE} in it, expected the output of `mecopt compare`", str(folder)
            )
        known = Store.load(best_known or sources.store(), missing_ok=best_known is None)
        with database.explained(path):
            return cls(path, dict(known.entries))

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row a finished run; best bound and best known value over all methods are joined in.

        Of every method with its options, the runs of the code that was compared last; `outdated` has others.
        """
        return self._finished("=")

    @cached_property
    def outdated(self) -> pd.DataFrame:
        """The runs of earlier code of the methods, in the same columns; they bear on nothing in `runs`."""
        return self._finished("!=")

    def _finished(self, code: str) -> pd.DataFrame:
        """Return the finished runs of the code compared last ("="), or those of other code ("!=")."""
        import pandas as pd

        own = [name for name in COLUMNS if name not in _JOINED]
        query = (
            f"SELECT {', '.join('runs.' + name for name in own)}, instances.instance FROM runs "
            "JOIN instances USING (instance_sha256) JOIN (SELECT method, options, fingerprint AS latest, "
            "max(rowid) FROM methods GROUP BY method, options) USING (method, options) "
            f"WHERE status IS NOT NULL AND fingerprint {code} latest ORDER BY run"
        )
        frame = self._store.frame(query)
        for name in _NUMBERS:
            frame[name] = frame[name].astype("float64")
        for name in _COUNTS:
            frame[name] = frame[name].astype("Int64")
        for name in TEXTS:
            frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
        settings = self._store.meta("settings")
        frame["time_limit_s"] = np.nan if settings["time limit"] is None else settings["time limit"]
        frame["threads"] = settings["threads"]
        best = self._best(frame)
        for name in ("best_bound", "best_known"):
            frame[name] = frame["instance_sha256"].map(best[name]).astype("float64")
        frame["gap_to_best_bound"] = _excess(frame["objective"], frame["best_bound"])
        frame["excess_over_best_known"] = _excess(frame["objective"], frame["best_known"])
        frame["contradiction"] = contradictions(frame)
        return pd.DataFrame(frame[COLUMNS])

    @cached_property
    def instances(self) -> pd.DataFrame:
        """One row an instance: its size, couplings, what its free optimum looks like, and what is known."""
        frame = self._store.frame(f"SELECT {', '.join(INSTANCE_COLUMNS)} FROM instances ORDER BY rowid")
        frame["trellis_bound"] = frame["trellis_bound"].astype("float64")
        best = self._best(self.runs)
        for name in ("best_bound", "best_known"):
            frame[name] = frame["instance_sha256"].map(best[name]).astype("float64")
        return frame

    @cached_property
    def info(self) -> dict[str, Any]:
        """How it was made.

        Keys: `command` (several if it was extended, one a line), `created`, `mecopt_version`, `python`,
        `platform`, `cpu_model`, `cores`, `memory_bytes`, `versions` (of the packages that are installed),
        `methods`, `seeds`, `time_limit_s`, `gap`, `threads`, `workers`, `engine`, `isolate`, and `machines`,
        which has the same of every machine under the `host` of its runs.
        """
        settings = self._store.meta("settings")
        machines = self._store.machines()
        methods = self._store.tuples("SELECT method FROM runs GROUP BY method ORDER BY min(run)")
        ((last,),) = self._store.tuples("SELECT max(seed) FROM runs")
        return {
            "command": "\n".join(self._store.meta("commands")),
            "created": self._store.meta("created"),
            "mecopt_version": settings["mecopt version"],
            **next(iter(machines.values()), {}),
            "methods": [name for (name,) in methods],
            "seeds": (last or 0) + 1,
            "time_limit_s": settings["time limit"],
            "gap": settings["gap"],
            "threads": settings["threads"],
            **self._store.meta("conduct"),
            "machines": machines,
        }

    @property
    def pending(self) -> int:
        """Number of runs that are not finished."""
        ((count,),) = self._store.tuples("SELECT count(*) FROM runs WHERE status IS NULL")
        return int(count)

    def disagreements(self) -> list[str]:
        """Return what cannot be, a line each: a bound, or a proof of infeasibility, against a placement."""
        runs = self.runs
        told = lines(runs, runs["contradiction"])
        wrong = runs[(runs["contradiction"].notna()) & (runs["status"] != "infeasible")]
        below = (runs["gap_to_best_bound"] < -LARGEST_NEGATIVE_GAP) & ~runs["instance_sha256"].isin(
            wrong["instance_sha256"]
        )
        told += [
            f"{row.instance}: {row.method} (seed {row.seed}) found {row.objective!r}, below the bound "
            f"{row.best_bound!r} of {STORE}: one of them is wrong"
            for row in runs[below].itertuples()
        ]
        placed = runs[runs["objective"].notna()].drop_duplicates("instance_sha256")
        proved = [sha256 for sha256, entry in self._known.items() if entry.infeasible]
        return told + [
            f"{row.instance}: {STORE} says infeasible, but {row.method} (seed {row.seed}) has a feasible "
            f"placement of {row.objective!r}: the proof is wrong"
            for row in placed[placed["instance_sha256"].isin(proved)].itertuples()
        ]

    def node_share(self, run: int) -> NDArray[np.float64] | None:
        """Return the share of the tasks that run each block on each node, (blocks, nodes)."""
        text = self._store.detail(run, "node_share")
        return None if text is None else shares(text, f"run {run}: node_share", self.path)

    def node_shares(self) -> dict[int, NDArray[np.float64]]:
        """Return `node_share` of every run that has a placement."""
        return {
            run: shares(text, f"run {run}: node_share", self.path)
            for run, text in self._store.details("node_share")
        }

    def trace(self, run: int) -> Trace:
        """Return (seconds, objective or None, bound or None) of every improvement."""
        text = self._store.detail(run, "trace")
        return [] if text is None else points(text, f"run {run}: trace", self.path)

    def traces(self) -> dict[int, Trace]:
        """Return `trace` of every run that has one."""
        return {
            run: points(text, f"run {run}: trace", self.path) for run, text in self._store.details("trace")
        }

    def solution(self, run: int) -> dict[str, Any] | None:
        """Return what the run found as a document, as `Result.to_dict`; None without a result.

        Raises
        ------
        InputError
            If what is stored of the run is not as mecopt writes it.
        """
        return stored_solution.document(self._store, run)

    def instance(self, sha256: str) -> Instance:
        """Return an instance of the comparison.

        Raises
        ------
        InputError
            If there is none of that SHA-256.
        """
        return self._store.instance(sha256)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: one row a method."""
        from mecopt.drawing.html import of_comparison

        return of_comparison(self)

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def __enter__(self) -> Comparison:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _best(self, frame: pd.DataFrame) -> dict[str, dict[str, float]]:
        """Return the best bound and value of every instance: over all runs, the trellis, and the store."""
        bounds: dict[str, float] = {}
        values: dict[str, float] = {}
        trellis = self._store.tuples("SELECT instance_sha256, trellis_bound FROM instances")
        groups = frame.groupby("instance_sha256")
        found: list[tuple[Any, float | None]] = [
            *trellis,
            *groups["lower_bound"].max().items(),
            *((sha256, entry.lower_bound) for sha256, entry in self._known.items()),
        ]
        for sha256, bound in found:
            if bound is not None and bound == bound:
                bounds[sha256] = max(bound, bounds.get(sha256, -np.inf))
        found = [
            *groups["objective"].min().items(),
            *((sha256, entry.objective) for sha256, entry in self._known.items()),
        ]
        for sha256, value in found:
            if value is not None and value == value:
                values[sha256] = min(value, values.get(sha256, np.inf))
        return {"best_bound": bounds, "best_known": values}


_JOINED = {
    "instance",
    "best_bound",
    "best_known",
    "gap_to_best_bound",
    "excess_over_best_known",
    "contradiction",
    "time_limit_s",
    "threads",
}
_NUMBERS = ("objective", "lower_bound", "gap", *stored_solution.SUMS, "cpu_s", "wall_s")
_COUNTS = ("violations", "repairs", "peak_memory_bytes")


def has_begun(folder: str | os.PathLike[str]) -> bool:
    """Say whether there is a comparison in a folder, finished or not."""
    try:
        Comparison.open(folder).close()
    except InputError:
        return False
    return True


def _excess(value: pd.Series[float], reference: pd.Series[float]) -> pd.Series[float]:
    """Return what `mecopt.tolerances.excess` does of each row, rounding below 0 set to 0."""
    share = (value - reference) / reference.abs().clip(lower=SMALLEST_REFERENCE)
    return share.mask((share < 0) & (share >= -LARGEST_NEGATIVE_GAP), 0.0)
