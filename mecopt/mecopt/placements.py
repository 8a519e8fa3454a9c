"""Placements: between lists of the file and arrays, checked against the instance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt.errors import PlacementError, shown
from mecopt.instance import Instance
from mecopt.scalars import is_whole


def placement_array(
    placement: Sequence[Sequence[int]] | NDArray[Any], instance: Instance
) -> NDArray[np.int64]:
    """Return a placement as an array of shape (tasks, longest model), -1 behind the end of shorter models.

    A row of -1 alone leaves the task out, where that has a cost (`drop_cost`).

    Parameters
    ----------
    placement : sequence of sequences of int, or array
        The node of every block of every task, in the instance's own order.

    Raises
    ------
    PlacementError
        If a task or block is missing or left over, or a node does not exist.
    """
    if isinstance(placement, np.ndarray) and (instance.block_count == instance.max_blocks).all():
        nodes = _checked_array(placement, instance)
        if nodes.min() >= 0 and nodes.max() <= instance.server_count:  # as it nearly always is
            return nodes
    behind = np.arange(instance.max_blocks) >= instance.block_count[:, None]
    cost = instance.tasks.given("drop_cost")
    may_drop = np.zeros(instance.task_count, dtype=bool) if cost is None else np.isfinite(cost)
    if isinstance(placement, np.ndarray):
        nodes = _checked_array(placement, instance)
        outside = ~behind & ((nodes < 0) | (nodes > instance.server_count))
        outside[may_drop & ((nodes == -1) | behind).all(axis=1)] = False
        wrong = [(k, m, int(nodes[k, m])) for k, m in np.argwhere(outside).tolist()]
    else:
        rows = _checked_rows(placement, instance)
        wrong = [
            (k, m, node)
            for k, row in enumerate(rows)
            if not (may_drop[k] and all(node == -1 for node in row))
            for m, node in enumerate(row)
            if not 0 <= node <= instance.server_count
        ]
        nodes = np.full(behind.shape, -1, dtype=np.int64)
        if not wrong:
            nodes[~behind] = [int(node) for row in rows for node in row]
    if wrong:
        raise PlacementError(
            f"placement[{k}][{m}]: node {shown(node)}, expected 0 to {instance.server_count}"
            + (", or -1 for all its blocks" if node == -1 and may_drop[k] else "")
            for k, m, node in wrong
        )
    nodes[behind] = -1
    return nodes


def _checked_rows(placement: Any, instance: Instance) -> list[Sequence[int]]:
    """Return the rows without padding, whole numbers all of them."""
    if not isinstance(placement, Sequence) or isinstance(placement, str):
        raise PlacementError(f"placement: {type(placement).__name__}, expected a list of nodes for each task")
    if len(placement) != instance.task_count:
        raise PlacementError(f"placement: {len(placement)} tasks, expected {instance.task_count}")
    rows, problems = [], []
    for k, (row, count) in enumerate(zip(placement, instance.block_count.tolist(), strict=True)):
        row = row.tolist() if isinstance(row, np.ndarray) else row
        if not isinstance(row, Sequence) or isinstance(row, str):
            problems.append(f"placement[{k}]: {type(row).__name__}, expected a list of nodes")
            continue
        padded = len(row) == instance.max_blocks and all(node == -1 for node in row[count:])
        if len(row) != count and not padded:
            problems.append(f"placement[{k}]: {len(row)} nodes for {count} blocks")
        rows.append(row[:count])
        problems += [
            f"placement[{k}][{m}]: {shown(node)}, expected a whole number"
            for m, node in enumerate(row[:count])
            if not is_whole(node)
        ]
    if problems:
        raise PlacementError(problems)
    return rows


def _checked_array(placement: NDArray[Any], instance: Instance) -> NDArray[np.int64]:
    expected = (instance.task_count, instance.max_blocks)
    if placement.shape != expected:
        raise PlacementError(f"placement: shape {placement.shape}, expected {expected}")
    if not np.issubdtype(placement.dtype, np.integer):  # an array of floats is scores or shares, not nodes
        raise PlacementError(f"placement: {placement.dtype}, expected whole numbers")
    return placement.astype(np.int64)


def placement_lists(placement: NDArray[np.int64], instance: Instance) -> list[list[int]]:
    """Return a placement array as the lists of the file, without the padding."""
    counts = instance.block_count.tolist()
    return [row[:count] for row, count in zip(placement.tolist(), counts, strict=True)]


def placement_text(placement: NDArray[np.int64], instance: Instance) -> str:
    """Return a placement array as JSON, one task a line, without the padding."""
    tasks, blocks = placement.shape
    if placement.min() >= 0 and placement.max() <= 9:  # of nodes of one digit every line is alike
        line = np.frombuffer(f"  {[0] * blocks},\n".encode(), dtype=np.uint8)
        lines = np.tile(line, (tasks, 1))
        lines[:, 3 : 3 * blocks + 1 : 3] += placement.astype(np.uint8)
        return f"[\n{lines.tobytes()[:-2].decode()}\n ]"
    rows = json.dumps(placement_lists(placement, instance))
    return "[\n  " + rows[1:-1].replace("], [", "],\n  [") + "\n ]"
