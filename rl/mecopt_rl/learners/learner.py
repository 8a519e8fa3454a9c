"""What a learner is, and how one is found by its name: the seam that `mecopt train` and the methods use.

A new learner is one file with

1. a frozen dataclass of settings that derives from `Settings`; one instance of it for each recipe;
2. a network, a `torch.nn.Module` with the method of `Policy`: what a checkpoint stores and a method runs;
3. a class with the attributes and methods of `Learner`: it acts, and updates its network on a `Rollout`;
4. a `LearnerKind` that names them, as an entry point of group ``mecopt.learners``.

`mecopt_rl.training.loop` does everything else: environments, validation episodes with their gap, logs,
checkpoints, going on after a kill, the detection of a collapse, and worker processes. What it asks of a
learner:

- `prepare` is called once, with observations of some episodes, for instance to scale by.
- `act` is called with the observations of E environments, then the environments step; after
  ``settings.steps`` steps (fewer at the end of a round) `update` gets the `Rollout`.
- Training is cut into rounds, whole episodes each. `begin_round` gives the seed from which all random numbers
  of the round must come, so that a run that was killed and goes on at a round's start repeats the same bits.
- `state` is everything else that must survive: tensors by name (weights, statistics, memories).
- Several workers: each process makes its own learner with ``shared=learner.shared()``, objects whose tensors
  lie in shared memory. A learner without workers raises InputError there.
- Couplings: masks and repairs keep capacity and memory for any learner. One that cannot be trained under
  these, or can under others, says so in its `LearnerKind`.
- Workers on other machines (``--engine ray``), optional: an attribute `all`, what workers share, with its
  `optimiser`, ``tensors()`` by name, and ``counters()``, tensors that are only added to; ``remote(server)``
  returns the same for a worker, its optimiser a `parameter_server.Pushing`; ``count(more)`` adds
  to the counters. `update` and everything else stay as they are. A learner without `remote` is refused there.

`mecopt_rl.learners.multitask_a3c` is the example to follow.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mecopt.entities import Coupling
from mecopt.errors import InputError, MecoptError, MissingExtraError

if TYPE_CHECKING:
    import torch

GROUP = "mecopt.learners"
MASKED = frozenset({Coupling.CAPACITY, Coupling.MEMORY})  # kept by masks and repairs, whatever is learnt

Reals = NDArray[np.float32]
Nodes = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Shape:
    """What a policy sees and decides."""

    observation: int  # D, numbers of an observation
    blocks: int  # M
    nodes: int  # N + 1


@dataclass(frozen=True)
class Settings:
    """Settings that every learner has; those of a learner derive from it and add their own."""

    environments: int = (
        60  # E, episodes (or pieces of them, where nothing couples) side by side in one worker
    )
    steps: int = 1  # decisions of an environment between two updates, t_max
    raw_observations: bool = False  # leave the observations in their units

    def __post_init__(self) -> None:
        at_least(self, 1, "environments", "steps")


def at_least(settings: Settings, least: float, *names: str) -> None:
    """Refuse settings that are too small.

    Raises
    ------
    InputError
    """
    for name in names:
        if getattr(settings, name) < least:
            raise InputError(f"{name}: {getattr(settings, name)}, expected at least {least}")


def one_of(settings: Settings, **choices: tuple[str, ...]) -> None:
    """Refuse settings that are none of the words that they may be.

    Raises
    ------
    InputError
    """
    for name, words in choices.items():
        if getattr(settings, name) not in words:
            raise InputError(f"{name}: {getattr(settings, name)!r}, expected {' or '.join(words)}")


@dataclass(frozen=True, eq=False)
class Rollout:
    """T steps of E environments; M blocks, J = N + 1 nodes, D numbers of an observation."""

    observations: Reals  # (T, E, D)
    actions: Nodes  # (T, E, M)
    rewards: Reals  # (T, E) Eq. 14, seconds with the sign turned
    block_costs: Reals  # (T, E, M) seconds, what each block adds to -reward
    next_observations: Reals  # (T, E, D) where an episode was cut off, its last observation
    terminated: Flags  # (T, E) nothing follows
    truncated: Flags  # (T, E) the episode was cut off here, so its value goes on
    masks: Flags | None = None  # (T, E, M, J) what each block was chosen from; None: from all nodes


class Masks(Protocol):
    """What may be chosen now in E episodes; `mecopt_rl.world.fleet.Fleet` is one."""

    def branch_masks(self) -> Flags:
        """Return the nodes that each block may use at all, (E, M, J)."""
        ...

    def block_mask(self, m: int, chosen: Nodes) -> Flags:
        """Return the nodes that block m may use after the blocks in `chosen` (E, m or more), (E, J)."""
        ...


class Policy(Protocol):
    """A network that decides."""

    def decide(
        self, observations: torch.Tensor, masks: Masks | None, noise: torch.Generator | None
    ) -> tuple[Nodes, Flags | None]:
        """Choose nodes for observations (E, D): the likeliest without noise, else sampled.

        Returns
        -------
        actions : array of shape (E, M)
        masks : array of shape (E, M, J), or None
            What each block was chosen from.
        """
        ...


class Learner(Protocol):
    """A learner at work; `network` is a `torch.nn.Module` and a `Policy`."""

    settings: Any
    network: Any

    def prepare(self, observations: Reals) -> None:
        """See observations (B, D) of some episodes before the first decision; only once in a training."""
        ...

    def begin_round(self, seed: int) -> None:
        """Take all random numbers from this seed from now on."""
        ...

    def act(self, observations: Reals, masks: Masks | None, progress: float) -> tuple[Nodes, Flags | None]:
        """Choose nodes while learning, as `Policy.decide` does; `progress` runs from 0 to 1."""
        ...

    def update(self, rollout: Rollout, progress: float) -> dict[str, float]:
        """Learn from a rollout; returns figures for the logs, "entropy" among them where there is one."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """Return everything that going on later needs."""
        ...

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take what `state` gave."""
        ...

    def shared(self) -> Any:
        """Move what workers share to shared memory, and return it for `LearnerKind.make` in each."""
        ...


@dataclass(frozen=True)
class LearnerKind:
    """A learner that can be chosen by name.

    Parameters
    ----------
    name : str
    summary : str
        One line.
    recipes : mapping of str to Settings
        Settings by the recipe's name; the first is the default.
    make : callable
        ``make(shape, settings, seed, shared)`` returns a `Learner`; `shared` is None outside of workers.
    network : callable
        ``network(shape, settings)`` returns the untrained network, for weights to be loaded into.
    training : callable, optional
        Stands in for `mecopt_rl.training.loop.Training` where episodes of one shape are not enough.
    couplings : frozenset of Coupling
        Those under which it can be trained; an instance or setting with others is refused.
    any_size : bool
        Whether its episodes may differ in their number of servers.
    """

    name: str
    summary: str
    recipes: Mapping[str, Settings]
    make: Callable[[Shape, Any, int, Any], Learner]
    network: Callable[[Shape, Any], Any]
    training: Callable[..., Any] | None = None
    couplings: frozenset[Coupling] = MASKED
    any_size: bool = False

    def settings(self, recipe: str | None = None, changes: Mapping[str, Any] | None = None) -> Any:
        """Return the settings of a recipe, some changed; texts are read as what the setting is.

        Raises
        ------
        InputError
            If there is no such recipe or setting, or a value is of another type.
        """
        name = next(iter(self.recipes)) if recipe is None else recipe
        if name not in self.recipes:
            known = ", ".join(self.recipes)
            raise InputError(f"--recipe {name}: {self.name} has no such recipe, expected one of {known}")
        base = self.recipes[name]
        known_fields = {field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
        given = {}
        for key, value in (changes or {}).items():
            if key not in known_fields:
                near = difflib.get_close_matches(key, known_fields, n=3)
                hint = (
                    f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known_fields)}"
                )
                raise InputError(f"--set {key}: {self.name} has no such setting; {hint}")
            given[key] = _typed(key, value, known_fields[key])
        return dataclasses.replace(base, **given)


def _typed(key: str, value: Any, example: Any) -> Any:
    """Read a setting's value as the type of its default."""
    kind = type(example)
    if isinstance(value, str) and kind is not str:
        with contextlib.suppress(ValueError):
            value = float(value) if kind is float else json.loads(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(f"--set {key}={value}: expected a {_PLAIN[kind]}, such as {json.dumps(example)}")
    if isinstance(value, float) and not np.isfinite(value):
        raise InputError(f"--set {key}={value}: expected a finite number")
    return value


_PLAIN = {bool: "true or false", int: "whole number", float: "number", str: "text"}


@cache
def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def names() -> tuple[str, ...]:
    """Return the names of all learners."""
    return tuple(sorted(_entries()))


def kind(name: str) -> LearnerKind:
    """Return the learner of that name.

    Raises
    ------
    InputError
        If there is none.
    MissingExtraError
        If PyTorch is not installed.
    MecoptError
        If the package that offers it cannot be imported, or offers something else.
    """
    entry = _entries().get(name)
    if entry is None:
        near = difflib.get_close_matches(name, _entries(), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names())}"
        raise InputError(f"no learner {name!r}; {hint}")
    need_torch(f"learner {name}")
    try:
        found = entry.load()
    except Exception as error:  # the code of a third party may raise anything
        raise MecoptError(f"learner {name!r} ({entry.value}) cannot be loaded: {error}") from error
    if not isinstance(found, LearnerKind):
        raise MecoptError(
            f"learner {name!r} ({entry.value}) is a {type(found).__name__}, expected a LearnerKind"
        )
    return found


def need_torch(what: str) -> None:
    """Say how to install what learners need, where it is missing.

    Raises
    ------
    MissingExtraError
    """
    if any(find_spec(name) is None for name in ("gymnasium", "safetensors", "torch")):
        raise MissingExtraError(what, "rl")
