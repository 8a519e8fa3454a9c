"""Rates and latencies between machines, measured from agent to agent, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mecopt.deployment.client import Client, Credentials
from mecopt.errors import InputError

SMALL, TIMES = 1, 20  # bytes and repeats from which the latency is taken
FIRST, LARGE, LARGE_TIMES = 1 << 14, 4 << 20, 5  # bytes: a first look at the rate, and at most after it
LONG_S = 0.5  # what a message is to take at most, by the first look


@dataclass(frozen=True)
class ProbedLink:
    """A link from one node to another: bits per second, and seconds that an empty message takes one way."""

    start: str
    to: str
    rate_bps: float
    latency_s: float


def probe(
    agents: Mapping[str, str],
    credentials: Credentials | None = None,
    shapes: Mapping[tuple[str, str], tuple[float, float]] | None = None,
) -> list[ProbedLink]:
    """Measure every link between agents.

    Parameters
    ----------
    agents : mapping of node to ``host:port``
    credentials : Credentials, optional
    shapes : mapping of (from, to) to (rate_bps, latency_s), optional
        Links to be made slower than they are.

    Returns
    -------
    list of Link
        Of every ordered pair. The latency is half the median of small messages with their answers; the rate
        that of the seconds which large messages take longer.

    Raises
    ------
    InputError
        If there are fewer than two agents.
    AgentError
        If one is gone or refuses.
    """
    if len(agents) < 2:
        raise InputError(f"agents: {len(agents)} given, expected at least two")
    clients = {node: Client(node, address, credentials or Credentials()) for node, address in agents.items()}
    try:
        return [
            _link(clients[start], start, to, agents[to], (shapes or {}).get((start, to), (0.0, 0.0)))
            for start in agents
            for to in agents
            if start != to
        ]
    finally:
        for client in clients.values():
            client.close()


def _link(client: Client, start: str, to: str, address: str, shape: tuple[float, float]) -> ProbedLink:
    asked = {"address": address, "link": {"rate_bps": shape[0], "latency_s": shape[1]}}

    def seconds(size: int, times: int) -> float:
        answer, _ = client.call("Probe", {**asked, "bytes": size, "times": times}, limit_s=120.0)
        return float(np.median(answer["seconds"]))

    small = seconds(SMALL, TIMES)
    first = max(seconds(FIRST, 2) - small, 1e-6)
    size = int(min(max(FIRST * LONG_S / first, FIRST), LARGE))
    longer = max(seconds(size, LARGE_TIMES) - small, 1e-9)
    # A shaped link delays the way there alone; a true one the answer too.
    latency = shape[1] + 0.5 * max(small - shape[1], 0.0)
    return ProbedLink(start, to, 8.0 * (size - SMALL) / longer, latency)
