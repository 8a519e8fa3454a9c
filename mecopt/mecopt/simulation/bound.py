"""A bound that no policy gets below, not even one that knows the stream; docs/online.md has the proof."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.simulation.arrivals import Stream
from mecopt.simulation.free_price import free_bound
from mecopt.simulation.world import World

CUTS = (1.0, 1.6, 2.5, 4.0, 7.0, 12.0, 25.0, 60.0)  # multiples of the mean work at which tasks' work is cut
BEYOND = 5.0  # times the largest work a cut is of no use
LEAST_TOLL = 0.5  # of the fastest server; servers that differ by less gained nothing, and frontiers grow
CHARGED = 0.95  # of a cut, that counts of a task where there are tolls
ROOM = 64  # points of a frontier
# Bins of time by prices of work, which say how fine both are: in all, and a task; and most prices by pairs.
COARSE, MEDIUM, FINE = (2e6, 2e3, 5e4), (1e8, 2e5, 1e5), (1e9, 2e5, 2e5)
NEAR = 0.97  # of the bound by a free price, below which the other is not formed on the finest grid
TRIAL_TASKS = 4_000  # on so many the figures are chosen that the bound is then formed with


@dataclass(frozen=True, eq=False)
class StreamBound:
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
    """What the prices of one trial say of every pair: the frontier of seconds, priced work and tolls."""

    work: Floats  # (P,) of the fastest path
    points: tuple[Floats, Floats, Floats, Ints]  # (P, ROOM) seconds, work and tolls, (P,) how many
    toll: Floats  # (N,)
    ahead: Floats  # (P,)
    behind: Floats  # (P,)
    speed: float  # most priced work of one task that is done in a second


_Trial = tuple[float, _Lines, float]  # bound, what it was formed with, cut


def bound_of(world: World, stream: Stream, price: Floats | None = None) -> StreamBound:
    """Work out the bound for a stream.

    Parameters
    ----------
    price : array (R,), optional
        Prices of resources, >= 0 with sum 1, to try beside the usual ones.
    """
    pairs = _pairs(world, stream)
    share = np.bincount(pairs.of, minlength=len(pairs.task)) / len(stream)
    unloaded = float(share @ pairs.unloaded)
    few = min(len(stream), TRIAL_TASKS)

    def tried(price: Floats, toll: Floats) -> list[_Trial]:
        lines = _lines(world, pairs, price, toll)
        if lines is None:
            return []
        cuts = _cuts(lines.work, share)
        return [(_formed(stream, pairs, lines, cut, few, COARSE), lines, cut) for cut in cuts]

    prices = _prices(world, price)
    trials = [trial for one in prices for trial in tried(one, np.zeros(world.servers))]
    if not trials:
        return StreamBound(unloaded, unloaded)
    best = max(trials, key=lambda trial: trial[0])
    free = best[1]
    for toll in _tolls(world):
        best = max([best, *tried(prices[0], toll)], key=lambda trial: trial[0])
    _, lines, cut = best
    least = max(unloaded, _free(stream, pairs, free))
    falling = _formed(stream, pairs, lines, cut, len(stream), MEDIUM)
    if falling > NEAR * least:
        falling = max(falling, _formed(stream, pairs, lines, cut, len(stream), FINE))
    return StreamBound(unloaded, max(least, falling))


def _free(stream: Stream, pairs: _Pairs, lines: _Lines) -> float:
    """Return the bound on the mean by prices that rise and fall as they like."""
    seconds, work, _, count = lines.points
    ends = lines.ahead, lines.behind
    found = free_bound(stream.time_s, pairs.of, (seconds, work, count), ends, lines.speed)
    return found / len(stream)


def _prices(world: World, price: Floats | None) -> list[Floats]:
    """Return prices of resources to try; any that are >= 0 with sum 1 give a bound."""
    speed = 1.0 / np.maximum(_mean_work(world), 1e-12)
    even, by_speed = np.zeros(world.resources), np.zeros(world.resources)
    even[: world.servers] = 1.0 / world.servers
    by_speed[: world.servers] = speed / speed.sum()
    found = [by_speed] if np.allclose(even, by_speed) else [by_speed, even]
    return found if price is None else [*found, price]


def _mean_work(world: World) -> Floats:
    """Return the mean seconds of a whole task on every server, (N,)."""
    work = world.tables[2][:, :, 1:].sum(axis=1)  # (K, N)
    finite: Floats = np.where(np.isfinite(work), work, np.nanmax(np.where(np.isfinite(work), work, 0.0)))
    mean: Floats = finite.mean(axis=0)
    return mean


def _tolls(world: World) -> list[Floats]:
    """Return tolls of a second of every server to try: those that make some servers equally good at leisure.

    With them a task takes as long on a faster server, tolls and all, as on one that has none.
    """
    work = np.maximum(_mean_work(world), 1e-12)
    even = np.unique(work)[1:]
    if len(even) > 2:
        even = even[[len(even) // 2, -1]]
    tolls = [np.maximum(seconds / work - 1.0, 0.0) for seconds in even]
    return [toll for toll in tolls if toll.max() >= LEAST_TOLL]


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


def _lines(world: World, pairs: _Pairs, price: Floats, toll: Floats) -> _Lines | None:
    """Return the frontier at some prices, None where nothing that costs is needed."""
    from mecopt.simulation.bound_kernels import frontiers

    count, nodes = len(pairs.task), world.servers + 1
    seconds, paid = np.zeros((count, ROOM)), np.zeros((count, ROOM))
    points = seconds, np.zeros((count, ROOM)), paid, np.zeros(count, dtype=np.int64)
    labels = [
        part for _ in range(2) for part in (*np.empty((3, nodes, ROOM)), np.zeros(nodes, dtype=np.int64))
    ]
    frontiers(pairs.task, pairs.size, world.tables, price, toll, tuple(labels), *points)
    work = points[1][:, 0]
    if not (work > 0).any():
        return None
    early = not price[world.servers :].any()  # else work that costs may be done at once
    none = np.zeros_like(work)
    return _Lines(
        work,
        points,
        toll,
        pairs.ahead if early else none,
        pairs.behind if early else none,
        float(price.max()),
    )


def _cuts(work: Floats, share: Floats) -> list[float]:
    mean, most = float(share @ work), BEYOND * float(work.max())
    return [factor * mean for factor in CUTS if factor * mean <= most]


def _formed(
    stream: Stream, pairs: _Pairs, lines: _Lines, cut: float, count: int, fineness: tuple[float, float, float]
) -> float:
    """Return the bound on the mean of the first `count` tasks."""
    from mecopt.simulation.bound_kernels import best_pay, least_pay, longest_busy

    of, came = pairs.of[:count], stream.time_s[:count]
    seconds, work, paid, many = lines.points
    most, income, rows = cut, 0.0, len(many)
    fixed, tolls = lines.ahead + lines.behind, paid
    if lines.toll.any():
        # Who may be served behind the last arrival for less than the tolls pays none: a second row a pair.
        most = CHARGED * cut
        real = np.arange(ROOM) < many[:, None]
        left = 1.0 - np.minimum(work, most) / cut
        patient = np.where(real & (paid > 0), seconds + paid / left, 0.0).max(axis=1)
        of = np.where(came[-1] - came >= patient[of], of, of + rows)
        income = float(lines.toll.sum()) * float(came[-1] - came[0])
        seconds, work, many, fixed = (np.concatenate([part, part]) for part in (seconds, work, many, fixed))
        tolls = np.concatenate([paid, np.zeros_like(paid)])
    arrive = came + np.tile(lines.ahead, 2)[of]
    if lines.ahead.any():
        order = np.argsort(arrive, kind="stable")
        arrive, of = arrive[order], of[order]
    top = min(longest_busy(arrive, of, np.minimum(work[:, 0], most)), _highest(lines, cut))
    span = float(arrive[-1] - arrive[0])
    wide = max(
        (span * top / min(fineness[0], fineness[1] * count)) ** 0.5, top * len(many) / fineness[2], 1e-12
    )
    step = wide / cut
    pay = np.empty((len(many), 2 * int(top / wide) + 2))
    least_pay(seconds, work, tolls, many, fixed, most, 1.0 / cut, lines.speed, step, pay)
    bins, half = np.divmod(((arrive - arrive[0]) / (0.5 * wide)).astype(np.int64), 2)
    return (float(best_pay(bins, half, of, pay, step, wide)) - income) / count


def _highest(lines: _Lines, cut: float) -> float:
    """Return seconds from a price above which every task takes the path of least work to none."""
    seconds, work, _, many = lines.points
    real = np.arange(ROOM) < many[:, None]
    rows = np.arange(len(many))
    last = np.argmin(np.where(real, work, np.inf), axis=1)
    more = work - work[rows, last][:, None]
    worth = real & (more > 1e-12 * work.max())
    if not worth.any():
        return np.inf
    ratio = (seconds[rows, last][:, None] - seconds) / np.where(worth, more, 1.0)
    return 1.05 * cut * max(1e-9, float(ratio[worth].max())) + float(seconds.max())
