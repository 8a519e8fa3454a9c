"""Files in instances/: the tiny ones against hand-worked optima, the others against their origin."""

import itertools
import re

import numpy as np
import pytest
from places import INSTANCES

import mecopt
from mecopt.generation import census, command, generate, parse
from mecopt.limits import CAPACITY

README = (INSTANCES / "README.md").read_text(encoding="utf-8")
GENERATED = sorted(
    p.name for p in INSTANCES.glob("*.json*") if not p.name.startswith(("tiny_", "best_known"))
)
TINY = sorted(p.name for p in INSTANCES.glob("tiny_*.json"))

# As worked out by hand in instances/README.md: placement, objective, energy.
BY_HAND = {
    "tiny_paper.json": ([[1, 0, 2], [2, 2, 2]], 4.155),
    "tiny_physical.json": ([[1, 1, 0], [2, 2, 0]], 3.825),
    "tiny_deadline.json": ([[0, 2], [2, 2]], 4.375),
    "tiny_capacity.json": ([[0, 1], [0, 1]], 3.375),
    "tiny_energy.json": ([[1, 1], [0, 1]], 2.85),
    "tiny_memory.json": ([[0, 1], [2, 1]], 4.7),
    "tiny_measured.json": ([[0, 1], [0, 1]], 1.0),
}
WITHOUT_COUPLINGS = {"tiny_capacity.json": 2.25, "tiny_energy.json": 2.775, "tiny_memory.json": 3.45}


def brute_force(instance):
    """Return the objective of every feasible placement with the placement, best first."""
    nodes = range(instance.server_count + 1)
    paths = [list(itertools.product(nodes, repeat=int(count))) for count in instance.block_count]
    found = []
    for joint in itertools.product(*paths):
        value = mecopt.evaluate(instance, [list(path) for path in joint]).objective
        if value is not None:
            found.append((value, [list(path) for path in joint]))
    return sorted(found)


def test_every_tiny_instance_is_worked_out():
    assert set(BY_HAND) | {"tiny_infeasible.json"} == set(TINY)


@pytest.mark.parametrize("name", BY_HAND)
def test_tiny_optimum_is_the_one_worked_out_by_hand(name):
    instance = mecopt.load(INSTANCES / name)
    placement, value = BY_HAND[name]
    assert mecopt.evaluate(instance, placement).objective == pytest.approx(value, rel=1e-12)
    (best, where), *others = brute_force(instance)
    assert (best, where) == (pytest.approx(value, rel=1e-12), placement)
    assert all(other > best + 1e-3 for other, _ in others)  # so that no other placement is optimal
    assert f"Optimum {value} s." in instance.description


@pytest.mark.parametrize("name", [n for n in BY_HAND if n not in WITHOUT_COUPLINGS])
def test_tiny_optimum_is_solved(name):
    result = mecopt.solve(mecopt.load(INSTANCES / name))
    assert result.status == "optimal"
    assert result.placement.tolist() == BY_HAND[name][0]


@pytest.mark.parametrize(("name", "value"), WITHOUT_COUPLINGS.items())
def test_tiny_couplings_bite(name, value):
    result = mecopt.solve(mecopt.load(INSTANCES / name), "trellis", relax=True)
    assert result.lower_bound == pytest.approx(value)
    assert result.status == "violating"


def test_tiny_figures_of_the_readme():
    capacity = mecopt.load(INSTANCES / "tiny_capacity.json")
    assert CAPACITY.used(mecopt.evaluate(capacity, [[0, 1], [0, 1]]))[1].tolist() == [1.0]
    energy = mecopt.evaluate(mecopt.load(INSTANCES / "tiny_energy.json"), [[1, 1], [0, 1]])
    assert energy.energy_j == pytest.approx(2.25)
    measured = mecopt.evaluate(mecopt.load(INSTANCES / "tiny_measured.json"), [[0, 1], [0, 1]])
    assert measured.energy_j == pytest.approx(1.325)
    deadline = mecopt.evaluate(mecopt.load(INSTANCES / "tiny_deadline.json"), [[0, 2], [2, 2]])
    assert deadline.block_delay_s[1].tolist() == [2.125, 0.5]
    for path in ([0, 2], [1, 1], [1, 2], [0, 1], [0, 0], [2, 0], [2, 1], [1, 0]):
        assert not mecopt.evaluate(deadline.instance, [[0, 2], path]).feasible


def test_tiny_infeasible():
    instance = mecopt.load(INSTANCES / "tiny_infeasible.json")
    assert brute_force(instance) == []
    result = mecopt.solve(instance)
    assert result.status == "infeasible"
    (reason,) = result.reasons
    assert (reason["where"], reason["limit"], reason["value"]) == ({"task": 1, "block": 1}, 0.6, 0.75)


@pytest.mark.parametrize("name", GENERATED)
def test_generated_file_is_what_its_origin_says(name):
    instance = mecopt.load(INSTANCES / name)
    origin = instance.origin
    assert generate(origin["spec"], seed=origin["seed"], **origin["parameters"]) == instance
    assert generate(parse(instance.name)) == instance
    assert origin["command"] == command(parse(instance.name))


def test_readme_lists_every_file_with_its_command_and_optimum():
    rows = re.findall(r"^\| `([a-z0-9_.]+\.json(?:\.gz)?)` \|(.*)\|$", README, re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(GENERATED + TINY)
    for name, cells in rows:
        instance, value = mecopt.load(INSTANCES / name), BY_HAND.get(name, (None, None))[1]
        if name in TINY:
            assert cells.split("|")[1].strip() == ("none" if value is None else str(value))
            continue
        found = census(instance)
        assert [cell.strip() for cell in cells.split("|")] == [
            str(instance.task_count),
            str(instance.server_count),
            f"{found.objective:.6g}",
            f"{found.local} / {found.one_server} / {found.mixed}",
            f"`{instance.origin['command']} --out instances/{name}`",
        ]


def test_alexnet_6es_is_as_described():
    instance = mecopt.load(INSTANCES / "alexnet_6es.json")
    found = census(instance)
    assert (instance.task_count, instance.server_count, found.unserved) == (600, 6, 0)
    assert found.mixed > 0.5 * 600
    assert not instance.rules.couplings
    assert instance.rules == mecopt.Rules.preset("paper", deadline="hard")
    assert np.unique(instance.links.server_bps[~np.eye(6, dtype=bool)]).tolist() == [1e8]
    assert 6.4e6 <= instance.tasks.rate_bps.min() <= instance.tasks.rate_bps.max() <= 16e6
    assert instance.models[0].blocks[0].input_bits == 3 * 224 * 224 * 32
    assert instance.server_speed.shape == (6, 600)
    assert len({s.tobytes() for s in instance.server_speed}) == 6
    free = instance.replace(rules=mecopt.Rules.preset("paper", deadline="none"))
    with_limits, without = mecopt.solve(instance).evaluation, mecopt.solve(free).evaluation
    bites = with_limits.task_objective_s > without.task_objective_s * (1 + 1e-9)
    assert bites.sum() == 78  # as the README says, and of the 50 lifted deadlines too
    assert instance.origin["derived"]["lifted_tasks"] == 50
    assert with_limits.feasible


def test_folder_stays_small():
    assert sum(p.stat().st_size for p in INSTANCES.iterdir()) < 3e6
