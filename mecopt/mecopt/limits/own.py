"""The limits of one task's whole path: its end-to-end deadlines, and nodes that may run one stretch of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.costs import chain_costs
from mecopt.entities import Deadline, OneRun
from mecopt.limits.kinds import LinearLimit, Where

if TYPE_CHECKING:
    from mecopt.instance import Instance
    from mecopt.judge import Evaluation
    from mecopt.trellis_arcs import Arcs


class TotalDeadline(LinearLimit):
    """The delays of a task, its result's return included, add up to at most D; a row a task.

    Of one phase alone where a phase is given.
    """

    kind, unit, by_node = "deadline", "s", False

    def __init__(self, phase: int | None = None) -> None:
        self.phase = phase
        self.name = "total deadline" if phase is None else f"deadline of phase {phase}"
        self.component = "total_deadline" if phase is None else f"phase_deadline_{phase}"

    def on(self, instance: Instance) -> bool:
        """Say whether some task has one, and deadlines forbid."""
        return instance.rules.deadline is Deadline.HARD and self.there(instance)

    def there(self, instance: Instance) -> bool:
        """Say whether some task has one, whatever it does."""
        tasks = instance.tasks
        if self.phase is None:
            return tasks.given("max_total_delay_s") is not None
        table = tasks.given("max_phase_delay_s")
        return table is not None and bool(np.isfinite(table[:, self.phase]).any())

    def rows(self, instance: Instance, tasks: Ints | slice = slice(None)) -> Ints:
        """Every node is the task's row."""
        rows = np.arange(instance.task_count)[tasks]
        return np.broadcast_to(rows[:, None], (len(rows), instance.server_count + 1))

    def given(self, instance: Instance, rows: Ints) -> Floats:
        """Return the deadlines in seconds."""
        tasks = instance.tasks
        if self.phase is None:
            found = tasks.given("max_total_delay_s")
        else:
            table = tasks.given("max_phase_delay_s")
            found = None if table is None else table[:, self.phase]
        return np.full(rows.shape, np.inf) if found is None else found[rows]

    def where(self, instance: Instance, row: int) -> Where:
        """Name the task, and the phase."""
        if self.phase is None:
            return {"task": row}
        phases = instance.models[instance.tasks.model[row]].phases
        return {"task": row, "phase": phases[self.phase].name}

    def index(self, instance: Instance, row: int) -> tuple[int, ...]:
        """Return the task."""
        return (row,)

    def too_little(self, instance: Instance, row: int, least: float) -> dict[str, Any]:
        """Say that a task takes longer on its fastest path."""
        reason = super().too_little(instance, row, least)
        place = ", ".join(f"{name} {value}" for name, value in reason["where"].items())
        told = f"takes at least {least:.6g} s, its deadline is {reason['limit']:.6g} s"
        return {**reason, "message": f"{place}: {told}"}

    def joins(self, instance: Instance) -> Ints:
        """Join no task with another."""
        return np.full(instance.task_count, -1)

    def use(self, arcs: Arcs, instance: Instance) -> Floats:
        """Return seconds of delay."""
        from mecopt.trellis_arcs import delays

        costs = arcs.costs if self.phase is None else chain_costs(instance, phase=self.phase)
        return np.where(arcs.allowed, delays(costs, arcs.tasks), 0.0)

    def placed(self, judged: Evaluation) -> Floats:
        """Return seconds of delay, without the result's return."""
        delay = judged.block_delay_s if self.phase is None else judged.phases[self.phase].block_delay_s
        return np.where(np.isfinite(delay), delay, 0.0)

    def used(self, judged: Evaluation) -> tuple[Ints, Floats]:
        """Return the delay of every task, 0 over a missing link, which is a violation of its own."""
        delay = judged.task_delay_s if self.phase is None else judged.phases[self.phase].task_delay_s
        return np.arange(len(delay)), np.where(np.isfinite(delay), delay, 0.0)


class OneStretch(LinearLimit):
    """A node runs at most one stretch of consecutive blocks of a task; a row a task and node.

    Where the input starts and the result returns are no stretches. The device is exempt unless the rule says
    all.
    """

    name = kind = component = "one_run"
    unit, by_node = "stretches", True

    def on(self, instance: Instance) -> bool:
        """Say whether the rule is."""
        return instance.rules.one_run is not OneRun.NONE

    def rows(self, instance: Instance, tasks: Ints | slice = slice(None)) -> Ints:
        """Return task times nodes plus node."""
        nodes = instance.server_count + 1
        rows = np.arange(instance.task_count)[tasks][:, None] * nodes + np.arange(nodes)
        if instance.rules.one_run is OneRun.SERVERS:
            rows[:, 0] = -1
        return rows

    def given(self, instance: Instance, rows: Ints) -> Floats:
        """Return one."""
        return np.ones(rows.shape)

    def where(self, instance: Instance, row: int) -> Where:
        """Name task and node."""
        task, node = divmod(row, instance.server_count + 1)
        return {"task": task, "node": node}

    def index(self, instance: Instance, row: int) -> tuple[int, ...]:
        """Return task and node."""
        return divmod(row, instance.server_count + 1)

    def joins(self, instance: Instance) -> Ints:
        """Join no task with another."""
        return np.full(instance.task_count, -1)

    def use(self, arcs: Arcs, instance: Instance) -> Floats:
        """Return 1 where a step begins a stretch."""
        tasks, stages, nodes, _ = arcs.weight.shape
        begins = np.ones((stages, nodes, nodes))
        same = np.arange(nodes)
        begins[1:, same, same] = 0.0
        behind = np.arange(stages) >= arcs.blocks[:, None]
        every = np.broadcast_to(begins, (tasks, stages, nodes, nodes))
        return np.where(behind[:, :, None, None], 0.0, every)

    def placed(self, judged: Evaluation) -> Floats:
        """Return 1 where a block begins a stretch."""
        now = judged.placement
        begins = np.ones(now.shape)
        begins[:, 1:] = now[:, 1:] != now[:, :-1]
        return np.where(now >= 0, begins, 0.0)

    def violations(self, judged: Evaluation) -> Iterator[tuple[Where, float | None, float | None]]:
        """Yield the blocks that begin another stretch; limit and use say nothing."""
        begins = self.placed(judged)
        for row in self.broken(judged)[0].tolist():
            task, node = divmod(row, judged.instance.server_count + 1)
            blocks = np.flatnonzero((judged.placement[task] == node) & (begins[task] > 0))
            for block in blocks[1:].tolist():
                yield {"task": task, "block": block}, None, None
