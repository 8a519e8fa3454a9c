"""Method `any-size`: one trained policy for instances of any number of servers and blocks."""

from __future__ import annotations

import dataclasses
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mecopt.arrays import Floats
from mecopt.entities import Coupling
from mecopt.errors import InputError
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import Method
from mecopt_rl.deciding.policy_methods import (
    SHIPPED,
    _Allowed,
    _samples,
    best_of,
    note_policy,
    shipped_policy,
    warm_up,
)

if TYPE_CHECKING:
    import torch

    from mecopt_rl.learners.learner import Nodes
    from mecopt_rl.training.checkpoint import StoredPolicy
    from mecopt_rl.world.fleet import Fleet

NAME = "any-size"


def find(path: str | None = None, *, sampling: bool = True) -> StoredPolicy:
    """Return the policy of a file, or the shipped one; without `sampling` that needs no torch.

    Raises
    ------
    InputError
        If the file is another learner's, or no policy.
    """
    from mecopt_rl.deciding.cards import check_card
    from mecopt_rl.training.checkpoint import load_policy

    found = load_policy(path) if path is not None else shipped_policy(str(_shipped()), sampling)
    if found.learner != NAME:
        raise InputError(f"a policy of {found.learner}, expected one of {NAME}", found.path)
    return check_card(found, any_size=True)


def _shipped() -> Path:
    return Path(str(files("mecopt_rl") / SHIPPED)) / f"{NAME}.safetensors"


def outside(policy: StoredPolicy, instance: Instance) -> list[str]:
    """Return what of the instance the policy was not trained on: "servers", "blocks", "rules"."""
    from mecopt_rl.training.fingerprint import _rules

    known = policy.card["fingerprint"]
    found = []
    for name, count in (("servers", instance.server_count), ("blocks", instance.max_blocks)):
        low, high = known[name]
        if not low <= count <= high:
            found.append(name)
    return found + ([] if _rules(instance) in known["rules"] else ["rules"])


def decide(
    policy: StoredPolicy,
    instance: Instance,
    *,
    costs: Any = None,
    node_cost: Floats | None = None,
    noise: torch.Generator | None = None,
) -> Any:
    """Let a policy decide a whole instance; as `mecopt_rl.deciding.policy_methods.decide`."""
    from mecopt_rl.deciding import plain
    from mecopt_rl.world import masks
    from mecopt_rl.world.masks import needed_masks
    from mecopt_rl.world.observation import Encoder

    def choose(fleet: Fleet) -> Nodes:
        allowed = needed_masks(fleet) if node_cost is None else _Allowed(fleet, node_cost)
        return plain.choose(policy.network, fleet.step_cost(), allowed, noise)

    return masks.decide(instance, Encoder.of([instance], parts=plain.STEP_PARTS), choose, costs=costs)


def _solve(instance: Instance, run: Run) -> None:
    from mecopt_rl.learners.learner import need_torch

    need_torch(f"method {NAME}")
    with run.loading():
        from mecopt_rl.deciding.plain import Timed
        from mecopt_rl.world import masks  # noqa: F401 (all that deciding needs)
    samples = _samples(run.options.get("samples", 0))
    path = run.options.get("policy")
    if not (path is None or isinstance(path, str)):
        raise InputError(f"policy: {path!r}, expected the name of a file")
    with run.loading():
        policy = find(path, sampling=samples > 0)
    note_policy(run, policy, path, outside(policy, instance))
    timed = dataclasses.replace(policy, network=Timed(policy.network, run.keep_time))

    def placed(noise: torch.Generator | None) -> Any:
        return decide(timed, instance, costs=run.costs, node_cost=run.node_cost, noise=noise)

    best_of(instance, run, samples, placed)


METHOD = Method(
    name=NAME,
    kind="learner",
    summary="one trained policy for any number of servers and blocks, scoring steps with shared weights",
    honours=frozenset({Coupling.CAPACITY, Coupling.MEMORY}),
    solve=_solve,
    random=True,
    options=frozenset({"policy", "samples"}),
    warm_up=partial(warm_up, NAME),
)
