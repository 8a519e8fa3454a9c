"""Ctrl-C where it would be lost: while numba compiles, and in methods that swallow it."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

DEAF_S = 3.0  # a method that has not ended by then after an interrupt does not listen to it
DEAF_AFTER = 3  # interrupts

# Ends the process when a method swallows every interrupt; the command line sets it.
give_up: Callable[[], None] | None = None

_keeping = False  # whether the main thread is in such a block


@contextlib.contextmanager
def interrupts_kept() -> Iterator[None]:
    """Put off an interrupt until the end of the block; a second one is not put off.

    LLVM calls Python back while it compiles. An interrupt raised in there is lost, or leaves half a library
    behind that numba fails over later with another error. A block within a block leaves it to the outer one.

    Raises
    ------
    KeyboardInterrupt
        At the end of the block, if there was an interrupt in it.
    """
    global _keeping
    if _keeping or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):
        yield
        return
    came = 0

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came += 1
        if came > 1:
            before(number, frame)

    signal.signal(signal.SIGINT, note)
    _keeping = True
    try:
        yield
    except Exception as error:
        if came:
            raise KeyboardInterrupt from error
        raise
    finally:
        _keeping = False
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


@contextlib.contextmanager
def interrupts_noted(note: Callable[[], None]) -> Iterator[None]:
    """Call `note` at every interrupt, before it is raised: a method may swallow the exception."""
    first: float | None = None
    count = 0

    def wrapped(before: Any) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            nonlocal first, count
            first, count = first or time.perf_counter(), count + 1
            note()
            late = time.perf_counter() - first >= DEAF_S
            if give_up is not None and late and count >= DEAF_AFTER:
                give_up()
            before(number, frame)

        return handle

    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        known = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        handlers = {number: handler for number, handler in known.items() if callable(handler)}
    try:
        for number, handler in handlers.items():
            signal.signal(number, wrapped(handler))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
