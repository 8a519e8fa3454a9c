"""What a chain loses against its graph: the least delays of a device and a server, over both."""

from __future__ import annotations

from collections.abc import Sequence

from mecopt.importing.anywhere import Anywhere
from mecopt.importing.model_document import Loss
from mecopt.importing.operators import OperatorGraph
from mecopt.importing.places import roots

RATES_BPS = (1e7, 1e8, 1e9)
DEVICE_MACS_PER_S = 1e10  # of the device that is assumed
FASTER = 8.0  # times, of its server
EXACT = 1e-9  # share by which whole numbers may be off
SCALE = 2**50  # whole numbers of a minimum cut in which all costs together are counted


def losses(
    graph: OperatorGraph, anywhere: Anywhere, macs: Sequence[float], bits: Sequence[float]
) -> tuple[Loss, ...]:
    """Return what a chain loses at each of `RATES_BPS`.

    The input is on the device, the result may stay where it is; what comes back to the device is sent too.

    Parameters
    ----------
    graph : OperatorGraph
    anywhere : Anywhere
    macs : sequence of float, of length M
        Multiply-adds of the blocks.
    bits : sequence of float, of length M + 1
        What crosses each boundary [bits].
    """
    found = []
    for rate in RATES_BPS:
        chain, best = chain_delay(macs, bits, rate), graph_delay(graph, anywhere, rate)
        found.append(Loss(rate, chain, chain if best >= (1 - EXACT) * chain else best))
    return tuple(found)


def chain_delay(macs: Sequence[float], bits: Sequence[float], rate_bps: float) -> float:
    """Return the least two-node delay of a chain [s]: the shortest path through its blocks."""
    device, server = 0.0, float("inf")
    for work, size in zip(macs, bits[:-1], strict=True):
        hop, slow = size / rate_bps, work / DEVICE_MACS_PER_S
        device, server = min(device, server + hop) + slow, min(server, device + hop) + slow / FASTER
    return min(device, server)


def graph_delay(graph: OperatorGraph, anywhere: Anywhere, rate_bps: float) -> float:
    """Return the least two-node delay over all cuts of a graph [s], each tensor sent once: a minimum cut.

    Operators on the source's side run on the device. What is made again anywhere costs nothing, and needs its
    inputs there.
    """
    from ortools.graph.python.max_flow import SimpleMaxFlow

    operators = [operator for operator in graph.operators if operator.name not in anywhere.operators]
    needs = roots(graph, anywhere)
    makers = dict.fromkeys(graph.inputs, 0)
    readers: dict[str, set[int]] = {}
    for i, operator in enumerate(operators, 2):
        makers |= dict.fromkeys(operator.outputs, i)
        for name in operator.inputs:
            for one in needs.get(name, (name,)):
                readers.setdefault(one, set()).add(i)
    # The device is node 0, where the inputs are; the server is node 1.
    edges: list[tuple[int, int, float]] = []
    for i, operator in enumerate(operators, 2):
        slow = operator.macs / DEVICE_MACS_PER_S
        edges += [(0, i, slow / FASTER), (i, 1, slow)]
    free, count = [], len(operators) + 2
    for name, users in readers.items():
        maker, cost = makers[name], graph.bits.get(name, float("inf")) / rate_bps
        there, back = count, count + 1
        count += 2
        edges += [(maker, there, cost), (back, maker, cost)]
        free += [arc for user in users for arc in ((there, user), (user, back))]
    total = sum(cost for _, _, cost in edges if cost < float("inf")) or 1.0
    flow = SimpleMaxFlow()
    for tail, head, cost in edges:
        flow.add_arc_with_capacity(
            tail, head, min(SCALE, round(cost / total * SCALE)) if cost < 1e300 else SCALE
        )
    for tail, head in free:
        flow.add_arc_with_capacity(tail, head, SCALE)
    if flow.solve(0, 1) != flow.OPTIMAL:
        raise ArithmeticError("no minimum cut")
    return float(flow.optimal_flow() * total / SCALE)
