"""What every piece makes again by itself rather than be sent: masks, positions, what is made of constants."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from mecopt.importing.operators import Operator, OperatorGraph

SMALL_BITS = 8.0 * (64 << 10)  # of an input that may go to every piece
CHEAP_BYTES = 4 << 20  # read and written by an operator that may be run again
HELD_BYTES = 64 << 10  # of parameters that it may need everywhere


@dataclass(frozen=True)
class Anywhere:
    """What need not cross a boundary.

    Parameters
    ----------
    inputs : frozenset of str
        Inputs of the graph that every piece gets by itself, where it needs them.
    operators : frozenset of str
        Operators that read nothing but such inputs, parameters and each other, and cost little.
    """

    inputs: frozenset[str]
    operators: frozenset[str]


def find(graph: OperatorGraph) -> Anywhere:
    """Say what need not cross.

    An input that is small goes everywhere, unless no multiply-add comes before its last use: what is streamed
    through the chain is what the work begins with.
    """
    small = {name for name in graph.inputs if graph.bits.get(name, SMALL_BITS) < SMALL_BITS}
    operators = _operators(graph, small)
    last = _last_use(graph, small, operators)
    inputs = frozenset(name for name in small if last[name] > 0)
    return Anywhere(inputs, _operators(graph, inputs))


def _operators(graph: OperatorGraph, inputs: Set[str]) -> frozenset[str]:
    """Return the operators that these inputs and the parameters are enough for."""
    there = set(inputs)
    found = set()
    for operator in graph.operators:
        made_of_params = not operator.inputs
        held = sum(graph.params[name] for name in operator.params)
        cheap = not operator.macs and operator.moved_bytes <= CHEAP_BYTES and held <= HELD_BYTES
        if there.issuperset(operator.inputs) and (cheap or made_of_params):
            there |= set(operator.outputs)
            found.add(operator.name)
    return frozenset(found)


def _last_use(graph: OperatorGraph, inputs: Set[str], anywhere: Set[str]) -> dict[str, float]:
    """Return the multiply-adds in front of the last operator that needs each input, through others or not."""
    last = dict.fromkeys(inputs, 0.0)
    needs = {name: frozenset([name]) for name in inputs}
    before = 0.0
    for operator in graph.operators:
        roots = frozenset().union(*(needs.get(name, frozenset()) for name in operator.inputs))
        if operator.name in anywhere:
            needs |= dict.fromkeys(operator.outputs, roots)
            continue
        last |= dict.fromkeys(roots, before)
        before += operator.macs
    return last


def work(operator: Operator) -> float:
    """Return how much an operator does, in one figure: multiply-adds, and values of 4 bytes that it moves."""
    return operator.macs + (operator.moved_bytes + operator.param_read_bytes) / 4
