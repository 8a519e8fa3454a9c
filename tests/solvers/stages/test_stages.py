"""One stretch a node, exactly: against brute force, the front against every placement, and refusals."""

import dataclasses
import itertools

import numpy as np
import pytest

import mecopt
from mecopt.costs import chain_costs
from mecopt.entities import SharedParams
from mecopt.judge import evaluate
from mecopt.registry import method
from mecopt_solvers.crosscheck import brute_force, wide_instance
from mecopt_solvers.stages import front, programme
from mecopt_solvers.stages.chain import chain_of
from mecopt_solvers.stages.programme import with_sums

SUITED = frozenset({"memory", "capacity"})


def drawn(seed, number, **rules):
    """Draw an instance of one task, under one_run and what couplings the method takes."""
    instance = wide_instance(np.random.default_rng([seed, number]))
    kept = instance.rules.couplings & SUITED
    rules = {"one_run": ("servers", "all")[number % 2], "couplings": kept, **rules}
    return instance.replace(
        tasks=instance.tasks.take(np.arange(1)),
        allow=(),
        rules=dataclasses.replace(instance.rules, **rules),
    )


def held_to_brute_force(instance, name):
    """Compare optimum and every recorded bound with the truth."""
    best, result = brute_force(instance), mecopt.solve(instance, name)
    if best is None:
        assert result.status == "infeasible"
        assert result.reasons
        return
    assert result.status == "optimal"
    assert result.objective == pytest.approx(best.objective, rel=1e-9, abs=1e-18)
    bounds = [bound for _, _, bound in result.trace if bound is not None]
    assert max([*bounds, result.lower_bound]) <= best.objective * (1 + 1e-9) + 1e-18


def check(numbers):
    seen = 0
    for number in numbers:
        instance = drawn(1, number)
        if method("stages").suits(instance):
            held_to_brute_force(instance, "stages")
            seen += 1
    assert seen > len(numbers) // 3


def test_it_finds_the_optimum_of_brute_force():
    check(range(60))


@pytest.mark.slow
def test_it_finds_the_optimum_of_brute_force_on_many():
    check(range(60, 1500))


def chain(blocks, servers, seed=0, device=1e9, **rules):
    """Return a task of blocks that unequal servers run, over unequal links."""
    rng = np.random.default_rng(seed)
    parts = tuple(
        mecopt.Block(float(rng.uniform(1e7, 1e9)), float(rng.uniform(1e5, 3e6)), 1e6) for _ in range(blocks)
    )
    return mecopt.Instance(
        name="chain",
        slot_count=1,
        models=(mecopt.Model("net", parts, output_bits=1e6),),
        devices=(mecopt.Device("camera", device, transmit_power_w=0.5),),
        servers=tuple(
            mecopt.Server(f"es{n}", float(rng.uniform(2e9, 8e9)), memory_bytes=4e6) for n in range(servers)
        ),
        links=mecopt.Links.of(servers, rng.uniform(5e7, 2e8, (servers, servers))),
        tasks=mecopt.Tasks.of(
            slot=[0], device=0, model=0, rate_bps=rng.uniform(6.4e6, 1.6e7, (1, servers)), blocks=blocks
        ),
        rules=mecopt.Rules.preset("physical", **{"deadline": "none", "one_run": "servers", **rules}),
    )


def undominated(points):
    """Return the points that no other one beats, by the first figure."""
    kept = []
    for first, second in sorted(points):
        if not kept or second < kept[-1][1] * (1 - 1e-9):
            kept.append((first, second))
    return kept


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("device", [1e9, 4e9])
def test_the_front_is_that_of_all_placements(seed, device):
    instance = chain(5, 3, seed, device, objective="period")
    every = [np.array([path]) for path in itertools.product(range(4), repeat=5)]
    judged = [one for one in (evaluate(instance, path) for path in every) if one.feasible]
    truth = undominated([(one.total_delay_s, one.period_s) for one in judged])
    found = front(instance)
    assert found.delay_s == pytest.approx([delay for delay, _ in truth])
    assert found.period_s == pytest.approx([period for _, period in truth])
    for delay, period, path in zip(found.delay_s, found.period_s, found.placement, strict=True):
        again = evaluate(instance, path[None])
        assert (again.total_delay_s, again.period_s) == pytest.approx((delay, period))


def test_the_end_of_the_front_is_the_least_period():
    instance = chain(12, 5, objective="period")
    assert mecopt.solve(instance, "stages").objective == pytest.approx(front(instance).period_s[-1])


def test_a_deadline_is_a_point_of_the_front():
    instance = chain(8, 4, objective="period")
    found = front(instance)
    assert len(found.delay_s) > 2
    tasks = dataclasses.replace(instance.tasks, max_total_delay_s=found.delay_s[1:2] * 1.0001)
    rules = dataclasses.replace(instance.rules, deadline="hard")
    result = mecopt.solve(instance.replace(tasks=tasks, rules=rules), "stages")
    assert result.objective == pytest.approx(found.period_s[1])
    late = dataclasses.replace(instance.tasks, max_total_delay_s=found.delay_s[:1] * 0.99)
    assert mecopt.solve(instance.replace(tasks=late, rules=rules), "stages").status == "infeasible"


def test_memory_holds_a_stretch_and_parts_that_blocks_share():
    instance = chain(8, 4, couplings={"memory"})
    tied = (SharedParams("tied", 1e6, (0, 7)),)
    instance = instance.replace(models=(dataclasses.replace(instance.models[0], shared_params=tied),))
    result = mecopt.solve(instance, "stages")
    assert result.status == "optimal"
    assert result.objective == pytest.approx(mecopt.solve(instance, "ilp", time_limit_s=20).objective)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"one_run": "none", "objective": "period"}, "under one_run alone"),
        ({"one_run": "none", "couplings": {"memory"}}, "under one_run alone"),
    ],
)
def test_what_it_refuses_it_refuses_by_name(rules, words):
    with pytest.raises(mecopt.InputError, match=words):
        mecopt.solve(chain(4, 2, **rules), "stages")


def test_tasks_that_share_a_slot_are_refused_under_the_period():
    instance = chain(4, 2, objective="period")
    both = instance.replace(tasks=instance.tasks.take(np.zeros(2, dtype=int)))
    with pytest.raises(mecopt.InputError, match="share nothing"):
        mecopt.solve(both, "stages")


def test_too_many_sets_are_refused():
    with pytest.raises(mecopt.InputError, match="GiB of sets of nodes at most"):
        mecopt.solve(chain(20, 22), "stages")


def test_a_front_needs_stages_and_a_task():
    with pytest.raises(mecopt.InputError, match="expected servers or all"):
        front(chain(3, 2, one_run="none"))
    with pytest.raises(mecopt.InputError, match="expected 0 to 0"):
        front(chain(3, 2), 1)
    with pytest.raises(mecopt.InputError, match="text"):
        front("text")
    with pytest.raises(mecopt.CouplingError, match="a front of stages does not take the coupling energy"):
        front(chain(3, 2, couplings={"energy"}))


@pytest.mark.parametrize("batch", [1, 20])
@pytest.mark.parametrize("objective", ["delay", "period"])
def test_a_language_model_on_unequal_nodes_is_proved(batch, objective):
    from mecopt.models import language

    model = language.document(language.model("llama-3-70b"), prefill=512, decode=128)
    rng = np.random.default_rng(0)
    servers = [
        {
            "cycles_per_s": rng.uniform(5e12, 4e13),
            "memory_bytes_per_s": rng.uniform(4e11, 2e12),
            "memory_bytes": rng.choice([24e9, 32e9, 48e9, 80e9]),
        }
        for _ in range(8)
    ]
    rules = {"deadline": "none", "objective": objective, "one_run": "servers", "couplings": ["memory"]}
    document = {
        "format": "mecopt-instance/2",
        "slots": {"count": 1},
        "rules": rules,
        "models": [model],
        "devices": [{"name": "pc", "cycles_per_s": 1e12, "memory_bytes_per_s": 5e10, "memory_bytes": 8e9}],
        "servers": servers,
        "links": {"server_bps": 1e10, "server_latency_s": 1e-4},
        "tasks": [{"slot": 0, "device": "pc", "model": model["name"], "batch": batch, "rate_bps": [1e9] * 8}],
    }
    result = mecopt.solve(mecopt.from_dict(document), "stages")
    assert result.status == "optimal"
    assert len(set(result.placement[0])) > 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("one_run", ["servers", "all"])
def test_blocks_done_lie_in_the_span_of_every_set(seed, one_run):
    instance = chain(5, 3, seed, objective="period", one_run=one_run)
    task = chain_of(instance, chain_costs(instance), 0, None)
    seen = 0
    for path in itertools.product(range(4), repeat=5):
        judged = evaluate(instance, np.array([path]))
        if not judged.feasible:
            continue
        low, high = task.span(judged.period_s)
        used = 0
        for m, (node, then) in enumerate(itertools.pairwise([*path, -1])):
            used |= int(task.bit[node])
            if node != then:
                assert low[used] <= m + 1 <= high[used]
        tighter, wider = task.span(0.8 * judged.period_s)
        assert (tighter >= low).all()
        assert (wider <= high).all()
        seen += 1
    assert seen > 100


def test_a_period_that_the_radio_binds_needs_few_labels(monkeypatch):
    calls = []
    monkeypatch.setattr(programme, "with_sums", lambda *given: calls.append(given) or with_sums(*given))
    for seed in range(6):
        instance = chain(14, 5, seed, objective="period")
        assert mecopt.solve(instance, "stages").status == "optimal"
    assert len(calls) <= 6
