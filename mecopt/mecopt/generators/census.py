"""Where the optima of an instance's tasks run: whether there is anything to decide, said in numbers."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mecopt.costs import chain_costs
from mecopt.entities import DELAY, Deadline
from mecopt.instance import Instance
from mecopt.judge import evaluate
from mecopt.trellis import shortest_paths

ONE_KIND = 0.95  # a larger share of one kind is worth a warning


@dataclass(frozen=True)
class Census:
    """The optimum of every task with couplings left out, classified and counted.

    Where the period is minimised, which is no single task's, that of least delay.

    Attributes
    ----------
    tasks, local, one_server, mixed, unserved : int
        Number of tasks, and of those whose optimum runs all on the device, all on one server, otherwise,
        or that no placement can serve.
    blocks_on_device : float or None
        Share of the blocks that run on the device, a fraction; None when no task can be served.
    local_delay_share : float or None
        Share of the delay (penalties not counted) that these blocks take; None when there is no delay.
    late_blocks : float or None
        Share of the blocks above their deadline; None without deadlines.
    total_delay_s, objective : float
        Sums over the tasks that can be served, in seconds; penalties count in the second alone.
    """

    tasks: int
    local: int
    one_server: int
    mixed: int
    unserved: int
    blocks_on_device: float | None
    local_delay_share: float | None
    late_blocks: float | None
    total_delay_s: float
    objective: float

    @property
    def warning(self) -> str | None:
        """A warning where nearly all optima are of one kind, and little is left to compare; else None."""
        kinds = {"all local": self.local, "all on one server": self.one_server, "mixed": self.mixed}
        name, count = max(kinds.items(), key=lambda item: item[1])
        if count <= ONE_KIND * self.tasks:
            return None
        return f"{count / self.tasks:.1%} of the tasks have an optimum of one kind ({name})"

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        return asdict(self)


def census(instance: Instance) -> Census:
    """Classify the optimum of every task, couplings left out."""
    if instance.rules.objective.period:  # of no single task
        instance = instance.replace(rules=dataclasses.replace(instance.rules, objective=DELAY))
    costs = chain_costs(instance)
    paths = shortest_paths(costs)
    served = np.isfinite(paths.value)
    # What cannot be served is judged on the device and left out of every sum.
    placement = np.where(served[:, None] | (paths.placement >= 0), paths.placement, 0)
    placement[np.arange(placement.shape[1]) >= instance.block_count[:, None]] = -1
    judged = evaluate(instance, placement, costs=costs)
    real = (placement >= 0) & served[:, None]
    blocks, first = int(real.sum()), placement[:, :1]
    same = ((placement == first) | (placement < 0)).all(axis=1) & served
    local = same & (first[:, 0] == 0)
    delay = float(judged.task_delay_s[served].sum())
    here = real & (placement == 0)
    limited = (
        instance.rules.deadline is not Deadline.NONE and np.isfinite(instance.tasks.max_delay_s[real]).any()
    )
    late = (judged.steps.excess_s > 0) & real
    if instance.rules.deadline is Deadline.HARD:
        late[:] = False  # within the tolerance that every limit has
    return Census(
        tasks=instance.task_count,
        local=int(local.sum()),
        one_server=int((same & ~local).sum()),
        mixed=int((served & ~same).sum()),
        unserved=int((~served).sum()),
        blocks_on_device=float(here.sum() / blocks) if blocks else None,
        local_delay_share=float(judged.block_delay_s[here].sum() / delay) if delay > 0 else None,
        late_blocks=float(late.sum() / blocks) if limited and blocks else None,
        total_delay_s=delay,
        objective=float(paths.value[served].sum()),
    )
