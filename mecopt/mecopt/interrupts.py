"""Ctrl-C while numba compiles: kept until it is done, since its compiler loses it or fails over it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

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
