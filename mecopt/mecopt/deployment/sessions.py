"""Parts of a model as agents keep and run them: checked by their hash, run by onnxruntime."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from mecopt.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    import onnxruntime


class Parts:
    """The parts that an agent holds, by the SHA-256 of their bytes.

    Parameters
    ----------
    most_bytes : int
        Of all parts together; the ones that were used least recently make room, those in use never.
    threads : int
        Threads of each session.
    """

    def __init__(self, most_bytes: int, threads: int) -> None:
        self.most_bytes, self.threads = most_bytes, threads
        self._data: OrderedDict[str, bytes] = OrderedDict()
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        self._lock = threading.Lock()

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._data

    def add(self, sha256: str, data: bytes, used: set[str]) -> None:
        """Keep a part.

        Raises
        ------
        InputError
            If it is another one than was said, no model, or does not fit.
        """
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            raise InputError(f"part: SHA-256 {found[:12]}…, expected {sha256[:12]}…")
        session = _session(data, self.threads)
        with self._lock:
            for old in [name for name in self._data if name not in used and name != sha256]:
                if sum(map(len, self._data.values())) + len(data) <= self.most_bytes:
                    break
                del self._data[old], self._sessions[old]
            if sum(map(len, self._data.values())) + len(data) > self.most_bytes:
                raise InputError(f"part: {len(data)} bytes, there is no room for it (--memory)")
            self._data[sha256], self._sessions[sha256] = data, session

    def session(self, sha256: str) -> onnxruntime.InferenceSession:
        """Return the session of a part.

        Raises
        ------
        InputError
            If there is none.
        """
        with self._lock:
            if sha256 not in self._sessions:
                raise InputError(f"part: {sha256[:12]}… is not here")
            self._data.move_to_end(sha256)
            return self._sessions[sha256]


def _session(data: bytes, threads: int) -> onnxruntime.InferenceSession:
    """Load a part; one that reads other files is refused, whoever sent it."""
    try:
        import onnx
        import onnxruntime
    except ImportError:
        raise MissingExtraError("an agent", "deploy") from None
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf has an exception of its own
        raise InputError("part: no ONNX model") from error
    if any(_outside(graph) for graph in _graphs(model.graph)):
        raise InputError("part: keeps weights in other files, expected all of them inside")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what goes wrong is said in our own words
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has an exception of its own for each status
        raise InputError(f"part: onnxruntime does not take it ({_first_line(error)})") from error


def _graphs(graph: Any) -> list[Any]:
    """Return a graph and those inside its nodes."""
    found, at = [graph], 0
    while at < len(found):
        for node in found[at].node:
            for attribute in node.attribute:
                found += [attribute.g] if attribute.HasField("g") else []
                found += list(attribute.graphs)
        at += 1
    return found


def _outside(graph: Any) -> bool:
    """Say whether a graph keeps a tensor in another file."""
    tensors = list(graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            tensors += [attribute.t] if attribute.HasField("t") else []
            tensors += list(attribute.tensors)
    return any(tensor.data_location == tensor.EXTERNAL or tensor.external_data for tensor in tensors)


class Watchdog:
    """Runs sessions for a bounded time, one at once.

    One thread looks for as long as the watchdog is not closed: one for each calculation would take longer
    than a small block does.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._now: tuple[float, onnxruntime.RunOptions] | None = None  # when it is to end, and by what
        self._closed = threading.Event()
        threading.Thread(target=self._look, daemon=True, name="watchdog").start()

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()

    def run(
        self, session: onnxruntime.InferenceSession, outputs: list[str], inputs: dict[str, NDArray[Any]]
    ) -> list[NDArray[Any]]:
        """Return the outputs.

        Raises
        ------
        InputError
            If the inputs do not fit, or it takes too long.
        """
        import onnxruntime

        options, until = onnxruntime.RunOptions(), time.perf_counter() + self.limit_s
        self._now = (until, options)
        try:
            made = list(session.run(outputs, inputs, options))
        except Exception as error:
            if time.perf_counter() <= until:
                raise InputError(f"onnxruntime: {_first_line(error)}") from error
        finally:
            self._now = None
        if time.perf_counter() > until:
            raise InputError(f"took longer than {self.limit_s:g} s")
        return made

    def _look(self) -> None:
        every_s = min(max(self.limit_s / 10, 0.01), 0.25)
        while not self._closed.wait(every_s):
            now = self._now
            if now is not None and time.perf_counter() > now[0]:
                now[1].terminate = True


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
