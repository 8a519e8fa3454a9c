"""A bound that no policy gets below, not even one that knows the stream; docs/online.md has the proof."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.simulation.arrivals import Stream
from mecopt.simulation.world import World

CUTS = (1.0, 0.99, 0.9, 0.5)  # quantiles of the tasks' work at which it is cut off
SLOPES = (
    0.0,
    0.03,
    0.1,
    0.3,
    0.6,
    1.0,
    1.7,
    3.0,
    10.0,
    100.0,
)  # of seconds against work, in their mean ratio
SHARES = (1.0, 0.85)  # of the work, in the queue whose busy periods shape the prices
CAPS = (0.3, 1.0, 2.2, 4.5, 9.0, 20.0, 1e9)  # of prices, in that ratio
TRIAL_TASKS = 10_000  # on so many the figures are chosen that the bound is then formed with

Price = tuple[float, float]  # a share and a cap


@dataclass(frozen=True, eq=False)
class Bound:
    """Lower bounds on the mean delay of a stream's tasks under any policy.

    Attributes
    ----------
    unloaded_s : float
        Without any waiting.
    queueing_s : float
        With what the pooled work of the servers forces; never below the other.
    """

    unloaded_s: float
    queueing_s: float


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Figures of every distinct pair of template and size, P of them, and which is whose, (T,)."""

    of: Ints
    task: Ints
    size: Floats
    unloaded: Floats  # (P,) fastest path without waiting
    ahead: Floats  # (P,) seconds before any server can begin
    behind: Floats  # (P,) seconds after the last server has ended


@dataclass(frozen=True, eq=False)
class _Lines:
    """What the prices of one trial say of every pair: the frontier of seconds and priced work."""

    work: Floats  # (P,) of the fastest path
    least: Floats  # (P, L)
    slope: Floats  # (L,)
    ratio: float  # mean seconds of a path without waiting, by its work
    ahead: Floats  # (P,)
    behind: Floats  # (P,)
    half: float


def bound_of(world: World, stream: Stream, price: Floats | None = None) -> Bound:
    """Work out the bound for a stream.

    Parameters
    ----------
    price : array (R,), optional
        Prices of resources, >= 0 with sum 1, to try beside the usual ones.
    """
    pairs = _pairs(world, stream)
    share = np.bincount(pairs.of, minlength=len(pairs.task)) / len(stream)
    unloaded = float(share @ pairs.unloaded)
    trials = []
    few = min(len(stream), TRIAL_TASKS)
    for weights in _prices(world, price):
        lines = _lines(world, pairs, weights)
        if lines is None:
            continue
        cuts = _cuts(lines.work, share)
        trials += [(*_best(stream, pairs, lines, cut, few), lines, cut) for cut in cuts]
    if not trials:
        return Bound(unloaded, unloaded)
    _, at, lines, cut = max(trials, key=lambda trial: trial[0])
    return Bound(unloaded, max(unloaded, _formed(stream, pairs, lines, cut, len(stream), at)))


def _prices(world: World, price: Floats | None) -> list[Floats]:
    """Return prices of resources to try; any that are >= 0 with sum 1 give a bound."""
    work = world.tables[2][:, :, 1:].sum(axis=1)  # (K, N)
    finite = np.where(np.isfinite(work), work, np.nanmax(np.where(np.isfinite(work), work, 0.0)))
    speed = 1.0 / np.maximum(finite.mean(axis=0), 1e-12)
    even, by_speed = np.zeros(world.resources), np.zeros(world.resources)
    even[: world.servers] = 1.0 / world.servers
    by_speed[: world.servers] = speed / speed.sum()
    found = [by_speed] if np.allclose(even, by_speed) else [by_speed, even]
    return found if price is None else [*found, price]


def _pairs(world: World, stream: Stream) -> _Pairs:
    sizes, at = np.unique(stream.size, return_inverse=True)
    keys, of = np.unique(at * world.templates + stream.task, return_inverse=True)
    task, size = keys % world.templates, sizes[keys // world.templates]
    _, unloaded, _ = world.decide(task, size)
    ahead, behind = _ends(world, task, size[:, None])
    ahead = np.minimum(ahead, unloaded)
    return _Pairs(of, task, size, unloaded, ahead, np.minimum(behind, unloaded - ahead))


def _ends(world: World, task: Ints, size: Floats) -> tuple[Floats, Floats]:
    """Return the least seconds before a server can begin, and after the last has ended, (P,) each."""
    blocks, _, work, _, _, up, down, _, latency, _, _ = world.tables
    local = work[task, :, 0] * size
    rows, stages = np.arange(len(task)), world.stages
    done = np.concatenate([np.zeros((len(task), 1)), np.cumsum(local, axis=1)], axis=1)
    left = np.concatenate([np.cumsum(local[:, ::-1], axis=1)[:, ::-1], np.zeros((len(task), 1))], axis=1)

    def home(m: int) -> Floats:
        back = down[task, m]
        least: Floats = np.where(back < 0, 0.0, size * np.maximum(back, 0.0) + latency).min(axis=1)
        return least

    ahead, behind = np.full(len(task), np.inf), home(stages)
    for m in range(stages):
        real = m < blocks[task]
        send = done[rows, m] + (size * up[task, m] + latency).min(axis=1)
        ahead = np.where(real, np.minimum(ahead, send), ahead)
        if m > 0:
            behind = np.where(real, np.minimum(behind, home(m) + left[rows, m]), behind)
    return ahead, behind


def _lines(world: World, pairs: _Pairs, price: Floats) -> _Lines | None:
    """Return the frontier at some prices, None where nothing that costs is needed."""
    fixed = not price[world.servers :].any()  # else work that costs may be done at once
    _, _, loads = world.decide(pairs.task, pairs.size)
    device = world.tables[1][pairs.task]
    work = loads[:, : world.servers] @ price[: world.servers]
    work = work + loads[:, world.servers] * price[world.servers + device]
    work = work + loads[:, world.servers + 1] * price[world.servers + world.devices + device]
    if not (work > 0).any():
        return None
    ratio = pairs.unloaded.mean() / work[work > 0].mean()
    slopes = np.array(SLOPES) * ratio
    least = np.stack(
        [world.decide(pairs.task, pairs.size, price=slope * price)[1] for slope in slopes], axis=1
    )
    none = np.zeros_like(work)
    return _Lines(
        work,
        least,
        slopes,
        ratio,
        pairs.ahead if fixed else none,
        pairs.behind if fixed else none,
        0.5 / float(price.max()),
    )


def _cuts(work: Floats, share: Floats) -> list[float]:
    order = np.argsort(work)
    total = np.cumsum(share[order])
    at = [min(int(np.searchsorted(total, q * total[-1] - 1e-12)), len(work) - 1) for q in CUTS]
    return sorted({float(work[order[i]]) for i in at} - {0.0})


def _formed(stream: Stream, pairs: _Pairs, lines: _Lines, cut: float, count: int, at: Price) -> float:
    """Return the bound on the mean of the first `count` tasks at a price of work over time."""
    from mecopt.simulation.bound_kernels import least_pay

    arrive, of, until = _queue(stream, pairs, lines, cut, count, at[0])
    fixed = lines.ahead + lines.behind
    return (
        float(least_pay(arrive, of, until, lines.least, lines.slope, fixed, cut, lines.half, at[1])) / count
    )


def _best(stream: Stream, pairs: _Pairs, lines: _Lines, cut: float, count: int) -> tuple[float, Price]:
    """Return the best bound on the mean of the first `count` tasks, and the price that gives it."""
    from mecopt.simulation.bound_kernels import least_pay

    fixed, best = lines.ahead + lines.behind, (-np.inf, (1.0, 0.0))
    for share in SHARES:
        arrive, of, until = _queue(stream, pairs, lines, cut, count, share)
        for cap in CAPS:
            price = cap * lines.ratio
            pay = least_pay(arrive, of, until, lines.least, lines.slope, fixed, cut, lines.half, price)
            best = max(best, (float(pay) / count, (share, price)))
    return best


def _queue(
    stream: Stream, pairs: _Pairs, lines: _Lines, cut: float, count: int, share: float
) -> tuple[Floats, Ints, Floats]:
    """Return when work comes, whose it is, and when the busy period it comes in ends, (T,) each."""
    from mecopt.simulation.bound_kernels import busy_until

    of = pairs.of[:count]
    arrive = stream.time_s[:count] + lines.ahead[of]
    if lines.ahead.any():
        order = np.argsort(arrive, kind="stable")
        arrive, of = arrive[order], of[order]
    until = np.empty(count)
    busy_until(arrive, np.minimum(lines.work, cut)[of], share, until)
    return arrive, of, until
