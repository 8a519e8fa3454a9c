"""A method may be anybody's code: what it does to the process is undone, and its errors bear its name.

Out of reach are `os._exit`, a crash in native code, and threads that go on: `mecopt compare` runs methods
in processes of their own, and writes such an end down as a failed run.
"""

from __future__ import annotations

import contextlib
import locale
import os
import random
import signal
import sys
import threading
from collections.abc import Iterator

import numpy as np

from mecopt.errors import DisagreementError, MecoptError, MethodError, PlacementError, said


@contextlib.contextmanager
def blamed(name: str) -> Iterator[None]:
    """Turn whatever a method raises into an error of mecopt's that names it; an interrupt stays one.

    What a method refuses on purpose (`InputError` of an option) stays as it is.

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
        raise MethodError(f"method {name!r}: {' '.join(str(error).split())}") from error.__cause__
    except MecoptError:
        raise
    except BaseException as error:
        raise MethodError(f"method {name!r} failed: {said(error)}") from error


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
    folder, environment, place = _folder(), dict(os.environ), locale.setlocale(locale.LC_ALL)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    alarm = hasattr(signal, "getitimer") and signal.getitimer(signal.ITIMER_REAL)[0] > 0
    streams, depth = (sys.stdin, sys.stdout, sys.stderr), sys.getrecursionlimit()
    drawn, numpy_drawn = random.getstate(), np.random.get_state()  # noqa: NPY002 - a method may use it
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
        if dict(os.environ) != environment:
            for key in set(os.environ) - set(environment):
                del os.environ[key]
            os.environ.update(environment)
        if locale.setlocale(locale.LC_ALL) != place:
            locale.setlocale(locale.LC_ALL, place)
        sys.stdin, sys.stdout, sys.stderr = streams
        sys.setrecursionlimit(depth)
        random.setstate(drawn)
        np.random.set_state(numpy_drawn)  # noqa: NPY002


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None
