"""How a node of the tree is divided: by the number of tasks that run a block on a node."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt_solvers.decomposition.dual import Counts
from mecopt_solvers.decomposition.master import Columns, Solution
from mecopt_solvers.decomposition.problem import WITHIN, Part

INTEGRAL = 1e-6
DEVICE_FIRST = 1e4  # how much rather a decision is taken on the device than on a server


def branches(part: Part, columns: Columns, solution: Solution | None, old: Counts) -> list[Counts]:
    """Divide what a node holds, so that its linear program's solution is in no branch; empty if none is left.

    The most fractional count is at most its floor in one branch, and at least its ceiling in the other.
    Where patterns strengthen the bound (runs.py), all counts can be whole and a server overfull all the
    same, for parts of patterns cover what is there. Then one of the counts that overfill it must be smaller.
    """
    if solution is None:
        return []
    used = np.flatnonzero(solution.share > 0)
    columns, share = columns.at(used), solution.share[used]
    _, group = np.unique(np.column_stack([part.slot, part.kind]), axis=0, return_inverse=True)
    labels = group, np.arange(len(part.tasks))  # sets of like tasks first, single tasks when these are whole
    counts = [_count(part, columns, share, label) for label in labels]
    for label, count in zip(labels, counts, strict=True):
        if (place := _most_fractional(part, label, count)) is not None:
            g, m, j = place
            weight = _weight(part, label, g, m)
            return [
                old.also(weight, j, np.floor(count[place])),
                old.also(-weight, j, -np.ceil(count[place])),
            ]
    for label, count in zip(labels, counts, strict=True):
        if divided := list(_fewer(part, label, np.rint(count), old)):
            return divided
    return []


def _count(part: Part, columns: Columns, share: Floats, label: Ints) -> Floats:
    """Return how many tasks of a set run a block on a node, (sets, M, J)."""
    _, stages, nodes = part.weight.shape[:3]
    size = int(label.max()) + 1
    count = np.zeros((size, stages, nodes))
    for m in range(stages):
        real = columns.path[:, m] >= 0
        key = label[columns.task[real]] * nodes + columns.path[real, m]
        count[:, m] = np.bincount(key, share[real], size * nodes).reshape(size, nodes)
    return count


def _most_fractional(part: Part, label: Ints, count: Floats) -> tuple[int, int, int] | None:
    """Return set, block and node of the count to decide on; None when all are whole."""
    score = np.abs(count - np.rint(count))
    score[score < INTEGRAL] = 0.0
    score[:, :, 0] *= DEVICE_FIRST
    score *= _importance(part)[_first(label)]
    if not score.max() > 0:
        return None
    g, m, j = (int(i) for i in np.unravel_index(int(score.argmax()), score.shape))
    return g, m, j


def _fewer(part: Part, label: Ints, count: Floats, old: Counts) -> Iterator[Counts]:
    """Divide by which of the counts that overfill a server is smaller; nothing if none does.

    The first is smaller in the first branch, the second but not the first in the next, and so on.
    """
    least = np.full((*count.shape[:2], part.nodes), np.inf)
    np.minimum.at(least, label, part.work)
    taken = count * least
    for slot in range(part.slots):
        mine = np.flatnonzero(part.slot[_first(label)] == slot)
        load = taken[mine].sum(axis=(0, 1))
        server = int(load[1:].argmax()) + 1
        if load[server] <= WITHIN:
            continue
        there = taken[mine, :, server]
        order = np.argsort(-there, axis=None)
        most = int(np.searchsorted(np.cumsum(there.ravel()[order]), WITHIN, "right")) + 1
        sets, blocks = np.unravel_index(order[:most], there.shape)
        for g, m in zip(mine[sets].tolist(), blocks.tolist(), strict=True):
            weight, number = _weight(part, label, g, m), count[g, m, server]
            yield old.also(weight, server, number - 1.0)
            old = old.also(-weight, server, -number)
        return


def _weight(part: Part, label: Ints, g: int, m: int) -> Floats:
    """Return the weights (K, M) of a set's tasks at a block."""
    weight = np.zeros(part.weight.shape[:2])
    weight[label == g, m] = 1.0
    return weight


def _first(label: Ints) -> Ints:
    """Return the first task of every set."""
    _, first = np.unique(label, return_index=True)
    return first


def _importance(part: Part) -> Floats:
    """Weigh blocks by what they take of a server: a decision on a tiny one changes nothing, (K, M, 1)."""
    size = part.work.max(axis=2)
    largest = size.max(axis=1, keepdims=True)
    return np.where(largest > 0, np.sqrt(size / np.maximum(largest, 1e-300)) + 1e-6, 1.0)[:, :, None]
