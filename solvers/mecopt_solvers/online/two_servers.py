"""Two servers and Poisson arrivals: the optimum of all that see the backlogs, by value iteration."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats
from mecopt.errors import InputError
from mecopt.simulation import Rule, Setting, View
from mecopt.simulation.world import World

DEEPEST = 30.0  # backlogs up to so many times the largest work
TOLERANCE = 1e-4  # of the mean delay, between the two bounds that an iteration gives
MOST_SWEEPS = 20_000
SAME = 1e-9


@dataclass(frozen=True, eq=False)
class Optimum:
    """The least mean delay of two queues, as far as a grid tells.

    Attributes
    ----------
    mean_s : float
        Extrapolated from the two finest of three grids, each twice as fine as the one before.
    error_s : float
        How far that is from the same of the two coarser: what is left of the discretisation is below that,
        where it falls with the square of the step as it should.
    choice : array (K, G, G) of int8
        The decision of a template at backlogs in steps: 0 the device, 1 and 2 the servers.
    step_s : float
        Seconds of a step.
    """

    mean_s: float
    error_s: float
    choice: NDArray[np.int8]
    step_s: float


def optimum_of(world: World, rate: float, steps: int = 4) -> Optimum:
    """Find the optimum for Poisson arrivals of `rate` tasks a second, seen without delay.

    A task is served whole on one server. Exact up to the grid, since nothing else queues and work reaches its
    server at once; instances where that is not so are refused.

    Parameters
    ----------
    steps : int
        Grid steps in the mean work of a task, on the coarsest grid.

    Raises
    ------
    InputError
        If there are not two servers, transfers take time, or a device is of use.
    """
    work, extra, elsewhere = _figures(world)
    grids = [_solved(work, extra, elsewhere, rate, steps * finer) for finer in (1, 2, 4)]
    # Between two grids whose error falls with the square of the step, a third of their difference is left.
    first, second = (b[0] + (b[0] - a[0]) / 3.0 for a, b in pairwise(grids))
    _, choice, step_s = grids[-1]
    return Optimum(second, abs(second - first), choice, step_s)


def rule_of(optimum: Optimum) -> Rule:
    """Return the optimum's policy as a rule."""
    last = optimum.choice.shape[1] - 1

    def prepare(setting: Setting) -> object:
        blocks = setting.world.tables[0]

        def decide(view: View) -> list[int]:
            at = np.rint(view.backlog_s / optimum.step_s).astype(np.int64)
            at = np.maximum(at - max(0, int(at.max()) - last), 0)
            return [int(optimum.choice[view.task, at[0], at[1]])] * int(blocks[view.task])

        return decide

    return Rule("value-iteration", "the optimum of two servers, by value iteration", prepare)  # type: ignore[arg-type]


def _figures(world: World) -> tuple[Floats, Floats, Floats]:
    """Return work and further delay on either server, (K, 2) each, and the delay on the device, (K,)."""
    if world.servers != 2:
        raise InputError(f"value iteration is for 2 servers, the instance has {world.servers}")
    _, _, work, start, starts, up, down, _, latency, _, _ = world.tables
    seconds = work.sum(axis=1)
    if starts:
        seconds = seconds + start[:, 0]
    moves = np.where(up[:, 0] < np.inf, up[:, 0], 0.0) + np.maximum(down[:, -1], 0.0) + latency
    if (moves > SAME * seconds[:, 1:]).any():
        raise InputError("value iteration takes no instance in which transfers take time")
    alone = np.where(np.isfinite(up[:, 0]), seconds[:, 1:], np.inf)
    if not np.isfinite(alone).any(axis=1).all():
        raise InputError("value iteration needs a server for every task")
    elsewhere = seconds[:, 0]
    if (elsewhere < 1e3 * alone.min(axis=1)).any():
        raise InputError("value iteration takes no instance whose devices are of use: they would queue too")
    large = np.where(np.isfinite(alone), alone, 0.0)
    return large, np.where(np.isfinite(alone), alone, 1e12), np.full_like(elsewhere, np.inf)


def _solved(
    work: Floats, extra: Floats, elsewhere: Floats, rate: float, steps: int
) -> tuple[float, NDArray[np.int8], float]:
    """Return mean delay, decisions and step of one grid."""
    from mecopt_solvers.online.value_kernels import sweep

    step = float(work[work > 0].mean()) / steps
    size = int(DEEPEST * float(work.max()) / step) + 1
    chance = np.full(len(work), 1.0 / len(work))
    value, after = np.zeros((size, size)), np.zeros((size, size))
    choice = np.zeros((len(work), size, size), dtype=np.int8)
    # The gap to the next arrival is exponential, and the value is taken as linear along each step.
    stay = float(np.exp(-rate * step))
    mean_part = (1.0 - stay) / (rate * step)
    load = rate / sum(1.0 / seconds for seconds in work.mean(axis=0).tolist() if seconds > 0)
    if load >= 1:
        raise InputError(f"value iteration: load {load:.3g}, expected below 1")
    # Later tasks that wait for a second of work more: those that come before a full server is empty again.
    edge = 0.5 * rate * size * step / (1.0 - load)
    low, high = -np.inf, np.inf
    for _ in range(MOST_SWEEPS):
        low, high = sweep(
            value,
            after,
            work,
            extra,
            elsewhere,
            chance,
            step,
            1.0 - mean_part,
            mean_part - stay,
            stay,
            edge,
            choice,
        )
        if high - low <= TOLERANCE * max(low, 1e-300):
            break
    return 0.5 * (low + high), choice, step
