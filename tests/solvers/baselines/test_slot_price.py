"""`slot-price`: capacities kept, servers for those who need them most, in whatever order the tasks stand."""

import numpy as np
import pytest

import mecopt


def two_tasks(*, first, second, slot_s=2.0):
    """Two devices of these speeds and a server of speed 4; tasks of 4 cycles and 8 bits, links of 8 bit/s."""
    return mecopt.Instance(
        name="by-hand",
        slot_count=1,
        slot_s=slot_s,
        models=(mecopt.Model("m", (mecopt.Block(4.0, 8.0),)),),
        devices=(mecopt.Device("d1", first, 1.0), mecopt.Device("d2", second, 1.0)),
        servers=(mecopt.Server("a", 4.0),),
        links=mecopt.Links.of(1, 8.0),
        tasks=mecopt.Tasks.of(slot=[0, 0], device=[0, 1], model=0, rate_bps=[[8.0], [8.0]], blocks=1),
        rules=mecopt.Rules(deadline="none", couplings=frozenset({mecopt.Coupling.CAPACITY})),
    )


@pytest.mark.parametrize(("first", "second", "nodes"), [(0.5, 1.0, [[1], [0]]), (1.0, 0.5, [[0], [1]])])
def test_room_for_one_goes_to_the_slower_device(first, second, nodes):
    # On the server 1 + 1 s; on the devices 8 and 4. Both fit into 2 s, one into 1 s.
    result = mecopt.solve(two_tasks(first=first, second=second), "slot-price")
    assert (result.placement.tolist(), result.objective) == ([[1], [1]], 4.0)
    result = mecopt.solve(two_tasks(first=first, second=second, slot_s=1.0), "slot-price")
    assert (result.placement.tolist(), result.objective) == (nodes, 6.0)


def test_without_limits_it_is_the_optimum():
    instance = mecopt.generate("camera-vgg:slots=40", seed=3)
    result = mecopt.solve(instance, "slot-price")
    assert result.objective == mecopt.solve(instance, "trellis").objective


@pytest.mark.parametrize("spec", ["crowd", "crowd:slots=3,release_rate=12"])
def test_near_the_bound_and_within_the_capacity(spec):
    instance = mecopt.generate(spec, seed=3)
    best = mecopt.solve(instance, "decomposition", time_limit_s=1)
    result = mecopt.solve(instance, "slot-price")
    assert result.status == "feasible"
    assert best.lower_bound * (1 - 1e-9) <= result.objective
    assert result.objective < 0.7 * mecopt.solve(instance, "greedy-arc").objective


def test_the_order_of_the_tasks_does_not_matter():
    instance = mecopt.generate("crowd", seed=6)
    back = np.arange(instance.task_count)[::-1]
    turned = instance.replace(tasks=instance.tasks.take(back))
    first, second = (mecopt.solve(one, "slot-price") for one in (instance, turned))
    assert (second.placement[back] == first.placement).all()


def test_where_nothing_fits_the_limit_is_broken_and_said():
    instance = two_tasks(first=1.0, second=1.0, slot_s=0.5)
    result = mecopt.solve(instance, "slot-price", pins=["0:0=1"])
    assert result.status == "violating"
    assert [v.kind for v in result.evaluation.violations] == ["capacity"]
    assert result.evaluation.placement.tolist() == [[1], [0]]
