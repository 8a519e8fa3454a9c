"""The limits of an instance, and how much of each a placement uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mecopt import limits
from mecopt.drawing.timeline import number, seconds
from mecopt.entities import Deadline
from mecopt.instance import Instance
from mecopt.judge import UNITS, Evaluation
from mecopt.limits import LinearLimit
from mecopt.tolerances import slack

BINDING = 0.999  # a limit binds from this share of it on
BYTES_PER_MB = 1e6


def unit(kind: str) -> str:
    """Return the unit of a kind of limit."""
    return UNITS[kind]


def price_unit(kind: str) -> tuple[str, float]:
    """Return the unit that a price is for, and how much of the limit's own unit it is."""
    return ("MB", BYTES_PER_MB) if unit(kind) == "bytes" else (unit(kind), 1.0)


@dataclass(frozen=True)
class ExplainedLimit:
    """One limit of the instance.

    Parameters
    ----------
    kind : "deadline" or a `mecopt.Coupling`
    where : dict
        Task and block, device, or slot and node (and device), as in `mecopt.Violation`.
    limit : float
        Seconds, joules or bytes.
    used : float, optional
        How much of it the placement uses; None without a placement, or over a missing link.
    price : float, optional
        Seconds of objective that one more second, joule or MB would save in the linear relaxation; None where
        no price was worked out.
    """

    kind: str
    where: dict[str, int | str]
    limit: float
    used: float | None = None
    price: float | None = None

    @property
    def share(self) -> float | None:
        """Use as a fraction of the limit; None where one of them is missing or the limit is 0."""
        return None if self.used is None or self.limit == 0 else self.used / self.limit

    @property
    def binds(self) -> bool:
        """Whether the placement uses at least 99.9 % of it."""
        return self.used is not None and self.used >= BINDING * self.limit and self.used > 0

    @property
    def exceeded(self) -> bool:
        """Whether the placement uses more than there is."""
        return self.used is not None and bool(self.used > slack(np.array(self.limit)))

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from the others."""
        return (self.kind, *self.where.items())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "kind": self.kind,
            "where": dict(self.where),
            "unit": unit(self.kind),
            "limit": self.limit,
            "used": self.used,
            "share": self.share,
            "price_s": self.price,
            "price_per": None if self.kind == "deadline" else price_unit(self.kind)[0],
        }


def shared_limits(judged: Evaluation) -> list[ExplainedLimit]:
    """Return the limits that are amounts, with what the placement uses of each.

    Budgets, capacities, memories and loads that tasks share, and hard end-to-end deadlines.
    """
    instance, found = judged.instance, []
    for limit in limits.of(instance):
        if limit.kind == limits.ONE_RUN.kind:  # a rule, and no amount
            continue
        rows, used = limit.used(judged)
        use = dict(zip(rows.tolist(), used.tolist(), strict=True))
        if isinstance(limit, LinearLimit):  # of those charged by pieces only what is held is of interest
            rows = np.unique(limit.rows(instance))
            rows = rows[rows >= 0]
        for row, given in zip(rows.tolist(), limit.given(instance, rows).tolist(), strict=True):
            if np.isfinite(given):
                where = limit.where(instance, row)
                found.append(ExplainedLimit(limit.kind, where, given, _use(judged, where, use.get(row, 0.0))))
    return found


def _use(judged: Evaluation, where: limits.Where, used: float) -> float | None:
    """Return a use; None of energy and delay where a missing link made it infinite."""
    if "task" in where and not np.isfinite(judged.task_delay_s[int(where["task"])]):
        return None
    return used if set(where) != {"device"} else judged.device_energy_j[str(where["device"])]


def deadlines(judged: Evaluation) -> list[ExplainedLimit]:
    """Return the deadlines that the placement meets within 0.1 % of tau, or misses."""
    instance = judged.instance
    if instance.rules.deadline is Deadline.NONE:
        return []
    delay, tau = judged.block_delay_s, instance.tasks.max_delay_s
    real = (judged.placement >= 0) & np.isfinite(tau) & np.isfinite(delay)
    near = np.argwhere(real & (delay >= BINDING * tau) & (delay > 0)).tolist()
    return [
        ExplainedLimit("deadline", {"task": k, "block": m}, float(tau[k, m]), float(delay[k, m]))
        for k, m in near
    ]


def tightest(limits: list[ExplainedLimit]) -> list[ExplainedLimit]:
    """Sort limits by the share that is used, the fullest first."""
    return sorted(limits, key=_fullness, reverse=True)


def _fullness(limit: ExplainedLimit) -> float:
    if limit.used is None:
        return -1.0
    return limit.used / limit.limit if limit.limit > 0 else (np.inf if limit.used > 0 else 0.0)


def place_text(instance: Instance, where: dict[str, int | str]) -> str:
    """Write a place for people: ``task 3, block 1``, ``device cam0``, ``slot 2, es1``."""
    if "task" in where:
        part = (
            f"block {where['block']}"
            if "block" in where
            else f"phase {where['phase']}"
            if "phase" in where
            else ""
        )
        return f"task {where['task']}" + (f", {part}" if part else ", end to end")
    if "radio" in where or "from" in where:
        return f"slot {where['slot']}, " + _way(instance, where)
    server = int(where.get("node", 0))
    name = instance.servers[server - 1].name if server else f"device {where['device']}"
    return f"slot {where['slot']}, {name}" if "slot" in where else name


def _way(instance: Instance, where: dict[str, int | str]) -> str:
    if "radio" in where:
        return f"radio of {where['radio']}"
    tail, head = (instance.servers[int(where[end]) - 1].name for end in ("from", "to"))
    return f"link {tail} to {head}"


def amount(kind: str, value: float) -> str:
    """Write an amount of a limit with its unit."""
    if unit(kind) == "s":
        return seconds(value, 5)
    if not unit(kind):  # a load, a fraction of the slot
        return f"{number(100 * value, 5)} %"
    name, size = price_unit(kind)
    return f"{number(value / size, 5)} {name}"
