"""Whose turn it is: parts that get nowhere wait for the others, and what prices alone prove is said."""

import numpy as np
import pytest

import mecopt
from mecopt.incumbent import Run
from mecopt_solvers.bounds import bounds
from mecopt_solvers.decomposition.turns import FIRST_NODES, Schedule


class Stubborn:
    """A search whose gap shrinks by a factor a turn; counts its turns and the nodes they had."""

    finished = infeasible = False

    def __init__(self, tasks, factor):
        self.path, self.bound, self.value = np.zeros((tasks, 6), dtype=int), 0.0, 1.0
        self.factor, self.nodes = factor, []

    def offer(self, value, path):
        pass

    def advance(self, gap, should_stop, nodes):
        self.nodes.append(nodes)
        self.value *= self.factor


@pytest.fixture
def schedule(monkeypatch):
    """Return a schedule of four parts of which the first never gets anywhere."""
    instance = mecopt.generate("crowd", slots=4, batch=8, seed=1)
    run = Run(instance)
    made = Schedule(
        instance,
        run,
        [np.flatnonzero(instance.tasks.slot == t) for t in range(4)],
        np.zeros(instance.task_count),
        np.zeros((instance.task_count, 6), dtype=int),
    )
    found = [Stubborn(8, 1.0), *(Stubborn(8, 0.5) for _ in range(3))]
    monkeypatch.setattr(made, "_open", lambda p, seed: found[p])
    monkeypatch.setattr(made, "_hand_over", lambda last=False: None)
    return made, found


def test_a_part_that_gets_nowhere_does_not_keep_others_waiting(schedule):
    made, found = schedule
    for _ in range(40):
        p, gap, nodes = made._next()
        made._advance(p, gap, nodes, lambda: False)
        made._account(p)
    assert len(found[0].nodes) < 12
    assert min(len(one.nodes) for one in found[1:]) >= 8
    assert found[0].nodes[-1] > 4 * FIRST_NODES  # but then it may search for long
    assert max(max(one.nodes) for one in found[1:]) <= 2 * FIRST_NODES


def test_a_part_that_is_closed_has_no_more_turns(schedule):
    made, found = schedule
    for one in found:
        one.factor = 0.0
    for _ in range(4):
        job = made._next()
        made._advance(*job, lambda: False)
        made._account(job[0])
    assert made._next() is None


def test_what_prices_alone_prove_is_said():
    instance = mecopt.generate("crowd", seed=4, batch=60, ratio=1.0)
    result = mecopt.solve(instance, "decomposition", time_limit_s=1)
    assert result.options["dual_proved"]
    dual = result.options["dual_bound"]
    assert dual <= result.lower_bound * (1 + 1e-12)
    flow = next(one.value for one in bounds(instance, time_limit_s=20) if "LP of the flow" in one.name)
    assert dual == pytest.approx(flow, rel=1e-7)
