"""Files of learners: weights as safetensors, everything else as JSON in the header of the same file.

One file is written whole or not at all, so weights and what is said of them always belong together. Nothing
in it can run code.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt.arrays import Floats
from mecopt.errors import InputError
from mecopt.files import read_bytes, write_bytes
from mecopt_rl.learners.learner import LearnerKind, Shape, kind, need_torch

if TYPE_CHECKING:
    from torch import Tensor

POLICY_FORMAT = "mecopt-policy/1"
TRAINING_FORMAT = "mecopt-training/2"
MOST_JOINT, MOST_GROWN = 20_000, 10  # of a network whose card may be damaged: actions, times the weights
# What reading a document with missing or odd parts may raise.
OF_DAMAGE = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RuntimeError)
HEADER = "mecopt"  # key of the JSON text in the metadata of a safetensors file


@dataclass(frozen=True, eq=False)
class StoredPolicy:
    """A policy as read from its file; `network` is ready to decide."""

    card: Mapping[str, Any]  # what is said of it; docs/train.md lists the fields
    network: Any  # a torch.nn.Module, and a `mecopt_rl.learners.learner.Policy`
    settings: Any  # of its learner
    path: str

    @property
    def learner(self) -> str:
        """Name of the learner that trained it."""
        return str(self.card["learner"])


def write(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a JSON document as one safetensors file.

    Raises
    ------
    InputError
        If the place cannot be written.
    MecoptError
        If the disk is full.
    """
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(header, ensure_ascii=False, allow_nan=False)
    write_bytes(path, save(plain, metadata={HEADER: text}))


def write_arrays(
    path: str | os.PathLike[str], arrays: Mapping[str, Floats], header: Mapping[str, Any]
) -> None:
    """Write arrays as `write` does tensors; torch is not even loaded."""
    from safetensors.numpy import save

    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    text = json.dumps(header, ensure_ascii=False, allow_nan=False)
    write_bytes(path, save(plain, metadata={HEADER: text}))


def read(
    path: str | os.PathLike[str], form: str, *, framework: str = "pt"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a file that `write` wrote.

    Parameters
    ----------
    path : path
    form : str
        The format that its header must name.
    framework : {"pt", "numpy"}
        What the weights are read as: tensors of torch, or arrays, for which torch is not even loaded.

    Raises
    ------
    InputError
        If it cannot be read, is cut short, is something else, or of another version.
    """
    need_torch("a policy")
    from safetensors import SafetensorError, safe_open

    if not Path(path).exists() or Path(path).is_dir():
        read_bytes(path)  # names what is wrong with the place
    if not Path(path).is_file():
        raise InputError("is no file on a disk, expected one", str(path))
    try:
        with safe_open(path, framework=framework) as file:
            text = (file.metadata() or {}).get(HEADER)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError, MemoryError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"not a whole safetensors file ({reason})", str(path)) from None
    try:
        header = json.loads(text or "null", parse_constant=_refuse)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or "format" not in header:
        raise InputError(f"no file of mecopt's, expected one of format {form}", str(path))
    if header["format"] != form:
        raise InputError(f"format {header['format']!r}, expected {form!r}", str(path))
    return tensors, header


def _refuse(name: str) -> None:
    raise ValueError(name)


def save_policy(
    path: str | os.PathLike[str],
    network: Any,
    card: Mapping[str, Any],
    *,
    dtype: str = "float32",
) -> None:
    """Write a policy, and its card once more as JSON beside it, for people.

    Parameters
    ----------
    path : path
        Ends in ``.safetensors``; the copy of the card gets ``.json`` instead.
    network : torch.nn.Module
    card : dict
    dtype : {"float32", "float16"}
        Of the stored weights.
    """
    import torch

    kept = {name: tensor.to(getattr(torch, dtype)) for name, tensor in network.state_dict().items()}
    document = {"format": POLICY_FORMAT, **card}
    write(path, kept, document)
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(Path(path).with_suffix(".json"), (text + "\n").encode())


def load_policy(path: str | os.PathLike[str]) -> StoredPolicy:
    """Read a policy.

    Raises
    ------
    InputError
        If the file is no policy, damaged, of another version, or its weights do not fit its card.
    """
    import torch

    stored, card = read(path, POLICY_FORMAT)
    if not all(tensor.is_floating_point() for tensor in stored.values()):
        raise InputError("a weight is no floating-point number", str(path))
    tensors = {name: tensor.float() for name, tensor in stored.items()}
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise InputError("a weight is not a finite number", str(path))
    try:
        chosen = kind(str(card["learner"]))
        settings = chosen.settings(str(card["recipe"]), card["settings"])
        shape = Shape(**{name: int(card["shape"][name]) for name in ("observation", "blocks", "nodes")})
        card["encoder"], card["fingerprint"], card["training"]
        _check_fits(chosen, shape, settings, tensors)
    except (*OF_DAMAGE, InputError) as error:
        raise InputError(f"card: {type(error).__name__}: {' '.join(str(error).split())}", str(path)) from None
    with torch.random.fork_rng(devices=[]):
        network = chosen.network(shape, settings)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"its weights do not fit its card: {reason}", str(path)) from None
    return StoredPolicy(card, network.eval(), settings, str(path))


def _check_fits(
    chosen: LearnerKind[Any, Any], shape: Shape, settings: Any, tensors: Mapping[str, Tensor]
) -> None:
    """Refuse a network far larger than the weights that are there, before it takes time and memory.

    Raises
    ------
    ValueError
    """
    import torch

    numbers = sum(tensor.numel() for tensor in tensors.values())
    sizes = dataclasses.asdict(shape) | {"layers": getattr(settings, "layers", 0)}
    for name, size in sizes.items():
        if not 0 <= size <= numbers:
            raise ValueError(f"{name} {size}, but the file holds {numbers} weights")
    together = min(shape.nodes**shape.blocks, getattr(settings, "joint_actions", 0))
    if together > max(numbers, MOST_JOINT):
        raise ValueError(f"{together} joint actions, but the file holds {numbers} weights")
    with torch.device("meta"):  # no memory is taken
        expected = sum(tensor.numel() for tensor in chosen.network(shape, settings).state_dict().values())
    if expected > MOST_GROWN * numbers:
        raise ValueError(f"a network of {expected} weights, but the file holds {numbers}")
