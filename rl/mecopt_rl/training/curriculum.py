"""What a learner is trained on: tasks to learn from, episodes to be judged on, what its card says of them.

There are three: episodes of one shape (`mecopt_rl.training.rounds.OneShape`), of many sizes
(`mecopt_rl.training.any_size_curriculum`), and single tasks at prices (`mecopt_rl.training.priced_training`).
`mecopt_rl.training.loop` trains on any of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from mecopt.result import gap
from mecopt_rl.learners.interfaces import Learner, PolicyNetwork, Rollout, Shape
from mecopt_rl.training.validation_bounds import Bounds, Say


@dataclass(frozen=True)
class Round:
    """What one worker does between two checkpoints."""

    seed: tuple[int, ...]
    episodes: int
    start: float  # progress, 0 to 1, at the first decision
    end: float


@dataclass
class Tally:
    """Sums over the decisions of a round, made while learning."""

    decisions: int = 0
    episodes: int = 0
    cost_s: float = 0.0
    optimum_s: float = 0.0  # 0 where couplings join the tasks: it is not known
    repairs: int = 0
    figures: dict[str, float] | None = None  # means of what the updates gave
    violations: int = 0

    @property
    def gap(self) -> float | None:
        """Gap of the decisions to the optimum; None where it is not known, or a limit was broken."""
        return gap(self.cost_s, self.optimum_s) if self.optimum_s > 0 and not self.violations else None

    def add(self, other: Tally) -> None:
        """Add what another worker did."""
        mine, theirs = self.figures or {}, other.figures or {}
        share = other.decisions / max(self.decisions + other.decisions, 1)
        self.figures = {
            key: (1 - share) * mine.get(key, value) + share * value for key, value in theirs.items()
        }
        for name in ("decisions", "episodes", "cost_s", "optimum_s", "repairs", "violations"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True)
class Judgement:
    """What a policy is worth on validation episodes."""

    gap: float | None  # ratio of sums above the bound of the optimum, a fraction; None: it violates a limit
    reward: float  # mean over episodes
    repairs: int
    share: float  # of the decisions that took the most frequent placement
    violations: int = 0  # limits broken, as the judge counts them
    violating_tasks: int = 0  # tasks that miss a deadline, or with which a limit was first broken
    tasks: int = 0  # that were decided
    different: int = 0  # tasks, where a fixed instance is several episodes


class Judge(Protocol):
    """Validation episodes, those without a feasible placement left out."""

    @property
    def bounds(self) -> Bounds | None:
        """What a checkpoint keeps of their bounds; None where they are worked out anew."""
        ...

    def judge(self, policy: PolicyNetwork) -> Judgement:
        """Run a policy on all of them."""
        ...


class Curriculum(Protocol):
    """What a learner is trained on; it can be pickled, since every worker has its own."""

    @property
    def shape(self) -> Shape:
        """What the policy sees and decides."""
        ...

    @property
    def samples(self) -> list[str]:
        """Identities of instances; a training goes on only where they are still the same."""
        ...

    def prepare(self, learner: Learner) -> None:
        """Show the learner observations of some episodes, before the first round of a training."""
        ...

    def rollouts(self, learner: Learner, task: Round, tally: Tally) -> Iterator[tuple[Rollout, float]]:
        """Yield what the learner is to learn from in a round, and the progress (0 to 1) at that moment.

        Calls `Learner.begin_round` and, where placements are tried, `Actor.act`; adds to the tally all but
        the figures.

        Raises
        ------
        MecoptError
            If a reward is not a finite number, or beyond single precision.
        """
        ...

    def judge(self, count: int, bounds: Bounds | None, say: Say | None) -> Judge:
        """Return `count` validation episodes; their bounds, where they are known already.

        Raises
        ------
        InputError
            If no episode has a feasible placement, or all together cost nothing.
        """
        ...

    def seen(self, network: PolicyNetwork) -> dict[str, Any]:
        """Return what the network sees and was trained on: ``encoder``, ``fingerprint``, maybe more."""
        ...
