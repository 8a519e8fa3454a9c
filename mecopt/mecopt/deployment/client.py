"""Calls to agents. The transport is gRPC, with its deadlines, its limits on sizes, and its TLS."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from mecopt.deployment.wire import CHUNK, LARGEST, SERVICE, Tensors, packed, unpacked
from mecopt.errors import InputError, MecoptError, MissingExtraError

OPTIONS = [
    ("grpc.max_receive_message_length", LARGEST),
    ("grpc.max_send_message_length", LARGEST),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
PATIENCE_S = 5.0  # for what an agent answers at once
STALL_S = 8.0  # without a step forward, after which a part that is handed over is stuck
LEAST_LOADED_BPS = 5e7  # bytes a second at which an agent makes a part ready, at the slowest


class AgentError(MecoptError):
    """An agent that is gone, does not answer, or refuses.

    Parameters
    ----------
    node : str
        Name of the node whose agent it is.
    text : str
    lost : bool
        Whether the agent cannot be reached any more.
    """

    def __init__(self, node: str, text: str, *, lost: bool = False) -> None:
        super().__init__(f"{node}: {text}")
        self.node, self.lost = node, lost


@dataclass(frozen=True)
class Credentials:
    """What lets one in: a token, and the certificate of the authority that agents are known by.

    Parameters
    ----------
    token : str
        Sent with every call; empty where agents want none, which they do on loopback only.
    authority : bytes
        PEM; empty: calls are in the clear.
    """

    token: str = ""
    authority: bytes = b""


def grpc_module() -> Any:
    """Import gRPC.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what goes wrong is said in our own words
    try:
        import grpc
    except ImportError:
        raise MissingExtraError("a deployment", "deploy") from None
    return grpc


class Client:
    """One agent, as others call it.

    Parameters
    ----------
    node : str
        Name of the node, for messages.
    address : str
        ``host:port``.
    credentials : Credentials
    """

    def __init__(self, node: str, address: str, credentials: Credentials) -> None:
        grpc = grpc_module()
        self.node, self.address = node, address
        if credentials.authority:
            secure = grpc.ssl_channel_credentials(root_certificates=credentials.authority)
            self._channel: Any = grpc.secure_channel(address, secure, options=OPTIONS)
        else:
            self._channel = grpc.insecure_channel(address, options=OPTIONS)
        self._metadata = (("authorization", f"Bearer {credentials.token}"),) if credentials.token else ()
        self._calls: dict[str, Callable[..., bytes]] = {}

    def call(
        self,
        method: str,
        header: Mapping[str, Any],
        tensors: Tensors | None = None,
        *,
        limit_s: float = PATIENCE_S,
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Call a method of the agent.

        Raises
        ------
        AgentError
            If the agent is gone, does not answer in time, or refuses.
        """
        return self.send(method, packed(header, tensors), limit_s=limit_s)

    def send(
        self, method: str, message: bytes, *, limit_s: float = PATIENCE_S
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Call a method with a message that is packed already; raises as `call` does."""
        if method not in self._calls:
            self._calls[method] = self._channel.unary_unary(f"/{SERVICE}/{method}")
        return self._answer(lambda: self._calls[method](message, timeout=limit_s, metadata=self._metadata))

    def upload(self, sha256: str, data: bytes) -> None:
        """Give the agent a part, however long that takes as long as it goes on; raises as `call` does."""
        moved = time.monotonic()

        def chunks() -> Iterator[bytes]:
            nonlocal moved
            yield packed({"sha256": sha256, "size": len(data)})
            for at in range(0, len(data), CHUNK):
                moved = time.monotonic()
                yield data[at : at + CHUNK]
            moved = time.monotonic()

        grpc = grpc_module()
        going = self._channel.stream_unary(f"/{SERVICE}/Part").future(chunks(), metadata=self._metadata)
        patience = STALL_S + len(data) / LEAST_LOADED_BPS
        while not going.done():
            with contextlib.suppress(grpc.FutureTimeoutError, grpc.RpcError):
                going.result(timeout=min(0.5, STALL_S))
            if time.monotonic() - moved > patience and not going.done():
                going.cancel()
                raise AgentError(self.node, f"{self.address} has stopped taking a part", lost=True)
        self._answer(going.result)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _answer(self, call: Callable[[], bytes]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        grpc = grpc_module()
        try:
            return unpacked(call())
        except grpc.RpcError as error:
            code, text = error.code(), str(error.details() or "")
            if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):  # the second while it ends
                raise AgentError(self.node, f"no agent at {self.address} ({text[:120]})", lost=True) from None
            if code == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise AgentError(self.node, f"no answer from {self.address} in time", lost=True) from None
            if code == grpc.StatusCode.UNAUTHENTICATED:
                raise AgentError(self.node, f"the agent at {self.address} wants another token") from None
            raise AgentError(self.node, text or str(code)) from None
        except InputError as error:
            raise AgentError(self.node, f"answered what is no message ({error})") from None
