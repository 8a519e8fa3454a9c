"""Run a solver library's call so that Python stays in charge: Ctrl-C works, and a limit holds."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import Any

from mecopt.processes import library_threads

STEP_S = 0.05  # how often the clock is asked
GRACE_S = 0.3  # what a library that was told to stop gets before it is left behind

Post = Callable[[str, Any], None]


class Heard(Enum):
    """How listening to a call ended."""

    ENDED = "by itself"
    STOPPED = "told to stop"
    HELD = "to be listened to again"


class Watched:
    """A library's call in a thread of its own; what it posts is handed over while somebody listens.

    Parameters
    ----------
    work : callable
        The call into the library. What it posts is a kind and a value.
    stop : callable
        Tells the library to stop; called once.
    """

    def __init__(self, work: Callable[[Post], Any], stop: Callable[[], None]) -> None:
        self._stop = stop
        self._posts: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._left = threading.Event()  # set when nobody will listen any more

        def post(kind: str, value: Any) -> None:
            if not self._left.is_set():
                self._posts.put((kind, value))

        def body() -> None:
            try:
                post("done", work(post))
            except BaseException as error:
                post("raised", error)

        self._worker = threading.Thread(target=body, daemon=True, name="mecopt-solver")
        self._worker.start()
        library_threads.append(self._worker)

    def listen(
        self,
        handle: Callable[[str, Any], None],
        due: Callable[[], bool],
        held: Callable[[], bool] = bool,
    ) -> tuple[Any, Heard]:
        """Hand what is posted to `handle`, in this thread, until the call ends or is due.

        Parameters
        ----------
        handle : callable
        due : callable
            Says whether to stop; asked every 0.05 s and after every post.
        held : callable, optional
            Asked once it is due: whether to leave the call as it is, to be listened to again.

        Returns
        -------
        outcome
            What `work` returned; None if it is held or had to be left behind: a library that does not stop
            when told goes on in the background, and nothing more is heard of it.
        heard : Heard

        Raises
        ------
        BaseException
            What `work` or `handle` raised; KeyboardInterrupt.
        """
        until = None
        keep = False
        try:
            while True:
                try:
                    wait = STEP_S if until is None else min(STEP_S, max(until - time.perf_counter(), 0.0))
                    kind, value = self._posts.get(timeout=wait)
                except queue.Empty:
                    kind, value = "tick", None
                if kind == "done":
                    return value, Heard.ENDED if until is None else Heard.STOPPED
                if kind == "raised":
                    raise value
                if kind != "tick":
                    handle(kind, value)
                if until is None and due():
                    if held():
                        keep = True
                        return None, Heard.HELD
                    self._stop()
                    until = time.perf_counter() + GRACE_S
                if until is not None and time.perf_counter() >= until:
                    return None, Heard.STOPPED
        except BaseException:
            self.leave()
            raise
        finally:
            if not keep:
                self._forget()

    def leave(self) -> None:
        """Tell the library to stop, wait for that a moment, and listen no more."""
        self._stop()
        self._worker.join(GRACE_S)
        self._forget()

    def _forget(self) -> None:
        self._left.set()
        library_threads[:] = [thread for thread in library_threads if thread.is_alive()]


def watched(
    work: Callable[[Post], Any],
    stop: Callable[[], None],
    handle: Callable[[str, Any], None],
    due: Callable[[], bool],
) -> tuple[Any, bool]:
    """Run ``work(post)`` in a thread of its own, and hand what it posts to ``handle`` here: see `Watched`.

    Returns
    -------
    outcome
        What `work` returned; None if it had to be left behind.
    stopped : bool
        Whether it was told to stop.
    """
    outcome, heard = Watched(work, stop).listen(handle, due)
    return outcome, heard is Heard.STOPPED
