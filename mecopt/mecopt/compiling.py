"""numba with a clock on its compiler: what is compiled once per installation is on nobody's time limit.

Importing this imports numba; `mecopt.stop` holds the clock, and imports nothing.
"""

from __future__ import annotations

from typing import Any

from numba import njit
from numba.core import event

from mecopt.stop import COMPILER

__all__ = ["njit"]


class _Clock(event.Listener):
    """Starts when numba begins to compile a function, not when it loads one from its cache on disk."""

    def on_start(self, event: Any) -> None:
        COMPILER.begin()

    def on_end(self, event: Any) -> None:
        COMPILER.end()


event.register("numba:compile", _Clock())  # type: ignore[no-untyped-call]
