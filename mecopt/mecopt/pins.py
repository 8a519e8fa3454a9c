"""Pins and bans: where the caller wants a block to run, or not."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from mecopt import features
from mecopt.arrays import Floats
from mecopt.entities import OneRun
from mecopt.errors import InputError
from mecopt.instance import Instance


def forbidden(instance: Instance, pins: Iterable[str], bans: Iterable[str]) -> Floats | None:
    """Turn ``K:M=N`` (task, block, node) pins and bans, and `allow`, into node costs of 0 and inf.

    Returns
    -------
    array of shape (tasks, longest model, servers + 1), or None where nothing is forbidden

    Raises
    ------
    InputError
        If a text is not of that form, names something that does not exist, or pins contradict each other.
    """
    pins, bans = list(pins), list(bans)
    if not pins and not bans:
        return features.forbidden(instance)
    cost = features.forbidden(instance)
    if cost is None:
        cost = np.zeros((instance.task_count, instance.max_blocks, instance.server_count + 1))
    for text in bans:
        cost[_spot(instance, text, "ban")] = np.inf
    for text in pins:
        k, m, n = _spot(instance, text, "pin")
        free = cost[k, m, n] == 0.0
        cost[k, m] = np.inf
        cost[k, m, n] = 0.0 if free else np.inf
    shut = np.argwhere(np.isinf(cost).all(axis=2)).tolist()
    if shut:
        what = "pins, bans and `allow`" if instance.allow else "pins and bans"
        raise InputError(f"{what} leave no node for block {m} of task {k}" for k, m in shut)
    torn = _torn(instance, cost)
    if torn:
        raise InputError(torn)
    return cost


def _torn(instance: Instance, cost: Floats) -> list[str]:
    """Return a line for every task whose pins alone make a node run two stretches, against `one_run`."""
    rule = instance.rules.one_run
    if rule is OneRun.NONE:
        return []
    found = []
    free = np.isfinite(cost)
    fixed = np.where(free.sum(axis=2) == 1, free.argmax(axis=2), -1)
    for k in np.flatnonzero((fixed >= 0).sum(axis=1) >= 3).tolist():
        order = [(m, n) for m, n in enumerate(fixed[k, : instance.block_count[k]].tolist()) if n >= 0]
        ended: set[int] = set()
        for (_, before), (m, node) in pairwise(order):
            if node != before:
                ended.add(before)
            if node in ended and (node > 0 or rule is OneRun.ALL):
                found.append(
                    f"pins make node {node} run two stretches of task {k} (block {m}), against one_run"
                )
                break
    return found


def _spot(instance: Instance, text: str, what: str) -> tuple[int, int, int]:
    head, _, node = text.partition("=")
    task, _, block = head.partition(":")
    try:
        k, m, n = int(task), int(block), int(node)
    except ValueError:
        raise InputError(f"--{what} {text}: expected TASK:BLOCK=NODE, such as 0:2=1") from None
    if not 0 <= k < instance.task_count:
        raise InputError(f"--{what} {text}: task {k}, expected 0 to {instance.task_count - 1}")
    if not 0 <= m < instance.block_count[k]:
        raise InputError(f"--{what} {text}: block {m}, expected 0 to {instance.block_count[k] - 1}")
    if not 0 <= n <= instance.server_count:
        raise InputError(f"--{what} {text}: node {n}, expected 0 to {instance.server_count}")
    return k, m, n
