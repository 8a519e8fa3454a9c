"""A graph of operators as a chain of blocks: where it is cut, what each block holds and costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mecopt.entities import Block, Model, SharedParams
from mecopt.importing import anywhere as anywhere_of
from mecopt.importing import joining, losses, places
from mecopt.importing.anywhere import Anywhere, work
from mecopt.importing.counting import FORMULAS
from mecopt.importing.model_document import Graph, Loss
from mecopt.importing.operators import Operator, OperatorGraph
from mecopt.importing.options import Options
from mecopt.importing.places import Order

TINY_BYTES = 1024  # shared parameters below this are each block's own
COARSE = 0.5  # share of the work in one block above which this is said


@dataclass(frozen=True)
class Chain:
    """A chain, where it lies in its graph, what it loses and what should be known of it."""

    model: Model
    graph: Graph
    losses: tuple[Loss, ...]
    notes: tuple[str, ...]


def chain(graph: OperatorGraph, name: str, options: Options) -> Chain:
    """Cut a graph into a chain of blocks, a model of that name.

    Raises
    ------
    InputError
        If there are not as many blocks as the options ask for.
    """
    crossing, blocks = options.crossing, options.blocks
    anywhere = anywhere_of.find(graph)
    order = places.best(graph, anywhere, crossing)
    fine = places.telling(order, order.allowed(crossing))
    kept = fine if blocks is None else joining.joined(order, fine, blocks)
    parts = _parts(graph, anywhere, order, kept)
    names = _names(order, fine, kept)
    own, shared = _params(graph, parts)
    model = Model(
        name=name,
        blocks=tuple(
            Block(
                name=label,
                cycles=options.cycles_per_mac * (order.macs[q] - order.macs[p]),
                input_bits=order.bits[p],
                param_bytes=float(held),
                read_bytes=sum(one.param_read_bytes for one in part),
                state_read_bytes=sum(one.moved_bytes for one in part),
            )
            for label, (p, q), part, held in zip(names, pairwise(kept), parts, own, strict=True)
        ),
        output_bits=order.bits[-1],
        shared_params=shared,
    )
    macs = [order.macs[q] - order.macs[p] for p, q in pairwise(kept)]
    return Chain(
        model=model,
        graph=Graph(
            boundaries=tuple(order.crossing[p] for p in kept),
            everywhere=tuple(one for one in graph.inputs if one in anywhere.inputs),
            operators=tuple(tuple(one.name for one in order.operators[p:q]) for p, q in pairwise(kept)),
        ),
        losses=losses.losses(graph, anywhere, macs, [order.bits[p] for p in kept]),
        notes=tuple(_notes(graph, order, kept, names, crossing)),
    )


def _parts(
    graph: OperatorGraph, anywhere: Anywhere, order: Order, kept: Sequence[int]
) -> list[list[Operator]]:
    """Return the operators of each block, with those that it makes again by itself."""
    makers = {
        output: operator
        for operator in graph.operators
        if operator.name in anywhere.operators
        for output in operator.outputs
    }
    parts = []
    for p, q in pairwise(kept):
        found = {operator.name: operator for operator in order.operators[p:q]}
        wanted = [name for operator in order.operators[p:q] for name in operator.inputs]
        if q == kept[-1]:
            wanted += graph.outputs
        while wanted:
            operator = makers.get(wanted.pop())
            if operator is not None and operator.name not in found:
                found[operator.name] = operator
                wanted += operator.inputs
        parts.append(list(found.values()))
    return parts


def _names(order: Order, fine: Sequence[int], kept: Sequence[int]) -> list[str]:
    """Name each block after the operator of it that does most; a joined one after its first and last part."""
    front = {
        p: max(order.operators[p:q], key=lambda one: (one.macs, one.moved_bytes)).name
        for p, q in pairwise(fine)
    }
    behind = {q: front[p] for p, q in pairwise(fine)}
    return ["..".join(dict.fromkeys((front[p], behind[q]))) for p, q in pairwise(kept)]


def _params(
    graph: OperatorGraph, parts: Sequence[Iterable[Operator]]
) -> tuple[list[int], tuple[SharedParams, ...]]:
    """Return the bytes that each block has to itself, and the parameters that several blocks share."""
    users: dict[str, set[int]] = {}
    for i, part in enumerate(parts):
        for operator in part:
            for name in operator.params:
                users.setdefault(name, set()).add(i)
    own, shared = [0] * len(parts), []
    for name, blocks in users.items():
        if len(blocks) > 1 and graph.params[name] >= TINY_BYTES:
            shared.append(SharedParams(name, graph.params[name], tuple(sorted(blocks))))
        else:
            for i in blocks:
                own[i] += graph.params[name]
    return own, tuple(shared)


def _notes(
    graph: OperatorGraph, order: Order, kept: Sequence[int], names: Sequence[str], crossing: int
) -> Iterator[str]:
    total = graph.macs or 1.0
    strange = Counter(one.unknown for one in graph.operators if one.unknown)
    for kind, times in sorted(strange.items()):
        share = sum(one.macs for one in graph.operators if one.unknown == kind) / total
        if kind in ("Loop", "Scan"):
            yield f"{kind} ({times}): how often it runs is not known, its body is counted once ({share:.1%})"
        else:
            lack = "its sizes are not known" if kind in FORMULAS else "not known"
            yield (
                f"operator {kind} ({times}): {lack}, counted as a matrix product of its sizes, "
                f"{share:.1%} of all multiply-adds"
            )
    span = max(pairwise(kept), key=lambda pair: order.done[pair[1]] - order.done[pair[0]])
    share, inside = order.largest(kept), order.operators[slice(*span)]
    single = max(map(work, inside)) / (sum(map(work, inside)) or 1.0)
    if share > COARSE and single < COARSE:
        yield (
            f"block {names[kept.index(span[0])]} does {share:.0%} of the work: more than {crossing} tensors "
            "cross inside it (--crossing), or --blocks joined it"
        )
