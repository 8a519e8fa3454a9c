"""Method `any-size`: one trained policy for instances of any number of servers and blocks."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from mecopt.arrays import Floats
from mecopt.errors import InputError
from mecopt.instance import Instance
from mecopt_rl.deciding.policy_methods import SHIPPED, Allowed, PolicyMethod, policy_method, shipped_policy

if TYPE_CHECKING:
    import torch

    from mecopt.costs import ChainCosts
    from mecopt_rl.learners.learner import Nodes
    from mecopt_rl.training.checkpoint import StoredPolicy
    from mecopt_rl.world.fleet import Fleet
    from mecopt_rl.world.masks import Decided

NAME = "any-size"


def find(learner: str, instance: Instance, path: str | None = None, *, sampling: bool = True) -> StoredPolicy:
    """Return the policy of a file, or the shipped one; without `sampling` that needs no torch.

    Raises
    ------
    InputError
        If the file is another learner's, or no policy.
    """
    from mecopt_rl.deciding.card_checks import check_card
    from mecopt_rl.training.checkpoint import load_policy

    found = load_policy(path) if path is not None else shipped_policy(str(_shipped()), sampling)
    if found.learner != learner:
        raise InputError(f"a policy of {found.learner}, expected one of {learner}", found.path)
    return check_card(found, any_size=True)


def _shipped() -> Path:
    return Path(str(files("mecopt_rl") / SHIPPED)) / f"{NAME}.safetensors"


def outside(policy: StoredPolicy, instance: Instance) -> list[str]:
    """Return what of the instance the policy was not trained on: "servers", "blocks", "rules"."""
    from mecopt_rl.training.fingerprint import rules_of

    known = policy.card["fingerprint"]
    found = []
    for name, count in (("servers", instance.server_count), ("blocks", instance.max_blocks)):
        low, high = known[name]
        if not low <= count <= high:
            found.append(name)
    return found + ([] if rules_of(instance) in known["rules"] else ["rules"])


def decide(
    policy: StoredPolicy,
    instance: Instance,
    *,
    costs: ChainCosts | None = None,
    node_cost: Floats | None = None,
    noise: torch.Generator | None = None,
) -> Decided:
    """Let a policy decide a whole instance; as `mecopt_rl.deciding.policy_methods.decide`."""
    from mecopt_rl.deciding import without_torch
    from mecopt_rl.world import masks
    from mecopt_rl.world.masks import needed_masks
    from mecopt_rl.world.observation import Encoder

    def choose(fleet: Fleet) -> Nodes:
        allowed = needed_masks(fleet) if node_cost is None else Allowed(fleet, node_cost)
        return without_torch.choose(policy.network, fleet.step_cost(), allowed, noise)

    return masks.decide(instance, Encoder.of([instance], parts=without_torch.STEP_PARTS), choose, costs=costs)


METHOD = policy_method(
    NAME,
    "one trained policy for any number of servers and blocks, scoring steps with shared weights",
    own=PolicyMethod(NAME, find, decide, outside),
)
