"""Run a solver library's call so that Python stays in charge: Ctrl-C works, and a limit holds."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from mecopt.processes import library_threads

STEP_S = 0.05  # how often the clock is asked
GRACE_S = 0.3  # what a library that was told to stop gets before it is left behind

Post = Callable[[str, Any], None]


def watched(
    work: Callable[[Post], Any],
    stop: Callable[[], None],
    handle: Callable[[str, Any], None],
    due: Callable[[], bool],
) -> tuple[Any, bool]:
    """Run ``work(post)`` in a thread of its own, and hand what it posts to ``handle`` here.

    Parameters
    ----------
    work : callable
        The call into the library. What it posts is a kind and a value.
    stop : callable
        Tells the library to stop; called once.
    handle : callable
        Called in this thread with every post.
    due : callable
        Says whether to stop; asked every 0.05 s and after every post.

    Returns
    -------
    outcome
        What `work` returned; None if it had to be left behind: a library that does not stop when told
        goes on in the background, and nothing more is heard of it.
    stopped : bool
        Whether it was told to stop.

    Raises
    ------
    BaseException
        What `work` or `handle` raised; KeyboardInterrupt.
    """
    posts: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    heard = threading.Event()  # set when nobody listens any more

    def post(kind: str, value: Any) -> None:
        if not heard.is_set():
            posts.put((kind, value))

    def body() -> None:
        try:
            post("done", work(post))
        except BaseException as error:
            post("raised", error)

    worker = threading.Thread(target=body, daemon=True, name="mecopt-solver")
    worker.start()
    library_threads.append(worker)
    until = None
    try:
        while True:
            try:
                wait = STEP_S if until is None else min(STEP_S, max(until - time.perf_counter(), 0.0))
                kind, value = posts.get(timeout=wait)
            except queue.Empty:
                kind, value = "tick", None
            if kind == "done":
                return value, until is not None
            if kind == "raised":
                raise value
            if kind != "tick":
                handle(kind, value)
            if until is None and due():
                stop()
                until = time.perf_counter() + GRACE_S
            if until is not None and time.perf_counter() >= until:
                return None, True
    except BaseException:
        stop()
        worker.join(GRACE_S)
        raise
    finally:
        heard.set()
        library_threads[:] = [thread for thread in library_threads if thread.is_alive()]
