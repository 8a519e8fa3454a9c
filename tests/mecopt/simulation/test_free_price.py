"""The free price: what one task pays against all that it could do, and one queue in its best order."""

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mecopt
from mecopt.simulation.arrivals import draw
from mecopt.simulation.bound import bound_of
from mecopt.simulation.free_price_kernels import cheapest
from mecopt.simulation.shortest_first_kernels import shortest_first as pooled
from mecopt.simulation.world import World


def brute(t, must, behind, x, price):
    """Return the least of end + price over ends on a fine grid; bins of a second."""
    least = np.inf
    first = max(must, t + x)
    for end in np.arange(first, first + len(price) + x + 1.0, 0.01):
        cuts = np.unique([t, end, *(b for b in range(len(price) + 20) if t < b < end)])
        cost = [price[int(b)] if int(b) < len(price) else 0.0 for b in cuts[:-1]]
        left, paid = x, 0.0
        for one, many in sorted(zip(cost, np.diff(cuts), strict=True)):
            paid += one * min(left, many)
            left -= min(left, many)
        least = min(least, end + behind + paid)
    return least


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.5, 4.0, 7.0]), min_size=1, max_size=8),
    st.floats(0.0, 3.0),
    st.floats(0.05, 3.0),
    st.floats(0.0, 2.0),
    st.floats(0.0, 1.0),
)
def test_a_task_pays_the_least_of_all_it_could(price, t, x, slack, behind):
    held = np.empty(100), np.empty(100, dtype=np.int64), np.empty(100)
    asked = (t, t + x + slack, np.inf, behind, x, np.inf, np.array(price), 1.0, held)
    found, until, _ = cheapest(*asked)
    expected = brute(t, t + x + slack, behind, x, price)
    assert found <= expected + 1e-9
    assert found >= expected - 0.1  # the grid misses the end by 0.01 s, at a price of 7 or less
    again, _, many = cheapest(t, t + x + slack, until, behind, x, np.inf, np.array(price), 1.0, held)
    assert again == pytest.approx(found)
    assert held[2][:many].sum() == pytest.approx(x)


def test_a_second_more_helps_those_who_wait():
    """Of two that come at once the shorter goes first; the third meets nobody."""
    price = np.empty(7)
    pooled(np.array([0.0, 0.0, 5.0]), np.array([2.0, 1.0, 1.0]), 1.0, price)
    assert price.tolist() == [2.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0]


def shortest_first(came, work):
    """Return the mean delay of one server that always serves whoever has the least left."""
    now, total, waiting, i = 0.0, 0.0, [], 0
    while i < len(came) or waiting:
        if not waiting:
            now = came[i]
        while i < len(came) and came[i] <= now:
            heapq.heappush(waiting, (work[i], came[i]))
            i += 1
        left, since = heapq.heappop(waiting)
        until = came[i] if i < len(came) else np.inf
        if now + left <= until:
            now += left
            total += now - since
        else:
            heapq.heappush(waiting, (left - (until - now), since))
            now = until
    return total / len(came)


@pytest.mark.parametrize(("kind", "close"), [("heavy", 0.85), ("both", 0.8)])
def test_one_queue_is_bounded_below_its_best_order_and_closely(kind, close):
    """Shortest remaining time first is the best of all orders on one server, known arrivals or not."""
    instance = mecopt.Instance(
        name="queue",
        slot_count=1,
        models=(mecopt.Model("one", (mecopt.Block(1e9, 1e3),)),),
        devices=(mecopt.Device("camera", 1.0),),
        servers=(mecopt.Server("es1", 1e9),),
        links=mecopt.Links.of(1, 1e9),
        tasks=mecopt.Tasks.of(slot=[0], device=0, model=0, rate_bps=[[1e9]], blocks=1),
        rules=mecopt.Rules(deadline="none"),
    )
    world = World.of(instance)
    stream = draw(kind, 1, 0.9, 1000, 5)
    least = bound_of(world, stream).queueing_s
    best = shortest_first(stream.time_s, stream.size)
    assert least <= best * (1 + 1e-5)  # the transfer of a task takes a microsecond
    assert least >= close * best
