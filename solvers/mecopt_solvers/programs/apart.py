"""A solver on a large program, in a process of its own: libraries do not stop in presolve, processes do.

The process hears of its job on standard input, and posts what it finds on standard output, so all that it
found before it is ended has arrived. It ends itself when the process that started it is gone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any, BinaryIO

from mecopt.errors import MethodError
from mecopt.processes import SAFE
from mecopt_solvers.programs.jobs import Job, SearchOutcome
from mecopt_solvers.programs.watched import Post, watched

MAIN = "import sys; sys.path[:] = {path!r}; from {module} import main; main()"
COLUMNS = 100_000  # of a program from which on it pays: the process takes 0.4 s to start


def solve_apart(engine: str, job: Job, note: Callable[[Any], None] = lambda value: None) -> SearchOutcome:
    """Run an engine in a process of its own, which is ended when the job is due.

    Parameters
    ----------
    engine : str
        ``module:function``; the function takes a `Job` and what to call with remarks.
    job : Job
    note : callable
        Called with the engine's remarks.

    Raises
    ------
    MethodError
        If the process ends without an answer.
    """
    process = subprocess.Popen(
        [sys.executable, SAFE, "-c", MAIN.format(path=sys.path, module=__name__)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # which keeps a Ctrl-C of the terminal from it
    )
    handlers: dict[str, Callable[[Any], None]] = {"found": job.found, "bound": job.bound, "note": note}

    def work(post: Post) -> SearchOutcome | None:
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            pickle.dump((engine, _without_calls(job)), process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()
        with contextlib.suppress(EOFError, pickle.UnpicklingError):
            while True:
                kind, value = pickle.load(process.stdout)
                if kind == "done":
                    return value  # type: ignore[no-any-return]
                post(kind, value)
        return None

    try:
        outcome, stopped = watched(work, process.kill, lambda kind, value: handlers[kind](value), job.due)
    finally:
        process.kill()
        status = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
    if outcome is None and not stopped:
        raise MethodError(f"the solver's process ended with status {status}")
    return outcome or SearchOutcome("stopped")


def _without_calls(job: Job) -> Job:
    """Return the job as it can be sent."""
    return dataclasses.replace(job, found=print, bound=print, due=bool, hold=bool)


def _serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Do the one job of this process."""
    engine, job = pickle.load(source)
    threading.Thread(target=_end_with_parent, args=(source,), daemon=True).start()
    lock = threading.Lock()

    def post(kind: str, value: Any) -> None:
        with lock:
            pickle.dump((kind, value), sink, protocol=pickle.HIGHEST_PROTOCOL)
            sink.flush()

    module, _, name = engine.partition(":")
    run = getattr(import_module(module), name)
    job = dataclasses.replace(
        job,
        found=lambda x: post("found", x),
        bound=lambda value: post("bound", value),
        due=lambda: False,  # this process is ended
    )
    post("done", run(job, lambda value: post("note", value)))


def _end_with_parent(source: BinaryIO) -> None:
    source.read()
    os._exit(1)


def main() -> None:
    """Be the process."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    posts = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no post
    _serve(sys.stdin.buffer, posts)
    os._exit(0)
