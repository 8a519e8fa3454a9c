"""`auto`: which method it takes, that it says so, and that the next one gets what the first leaves open."""

import pytest

import mecopt
from mecopt_solvers import auto


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


def test_the_next_method_gets_the_incumbent_and_the_rest(monkeypatch):
    instance = mecopt.generate("energy:slots=3")
    known = mecopt.solve(instance, "energy-path").placement
    starts = []

    def give_up(instance, run):
        run.found(known)

    def end(instance, run):
        starts.append(run.warm_start)

    everything = frozenset(mecopt.Coupling)
    fakes = {
        "energy-path": mecopt.Method("energy-path", "exact", "", everything, give_up),
        "ilp": mecopt.Method("ilp", "exact", "", everything, end),
    }
    monkeypatch.setattr(auto, "method", fakes.__getitem__)
    result = mecopt.solve(instance)
    assert result.options["picked"] == ["energy-path", "ilp"]
    assert [start.tolist() for start in starts] == [known.tolist()]


def test_every_instance_has_a_row():
    assert auto.TABLE[-1].fits(mecopt.generate("crowd:release_rate=2"))


def test_a_crowd_is_priced_before_a_program_is_tried():
    assert auto.choose(mecopt.generate("crowd:release_rate=200")).methods[0] == "decomposition"
