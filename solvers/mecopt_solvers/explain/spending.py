"""Where the time and the energy of a placement go."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mecopt import objective
from mecopt.judge import Evaluation


@dataclass(frozen=True)
class Spent:
    """Time and energy of some blocks together; None where a missing link makes a sum infinite.

    Parameters
    ----------
    what : dict
        Which blocks: model, block and name; or node and name; or task, block, name and node.
    count : int
        Number of blocks, or of returns of a result.
    on_device : int or None
        How many of them run on their device; None for results.
    trans_s, calc_s : float or None
        Seconds of transfer into the blocks and of calculation.
    excess_s : float or None
        Seconds above deadlines.
    energy_j : float or None
        Joules taken from the devices.
    """

    what: dict[str, Any]
    count: int
    on_device: int | None
    trans_s: float | None
    calc_s: float | None
    excess_s: float | None
    energy_j: float | None

    @property
    def delay_s(self) -> float | None:
        """Transfer and calculation together, seconds."""
        return None if self.trans_s is None or self.calc_s is None else self.trans_s + self.calc_s

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        figures = asdict(self)
        return {**figures.pop("what"), **figures, "delay_s": self.delay_s}


@dataclass(frozen=True)
class Spending:
    """Where the time and the energy of a placement go.

    Parameters
    ----------
    blocks : tuple of Spent
        A row for every block of every model, over all tasks; results that return are rows of their own, whose
        block is the number of blocks.
    nodes : tuple of Spent
        A row for the devices and one for every server.
    tasks : tuple of Spent
        A row for every block of the tasks that were asked for.
    total : Spent
    penalty_s : float
        Objective that the deadlines' excess costs under soft deadlines, end-to-end ones included.
    """

    blocks: tuple[Spent, ...]
    nodes: tuple[Spent, ...]
    tasks: tuple[Spent, ...]
    total: Spent
    penalty_s: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        rows = {name: [row.to_dict() for row in getattr(self, name)] for name in ("blocks", "nodes", "tasks")}
        return {**rows, "total": self.total.to_dict(), "penalty_s": self.penalty_s}


def spending(judged: Evaluation, tasks: tuple[int, ...] = ()) -> Spending:
    """Account for a placement's time and energy.

    Parameters
    ----------
    judged : Evaluation
    tasks : tuple of int
        Tasks to be shown block by block.
    """
    table = _Table(judged)
    instance = judged.instance
    names = ["devices", *(server.name for server in instance.servers)]
    late = next(term for term in objective.TERMS if isinstance(term, objective.DeadlineExcess))
    return Spending(
        blocks=tuple(table.by_block()),
        nodes=tuple(table.row({"node": n, "name": name}, table.node == n) for n, name in enumerate(names)),
        tasks=tuple(row for k in tasks for row in table.of_task(k)),
        total=table.row({"name": "total"}, np.ones(len(table.node), dtype=bool)),
        penalty_s=_finite(objective.of_term(late, judged).sum()),
    )


class _Table:
    """One row for every block of every task and, where results return, for every result."""

    def __init__(self, judged: Evaluation) -> None:
        self.instance, placement, steps = judged.instance, judged.placement, judged.steps
        task, block = np.nonzero(placement >= 0)
        blocks = self.instance.block_count
        returns = np.flatnonzero(steps.result_s > 0)
        nothing = np.zeros(len(returns))
        last = placement[returns, blocks[returns] - 1]
        self.task = np.concatenate([task, returns])
        self.block = np.concatenate([block, blocks[returns]])
        self.node = np.concatenate([placement[task, block], last])
        self.trans = np.concatenate([steps.trans_s[task, block], steps.result_s[returns]])
        self.calc, self.excess, self.energy = (
            np.concatenate([values[task, block], nothing])
            for values in (steps.calc_s, steps.excess_s, steps.energy_j)
        )
        self.model = self.instance.tasks.model[self.task]
        # A result comes from a server, but a block that runs there it is not.
        self.is_block = np.arange(len(self.task)) < len(task)

    def row(self, what: dict[str, Any], rows: np.ndarray) -> Spent:
        """Sum some rows up."""
        blocks = rows & self.is_block
        results = rows.any() and not blocks.any()
        count = int(rows.sum() if results else blocks.sum())
        on_device = None if results else int((self.node[blocks] == 0).sum())
        sums = (_finite(values[rows].sum()) for values in (self.trans, self.calc, self.excess, self.energy))
        return Spent(what, count, on_device, *sums)

    def by_block(self) -> list[Spent]:
        found = []
        for i, model in enumerate(self.instance.models):
            for m in range(len(model.blocks) + 1):
                rows = (self.model == i) & (self.block == m)
                if rows.any():
                    found.append(self.row({"model": model.name, "block": m, "name": self._name(i, m)}, rows))
        return found

    def of_task(self, task: int) -> list[Spent]:
        rows = np.flatnonzero(self.task == task)
        i = int(self.instance.tasks.model[task])
        found = []
        for at in rows[np.argsort(self.block[rows], kind="stable")].tolist():
            m, one = int(self.block[at]), np.arange(len(self.task)) == at
            what = {"task": task, "block": m, "name": self._name(i, m), "node": int(self.node[at])}
            found.append(self.row(what, one))
        return found

    def _name(self, model: int, block: int) -> str:
        blocks = self.instance.models[model].blocks
        return blocks[block].name if block < len(blocks) else "result"


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
