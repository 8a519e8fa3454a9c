"""Files of inputs and outputs: ``.npz`` or ``.safetensors``, tensors with a first axis that counts inputs."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt.errors import InputError
from mecopt.files import read_bytes, write_bytes

Arrays = Mapping[str, NDArray[Any]]


def read_inputs(path: str | os.PathLike[str]) -> list[Arrays]:
    """Read inputs.

    Raises
    ------
    InputError
        If the file is neither, or its tensors do not agree on how many inputs there are.
    """
    name = os.fspath(path)
    data = read_bytes(path)
    try:
        if name.endswith(".safetensors"):
            from safetensors.numpy import load

            tensors: dict[str, NDArray[Any]] = load(data)
        else:
            with np.load(io.BytesIO(data), allow_pickle=False) as found:
                tensors = {key: found[key] for key in found.files}
    except Exception as error:  # each library has errors of its own
        raise InputError(f"no .npz or .safetensors file of tensors ({type(error).__name__})", name) from None
    counts = {len(value) if value.ndim else 0 for value in tensors.values()}
    if len(counts) != 1 or 0 in counts:
        raise InputError("expected tensors whose first axis counts the inputs, the same in all", name)
    return [{key: value[i] for key, value in tensors.items()} for i in range(counts.pop())]


def write_outputs(path: str | os.PathLike[str], outputs: Sequence[Arrays]) -> None:
    """Write outputs, whole or not at all, with a first axis that counts inputs."""
    stacked = {name: np.stack([one[name] for one in outputs]) for name in outputs[0]}
    if os.fspath(path).endswith(".safetensors"):
        from safetensors.numpy import save

        write_bytes(path, bytes(save(stacked)))
        return
    buffer = io.BytesIO()
    np.savez(buffer, **stacked)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())
