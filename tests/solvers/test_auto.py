"""`auto`: which methods it takes, that it says so, and how they take turns; in time, whatever they meet."""

import dataclasses
import time

import numpy as np
import pytest

import mecopt
from mecopt.errors import MethodError
from mecopt.limits import OF_ROWS
from mecopt_solvers import auto

EVERYTHING = OF_ROWS


def chain(cycles, bits=1e3, sizes=0.0, *, servers, slot_s=1.0, couplings, speed=4e9, memory=None, local=True):
    """Return one task; `local`: whether its blocks may run on the device."""
    sizes = np.broadcast_to(sizes, len(cycles))
    blocks = tuple(mecopt.Block(float(c), bits, float(s)) for c, s in zip(cycles, sizes, strict=True))
    device = mecopt.Device("camera", 1e9, transmit_power_w=0.5)
    return mecopt.Instance(
        name="chain",
        slot_count=1,
        slot_s=slot_s,
        models=(mecopt.Model("net", blocks, output_bits=1e4),),
        devices=(device,),
        servers=tuple(mecopt.Server(f"es{n}", speed, memory_bytes=memory) for n in range(servers)),
        links=mecopt.Links.of(servers, 1e8),
        tasks=mecopt.Tasks.of(
            slot=[0],
            device=0,
            model=0,
            rate_bps=np.linspace(8e6, 1.6e7, servers)[None],
            blocks=len(cycles),
            max_delay_s=np.inf if local else 0.9 * np.asarray(cycles)[None] / device.cycles_per_s,
        ),
        rules=mecopt.Rules.preset("physical", deadline="hard", couplings=couplings),
    )


def crowded(seed, share, blocks=273, servers=4):
    """Return one task that servers must run and have `share` of the time for."""
    cycles = np.random.default_rng(seed).uniform(0.5e8, 1.5e8, blocks)
    slot_s = share * cycles.sum() / 4e9 / servers
    return chain(cycles, servers=servers, slot_s=slot_s, couplings={"capacity"}, local=False)


def tied(share, blocks=273, servers=4):
    """Return one task of like blocks on like servers, which are all it may use."""
    slot_s = share * blocks * 1e8 / 4e9 / servers
    like = chain(
        np.full(blocks, 1e8), 0.0, servers=servers, slot_s=slot_s, couplings={"capacity"}, local=False
    )
    rates = np.full((1, servers), 1e7)
    return like.replace(tasks=mecopt.Tasks.of(
        slot=[0], device=0, model=0, rate_bps=rates, blocks=blocks, max_delay_s=like.tasks.max_delay_s
    ))  # fmt: skip


def packed(seed, blocks=27):
    """Return one task on two servers whose memory holds a third of it each."""
    rng = np.random.default_rng(seed)
    sizes = rng.uniform(1e5, 1e7, blocks).round()
    cycles = rng.uniform(1e8, 5e9, blocks)
    memory = float(sizes.sum() / 3)
    return chain(cycles, 1e6, sizes, servers=2, couplings={"memory"}, memory=memory)


@pytest.mark.parametrize(
    ("spec", "first"),
    [
        ("camera-alexnet:slots=3", "trellis"),
        ("energy:slots=3", "energy-path"),
        ("crowd:release_rate=5", "ilp"),
    ],
)
def test_the_table_is_followed_and_named(spec, first):
    result = mecopt.solve(mecopt.generate(spec), time_limit_s=30)
    assert result.method == "auto"
    assert result.options["picked"][0] == first
    assert result.status == "optimal"


def test_a_crowd_is_priced_before_a_program_is_tried():
    assert auto.choose(mecopt.generate("crowd:release_rate=200")).methods[0] == "decomposition"


def test_every_instance_has_a_row():
    assert auto.TABLE[-1].fits(mecopt.generate("crowd:release_rate=2"))


def fake(monkeypatch, **solve):
    """Put functions in the place of the methods that `energy` takes."""
    names = {"energy-path": "first", "ilp": "second"}
    fakes = {n: mecopt.Method(n, "exact", "", EVERYTHING, solve[key]) for n, key in names.items()}
    monkeypatch.setattr(auto, "method", fakes.__getitem__)
    return mecopt.generate("energy:slots=3")


def test_the_next_method_gets_the_incumbent_and_the_rest(monkeypatch):
    known = mecopt.solve(mecopt.generate("energy:slots=3"), "energy-path").placement
    starts = []
    instance = fake(
        monkeypatch,
        first=lambda instance, run: run.found(known),
        second=lambda instance, run: starts.append(run.warm_start),
    )
    result = mecopt.solve(instance)
    assert result.options["picked"] == ["energy-path", "ilp"]
    assert [start.tolist() for start in starts] == [known.tolist()]


def test_a_method_that_stalls_hands_over_and_gets_another_turn(monkeypatch):
    calls = []

    def stall(instance, run):
        calls.append(("first", run.time_left_s))
        while not run.is_due():
            time.sleep(0.01)

    def finish_late(instance, run):
        calls.append(("second", run.time_left_s))
        if len(calls) < 4:
            stall(instance, run)
            calls.pop()
        else:
            run.infeasible([{"kind": "energy", "where": {}, "limit": None, "value": None, "message": "none"}])

    monkeypatch.setattr(auto, "FIRST_TURN_S", 0.1)
    monkeypatch.setattr(auto, "FIRST_SHARE", 0.0)
    result = mecopt.solve(fake(monkeypatch, first=stall, second=finish_late), time_limit_s=20)
    assert [name for name, _ in calls] == ["first", "second", "first", "second"]
    assert result.status == "infeasible"
    assert result.stopped_by is None
    assert max(calls[0][1], calls[1][1]) <= 0.1
    assert all(0.1 < left <= 0.2 for _, left in calls[2:])  # they begin anew


def test_a_method_that_fails_does_not_end_the_run(monkeypatch):
    known = mecopt.solve(mecopt.generate("energy:slots=3"), "energy-path").placement

    def fail(instance, run):
        raise MethodError("the library gave up")

    instance = fake(monkeypatch, first=fail, second=lambda instance, run: run.found(known))
    result = mecopt.solve(instance)
    assert result.status != "unknown"
    assert "gave up" in result.options["failed"][0]


@pytest.mark.parametrize("seed", range(3))
def test_one_task_that_servers_have_no_time_for(seed):
    result = mecopt.solve(crowded(seed, share=0.97), time_limit_s=20)
    assert result.status == "infeasible"


@pytest.mark.parametrize("seed", range(3))
def test_one_task_that_memory_tears_apart(seed):
    instance = packed(seed)
    result = mecopt.solve(instance, time_limit_s=20)
    assert result.status == "optimal"
    assert result.objective == pytest.approx(mecopt.solve(instance, "ilp").objective, rel=1e-6)


@pytest.mark.parametrize("share", [0.98, 1.001, 1.05])
def test_like_blocks_on_like_servers_are_proved(share):
    result = mecopt.solve(tied(share), time_limit_s=30)
    assert result.status == ("optimal" if share > 1.01 else "infeasible")


@pytest.mark.parametrize("method", ["auto", "decomposition"])
@pytest.mark.parametrize("share", [0.98, 1.001, 1.02, 1.05])
def test_like_blocks_on_like_servers_end_in_time(method, share):
    instance = tied(share)
    mecopt.solve(instance, method, time_limit_s=0.1)  # whatever has to be loaded or compiled
    start = time.process_time()
    result = mecopt.solve(instance, method, time_limit_s=2)
    assert time.process_time() - start <= 1.1 * 2 + 0.5
    assert (result.status == "infeasible") == (int(share * 273 / 4) * 4 < 273)


def test_slots_of_few_tasks_are_solved_one_by_one():
    both = ("capacity", "memory")
    instance = mecopt.generate(
        "crowd", slots=20, release_rate=2, couplings=both, server_memory_bytes=2e7, seed=3
    )
    assert auto.choose(instance).when == "many slots of few tasks each"
    best = mecopt.solve(instance, "decomposition", time_limit_s=30)
    assert best.status == "optimal"
    assert best.objective == pytest.approx(mecopt.solve(instance, "ilp", time_limit_s=30).objective, rel=2e-6)


def test_a_stopped_decomposition_goes_on_where_it_was(monkeypatch):
    from mecopt.incumbent import Run
    from mecopt_solvers.decomposition import turns

    instance = mecopt.generate("crowd:release_rate=30")
    run, built = Run(instance), []
    opened = turns.search_part
    monkeypatch.setattr(turns, "search_part", lambda *given: built.append(1) or opened(*given))
    bounds = []
    for _ in range(3):
        with run.slice(0.3) as over:
            turns.solve(instance, run)
            assert over()
        assert not run.should_stop()  # the end of a slice is not that of the run
        bounds.append(run.bound)
    assert len(built) == 1
    assert bounds == sorted(bounds)


def test_a_decomposition_in_short_turns_loses_nothing():
    """Its first program may be stopped before its prices are any good: then it goes on with that first."""
    from mecopt.incumbent import Run
    from mecopt_solvers.decomposition import turns

    instance = mecopt.generate("crowd:batch=10", couplings=("capacity",), seed=2)
    run, ended = Run(instance), False
    while not ended:
        with run.slice(0.03) as over:
            turns.solve(instance, run)
            ended = not over()
    assert run.gap <= 1e-6
    assert run.objective == pytest.approx(mecopt.solve(instance, "decomposition").objective, rel=1e-6)


@pytest.mark.parametrize(
    ("spec", "methods"),
    [
        ("crowd:objective=period,couplings=none,batch=4", ("period", "ilp")),
        ("crowd:sharing=mm1,couplings=none,batch=20", ("decomposition", "ilp")),
        ("crowd:batch=60", ("decomposition", "local-search", "ilp")),
    ],
)
def test_the_order_for_the_wider_model(spec, methods):
    assert auto.choose(mecopt.generate(spec)).methods[: len(methods)] == methods


def test_what_only_changes_costs_goes_by_the_table():
    plain = mecopt.generate("crowd:batch=60")
    weighted = plain.replace(tasks=dataclasses.replace(plain.tasks, weight=np.linspace(1, 2, 60)))
    assert auto.choose(weighted).methods == auto.choose(plain).methods
    rules = dataclasses.replace(plain.rules, couplings=frozenset({"energy"}))
    assert auto.choose(weighted.replace(rules=rules)).methods == ("ilp", "decomposition", "local-search")


WIDE = "crowd:servers=3,couplings=memory,sharing=affine,ratio=1.5,drop_cost=0.1..2,server_memory_bytes=1e7"


def test_a_placement_that_anybody_sees_is_found():
    spec = f"{WIDE},release_rate=12,blocks=3,max_total_delay_s=1..4,deadline=soft"
    result = mecopt.solve(mecopt.generate(spec, seed=0), time_limit_s=1)
    assert result.status in ("feasible", "optimal")


def test_a_program_under_sharing_ends_with_its_proof():
    result = mecopt.solve(mecopt.generate(f"{WIDE},release_rate=20,blocks=4", seed=0), "ilp", time_limit_s=20)
    assert (result.status, result.stopped_by) == ("optimal", None)
