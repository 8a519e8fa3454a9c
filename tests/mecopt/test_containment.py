"""What a method raises, spoils or leaves behind is its own error, and is undone."""

import contextlib
import math
import os
import random
import signal
import sys
import time

import numpy as np
import pytest

import mecopt
from mecopt import InputError, MethodError


class Odd(BaseException):
    """Neither an Exception nor an interrupt."""

    def __str__(self):
        raise ValueError


def test_an_error_of_the_method_is_named_and_kept(using):
    def fail(instance, run):
        run.found([[0]])
        raise ZeroDivisionError("of its own")

    with pytest.raises(MethodError, match="method 'own' failed: ZeroDivisionError: of its own") as caught:
        using(fail)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (SystemExit(3), "failed: SystemExit: 3"),
        (SystemExit(0), "failed: SystemExit: 0"),
        (GeneratorExit(), "failed: GeneratorExit: no further message"),
        (MemoryError(), "failed: MemoryError: out of memory"),
        (RecursionError("too deep"), "failed: RecursionError: too deep"),
        (Odd(), "failed: Odd: no further message"),
        (ValueError("two\nlines \x1b[31m" + "x" * 5000), r"failed: ValueError: two lines \\x1b\[31mx"),
        (mecopt.PlacementError("of its own"), "'own': of its own"),
    ],
)
def test_whatever_a_method_raises_is_its_error(using, error, text):
    def fail(instance, run):
        raise error

    with pytest.raises(MethodError, match=text) as caught:
        using(fail)
    assert "method 'own'" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_what_a_method_refuses_on_purpose_is_the_callers(using):
    def refuse(instance, run):
        raise InputError("depth: 3, expected 1 or 2")

    with pytest.raises(InputError, match="depth: 3"):
        using(refuse, depth=3)


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (lambda run: setattr(run, "repairs", -1), "run.repairs: -1, expected a whole number"),
        (lambda run: setattr(run, "repairs", 1.5), "run.repairs: 1.5"),
        (lambda run: setattr(run, "repairs", 10**30), "run.repairs: 1000"),
        (lambda run: setattr(run, "repairs", "many"), "run.repairs: 'many'"),
        (lambda run: setattr(run, "notes", [1]), "run.notes is a list"),
        (lambda run: run.notes.update(x=object()), r"run.notes\['x'\]: .* is not JSON serializable"),
        (lambda run: run.notes.update(x=math.nan), r"run.notes\['x'\]: .*expected what JSON can hold"),
        (lambda run: run.notes.update({3: 1}), "run.notes has the name 3"),
        (lambda run: setattr(run, "bound", 1.0), "run.bound is not for a method to set; run.improve_bound"),
        (lambda run: setattr(run, "best", [[0]]), "run.best is not for a method to set; run.found"),
        (lambda run: setattr(run, "reasons", ["full"]), "run.reasons is not .* run.infeasible"),
        (lambda run: setattr(run, "instance", None), "run.instance is not for a method to set"),
        (lambda run: setattr(run, "stopped_by", "bored"), "run.stopped_by is not"),
        (lambda run: run.infeasible("full"), "its reasons are a str"),
        (lambda run: run.infeasible({"message": "full"}), "its reasons are a dict"),
        (lambda run: run.infeasible(None), "its reasons are a NoneType"),
        (lambda run: run.infeasible(["full"]), r"reasons\[0\] is a str, expected a dictionary"),
        (lambda run: run.infeasible([{}]), r"reasons\[0\] has no message"),
        (lambda run: run.infeasible([{"message": 3}]), r"reasons\[0\] has no message"),
        (lambda run: run.infeasible([{"message": "x", "value": math.inf}]), r"reasons\[0\]: .*JSON"),
        (lambda run: run.found([[0]], objective="1"), "the objective that it claims is '1'"),
        (lambda run: run.found([[0]], objective=1 + 0j), "the objective that it claims is"),
        (lambda run: run.costs.bits.__iadd__(1), "changed run.costs.bits"),
        (lambda run: run.instance.tasks.rate_bps.__iadd__(1), "read-only"),
        (lambda run: run.found([[0]]).placement.fill(1), "read-only"),
    ],
)
def test_what_a_method_spoils_is_its_error(using, action, text):
    with pytest.raises(MethodError, match=f"method 'own'.*{text}"):
        using(lambda instance, run: action(run))


def test_what_a_method_does_to_the_process_is_undone(using, tmp_path, monkeypatch):
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.delenv("ADDED", raising=False)
    streams, folder = (sys.stdin, sys.stdout, sys.stderr), os.getcwd()
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    depth, errors = sys.getrecursionlimit(), np.geterr()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    drawn = random.random(), np.random.random()  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002

    def spoil(instance, run):
        os.chdir(tmp_path)
        os.environ["ADDED"] = "1"
        del os.environ["KEPT"]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        sys.setrecursionlimit(depth + 1)
        sys.stdout = sys.stderr = None
        np.seterr(all="raise")
        random.seed(2)
        np.random.seed(2)  # noqa: NPY002
        raise SystemExit

    with pytest.raises(MethodError):
        using(spoil)
    assert (sys.stdin, sys.stdout, sys.stderr) == streams
    assert os.getcwd() == folder
    assert (os.environ.get("KEPT"), os.environ.get("ADDED")) == ("1", None)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)] == handlers
    assert (sys.getrecursionlimit(), np.geterr()) == (depth, errors)
    assert (random.random(), np.random.random()) == drawn  # noqa: NPY002


def test_an_interrupt_that_a_method_swallows_is_one(using):
    def deaf(instance, run):
        run.found([[1]])
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        assert run.should_stop()

    result = using(deaf)
    assert (result.status, result.stopped_by) == ("feasible", "interrupt")
