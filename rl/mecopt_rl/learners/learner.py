"""What a learner is, and how one is found by its name: the seam that `mecopt train` and the methods use.

A new learner is one file with

1. a frozen dataclass of settings that derives from `Settings`; one instance of it for each recipe;
2. a network, a `torch.nn.Module` with the method of `Policy`: what a checkpoint stores and a method runs;
3. a class with the attributes and methods of `Learner` and `Actor`: it acts, and updates its network on a
   `Rollout`;
4. a `LearnerKind` that names them, as an entry point of group ``mecopt.learners``;
5. a `mecopt.Method` that `mecopt_rl.deciding.policy_methods.policy_method` makes, as an entry point of group
   ``mecopt.methods``.

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
  lie in shared memory. A learner without workers says so in its `LearnerKind`.
- Couplings: masks and repairs keep capacity and memory for any learner. One that cannot be trained under
  these, or can under others, says so in its `LearnerKind`.
- Other tasks to learn from than episodes of one shape: a `mecopt_rl.training.curriculum.Curriculum`.
- Workers on other machines (``--engine ray``), optional: what `mecopt_rl.training.parameter_server.Remote`
  asks for. `update` and everything else stay as they are. A learner without it is refused there.

`mecopt_rl.learners.multitask_a3c` reads from top to bottom; docs/own-learner.md has a short one.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mecopt.entities import Coupling
from mecopt.errors import InputError, MecoptError, MissingExtraError
from mecopt_rl.learners.interfaces import (
    Actor,
    Flags,
    Learner,
    Masks,
    Nodes,
    Policy,
    PolicyNetwork,
    Reals,
    Rollout,
    Shape,
)
from mecopt_rl.learners.settings import S, Settings, at_least, changed, one_of

if TYPE_CHECKING:
    from mecopt_rl.training.curriculum import Curriculum

__all__ = [
    "MASKED",
    "Actor",
    "Flags",
    "Learner",
    "LearnerKind",
    "Masks",
    "Nodes",
    "Policy",
    "PolicyNetwork",
    "Reals",
    "Rollout",
    "Settings",
    "Shape",
    "at_least",
    "kind",
    "names",
    "need_torch",
    "one_of",
]

GROUP = "mecopt.learners"
MASKED = frozenset({Coupling.CAPACITY, Coupling.MEMORY})  # kept by masks and repairs, whatever is learnt

H = TypeVar("H")  # what a learner's workers share


@dataclass(frozen=True)
class LearnerKind(Generic[S, H]):
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
    curriculum : callable, optional
        ``curriculum(kind, spec, settings, seed)`` returns what the learner is trained on; by default
        episodes of one shape.
    couplings : frozenset of Coupling
        Those under which it can be trained; an instance or setting with others is refused.
    any_size : bool
        Whether its episodes may differ in their number of servers.
    workers : bool
        Whether several processes can train it.
    most_rounds : int, optional
        Rounds of a training at most; more episodes make longer rounds.
    """

    name: str
    summary: str
    recipes: Mapping[str, S]
    make: Callable[[Shape, S, int, H | None], Learner]
    network: Callable[[Shape, S], PolicyNetwork]
    curriculum: Callable[[LearnerKind[S, H], str, S, int], Curriculum] | None = None
    couplings: frozenset[Coupling] = MASKED
    any_size: bool = False
    workers: bool = True
    most_rounds: int | None = None

    def settings(self, recipe: str | None = None, changes: Mapping[str, object] | None = None) -> S:
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
        return changed(self.recipes[name], changes or {}, self.name)


@cache
def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def names() -> tuple[str, ...]:
    """Return the names of all learners."""
    return tuple(sorted(_entries()))


def kind(name: str) -> LearnerKind[Any, Any]:
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
