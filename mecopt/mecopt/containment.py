"""A method may be anybody's code: what it does to the process is undone, and its errors bear its name.

Out of reach are `os._exit`, a crash in native code, and threads that go on: `mecopt compare` runs methods
in processes of their own, and writes such an end down as a failed run.
"""

from __future__ import annotations

import contextlib
import functools
import locale
import os
import random
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, MutableMapping
from types import CodeType
from typing import Any

import numpy as np

from mecopt.errors import DisagreementError, MecoptError, MethodError, PlacementError, said

OWN = ("mecopt", "mecopt_solvers")  # packages whose rules only calculate; a test holds them to it
CORE = os.path.join(os.path.dirname(__file__), "")


@contextlib.contextmanager
def blamed(name: str, solve: Any = None) -> Iterator[None]:
    """Turn whatever a method raises into an error of mecopt's that names it; an interrupt stays one.

    What a method refuses on purpose (`InputError` of an option) stays as it is. Given its `solve`, the error
    names the file and the line in it.

    Raises
    ------
    DisagreementError
        If the judge contradicts it.
    MethodError
        For anything else, SystemExit too.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except DisagreementError as error:
        raise DisagreementError(f"method {name!r}: {error}") from error.__cause__
    except (MethodError, PlacementError) as error:
        text = " ".join(str(error).split())
        raise MethodError(f"method {name!r}: {text}{place_in(solve, error)}") from error.__cause__
    except MecoptError:
        raise
    except BaseException as error:
        raise MethodError(f"method {name!r} failed: {said(error)}{place_in(solve, error)}") from error


def line_in(error: BaseException, file: str) -> tuple[str, int] | None:
    """Return file and line of the innermost frame of an error that lies in the folder of a file, or below.

    Frames of mecopt's core are passed over, wherever it is installed.
    """
    folder = os.path.join(os.path.dirname(file), "") if os.path.dirname(file) else None
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        own = frame.f_code.co_filename
        inside = folder is not None and own.startswith(folder) and not own.startswith(CORE)
        if own == file or inside:
            found = own, line
    return found


def unwrapped(function: Any) -> Any:
    """Return what is behind a callable: the function in a partial, a bound method or a wrapper of ours."""
    while not hasattr(function, "__code__"):
        if isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__func__"):
            function = function.__func__
        elif hasattr(function, "function"):
            function = function.function
        else:
            return vars(type(function)).get("__call__")
    return function


def only_calculates(kind: str, solve: Any) -> bool:
    """Say whether a method is a rule of ours, which does nothing to the process that has to be undone."""
    return kind == "baseline" and str(getattr(unwrapped(solve), "__module__", "")).partition(".")[0] in OWN


def place_in(solve: Any, error: BaseException | None = None) -> str:
    """Return where in the code of a method an error came up, else where that code begins, for a message."""
    code: CodeType | None = getattr(unwrapped(solve), "__code__", None)
    if code is None:
        return ""
    inner = None if error is None else line_in(error, code.co_filename)
    file, line = inner or (code.co_filename, code.co_firstlineno)
    here = os.path.join(_folder() or os.sep, "")
    return f" ({file.removeprefix(here)}, line {line})"


# Those that somebody may have a handler for; asking for all of them takes longer than a small solve.
_NAMES = (
    "INT",
    "TERM",
    "HUP",
    "QUIT",
    "ALRM",
    "VTALRM",
    "PROF",
    "USR1",
    "USR2",
    "PIPE",
    "CHLD",
    "ABRT",
    "SEGV",
    "FPE",
)
# As the system holds it, where it holds bytes: a copy of texts takes longer than a small solve.
ENVIRONMENT: MutableMapping[Any, Any] = os.environb if os.supports_bytes_environ else os.environ
SIGNALS = [number for name in _NAMES if (number := getattr(signal, f"SIG{name}", None)) is not None]


@contextlib.contextmanager
def undone() -> Iterator[None]:
    """Undo what the block does to the process.

    Working directory, environment, locale, signal handlers and alarms, standard streams, recursion limit,
    numpy's error handling and the global random states are as before. Only in the main thread: elsewhere
    others may rightly change them meanwhile. Filters of warnings stay, since libraries set theirs when they
    are first imported.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    folder, environment, place = _folder(), dict(ENVIRONMENT), locale.setlocale(locale.LC_ALL)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    alarm = hasattr(signal, "getitimer") and signal.getitimer(signal.ITIMER_REAL)[0] > 0
    streams, depth = (sys.stdin, sys.stdout, sys.stderr), sys.getrecursionlimit()
    drawn, loaded = random.getstate(), "numpy.random" in sys.modules
    numpy_drawn = np.random.get_state() if loaded else None  # noqa: NPY002 - a method may use it
    try:
        with np.errstate():
            yield
    finally:
        if not alarm and hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                with contextlib.suppress(OSError, ValueError):
                    signal.signal(number, handler)
        if folder is not None and _folder() != folder:
            with contextlib.suppress(OSError):
                os.chdir(folder)
        if dict(ENVIRONMENT) != environment:
            for key in set(ENVIRONMENT) - set(environment):
                del ENVIRONMENT[key]
            ENVIRONMENT.update(environment)
        if locale.setlocale(locale.LC_ALL) != place:
            locale.setlocale(locale.LC_ALL, place)
        sys.stdin, sys.stdout, sys.stderr = streams
        sys.setrecursionlimit(depth)
        random.setstate(drawn)
        if numpy_drawn is not None:
            np.random.set_state(numpy_drawn)  # noqa: NPY002
        elif "numpy.random" in sys.modules:
            np.random.seed()  # noqa: NPY002 - as by chance as it would have been


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None
