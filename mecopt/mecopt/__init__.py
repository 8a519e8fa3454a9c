"""mecopt: plan where each block of a deep network runs, and prove how good the plan is.

Everything public is reached from here; modules are imported when a name is first used. No module bears
the name of a public function, because importing it would put the module in the function's place.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mecopt._version import __version__

_HOME = {
    "AllOf": "stop",
    "AnyOf": "stop",
    "Block": "entities",
    "Coupling": "entities",
    "CouplingError": "errors",
    "Deadline": "entities",
    "Device": "entities",
    "DisagreementError": "errors",
    "Evaluation": "judge",
    "GapTarget": "stop",
    "InputError": "errors",
    "Instance": "instance",
    "InstanceError": "errors",
    "IterationLimit": "stop",
    "Links": "entities",
    "MecoptError": "errors",
    "Method": "registry",
    "MethodError": "errors",
    "MissingExtraError": "errors",
    "Model": "entities",
    "ModelDocument": "importing.model_document",
    "PlacementError": "errors",
    "Plan": "planner",
    "Planner": "planner",
    "Progress": "incumbent",
    "Range": "generation",
    "Result": "result",
    "Rules": "entities",
    "Run": "incumbent",
    "Server": "entities",
    "Status": "result",
    "StopReason": "stop",
    "StopRule": "stop",
    "Tasks": "entities",
    "TimeLimit": "stop",
    "UnknownMethodError": "errors",
    "Violation": "judge",
    "census": "generation",
    "compare": "comparing",
    "deploy": "deployment",
    "evaluate": "evaluating",
    "expand": "generation",
    "from_dict": "io",
    "generate": "generation",
    "import_model": "importing",
    "load": "sources",
    "methods": "registry",
    "pareto": "what_if.fronts",
    "plot_comparison": "plotting",
    "plot_placement": "plotting",
    "plot_training": "plotting",
    "robust": "what_if.robustness",
    "save": "io",
    "simulate": "simulation",
    "solve": "solving",
    "stress": "what_if.stressing",
    "sweep": "what_if.sweeping",
    "to_dict": "documents",
    "warm_up": "warming",
}

__all__ = [
    "AllOf",
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
    "PlacementError",
    "Plan",
    "Planner",
    "Progress",
    "Range",
    "Result",
    "Rules",
    "Run",
    "Server",
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

if TYPE_CHECKING:
    from mecopt.comparing import compare
    from mecopt.deployment import deploy
    from mecopt.documents import to_dict
    from mecopt.entities import Block, Coupling, Deadline, Device, Links, Model, Rules, Server, Tasks
    from mecopt.errors import (
        CouplingError,
        DisagreementError,
        InputError,
        InstanceError,
        MecoptError,
        MethodError,
        MissingExtraError,
        PlacementError,
        UnknownMethodError,
    )
    from mecopt.evaluating import evaluate
    from mecopt.generation import Range, census, expand, generate
    from mecopt.importing import import_model
    from mecopt.importing.model_document import ModelDocument
    from mecopt.incumbent import Progress, Run
    from mecopt.instance import Instance
    from mecopt.io import from_dict, save
    from mecopt.judge import Evaluation, Violation
    from mecopt.planner import Plan, Planner
    from mecopt.plotting import plot_comparison, plot_placement, plot_training
    from mecopt.registry import Method, methods
    from mecopt.result import Result, Status
    from mecopt.simulation import simulate
    from mecopt.solving import solve
    from mecopt.sources import load
    from mecopt.stop import AllOf, AnyOf, GapTarget, IterationLimit, StopReason, StopRule, TimeLimit
    from mecopt.warming import warm_up
    from mecopt.what_if.fronts import pareto
    from mecopt.what_if.robustness import robust
    from mecopt.what_if.stressing import stress
    from mecopt.what_if.sweeping import sweep


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mecopt' has no attribute {name!r}")
    value = getattr(import_module(f"mecopt.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
