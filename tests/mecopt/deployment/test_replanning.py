"""Drifts are named, and an instance made of what was measured predicts it."""

import numpy as np
import pytest

import mecopt
from mecopt.deployment.agent import Agent
from mecopt.deployment.replanning import Measured, as_measured, drifts, planned, rates, ratios
from mecopt.deployment.stages import stretches
from mecopt.deployment.watching import watch


def made_up(instance, nodes, calculation, transfer):
    """Return a plan and times that are so many times the predicted ones."""
    judged = mecopt.evaluate(instance, [nodes])
    plan = stretches(judged, 0)
    return plan, Measured(
        np.array([one.transfer_s * transfer for one in plan]),
        np.array([one.calculation_s * calculation for one in plan]),
    )


@pytest.fixture
def slow(instance):
    """The instance with nodes so slow that calculations count."""
    return instance.replace(
        devices=[mecopt.Device("camera", 1e7)],
        servers=[mecopt.Server("es1", 2e7), mecopt.Server("es2", 4e7)],
        tasks=mecopt.Tasks.of(slot=0, device=0, model=0, blocks=instance.max_blocks, rate_bps=[[1e6, 2e6]]),
    )


@pytest.mark.parametrize("nodes", [[0, 0, 1, 1], [1, 1, 2, 2], [0, 1, 1, 0]])
@pytest.mark.parametrize(("calculation", "transfer"), [(1.0, 1.0), (3.0, 0.5), (0.5, 2.0)])
def test_what_was_measured_is_predicted_then(slow, nodes, calculation, transfer):
    plan, measured = made_up(slow, nodes, calculation, transfer)
    for ratio in ratios(plan, measured).values():
        assert ratio == pytest.approx(calculation)
    found = rates(slow, 0, plan, measured)
    for (start, to), rate in found.items():
        given = 1e8 if {start, to} == {"es1", "es2"} else 1e6 if "es1" in (start, to) else 2e6
        assert rate == pytest.approx(given / transfer)
    now = mecopt.evaluate(as_measured(slow, 0, plan, measured), [nodes])
    expected = measured.calculations_s.sum() + measured.transfers_s.sum()
    assert now.total_delay_s == pytest.approx(expected, rel=0.02)  # what is below a tenth of a millisecond


def test_what_a_lost_node_never_told_is_taken_as_predicted(slow):
    plan, measured = made_up(slow, [0, 1, 0, 2], 3.0, 2.0)
    measured.calculations_s[2:], measured.transfers_s[1:] = np.nan, np.nan
    assert ratios(plan, measured) == {"device": pytest.approx(3.0), "es1": pytest.approx(3.0)}
    assert rates(slow, 0, plan, measured) == {}
    nothing = Measured(np.full(len(plan), np.nan), np.full(len(plan), np.nan))
    assert drifts(slow, 0, plan, nothing, 0.2) == []
    same = mecopt.evaluate(as_measured(slow, 0, plan, nothing), [[0, 1, 0, 2]])
    assert same.total_delay_s == mecopt.evaluate(slow, [[0, 1, 0, 2]]).total_delay_s


def test_drifts_have_a_tolerance(slow):
    plan, measured = made_up(slow, [0, 0, 1, 1], 1.3, 1.0)
    assert drifts(slow, 0, plan, measured, 0.5) == []
    named = drifts(slow, 0, plan, measured, 0.2)
    assert [text.split()[0] for text in named] == ["device", "es1"]
    assert "1.30 times as long as predicted" in named[0]


def test_a_plan_on_some_nodes(slow):
    alone = planned(slow, {"device", "es2"})
    assert set(alone.placement[0].tolist()) <= {0, 2}
    with pytest.raises(mecopt.MecoptError, match="leave no node"):
        planned(slow, set())


def test_watching_plans_again_when_a_node_is_slower(whole, instance):
    """es1 is taken for five times as fast as the device, but is slow; the next round knows."""
    slower = Agent(slower=100)
    quick = instance.replace(
        devices=[mecopt.Device("camera", 2e8)],
        servers=[mecopt.Server("es1", 1e9), mecopt.Server("es2", 1e9)],
        tasks=mecopt.Tasks.of(slot=0, device=0, model=0, blocks=instance.max_blocks, rate_bps=[[1e10, 1e10]]),
    )
    try:
        rounds = watch(quick, np.array([[1] * 4]), whole, {"es1": slower.start()}, inputs=2)
        first = next(rounds)
        assert any("es1 calculates" in text for text in first.drifts)
        assert first.changed
        assert first.placement[0].tolist() != [1] * 4
        assert 2 not in first.placement  # no agent there
        second = next(rounds)
        assert second.found.difference <= 1e-4
    finally:
        slower.stop()
