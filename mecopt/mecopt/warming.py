"""Compile ahead: what the methods need is compiled into the cache before anybody waits for it."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mecopt import registry
from mecopt.entities import Coupling, Deadline
from mecopt.errors import InputError, MecoptError
from mecopt.generation import generate
from mecopt.instance import Instance
from mecopt.solving import solve
from mecopt.stop import COMPILER, StopReason

LIMIT_S = 1.0  # of a solve, compiling not counted: what it searches longer compiles nothing new
# Between them they lead methods to every loop: limits that bind alone and together, slots that budgets join,
# few tasks and many, a second model.
SPECS = (
    ("camera-alexnet:slots=2,servers=2", ()),
    ("paper-deadline:slots=2,servers=2,deadline=hard", ()),
    ("energy:slots=4,servers=2,energy_budget_share=0.8", ("energy",)),
    ("crowd:batch=10", ("capacity",)),
    ("crowd:batch=220,servers=2", ("capacity",)),
    ("crowd:batch=10,server_memory_bytes=4e7", ("memory",)),
    ("crowd:slots=2,batch=6,energy_budget_share=1.05", ("capacity", "energy")),
    ("crowd:slots=3,batch=10,ratio=0.8,energy_budget_share=1.0", ("capacity", "energy")),
    (
        "crowd:slots=2,servers=2,batch=12,energy_budget_j=0.01,server_memory_bytes=4e7",
        ("energy", "capacity", "memory"),
    ),
)


@dataclass(frozen=True)
class Warmed:
    """What warming up one method took."""

    method: str
    seconds: float
    compiled_s: float  # of these, for compiling; 0 where everything was in the cache
    error: str = ""  # why the method could not be had


def warm_up(methods: Iterable[str] | None = None) -> float:
    """Compile what methods need, so that no solve has to wait for it.

    Compiled code is kept on disk: once an installation is enough, until mecopt, numba or the processor
    changes. Methods are run on tiny instances for that, and trained policies train for a moment.

    Parameters
    ----------
    methods : iterable of str, optional
        Names of methods; every one that is installed by default.

    Returns
    -------
    float
        Seconds that compiling took, 0 where everything was there already.

    Raises
    ------
    UnknownMethodError
        If there is no method of a name.
    """
    return sum(warmed.compiled_s for warmed in warming(methods))


def warming(methods: Iterable[str] | None = None) -> Iterator[Warmed]:
    """Warm up one method after the other; as `warm_up`, and yields what each took when it is done."""
    chosen = registry.methods() if methods is None else [registry.method(name) for name in methods]
    instances = [_instance(spec, couplings) for spec, couplings in SPECS]
    for method in chosen:
        start, before = time.perf_counter(), COMPILER.seconds
        error = ""
        try:
            with warnings.catch_warnings(action="ignore"):
                _warm(method, instances)
        except MecoptError as failure:  # a library that is not installed, or somebody else's broken method
            error = str(failure)
        yield Warmed(method.name, time.perf_counter() - start, COMPILER.seconds - before, error)
    if methods is None:
        yield _what_if(instances)


def _what_if(instances: list[Instance]) -> Warmed:
    """Compile the loops of sweeps, fronts and robust plans: each way that deadlines count by itself."""
    from mecopt.what_if.fronts import pareto
    from mecopt.what_if.robustness import robust
    from mecopt.what_if.sweeping import sweep

    start, before = time.perf_counter(), COMPILER.seconds
    for deadline in Deadline:
        instance = instances[1].replace(rules=dataclasses.replace(instances[1].rules, deadline=deadline))
        sweep(instance, "rate")
        if deadline is Deadline.NONE:
            robust(instance, 1)
            pareto(instance)
    return Warmed("sweep, pareto, robust", time.perf_counter() - start, COMPILER.seconds - before)


def _instance(spec: str, couplings: Iterable[str]) -> Instance:
    with warnings.catch_warnings(action="ignore"):  # limits that nothing enforces yet
        made = generate(spec)
    on = frozenset(map(Coupling, couplings))
    return made.replace(rules=dataclasses.replace(made.rules, couplings=on))


def _warm(method: registry.Method, instances: list[Instance]) -> None:
    """Run a method on all that it can take, then what it does for this by itself."""
    for instance in instances:
        if method.honours >= instance.rules.couplings:
            with contextlib.suppress(InputError):  # a learner without a policy for this one
                if solve(instance, method.name, time_limit_s=LIMIT_S).stopped_by == StopReason.INTERRUPT:
                    raise KeyboardInterrupt
    if method.warm_up is not None:
        method.warm_up()
