"""`mecopt agent`: take parts of a model, run them, pass tensors on."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from mecopt.cli import common_options, printing

if TYPE_CHECKING:
    from mecopt.deployment.agent import Agent

DEFAULT = "127.0.0.1:7070"


@click.command(short_help="Run parts of models on this machine, for mecopt run.")
@click.option(
    "--listen", metavar="HOST:PORT", default=DEFAULT, show_default=True, help="Port 0 takes a free one."
)
@click.option("--token-file", metavar="FILE", help="File with the token that callers have to give.")
@click.option("--tls-cert", metavar="FILE", help="Certificate (PEM) of this agent.")
@click.option("--tls-key", metavar="FILE", help="Its private key (PEM).")
@click.option("--tls-ca", metavar="FILE", help="Who signed the certificates of other agents (PEM).")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of each session.")
@click.option(
    "--memory",
    "memory_bytes",
    type=click.IntRange(1),
    default=4 << 30,
    help="Most bytes of all parts. [default: 4 GiB]",
)
@click.option(
    "--longest",
    "calculation_s",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds after which a calculation is ended.",
)
@click.option(
    "--slower",
    type=click.IntRange(1, 100),
    default=1,
    help="Run every part so often, to stand for a slower machine.",
)
@click.option(
    "--tied", is_flag=True, help="End when standard input ends, as it does with whatever started the agent."
)
@common_options.json_option
def agent(
    listen: str,
    token_file: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    tls_ca: str | None,
    threads: int,
    memory_bytes: int,
    calculation_s: float,
    slower: int,
    tied: bool,
    as_json: bool,
) -> None:
    """Listen for `mecopt run`, until interrupted: take parts of models, run them, pass tensors on.

    An agent listens on loopback, where only this machine reaches it. Anywhere else it wants a token and a
    certificate first. The address is printed once it listens.

    Exit status: 0 its standard input ended (--tied), 2 bad usage, or an address that cannot be had; 130
    interrupted.
    """
    from mecopt.deployment.agent import Agent, AgentLimits, Secrets

    secrets = Secrets(
        read_token(token_file), _bytes(tls_cert), _bytes(tls_key), _bytes(tls_ca) or _bytes(tls_cert)
    )
    made = Agent(listen, AgentLimits(memory_bytes, calculation_s, threads), secrets, slower)
    address = made.start()
    if tied:
        threading.Thread(target=_end_with_stdin, args=(made,), daemon=True).start()
    if as_json:
        printing.emit_json({"address": address})
    else:
        click.echo(f"mecopt agent: listens on {address}")
    try:
        made.wait()
    finally:
        made.stop()


def _end_with_stdin(agent: Agent) -> None:
    """End the process when its standard input does: whoever holds the other end is gone, killed too."""
    with suppress(OSError):
        while os.read(0, 1 << 16):
            pass
    agent.stop()
    os._exit(0)  # a calculation that is under way has nobody to go to, and is not waited for


def read_token(path: str | None) -> str:
    """Return the token in a file, empty without one.

    Raises
    ------
    InputError
        If the file cannot be read, or holds none.
    """
    from mecopt.encoding import without_mark
    from mecopt.errors import InputError

    if path is None:
        return ""
    token = without_mark(_bytes(path)).decode("utf-8", "replace").strip()
    if not token:
        raise InputError("is empty, expected a token", path)
    return token


def credentials(token_file: str | None, tls_ca: str | None) -> Any:
    """Return what a caller shows to agents."""
    from mecopt.deployment.client import Credentials

    return Credentials(read_token(token_file), _bytes(tls_ca))


def _bytes(path: str | None) -> bytes:
    from mecopt.files import read_bytes

    return b"" if path is None else read_bytes(path)
