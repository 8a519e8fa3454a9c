"""The decomposition against brute force under every set of couplings, and what it promises on the way."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from places import DATA
from reference import Reference
from strategies import examples, tiny_documents
from wide_strategies import wide_documents

import mecopt
from mecopt.costs import chain_costs
from mecopt.highs import Highs
from mecopt.io import from_dict
from mecopt.trellis import shortest_paths
from mecopt_solvers.crosscheck import brute_force, instances
from mecopt_solvers.decomposition import branch
from mecopt_solvers.decomposition.branch import Tree
from mecopt_solvers.decomposition.branching import branches
from mecopt_solvers.decomposition.dual import Counts, price_paths
from mecopt_solvers.decomposition.master import Columns, Solution
from mecopt_solvers.decomposition.pool import fill_pool
from mecopt_solvers.decomposition.problem import build_part
from mecopt_solvers.decomposition.runs.run_master import RunMaster
from mecopt_solvers.decomposition.tighten import tightened

SETS = [
    ["capacity"],
    ["energy"],
    ["memory"],
    ["capacity", "energy"],
    ["capacity", "memory"],
    ["energy", "memory"],
    ["capacity", "energy", "memory"],
]


@pytest.mark.parametrize("couplings", SETS, ids="+".join)
def test_agrees_with_brute_force(couplings):
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(tiny_documents(couplings=()), st.integers(0, 3))
    def check(document, seed):
        document = {**document, "rules": {**document.get("rules", {}), "couplings": couplings}}
        best = Reference(document).best_coupled()
        result = mecopt.solve(from_dict(document), "decomposition", seed=seed, time_limit_s=60)
        if best is None:
            assert result.status == "infeasible"
            assert result.reasons
        else:
            assert result.status == "optimal"
            assert result.objective == pytest.approx(best, rel=1e-9, abs=1e-300)
            assert result.lower_bound <= best + 1e-9 * abs(best)

    check()


def crowd(**changes):
    return mecopt.generate("crowd", **{"seed": 7} | changes)


def part_of(instance):
    return build_part(instance, chain_costs(instance), np.arange(instance.task_count))


def test_any_prices_give_a_bound():
    instance = crowd(batch=6)
    best = mecopt.solve(instance, "decomposition").objective
    part = part_of(instance)
    rng = np.random.default_rng(0)
    for scale in (0.0, 1e-3, 1e-1, 10.0):
        prices = np.append(scale * rng.random(part.rows), 0.0)
        assert price_paths(part, prices).bound <= best * (1 + 1e-12)


def test_price_of_zero_is_the_trellis():
    instance = crowd(batch=6)
    priced = price_paths(part_of(instance), np.zeros(5))
    assert priced.bound == pytest.approx(shortest_paths(chain_costs(instance)).value.sum(), rel=1e-12)


def test_the_pool_holds_every_path_of_small_reduced_cost():
    instance = crowd(batch=3, blocks=4, servers=2)
    part = part_of(instance)
    prices = np.array([1e-3, 2e-3, 0.0])
    priced = price_paths(part, prices)
    within = 0.3 * float(priced.value.mean())
    every = np.array(list(itertools.product(range(3), repeat=4)))
    pool = fill_pool(part, priced, np.full(3, within))
    for k in range(3):
        columns = Columns.of(part, np.full(len(every), k), every)
        reduced = columns.reduced(part, priced)
        near = columns.at(np.flatnonzero(reduced <= within))
        mine = pool.columns.at(np.arange(pool.first[k], pool.first[k + 1]))
        for cost, use in zip(near.cost, near.use, strict=True):  # itself, or one that beats it
            assert ((mine.cost <= cost + 1e-12) & (mine.use <= use + 1e-12).all(axis=1)).any()


def test_column_generation_meets_its_bound():
    tree = Tree(part_of(crowd(batch=30)))
    tree.advance(0.0, lambda: False, 0)
    node = tree.open[0][2]
    assert node.solution.value == pytest.approx(node.bound, rel=1e-9)


def test_tightening_loses_no_load_that_fits():
    part = part_of(crowd(batch=3, servers=2, blocks=4))
    tight = tightened(part)
    for j in (1, 2):
        sizes = part.work[:, :, j].ravel()
        sums = np.array([sizes @ np.array(bits) for bits in itertools.product((0, 1), repeat=len(sizes))])
        lowered = sizes.max() / tight.work[:, :, j].max()
        assert (sums[sums <= 1.0] <= lowered).all()
        assert lowered <= 1.0


def test_crowded_slot_reaches_its_gap():
    result = mecopt.solve(crowd(), "decomposition", gap=1e-3, time_limit_s=60)
    assert result.gap <= 1e-3
    assert result.stopped_by == "gap"
    bounds = [bound for _, _, bound in result.trace if bound is not None]
    assert bounds == sorted(bounds)


@pytest.mark.parametrize("threads", [1, 2])
def test_many_slots(threads):
    result = mecopt.solve(
        crowd(slots=8, batch=20), "decomposition", gap=3e-3, time_limit_s=60, threads=threads
    )
    assert result.gap <= 3e-3


def test_pins_and_bans_hold():
    pins, bans = ["0:0=1", "1:2=0"], ["2:0=2"]
    result = mecopt.solve(crowd(batch=8), "decomposition", pins=pins, bans=bans, gap=1e-2, time_limit_s=60)
    assert result.placement[0, 0] == 1
    assert result.placement[1, 2] == 0
    assert result.placement[2, 0] != 2


@pytest.mark.slow
def test_slots_joined_by_budgets_agree_with_one_tree(monkeypatch):
    instance = crowd(slots=6, batch=4, ratio=0.9, couplings=("capacity", "energy"), energy_budget_share=1.01)
    whole = mecopt.solve(instance, "decomposition", gap=2e-2, time_limit_s=60)
    monkeypatch.setattr("mecopt_solvers.decomposition.searches.JOINED_TASKS", 4)
    joined = mecopt.solve(instance, "decomposition", gap=5e-3, time_limit_s=60)
    assert joined.status in ("optimal", "feasible")
    assert joined.lower_bound <= whole.objective * (1 + 1e-9)
    assert joined.objective >= whole.lower_bound * (1 - 1e-9)
    assert whole.gap <= 2e-2
    assert joined.gap <= 5e-3


def test_impossible_capacity_is_proved():
    instance = crowd(batch=4)
    pins = [f"{k}:{m}=1" for k in range(4) for m in range(6)]
    result = mecopt.solve(instance, "decomposition", pins=pins, time_limit_s=60)
    assert result.status == "infeasible"
    assert "slot 0" in result.reasons[0]["message"]


def test_the_stronger_bound_is_one(monkeypatch):
    """Prices of runs from the first node on, and no exhaustion that would settle small instances before."""
    monkeypatch.setattr(branch, "PLAIN_NODES", 0)
    monkeypatch.setattr(branch, "EXHAUSTIVE_PATHS", 0)
    drawn = [i for i in instances(120, seed=5) if i.rules.couplings == {"capacity"}]
    assert len(drawn) == 15
    for instance in drawn:
        best = brute_force(instance)
        result = mecopt.solve(instance, "decomposition", time_limit_s=5)
        if best is None:
            assert result.objective is None
        else:
            assert result.lower_bound <= best.objective * (1 + 1e-9), instance.name
            assert result.objective is None or result.objective >= best.objective * (1 - 1e-9)


def test_few_tasks_are_proved_by_patterns():
    part = part_of(crowd(batch=6, servers=3))
    plain, strong = Tree(part), Tree(part)
    plain.advance(0.0, lambda: False, 0)
    strong.advance(0.0, lambda: False, 0)
    strong._strengthen()
    strong.advance(0.0, lambda: False, 0)
    assert strong.sizes is not None
    assert strong.bound > plain.bound * 1.001
    strong.advance(0.0, lambda: False, 2000)
    assert strong.bound == pytest.approx(strong.value, rel=1e-9)


def test_a_solution_of_whole_counts_that_overfills_a_server_is_cut_off():
    """All counts were whole in a node of this tree, and no branch was made of it: 1.5e-4 stayed for good."""
    instance = crowd(batch=10, servers=4, ratio=1.3, seed=0)
    result = mecopt.solve(instance, "decomposition", time_limit_s=30)
    assert result.status == "optimal"
    assert result.objective == pytest.approx(0.17414386566633708, rel=1e-9)  # `cpsat` proves it too


def test_branches_leave_out_the_solution_and_no_placement():
    """A server that three tasks overfill together; whoever fits there is in one branch."""
    part = part_of(crowd(batch=3, servers=1))
    part.work[:] = 0.0
    part.work[:, 0, 1] = [0.4, 0.5, 0.6]
    path = np.where(part.weight[:, :, 0, 0] >= 0, 0, -1)
    path[:, 0] = 1
    columns = Columns.of(part, np.arange(3), path)
    solution = Solution(np.ones(3), 1.0, 0.0, np.zeros(2), np.zeros(0))
    divided = branches(part, columns, solution, Counts.none(3))

    def holds(counts, there):
        placed = path.copy()
        placed[~np.array(there), 0] = 0
        return (counts.entries(np.arange(3), placed).sum(axis=0) <= counts.limit).all()

    every = itertools.product([False, True], repeat=3)
    fits = [there for there in every if part.work[there, 0, 1].sum() <= 1]
    assert len(fits) == 6
    assert all(sum(holds(counts, there) for counts in divided) == 1 for there in fits)
    assert not any(holds(counts, [True] * 3) for counts in divided)


def test_dives_find_what_pools_of_paths_do_not():
    """Ten tasks on nine servers: thousands of paths cost about the same."""
    instance = crowd(batch=10, servers=9, seed=105)
    plain = 1e-2  # certified in 2 s on a slow core; 3e-2 after 10 s without dives
    assert mecopt.solve(instance, "decomposition", gap=plain, time_limit_s=60).gap <= plain


def test_a_master_that_grew_is_that_of_all_its_columns():
    tree = Tree(part_of(crowd(batch=8, servers=4)))
    tree.advance(0.0, lambda: False, 1)
    tree._strengthen()
    node = tree.open[0][2]
    every, patterns = node.columns, node.patterns
    assert len(patterns) > 4
    first = every.at(np.flatnonzero(np.diff(every.task, prepend=-1)))
    assert len(first.task) < len(every.task)
    whole, grown = (
        RunMaster(tree.part, tree.sizes, node.counts, tree.price_cap, columns, found)
        for columns, found in ((every, patterns), (first, patterns[:4]))
    )
    before = grown.solve()[1].value
    assert grown.add(every, patterns)
    assert not grown.add(every, patterns)
    prices, solution = grown.solve()
    assert solution.value == pytest.approx(whole.solve()[1].value, rel=1e-9)
    assert solution.value <= before
    assert (prices >= 0).all()
    shares = np.bincount(grown.columns.task, solution.share)
    assert shares == pytest.approx(np.ones(8))


@pytest.mark.parametrize("failures", [1, 2])
def test_a_master_at_which_highs_stumbles_is_solved_from_nothing(monkeypatch, failures):
    tree = Tree(part_of(crowd(batch=8, servers=4)))
    tree.advance(0.0, lambda: False, 1)
    tree._strengthen()
    node = tree.open[0][2]
    master = RunMaster(tree.part, tree.sizes, node.counts, tree.price_cap, node.columns, node.patterns)
    before = master.solve()[1].value
    left, run, forget, forgot = [failures], Highs.run, Highs.forget, []

    def stumble(highs):
        left[0] -= 1
        return "failed" if left[0] >= 0 else run(highs)

    monkeypatch.setattr(Highs, "run", stumble)
    monkeypatch.setattr(Highs, "forget", lambda highs: forgot.append(forget(highs)))
    again = master.solve()
    assert len(forgot) == 1
    if failures == 1:
        assert again[1].value == pytest.approx(before, rel=1e-9)
    else:
        assert again is None


def test_filling_closes_the_gap_of_many_tasks():
    result = mecopt.solve(crowd(batch=400), "decomposition", gap=3e-4, time_limit_s=30)
    assert result.gap <= 3e-4


def test_infeasible_below_a_leaf_is_infeasible_above():
    result = mecopt.solve(list(instances(464, seed=0))[-1], "decomposition", time_limit_s=30)
    assert (result.status, result.stopped_by) == ("infeasible", None)


@pytest.mark.parametrize("number", [77, 148, 383])
def test_instances_that_once_went_wrong(number):
    """A bound lost to rounding, a load too small to count, and turns that led nowhere."""
    instance = list(instances(number + 1, seed=0))[-1]
    result = mecopt.solve(instance, "decomposition", time_limit_s=30)
    assert result.objective == pytest.approx(brute_force(instance).objective, rel=1e-9)
    assert (result.status, result.stopped_by) == ("optimal", None)


def test_a_path_of_immense_cost_does_not_blur_the_search():
    """A link of 10^8 s raises what the search starts from; differences of 10^-5 must count all the same."""
    instance = mecopt.load(DATA / "long_ceiling.json")
    result = mecopt.solve(instance, "decomposition")
    assert result.status == "optimal"
    assert result.objective == pytest.approx(1.245332486767798, rel=1e-9)  # by brute force


@st.composite
def costlier_documents(draw):
    """Draw a document of which the wider fields only change what steps cost, with couplings of rows."""
    document = draw(wide_documents(objectives=("delay", "sum"), joint=300))
    some = draw(st.lists(st.sampled_from(["energy", "capacity", "memory"]), unique=True, min_size=1))
    document["rules"] |= {"couplings": some, "one_run": "none"}
    document["slots"]["seconds"] = draw(st.sampled_from([0.5, 4.0, 64.0, 1e4]))
    for model in document["models"]:
        model.pop("shared_params", None)
        for block in model["blocks"]:
            block.pop("start_seconds", None)
            block.pop("state_bytes", None)
    for task in document["tasks"]:
        task.pop("max_total_delay_s", None)
        task.pop("drop_cost", None)
    return document


@examples(50)
@given(costlier_documents())
def test_the_wider_model_where_only_steps_differ(document):
    try:
        instance = from_dict(document)
    except mecopt.InstanceError:  # energy counts by now, and some device's cannot be told
        return
    result = mecopt.solve(instance, "decomposition", time_limit_s=30)
    truth = Reference(document).best_coupled()
    if truth is None:
        assert result.status == "infeasible"
        return
    assert result.objective == pytest.approx(truth, rel=1e-6, abs=1e-18)
    assert all(b <= truth * (1 + 1e-9) + 1e-18 for _, _, b in result.trace if b is not None)
