"""How many tasks a second a world can bear at all: the fluid program, whose dual prices resources."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mecopt.arrays import Floats
from mecopt.errors import MecoptError
from mecopt.simulation.world import World

GAP = 1e-6
MOST_ROUNDS = 400


@dataclass(frozen=True, eq=False)
class Capacity:
    """The largest rate that a mixture of paths can bear, and why none can bear more.

    Attributes
    ----------
    rate : float
        Tasks a second; a mixture of assignments keeps every resource at most busy at it.
    largest : float
        No mixture bears more than this.
    price : array (R,)
        Of a second of every resource, sum 1: a task costs 1 / largest or more on the mean.
    """

    rate: float
    largest: float
    price: Floats


def load_one(world: World) -> Capacity:
    """Return the rate that is called load 1.

    Blocks that the fastest path has on the device stay there, and all others are spread over the servers
    as evenly as can be; load 1 is where some resource is then busy all the time. Below it some policy is
    stable. A policy that lets devices do more may be so above it.
    """
    blocks, _, work, *_ = world.tables
    nodes, _, _ = world.decide(np.arange(world.templates))
    real = np.arange(world.stages) < blocks[:, None]
    kept = work.copy()
    kept[:, :, 0][real & (nodes > 0)] = np.inf
    kept[:, :, 1:][real & (nodes == 0)] = np.inf
    return capacity_of(replace(world, tables=(*world.tables[:2], kept, *world.tables[3:])))


def capacity_of(world: World) -> Capacity:
    """Solve the fluid program: the mixture of paths whose busiest resource is least busy a task.

    A game between prices and paths, by columns: each is the mean load of all templates' cheapest paths at
    some prices, and a linear program mixes them.
    """
    from mecopt.highs import Highs, Matrix

    task = np.arange(world.templates)
    size, servers = world.resources, world.servers
    # Rows: no resource is busier than the first column says, and the shares of all others add up to 1.
    rows = np.arange(size + 1)
    program = Highs(
        np.ones(1),
        np.full(1, np.inf),
        np.append(np.full(size, -np.inf), 1.0),
        np.append(np.zeros(size), 1.0),
        Matrix(np.zeros(1, dtype=np.int64), rows[:size], np.full(size, -1.0)),
    )
    program.set(threads=1)

    def mix(load: Floats) -> None:
        column = Matrix(np.zeros(1, dtype=np.int64), rows, np.append(load, 1.0))
        program.add_columns(np.zeros(1), column)

    price = np.zeros(size)
    price[:servers] = 1.0 / servers
    best, kept = 0.0, price
    busiest = np.inf
    mix(world.mean_load(task, world.decide(task)[2]))
    for _ in range(MOST_ROUNDS):
        _, cost, loads = world.decide(task, price=price, time=0.0)
        if cost.mean() > best:
            best, kept = float(cost.mean()), price
        if np.isfinite(busiest) and busiest - best <= GAP * busiest:
            break
        mix(world.mean_load(task, loads))
        if program.run() != "optimal":
            raise MecoptError("the fluid program of the load could not be solved")
        busiest = program.objective
        dual = np.maximum(-program.duals[:size], 0.0)
        price = dual / dual.sum() if dual.sum() > 0 else price
    if not (0.0 < busiest < np.inf):
        raise MecoptError("tasks ask no work of any resource, so that no load can be told")
    return Capacity(1.0 / busiest, 1.0 / best if best > 0 else np.inf, kept)
