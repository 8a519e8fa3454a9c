"""The public surface: what `import mecopt` promises."""

import importlib.metadata
import inspect

import pytest

import mecopt

PUBLIC = [
    "AllOf",
    "Allow",
    "AnyOf",
    "Block",
    "Coupling",
    "CouplingError",
    "Deadline",
    "Device",
    "DisagreementError",
    "Evaluation",
    "GapTarget",
    "InputError",
    "Instance",
    "InstanceError",
    "IterationLimit",
    "Links",
    "MecoptError",
    "Method",
    "MethodError",
    "MissingExtraError",
    "Model",
    "ModelDocument",
    "Objective",
    "OneRun",
    "Phase",
    "PlacementError",
    "Plan",
    "Planner",
    "Progress",
    "Range",
    "Result",
    "Rules",
    "Run",
    "Server",
    "SharedParams",
    "Sharing",
    "Status",
    "StopReason",
    "StopRule",
    "Tasks",
    "TimeLimit",
    "UnknownMethodError",
    "Violation",
    "__version__",
    "census",
    "compare",
    "deploy",
    "evaluate",
    "expand",
    "from_dict",
    "generate",
    "import_model",
    "load",
    "methods",
    "pareto",
    "plot_comparison",
    "plot_placement",
    "plot_training",
    "robust",
    "save",
    "simulate",
    "solve",
    "stress",
    "sweep",
    "to_dict",
    "warm_up",
]
SMALL = {
    "format": "mecopt-instance/1",
    "slots": {"count": 1},
    "models": [{"name": "m", "blocks": [{"cycles": 1, "input_bits": 1}]}],
    "devices": [{"name": "d", "cycles_per_s": 1}],
    "servers": [{"cycles_per_s": 1}],
    "tasks": [{"slot": 0, "device": "d", "model": "m", "rate_bps": [1]}],
}


def test_the_public_names_are_these():
    assert sorted(mecopt.__all__) == PUBLIC
    assert dir(mecopt) == PUBLIC


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "__version__"])
def test_every_public_name_is_documented(name):
    value = getattr(mecopt, name)
    assert inspect.getdoc(value)
    assert value.__name__ == name
    assert getattr(mecopt, name) is value


def test_public_functions_and_methods_are_documented_and_typed():
    for name in PUBLIC[:-1]:
        value = getattr(mecopt, name)
        members = [value] if inspect.isfunction(value) else []
        if inspect.isclass(value):
            members = [m for n, m in vars(value).items() if inspect.isfunction(m) and not n.startswith("_")]
        for member in members:
            signature = inspect.signature(member)
            assert inspect.getdoc(member), member
            assert signature.return_annotation is not inspect.Signature.empty, member


def test_unknown_names():
    with pytest.raises(AttributeError, match="module 'mecopt' has no attribute 'slove'"):
        _ = mecopt.slove


def test_version_is_that_of_the_package():
    assert mecopt.__version__ == importlib.metadata.version("mecopt")


def test_functions_do_not_become_modules():
    """Importing every module must not put a module in the place of a public function of the same name."""
    mecopt.solve(mecopt.from_dict(SMALL))
    for name in ("evaluate", "generate", "load", "methods", "save", "solve"):
        assert inspect.isfunction(getattr(mecopt, name))


def test_the_error_tree():
    assert issubclass(mecopt.InputError, mecopt.MecoptError)
    for name in ("InstanceError", "PlacementError", "UnknownMethodError", "CouplingError"):
        assert issubclass(getattr(mecopt, name), mecopt.InputError)
        assert getattr(mecopt, name)("x").exit_status == 2
    for error in (mecopt.DisagreementError("x"), mecopt.MissingExtraError("Training", "rl")):
        assert error.exit_status == 1
        assert not isinstance(error, mecopt.InputError)
    assert str(mecopt.MissingExtraError("Training", "rl")).endswith("pip install 'mecopt[rl]'")
    assert str(mecopt.InputError(["a", "b"], "file")) == "file: a\nfile: b"
