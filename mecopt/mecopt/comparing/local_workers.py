"""Workers on this machine: processes that live long, one run at a time each.

`concurrent.futures` cannot end one process that hangs; pebble can, but starts its processes through
`multiprocessing`, which runs the caller's script again in each (a plain script without
``if __name__ == "__main__"`` would compare without end), and knows no data that stays in a worker.
Processes of our own are less code than what would have to be built around either.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

from mecopt.comparing import machine
from mecopt.comparing.drive import Event, Lost, Ready, Warm
from mecopt.comparing.one_run import RunOrder, perform, warm_up
from mecopt.errors import MecoptError
from mecopt.instance import Instance
from mecopt.processes import SAFE

MAIN = (
    "import sys; sys.path[:] = {path!r}; "
    "from mecopt.comparing.local_workers import main; main({handle}, {isolated})"
)
POOLS = ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB_MAXIMUM")  # libraries with threads of their own
LAST_WORDS = 2000  # bytes of a dead process's standard error


class LocalWorker:
    """A process that makes one run after the other."""

    def __init__(self, threads: int, isolate: bool) -> None:
        self.connection, theirs = Pipe()
        self._sent: str | None = None  # the instance that it has
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        code = MAIN.format(path=sys.path, handle=theirs.fileno(), isolated=isolate)
        # A session of its own keeps a Ctrl-C of the terminal from it, and lets `end` reach its children too.
        self._process = subprocess.Popen(
            [sys.executable, SAFE, "-c", code],
            env={**os.environ, **thread_limits(threads)},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            start_new_session=True,
        )
        theirs.close()

    def warm_up(self, order: RunOrder, part: Instance) -> None:
        """Let it import what the method of a run needs, and try it on a part of its instance."""
        self._send((order, part, True))

    def submit(self, order: RunOrder, instance: Instance) -> None:
        """Send a run; the instance travels only when it is another one than before."""
        new = self._sent != order.instance_sha256
        self._sent = order.instance_sha256
        self._send((order, instance if new else None, False))

    def event(self) -> Event:
        """Receive what it says, or find out how it died."""
        try:
            found: Event = self.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return Lost(self._last_words())
        return found

    def end(self) -> None:
        """End it, whatever it does, with the processes that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self.connection.close()
        self._log.close()

    def _send(self, message: object) -> None:
        with contextlib.suppress(OSError):  # it is dead, which `event` will tell
            self.connection.send(message)

    def _last_words(self) -> str:
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "its process closed the connection"
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - LAST_WORDS))
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        said = f": {lines[-1].strip()}" if lines else ""
        if status < 0:
            with contextlib.suppress(ValueError):
                return f"its process was killed by {signal.Signals(-status).name}{said}"
        return f"its process ended with exit status {status}{said}"


class LocalPool:
    """The workers on this machine.

    Parameters
    ----------
    count : int
        How many there may be.
    threads : int
        Threads of each.
    isolate : bool
        One process for each run, so that its peak memory can be told.
    """

    resubmits = 0  # what kills a process here would kill the next one too

    def __init__(self, count: int, threads: int, isolate: bool) -> None:
        if os.name != "posix":
            raise MecoptError("compare: engine 'local' needs Linux or macOS; try engine 'ray'")
        self.count = count
        self.isolate = isolate
        self._threads = threads

    def start(self) -> LocalWorker:
        """Start a worker; it says when it is ready."""
        return LocalWorker(self._threads, self.isolate)

    def wait(
        self, workers: Iterable[LocalWorker], timeout_s: float | None
    ) -> Iterator[tuple[LocalWorker, Event]]:
        """Yield what workers say, as soon as one of them says something."""
        by_connection: dict[Any, LocalWorker] = {worker.connection: worker for worker in workers}
        for connection in wait(list(by_connection), timeout_s):
            worker = by_connection[connection]
            yield worker, worker.event()

    def share(self, instance: Instance) -> Instance:
        """Return the instance itself; a worker gets it when it does not have it yet."""
        return instance

    def close(self) -> None:
        """Do nothing: every worker is ended by itself."""


def thread_limits(threads: int) -> dict[str, str]:
    """Return the environment in which libraries start no more threads than a run may have."""
    return {f"{pool}_NUM_THREADS": str(threads) for pool in POOLS}


def main(handle: int, isolated: bool) -> None:
    """Make runs until the other end closes; what a worker does."""
    import threading

    threading.Thread(target=_die_with_the_parent, daemon=True).start()
    connection = Connection(handle)
    connection.send(Ready(machine.machine_id(), machine.description()))
    instance: Instance | None = None
    while True:
        try:
            order, given, warming = connection.recv()
            if warming:
                connection.send(Warm(warm_up(order, given)))
                continue
            instance = instance if given is None else given
            assert instance is not None
            connection.send(perform(instance, order, isolated=isolated))
        except (EOFError, BrokenPipeError):
            return


def _die_with_the_parent() -> None:
    """End this process as soon as the one that started it is gone, even in the middle of a run."""
    while sys.stdin.buffer.read(1):
        pass
    os._exit(1)
