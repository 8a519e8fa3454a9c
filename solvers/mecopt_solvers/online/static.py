"""The best that fixed shares can do: prices of the sharing program's dual, and what servers then carry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mecopt.arrays import Floats
from mecopt.simulation import Setting

STEPS = 300
KEPT = 64  # price rows of the mixture
FULLEST = 0.995  # a load above this is priced like this one


@dataclass(frozen=True, eq=False)
class Shares:
    """Fixed shares of tasks, and the queues that they make; R resources.

    Attributes
    ----------
    prices : array (J, R)
        Drawn evenly, each row's cheapest paths together make the shares.
    load : array (R,)
        Utilisation.
    visits : array (R,)
        Tasks a second that use a resource.
    square : array (R,)
        Mean square of their seconds.
    """

    prices: Floats
    load: Floats
    visits: Floats
    square: Floats

    @property
    def slack(self) -> Floats:
        """1 - load, never quite 0, (R,)."""
        return 1.0 - np.minimum(self.load, FULLEST)

    @property
    def waiting_s(self) -> Floats:
        """Mean work that an M/G/1 queue has to do (Pollaczek and Khinchine), (R,)."""
        wait: Floats = self.visits * self.square / (2.0 * self.slack)
        return wait


def shares_of(setting: Setting) -> Shares:
    """Find them by the method of Frank and Wolfe.

    A resource of load rho has ``rho + (1 + c^2) / 2 * rho^2 / (1 - rho)`` tasks on the mean, c^2 of the
    sizes; a second more of work on it costs the derivative: 1 for the second itself, the rest is its price.
    """
    world, rate = setting.world, setting.rate
    task = np.arange(world.templates)
    moment = float(setting.chances @ setting.sizes**2) / float(setting.chances @ setting.sizes) ** 2
    weight = float(setting.chances @ setting.sizes)

    def price(load: Floats) -> Floats:
        rho = np.minimum(load, FULLEST)
        return 0.5 * moment * (1.0 / (1.0 - rho) ** 2 - 1.0)

    load = np.zeros(world.resources)
    visits, square = np.zeros_like(load), np.zeros_like(load)
    rows = []
    for step in range(STEPS):
        rows.append(price(load))
        _, _, loads = world.decide(task, price=rows[-1])
        share = 2.0 / (step + 2.0)
        for kept, now in (
            (load, rate * weight * world.mean_load(task, loads)),
            (visits, rate * world.mean_load(task, (loads > 0).astype(np.float64))),
            (square, rate * moment * weight**2 * world.mean_load(task, loads**2)),
        ):
            kept += share * (now - kept)
    # Step t has weight about 2 t / STEPS^2 in the end, so its square root is drawn evenly.
    at = (STEPS * np.sqrt((np.arange(KEPT) + 0.5) / KEPT)).astype(np.int64)
    mean_square = np.divide(square, visits, out=np.zeros_like(square), where=visits > 0)
    return Shares(np.stack(rows)[at], load, visits, mean_square)


def value_figures(setting: Setting) -> tuple[Floats, Floats, Floats]:
    """Return p, q and r of the value function of the M/G/1 queues that the best fixed shares make, (R,) each.

    A queue with Poisson arrivals at rate l and load rho, first come, first served, has the relative value
    l u^2 / (2 (1 - rho)) at backlog u. Work x raises it by x (q u + r x) with q = l / (1 - rho), r = q / 2.
    p is the static price, for rules that weigh it; the step of policy improvement has none.
    """
    shares = shares_of(setting)
    grow = shares.visits / shares.slack
    return shares.prices.mean(axis=0), grow, 0.5 * grow
