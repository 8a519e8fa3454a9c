"""What is trained, and the command that trains it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any

from mecopt.errors import InputError
from mecopt.ray_cluster import check_engine
from mecopt.scalars import whole


@dataclass(frozen=True)
class TrainingPlan:
    """What is trained: with the seed this says everything (`learners.learner` explains the parts)."""

    spec: str  # of the episodes: a generator's text, or the file of an instance
    learner: str
    recipe: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)  # settings that differ from the recipe's
    episodes: int = 400  # in all, the workers' together
    workers: int = 1
    seed: int = 0
    round_episodes: int = 20  # between two validations
    validation_episodes: int = 20
    start: str | None = None  # the policy that it begins with, a file; None: weights drawn anew
    engine: str = "local"  # where the workers are: "local", processes on this machine; "ray", a Ray cluster

    def __post_init__(self) -> None:
        for name, least in (
            ("episodes", 1), ("workers", 1), ("seed", 0), ("round_episodes", 1), ("validation_episodes", 1),
        ):  # fmt: skip
            object.__setattr__(self, name, whole(name, getattr(self, name), least))
        each = min(self.episodes, self.round_episodes)
        if self.workers > each:
            text = f"workers: {self.workers}, expected at most {each}: as many episodes are run between"
            raise InputError(f"{text} two validations, and each worker needs one")
        check_engine(self.engine, None)

    @property
    def command(self) -> str:
        """The command line that trains such a policy; the same one only if one worker does."""
        words = ["mecopt", "train", self.spec, "--learner", self.learner, "--episodes", str(self.episodes)]
        words += ["--workers", str(self.workers), "--seed", str(self.seed)]
        words += [] if self.engine == "local" else ["--engine", self.engine]
        words += [] if self.start is None else ["--from", self.start]
        words += [] if self.recipe is None else ["--recipe", self.recipe]
        for name, value in self.changes.items():
            words += ["--set", f"{name}={value}"]
        return shlex.join(words)
