"""Trained policies as methods: ``mecopt solve INSTANCE --method markov-a3c --policy FILE``.

Without a file, the policy that ships with mecopt for the instance's setting is taken, and named.
"""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.entities import Coupling
from mecopt.errors import InputError
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import Method

if TYPE_CHECKING:
    import torch

    from mecopt.costs import ChainCosts
    from mecopt_rl.learners.learner import Flags, Masks, Nodes
    from mecopt_rl.training.checkpoint import StoredPolicy
    from mecopt_rl.world.fleet import Fleet
    from mecopt_rl.world.masks import Decided

SHIPPED = "policies"  # folder beside this file


def find(learner: str, instance: Instance, path: str | None = None, *, sampling: bool = True) -> StoredPolicy:
    """Return a learner's policy for an instance: that of the file, or the shipped one that fits.

    Without `sampling` the shipped one comes as a network that needs no torch.

    Raises
    ------
    InputError
        If the file is another learner's or for another shape, or no shipped policy fits.
    """
    from mecopt_rl.deciding.card_checks import check_card
    from mecopt_rl.training.checkpoint import load_policy
    from mecopt_rl.training.fingerprint import misfit

    found = load_policy(path) if path is not None else shipped_policy(_shipped(learner, instance), sampling)
    if found.learner != learner:
        raise InputError(f"a policy of {found.learner}, expected one of {learner}", found.path)
    reason = misfit(check_card(found).card["fingerprint"], instance)
    if reason is not None:
        raise InputError(reason, found.path)
    return found


def shipped_policy(path: str, sampling: bool) -> StoredPolicy:
    """Read a policy that ships with mecopt; without torch where nothing is to be sampled."""
    if sampling:
        from mecopt_rl.training.checkpoint import load_policy

        return load_policy(path)
    from mecopt_rl.deciding.without_torch import load_plain

    return load_plain(path)


def _shipped(learner: str, instance: Instance) -> str:
    from mecopt_rl.training.cards import standing
    from mecopt_rl.training.fingerprint import misfit, outside

    fitting = []
    for card_file in sorted(Path(str(files("mecopt_rl") / SHIPPED)).glob("*.json")):
        card = json.loads(card_file.read_text(encoding="utf-8"))
        known = card["fingerprint"]
        if card["learner"] == learner and misfit(known, instance) is None and not outside(known, instance):
            fitting.append((standing(card["training"]), card_file.with_suffix(".safetensors")))
    if not fitting:
        raise InputError(
            f"no policy of {learner} that ships with mecopt fits instance {instance.name!r}; train one with "
            f"`mecopt train`, and name it: --policy FILE"
        )
    return str(min(fitting)[1])


def outside(policy: StoredPolicy, instance: Instance) -> list[str]:
    """Return what of the instance the policy was not trained on, as `fingerprint.outside` names it."""
    from mecopt_rl.training import fingerprint

    return fingerprint.outside(policy.card["fingerprint"], instance)


def decide(
    policy: StoredPolicy,
    instance: Instance,
    *,
    costs: ChainCosts | None = None,
    node_cost: Floats | None = None,
    noise: torch.Generator | None = None,
) -> Decided:
    """Let a policy decide a whole instance.

    Parameters
    ----------
    policy : StoredPolicy
    instance : Instance
    costs : ChainCosts, optional
        The instance's, where the caller has them.
    node_cost : array of shape (tasks, blocks, nodes), optional
        inf where the caller forbids a node.
    noise : torch.Generator, optional
        Sample; without it the likeliest nodes are taken.
    """
    from mecopt_rl.deciding import without_torch
    from mecopt_rl.world import masks
    from mecopt_rl.world.masks import needed_masks
    from mecopt_rl.world.observation import Encoder

    encoder = Encoder.from_json(policy.card["encoder"])

    def allow(fleet: Fleet) -> Masks | None:
        return needed_masks(fleet) if node_cost is None else Allowed(fleet, node_cost)

    priced = policy.card.get("prices", {}).get("of")
    if Coupling.ENERGY in instance.rules.couplings and priced != "energy":
        raise InputError("knows no price of energy, expected one trained for energy budgets", policy.path)
    if priced == "energy":
        from mecopt_rl.deciding import energy_policy

        return energy_policy.decide(policy, instance, allow, costs=costs, node_cost=node_cost, noise=noise)
    if priced == "capacity":
        from mecopt_rl.deciding import crowd_policy

        return crowd_policy.decide(policy, instance, allow, costs=costs, noise=noise)

    def choose(fleet: Fleet) -> Nodes:
        return without_torch.choose(policy.network, fleet.observe(), allow(fleet), noise)

    return masks.decide(instance, encoder, choose, costs=costs)


class Allowed:
    """The masks of a fleet, without what pins and bans forbid."""

    def __init__(self, fleet: Fleet, node_cost: Floats) -> None:
        self.fleet, blocks = fleet, fleet.encoder.blocks
        free = np.isfinite(node_cost)
        behind = np.ones((len(free), blocks - free.shape[1], free.shape[2]), dtype=bool)
        self.free = np.concatenate([free, behind], axis=1)

    def branch_masks(self) -> Flags:
        """Return the nodes that each block may use, (E, M, J)."""
        allowed: Flags = self.fleet.branch_masks() & self.free[self.fleet.now]
        return allowed

    def block_mask(self, m: int, chosen: Nodes) -> Flags:
        """Return the nodes that block m may use after those before it, (E, J)."""
        allowed: Flags = self.fleet.block_mask(m, chosen) & self.free[self.fleet.now, m]
        return allowed


def solve_with(own: PolicyMethod, instance: Instance, run: Run) -> None:
    """Find a policy for the instance, say which, and let it decide.

    Parameters
    ----------
    own : PolicyMethod
    instance : Instance
    run : Run
        Its options ``policy``, the name of a file, and ``samples`` say what to do.
    """
    from mecopt_rl.learners.learner import need_torch

    need_torch(f"method {own.learner}")
    with run.loading():
        from mecopt_rl.deciding import crowd_policy, energy_policy  # noqa: F401 (all that deciding needs)
        from mecopt_rl.deciding.without_torch import Timed

    samples, path = run.options.get("samples", 0), run.options.get("policy")
    with run.loading():
        policy = own.find(own.learner, instance, path, sampling=samples > 0)
    note_policy(run, policy, path, own.outside(policy, instance))
    timed = dataclasses.replace(policy, network=Timed(policy.network, run.keep_time))

    def placed(noise: torch.Generator | None) -> Decided:
        return own.decide(timed, instance, costs=run.costs, node_cost=run.node_cost, noise=noise)

    best_of(instance, run, samples, placed)


def note_policy(run: Run, policy: StoredPolicy, path: str | None, away: list[str]) -> None:
    """Say which policy decides, and warn where it was not trained on such instances."""
    run.notes["policy"] = path if path is not None else f"shipped: {Path(policy.path).stem}"
    run.notes["policy_trained_by"] = policy.card["training"]["command"]
    if away:
        run.notes["policy_outside"] = away
        warnings.warn(
            f"{policy.path}: not trained on this instance's {', '.join(away)}; its choices may be poor",
            stacklevel=2,
        )


def best_of(
    instance: Instance, run: Run, samples: int, placed: Callable[[torch.Generator | None], Decided]
) -> None:
    """Hand over the likeliest placement, then so many samples, until a rule says stop.

    Parameters
    ----------
    placed : callable
        Returns a `mecopt_rl.world.masks.Decided`, sampled with the noise that it is given.
    """
    from mecopt_solvers.priced_bound import improve_by_prices

    noise = _noise(run) if samples or run.options.get("policy") is not None else None
    best: tuple[Ints, Floats] | None = None
    for number in range(samples + 1):
        if number and run.should_stop():
            return
        decided = placed(noise if number else None)
        run.repairs += decided.repairs if number == 0 else 0
        if run.forbidden_block(decided.placement) is None:
            best = _better(instance, run, decided.placement, best)
        if number == 0 and decided.prices is not None:
            improve_by_prices(run, decided.prices)
    if best is None:
        run.notes["pins_and_bans"] = "the policy found no placement that honours them"


def _noise(run: Run) -> torch.Generator:
    """Set torch up for networks of its own; the shipped ones do without."""
    import torch

    torch.set_num_threads(run.threads)
    noise = torch.Generator()
    noise.manual_seed(run.seed)
    return noise


def _better(
    instance: Instance, run: Run, placement: Ints, best: tuple[Ints, Floats] | None
) -> tuple[Ints, Floats]:
    """Hand over a placement; where nothing couples the tasks, with every task's best so far in it."""
    judged = run.found(placement)
    worth = judged.task_objective_s.copy()
    for violation in judged.violations:
        if "task" in violation.where:
            worth[int(violation.where["task"])] = np.inf
    if best is None or instance.rules.couplings:
        return placement, worth
    keep = worth < best[1]
    mixed = np.where(keep[:, None], placement, best[0])
    run.found(mixed)
    return mixed, np.where(keep, worth, best[1])


def check_options(read: Callable[[str], object], options: Mapping[str, Any]) -> None:
    """Refuse options that are of no use to any instance.

    Parameters
    ----------
    read : callable
        Raises an `InputError` where the file of that name is no policy of the learner.
    options : dict

    Raises
    ------
    InputError
    """
    samples, path = options.get("samples", 0), options.get("policy")
    if isinstance(samples, bool) or not isinstance(samples, int) or not 0 <= samples <= 10_000:
        raise InputError(f"samples: {samples!r}, expected a whole number from 0 to 10000")
    if path is None:
        return
    if not isinstance(path, str):
        raise InputError(f"policy: {path!r}, expected the name of a file")
    read(path)


def check_file(learner: str, path: str) -> None:
    """Refuse what is no policy that `mecopt train` has kept of a learner; torch is not loaded.

    Raises
    ------
    InputError
    """
    from mecopt_rl.training.checkpoint import POLICY_FORMAT, read

    _, card = read(path, POLICY_FORMAT, framework="numpy")
    if card.get("learner") != learner:
        raise InputError(f"a policy of {card.get('learner')}, expected one of {learner}", path)


def warm_up(learner: str) -> None:
    """Compile what training and deciding need; see `mecopt.warm_up`."""
    from mecopt_rl.learners.learner import need_torch

    need_torch(f"method {learner}")
    from mecopt_rl.training import warm_learner

    warm_learner.warm_up(learner)


class Find(Protocol):
    """Finds the policy of a learner for an instance, as `find` does."""

    def __call__(
        self, learner: str, instance: Instance, path: str | None, *, sampling: bool
    ) -> StoredPolicy:  # fmt: skip
        """Return it."""
        ...


class Decide(Protocol):
    """Lets a policy decide a whole instance, as `decide` does."""

    def __call__(
        self,
        policy: StoredPolicy,
        instance: Instance,
        *,
        costs: ChainCosts | None,
        node_cost: Floats | None,
        noise: torch.Generator | None,
    ) -> Decided:
        """Return what it made of it."""
        ...


@dataclass(frozen=True)
class PolicyMethod:
    """How the policies of a learner become placements; the defaults are those of episodes of one shape."""

    learner: str
    find: Find = find
    decide: Decide = decide
    outside: Callable[[StoredPolicy, Instance], list[str]] = outside


def policy_method(
    learner: str,
    summary: str,
    *,
    couplings: frozenset[Coupling] = frozenset({Coupling.CAPACITY, Coupling.MEMORY}),
    own: PolicyMethod | None = None,
) -> Method:
    """Return the method of a learner's policies, for an entry point of group ``mecopt.methods``.

    ``mecopt.solve(instance, learner, policy="policy.safetensors")`` takes a policy that `mecopt train` has
    kept; without a file, one that ships with mecopt.

    Parameters
    ----------
    learner : str
        Its name, that of its entry point in ``mecopt.learners`` and of the method.
    summary : str
        One line for `mecopt methods`.
    couplings : frozenset of Coupling
        Those that deciding keeps; capacity and memory by masks, whatever is learnt.
    own : PolicyMethod, optional
        Where policies are found or decide otherwise.
    """
    return Method(
        name=learner,
        kind="learner",
        summary=summary,
        honours=couplings,
        solve=partial(solve_with, own or PolicyMethod(learner)),
        random=True,
        options=frozenset({"policy", "samples"}),
        warm_up=partial(warm_up, learner),
        checks=partial(check_options, partial(check_file, learner)),
    )


MTL_A3C = policy_method(
    "mtl-a3c", "trained policy, the paper's network: an independent branch for each block"
)
MARKOV_A3C = policy_method(
    "markov-a3c",
    "trained policy whose branch for each block sees the node of the block before",
    couplings=frozenset({Coupling.CAPACITY, Coupling.MEMORY, Coupling.ENERGY}),
)
SINGLE_TASK_A3C = policy_method("a3c", "trained policy of single-task A3C: the whole placement is one action")
