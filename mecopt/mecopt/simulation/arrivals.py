"""When tasks come, which, and how large: drawn from a seed alone, so that every rule meets the same tasks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.errors import InputError, shown

KINDS = ("poisson", "bursty", "heavy", "both")
TRACE = "trace:"
COLUMNS = ("time_s", "task", "size")
SHIPPED = "traces"  # folder beside the instances

# Bursts: a fifth of the time has three times the mean rate, the rest half of it (their mean is 1).
BURST_SHARE, BURST_RATE = 0.2, 3.0
BURST_TASKS = 100.0  # mean number of tasks of a burst
# Heavy: sizes are powers of two, each 2^-1.4 times as likely as the one before (a tail of index 1.4), to 2^8.
HEAVY_INDEX, HEAVY_SIZES = 1.4, 9
LARGEST = 1e12  # of times and sizes, seconds or of the mean
MOST_TASKS = 20_000_000


@dataclass(frozen=True, eq=False)
class Stream:
    """T tasks in the order of their arrival.

    Attributes
    ----------
    time_s : array (T,)
    task : array (T,)
        Template of each.
    size : array (T,)
        Factor of its calculations and bits.
    phase : array (T,)
        State of the arrivals: 1 in a burst, else 0.
    """

    time_s: Floats
    task: Ints
    size: Floats
    phase: NDArray[np.int8]

    @classmethod
    def of(cls, time_s: Floats, task: Ints, size: Floats, phase: NDArray[np.int8] | None = None) -> Stream:
        """Make one of arrays of any kind; without phases all are calm."""
        return cls(
            np.ascontiguousarray(time_s, dtype=np.float64),
            np.ascontiguousarray(task, dtype=np.int64),
            np.ascontiguousarray(size, dtype=np.float64),
            np.zeros(len(time_s), dtype=np.int8) if phase is None else phase,
        )

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def span_s(self) -> float:
        """Seconds from 0 to the last arrival."""
        return float(self.time_s[-1])


def sizes_of(kind: str) -> tuple[Floats, Floats]:
    """Return the sizes of a kind of arrivals and how likely each is; their mean is 1."""
    if kind not in ("heavy", "both"):
        return np.ones(1), np.ones(1)
    size = 2.0 ** np.arange(HEAVY_SIZES)
    chance = size**-HEAVY_INDEX
    chance = chance / chance.sum()
    mean = float(size @ chance)
    return np.asarray(size / mean, dtype=np.float64), np.asarray(chance, dtype=np.float64)


def draw(kind: str, templates: int, rate: float, count: int, seed: int) -> Stream:
    """Draw a stream of `count` tasks, `rate` of them a second; the rate changes nothing but the scale.

    Parameters
    ----------
    kind : {"poisson", "bursty", "heavy", "both"}
    templates : int
        Each task is like one of these, drawn evenly.
    """
    times, tasks, sizes = (np.random.default_rng([seed, part]) for part in range(3))
    gaps = times.standard_exponential(count)
    if kind in ("bursty", "both"):
        arrival, phase = _bursty(gaps, times)
    else:
        arrival, phase = np.cumsum(gaps), np.zeros(count, dtype=np.int8)
    size, chance = sizes_of(kind)
    drawn = np.ones(count) if len(size) == 1 else size[sizes.choice(len(size), count, p=chance)]
    return Stream.of(arrival / rate, tasks.integers(templates, size=count), drawn, phase)


def _bursty(gaps: Floats, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int8]]:
    """Return arrivals of mean rate 1, and their states, of a two-state Markov process.

    Inside a state arrivals are Poisson, so a clock that runs at the state's rate makes them of unit gaps.
    """
    work = np.cumsum(gaps)  # on the clock of the rates
    burst_s = BURST_TASKS / BURST_RATE
    calm_rate = (1.0 - BURST_SHARE * BURST_RATE) / (1.0 - BURST_SHARE)
    calm_s = burst_s * (1.0 - BURST_SHARE) / BURST_SHARE
    cycles = max(8, int(2 * work[-1] / (burst_s * BURST_RATE + calm_s * calm_rate)))
    while True:
        spells = np.empty(2 * cycles)
        spells[0::2] = calm_s * rng.standard_exponential(cycles)
        spells[1::2] = burst_s * rng.standard_exponential(cycles)
        rates = np.tile([calm_rate, BURST_RATE], cycles)
        ends = np.concatenate([[0.0], np.cumsum(spells)])
        done = np.concatenate([[0.0], np.cumsum(spells * rates)])
        if done[-1] >= work[-1]:
            spell = np.searchsorted(done, work, side="left") - 1
            return np.interp(work, done, ends), (spell % 2).astype(np.int8)
        cycles *= 2


def read_trace(path: str, templates: int) -> Stream:
    """Read arrivals from a CSV file with a head: `time_s`, and where wanted `task` and `size`.

    A name without folder and ending that is no file is that of a trace that comes with mecopt.

    Without `task` the templates come in turn; without `size` every task has size 1.

    Raises
    ------
    InputError
        If the file cannot be read or breaks this form; the line is named.
    """
    from mecopt.encoding import csv_rows
    from mecopt.files import read_bytes

    path = _place(path)
    rows = csv_rows(read_bytes(path), path)
    head = [cell.strip() for cell in rows[0]] if rows else []
    if "time_s" not in head or len(set(head)) < len(head) or not set(head) <= set(COLUMNS):
        found = shown(",".join(head))
        raise InputError(
            f"line 1: {found}, expected the head time_s or time_s,task or time_s,task,size", path
        )
    values = [_cells(row, head, templates, line, path) for line, row in enumerate(rows[1:], 2) if row]
    if len(values) < 2:
        raise InputError("fewer than 2 arrivals, expected at least 2 lines behind the head", path)
    if len(values) > MOST_TASKS:
        raise InputError(f"{len(values):,} arrivals, expected at most {MOST_TASKS:,}", path)
    table = dict(zip(head, np.array(values).T, strict=True))
    time_s = table["time_s"]
    wrong = np.flatnonzero(np.diff(time_s) < 0)
    if len(wrong):
        raise InputError(f"arrival {wrong[0] + 2}: earlier than the one before, expected rising time_s", path)
    if not time_s[-1] > time_s[0]:
        raise InputError("all arrivals at one time, expected rising time_s", path)
    task = table["task"].astype(np.int64) if "task" in table else np.arange(len(time_s)) % templates
    return Stream.of(time_s - time_s[0], task, table.get("size", np.ones(len(time_s))))


def _place(path: str) -> str:
    from mecopt.sources import folder

    shipped = folder() / SHIPPED / f"{path}.csv"
    return str(shipped) if Path(path).name == path and not Path(path).exists() and shipped.exists() else path


def _cells(row: list[str], head: list[str], templates: int, line: int, path: str) -> list[float]:
    if len(row) != len(head):
        raise InputError(f"line {line}: {len(row)} cells, expected {len(head)} ({','.join(head)})", path)
    values = []
    for name, cell in zip(head, row, strict=True):
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        fine = math.isfinite(value) and 0 <= value < LARGEST
        expected = f"a number >= 0 and below {LARGEST:g}"
        if name == "task":
            fine, expected = fine and value == int(value) < templates, f"a task of 0..{templates - 1}"
        elif name == "size":
            fine, expected = fine and value > 0, f"a number > 0 and below {LARGEST:g}"
        if not fine:
            raise InputError(f"line {line}: {name} {shown(cell)}, expected {expected}", path)
        values.append(value)
    return values
