"""Method `ppo`: a model that Stable-Baselines3 has saved, decided with from its weights alone.

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
from typing import TYPE_CHECKING, Any

from mecopt.arrays import Floats
from mecopt.entities import Coupling
from mecopt.errors import InputError, said
from mecopt.files import read_bytes
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import Method
from mecopt_rl.deciding.policy_methods import Allowed, PolicyMethod, solve_with

if TYPE_CHECKING:
    import torch

    from mecopt.costs import ChainCosts
    from mecopt_rl.learners.learner import Masks, Nodes
    from mecopt_rl.training.checkpoint import StoredPolicy
    from mecopt_rl.world.fleet import Fleet
    from mecopt_rl.world.masks import Decided
    from mecopt_rl.world.observation import Encoder

NAME = "ppo"
LARGEST = 256 << 20  # bytes of a part of the zip, unpacked
WEIGHTS, FIELDS, VERSION = "policy.pth", "data", "_stable_baselines3_version"
ACTIVATIONS = ("Tanh", "ReLU", "ELU", "LeakyReLU", "GELU", "SiLU", "Sigmoid", "Identity")  # of torch.nn
MADE_BY = "expected a model of PPO, A2C or MaskablePPO (MlpPolicy)"


class Sb3Actor:
    """The actor of an actor-critic model: linear layers, and a score for every node of every block.

    Or one for every placement, where `joint`.
    """

    def __init__(self, layers: torch.nn.Module, encoder: Encoder, *, joint: bool) -> None:
        self.layers, self.encoder, self.joint = layers, encoder, joint

    def decide(
        self, observations: torch.Tensor, masks: Masks | None, noise: torch.Generator | None
    ) -> tuple[Nodes, None]:
        """Choose the likeliest nodes (B, M), or sample them; block by block from exact masks."""
        import numpy as np
        import torch

        from mecopt_rl.world.spaces import joint_masks, nodes_of

        with torch.inference_mode():
            scores = self.layers(observations.float())
        if self.joint:
            allowed = None if masks is None else torch.from_numpy(joint_masks(masks.branch_masks()))
            return nodes_of(_chosen(scores, allowed, noise), self.encoder), None
        count, blocks = len(scores), self.encoder.blocks
        scores = scores.reshape(count, blocks, -1)
        nodes = np.zeros((count, blocks), dtype=np.int64)
        for m in range(blocks):
            allowed = None if masks is None else torch.from_numpy(masks.block_mask(m, nodes[:, :m]))
            nodes[:, m] = _chosen(scores[:, m], allowed, noise)
        return nodes, None


def _chosen(scores: torch.Tensor, allowed: torch.Tensor | None, noise: torch.Generator | None) -> Any:
    """Return the likeliest of some choices (B, n), or a sample; any where all are forbidden."""
    import torch

    if allowed is not None:
        allowed = allowed | ~allowed.any(dim=1, keepdim=True)
        scores = scores.masked_fill(~allowed, -torch.inf)
    if noise is None:
        return scores.argmax(dim=1).numpy()
    return torch.multinomial(scores.softmax(dim=1), 1, generator=noise)[:, 0].numpy()


def load_model(path: str) -> StoredPolicy:
    """Read a saved model of Stable-Baselines3 without unpickling anything.

    Raises
    ------
    InputError
        If it is none, of another kind than PPO, A2C or MaskablePPO with `MlpPolicy`, or it was not trained
        on mecopt's environments.
    """
    from mecopt_rl.training.checkpoint import StoredPolicy
    from mecopt_rl.world.observation import Encoder

    parts = _unzipped(path)
    try:
        fields = json.loads(parts[FIELDS])
    except (ValueError, RecursionError) as error:
        raise InputError(f"{FIELDS}: {said(error)}, {MADE_BY}", path) from None
    if not isinstance(fields, Mapping):
        raise InputError(f"{FIELDS}: no object, {MADE_BY}", path)
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
    layers, joint = _network(parts[WEIGHTS], fields, encoder, path)
    made_by = f"Stable-Baselines3 {parts.get(VERSION, b'').decode(errors='replace').strip()[:40]}".strip()
    card = {"learner": NAME, "encoder": encoder.to_json(), "training": {"command": made_by}}
    return StoredPolicy(card, Sb3Actor(layers, encoder, joint=joint), None, path)


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
    weights: bytes, fields: Mapping[str, Any], encoder: Encoder, path: str
) -> tuple[torch.nn.Module, bool]:
    """Build the actor's layers from their weights, and say whether a placement is one action."""
    import torch

    tensors = _tensors(weights, path)
    kind = str(_part(fields, "action_space").get(":type:", ""))
    joint = "multi_discrete" not in kind.lower() and "discrete" in kind.lower()
    if not joint and "multi_discrete" not in kind.lower():
        raise InputError(f"action space {kind[:60]!r}, expected MultiDiscrete or Discrete", path)
    nodes = encoder.servers + 1
    outputs = nodes**encoder.blocks if joint else nodes * encoder.blocks
    foreign = sorted(n for n in tensors if not n.startswith(("mlp_extractor.", "action_net.", "value_net.")))
    if foreign or "action_net.weight" not in tensors:
        raise InputError(f"weights of {foreign[0] if foreign else 'no actor'}, {MADE_BY}", path)
    hidden = [re.fullmatch(r"mlp_extractor\.policy_net\.(\d+)\.weight", name) for name in tensors]
    numbers = sorted(int(match[1]) for match in hidden if match is not None)
    names = [f"mlp_extractor.policy_net.{number}" for number in numbers]
    activation, layers, width = _activation(fields, path), torch.nn.Sequential(), encoder.size
    for name in [*names, "action_net"]:
        weight, bias = tensors.get(f"{name}.weight"), tensors.get(f"{name}.bias")
        if weight is None or weight.ndim != 2 or bias is None or bias.shape != weight.shape[:1]:
            raise InputError(f"{name}: no linear layer, {MADE_BY}", path)
        if weight.shape[1] != width:
            wanted = f"expected {width}" + (
                ", the observation's own" if name == (*names, "action_net")[0] else ""
            )
            raise InputError(f"{name}: takes {weight.shape[1]} numbers, {wanted}", path)
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
        layer.load_state_dict({"weight": weight.float(), "bias": bias.float()})
        layers.append(layer)
        if name != "action_net":
            layers.append(activation())
        width = weight.shape[0]
    if width != outputs:
        where = f"{encoder.blocks} blocks on {nodes} nodes"
        raise InputError(f"action_net: {width} actions, expected {outputs} for {where}", path)
    return layers.eval().requires_grad_(False), joint


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


def _activation(fields: Mapping[str, Any], path: str) -> Any:
    """Return the class of the activations: a name that is known here, never one that the file defines."""
    import torch

    text = str(_part(fields, "policy_kwargs").get("activation_fn", "torch.nn.Tanh"))
    found = re.search(r"(\w+)'?>?$", text)
    name = found[1] if found else text
    if name not in ACTIVATIONS or "torch.nn" not in text:
        raise InputError(f"activation {text[:60]!r}, expected one of {', '.join(ACTIVATIONS)}", path)
    return getattr(torch.nn, name)


def find(learner: str, instance: Instance, path: str | None = None, *, sampling: bool = True) -> StoredPolicy:
    """Return the model of a file, if it was trained for the instance's shape.

    Raises
    ------
    InputError
        If there is no file, it is no such model, or it is one for another shape.
    """
    from mecopt_rl.world.observation import Encoder

    if path is None:
        raise InputError(
            f"{learner} comes without a policy; expected a saved model: --method {learner}=FILE.zip"
        )
    found = load_model(path)
    encoder = Encoder.from_json(found.card["encoder"])
    if (instance.server_count, instance.max_blocks) != (encoder.servers, encoder.blocks):
        short = instance.server_count == encoder.servers and instance.max_blocks < encoder.blocks
        if not short:  # shorter models are padded, as in training
            raise InputError(
                f"trained for {encoder.servers} servers and {encoder.blocks} blocks, instance "
                f"{instance.name!r} has {instance.server_count} and {instance.max_blocks}",
                path,
            )
    if Coupling.ENERGY in instance.rules.couplings and "energy_left" not in encoder.parts:
        raise InputError("does not see what is left of an energy budget, expected energy_left", path)
    return found


def outside(policy: StoredPolicy, instance: Instance) -> list[str]:
    """Return the parts of the observation of which the instance has values beyond the known ranges."""
    from mecopt_rl.world.observation import Encoder

    return Encoder.from_json(policy.card["encoder"]).out_of_range(instance)


def decide(
    policy: StoredPolicy,
    instance: Instance,
    *,
    costs: ChainCosts | None = None,
    node_cost: Floats | None = None,
    noise: torch.Generator | None = None,
) -> Decided:
    """Let a model decide a whole instance; as `mecopt_rl.deciding.policy_methods.decide`."""
    from mecopt_rl.deciding import without_torch
    from mecopt_rl.world import masks
    from mecopt_rl.world.masks import needed_masks
    from mecopt_rl.world.observation import Encoder

    def choose(fleet: Fleet) -> Nodes:
        allowed = needed_masks(fleet) if node_cost is None else Allowed(fleet, node_cost)
        return without_torch.choose(policy.network, fleet.observe(), allowed, noise)

    return masks.decide(instance, Encoder.from_json(policy.card["encoder"]), choose, costs=costs)


OWN = PolicyMethod(NAME, find, decide, outside)


def _solve(instance: Instance, run: Run) -> None:
    solve_with(OWN, instance, run)


METHOD = Method(
    name=NAME,
    kind="learner",
    summary="a saved model of Stable-Baselines3 (PPO, A2C, MaskablePPO): ppo=FILE.zip",
    honours=frozenset({Coupling.CAPACITY, Coupling.MEMORY, Coupling.ENERGY}),
    solve=_solve,
    random=True,
    options=frozenset({"policy", "samples"}),
)
