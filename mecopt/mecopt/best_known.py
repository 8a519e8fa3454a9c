"""The best-known store: for every instance the best objective and bound, who found them, and when.

One JSON file, keyed by the SHA-256 of the instances. A figure is replaced only by a better one that the
judge has confirmed, so the store never gets worse. Processes that improve one file at the same time take
turns.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from mecopt._version import __version__
from mecopt.errors import DisagreementError, InputError, InstanceError
from mecopt.files import read_bytes, write_bytes
from mecopt.locks import FileLock
from mecopt.repeated import repeated_keys
from mecopt.result import Result, Status, gap
from mecopt.schema import parse
from mecopt.schema_docs import STRICT
from mecopt.tolerances import OPTIMALITY_TOLERANCE, scale

if TYPE_CHECKING:
    from mecopt.instance import Instance
    from mecopt.judge import Evaluation

FORMAT = "mecopt-best-known/1"
LOCK = ".best-known.lock"  # beside the file

# A figure must be better by this much to replace another, so that rounding does not rewrite the file.
LEAST_GAIN = 1e-9


@dataclass(frozen=True)
class Entry:
    """What is known of one instance; None where something is missing.

    Parameters
    ----------
    instance : str
        Its name; its identity is the key in the store.
    objective, lower_bound : float or None
        Seconds.
    method, bound_method : str or None
        The methods that found the one and proved the other.
    version, date : str
        Release of mecopt and day (ISO 8601) of the last improvement.
    infeasible : bool
        Whether it is proved that no placement is feasible.
    """

    instance: str
    objective: float | None = None
    lower_bound: float | None = None
    method: str | None = None
    bound_method: str | None = None
    version: str = __version__
    date: str = dataclasses.field(default_factory=lambda: datetime.date.today().isoformat())
    infeasible: bool = False

    @property
    def gap(self) -> float | None:
        """Gap between objective and bound, a fraction."""
        return gap(self.objective, self.lower_bound)

    @property
    def status(self) -> Status:
        """What is known, in the words of a result."""
        if self.infeasible:
            return Status.INFEASIBLE
        if self.objective is None:
            return Status.UNKNOWN
        closed = self.gap is not None and self.gap <= OPTIMALITY_TOLERANCE
        return Status.OPTIMAL if closed else Status.FEASIBLE

    @classmethod
    def of_result(cls, result: Result) -> Entry:
        """Return what a result shows; its objective is the judge's already."""
        return cls(
            instance=result.instance.name,
            objective=result.objective,
            lower_bound=result.lower_bound,
            method=None if result.objective is None else result.method,
            bound_method=None if result.lower_bound is None else result.method,
            infeasible=result.status is Status.INFEASIBLE,
        )

    @classmethod
    def of_evaluation(cls, judged: Evaluation, method: str | None) -> Entry:
        """Return what a judged placement shows: no bound, and nothing at all if it violates a limit."""
        found = judged.objective is not None
        return cls(judged.instance.name, judged.objective, method=method if found else None)

    def merged(self, new: Entry) -> Entry:
        """Return this entry with whatever is better in the new one; itself if nothing is.

        Raises
        ------
        DisagreementError
            If a bound lies above an objective, or an instance called infeasible has a feasible placement.
        """
        changes: dict[str, Any] = {}
        if _below(new.objective, self.objective):
            changes |= {"objective": new.objective, "method": new.method}
        if _below(self.lower_bound, new.lower_bound, missing_is_worse=True):
            changes |= {"lower_bound": new.lower_bound, "bound_method": new.bound_method}
        if new.infeasible and not self.infeasible:
            nothing = dict.fromkeys(("objective", "lower_bound", "method", "bound_method"))
            changes |= {**nothing, "infeasible": True}
        infeasible = new.infeasible or self.infeasible
        if infeasible and (self.objective is not None or new.objective is not None):
            raise DisagreementError(f"{self.instance}: called infeasible, but a feasible placement is known")
        if not changes or (self.infeasible and not new.infeasible):
            return self
        both = dataclasses.replace(self, instance=new.instance, version=new.version, date=new.date, **changes)
        return both.checked()

    def checked(self) -> Entry:
        """Return the entry with a bound that is above the objective by rounding alone set to it.

        Raises
        ------
        DisagreementError
            If the bound lies above the objective by more than that.
        """
        if self.gap != 0.0 or self.lower_bound == self.objective:
            return self
        return dataclasses.replace(self, lower_bound=self.objective)


def _below(value: float | None, other: float | None, *, missing_is_worse: bool = False) -> bool:
    """Whether a value is below another by more than rounding."""
    if missing_is_worse and value is None:
        return other is not None
    if value is None or other is None:
        return value is not None and not missing_is_worse
    return other - value > LEAST_GAIN * scale(other)


class _EntryDoc(BaseModel):
    model_config = STRICT

    instance: str
    objective: float | None
    lower_bound: float | None
    gap: float | None
    status: Literal["optimal", "feasible", "infeasible", "unknown"]
    method: str | None
    bound_method: str | None
    version: str
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]


class _StoreDoc(BaseModel):
    model_config = ConfigDict(**STRICT, title=FORMAT)

    format: Literal["mecopt-best-known/1"]
    entries: dict[Annotated[str, Field(pattern="^[0-9a-f]{64}$")], _EntryDoc]


_STORE: TypeAdapter[_StoreDoc] = TypeAdapter(_StoreDoc)


class Store:
    """The entries by the SHA-256 of their instance.

    Parameters
    ----------
    entries : dict of str to Entry, optional
    """

    def __init__(self, entries: dict[str, Entry] | None = None) -> None:
        self.entries = dict(entries or {})

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, missing_ok: bool = False) -> Store:
        """Read a store; with `missing_ok` a file that does not exist is an empty one.

        Raises
        ------
        InputError
            If the file cannot be read or is not a store.
        """
        if missing_ok and not Path(path).exists():
            return cls()
        data = read_bytes(path)
        try:
            doc: _StoreDoc = parse(_STORE, data)
        except InstanceError as error:
            raise InputError(error.problems, str(path)) from None
        repeated = repeated_keys(data, doc)
        if repeated:
            raise InputError(repeated, str(path))
        entries = {}
        for sha256, row in doc.entries.items():
            fields = row.model_dump(exclude={"gap", "status"})
            entries[sha256] = Entry(**fields, infeasible=row.status == "infeasible")
            _check_entry(entries[sha256], f"entries.{sha256}", str(path))
        return cls(entries)

    def get(self, instance: Instance) -> Entry | None:
        """Return what is known of an instance."""
        return self.entries.get(instance.sha256)

    def improve(self, sha256: str, new: Entry) -> bool:
        """Take over whatever is better in the new entry, and say whether anything was."""
        old = self.entries.get(sha256)
        if old is None:
            known = new.infeasible or new.objective is not None or new.lower_bound is not None
            if known:
                self.entries[sha256] = new.checked()
            return known
        self.entries[sha256] = old.merged(new)
        return self.entries[sha256] is not old

    def to_dict(self) -> dict[str, Any]:
        """Return the plain values of the file, sorted by name."""
        rows = sorted(self.entries.items(), key=lambda item: (item[1].instance, item[0]))
        return {"format": FORMAT, "entries": {sha256: entry_dict(entry) for sha256, entry in rows}}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the store, whole or not at all."""
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        write_bytes(path, f"{text}\n".encode())


def _check_entry(entry: Entry, place: str, path: str) -> None:
    """Refuse an entry that contradicts itself."""
    if entry.infeasible and (entry.objective is not None or entry.lower_bound is not None):
        raise InputError(f"{place}: infeasible, expected neither objective nor bound", path)
    try:
        datetime.date.fromisoformat(entry.date)
        entry.checked()
    except ValueError as error:
        raise InputError(f"{place}.date: {error}", path) from None
    except DisagreementError as error:
        raise InputError(f"{place}: {error}", path) from None


@dataclass(frozen=True)
class Change:
    """What became of what is known of one instance."""

    before: Entry | None
    after: Entry | None
    improved: bool


def improve_file(
    path: str | os.PathLike[str],
    found: Iterable[tuple[str, Iterable[Entry]]],
    on_wait: Callable[[], None] = lambda: None,
) -> list[Change]:
    """Take over into a file, which may not exist yet, whatever is better; a change for each instance.

    The file is read anew while no other process may write it, so that none loses what another has found.

    Parameters
    ----------
    path : path
    found : iterable of (str, iterable of Entry)
        The SHA-256 of an instance, and what was found of it.
    on_wait : callable, optional
        Called once when another process keeps this one waiting.

    Raises
    ------
    InputError
        If the file cannot be read, is not a store, or nothing can be written in its folder.
    DisagreementError
        If an entry contradicts what is known; nothing is taken over then.
    """
    lock = FileLock(Path(path).parent / LOCK)
    lock.wait_alone(on_wait)
    try:
        known = Store.load(path, missing_ok=True)
        changes = []
        for sha256, entries in found:
            before = known.entries.get(sha256)
            improved = [known.improve(sha256, entry) for entry in entries]
            changes.append(Change(before, known.entries.get(sha256), any(improved)))
        if any(change.improved for change in changes):
            known.save(path)
    finally:
        lock.release()
    return changes


def entry_dict(entry: Entry) -> dict[str, Any]:
    """Return an entry as the plain values of the file."""
    return {
        "instance": entry.instance,
        "objective": entry.objective,
        "lower_bound": entry.lower_bound,
        "gap": entry.gap,
        "status": entry.status.value,
        "method": entry.method,
        "bound_method": entry.bound_method,
        "version": entry.version,
        "date": entry.date,
    }
