"""Method `any-size`: one trained policy for instances of any number of servers and blocks."""

from __future__ import annotations

import warnings
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mecopt.arrays import Floats, Ints
from mecopt.entities import Coupling
from mecopt.errors import InputError
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import Method
from mecopt_rl.deciding.policy_methods import SHIPPED, _Allowed, _better, _samples

if TYPE_CHECKING:
    import torch

    from mecopt_rl.learners.learner import Nodes
    from mecopt_rl.training.checkpoint import StoredPolicy
    from mecopt_rl.world.fleet import Fleet

NAME = "any-size"


def find(path: str | None = None) -> StoredPolicy:
    """Return the policy of a file, or the shipped one.

    Raises
    ------
    InputError
        If the file is another learner's, or no policy.
    """
    from mecopt_rl.deciding.cards import check_card
    from mecopt_rl.training.checkpoint import load_policy

    found = load_policy(path if path is not None else str(_shipped()))
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
    import torch

    from mecopt_rl.learners.any_size import PARTS
    from mecopt_rl.training.rounds import needed_masks
    from mecopt_rl.world import masks
    from mecopt_rl.world.observation import Encoder

    def choose(fleet: Fleet) -> Nodes:
        allowed = needed_masks(fleet) if node_cost is None else _Allowed(fleet, node_cost)
        steps = torch.from_numpy(fleet.step_cost())
        chosen: Nodes = policy.network.decide(steps, allowed, noise)[0]
        return chosen

    return masks.decide(instance, Encoder.of([instance], parts=PARTS), choose, costs=costs)


def _solve(instance: Instance, run: Run) -> None:
    from mecopt_rl.learners.learner import need_torch

    need_torch(f"method {NAME}")
    import torch

    samples = _samples(run.options.get("samples", 0))
    path = run.options.get("policy")
    if not (path is None or isinstance(path, str)):
        raise InputError(f"policy: {path!r}, expected the name of a file")
    policy = find(path)
    run.notes["policy"] = path if path is not None else f"shipped: {Path(policy.path).stem}"
    run.notes["policy_trained_by"] = policy.card["training"]["command"]
    away = outside(policy, instance)
    if away:
        run.notes["policy_outside"] = away
        warnings.warn(
            f"{policy.path}: not trained on this instance's {', '.join(away)}; its choices may be poor",
            stacklevel=2,
        )
    torch.set_num_threads(run.threads)
    noise = torch.Generator()
    noise.manual_seed(run.seed)
    best: tuple[Ints, Floats] | None = None
    for number in range(samples + 1):
        if number and run.should_stop():
            return
        drawn = noise if number else None
        decided = decide(policy, instance, costs=run.costs, node_cost=run.node_cost, noise=drawn)
        run.repairs += decided.repairs if number == 0 else 0
        if run.forbidden_block(decided.placement) is None:
            best = _better(instance, run, decided.placement, best)
    if best is None:
        run.notes["pins_and_bans"] = "the policy found no placement that honours them"


METHOD = Method(
    name=NAME,
    kind="learner",
    summary="one trained policy for any number of servers and blocks, scoring steps with shared weights",
    honours=frozenset({Coupling.CAPACITY, Coupling.MEMORY}),
    solve=_solve,
    random=True,
    options=frozenset({"policy", "samples"}),
)
