"""Rates and latencies between machines, measured from agent to agent, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mecopt.deployment.client import Client, Credentials
from mecopt.errors import InputError

SMALL, TIMES = 1, 20  # bytes and repeats from which the latency is taken
LARGE, LARGE_TIMES = 4 << 20, 5


@dataclass(frozen=True)
class Link:
    """A link from one node to another: bits per second, and seconds that an empty message takes one way."""

    start: str
    to: str
    rate_bps: float
    latency_s: float


def probe(
    agents: Mapping[str, str],
    credentials: Credentials | None = None,
    shapes: Mapping[tuple[str, str], tuple[float, float]] | None = None,
) -> list[Link]:
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
        Of every ordered pair. The latency is the median of small messages and their answers; the rate that of
        the seconds which large messages take longer.

    Raises
    ------
    InputError
        If there are fewer than two agents.
    AgentError
        If one is gone or refuses.
    """
    if len(agents) < 2:
        raise InputError("agents: expected at least two")
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


def _link(client: Client, start: str, to: str, address: str, shape: tuple[float, float]) -> Link:
    asked = {"address": address, "link": {"rate_bps": shape[0], "latency_s": shape[1]}}
    small, large = (
        np.median(client.call("Probe", {**asked, "bytes": size, "times": times}, limit_s=120.0)[0]["seconds"])
        for size, times in ((SMALL, TIMES), (LARGE, LARGE_TIMES))
    )
    longer = max(float(large - small), 1e-9)
    return Link(start, to, 8.0 * (LARGE - SMALL) / longer, float(small))
