"""numba, with compiling off everybody's clock, loading what was compiled before kept short, and Ctrl-C safe.

Importing this imports numba; `mecopt.stop` holds the clock, and imports nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba.core import event
from numba.core.caching import FunctionCache
from numba.core.runtime.nrt import rtsys
from numba.extending import is_jitted

from mecopt.interrupts import interrupts_kept
from mecopt.stop import COMPILER

__all__ = ["KERNELS", "njit"]

KERNELS: list[Any] = []  # every function that `njit` keeps on disk, in the order of import


class _Clock(event.Listener):
    """Starts when numba begins to compile a function, not when it loads one from its cache on disk."""

    def on_start(self, event: Any) -> None:
        COMPILER.begin()

    def on_end(self, event: Any) -> None:
        COMPILER.end()


event.register("numba:compile", _Clock())  # type: ignore[no-untyped-call]


class _Cache(FunctionCache):
    """numba's cache on disk, without all that only compiling needs.

    numba fills its tables of types and functions before it looks for a compiled function, and imports
    scipy.linalg for that: 0.1 to 0.3 s, many times what loading our loops takes. What it has to compile
    after all fills them anyway. A loop that uses numpy's functions of whole arrays (min, argmin,
    searchsorted) brings the same import with it; those in our kernels are written out.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with COMPILER.loading():
            rtsys.initialize(target_context)
            with self._guard_against_spurious_io_errors():
                return self._load_overload(sig, target_context)  # type: ignore[no-untyped-call]


def njit(*, cache: bool = False, **options: Any) -> Callable[[Any], Any]:
    """Return numba's decorator `njit`; `cache` keeps what is compiled, and interrupts until it is."""

    def decorate(function: Any) -> Any:
        made = numba.njit(**options)(function)
        if cache and is_jitted(made):  # with NUMBA_DISABLE_JIT it is the function itself
            _keep(made)
        return made

    return decorate


def _keep(kernel: Any) -> None:
    kernel._cache = _Cache(kernel.py_func)  # type: ignore[no-untyped-call]
    kernel.compile = _uninterrupted(kernel.compile)
    KERNELS.append(kernel)


def _uninterrupted(compile_or_load: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def call(signature: Any) -> Any:
        with interrupts_kept():
            return compile_or_load(signature)

    return call
