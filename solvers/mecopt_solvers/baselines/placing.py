"""What the baselines share: chunks of trellises, pins and bans, the ways from a rule to a placement."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts
from mecopt.errors import InputError
from mecopt.features import OF_STEPS, Feature
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.judge import evaluate
from mecopt.trellis_arcs import Arcs, build_arcs, starts
from mecopt_solvers.baselines.ledger import in_order, open_ledger, totals

# What a rule takes that places task by task within what the ledger has left.
WITHIN_LEDGER = OF_STEPS | {Feature.TOTAL_DEADLINE, Feature.ONE_RUN, Feature.STATE, Feature.DROP}

CHUNK = 1000  # tasks whose trellises are held at a time: they stay in the cache

STATIC, LOAD, STEP = "static", "load", "step"  # what ranks the nodes of a block


def switch(run: Run, name: str) -> bool:
    """Return an option that is either on or off, off unless given.

    Raises
    ------
    InputError
        If it is neither.
    """
    value = run.options.get(name, False)
    if not isinstance(value, bool):
        raise InputError(f"{name}: {value!r}, expected true or false")
    return value


def chunks(costs: ChainCosts, tasks: Ints, node_cost: Floats | None = None) -> Iterator[tuple[Ints, Arcs]]:
    """Yield the tasks in their order, some at a time, with their trellises."""
    for start in range(0, len(tasks), CHUNK):
        some = tasks[start : start + CHUNK]
        yield some, build_arcs(costs, some, node_cost)


def cut_off(instance: Instance, nodes: Ints) -> Ints:
    """Return nodes of shape (K, M), or (M,) for every task, with -1 behind the end of shorter models."""
    behind = np.arange(instance.max_blocks) >= instance.block_count[:, None]
    cut: Ints = np.where(behind, -1, nodes)
    return cut


def seconds(costs: ChainCosts, arcs: Arcs) -> Floats:
    """Seconds of calculation of every block on every node, (K, M, J or 1, J), by the node before."""
    device = costs.device_s[arcs.tasks][:, :, None, None]
    if costs.start_s is not None:
        device = device + starts(costs, arcs.tasks)[:, :, :, :1]
    shape = (*arcs.calc_s.shape[:3], 1)
    return np.concatenate([np.broadcast_to(device, shape), arcs.calc_s], axis=3)


def respect(run: Run, placement: Ints) -> Ints | None:
    """Give tasks that a pin or ban forbids to go where the rule wants them their shortest path under it.

    Returns
    -------
    array of shape (tasks, blocks), or None when a task has no path at all (the run is told why)
    """
    if run.node_cost is None:
        return placement
    rows, columns = np.arange(len(placement))[:, None], np.arange(placement.shape[1])
    banned = np.isinf(run.node_cost)[rows, columns, np.maximum(placement, 0)]
    hit = np.any(banned & (placement >= 0), axis=1)
    if not hit.any():
        return placement
    paths = run.free_paths()
    if paths is None:
        return None
    run.repairs += int(hit.sum())
    return np.where(hit[:, None], paths.placement, placement)


def by_block(
    instance: Instance, run: Run, rule: str, score: NDArray[np.float64], free: Callable[[], Ints | None]
) -> None:
    """Hand over the placement of a rule that decides block by block.

    Parameters
    ----------
    instance : Instance
    run : Run
    rule : {"static", "load", "step"}
        Nodes are ranked by `score`, by the load so far in the slot, or by the cost of the step; ties go to
        the lowest node.
    score : array that broadcasts to (tasks, blocks, nodes)
        inf on nodes that the rule never takes by itself.
    free : callable
        Returns what the rule does where everything is allowed, or None when that is not simpler. If it keeps
        to every limit, it is what going task by task would find as well: what is used only ever grows. Not
        asked where tasks may be left out, or where loads change the cost of steps.
    """
    loaded = rule == STEP and limits.SHARING.on(instance)
    placement = None if loaded or instance.tasks.given("drop_cost") is not None else free()
    if placement is not None and run.forbidden_block(placement) is None:
        judged = evaluate(instance, placement, costs=run.costs)
        if judged.feasible:
            run.found(placement)
            return
    with run.loading():
        from mecopt_solvers.baselines import ledger_kernels

    code = {STATIC: ledger_kernels.STATIC, LOAD: ledger_kernels.LOAD, STEP: ledger_kernels.STEP}[rule]
    shape = (instance.task_count, instance.max_blocks, instance.server_count + 1)
    score = np.broadcast_to(score, shape)
    ledger, nodes, late = open_ledger(instance), np.full(shape[:2], -1), totals(instance)
    for tasks, arcs in chunks(run.costs, in_order(instance), run.node_cost):
        banned = np.zeros((0, 0, 0), bool) if run.node_cost is None else np.isinf(run.node_cost[tasks])
        delay = np.zeros((len(late), *arcs.weight.shape))
        for e, deadline in enumerate(late):
            delay[e] = deadline.use(arcs, instance)
        own = np.ascontiguousarray(score[tasks])  # one layout, so compiled once
        run.repairs += ledger_kernels.place_blocks(
            code, own, banned, arcs.weight, arcs.energy_j, seconds(run.costs, arcs), delay, arcs.blocks,
            tasks, ledger, nodes,
        )  # fmt: skip
    run.found(nodes)
