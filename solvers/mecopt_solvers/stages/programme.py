"""The exact programme over (nodes used, last node, blocks done) for one task, and its delay-period front.

A node that runs one stretch of a task is done with it when the stretch ends, so that a set of nodes says all
that the rest of the chain needs to know (M. Held, R. Karp, "A dynamic programming approach to sequencing
problems", J. SIAM 10, 1962). What adds up over stretches, on the radio and on the device, is left out first;
where the best placement then breaks a limit on it, the states keep labels of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.tolerances import JUST_ABOVE, JUST_BELOW
from mecopt_solvers.stages import label_kernels, stage_kernels
from mecopt_solvers.stages.chain import DEVICE, HELD, RADIO, StageChain

AT_ONCE = 20_000_000  # comparisons between two looks at the clock
FIRST_LABELS, MOST_LABELS = 1 << 16, 1 << 24
MOST_CORNERS, NEAR = 8, 1e-9  # of a hull, before labels decide; what is no new corner
SAFE = 1.0 + 1e-14  # a sum that is larger by this is not one of rounding


@dataclass(frozen=True, eq=False)
class Figures:
    """What a path of a chain amounts to."""

    value: float  # of the costs that were minimised, or the period
    delay_s: float
    period_s: float
    sums: Floats  # (3,) radio, device, held on the device


def figures(chain: StageChain, path: Ints) -> Figures:
    """Add up what a path (M,) of a task takes."""
    before = np.concatenate([[0], path[:-1]])
    m = np.arange(len(path))
    begins = (path != before) | (m == 0)
    seconds = np.where(begins, chain.begin[path, m], chain.stay[path, m])
    on = np.bincount(path, seconds, len(chain.begin))
    wired = np.where((before > 0) & (path > 0) & (path != before), chain.link[before, path, m], 0.0)
    sums = chain.use[:, before, path, m].sum(axis=1)
    period = max(float(on.max()), float(wired.max()), float(sums[RADIO]))
    value = float(chain.cost[before, path, m].sum())
    return Figures(value, float(chain.delay[before, path, m].sum()), period, sums)


def shortest(
    chain: StageChain, cost: Floats, keep_time: Callable[[], None], most_s: float = np.inf
) -> Ints | None:
    """Return the path of least cost that keeps nothing busy for longer than `most_s`, None without one.

    Parameters
    ----------
    cost : array of shape (J, J, M)
        `Chain.cost` or `Chain.delay`.
    """
    cost = np.where(np.isfinite(chain.cost), cost, np.inf) + chain.without(most_s)
    side = np.array([most_s, most_s, chain.held])
    path = _by_sets(chain, cost, most_s, False, keep_time)
    if path is None or (figures(chain, path).sums <= side).all():
        return path
    return with_sums(chain, cost, most_s, side, keep_time)


def least_period(chain: StageChain, keep_time: Callable[[], None]) -> Ints | None:
    """Return the path of least period, None where there is none.

    The least without what adds up over stretches is a bound, and mostly attained. Else periods between it and
    the best one found are tried: one just below the best, which proves it, and one in the middle.
    """
    best = _by_sets(chain, chain.link + chain.without(np.inf), np.inf, True, keep_time)
    if best is None:
        return None
    bound = _without_sums(chain, best)
    if figures(chain, best).sums[HELD] > chain.held:
        best = within(chain, np.inf, keep_time)[0]
        if best is None:
            return None
    upper = figures(chain, best).period_s
    trial = bound * JUST_ABOVE
    while upper > bound * JUST_ABOVE:
        path, others = within(chain, trial, keep_time)
        for other in others:
            now = figures(chain, other)
            if now.period_s < upper and now.sums[HELD] <= chain.held:
                best, upper = other, now.period_s
        if path is not None:
            trial = (bound + upper) / 2
        elif trial >= upper * JUST_BELOW:
            return best
        else:
            bound, trial = trial, upper * JUST_BELOW
    return best


def within(chain: StageChain, most_s: float, keep_time: Callable[[], None]) -> tuple[Ints | None, list[Ints]]:
    """Find a path that keeps nothing busy for longer than `most_s`.

    Paths of the least seconds on radio and device, weighed against each other, are the corners of a hull (G.
    Handler, I. Zang, "A dual algorithm for the constrained shortest path problem", Networks 10, 1980). One of
    them keeps to the limit, or the hull lies beyond it, or labels have to say.

    Returns
    -------
    path : None where there is none
    met : all paths met, whose nodes and wired links by themselves are busy for no longer
    """
    allowed = chain.without(most_s)
    side = np.array([most_s, most_s, chain.held])
    met: list[Ints] = []
    corner: dict[bool, Floats] = {}  # seconds of radio and device, by whether the radio is within the limit
    weight = np.array([1.0, 0.0])  # of a second of the radio, and of one of the device
    for _ in range(MOST_CORNERS):
        cost = weight[RADIO] * chain.use[RADIO] + weight[DEVICE] * chain.use[DEVICE] + allowed
        path = _by_sets(chain, cost, most_s, False, keep_time)
        if path is None:
            return None, met
        met.append(path)
        sums = figures(chain, path).sums
        if (sums <= side).all():
            return path, met
        both = sums[[RADIO, DEVICE]]
        if weight @ both > weight.sum() * most_s * SAFE:
            return None, met
        known = min((float(weight @ old) for old in corner.values()), default=np.inf)
        if (both <= most_s).all() or weight @ both >= known * (1 - NEAR):
            break
        corner[bool(both[RADIO] <= most_s)] = both
        if len(corner) == 2:
            gone = corner[False] - corner[True]
            weight = np.array([-gone[DEVICE], gone[RADIO]])
        else:
            weight = np.array([0.0, 1.0])
    found = with_sums(chain, chain.use[RADIO] + allowed, most_s, side, keep_time)
    return found, met if found is None else [*met, found]


def _without_sums(chain: StageChain, path: Ints) -> float:
    """Return the period of a path without what adds up over its stretches."""
    cuts = np.flatnonzero(np.diff(path)) + 1
    starts, ends = [0, *cuts.tolist()], [*cuts.tolist(), len(path)]
    lengths = [
        chain.begin[path[a], a] + chain.stay[path[a], a + 1 : b].sum()
        for a, b in zip(starts, ends, strict=True)
    ]
    before = np.concatenate([[0], path[:-1]])
    return float(max(*lengths, chain.link[before, path, np.arange(len(path))].max()))


def front(chain: StageChain, keep_time: Callable[[], None] = lambda: None) -> list[tuple[Figures, Ints]]:
    """Return the paths that no other one beats in delay and period, by delay ascending."""
    found: list[tuple[Figures, Ints]] = []
    most = np.inf
    while most > 0 and (path := shortest(chain, chain.delay, keep_time, most)) is not None:
        now = figures(chain, path)
        if found and now.delay_s <= found[-1][0].delay_s:  # as quick, and less busy
            found.pop()
        found.append((now, path))
        most = now.period_s * JUST_BELOW
    return found


def _by_sets(
    chain: StageChain, cost: Floats, most: float, worst: bool, keep_time: Callable[[], None]
) -> Ints | None:
    """Solve the programme without what adds up over stretches."""
    nodes, _, stages = cost.shape
    value = np.empty((chain.sets, nodes, stages + 1))
    given = cost, chain.begin, chain.stay, chain.reach, chain.bit, *chain.span(most)
    for first, stop in _pieces(chain):
        keep_time()
        stage_kernels.least(*given, first, stop, most, worst, value)
    used, node = stage_kernels.best_end(value, chain.bit)
    if used < 0:
        return None
    path = np.empty(stages, dtype=np.int64)
    stage_kernels.follow(*given, most, worst, value, used, node, path)
    return path


def _pieces(chain: StageChain) -> list[tuple[int, int]]:
    """Split the sets into runs that take a moment each."""
    nodes, stages = chain.begin.shape
    size = max(1, AT_ONCE // (nodes * stages * (nodes + stages)))
    return [(first, min(first + size, chain.sets)) for first in range(0, chain.sets, size)]


def with_sums(
    chain: StageChain, cost: Floats, most: float, side: Floats, keep_time: Callable[[], None]
) -> Ints | None:
    """Solve the programme with those sums over stretches that are limited, `side` (3,).

    Raises
    ------
    MemoryError
        If there are more than `MOST_LABELS` labels.
    """
    nodes, _, stages = cost.shape
    which = np.flatnonzero(np.isfinite(side))
    use, side, span = np.ascontiguousarray(chain.use[which]), side[which], chain.span(most)
    room = FIRST_LABELS
    while room <= MOST_LABELS:
        v, q = np.empty(room), np.empty((room, len(which)))
        parent, begun, node = (np.empty(room, dtype=np.int64) for _ in range(3))
        lo, hi = (np.zeros((chain.sets, nodes, stages + 1), dtype=np.int64) for _ in range(2))
        tail = 0
        for first, stop in _pieces(chain):
            keep_time()
            tail = label_kernels.least(
                cost, use, side, chain.begin, chain.stay, chain.reach, chain.bit, *span, first, stop, most,
                v, q, parent, begun, node, tail, lo, hi,
            )  # fmt: skip
            if tail < 0:
                break
        if tail >= 0:
            return _traced(v, parent, begun, node, lo[:, :, stages], hi[:, :, stages], stages)
        room *= 4
    raise MemoryError(f"more than {MOST_LABELS} labels")


def _traced(v: Floats, parent: Ints, begun: Ints, node: Ints, lo: Ints, hi: Ints, stages: int) -> Ints | None:
    """Follow the best label back to its path."""
    ends = [np.arange(a, b) for a, b in zip(lo.ravel().tolist(), hi.ravel().tolist(), strict=True) if b > a]
    if not ends:
        return None
    labels = np.concatenate(ends)
    label = int(labels[v[labels].argmin()])
    path, end = np.empty(stages, dtype=np.int64), stages
    while label >= 0:
        path[begun[label] : end] = node[label]
        end, label = int(begun[label]), int(parent[label])
    return path
