"""What agents say to each other: a JSON header and tensors, as one safetensors buffer.

Nothing that is received is executed: the header is JSON, tensors are raw numbers behind their shapes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt.errors import InputError

Tensors = Mapping[str, NDArray[Any]]

SERVICE = "mecopt.Agent"
LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")
LARGEST = 1 << 30  # bytes of one message
CHUNK = 1 << 16  # bytes of a part in one message: on a slow link too they go on, where they do
HEADER = "mecopt"  # the key of the metadata under which the header stands
LONGEST_HEADER = 1 << 20


def packed(header: Mapping[str, Any], tensors: Tensors | None = None) -> bytes:
    """Return a message.

    Parameters
    ----------
    header : mapping
        Values that JSON can hold.
    tensors : mapping of str to array, optional
    """
    from safetensors.numpy import save

    whole = {name: np.ascontiguousarray(value) for name, value in (tensors or {}).items()}
    # A scalar comes back from `ascontiguousarray` as an array of one number.
    shaped = {name: value.reshape(np.shape((tensors or {})[name])) for name, value in whole.items()}
    return bytes(save(shaped, metadata={HEADER: json.dumps(header, allow_nan=False)}))


def unpacked(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a message.

    Raises
    ------
    InputError
        If it is none.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        (length,) = struct.unpack_from("<Q", data)
        if length > min(len(data) - 8, LONGEST_HEADER):
            raise InputError("message: cut short, or its header is too long")
        header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][HEADER])
        if not isinstance(header, dict):
            raise InputError("message: expected an object as header")
        return header, load(data)
    except (struct.error, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise InputError(f"message: no header and tensors ({type(error).__name__})") from None


def field(header: Mapping[str, Any], name: str, kind: type[Any] | tuple[type[Any], ...]) -> Any:
    """Return a field of a header.

    Raises
    ------
    InputError
        If it is missing, or of another kind.
    """
    value = header.get(name)
    wrong = isinstance(value, bool) and kind is not bool
    if wrong or not isinstance(value, kind):
        expected = kind.__name__ if isinstance(kind, type) else " or ".join(k.__name__ for k in kind)
        raise InputError(f"message: {name}: expected {expected}")
    return value


def is_loopback(address: str) -> bool:
    """Say whether only this machine reaches an address, ``host:port``."""
    host = address.rpartition(":")[0]
    return host in LOOPBACK or host.startswith("127.")
