"""What plans are weighed by: seconds, joules, and the money that servers and links are paid with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts
from mecopt.errors import InputError, listed, shown
from mecopt.instance import Instance
from mecopt.scalars import number
from mecopt.trellis_arcs import build_arcs, starts

AXES = ("delay", "energy", "price")
PERIOD = "period"  # an axis beside delay alone
UNITS = {"delay": "s", "energy": "J", "price": "", PERIOD: "s"}
WIRED = "wired"


@dataclass(frozen=True, eq=False)
class PlanPrices:
    """Money: for a second of calculation on each server, and for a bit over each link."""

    per_s: Floats  # (N,)
    per_bit: Floats  # (N,) over the link between device and server, either way
    wired_per_bit: float  # between two servers

    @property
    def any(self) -> bool:
        """Whether anything costs something."""
        return bool(self.per_s.any() or self.per_bit.any() or self.wired_per_bit)


def prices(
    instance: Instance,
    price_per_s: float | Mapping[str, float] | None,
    price_per_bit: float | Mapping[str, float] | None,
) -> PlanPrices:
    """Read prices: one number for all, or numbers by the names of servers.

    Raises
    ------
    InputError
        If a name is no server's (``wired`` is the link between servers), or a price is no number >= 0.
    """
    names = [server.name for server in instance.servers]
    each = _table("price_per_s", price_per_s, names)
    bits = _table("price_per_bit", price_per_bit, [*names, WIRED])
    return PlanPrices(np.array(each), np.array(bits[:-1]), bits[-1])


def _table(what: str, given: float | Mapping[str, float] | None, names: list[str]) -> list[float]:
    if given is None:
        return [0.0] * len(names)
    if not isinstance(given, Mapping):
        return [float(number(what, given))] * len(names)
    unknown = [name for name in given if name not in names]
    if unknown:
        raise InputError(f"{what}: {shown(unknown[0])}, expected one of {listed(names)}")
    return [float(number(f"{what}: {name}", given.get(name, 0.0))) for name in names]


def figures(axis: str, costs: ChainCosts, tasks: Ints, node_cost: Floats | None, paid: PlanPrices) -> Floats:
    """Return one figure of every step of some tasks, (K, M, J, J), inf where it is forbidden.

    Seconds have penalties and the result's way back in them.
    """
    plain = replace(costs, delay_worth=1.0, energy_worth=0.0, weight=None, drop_cost=None)
    delay = build_arcs(plain, tasks, node_cost).weight
    if axis == "delay":
        return delay
    if axis == "energy":
        joules = replace(plain, delay_worth=0.0, energy_worth=1.0, penalty=0.0)
        found = build_arcs(joules, tasks, node_cost).weight
    else:
        found = _money(costs, tasks, paid)
    return np.where(np.isinf(delay), np.inf, np.where(np.isinf(found), 0.0, found))


def _money(costs: ChainCosts, tasks: Ints, paid: PlanPrices) -> Floats:
    stages, nodes = costs.device_s.shape[1], costs.send_s.shape[1] + 1
    work = costs.batch[tasks, None, None] * costs.server_s[costs.group[tasks]]
    calc = np.concatenate([np.zeros((len(tasks), stages, 1)), work], axis=2)[:, :, None, :]
    if costs.start_s is not None:
        calc = calc + starts(costs, tasks)
    per_s = np.concatenate([[0.0], paid.per_s])
    each = np.zeros((nodes, nodes))
    each[0, 1:] = paid.per_bit
    each[1:, 0] = paid.per_bit * costs.return_transfer  # what the rules do not count costs nothing
    each[1:, 1:] = paid.wired_per_bit
    np.fill_diagonal(each, 0.0)
    money: Floats = np.where(per_s > 0, per_s * calc, 0.0) + costs.bits[tasks][:, :, None, None] * each
    if costs.return_result:
        last = (np.arange(len(tasks)), costs.blocks[tasks] - 1)
        money[(*last, slice(None), slice(1, None))] += (
            costs.result_bits[tasks, None, None] * paid.per_bit[None, None]
        )
    money[np.arange(stages) >= costs.blocks[tasks, None]] = 0.0
    return money
