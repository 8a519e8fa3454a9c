"""An order of a graph's operators, and what crosses each place in it."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from mecopt.importing.anywhere import Anywhere, work
from mecopt.importing.operators import Operator, OperatorGraph

SINGLE = 64.0  # bits of a value, such as the scale of what is quantised on the way
EVEN = 1e-3  # share of all multiply-adds by which two places may differ and count as the same


@dataclass(frozen=True)
class Order:
    """Operators in an order, with the places between them: place p lies behind the first p.

    Parameters
    ----------
    operators : tuple of Operator
        Those that are made again anywhere are left out.
    crossing : tuple of tuple of str, of length n + 1
        Tensors that cross each place; the inputs that are streamed in front, the outputs at the end.
    large : tuple of int
        How many of them are more than one value.
    bits : tuple of float
        Size of what crosses, with the inputs that are still needed behind and go everywhere; inf where
        something crosses that is no tensor.
    done : tuple of float
        Work in front of each place: multiply-adds, and values that are moved.
    macs : tuple of float
        Multiply-adds in front of each place.
    """

    operators: tuple[Operator, ...]
    crossing: tuple[tuple[str, ...], ...]
    large: tuple[int, ...]
    bits: tuple[float, ...]
    done: tuple[float, ...]
    macs: tuple[float, ...]

    def allowed(self, most: int) -> list[int]:
        """Return the places that at most so many tensors cross, single values apart; both ends among them."""
        last = len(self.operators)
        fits = [
            bool(names) and large <= most and size < float("inf")
            for names, large, size in zip(self.crossing, self.large, self.bits, strict=True)
        ]
        return [p for p in range(last + 1) if fits[p] or p in (0, last)]

    def largest(self, places: Sequence[int]) -> float:
        """Return the largest share of the work between two neighbours of these places."""
        total = self.done[-1] or 1.0
        return max(self.done[q] - self.done[p] for p, q in pairwise(places)) / total


def best(graph: OperatorGraph, anywhere: Anywhere, most: int) -> Order:
    """Return the order whose places that few tensors cross divide the work most finely.

    The file's own order is tried, one that runs each operator as late as it can, and one that keeps as few
    tensors as it can; of equal ones the first is taken.
    """
    regular = [operator for operator in graph.operators if operator.name not in anywhere.operators]
    candidates = (regular, _late(graph, regular), _sparing(graph, regular))
    orders = [_order(graph, anywhere, operators) for operators in candidates]
    return min(orders, key=lambda order: _rank(order, most))


def _rank(order: Order, most: int) -> tuple[float, float]:
    places = order.allowed(most)
    return round(order.largest(places), 3), -float(len(places))


def _order(graph: OperatorGraph, anywhere: Anywhere, operators: Sequence[Operator]) -> Order:
    needs = roots(graph, anywhere)
    count = len(operators)
    streamed = [name for name in graph.inputs if name not in anywhere.inputs]
    made = dict.fromkeys(streamed, 0)
    last: dict[str, int] = {}
    for i, operator in enumerate(operators):
        made |= dict.fromkeys(operator.outputs, i + 1)
        for name in operator.inputs:
            for one in needs.get(name, (name,)):
                last[one] = i
    last |= {name: count for name in graph.outputs if name in made}
    bits, crossing = [0.0] * (count + 1), [[] for _ in range(count + 1)]  # type: ignore[var-annotated]
    for name, first in made.items():
        for p in range(first, last.get(name, -1) + 1):
            crossing[p].append(name)
            bits[p] += graph.bits.get(name, float("inf"))
    for name in anywhere.inputs:
        for p in range(last.get(name, -1) + 1):
            bits[p] += graph.bits[name]
    crossing[0], crossing[count] = streamed, list(graph.outputs)
    bits[0] = sum(graph.bits[name] for name in graph.inputs)
    bits[count] = sum(graph.bits.get(name, 0.0) for name in graph.outputs)
    done = tuple(accumulate(map(work, operators), initial=0.0))
    macs = tuple(accumulate((operator.macs for operator in operators), initial=0.0))
    large = tuple(sum(graph.bits.get(name, 0.0) > SINGLE for name in names) for names in crossing)
    return Order(tuple(operators), tuple(map(tuple, crossing)), large, tuple(bits), done, macs)


def roots(graph: OperatorGraph, anywhere: Anywhere) -> dict[str, tuple[str, ...]]:
    """Return, for what is made anywhere, the inputs that it is made of."""
    found: dict[str, tuple[str, ...]] = {}
    for operator in graph.operators:
        if operator.name in anywhere.operators:
            inputs = dict.fromkeys(root for name in operator.inputs for root in found.get(name, (name,)))
            found |= dict.fromkeys(operator.outputs, tuple(inputs))
    return found


def _late(graph: OperatorGraph, operators: Sequence[Operator]) -> list[Operator]:
    """Order the operators depth first from the outputs, so that each stands close to what needs it."""
    makers = {name: operator for operator in operators for name in operator.outputs}
    found: dict[str, Operator] = {}
    stack = [(makers[name], False) for name in reversed(graph.outputs) if name in makers]
    while stack:
        operator, ready = stack.pop()
        if operator.name in found:
            continue
        if ready:
            found[operator.name] = operator
            continue
        stack.append((operator, True))
        stack += [(makers[name], False) for name in reversed(operator.inputs) if name in makers]
    return list(found.values())


def _sparing(graph: OperatorGraph, operators: Sequence[Operator]) -> list[Operator]:
    """Order the operators so that few bits wait: of those that can run, the one after which fewest do."""
    makers = {name for operator in operators for name in operator.outputs}
    readers = _readers(operators, makers)
    left = {name: len(users) for name, users in readers.items()}
    waits = [sum(name in makers for name in set(operator.inputs)) for operator in operators]
    outputs = set(graph.outputs)

    def growth(operator: Operator) -> float:
        new = sum(graph.bits.get(name, 0.0) for name in operator.outputs if left.get(name) or name in outputs)
        old = (n for n in set(operator.inputs) if left.get(n) == 1 and n not in outputs)
        return new - sum(graph.bits.get(name, 0.0) for name in old)

    ready = [(growth(o), i) for i, o in enumerate(operators) if not waits[i]]
    heapq.heapify(ready)
    done: list[Operator] = []
    while ready:
        stale, i = heapq.heappop(ready)
        now = growth(operators[i])
        if now < stale or (ready and now > ready[0][0]):  # what others have read meanwhile changes it
            heapq.heappush(ready, (now, i))
            if now != stale:
                continue
            i = heapq.heappop(ready)[1]
        done.append(operators[i])
        for name in set(operators[i].inputs) & makers:
            left[name] -= 1
        for name in operators[i].outputs:
            for j in readers.get(name, ()):
                waits[j] -= 1
                if not waits[j]:
                    heapq.heappush(ready, (growth(operators[j]), j))
    return done


def _readers(operators: Iterable[Operator], makers: set[str]) -> Mapping[str, list[int]]:
    readers: dict[str, list[int]] = {}
    for i, operator in enumerate(operators):
        for name in set(operator.inputs) & makers:
            readers.setdefault(name, []).append(i)
    return readers


def telling(order: Order, places: Sequence[int]) -> list[int]:
    """Leave out places beside which another lies, at about as many multiply-adds, that no more bits cross.

    Of those equal in bits the last is kept: a convolution stays with its normalisation and activation.
    """
    last = len(order.operators)
    done = order.macs if order.macs[-1] else order.done
    slack = EVEN * done[-1]
    kept = [0, last]
    for p in sorted(places, key=lambda p: (order.bits[p], -p)):
        near = [q for q in kept if abs(done[q] - done[p]) <= slack]
        if p not in kept and not any(order.bits[q] <= order.bits[p] for q in near):
            kept.append(p)
    return sorted(kept)
