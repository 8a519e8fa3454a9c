"""What a method says of limits is true: what it respects it never breaks, what it tries it sometimes does."""

from functools import cache
from itertools import combinations

import numpy as np
import pytest
from strategies import MINIMAL

import mecopt
from mecopt import Method, limits, registry
from mecopt.result import Status
from mecopt_solvers.crosscheck import brute_force, random_instance

SETS = [frozenset(some) for size in range(4) for some in combinations(sorted(limits.OF_ROWS), size)]
LIMITS = (*registry.OF_ONE_TASK, *mecopt.Coupling)
METHODS = {method.name: method for method in mecopt.methods() if method.kind != "learner"}
FEW = 2000  # placements that brute force looks at in a moment

# Draws of `drawn`, for which something is feasible, that the method ends violating.
BROKEN = {
    "apdi": {"link": 0, "deadline": 2, "capacity": 12, "energy": 22, "memory": 22},
    "greedy": {"link": 0, "deadline": 2, "capacity": 12, "memory": 13, "energy": 22},
    "best-server": {"deadline": 0, "link": 1, "capacity": 12, "memory": 13, "energy": 23},
    "local": {"energy": 4, "memory": 11, "deadline": 43},
    "best-node": {"memory": 22, "capacity": 45, "energy": 98},
    "single-cut": {"memory": 22, "capacity": 45, "energy": 98},
    "greedy-arc": {"energy": 98, "memory": 133, "capacity": 687},
    "rpdi": {"energy": 82, "memory": 133, "deadline": 492, "capacity": 687},
    "best-constant": {"deadline": 520, "link": 696},
    "local-search": {"memory": 231, "capacity": 687},
}


@cache
def drawn(number):
    """Return a small instance, or None where nothing is feasible or brute force would take long."""
    instance = random_instance(np.random.default_rng([99, number]), SETS[number % len(SETS)])
    placements = (instance.server_count + 1) ** int(instance.block_count.sum())
    return instance if placements <= FEW and brute_force(instance) is not None else None


def kinds(result):
    """Return the limits that a placement breaks."""
    return {violation.kind for violation in result.evaluation.violations} if result.evaluation else set()


def solve(instance, name):
    rounds = {"iterations": 200} if name == "local-search" else {}
    return mecopt.solve(instance, name, seed=1, **rounds)


def check_respected(name, numbers):
    method = METHODS[name]
    seen = 0
    for number in numbers:
        instance = drawn(number)
        if instance is None or not method.suits(instance):
            continue
        result = solve(instance, name)
        seen += 1
        assert result.status is not Status.INFEASIBLE, number
        assert not kinds(result) & method.respects, number
        if method.respects >= {*registry.OF_ONE_TASK, *instance.rules.couplings}:
            assert result.status is not Status.VIOLATING
    assert seen or method.refuses is not None


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_respects_it_never_breaks(name):
    check_respected(name, range(24))


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_respects_it_never_breaks_on_many(name):
    check_respected(name, range(24, 700))


@pytest.mark.parametrize(
    ("name", "limit", "number"), [(name, limit, n) for name in BROKEN for limit, n in BROKEN[name].items()]
)
def test_what_a_method_tries_it_sometimes_breaks(name, limit, number):
    assert METHODS[name].stance(limit) == "tries"
    result = solve(drawn(number), name)
    assert result.status is Status.VIOLATING
    assert limit in kinds(result)


def packing():
    """Return five tasks too slow for their device that fill two servers to the last second, one way only."""
    sizes = (0.6, 0.4, 0.5, 0.5)
    task = {**MINIMAL["tasks"][0], "max_delay_s": 2.0, "rate_bps": [1e9, 1e9]}
    return mecopt.from_dict(
        {
            **MINIMAL,
            "rules": {"deadline": "hard", "couplings": ["capacity"]},
            "models": [
                {"name": f"m{size}", "blocks": [{"cycles": size * 1e9, "input_bits": 1}]}
                for size in sorted(set(sizes))
            ],
            "devices": [{**MINIMAL["devices"][0], "cycles_per_s": 1e6}],
            "servers": [{"name": name, "cycles_per_s": 1e9} for name in ("s1", "s2")],
            "links": {"server_bps": 1e9},
            "tasks": [{**task, "model": f"m{size}"} for size in sizes],
        }
    )


def dead_end():
    """Return a task that a fast server lures, from which no link leads back with the result."""
    return mecopt.from_dict(
        {
            **MINIMAL,
            "rules": {"preset": "physical"},
            "models": [{"name": "m", "output_bits": 1, "blocks": [{"cycles": 1e9, "input_bits": 1}] * 3}],
            "devices": [{**MINIMAL["devices"][0], "cycles_per_s": 1e8}],
            "servers": [{"name": "near", "cycles_per_s": 1e9}, {"name": "far", "cycles_per_s": 1e12}],
            "links": {"server_bps": [[0, 1e9], [0, 0]]},
            "tasks": [{**MINIMAL["tasks"][0], "model": "m", "rate_bps": [1e9, 0]}],
        }
    )


def full_servers():
    """Return two tasks of which pins leave `local` no choice but one server that has room for one."""
    instance = packing()
    return instance.replace(rules=mecopt.Rules(deadline="none", couplings=frozenset({"capacity"})))


@pytest.mark.parametrize(
    ("name", "limit", "make", "pins"),
    [
        ("slot-price", "capacity", packing, ()),
        ("greedy-arc", "link", dead_end, ()),
        ("rpdi", "link", dead_end, ()),
        ("local", "capacity", full_servers, ("0:0=1", "1:0=1", "2:0=1")),
        (
            "online-price",
            "energy",
            lambda: random_instance(np.random.default_rng([7, 373]), frozenset({mecopt.Coupling.ENERGY})),
            (),
        ),
    ],
)
def test_more_that_is_broken(name, limit, make, pins):
    seeds = range(30) if METHODS[name].random else (1,)
    results = [mecopt.solve(make(), name, seed=seed, pins=pins) for seed in seeds]
    assert METHODS[name].stance(limit) == "tries"
    assert any(result.status is Status.VIOLATING and limit in kinds(result) for result in results)
    assert mecopt.solve(make(), "ilp").status is Status.OPTIMAL


def test_only_what_is_exact_respects_couplings():
    """A rule with repairs is no proof: whoever says more of a heuristic needs an argument for it."""
    for method in METHODS.values():
        assert method.respects >= set(registry.OF_ONE_TASK) or not method.exact
        assert method.exact or not method.respects & set(mecopt.Coupling)
        assert not method.exact or method.respects >= method.honours


# --- the declaration itself ---
def nothing(instance, run):
    """Find nothing."""


@pytest.mark.parametrize(
    ("kind", "given", "stances"),
    [
        ("exact", {}, "respects respects respects ignores ignores ignores"),
        ("heuristic", {}, "tries tries tries ignores ignores ignores"),
        ("exact", {"respects": ["deadline"]}, "tries respects tries ignores ignores ignores"),
        ("baseline", {"respects": {"energy"}}, "tries tries respects ignores ignores ignores"),
    ],
)
def test_what_is_not_said_is_not_claimed(kind, given, stances):
    """An exact method respects what it honours, any other one tries, unless it says so."""
    method = Method("own", kind, "", frozenset({mecopt.Coupling.ENERGY}), nothing, **given)
    assert [method.stance(limit) for limit in LIMITS] == stances.split()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"honours": ["enregy"]}, "'enregy' is not a valid Coupling"),
        ({"honours": [], "respects": ["energy"]}, "respects energy, expected only link, deadline"),
        ({"honours": ["energy"], "respects": ["links"]}, "respects links"),
    ],
)
def test_a_wrong_declaration_is_refused(given, text):
    with pytest.raises(ValueError, match=text):
        Method("own", "heuristic", "", solve=nothing, **given)


def test_no_built_in_method_honours_what_does_not_exist_yet(monkeypatch):
    """Couplings are named one by one, so that a new one is refused until somebody has seen to it."""
    files = [entry.value.partition(":")[0] for entry in registry._entries().values()]
    sources = {name: __import__(name, fromlist=["x"]).__file__ for name in files}
    for name, path in sources.items():
        with open(path, encoding="utf-8") as file:
            assert "frozenset(Coupling)" not in file.read(), name


def crowded():
    """Return two tasks, of 1 s each on a shared server, that a slot of 1.5 s has room for one of."""
    task = {"slot": 0, "device": "d", "model": "m", "rate_bps": [1.0]}
    return mecopt.from_dict(
        {
            "format": "mecopt-instance/2",
            "slots": {"count": 1, "seconds": 1.5},
            "rules": {"deadline": "hard", "couplings": ["sharing"], "sharing": "mm1"},
            "models": [{"name": "m", "blocks": [{"cycles": 1, "input_bits": 0}]}],
            "devices": [{"name": "d", "cycles_per_s": 0.2, "transmit_power_w": 0}],
            "servers": [{"cycles_per_s": 1}],
            "tasks": [{**task, "max_delay_s": [6.0]}, {**task, "max_delay_s": [5.0]}],
        }
    )


@pytest.mark.parametrize(
    ("name", "pins"),
    [
        ("greedy", ()),
        ("apdi", ()),
        ("best-server", ()),
        ("local", ("0:0=1", "1:0=1")),
        ("rpdi", ("0:0=1", "1:0=1")),
        ("selfish", ("0:0=1", "1:0=1")),
    ],
)
def test_a_largest_load_is_tried(name, pins):
    assert METHODS[name].stance("sharing") == "tries"
    result = mecopt.solve(crowded(), name, pins=pins)
    assert result.status is Status.VIOLATING
    assert "sharing" in kinds(result)
    assert mecopt.solve(crowded(), "enumeration").status is Status.OPTIMAL


@pytest.mark.parametrize("name", ["greedy-arc", "best-node", "single-cut", "selfish", "social"])
def test_who_looks_at_loads_leaves_a_full_server(name):
    assert mecopt.solve(crowded(), name).evaluation.placement.tolist() == [[1], [0]]
