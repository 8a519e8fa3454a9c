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
    import highspy

    task = np.arange(world.templates)
    size, servers = world.resources, world.servers

    # `highspy.Highs()` itself greets on standard output.
    program = highspy._core._Highs()
    program.setOptionValue("output_flag", False)
    program.setOptionValue("threads", 1)
    infinite = highspy.kHighsInf
    program.addVar(0.0, infinite)
    program.changeColCost(0, 1.0)
    for _ in range(size):
        program.addRow(-infinite, 0.0, 1, np.array([0], dtype=np.int32), np.array([-1.0]))
    program.addRow(1.0, 1.0, 0, np.empty(0, dtype=np.int32), np.empty(0))
    rows = np.arange(size + 1, dtype=np.int32)

    price = np.zeros(size)
    price[:servers] = 1.0 / servers
    best, kept = 0.0, price
    busiest = np.inf
    nominal = world.mean_load(task, world.decide(task)[2])
    program.addCol(0.0, 0.0, infinite, size + 1, rows, np.append(nominal, 1.0))
    for _ in range(MOST_ROUNDS):
        _, cost, loads = world.decide(task, price=price, time=0.0)
        if cost.mean() > best:
            best, kept = float(cost.mean()), price
        if np.isfinite(busiest) and busiest - best <= GAP * busiest:
            break
        load = world.mean_load(task, loads)
        program.addCol(0.0, 0.0, infinite, size + 1, rows, np.append(load, 1.0))
        program.run()
        if program.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise MecoptError("the fluid program of the load could not be solved")
        solution = program.getSolution()
        busiest = float(program.getInfo().objective_function_value)
        dual = np.maximum(-np.array(solution.row_dual[:size]), 0.0)
        price = dual / dual.sum() if dual.sum() > 0 else price
    if not (0.0 < busiest < np.inf):
        raise MecoptError("tasks ask no work of any resource, so that no load can be told")
    return Capacity(1.0 / busiest, 1.0 / best if best > 0 else np.inf, kept)
