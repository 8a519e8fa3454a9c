"""What a chain loses against its graph: the minimum cut against every assignment."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mecopt.errors import InputError
from mecopt.importing import anywhere, joining, losses, places
from mecopt.importing.operators import Operator, OperatorGraph


@st.composite
def random_graphs(draw):
    count = draw(st.integers(2, 6))
    inputs = ("in0", "in1")[: draw(st.integers(1, 2))]
    tensors, operators = list(inputs), []
    for i in range(count):
        reads = draw(st.lists(st.sampled_from(tensors), min_size=1, max_size=3, unique=True))
        macs = draw(st.integers(0, 50)) * 1e8
        operators.append(Operator(f"o{i}", "Op", tuple(reads), (f"t{i}",), (), macs, 0.0, 1e6))
        tensors.append(f"t{i}")
    bits = {name: draw(st.integers(1, 40)) * 1e6 for name in tensors}
    read = {name for operator in operators for name in operator.inputs}
    outputs = tuple(f"t{i}" for i in range(count) if f"t{i}" not in read)
    return OperatorGraph(tuple(operators), bits, {}, inputs, outputs)


def least(graph, rate):
    """Return the least delay over every way to put the operators on device (0) and server (1)."""
    best = np.inf
    for nodes in product((0, 1), repeat=len(graph.operators)):
        at = dict.fromkeys(graph.inputs, 0)
        at |= {o.outputs[0]: n for o, n in zip(graph.operators, nodes, strict=True)}
        delay = 0.0
        sent = set()
        for operator, node in zip(graph.operators, nodes, strict=True):
            delay += operator.macs / losses.DEVICE_MACS_PER_S / (losses.FASTER if node else 1)
            sent |= {name for name in operator.inputs if at[name] != node}
        best = min(best, delay + sum(graph.bits[name] for name in sent) / rate)
    return best


@given(random_graphs(), st.sampled_from(losses.RATES_BPS))
@settings(max_examples=40)
def test_the_graph_delay_is_the_least_over_all_assignments(graph, rate):
    nothing = anywhere.Anywhere(frozenset(), frozenset())
    assert losses.graph_delay(graph, nothing, rate) == pytest.approx(least(graph, rate), rel=1e-9)


@given(random_graphs(), st.integers(1, 3))
@settings(max_examples=40)
def test_a_chain_never_beats_its_graph_and_allows_no_more_than_may_cross(graph, crossing):
    found = anywhere.find(graph)
    order = places.best(graph, found, crossing)
    kept = places.telling(order, order.allowed(crossing))
    macs = np.diff([order.macs[p] for p in kept])
    for loss in losses.losses(graph, found, macs, [order.bits[p] for p in kept]):
        assert loss.graph_s <= loss.chain_s * (1 + 1e-9)
    assert all(len(order.crossing[p]) <= crossing for p in kept[1:-1])
    assert {o.name for o in order.operators} | found.operators == {o.name for o in graph.operators}


def chain_of(macs, bits):
    """Return a chain of operators as an order; `bits` holds the input's size first."""
    names = ["in", *(f"t{i}" for i in range(len(macs)))]
    operators = tuple(
        Operator(f"o{i}", "Op", (names[i],), (names[i + 1],), (), float(m), 0.0, 0.0)
        for i, m in enumerate(macs)
    )
    graph = OperatorGraph(operators, dict(zip(names, bits, strict=True)), {}, ("in",), (names[-1],))
    return places.best(graph, anywhere.Anywhere(frozenset(), frozenset()), 1)


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99)), min_size=3, max_size=8), st.data())
@settings(max_examples=40)
def test_joining_loses_no_more_than_the_choice_of_one_boundary(rows, data):
    order = chain_of([m * 1e8 for m, _ in rows], [5e6, *(b * 1e5 for _, b in rows)])
    fine = list(range(len(rows) + 1))
    blocks = data.draw(st.integers(2, len(rows)))
    kept = joining.joined(order, fine, blocks)
    assert len(kept) == blocks + 1
    assert {kept[0], kept[-1]} == {0, len(rows)}

    def mean(places):
        cost = joining._cost(order, places).min(axis=0) / joining._cost(order, fine).min(axis=0)
        return cost.mean()

    if blocks == len(rows):
        assert mean(kept) == pytest.approx(1)
    single = min(mean([0, p, len(rows)]) for p in fine[1:-1])
    assert mean(kept) <= max(single, mean([0, len(rows)])) + 1e-12


def test_more_blocks_than_there_are_is_refused():
    order = chain_of([1e8, 1e8], [1e6, 1e6, 1e6])
    with pytest.raises(InputError, match="from 1 to 2"):
        joining.joined(order, [0, 1, 2], 3)
