"""A plan under way on its agents: parts handed out, inputs sent through, times on one clock."""

from __future__ import annotations

import contextlib
import hashlib
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats
from mecopt.deployment.agent import Agent
from mecopt.deployment.client import AgentError, Client, Credentials
from mecopt.deployment.outcome import medians
from mecopt.deployment.replanning import Measured
from mecopt.deployment.stages import Stretch
from mecopt.errors import MecoptError
from mecopt.schedule import node_names

if TYPE_CHECKING:
    from mecopt.deployment.whole import WholeModel
    from mecopt.instance import Instance

Arrays = Mapping[str, NDArray[Any]]

LOOK_EVERY_S = 0.25
WARM_UP = 2  # inputs that are sent first and not counted
COMPARISONS = 20  # of clocks; the quickest counts


@dataclass
class Running:
    """One plan on its agents."""

    run: str
    plan: list[Stretch]
    clients: dict[str, Client]  # of the nodes of the plan
    offsets: dict[str, float] = field(default_factory=dict)  # seconds that a node's clock is ahead of ours
    clock_error_s: float = 0.0
    seen: dict[str, int] = field(default_factory=dict)
    times: dict[tuple[int, int], tuple[float, float, float]] = field(default_factory=dict)

    def look(self) -> None:
        """Ask every agent for its times and whether something went wrong.

        Raises
        ------
        AgentError
            If an agent is gone, or one of them has failed.
        """
        failed: dict[str, str] | None = None
        for node, client in self.clients.items():
            state, _ = client.call("State", {"run": self.run, "seen": self.seen.get(node, 0)}, limit_s=3.0)
            for one in state["records"]:
                ahead = self.offsets[node]
                key = (int(one["input"]), int(one["stage"]))
                self.times[key] = tuple(float(one[name]) - ahead for name in ("arrived", "started", "ended"))  # type: ignore[assignment]
            self.seen[node] = self.seen.get(node, 0) + len(state["records"])
            failed = failed or state["failure"]
        if failed is not None:
            lost = failed["node"] in self.clients and not _answers(self.clients[failed["node"]])
            raise AgentError(failed["node"], failed["text"], lost=lost)

    def measured(self) -> Measured:
        """Return the medians of what is known by now."""
        found = self.table(max((number for number, _ in self.times), default=-1) + 1)
        transfers = medians(found[0, :, 1:] - found[2, :, :-1])
        return Measured(np.append(0.0, transfers), medians(found[2] - found[1]))

    def table(self, inputs: int) -> Floats:
        """Return arrivals, starts and ends, (3, inputs, stretches); NaN where they are not known."""
        found: Floats = np.full((3, inputs, len(self.plan)), np.nan)
        for (number, stage), times in self.times.items():
            if 0 <= number < inputs:
                found[:, number, stage] = times
        return found

    def stuck(self, number: int, limit_s: float) -> AgentError:
        """Say where an input is that did not come through."""
        at = max((stage for one, stage in self.times if one == number), default=-1)
        here = self.plan[min(at + 1, len(self.plan) - 1)]
        before = self.plan[at].node if at >= 0 else here.node
        where = f"{before} to {here.node}" if before != here.node else here.node
        return AgentError(
            here.node, f"input {number} did not get through ({where}) in {limit_s:.1f} s", lost=True
        )

    def end(self) -> None:
        """Tell the agents that the run is over, as far as they are there."""
        for client in self.clients.values():
            with contextlib.suppress(MecoptError):
                client.call("End", {"run": self.run}, limit_s=2.0)
            client.close()


def _answers(client: Client) -> bool:
    try:
        client.call("Hello", {}, limit_s=2.0)
    except AgentError:
        return False
    return True


class ReachedNodes:
    """The agents' addresses; this process stands for a device that has none."""

    def __init__(
        self,
        addresses: dict[str, str],
        instance: Instance,
        credentials: Credentials,
        shapes: Mapping[tuple[str, str], tuple[float, float]],
    ) -> None:
        self.addresses, self.credentials, self.shapes = addresses, credentials, shapes
        self.device = node_names(instance)[0]
        self.own: Agent | None = None

    def __enter__(self) -> ReachedNodes:
        if self.device not in self.addresses:
            self.own = Agent()
            self.addresses[self.device] = self.own.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.own is not None:
            self.own.stop()

    def running(self, plan: list[Stretch]) -> Running:
        """Return a run of a plan, which has not begun yet."""
        used = dict.fromkeys(one.node for one in plan)
        clients = {node: Client(node, self.addresses[node], self.credentials) for node in used}
        return Running(uuid.uuid4().hex, plan, clients)

    def begin(self, running: Running, whole: WholeModel) -> None:
        """Hand the parts out and let the agents begin.

        Raises
        ------
        AgentError
            If one is gone or refuses.
        """
        plan, clients = running.plan, running.clients
        parts = [whole.part(one.first, one.last) if one.first >= 0 else None for one in plan]
        names = [None if part is None else hashlib.sha256(part).hexdigest() for part in parts]
        for one, part, name in zip(plan, parts, names, strict=True):
            client = clients[one.node]
            if part is not None and not client.call("Has", {"parts": [name]})[0]["parts"]:
                client.upload(str(name), part)
        stages = [
            {
                "node": one.node,
                "part": name,
                "outputs": whole.crossing(one.last + 1) if one.first >= 0 else [],
            }
            for one, name in zip(plan, names, strict=True)
        ]
        for node, client in clients.items():
            running.offsets[node], error = _compared(client)
            running.clock_error_s = max(running.clock_error_s, 2 * error)
        for node, client in clients.items():
            links = {
                to: {"rate_bps": rate, "latency_s": latency}
                for (start, to), (rate, latency) in self.shapes.items()
                if start == node
            }
            client.call(
                "Begin",
                {
                    "run": running.run,
                    "node": node,
                    "stages": stages,
                    "everywhere": list(whole.everywhere),
                    "peers": {other: self.addresses[other] for other in clients if other != node},
                    "links": links,
                },
            )


def _compared(client: Client) -> tuple[float, float]:
    """Compare clocks: return how far the agent's is ahead, and by how much that may be wrong."""
    best = (np.inf, 0.0)
    for _ in range(COMPARISONS):
        before = time.perf_counter()
        now = float(client.call("Clock", {})[0]["now"])
        after = time.perf_counter()
        best = min(best, (after - before, now - 0.5 * (before + after)))
    return best[1], 0.5 * best[0]


def send_through(
    running: Running,
    whole: WholeModel,
    inputs: Sequence[Arrays],
    outputs: dict[int, Arrays],
    window: int,
    limit_s: float,
) -> None:
    """Send inputs through, so many at a time; fills outputs, by number."""
    first, last = running.clients[running.plan[0].node], running.clients[running.plan[-1].node]
    left = [number for number in range(len(inputs)) if number not in outputs]
    queue = [-1 - i for i in range(WARM_UP)] + left
    sent: dict[int, float] = {}
    while queue or sent:
        while queue and len(sent) < window:
            number = queue.pop(0)
            sending = {"run": running.run, "input": number, "stage": 0}
            first.call("Pass", sending, inputs[max(number, 0) if number >= 0 else 0], limit_s=limit_s)
            sent[number] = time.perf_counter()
        header, tensors = last.call("Take", {"run": running.run, "wait_s": LOOK_EVERY_S})
        number_back = header["input"]
        if number_back is None:
            running.look()
            number, since = min(sent.items(), key=lambda item: item[1])
            if time.perf_counter() - since > limit_s * window:
                raise running.stuck(number, limit_s * window)
            continue
        sent.pop(int(number_back), None)
        if number_back >= 0:
            outputs[int(number_back)] = {name: tensors[name] for name in whole.outputs if name in tensors}
        running.look()
