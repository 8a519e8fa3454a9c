"""The command as a process of its own, forked from one that has imported what most commands need.

Python, numpy and the schemas take half a second to import, most of what a command of the tests takes. A call
whose environment differs in what is read while Python starts gets a Python of its own.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

TIMEOUT_S = 60
KEPT_OUT = ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "MECOPT_DEBUG")
LATE = (*KEPT_OUT, "LINES", "TERM", "PYTEST_CURRENT_TEST", "PYTHONPATH")  # of which Python has not made use
MOST_BYTES = 1 << 20
IMPORTED = (
    "mecopt.cli.common", "mecopt.drawing.picture", "mecopt.drawing.plot", "mecopt.generators.specs",
    "mecopt.io", "mecopt.repeated", "mecopt.result", "mecopt.schema", "mecopt.solving", "mecopt.sources",
    "mecopt.trellis_method", "mecopt_solvers.auto", "matplotlib.figure", "numba", "pandas", "rich.console",
    "rich.table",
)  # fmt: skip


def environment(**changes):
    """Return the environment of a command: ours, warnings being errors."""
    kept = {key: value for key, value in os.environ.items() if key not in KEPT_OUT}
    return {**kept, "PYTHONWARNINGS": "error", **changes}


class Forking:
    """Runs `mecopt`; the process that is forked from is started with the first call."""

    def __init__(self):
        self.process = self.channel = self.environment = None

    def __call__(self, *args, stdin=None, cwd=None, binary=False, **changes):
        """Run `mecopt`; changes are those of the environment. The answer is a `CompletedProcess`."""
        args, env = [str(arg) for arg in args], environment(**changes)
        with ExitStack() as stack:
            streams = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
            if stdin is not None:
                streams[0].write(stdin if isinstance(stdin, bytes) else stdin.encode())
                streams[0].seek(0)
            run = self._forked if self._may_fork(env) else _started
            status = run(args, os.path.abspath(cwd or os.getcwd()), env, streams)
            texts = []
            for stream in streams[1:]:
                stream.seek(0)
                data = stream.read()
                texts.append(data if binary else data.decode().replace("\r\n", "\n").replace("\r", "\n"))
        return subprocess.CompletedProcess(["mecopt", *args], status, *texts)

    def _may_fork(self, env):
        if self.process is None:
            self._start()
        differing = {key for key in {**env, **self.environment} if env.get(key) != self.environment.get(key)}
        return all(key in LATE or key.startswith("MECOPT_") for key in differing)

    def _start(self):
        """Start the process that is forked from."""
        self.environment = environment()
        self.channel, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=self.environment,
                pass_fds=[theirs.fileno()],
            )

    def _forked(self, args, cwd, env, streams):
        words = json.dumps([args, cwd, env]).encode() + b"\n"
        socket.send_fds(self.channel, [words], [file.fileno() for file in streams])
        answers = self.channel.makefile()
        pid = int(answers.readline())
        self.channel.settimeout(TIMEOUT_S)
        try:
            return int(answers.readline())
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            self.close()
            raise subprocess.TimeoutExpired(["mecopt", *args], TIMEOUT_S) from None
        finally:
            if self.channel is not None:
                self.channel.settimeout(None)

    def close(self):
        """End the process that is forked from."""
        if self.process is not None:
            self.channel.close()
            self.process.wait()
        self.process = self.channel = None


mecopt = Forking()
atexit.register(mecopt.close)


def _started(args, cwd, env, streams):
    """Run the command with a Python of its own; returns its status."""
    command = [sys.executable, "-m", "mecopt", *args]
    stdin, stdout, stderr = streams
    return subprocess.run(
        command, stdin=stdin, stdout=stdout, stderr=stderr, env=env, cwd=cwd, timeout=TIMEOUT_S
    ).returncode


def serve(channel):
    """Fork a process for each call that comes; returns in that process, ready to run the command."""
    import gc
    from importlib import import_module, metadata

    for name in IMPORTED:
        import_module(name)
    for command in metadata.entry_points(group="mecopt.commands"):
        command.load()
    gc.freeze()  # else the first collection of each process copies all pages
    while True:
        words, streams = _received(channel)
        if not words:
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            channel.close()
            _become(json.loads(words), streams)
            return
        for handle in streams:
            os.close(handle)
        channel.sendall(f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        channel.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _received(channel):
    words, streams, _, _ = socket.recv_fds(channel, MOST_BYTES, 3)
    while words and not words.endswith(b"\n"):
        words += channel.recv(MOST_BYTES)
    return words, streams


def _become(words, streams):
    """Take over what a new process gets: arguments, folder, environment, standard streams."""
    args, folder, env = words
    for number, handle in enumerate(streams):
        os.dup2(handle, number)
        os.close(handle)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.argv[1:] = args
    own = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [str(Path.cwd()), *filter(None, own)]  # as `python -m` does


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
    from mecopt.__main__ import run

    run()
