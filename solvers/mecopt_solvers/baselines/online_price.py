"""`online-price`: an energy budget spent slot by slot, at a price worked out anew from what is left.

It decides task by task in the order of release and looks at no rate and no server speed of later slots.
docs/methods/online-price.md says what it knows instead, and what it promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.entities import Coupling
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import OF_ONE_TASK, Method
from mecopt.tolerances import JUST_BELOW, slack
from mecopt_solvers.baselines.ledger import in_order
from mecopt_solvers.baselines.online_knowledge import (
    ComingTasks,
    Outlook,
    from_ranges,
    from_trace,
    known_ranges,
)
from mecopt_solvers.baselines.placing import chunks, cut_off
from mecopt_solvers.priced_bound import improve_by_prices

DOUBT = 1e-6  # probability that the reserve may fall short, where the worst case cannot be paid for


@dataclass(eq=False)
class Purse:
    """What one device has left, and how many of its tasks of each kind are still to come."""

    left: float  # joules
    to_come: Ints  # (kinds,)
    asked: list[float] = field(default_factory=list)  # the finite prices so far, seconds for each joule


def cheapest(weight: Floats, energy: Floats, prices: Floats) -> tuple[Ints, Floats]:
    """Return the path of one task that is cheapest at each price on energy; inf asks for the least energy.

    Parameters
    ----------
    weight, energy : array of shape (M, J, J)
        Seconds (inf = forbidden) and joules of every step.
    prices : array of shape (G,)
        Seconds for each joule.

    Returns
    -------
    nodes : array of shape (G, M)
    joules : array of shape (G,)
    """
    if np.isinf(prices).any():
        weight, prices = np.where(np.isinf(weight), np.inf, 0.0), np.ones(len(prices))
    rows, stages = np.arange(len(prices)), len(weight)
    cost = weight + prices[:, None, None, None] * energy
    value, before = cost[:, 0, 0, :], []
    for m in range(1, stages):
        total = value[:, :, None] + cost[:, m]
        before.append(total.argmin(axis=1))
        value = total.min(axis=1)
    nodes = np.empty((len(prices), stages), dtype=np.int64)
    nodes[:, -1] = value.argmin(axis=1)
    for m in range(stages - 1, 0, -1):
        nodes[:, m - 1] = before[m - 1][rows, nodes[:, m]]
    ahead = np.concatenate([np.zeros((len(nodes), 1), dtype=np.int64), nodes[:, :-1]], axis=1)
    return nodes, energy[np.arange(stages), ahead, nodes].sum(axis=1)


def reserve(outlook: Outlook, to_come: Ints, left: float) -> float:
    """Return the joules kept for later tasks: their worst case, once what is `left` is enough for it.

    Until then, what they need at least but for a probability of `DOUBT`, by Bernstein's inequality for
    independent tasks whose least energies lie below a known bound.
    """
    worst, mean = float(to_come @ outlook.worst), float(to_come @ outlook.mean)
    if left >= worst:
        return worst
    doubt = np.log(1.0 / DOUBT)
    largest = float(np.max((outlook.worst - outlook.mean)[to_come > 0], initial=0.0))
    spread = np.sqrt(2.0 * doubt * float(to_come @ outlook.variance)) + largest * doubt / 3.0
    return min(worst, mean + float(spread))


def decide(weight: Floats, energy: Floats, outlook: Outlook, purse: Purse, kind: int) -> Ints:
    """Choose the path of the next task, and take what it spends from the purse."""
    price = outlook.price(purse.to_come, purse.left)
    if np.isfinite(price):
        purse.asked.append(price)
    purse.to_come[kind] -= 1
    free = purse.left - reserve(outlook, purse.to_come, purse.left)
    nodes, joules = cheapest(weight, energy, np.array([price]))
    if joules[0] > free and not np.isinf(price):
        dearer = outlook.prices[(outlook.prices > price) & np.isfinite(outlook.prices)]
        nodes, joules = cheapest(weight, energy, np.append(dearer, outlook.prices[-2]))
        within = np.flatnonzero(joules <= free)
        chosen = within[:1] if within.size else np.zeros(0, dtype=np.int64)
        nodes, joules = nodes[chosen], joules[chosen]
    if not len(nodes) or joules[0] > free:
        nodes, joules = cheapest(weight, energy, np.array([np.inf]))
    purse.left -= float(joules[0])
    chosen_path: Ints = nodes[0]
    return chosen_path


def _solve(instance: Instance, run: Run) -> None:
    paths = run.free_paths()
    if paths is None:
        return
    ranges = known_ranges(instance, run.options)
    run.notes["knows"] = "ranges" if ranges else "what it has seen"
    plan = ComingTasks.of(instance)
    on = Coupling.ENERGY in instance.rules.couplings
    purses = {
        d: Purse(float(slack(np.float64(device.energy_budget_j)) * JUST_BELOW), plan.counts(d))
        for d, device in enumerate(instance.devices)
        if on and device.energy_budget_j is not None
    }
    placement, order = paths.placement.copy(), in_order(instance)  # without a budget the price is 0
    outlook: Outlook | None = None
    seen = 0
    for tasks, arcs in chunks(run.costs, order, run.node_cost):
        for r, k in enumerate(tasks.tolist()):
            purse = purses.get(int(instance.tasks.device[k]))
            seen += 1
            if purse is None:
                continue
            if outlook is None and ranges:
                outlook = from_ranges(instance, plan, ranges, run.seed)
            elif outlook is None or (not ranges and seen >= 2 * outlook.samples):
                outlook = from_trace(run.costs, plan, order[:seen])
            placement[k] = decide(arcs.weight[r], arcs.energy_j[r], outlook, purse, plan.kind[k])
    run.found(cut_off(instance, placement))
    if purses:
        improve_by_prices(run, {"energy": typical_prices(len(instance.devices), purses)})


def typical_prices(devices: int, purses: Mapping[int, Purse]) -> Floats:
    """Return for every device the median of the prices that its tasks were asked, 0 where there are none."""
    prices = np.zeros(devices)
    for d, purse in purses.items():
        if purse.asked:
            prices[d] = float(np.median(purse.asked))
    return prices


METHOD = Method(
    name="online-price",
    kind="heuristic",
    summary="energy budgets spent task by task at a price from what is left; sees no later slot",
    honours=frozenset({Coupling.ENERGY}),
    solve=_solve,
    random=True,
    options=frozenset({"rate_bps", "load_factor"}),
    respects=frozenset(OF_ONE_TASK),
)
