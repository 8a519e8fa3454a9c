"""A few scalars, found by trying: a search of a stated budget on streams of its own seeds."""

from __future__ import annotations

import numpy as np

from mecopt.arrays import Floats
from mecopt.simulation import Pricing, Setting
from mecopt.simulation.arrivals import KINDS, draw
from mecopt.simulation.engine import simulate_stream
from mecopt.simulation.world import World
from mecopt_solvers.online.static import value_figures

BUDGET = 40  # tries, of all scalars together
TASKS, SEEDS = 20_000, (1_000_001, 1_000_002)  # of the streams that are tried on
SKIPPED = 2_000  # first tasks that do not count
# (p, q, r) in units of the static price and the value function: selfish, improvement, static, and between.
FIRST = ((0.0, 0.0, 0.0), (0.0, 1.0, 1.0), (0.0, 0.3, 0.3), (0.3, 0.3, 0.3))
FACTORS = (2.0, 0.5, 1.3, 0.77)
LEAST = 0.02  # in place of 0, before a factor


def tuned(
    setting: Setting, *, told: bool = False, quantile: float | None = None, tries: int = BUDGET
) -> Pricing:
    """Return the rule of entry costs u + x + x (a p + b q u + c r x) with the best a, b, c that were tried.

    Parameters
    ----------
    told : bool
        Whether each state of the arrivals has scalars of its own; the budget is twice as large then.
    quantile : float, optional
        Of the delay, which is to be least; the mean by default.
    tries : int
        The budget; the search ends before it where no single step is an improvement any more.
    """
    figures = value_figures(setting)
    return weighed(setting.world, figures, tuned_scalars(setting, figures, told, quantile, tries))


def weighed(world: World, figures: tuple[Floats, Floats, Floats], scalars: Floats) -> Pricing:
    """Return the rule with given scalars, (states, 3), and the figures p, q and r of `value_figures`."""
    prices, grow, curve = (scalars[:, i, None] * figures[i] for i in range(3))
    return Pricing.free(
        world, prices=prices, grow=grow, curve=curve, sees="flight", own=1.0, told=len(scalars) > 1
    )


def tuned_scalars(
    setting: Setting,
    figures: tuple[Floats, Floats, Floats],
    told: bool = False,
    quantile: float | None = None,
    tries: int = BUDGET,
) -> Floats:
    """Return the best a, b, c that were tried, (states, 3)."""
    kind = setting.arrivals if setting.arrivals in KINDS else "poisson"
    world = setting.world
    streams = [draw(kind, world.templates, setting.rate, TASKS, seed) for seed in SEEDS]

    def tried(scalars: Floats) -> float:
        rule = weighed(world, figures, scalars)
        runs = [
            simulate_stream(world, stream, rule, lag_s=setting.lag_s, discipline=setting.discipline)
            for stream in streams
        ]
        delays = [run.delay_s[SKIPPED:] for run in runs]
        if quantile is not None:
            return float(np.quantile(np.concatenate(delays), quantile))
        return float(np.mean(delays))

    states = 2 if told else 1
    left = tries * states
    starts = [np.tile(np.array(first), (states, 1)) for first in FIRST]
    results = [tried(scalars) for scalars in starts]
    left -= len(starts)
    best, least = starts[int(np.argmin(results))], min(results)
    while left > 0:
        better = False
        for at in np.ndindex(best.shape):
            for factor in FACTORS:
                if left == 0:
                    break
                scalars = best.copy()
                scalars[at] = np.maximum(scalars[at], LEAST) * factor
                left -= 1
                result = tried(scalars)
                if result < least:
                    best, least, better = scalars, result, True
                    break
        if not better:
            break
    return best
