"""Agents on this machine, each a process of its own, for as long as a run needs them.

Each holds the end of a pipe from this process, and ends when that is closed: also when this one is killed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from mecopt.errors import MecoptError
from mecopt.processes import SAFE

END_S = 5.0


@contextmanager
def local_agents(nodes: Iterable[str], slower: int = 1) -> Iterator[dict[str, str]]:
    """Start an agent for each node, and end them all.

    Parameters
    ----------
    nodes : iterable of str
    slower : int
        As `Agent` takes it.

    Yields
    ------
    dict
        Address by node.

    Raises
    ------
    MecoptError
        If one does not start.
    """
    started: dict[str, subprocess.Popen[str]] = {}
    command = [sys.executable, SAFE, "-m", "mecopt", "agent", "--tied", "--listen", "127.0.0.1:0"]
    command += ["--slower", str(slower)] if slower > 1 else []
    try:
        for node in nodes:
            started[node] = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,  # which keeps a Ctrl-C of the terminal from it
            )
        yield {node: _address(node, process) for node, process in started.items()}
    finally:
        for process in started.values():
            process.terminate()
        for process in started.values():
            _ended(process)


def _address(node: str, process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if "listens on" not in line:
        assert process.stderr is not None
        said = process.stderr.read().strip().removeprefix("mecopt: ")
        raise MecoptError(f"the agent of {node} did not start: {said or 'it said nothing'}")
    return line.split()[-1]


def _ended(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
