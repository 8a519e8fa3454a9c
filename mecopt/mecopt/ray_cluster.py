"""Joining a Ray cluster: what the engines of `mecopt compare` and `mecopt train` share."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from typing import Any

from mecopt._version import __version__
from mecopt.comparing import machine
from mecopt.errors import InputError, MecoptError, MissingExtraError
from mecopt.processes import SAFE

ENGINES = ("local", "ray")
CONNECT_S = 4.0
ANSWER_S = 10.0  # together below the 15 s within which an address that does not answer is reported
STEP_S = 1.0  # how long Ray is waited for at a time, so that an interrupt is noticed


def import_ray() -> Any:
    """Return the module.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import ray
    except ImportError:
        raise MissingExtraError("--engine ray", "ray") from None
    return ray


def check_engine(engine: str, address: str | None) -> None:
    """Refuse an engine that there is not, and an address where it goes nowhere.

    Raises
    ------
    InputError
    """
    if engine not in ENGINES:
        raise InputError(f"engine: {engine!r}, expected one of {', '.join(ENGINES)}")
    if address is not None and engine != "ray":
        raise InputError(f"address: {address!r}, but the engine is {engine!r}, expected 'ray'")


def connect(ray: Any, address: str | None) -> None:
    """Start Ray here, or join a cluster that answers: `ray.init` alone would wait for minutes.

    Parameters
    ----------
    ray : module
    address : str, optional
        ``HOST:PORT`` or ``auto``; without one Ray is started on this machine.

    Raises
    ------
    InputError
        If the address is none.
    MecoptError
        If nothing answers there, within 15 s.
    """
    if address is not None:
        _check_answer(address)
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is None:
            ray.init(address="local", num_cpus=machine.cores(), include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise MecoptError(f"Ray at {address or 'this machine'}: {str(error).splitlines()[0]}") from error


def _check_answer(address: str) -> None:
    host, colon, port = address.rpartition(":")
    if address != "auto":
        if not (colon and host and port.isdecimal() and 0 < int(port) < 65536) or "//" in host:
            raise InputError(f"address: {address!r}, expected HOST:PORT or auto")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
        except OSError as error:
            reason = error.strerror or str(error)
            raise MecoptError(f"no Ray cluster answers at {address}: {reason}") from None
    # In a process of its own: at a port that is open but not Ray's, Ray waits, and then ends the process.
    command = [sys.executable, SAFE, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        done = subprocess.run(
            command,
            timeout=ANSWER_S,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise MecoptError(f"no Ray cluster answers at {address} within {ANSWER_S:g} s") from None
    if done.returncode != 0:
        raise MecoptError(f"no Ray cluster answers at {address}")


def check_release(version: str) -> None:
    """Refuse a node with another release of mecopt.

    Raises
    ------
    MecoptError
    """
    if version != __version__:
        raise MecoptError(f"a node of the Ray cluster has mecopt {version}, expected {__version__}")


def first_line(error: BaseException) -> str:
    """Return the first line of what Ray says, or the kind of its error."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
