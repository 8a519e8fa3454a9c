"""`Planner`: what does not change is laid out once, and plans for what does come in microseconds."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import numpy as np

from mecopt.arrays import Floats
from mecopt.costs import chain_costs
from mecopt.errors import DisagreementError, InputError
from mecopt.instance import Instance
from mecopt.planner.changes import Changes, ChangeTable, batch_column, deadline_table, table, task_numbers
from mecopt.planner.layout import MODES, fits, lay_out
from mecopt.planner.plan import Plan, plan_slowly
from mecopt.planner.plan_kernels import EACH, FINE, LARGE, LEFT, ONE, OWN, REFUSED, plan_tasks
from mecopt.sources import instance_of
from mecopt.trellis_method import METHOD
from mecopt.what_if.refusals import check_takes

INSTEAD = "; mecopt solve (solve - for lines, mecopt.solve in Python) has methods for more"


class Planner:
    """Plans again and again for an instance of which some figures change.

    The answers are those of ``mecopt.solve(..., "trellis")``, to the last bit: the optimum of every task, and
    its proof. Threads may share a planner, and run side by side where the work is compiled. It can be
    pickled.

    Parameters
    ----------
    instance : Instance, str or path
        Or what `load` takes. Its tasks are the ones that are planned; of an instance with a single task, as
        many copies as a call has rows.

    Raises
    ------
    CouplingError
        If a coupling joins the tasks.
    InputError
        If there is no such instance, one that is out of range, or one that asks for what the trellis does
        not know.

    Examples
    --------
    >>> import mecopt
    >>> planner = mecopt.Planner("tiny_paper")
    >>> plan = planner.plan(rates=[[8e6, 9e6], [7e6, 6e6]])
    >>> plan.placements.shape == (2, planner.instance.max_blocks)
    True
    """

    def __init__(self, instance: Instance | str | os.PathLike[str]) -> None:
        self.instance = instance_of(instance)
        check_takes("the planner", self.instance, METHOD.takes, METHOD.honours, INSTEAD)
        costs = chain_costs(self.instance)
        self._layout = laid = lay_out(self.instance, costs) if fits(self.instance, costs) else None
        rules = self.instance.rules
        self._shape = (self.instance.max_blocks, self.instance.server_count)
        self._all = np.arange(self.instance.task_count)
        tasks = self.instance.tasks
        self._own = {
            "rates": ChangeTable(laid.rates if laid else tasks.rate_bps, OWN),
            "speeds": ChangeTable(np.ones((1, self.instance.server_count)), OWN),
            "deadlines": ChangeTable(laid.tau if laid else tasks.max_delay_s, OWN),
            "batch": ChangeTable(laid.batch if laid else tasks.batch.astype(np.float64), OWN),
        }
        if laid:
            links = self.instance.links
            self._fixed = (
                *laid.fixed, MODES[rules.deadline], rules.deadline_penalty, rules.return_transfer,
                rules.return_result, links.uniform,
            )  # fmt: skip
            self.plan(tasks=[0])  # the loop is compiled, or fetched, now and not with the first answer

    def plan(
        self,
        *,
        rates: Any = None,
        speeds: Any = None,
        deadlines: Any = None,
        batch: Any = None,
        tasks: Any = None,
    ) -> Plan:
        """Plan every task, with the given figures in the place of the instance's.

        Parameters
        ----------
        rates : array of shape (servers,) or (K, servers), optional
            Bits/s between each task's device and the servers, 0 = no link. One row counts for all tasks.
        speeds : array of shape (servers,) or (K, servers), optional
            Cycles/s of the servers.
        deadlines : number or array of shape (blocks,), (K, 1) or (K, blocks), optional
            Largest tolerable delay of each block in seconds; inf or None = none. What they do is
            the instance's rule.
        batch : int or array of shape (K,), optional
            Inferences that are released together.
        tasks : int or array of shape (K,), optional
            Numbers of the tasks to plan, each as often as it is named; all by default.

        Returns
        -------
        Plan
            A row a planned task.

        Raises
        ------
        InputError
            If a table has another shape or a number is out of range; a line for each. Nothing is planned
            then.
        """
        blocks, servers = self._shape
        given = {
            "rates": None if rates is None else table("rates", rates, servers, "rates, one for each server"),
            "speeds": None if speeds is None else table("speeds", speeds, servers, "speeds, one for each"),
            "deadlines": None if deadlines is None else deadline_table(deadlines, blocks),
            "batch": None if batch is None else batch_column(batch),
        }
        chosen = self._all if tasks is None else task_numbers(tasks, len(self._all))
        if tasks is None and len(chosen) == 1:
            rows = max(1 if rows is None else len(rows) for rows in given.values())
            chosen = chosen if rows == 1 else np.zeros(rows, dtype=np.int64)
        count = len(chosen)
        own = self._own
        changes = Changes(chosen, *(_table(name, given[name], own[name], count) for name in own))
        if self._layout is None:
            return plan_slowly(self.instance, changes)
        return self._plan(changes, count)

    def _plan(self, changes: Changes, count: int) -> Plan:
        placements = np.empty((count, self._shape[0]), dtype=np.int64)
        figures = np.empty((3, count))
        rates, speeds, tau, batch = changes.rates, changes.speeds, changes.deadlines, changes.batch
        said = plan_tasks(
            changes.chosen, rates.whose, rates.values, speeds.whose, speeds.values, tau.whose, tau.values,
            batch.whose, batch.values, *self._fixed, placements, figures,
        )  # fmt: skip
        if said in (FINE, LEFT):
            delays, objectives, bounds = figures
            return Plan(placements, delays, objectives, bounds, self.instance, changes)
        if said == REFUSED:
            changes.check()
        if said == LARGE:  # perhaps too large for any number; that is told by another way
            return plan_slowly(self.instance, changes)
        raise DisagreementError("planner: the judge finds fault with a shortest path")

    async def plan_async(self, **changes: Any) -> Plan:
        """Plan as `plan` does, in a thread, while the event loop goes on."""
        return await asyncio.to_thread(self.plan, **changes)

    def __reduce__(self) -> tuple[type[Planner], tuple[Instance]]:
        return Planner, (self.instance,)

    def __repr__(self) -> str:
        return f"<Planner of {self.instance!r}>"


def _table(name: str, given: Floats | None, own: ChangeTable, count: int) -> ChangeTable:
    """Return what a call gives for some tasks as a table that knows whose its rows are."""
    if given is None:
        return own
    if len(given) not in (1, count):
        raise InputError(f"{name}: {len(given)} rows for {count} tasks, expected one each, or one for all")
    return ChangeTable(given, EACH if len(given) == count else ONE)
