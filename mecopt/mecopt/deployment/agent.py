"""The agent: a process on every machine that takes parts of a model, runs them and passes tensors on.

It listens on loopback unless told; elsewhere only with a token and a certificate. Everything that it takes is
bounded: the size of a message, the bytes of all parts, the number of runs, the seconds of a calculation.
"""

from __future__ import annotations

import hmac
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from mecopt._version import __version__
from mecopt.deployment.agent_work import AgentWork, Item, Stage
from mecopt.deployment.client import OPTIONS, Client, Credentials, grpc_module
from mecopt.deployment.sessions import Parts
from mecopt.deployment.shaping import LinkShape
from mecopt.deployment.wire import SERVICE, field, is_loopback, packed, unpacked
from mecopt.errors import InputError, MecoptError

if TYPE_CHECKING:
    import grpc

Arrays = dict[str, NDArray[Any]]
Answer = tuple[dict[str, Any], Arrays]

HANDLERS = 16  # calls at the same time
MOST_RUNS = 8
LONGEST_WAIT_S = 30.0
ABANDONED_S = 60.0  # callers ask every quarter of a second


@dataclass(frozen=True)
class AgentLimits:
    """What an agent takes: bytes of all parts, seconds of one calculation, threads of a session."""

    memory_bytes: int = 4 << 30
    calculation_s: float = 60.0
    threads: int = 1


@dataclass(frozen=True)
class Secrets:
    """What an agent that others reach needs: a token, certificate and key (PEM), and who signed others'."""

    token: str = ""
    certificate: bytes = b""
    key: bytes = b""
    authority: bytes = b""


class Agent:
    """An agent; `start` makes it listen.

    Parameters
    ----------
    listen : str
        ``host:port``; port 0 takes a free one.
    limits : Limits
    secrets : Secrets
    slower : int
        How often each part is run, to stand for a slower machine.

    Raises
    ------
    InputError
        If it would listen elsewhere than on loopback without a token and a certificate.
    """

    def __init__(
        self,
        listen: str = "127.0.0.1:0",
        limits: AgentLimits | None = None,
        secrets: Secrets | None = None,
        slower: int = 1,
    ) -> None:
        self.listen, self.secrets, self.slower = listen, secrets or Secrets(), slower
        host, _, port = listen.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise InputError(f"--listen {listen}: expected HOST:PORT, such as 127.0.0.1:7070")
        safe = self.secrets.token and self.secrets.certificate and self.secrets.key
        if not is_loopback(listen) and not safe:
            raise InputError(
                f"--listen {listen}: others could reach it, expected --token-file, --tls-cert and --tls-key"
            )
        self.limits = limits or AgentLimits()
        self.parts = Parts(self.limits.memory_bytes, self.limits.threads)
        self.works: dict[str, AgentWork] = {}
        self._lock = threading.Lock()
        self._server: grpc.Server | None = None
        self._methods: dict[str, Callable[[dict[str, Any], Arrays], Answer]] = {
            "Hello": self._hello,
            "Has": self._has,
            "Begin": self._begin,
            "Pass": self._pass,
            "Take": self._take,
            "State": self._state,
            "End": self._end,
            "Clock": lambda header, tensors: ({"now": time.perf_counter()}, {}),
            "Sink": lambda header, tensors: ({}, {}),
            "Probe": self._probe,
        }

    def start(self) -> str:
        """Listen; return the address.

        Raises
        ------
        InputError
            If the address cannot be had.
        """
        grpc = grpc_module()
        options = [*OPTIONS, ("grpc.so_reuseport", 0)]
        pool = ThreadPoolExecutor(HANDLERS, thread_name_prefix="agent")
        server = grpc.server(pool, options=options, maximum_concurrent_rpcs=HANDLERS)
        server.add_generic_rpc_handlers((_handlers(self),))
        try:
            if self.secrets.certificate:
                pair = [(self.secrets.key, self.secrets.certificate)]
                port = server.add_secure_port(self.listen, grpc.ssl_server_credentials(pair))
            else:
                port = server.add_insecure_port(self.listen)
        except RuntimeError:
            port = 0
        if not port:
            raise InputError(f"--listen {self.listen}: in use, or no address of this machine")
        server.start()
        self._server = server
        return f"{self.listen.rpartition(':')[0]}:{port}"

    def stop(self) -> None:
        """End all runs and stop to listen."""
        for work in list(self.works.values()):
            work.end()
        if self._server is not None:
            self._server.stop(grace=0.2).wait(2.0)

    def wait(self) -> None:
        """Wait until the agent is stopped."""
        assert self._server is not None
        self._server.wait_for_termination()

    def allows(self, metadata: dict[str, Any]) -> bool:
        """Say whether a call has the token."""
        given = str(metadata.get("authorization", ""))
        return not self.secrets.token or hmac.compare_digest(
            given.encode(), f"Bearer {self.secrets.token}".encode()
        )

    def answer(self, method: str, data: bytes) -> bytes:
        """Do what a message asks for."""
        return packed(*self._methods[method](*unpacked(data)))

    def upload(self, chunks: Iterator[bytes]) -> bytes:
        """Take a part in chunks, behind a header that says how long it is.

        Raises
        ------
        InputError
            If it is longer than that, or than there is room for, or another part.
        """
        header, _ = unpacked(next(chunks, b""))
        sha256, size = field(header, "sha256", str), field(header, "size", int)
        if not 0 < size <= self.limits.memory_bytes:
            raise InputError(f"part: {size} bytes, there is no room for it (--memory)")
        data = bytearray()
        for chunk in chunks:
            data += chunk
            if len(data) > size:
                raise InputError(f"part: longer than the {size} bytes that were said")
        with self._lock:
            used = {part for work in self.works.values() for part in work.used}
        self.parts.add(sha256, bytes(data), used)
        return packed({})

    def _hello(self, header: dict[str, Any], tensors: Arrays) -> Answer:
        import onnxruntime
        import psutil

        return {
            "mecopt": __version__,
            "onnxruntime": onnxruntime.__version__,
            "machine": platform.machine(),
            "cores": os.cpu_count() or 1,
            "load": os.getloadavg()[0],
            "memory_bytes": int(psutil.virtual_memory().total),
            "threads": self.limits.threads,
            "runs": len(self.works),
        }, {}

    def _has(self, header: dict[str, Any], tensors: Arrays) -> Answer:
        wanted = field(header, "parts", list)
        return {"parts": [part for part in wanted if isinstance(part, str) and part in self.parts]}, {}

    def _begin(self, header: dict[str, Any], tensors: Arrays) -> Answer:
        run, node = field(header, "run", str), field(header, "node", str)
        stages = tuple(_stage(one) for one in field(header, "stages", list))
        everywhere = frozenset(map(str, field(header, "everywhere", list)))
        credentials = Credentials(self.secrets.token, self.secrets.authority)
        addresses = field(header, "peers", dict)
        peers = {str(name): Client(str(name), str(at), credentials) for name, at in addresses.items()}
        shapes = {str(name): _shape(one) for name, one in field(header, "links", dict).items()}
        if not stages or {stage.node for stage in stages} - {node} - peers.keys():
            raise InputError("message: stages: none, or on nodes that no address is given of")
        with self._lock:
            self._drop_abandoned()
            if len(self.works) >= MOST_RUNS:
                raise InputError(f"{MOST_RUNS} runs are under way, which is the most")
            if run in self.works:
                raise InputError("message: run: there is one of that name")
            self.works[run] = AgentWork(
                run,
                node,
                stages,
                everywhere,
                peers,
                shapes,
                self.parts,
                self.limits.calculation_s,
                self.slower,
            )
        return {}, {}

    def _drop_abandoned(self) -> None:
        """End the runs that nobody has asked for any more: a caller that is killed does not say goodbye."""
        for name, work in list(self.works.items()):
            if time.monotonic() - work.asked > ABANDONED_S:
                self.works.pop(name).close()

    def _work(self, header: dict[str, Any]) -> AgentWork:
        run = field(header, "run", str)
        if run not in self.works:
            raise InputError("message: run: there is none of that name")
        work = self.works[run]
        work.asked = time.monotonic()
        return work

    def _pass(self, header: dict[str, Any], tensors: Arrays) -> Answer:
        work = self._work(header)
        number, stage = field(header, "input", int), field(header, "stage", int)
        if not 0 <= stage < len(work.stages) or work.stages[stage].node != work.node:
            raise InputError("message: stage: it is not this node's")
        if not work.take(Item(number, stage, tensors), LONGEST_WAIT_S):
            raise InputError("too many inputs wait here")
        return {}, {}

    def _take(self, header: dict[str, Any], tensors: Arrays) -> Answer:
        import queue

        work = self._work(header)
        wait = min(max(float(field(header, "wait_s", (int, float))), 0.0), LONGEST_WAIT_S)
        try:
            item = work.results.get(timeout=wait)
        except queue.Empty:
            return {"input": None}, {}
        return {"input": item.number}, item.tensors

    def _state(self, header: dict[str, Any], tensors: Arrays) -> Answer:
        work = self._work(header)
        seen = field(header, "seen", int)
        return {"failure": work.failure, "records": work.records[max(seen, 0) :]}, {}

    def _end(self, header: dict[str, Any], tensors: Arrays) -> Answer:
        work = self._work(header)
        with self._lock:
            self.works.pop(work.run, None)
        work.close()
        return {}, {}

    def _probe(self, header: dict[str, Any], tensors: Arrays) -> Answer:
        """Send so many bytes to another agent, several times; return the seconds that each took."""
        import numpy as np

        size, times = field(header, "bytes", int), field(header, "times", int)
        if not 0 <= size <= 1 << 26 or not 1 <= times <= 100:
            raise InputError("message: bytes: at most 64 MiB, times: 1 to 100")
        shape = _shape(field(header, "link", dict))
        address = field(header, "address", str)
        client = Client(address, address, Credentials(self.secrets.token, self.secrets.authority))
        message = packed({}, {"x": np.zeros(size, dtype=np.uint8)})
        found = []
        try:
            client.send("Sink", packed({}))  # connects
            for _ in range(times):
                began = time.perf_counter()
                send = partial(client.send, "Sink", message, limit_s=LONGEST_WAIT_S)
                shape.send(size, shape.due(size), send)
                found.append(time.perf_counter() - began)
        finally:
            client.close()
        return {"seconds": found}, {}


def _stage(one: Any) -> Stage:
    if not isinstance(one, dict) or not isinstance(one.get("outputs"), list):
        raise InputError("message: stages: expected objects with node, part and outputs")
    part = one.get("part")
    return Stage(
        field(one, "node", str), None if part is None else str(part), tuple(map(str, one["outputs"]))
    )


def _shape(one: Any) -> LinkShape:
    if not isinstance(one, dict):
        raise InputError("message: links: expected objects with rate_bps and latency_s")
    rate, latency = (
        float(field({"rate_bps": 0, "latency_s": 0, **one}, name, (int, float)))
        for name in ("rate_bps", "latency_s")
    )
    if not (0 <= rate < 1e15 and 0 <= latency < 60):
        raise InputError("message: links: rate_bps and latency_s out of range")
    return LinkShape(rate, latency)


def _handlers(agent: Agent) -> Any:
    """Return what gRPC asks for the handler of a method."""
    grpc = grpc_module()

    def guarded(work: Callable[[Any], bytes]) -> Callable[[Any, Any], bytes]:
        def handle(request: Any, context: Any) -> bytes:
            if not agent.allows(dict(context.invocation_metadata())):
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "another token is expected")
            try:
                return work(request)
            except InputError as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error)[:1000])
            except MecoptError as error:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error)[:1000])
            except MemoryError:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "out of memory")
            raise AssertionError("abort raises")

        return handle

    class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc, name-defined]
        def service(self, details: Any) -> Any:
            service, _, name = details.method.lstrip("/").partition("/")
            if service != SERVICE:
                return None
            if name == "Part":
                return grpc.stream_unary_rpc_method_handler(guarded(agent.upload))
            if name in agent._methods:
                return grpc.unary_unary_rpc_method_handler(guarded(lambda data: agent.answer(name, data)))
            return None

    return Handlers()
