"""What an agent does for one run: it calculates its stages and passes tensors on, both at the same time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from numpy.typing import NDArray

from mecopt.deployment.client import AgentError, Client
from mecopt.deployment.sessions import Parts, Watchdog
from mecopt.deployment.shaping import LinkShape
from mecopt.deployment.wire import packed
from mecopt.errors import MecoptError

WAITING = 8  # inputs that may wait for a stage, or to be sent
SEND_LIMIT_S = 60.0

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Stage:
    """A stretch of blocks on one node; `part` is None where a node only has the input, or gets the result."""

    node: str
    part: str | None
    outputs: tuple[str, ...] = ()


@dataclass
class Item:
    """An input on its way: which, which stage is next, its tensors, and when it arrived here."""

    number: int
    stage: int
    tensors: Arrays
    arrived: float = field(default_factory=time.perf_counter)


class AgentWork:
    """One run on one agent.

    Parameters
    ----------
    run : str
    node : str
        Which node this agent is.
    stages : tuple of Stage
        Of the whole run, in order.
    everywhere : frozenset of str
        Tensors that every stage passes on beside its outputs.
    peers : mapping of node to Client
    shapes : mapping of node to Shape
        Links from here that are made slower.
    parts : Parts
    calculation_s : float
        Longest time of a calculation.
    slower : int
        How often each part is run, to stand for a slower machine.
    """

    def __init__(
        self,
        run: str,
        node: str,
        stages: tuple[Stage, ...],
        everywhere: frozenset[str],
        peers: Mapping[str, Client],
        shapes: Mapping[str, LinkShape],
        parts: Parts,
        calculation_s: float,
        slower: int = 1,
    ) -> None:
        self.run, self.node, self.stages, self.everywhere = run, node, stages, everywhere
        self.peers, self.shapes = peers, dict(shapes)
        self.slower, self.asked = slower, time.monotonic()  # when a caller last asked for it
        mine = [stage for stage in stages if stage.node == node and stage.part is not None]
        self.sessions = {stage.part: parts.session(str(stage.part)) for stage in mine}
        self.names = {part: [one.name for one in s.get_inputs()] for part, s in self.sessions.items()}
        self.made = {part: [one.name for one in s.get_outputs()] for part, s in self.sessions.items()}
        self.records: list[dict[str, Any]] = []
        self.failure: dict[str, str] | None = None
        self.results: queue.Queue[Item] = queue.Queue(WAITING)
        self._waiting: queue.Queue[Item | None] = queue.Queue(WAITING)
        self._leaving: dict[str, queue.Queue[tuple[Item, int, float] | None]] = {}
        self._ended = threading.Event()
        self.watchdog = Watchdog(calculation_s)
        threading.Thread(target=self._calculate, daemon=True, name=f"{run}-calculates").start()

    @property
    def used(self) -> set[str]:
        """The parts that the run needs."""
        return {str(part) for part in self.sessions}

    def take(self, item: Item, limit_s: float) -> bool:
        """Let an input in; False if the queue stays full for so long."""
        try:
            self._waiting.put(item, timeout=limit_s)
        except queue.Full:
            return False
        return True

    def end(self) -> None:
        """Stop; what is under way is dropped."""
        self._ended.set()
        self.watchdog.close()
        _tell_to_stop(self._waiting)
        for leaving in self._leaving.values():
            _tell_to_stop(leaving)

    def close(self) -> None:
        """Stop, and close the connections to others."""
        self.end()
        for client in self.peers.values():
            client.close()

    def _calculate(self) -> None:
        while (item := self._waiting.get()) is not None and not self._ended.is_set():
            try:
                while item is not None and not self._ended.is_set():
                    item = self._stage(item)
            except MecoptError as error:
                self._fail(self.node, str(error))
            except Exception as error:  # whatever a library raises is the end of the run, not of the agent
                self._fail(self.node, f"{type(error).__name__}: {error}")

    def _stage(self, item: Item) -> Item | None:
        """Calculate a stage and pass its outputs on; return them where this node has the next stage too."""
        stage, started = self.stages[item.stage], time.perf_counter()
        passed = {name: item.tensors[name] for name in item.tensors if name in self.everywhere}
        if stage.part is None:
            outputs = item.tensors
        else:
            missing = [name for name in self.names[stage.part] if name not in item.tensors]
            if missing:
                raise AgentError(self.node, f"stage {item.stage} lacks the tensor {missing[0]!r}")
            inputs = {name: item.tensors[name] for name in self.names[stage.part]}
            for _ in range(self.slower):
                values = self.watchdog.run(self.sessions[stage.part], self.made[stage.part], inputs)
            outputs = dict(zip(self.made[stage.part], values, strict=True))
            # What only goes through a stage is no output of its graph.
            outputs |= {name: item.tensors[name] for name in stage.outputs if name not in outputs}
        ended = time.perf_counter()
        times = {"arrived": item.arrived, "started": started, "ended": ended}
        self.records.append({"input": item.number, "stage": item.stage, "node": self.node, **times})
        after = Item(item.number, item.stage + 1, {**passed, **outputs})
        if after.stage == len(self.stages):
            self.results.put(after)
        elif self.stages[after.stage].node == self.node:
            return after
        else:
            self._send(after)
        return None

    def _send(self, item: Item) -> None:
        node = self.stages[item.stage].node
        shape = self.shapes.setdefault(node, LinkShape())
        if node not in self._leaving:
            self._leaving[node] = queue.Queue(WAITING)
            name = f"{self.run}-to-{node}"
            threading.Thread(target=self._leave, args=(node, shape), daemon=True, name=name).start()
        size = sum(value.nbytes for value in item.tensors.values())
        # The next one may leave while this one is on its way, so when it is due is settled here.
        self._leaving[node].put((item, size, shape.due(size)))

    def _leave(self, node: str, shape: LinkShape) -> None:
        client, leaving = self.peers[node], self._leaving[node]
        while (leaves := leaving.get()) is not None and not self._ended.is_set():
            item, size, due = leaves
            try:
                message = packed({"run": self.run, "input": item.number, "stage": item.stage}, item.tensors)
                shape.send(size, due, partial(client.send, "Pass", message, limit_s=SEND_LIMIT_S))
            except MecoptError as error:
                self._fail(node, str(error))
            except ValueError:  # of gRPC, when the run was ended and its connections closed meanwhile
                if not self._ended.is_set():
                    raise

    def _fail(self, node: str, text: str) -> None:
        if self.failure is None and not self._ended.is_set():
            self.failure = {"node": node, "text": text}


def _tell_to_stop(waiting: queue.Queue[Any]) -> None:
    """Put the sign to stop into a queue; what there is no room beside is dropped."""
    while True:
        with suppress(queue.Full):
            waiting.put_nowait(None)
            return
        with suppress(queue.Empty):
            waiting.get_nowait()
