"""The seam: methods are found by name among entry points, and say which couplings they honour."""

from importlib.metadata import EntryPoint

import pytest
from strategies import MINIMAL

import mecopt
from mecopt import Method, registry
from mecopt.limits import OF_ROWS

FREE = frozenset()
ALL = OF_ROWS


def nothing(instance, run):
    """Find nothing."""


HEURISTIC = Method("lazy", "heuristic", "finds nothing", ALL, nothing)
EXACT = Method("wise", "exact", "finds nothing, exactly", ALL, nothing)
NARROW = Method("narrow", "exact", "energy only", frozenset({mecopt.Coupling.ENERGY}), nothing)
NO_METHOD = 5


@pytest.fixture
def install(monkeypatch):
    """Return a function that installs entry points by name, the trellis beside them and nothing else."""
    trellis = {"trellis": registry._entries()["trellis"]}

    def add(**targets):
        fake = {name: EntryPoint(name, target, registry.GROUP) for name, target in targets.items()}
        monkeypatch.setattr(registry, "_entries", lambda: trellis | fake)

    return add


def coupled(*names):
    return mecopt.from_dict({**MINIMAL, "rules": {"couplings": list(names)}})


def test_the_trellis_is_registered():
    method = registry.method("trellis")
    assert (method.name, method.kind, method.exact, method.honours) == ("trellis", "exact", True, FREE)
    assert method in mecopt.methods()


def test_methods_are_sorted_and_described():
    methods = mecopt.methods()
    names = [method.name for method in methods]
    assert names == sorted(set(names))
    assert set(names) == set(registry._entries())
    assert all(
        method.summary and method.kind in ("exact", "heuristic", "baseline", "learner") for method in methods
    )


def test_a_third_party_method_is_found(install):
    install(lazy=f"{__name__}:HEURISTIC")
    assert registry.method("lazy") is HEURISTIC
    assert HEURISTIC in mecopt.methods()
    assert not HEURISTIC.exact


def test_a_method_bears_the_name_that_users_type(install):
    """It may call itself `wise`; looked up again by its own name it would be another one, or none."""
    install(lazy=f"{__name__}:EXACT")
    assert registry.method("lazy").name == "lazy"


@pytest.mark.parametrize("name", ["", "treillis", "Trellis", "no such thing"])
def test_unknown_methods(name):
    with pytest.raises(mecopt.UnknownMethodError, match="no method") as error:
        registry.method(name)
    assert "trellis" in str(error.value)
    assert error.value.exit_status == 2


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("no_such_package:METHOD", "'lazy' (no_such_package:METHOD) cannot be loaded: No module named"),
        (f"{__name__}:MISSING", "cannot be loaded"),
        (f"{__name__}:NO_METHOD", "is a int, expected a mecopt.Method"),
    ],
)
def test_a_broken_third_party_method_is_named(install, target, text):
    install(lazy=target)
    with pytest.raises(mecopt.MecoptError) as error:
        registry.method("lazy")
    assert text in str(error.value)


def test_a_broken_third_party_method_does_not_stop_the_others(install):
    install(broken="no_such_package:METHOD", wise=f"{__name__}:EXACT")
    with pytest.warns(UserWarning, match="'broken' .* cannot be loaded"):
        assert [method.name for method in mecopt.methods()] == ["trellis", "wise"]
    able = pytest.raises(mecopt.CouplingError, match="methods that can: wise;")
    with pytest.warns(UserWarning, match="'broken'"), able:
        mecopt.solve(coupled("energy"), "trellis")


# --- couplings ---
def test_a_method_that_cannot_honour_a_coupling_names_those_that_can(install):
    install(lazy=f"{__name__}:HEURISTIC", wise=f"{__name__}:EXACT", narrow=f"{__name__}:NARROW")
    with pytest.raises(mecopt.CouplingError) as error:
        mecopt.solve(coupled("energy", "memory"), "trellis")
    text = str(error.value)
    assert text.startswith("trellis cannot honour energy, memory; methods that can: ")
    assert "lazy" in text
    assert "wise" in text
    assert "narrow" not in text
    assert error.value.exit_status == 2


def test_only_the_couplings_that_are_missing_are_named(install):
    install(narrow=f"{__name__}:NARROW")
    with pytest.raises(mecopt.CouplingError, match="narrow cannot honour memory;"):
        mecopt.solve(coupled("energy", "memory"), "narrow")


def test_those_that_respect_the_couplings_are_named_first(install):
    install(lazy=f"{__name__}:HEURISTIC", wise=f"{__name__}:EXACT")
    with pytest.raises(mecopt.CouplingError, match="methods that can: wise; that try: lazy; as a"):
        mecopt.solve(coupled("energy"), "trellis")
    install(lazy=f"{__name__}:HEURISTIC")
    with pytest.raises(mecopt.CouplingError, match="methods that can try: lazy; as a"):
        mecopt.solve(coupled("energy"), "trellis")


def test_it_is_said_when_nothing_can(install):
    install()
    with pytest.raises(mecopt.CouplingError, match="methods that can: none installed"):
        mecopt.solve(coupled("energy", "capacity"), "trellis")
