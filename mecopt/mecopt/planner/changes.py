"""What a call of a planner changes: tables of numbers, checked, and the instance that they make."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.entities import Allow
from mecopt.errors import InputError, shown
from mecopt.instance import Instance
from mecopt.planner.plan_kernels import EACH, ONE, OWN
from mecopt.scalars import EXACT, numbers, scalar, whole_numbers

NAMES = ("rates", "speeds", "deadlines", "batch", "tasks")
FLOAT = np.dtype(np.float64)


@dataclass(frozen=True, eq=False, slots=True)
class ChangeTable:
    """One table of a call: rows for each task that is planned, one for all of them, or the instance's own."""

    values: Floats  # (rows, columns), or (rows,) of batches
    whose: int

    def rows(self, chosen: Ints) -> Floats:
        """Return a row for each planned task."""
        if self.whose == OWN:
            return self.values[chosen]
        shape = (len(chosen), *self.values.shape[1:])
        return np.broadcast_to(self.values, shape) if self.whose == ONE else self.values

    def only(self, some: NDArray[np.bool_]) -> ChangeTable:
        """Return the rows of some of the planned tasks."""
        return ChangeTable(self.values[some], self.whose) if self.whose == EACH else self


def table(name: str, given: Any, columns: int, what: str) -> Floats:
    """Return numbers as rows: of one row there may be no list of rows.

    Raises
    ------
    InputError
        If they are no numbers, or not so many.
    """
    # A copy as the loop takes it, and one that stays what it was when the caller fills his array anew.
    array = np.array(given if _is_floats(given) else _floats(name, given), FLOAT, order="C")
    if array.ndim == 1 and len(array) == columns:
        array = array.reshape(1, columns)
    elif array.ndim != 2 or array.shape[1] != columns:
        shape = "one number" if array.ndim == 0 else f"shape {array.shape}"
        raise InputError(f"{name}: {shape}, expected {columns} {what}, or a row of them for each task")
    return array


def deadline_table(given: Any, blocks: int) -> Floats:
    """Return deadlines as rows: a number is one for every block, None is none."""
    if not isinstance(given, np.ndarray) or given.dtype == object:
        given = _floats("deadlines", _unlimited(given))
    if np.ndim(given) == 0:
        given = np.full(blocks, _floats("deadlines", given))
    elif np.ndim(given) == 2 and np.shape(given)[1] == 1:
        given = np.repeat(_floats("deadlines", given), blocks, axis=1)
    return table("deadlines", given, blocks, "seconds, one for each block")


def batch_column(given: Any) -> Floats:
    """Return batches as a column of floats; whether they are whole is looked at later."""
    array = _floats("batch", given)
    if array.ndim > 1:
        raise InputError(f"batch: shape {array.shape}, expected one number, or one for each task")
    column = np.array(array.reshape(-1), FLOAT)
    if (column == EXACT).any():  # some may have been rounded to that
        _check_exact(given)
    return column


def _check_exact(batch: Any) -> None:
    mixed = isinstance(batch, (list, tuple))  # numpy would make floats of whole numbers beside floats
    exact = np.array(batch, dtype=object) if mixed else np.asarray(batch)
    found = enumerate(scalar(value) for value in exact.reshape(-1).tolist())
    large = [(k, value) for k, value in found if value is not None and value > EXACT]
    if large:
        raise InputError(f"batch[{k}]: {shown(value)}, expected at most {EXACT}" for k, value in large)


def task_numbers(given: Any, count: int) -> Ints:
    """Return the numbers of tasks.

    Raises
    ------
    InputError
        If one is no task of the instance, or there is none.
    """
    array = np.asarray(given)
    fine = array.dtype.kind in "iuf" and array.ndim < 2 and not _holds_truth(given)
    whole = whole_numbers(array) if fine else None
    if whole is None or not whole.size:
        raise InputError(f"tasks: {shown(given)}, expected numbers of tasks, 0 to {count - 1}")
    whole = np.array(whole.reshape(-1), np.int64)
    wrong = np.flatnonzero((whole < 0) | (whole >= count))
    if wrong.size:
        raise InputError(f"tasks[{wrong[0]}]: {whole[wrong[0]]}, expected 0 to {count - 1}")
    return whole


def _is_floats(given: Any) -> bool:
    return type(given) is np.ndarray and given.dtype == FLOAT


def _floats(name: str, given: Any) -> Floats:
    try:
        array = None if _holds_truth(given) else numbers(given)
    except ValueError:  # rows of unequal length
        array = None
    if array is None:
        raise InputError(f"{name}: {shown(given)}, expected numbers, rows of one length")
    return array


def _holds_truth(given: Any) -> bool:
    """Say whether there is a truth value in lists, where numpy takes it for a number beside others."""
    if not isinstance(given, (list, tuple)):
        return False
    kinds = set(map(type, given))
    if kinds & {bool, np.bool_}:
        return True
    return bool(kinds & {list, tuple}) and any(map(_holds_truth, given))


def _unlimited(given: Any) -> Any:
    if given is None:
        return np.inf
    if isinstance(given, (list, tuple)) or (isinstance(given, np.ndarray) and given.ndim):
        return [_unlimited(one) for one in given]
    return given


@dataclass(frozen=True, eq=False, slots=True)
class Changes:
    """All of a call; K tasks are planned."""

    chosen: Ints  # (K,) tasks of the instance
    rates: ChangeTable
    speeds: ChangeTable  # OWN: as the instance says, whatever its values are
    deadlines: ChangeTable
    batch: ChangeTable

    def only(self, some: NDArray[np.bool_]) -> Changes:
        """Return the changes of some of the planned tasks, (K,)."""
        tables = (self.rates, self.speeds, self.deadlines, self.batch)
        return Changes(self.chosen[some], *(each.only(some) for each in tables))

    def check(self) -> None:
        """Name the numbers that are out of range.

        Raises
        ------
        InputError
            With a line for each of them.
        """
        rates, speeds, batch = self.rates.values, self.speeds.values, self.batch.values
        found = _problems("rates", rates, np.isfinite(rates) & (rates >= 0), "a finite number >= 0")
        if self.speeds.whose != OWN:
            found += _problems("speeds", speeds, np.isfinite(speeds) & (speeds > 0), "a finite number > 0")
        tau = self.deadlines.values
        found += _problems("deadlines", tau, (tau >= 0) | _repeated(tau), "a number >= 0, or none")
        whole = (batch >= 1) & (batch == np.floor(batch)) & np.isfinite(batch)
        found += _problems("batch", batch, whole, "a whole number >= 1")
        found += _problems("batch", batch, ~whole | (batch <= EXACT), f"at most {EXACT}")
        if found:
            raise InputError(found)

    def instance(self, instance: Instance) -> Instance:
        """Return the instance that says all of this in its own fields.

        Where speeds differ by task, each task gets a slot of its own: nothing joins the tasks of a slot.

        Raises
        ------
        InputError
            If a number is out of range.
        """
        self.check()
        changed: dict[str, Any] = {"allow": _allowed(instance, self.chosen)}
        tasks = instance.tasks.take(self.chosen)
        counted = np.arange(instance.max_blocks) < instance.block_count[self.chosen][:, None]
        tasks = dataclasses.replace(
            tasks,
            rate_bps=self.rates.rows(self.chosen),
            max_delay_s=np.where(counted, self.deadlines.rows(self.chosen), np.inf),
            batch=self.batch.rows(self.chosen).astype(np.int64),
        )
        if self.speeds.whose == EACH and len(self.speeds.values) > 1:
            tasks = dataclasses.replace(tasks, slot=np.arange(len(tasks)))
            changed["slot_count"] = len(tasks)
            by_server = list(self.speeds.values.T)
        elif self.speeds.whose != OWN:
            by_server = self.speeds.values[0].tolist()
        if self.speeds.whose != OWN:
            changed["servers"] = tuple(
                dataclasses.replace(server, cycles_per_s=speed)
                for server, speed in zip(instance.servers, by_server, strict=True)
            )
        return instance.replace(tasks=tasks, **changed)


def _problems(name: str, values: Floats, fine: NDArray[np.bool_], expected: str) -> list[str]:
    """Say of each number that is not fine where it is; the row only where there is more than one."""
    single = values.ndim == 2 and len(values) == 1
    places = ["".join(f"[{i}]" for i in at[single:]) for at in np.argwhere(~fine).tolist()]
    wrong = values[~fine].tolist()
    return [
        f"{name}{place}: {value:g}, expected {expected}" for place, value in zip(places, wrong, strict=True)
    ]


def _repeated(values: Floats) -> NDArray[np.bool_]:
    """Say which numbers repeat the first of their row, where all of the row do: mostly one was given."""
    first = values[:, :1]
    alike = ((values == first) | (np.isnan(values) & np.isnan(first))).all(axis=1)
    found: NDArray[np.bool_] = alike[:, None] & (np.arange(values.shape[1]) > 0)
    return found


def _allowed(instance: Instance, chosen: Ints) -> tuple[Allow, ...]:
    """Return the list of allowed nodes for the chosen tasks in their new order."""
    if np.array_equal(chosen, np.arange(instance.task_count)):
        return instance.allow
    if instance.barred is None:
        return ()
    from mecopt.allowing import of_task

    found: list[Allow] = []
    for own in np.unique(chosen).tolist():
        places = tuple(np.flatnonzero(chosen == own).tolist())
        found += (dataclasses.replace(entry, tasks=places) for entry in of_task(instance, own))
    return tuple(found)
