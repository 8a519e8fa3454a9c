"""What Stable-Baselines3 has saved, read as data: the layers that choose, from their weights alone.

Such a file is a zip of weights and of pickled Python objects. Files are data here, so nothing in it is
unpickled: the weights are read as tensors and nothing else, of the rest only what stands beside the pickles
in plain JSON. That is enough: the encoder of the observation, the kind of actions, the activation. The spaces
are made anew from the encoder, and the layers must fit them.
"""

from __future__ import annotations

import io
import json
import math
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mecopt.errors import InputError, said
from mecopt.files import read_bytes

if TYPE_CHECKING:
    import torch

    from mecopt_rl.world.observation import Encoder

LARGEST = 256 << 20  # bytes of a part of the zip, unpacked
WEIGHTS, FIELDS, VERSION = "policy.pth", "data", "_stable_baselines3_version"
ACTIVATIONS = ("Tanh", "ReLU", "ELU", "LeakyReLU", "GELU", "SiLU", "Sigmoid", "Identity")  # of torch.nn
MADE_BY = "expected a model of PPO, A2C, MaskablePPO or DQN (MlpPolicy)"


@dataclass(frozen=True)
class _Form:
    """Which weights a kind of model has: hidden layers that choose, the last one, and those not looked at."""

    hidden: str  # pattern of their names, the number in it
    last: str  # name; empty where it is the last of the hidden ones
    others: tuple[str, ...]
    activation: str  # where the file names none


FORMS = {
    "ppo": _Form(
        r"mlp_extractor\.policy_net\.(\d+)", "action_net", ("mlp_extractor.value_net.", "value_net."), "Tanh"
    ),
    "dqn": _Form(r"q_net\.q_net\.(\d+)", "", ("q_net_target.",), "ReLU"),
}


@dataclass(frozen=True)
class SavedModel:
    """What a file says of a model.

    Attributes
    ----------
    kind : str
        ``ppo`` for actor-critics, scores of actions; ``dqn`` for values of actions.
    encoder : Encoder
        How it sees a task.
    layers : torch.nn.Module
        From observations (B, D) to a number for every action.
    joint : bool
        Whether a placement is one action; otherwise the node of each block is.
    version : str
        Of Stable-Baselines3.
    """

    kind: str
    encoder: Encoder
    layers: torch.nn.Module
    joint: bool
    version: str


def read_model(path: str) -> SavedModel:
    """Read a saved model of Stable-Baselines3 without unpickling anything.

    Raises
    ------
    InputError
        If it is none, of another kind than PPO, A2C, MaskablePPO or DQN with `MlpPolicy`, or it was not
        trained on mecopt's environments.
    """
    parts = _unzipped(path)
    try:
        fields = json.loads(parts[FIELDS])
    except (ValueError, RecursionError) as error:
        raise InputError(f"{FIELDS}: {said(error)}, {MADE_BY}", path) from None
    if not isinstance(fields, Mapping):
        raise InputError(f"{FIELDS}: no object, {MADE_BY}", path)
    encoder = _encoder(fields, path)
    tensors = _tensors(parts[WEIGHTS], path)
    kind = "dqn" if any(name.startswith("q_net.") for name in tensors) else "ppo"
    layers, joint = _network(kind, tensors, fields, encoder, path)
    version = parts.get(VERSION, b"").decode(errors="replace").strip()[:40]
    return SavedModel(kind, encoder, layers, joint, version)


def _encoder(fields: Mapping[str, Any], path: str) -> Encoder:
    from mecopt_rl.world.observation import Encoder

    stored = _part(fields, "observation_space").get("encoder")
    if not isinstance(stored, Mapping):
        raise InputError(
            "says nothing of how it sees a task; expected a model trained on mecopt's environments, "
            "mecopt_rl.sb3.make_sb3_env(...) or mecopt/Partition-v0 with flat=True",
            path,
        )
    try:
        encoder = Encoder.from_json(stored)
        for name, ends in encoder.ranges.items():
            if not all(math.isfinite(end) for end in ends):
                raise InputError(f"encoder: ranges.{name}: {ends}, expected numbers")
    except InputError as error:
        raise InputError(error.problems[0], path) from None
    return encoder


def _unzipped(path: str) -> dict[str, bytes]:
    """Return the parts of the zip that are looked at."""
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(read_bytes(path))) as file:
            for name in (FIELDS, WEIGHTS, VERSION):
                if name not in file.namelist():
                    continue
                if file.getinfo(name).file_size > LARGEST:
                    raise InputError(f"{name}: more than {LARGEST >> 20} MiB, {MADE_BY}", path)
                with file.open(name) as part:
                    found[name] = part.read(LARGEST)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise InputError(f"no zip that can be read ({said(error)}), {MADE_BY}", path) from None
    for name in (FIELDS, WEIGHTS):
        if name not in found:
            raise InputError(f"holds no {name}, {MADE_BY}", path)
    return found


def _part(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = fields.get(name)
    return part if isinstance(part, Mapping) else {}


def _network(
    kind: str, tensors: Mapping[str, torch.Tensor], fields: Mapping[str, Any], encoder: Encoder, path: str
) -> tuple[torch.nn.Module, bool]:
    """Build the layers that choose from their weights, and say whether a placement is one action."""
    import torch

    form, names = FORMS[kind], _layer_names(FORMS[kind], tensors, path)
    joint = _joint(fields, path)
    nodes = encoder.servers + 1
    outputs = nodes**encoder.blocks if joint else nodes * encoder.blocks
    activation, layers, width = (
        _activation(fields, form.activation, path),
        torch.nn.Sequential(),
        encoder.size,
    )
    for name in names:
        weight, bias = tensors.get(f"{name}.weight"), tensors.get(f"{name}.bias")
        if weight is None or weight.ndim != 2 or bias is None or bias.shape != weight.shape[:1]:
            raise InputError(f"{name}: no linear layer, {MADE_BY}", path)
        if weight.shape[1] != width:
            wanted = f"expected {width}" + (", the observation's own" if name == names[0] else "")
            raise InputError(f"{name}: takes {weight.shape[1]} numbers, {wanted}", path)
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
        layer.load_state_dict({"weight": weight.float(), "bias": bias.float()})
        layers.append(layer)
        if name != names[-1]:
            layers.append(activation())
        width = weight.shape[0]
    if width != outputs:
        where = f"{encoder.blocks} blocks on {nodes} nodes"
        raise InputError(f"{names[-1]}: {width} actions, expected {outputs} for {where}", path)
    return layers.eval().requires_grad_(False), joint


def _layer_names(form: _Form, tensors: Mapping[str, torch.Tensor], path: str) -> list[str]:
    """Return the names of the layers that choose, from the first to the last."""
    others = (*form.others, f"{form.last}.") if form.last else form.others
    found = {}
    for name in tensors:
        layer = name.rpartition(".")[0]
        match = re.fullmatch(form.hidden, layer)
        if match is not None:
            found[int(match[1])] = layer
        elif not name.startswith(others):
            raise InputError(f"weights of {name[:80]}, {MADE_BY}", path)
    names = [found[number] for number in sorted(found)] + ([form.last] if form.last else [])
    if not names or f"{names[-1]}.weight" not in tensors:
        raise InputError(f"weights of no layer that chooses, {MADE_BY}", path)
    return names


def _joint(fields: Mapping[str, Any], path: str) -> bool:
    kind = str(_part(fields, "action_space").get(":type:", ""))
    if "multi_discrete" in kind.lower():
        return False
    if "discrete" not in kind.lower():
        raise InputError(f"action space {kind[:60]!r}, expected MultiDiscrete or Discrete", path)
    return True


def _tensors(weights: bytes, path: str) -> dict[str, torch.Tensor]:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever stands in the file: torch raises many kinds
        raise InputError(f"{WEIGHTS}: no plain tensors ({said(error)[:80]}), {MADE_BY}", path) from None
    tensors = found if isinstance(found, Mapping) else {}
    if not tensors or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in tensors.items()
    ):
        raise InputError(f"{WEIGHTS}: no tensors by name, {MADE_BY}", path)
    for name, tensor in tensors.items():
        if not (tensor.is_floating_point() and bool(tensor.isfinite().all())):
            raise InputError(f"{WEIGHTS}: {name[:80]}: expected finite numbers", path)
    return dict(tensors)


def _activation(fields: Mapping[str, Any], usual: str, path: str) -> Any:
    """Return the class of the activations: a name that is known here, never one that the file defines."""
    import torch

    text = str(_part(fields, "policy_kwargs").get("activation_fn", f"torch.nn.{usual}"))
    found = re.search(r"(\w+)'?>?$", text)
    name = found[1] if found else text
    if name not in ACTIVATIONS or "torch.nn" not in text:
        raise InputError(f"activation {text[:60]!r}, expected one of {', '.join(ACTIVATIONS)}", path)
    return getattr(torch.nn, name)
