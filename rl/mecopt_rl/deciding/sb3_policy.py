"""Methods `ppo` and `dqn` of models that Stable-Baselines3 has saved: ``ppo=FILE.zip``, ``dqn=FILE.zip``.

How such a file is read, without unpickling anything: `mecopt_rl.deciding.sb3_archive`.
"""

from __future__ import annotations

import dataclasses
import zipfile
from functools import partial
from typing import TYPE_CHECKING, Any

from mecopt.arrays import Floats
from mecopt.entities import Coupling
from mecopt.errors import InputError
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import Method
from mecopt_rl.deciding.policy_methods import (
    Allowed,
    PolicyMethod,
    check_file,
    check_options,
    policy_method,
    solve_with,
)

if TYPE_CHECKING:
    import torch

    from mecopt.costs import ChainCosts
    from mecopt_rl.deciding.sb3_archive import SavedModel
    from mecopt_rl.learners.learner import Masks, Nodes
    from mecopt_rl.training.checkpoint import StoredPolicy
    from mecopt_rl.world.fleet import Fleet
    from mecopt_rl.world.masks import Decided

PPO, DQN = "ppo", "dqn"
TINY = 1e-12
ABOUT = {PPO: "an actor-critic (PPO, A2C, MaskablePPO)", DQN: "DQN"}


class Sb3Actor:
    """What chooses in a model: a score for every node of every block, or for every placement.

    Values of placements are scores once they are in units of `Q_TEMPERATURE` times what the best are worth.
    """

    def __init__(self, model: SavedModel) -> None:
        self.layers, self.encoder, self.joint = model.layers, model.encoder, model.joint
        self.values = model.kind == DQN

    def decide(
        self, observations: torch.Tensor, masks: Masks | None, noise: torch.Generator | None
    ) -> tuple[Nodes, None]:
        """Choose the likeliest nodes (B, M), or sample them; block by block from exact masks."""
        import numpy as np
        import torch

        from mecopt_rl.learners.dqn import Q_TEMPERATURE
        from mecopt_rl.world.spaces import joint_masks, nodes_of

        with torch.inference_mode():
            scores = self.layers(observations.float())
            if self.values and noise is not None:
                scores = scores / (Q_TEMPERATURE * scores.amax(dim=1).abs().mean() + TINY)
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


def load_model(learner: str, path: str) -> StoredPolicy:
    """Read a saved model of Stable-Baselines3 as a policy.

    Raises
    ------
    InputError
        If it is none, `mecopt_rl.deciding.sb3_archive.read_model`, or another learner's.
    """
    from mecopt_rl.deciding.sb3_archive import read_model
    from mecopt_rl.training.checkpoint import StoredPolicy

    model = read_model(path)
    if model.kind != learner:
        raise InputError(
            f"a model of {ABOUT[model.kind]}, expected one of {ABOUT[learner]}; it is --method "
            f"{model.kind}=FILE.zip",
            path,
        )
    made_by = f"Stable-Baselines3 {model.version}".strip()
    card = {"learner": learner, "encoder": model.encoder.to_json(), "training": {"command": made_by}}
    return StoredPolicy(card, Sb3Actor(model), None, path)


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
    found = load_model(learner, path)
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


def _solve(learner: str, instance: Instance, run: Run) -> None:
    solve_with(PolicyMethod(learner, find, decide, outside), instance, run)


def _solve_dqn(instance: Instance, run: Run) -> None:
    """Let the model of a zip decide, and otherwise the policy that `mecopt train` has kept."""
    path = run.options.get("policy")
    if path is not None and _zipped(path):
        _solve(DQN, instance, run)
    else:
        OWN_DQN.solve(instance, run)


def _zipped(path: str) -> bool:
    return path.endswith(".zip") or zipfile.is_zipfile(path)


def _check_dqn(path: str) -> None:
    if _zipped(path):
        load_model(DQN, path)
    else:
        check_file(DQN, path)


OWN_DQN = policy_method(
    DQN,
    "trained policy of distributed DQN: the placement of highest value; takes dqn=FILE.zip too",
)
DQN_METHOD = dataclasses.replace(OWN_DQN, solve=_solve_dqn, checks=partial(check_options, _check_dqn))
METHOD = Method(
    name=PPO,
    kind="learner",
    summary="a saved model of Stable-Baselines3 (PPO, A2C, MaskablePPO): ppo=FILE.zip",
    honours=frozenset({Coupling.CAPACITY, Coupling.MEMORY, Coupling.ENERGY}),
    solve=partial(_solve, PPO),
    random=True,
    options=frozenset({"policy", "samples"}),
    checks=partial(check_options, partial(load_model, PPO)),
)
