"""numba, with compiling off everybody's clock, loading what was compiled before kept short, and Ctrl-C safe.

Importing this imports numba; `mecopt.stop` holds the clock, and imports nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from types import ModuleType
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

    numba takes a compiled loop for current as long as its own file is: one that calls loops of another file
    would go on with their old code. What it reaches is a part of its key here.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with COMPILER.loading():
            rtsys.initialize(target_context)
            try:
                return self._load_overload(sig, target_context)  # type: ignore[no-untyped-call]
            except Exception:  # kept by another release, of classes that are gone, or damaged
                with suppress(OSError):
                    self._cache_file.flush()  # type: ignore[no-untyped-call]
                return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):  # a full disk: it is compiled again next time
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        key = super()._index_key(sig, codegen)  # type: ignore[no-untyped-call]
        fields = [kind.instance_class._fields for kind in sig if hasattr(kind, "instance_class")]
        return (*key, self._reached, repr(fields))

    @cached_property
    def _reached(self) -> str:
        """Tell apart the files of all functions that this one calls, and the constants that it uses."""
        found: set[str] = set()
        _reach(self._py_func, found)
        return sha256("\n".join(sorted(found)).encode()).hexdigest()


def _reach(function: Any, found: set[str]) -> None:
    """Add what a function uses of its module: functions with their files, followed in turn, and constants."""
    for name, value in _globals(function):
        if is_jitted(value):
            called = value.py_func
            line = f"{called.__module__}.{called.__qualname__} {_stamp(called.__code__.co_filename)}"
            if line not in found:
                found.add(line)
                _reach(called, found)
        elif isinstance(value, (bool, int, float, str, tuple)):
            found.add(f"{name} {value!r}")


def _globals(function: Any) -> Iterator[tuple[str, Any]]:
    """Yield what the names in a function's code mean, those behind a module's name too."""
    names = function.__code__.co_names
    for name in names:
        value = function.__globals__.get(name)
        if isinstance(value, ModuleType):
            yield from ((inner, vars(value)[inner]) for inner in names if inner in vars(value))
        else:
            yield name, value


def _stamp(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return f"{status.st_mtime_ns} {status.st_size}"


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
