"""The best that could have been done with a small finite trace: every placement of every task is tried."""

from __future__ import annotations

import itertools
import math

import numpy as np

from mecopt.arrays import Ints
from mecopt.errors import InputError
from mecopt.simulation.arrivals import Stream
from mecopt.simulation.engine import replay
from mecopt.simulation.world import World

MOST = 300_000  # placements of all tasks together


def clairvoyant(world: World, stream: Stream, discipline: str = "fifo") -> tuple[float, Ints]:
    """Return the least mean delay of a stream's tasks over all placements, and one that has it.

    Each task starts on its path when it arrives, as under every policy; all arrivals are known beforehand.

    Returns
    -------
    mean_s : float
    nodes : array (T, M)

    Raises
    ------
    InputError
        If there are more than `MOST` placements.
    """
    blocks = world.tables[0][stream.task]
    paths = [list(itertools.product(range(world.servers + 1), repeat=int(count))) for count in blocks]
    many = math.prod(len(own) for own in paths)
    if many > MOST:
        raise InputError(
            f"{len(stream)} tasks have {many:,} placements, expected at most {MOST:,}: use the bound instead"
        )
    finite = [
        [path for path in own if np.isfinite(_unloaded(world, stream, i, path))]
        for i, own in enumerate(paths)
    ]
    run = replay(world, stream, discipline)
    best, kept = math.inf, np.full((len(stream), world.stages), -1, dtype=np.int64)
    nodes = kept.astype(np.int8)
    for chosen in itertools.product(*finite):
        for i, path in enumerate(chosen):
            nodes[i, : len(path)] = path
        mean = float(run(nodes).mean())
        if mean < best:
            best, kept = mean, nodes.astype(np.int64)
    return best, kept


def _unloaded(world: World, stream: Stream, i: int, path: tuple[int, ...]) -> float:
    from mecopt.simulation.choosing_kernels import load_of

    place = np.full(world.stages, -1, dtype=np.int8)
    place[: len(path)] = path
    return float(
        load_of(
            int(stream.task[i]), float(stream.size[i]), world.tables, place, 0, np.zeros(world.servers + 2)
        )
    )
