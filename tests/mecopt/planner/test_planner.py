"""The planner: the same bits as `solve`, whatever changes, and clear about what it does not take."""

import asyncio
import copy
import dataclasses
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import documents, examples
from wide_strategies import wide_documents

import mecopt
from mecopt.planner import plan as plans
from mecopt.planner.plan_kernels import LANES

PAPER = mecopt.generate("paper:slots=20,seed=3")


def agree(plan):
    """Hold a plan to what `solve` and the judge say of the instance that it was made for."""
    result = mecopt.solve(plan.instance, "trellis")
    assert plan.status == result.status
    served = np.flatnonzero(plan.feasible)
    if result.status == "infeasible":
        assert plan.reasons == list(result.reasons)
        assert plan.objective is None
        assert np.isnan(plan.delays[~plan.feasible]).all()
        assert np.isinf(plan.bounds[~plan.feasible]).all()
        assert (plan.placements[~plan.feasible] == -1).all()
        return served
    judged = mecopt.evaluate(plan.instance, plan.placements)
    assert judged.feasible
    assert plan.violations == ()
    assert np.array_equal(plan.placements, result.placement)
    assert np.array_equal(plan.delays, judged.task_delay_s)
    assert np.array_equal(plan.objectives, judged.task_objective_s)
    assert (plan.objective, plan.lower_bound) == (result.objective, result.lower_bound)
    assert plan.total_delay_s == result.evaluation.total_delay_s
    return served


@st.composite
def changes_of(draw, document):
    """Draw changes of some tasks of a document, each in one of its forms."""
    tasks = draw(st.lists(st.integers(0, len(document["tasks"]) - 1), min_size=1, max_size=5))
    servers, blocks = len(document["servers"]), max(len(m["blocks"]) for m in document["models"])
    rate = st.sampled_from([0.0, 1.0, 3.0, 4.0, 1e6, 2.5e7])
    tau = st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.3, None])

    def table(value, columns):
        row = st.lists(value, min_size=columns, max_size=columns)
        return row | st.lists(row, min_size=len(tasks), max_size=len(tasks))

    every = {
        "rates": table(rate, servers),
        "speeds": table(st.sampled_from([0.5, 2.0, 3.0, 1e9]), servers),
        "deadlines": table(tau, blocks),
        "batch": st.integers(1, 5) | st.lists(st.integers(1, 5), min_size=len(tasks), max_size=len(tasks)),
    }
    chosen = draw(st.sets(st.sampled_from(sorted(every))))
    return {"tasks": tasks, **{name: draw(every[name]) for name in sorted(chosen)}}


@examples(25)
@given(st.data())
def test_the_same_bits_as_solve(data):
    document = data.draw(documents(couplings=()))
    planner = mecopt.Planner(mecopt.from_dict(document))
    agree(planner.plan())
    agree(planner.plan(**data.draw(changes_of(document))))


@examples(12)
@given(st.data())
def test_the_same_bits_for_what_only_the_arcs_know(data):
    document = data.draw(wide_documents(objectives=("delay", "sum")))
    document["rules"] = document["rules"] | {"couplings": [], "one_run": "none", "sharing": None}
    for task in document["tasks"]:
        task.pop("max_total_delay_s", None)
    planner = mecopt.Planner(mecopt.from_dict(document))
    agree(planner.plan())
    agree(planner.plan(**data.draw(changes_of(document))))


def test_entries_that_bar_nothing_do_not_outlive_their_tasks():
    named = mecopt.to_dict(PAPER) | {"format": "mecopt-instance/2"}
    named["allow"] = [{"tasks": [19], "blocks": "all", "nodes": ["device", "es1", "es2", "es3", "es4"]}]
    agree(mecopt.Planner(mecopt.from_dict(named)).plan(tasks=[3, 0, 3]))
    named["allow"][0]["nodes"] = ["device", "es2"]
    plan = mecopt.Planner(mecopt.from_dict(named)).plan(tasks=[19, 3, 19])
    agree(plan)
    assert set(plan.placements[[0, 2]].ravel().tolist()) <= {0, 2}


def test_many_tasks_fill_no_whole_number_of_lanes():
    planner = mecopt.Planner(PAPER)
    for count in (1, LANES - 1, LANES, LANES + 1, 3 * LANES + 5):
        assert len(agree(planner.plan(tasks=np.arange(count) % 20))) == count


def test_one_task_is_planned_as_often_as_there_are_rows():
    planner = mecopt.Planner(plans_of_one())
    rates = np.random.default_rng(1).uniform(1e6, 2e7, (37, 4))
    plan = planner.plan(rates=rates, speeds=[2e9, 3e9, 4e9, 5e9])
    assert plan.placements.shape == (37, 6)
    agree(plan)
    alone = [planner.plan(rates=row, speeds=[2e9, 3e9, 4e9, 5e9]) for row in rates]
    assert np.array_equal(np.concatenate([one.placements for one in alone]), plan.placements)
    assert np.array_equal(np.concatenate([one.delays for one in alone]), plan.delays)


def plans_of_one():
    return PAPER.replace(tasks=PAPER.tasks.take([0]))


def test_speeds_may_differ_by_task():
    planner = mecopt.Planner(PAPER)
    speeds = np.random.default_rng(2).uniform(1e9, 9e9, (20, 4))
    plan = planner.plan(speeds=speeds)
    agree(plan)
    for k in (0, 7, 19):
        alone = planner.plan(tasks=k, speeds=speeds[k])
        assert np.array_equal(alone.placements[0], plan.placements[k])
        assert alone.objectives[0] == plan.objectives[k]


@pytest.mark.parametrize(
    "table",
    [
        lambda rates: rates.astype(np.float32),
        lambda rates: rates.astype(">f8"),
        np.asfortranarray,
        lambda rates: np.repeat(rates, 2, axis=1)[:, ::2],
        lambda rates: rates.tolist(),
        lambda rates: rates.astype(int).astype(object),
        lambda rates: (
            np.frombuffer(b"." + rates.tobytes(), dtype=np.uint8)[1:].view(float).reshape(rates.shape)
        ),
    ],
)
def test_numbers_may_come_in_any_form(table):
    rates = np.random.default_rng(3).integers(1 << 20, 1 << 24, (20, 4)).astype(float) * 8
    rates.setflags(write=False)
    planner = mecopt.Planner(PAPER)
    assert np.array_equal(planner.plan(rates=table(rates)).objectives, planner.plan(rates=rates).objectives)
    assert len(kernel().signatures) <= 1


def kernel():
    from mecopt.planner.plan_kernels import plan_tasks

    return plan_tasks


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"rates": [1e6, 1e6]}, "rates: shape (2,), expected 4 rates, one for each server, or a row of them"),
        ({"rates": 5.0}, "rates: one number, expected 4 rates"),
        ({"rates": [1e6, -1.0, 1e6, 1e6]}, "rates[1]: -1, expected a finite number >= 0"),
        ({"rates": np.full((20, 4), np.nan)}, "rates[0][0]: nan, expected a finite number >= 0"),
        ({"rates": [1e6, None, 1e6, 1e6]}, "rates[1]: nan, expected a finite number >= 0"),
        ({"rates": ["fast"] * 4}, "rates: ['fast', 'fast', 'fast', 'fast'], expected numbers"),
        ({"rates": [True] * 4}, "rates: [True, True, True, True], expected numbers"),
        ({"rates": [[1.0], [1.0, 2.0]]}, "rates: [[1.0], [1.0, 2.0]], expected numbers, rows of one length"),
        ({"rates": np.ones((3, 4))}, "rates: 3 rows for 20 tasks, expected one each, or one for all"),
        ({"speeds": [0.0, 1e9, 1e9, 1e9]}, "speeds[0]: 0, expected a finite number > 0"),
        ({"deadlines": -1.0}, "deadlines[0]: -1, expected a number >= 0, or none"),
        ({"deadlines": [np.nan] * 6}, "deadlines[0]: nan, expected a number >= 0, or none"),
        ({"batch": 0}, "batch[0]: 0, expected a whole number >= 1"),
        ({"batch": 1.5}, "batch[0]: 1.5, expected a whole number >= 1"),
        ({"batch": 1e30}, "batch[0]: 1e+30, expected at most 9007199254740992"),
        ({"batch": 10**17}, "batch[0]: 1e+17, expected at most 9007199254740992"),
        ({"batch": 2**53 + 1}, "batch[0]: 9007199254740993, expected at most 9007199254740992"),
        ({"batch": [2**53 + 1] + 19 * [1.0]}, "batch[0]: 9007199254740993, expected at most"),
        ({"batch": np.full(20, 2**53 + 1)}, "batch[19]: 9007199254740993, expected at most"),
        ({"rates": [1e6, True, 1e6, 1e6]}, "rates: [1000000.0, True, 1000000.0, 1000000.0], expected"),
        ({"deadlines": [[1, 1, 1, None, np.True_, 1]]}, "expected numbers"),
        ({"tasks": [0, True]}, "tasks: [0, True], expected numbers of tasks"),
        ({"batch": np.inf}, "batch[0]: inf, expected a whole number >= 1"),
        ({"batch": [1, 2]}, "batch: 2 rows for 20 tasks"),
        ({"tasks": 20}, "tasks[0]: 20, expected 0 to 19"),
        ({"tasks": []}, "tasks: [], expected numbers of tasks, 0 to 19"),
        ({"tasks": "all"}, "tasks: 'all', expected numbers of tasks, 0 to 19"),
        ({"rates": [1e-300] * 4, "batch": 10**12}, "out of range"),
        ({"rates": [1e-310] * 4}, "out of range"),
        ({"speeds": [1e-160] * 4}, "out of range"),
    ],
)
def test_bad_input_is_named(changes, problem):
    with pytest.raises(mecopt.InputError) as caught:
        mecopt.Planner(PAPER).plan(**changes)
    assert problem in str(caught.value)


def test_the_largest_batch_is_that_of_files():
    planner = mecopt.Planner(PAPER)
    for batch in (2**53, 2.0**53, [2**53] * 20):
        assert planner.plan(batch=batch).instance.tasks.batch.tolist() == [2**53] * 20
    changed = dataclasses.replace(PAPER.tasks, batch=np.full(20, 2**53 + 1))
    with pytest.raises(mecopt.InstanceError, match=r"tasks\[0\].batch: expected at most 9007199254740992"):
        PAPER.replace(tasks=changed)


def test_every_wrong_number_has_a_line():
    with pytest.raises(mecopt.InputError) as caught:
        mecopt.Planner(PAPER).plan(rates=[1e6, -1.0, np.inf, 1e6], batch=0)
    assert len(caught.value.problems) == 3
    with pytest.raises(mecopt.InputError) as caught:  # one number that was given for all blocks is one
        mecopt.Planner(PAPER).plan(deadlines=np.repeat([[1.0], [-1.0]], 10, axis=0))
    assert caught.value.problems == tuple(
        f"deadlines[{row}][0]: -1, expected a number >= 0, or none" for row in range(10, 20)
    )


def test_instances_that_join_tasks_are_refused_by_name():
    rules = {"couplings": frozenset({"capacity"})}
    joined = PAPER.replace(rules=mecopt.Rules.preset("paper", **rules))
    with pytest.raises(mecopt.CouplingError) as caught:
        mecopt.Planner(joined)
    assert str(caught.value).startswith("the planner does not take the coupling capacity; mecopt solve (")
    late = dataclasses.replace(PAPER.tasks, max_total_delay_s=np.ones(20))
    ended = PAPER.replace(tasks=late, rules=mecopt.Rules.preset("paper", deadline="hard"))
    with pytest.raises(mecopt.InputError) as caught:
        mecopt.Planner(ended)
    assert str(caught.value).startswith("the planner does not take end-to-end deadlines; mecopt solve (")


def test_deadlines_leave_a_task_without_a_placement():
    instance = PAPER.replace(rules=mecopt.Rules.preset("paper", deadline="hard"))
    planner = mecopt.Planner(instance)
    deadlines = np.full((20, 1), np.inf)
    deadlines[[3, 11]] = 1e-6
    plan = planner.plan(deadlines=deadlines)
    assert np.flatnonzero(~plan.feasible).tolist() == [3, 11]
    assert {reason["where"]["task"] for reason in plan.reasons} == {3, 11}
    free = planner.plan(deadlines=np.inf)
    kept = plan.feasible
    assert np.array_equal(plan.delays[kept], free.delays[kept])
    agree(plan)


def test_threads_pickles_and_event_loops_share_a_planner():
    planner = mecopt.Planner(PAPER)
    tables = [np.random.default_rng(seed).uniform(1e6, 2e7, (20, 4)) for seed in range(24)]
    expected = [planner.plan(rates=rates).objective for rates in tables]
    with ThreadPoolExecutor(4) as pool:
        assert [plan.objective for plan in pool.map(lambda r: planner.plan(rates=r), tables)] == expected
    again = pickle.loads(pickle.dumps(planner))
    assert again.instance == planner.instance
    assert [again.plan(rates=rates).objective for rates in tables] == expected

    async def all_of_them():
        return await asyncio.gather(*(planner.plan_async(rates=rates) for rates in tables))

    assert [plan.objective for plan in asyncio.run(all_of_them())] == expected


def test_a_call_changes_nothing_of_the_planner_or_of_what_it_is_given():
    planner = mecopt.Planner(PAPER)
    before, rates = planner.plan(), np.full((20, 4), 3e6)
    kept = copy.deepcopy(rates)
    planner.plan(rates=rates, speeds=np.full(4, 1e9), batch=7)
    assert np.array_equal(rates, kept)
    assert planner.plan().objective == before.objective
    assert before.objective == mecopt.solve(PAPER, "trellis").objective


def test_a_planner_of_a_name():
    planner = mecopt.Planner("tiny_paper")
    assert planner.instance == mecopt.load("tiny_paper")
    assert "Planner of" in repr(planner)
    assert repr(planner.plan()) == "<Plan of 2 tasks: optimal, objective 4.155>"


def test_a_fault_of_the_judge_is_loud(monkeypatch):
    from mecopt.planner import planner as module

    planner = mecopt.Planner(PAPER)
    monkeypatch.setattr(module, "plan_tasks", lambda *_: module.REFUSED + 2)
    with pytest.raises(mecopt.DisagreementError, match="judge"):
        planner.plan()
    assert plans.Plan
