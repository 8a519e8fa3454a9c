"""The k best placements of one task: k shortest paths through its trellis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts
from mecopt.errors import InputError
from mecopt.judge import Evaluation, evaluate
from mecopt.trellis_arcs import build_arcs


@dataclass(frozen=True)
class Alternative:
    """One of the best placements of a task, couplings ignored.

    Parameters
    ----------
    task : int
    nodes : tuple of int
        Node of every block; none where the task is left out.
    objective_s : float
        What the task adds to the objective.
    extra_s : float
        By how much that is more than the least.
    chosen : bool
        Whether the explained placement has it.
    violates : tuple of str
        What would be violated if the task alone changed to it, beyond what is violated already.
    """

    task: int
    nodes: tuple[int, ...]
    objective_s: float
    extra_s: float
    chosen: bool = False
    violates: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**vars(self), "nodes": list(self.nodes), "violates": list(self.violates)}


def best_paths(weight: Floats, blocks: int, count: int) -> tuple[Floats, Ints]:
    """Find the `count` shortest paths of one task.

    Parameters
    ----------
    weight : array of shape (M, J, J)
        Arcs as in `mecopt.trellis_arcs.Arcs`, of one task.
    blocks : int
        Number of blocks.
    count : int

    Returns
    -------
    value : array of shape (found,), ascending; fewer than `count` where there are no more
    placement : array of shape (found, blocks)
    """
    nodes = weight.shape[2]
    value = weight[0, 0, :, None]  # (J, 1): the paths that end in a node, best first
    before: list[tuple[int, Ints]] = []  # how many paths a node had, and which one each goes on from
    for m in range(1, blocks):
        total = (value[:, :, None] + weight[m][:, None, :]).reshape(-1, nodes)
        kept = np.argsort(total, axis=0, kind="stable")[:count]
        before.append((value.shape[1], kept.T))
        value = np.take_along_axis(total, kept, axis=0).T
    order = np.argsort(value.ravel(), kind="stable")[:count]
    order = order[np.isfinite(value.ravel()[order])]
    placement = np.empty((len(order), blocks), dtype=np.int64)
    node, rank = np.divmod(order, value.shape[1])
    for m in range(blocks - 1, 0, -1):
        placement[:, m] = node
        width, path = before[m - 1]
        node, rank = np.divmod(path[node, rank], width)
    placement[:, 0] = node
    return value.ravel()[order], placement


def alternatives(
    costs: ChainCosts,
    task: int,
    count: int,
    judged: Evaluation | None,
    node_cost: Floats | None = None,
) -> list[Alternative]:
    """List the `count` best placements of a task, couplings ignored.

    Parameters
    ----------
    costs : ChainCosts
    task : int
    count : int
        At least 1.
    judged : Evaluation, optional
        The placement in which each is tried; without couplings there is nothing to try.

    node_cost : array, optional
        As from `mecopt.pins.forbidden`: nodes that pins, bans and `allow` leave.

    Raises
    ------
    InputError
        If the count is below 1.
    """
    check_count(count)
    blocks = int(costs.blocks[task])
    weight = build_arcs(costs, np.array([task]), node_cost).weight[0]
    values, paths = best_paths(weight, blocks, count)
    return tried(costs, task, values, paths, judged)


def check_count(count: int) -> None:
    """Refuse to list no placements.

    Raises
    ------
    InputError
        If the count is below 1.
    """
    if count < 1:
        raise InputError(f"best: {count}, expected at least 1")


def tried(
    costs: ChainCosts, task: int, values: Floats, paths: Ints, judged: Evaluation | None
) -> list[Alternative]:
    """Try placements of a task, best first, in the placement of all; (P,) values, (P, blocks) paths."""
    blocks, found = paths.shape[1], []
    for value, path in zip(values.tolist(), paths, strict=True):
        chosen = judged is not None and (judged.placement[task, :blocks] == path).all()
        broken = () if judged is None or chosen else _broken(costs, judged, task, path)
        nodes = tuple(node for node in path.tolist() if node >= 0)
        found.append(Alternative(task, nodes, value, value - float(values[0]), bool(chosen), broken))
    return found


def _broken(costs: ChainCosts, judged: Evaluation, task: int, path: Ints) -> tuple[str, ...]:
    """Say what a task's change of placement would violate that is not violated already."""
    if not limits.of(judged.instance):  # a shortest path breaks nothing else
        return ()
    changed = judged.placement.copy()
    changed[task, : len(path)] = path
    known = {(v.kind, *v.where.items()) for v in judged.violations}
    after = evaluate(judged.instance, changed, costs=costs).violations
    return tuple(str(v) for v in after if (v.kind, *v.where.items()) not in known)
