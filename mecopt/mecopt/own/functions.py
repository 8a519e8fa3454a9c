"""A function of the instance as a method: what it returns is handed over and judged."""

from __future__ import annotations

import contextlib
import inspect
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from mecopt.entities import Coupling
from mecopt.errors import InputError, MethodError, shown
from mecopt.features import ALL
from mecopt.registry import Method

if TYPE_CHECKING:
    from mecopt.incumbent import Run
    from mecopt.instance import Instance

RUN, SEED, THREADS = "run", "seed", "threads"  # parameters that get what `solve` was given
AGAIN_S = 0.1  # until a function that has swallowed its end is told once more


@dataclass(frozen=True)
class Placing:
    """The `solve` of a method that is a function ``f(instance) -> placement``.

    Attributes
    ----------
    function : callable
    parameters : tuple of str
        Names of its parameters behind the instance.
    """

    function: Callable[..., Any]
    parameters: tuple[str, ...]

    def __call__(self, instance: Instance, run: Run) -> None:
        """Call the function, and hand over what it returns.

        A function that takes the `Run` asks it when to stop; any other is ended when the time is up.
        """
        given: dict[str, Any] = {RUN: run, SEED: run.seed, THREADS: run.threads}
        words = {name: value for name, value in given.items() if name in self.parameters} | run.options
        if RUN in self.parameters:
            placement = self.function(instance, **words)
        else:
            with ended_in_time(run):
                placement = self.function(instance, **words)
        if placement is not None:
            run.found(placement)
        elif run.best is None and run.bound is None and not run.reasons:
            shape = instance.task_count, instance.max_blocks
            raise MethodError(
                f"returned nothing, expected a placement: a node for every block, shape {shape}"
            )


def as_method(function: Callable[..., Any]) -> Method:
    """Return a function ``f(instance) -> placement`` as a method.

    A parameter called `run`, `seed` or `threads` gets what the run has; every other one behind the first is
    an option. A function with a `seed` is random. It is run on every instance, whatever the couplings, and
    what breaks a limit is judged to be violating.

    Raises
    ------
    InputError
        If it takes no instance.
    """
    name = getattr(function, "__name__", type(function).__name__).strip("<>")
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # of C, without a signature
        parameters = [inspect.Parameter("instance", inspect.Parameter.POSITIONAL_ONLY)]
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    if not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
        raise InputError(f"method {shown(name)}: takes no argument, expected a function of the instance")
    others = tuple(p.name for p in parameters[1:] if p.kind in named)
    return Method(
        name=name,
        kind="heuristic",
        summary=(inspect.getdoc(function) or "a function of one's own").partition("\n")[0],
        honours=frozenset(Coupling),
        solve=Placing(function, others),
        random=SEED in others,
        options=frozenset(others) - {RUN, SEED, THREADS},
        takes=ALL,  # the judge judges it
    )


@contextlib.contextmanager
def ended_in_time(run: Run) -> Iterator[None]:
    """Leave the block by `OutOfTime` when the time limit of a run has passed.

    Only in the main thread, where signals come; elsewhere a function goes on until it returns. An alarm that
    somebody else has set meanwhile still rings when it is due.
    """
    alone = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
    if not alone or run.time_left_s == math.inf:
        yield
        return
    left, interval = signal.setitimer(signal.ITIMER_REAL, 0.0)
    theirs_at = time.perf_counter() + left if left else math.inf

    def arm(seconds: float) -> None:
        seconds = min(seconds, theirs_at - time.perf_counter())
        signal.setitimer(signal.ITIMER_REAL, 0.0 if seconds == math.inf else max(seconds, 1e-6))

    def ring(number: int, frame: FrameType | None) -> None:
        nonlocal theirs_at
        their_turn = time.perf_counter() >= theirs_at
        if their_turn:
            theirs_at = time.perf_counter() + interval if interval else math.inf
        arm(max(run.time_left_s, AGAIN_S))
        if their_turn and callable(before):
            before(number, frame)
        run.keep_time()  # compiling is on no limit: it may be early

    before = signal.signal(signal.SIGALRM, ring)
    try:
        arm(run.time_left_s)
        yield
    finally:
        signal.signal(signal.SIGALRM, before)
        arm(math.inf)
