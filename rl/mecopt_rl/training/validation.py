"""Validation episodes: what a policy violates, and what it costs above the least possible.

Policies are ranked by their violations first: one that breaks limits may well cost less than any that keeps
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mecopt.result import gap
from mecopt_rl.learners.interfaces import PolicyNetwork
from mecopt_rl.training.curriculum import Judgement
from mecopt_rl.training.seeds import VALIDATION
from mecopt_rl.training.validation_bounds import Bounds, Say, bounds_of
from mecopt_rl.world.episodes import Episodes
from mecopt_rl.world.fleet import Fleet
from mecopt_rl.world.kernel_tables import Outcome, RuleTables
from mecopt_rl.world.masks import needed_masks
from mecopt_rl.world.observation import Encoder

COLLAPSED_SHARE, COLLAPSED_ENTROPY, COLLAPSED_GAP = 0.99, 0.05, 0.01
MANY = 100  # tasks, of which a share of 0.99 is not all by chance


def rank(judged: Judgement | Mapping[str, Any]) -> tuple[int, float]:
    """Return what the best policy has least of: violations first, then the gap.

    Policies that violate have no gap. Of those with as many violations the one of higher reward is better.
    """
    row = judged if isinstance(judged, Mapping) else vars(judged)
    return row["violations"], -row["reward"] if row["gap"] is None else row["gap"]


def collapsed(judged: Judgement, entropy: float | None) -> bool:
    """Say whether a policy is far off, but no longer explores.

    Without an entropy: whether it gives nearly all of many tasks one placement.
    """
    far = judged.gap is None or judged.gap > COLLAPSED_GAP
    if entropy is not None:
        return far and entropy < COLLAPSED_ENTROPY
    return far and judged.share >= COLLAPSED_SHARE and judged.different >= MANY


def worth(row: Mapping[str, Any]) -> str:
    """Say in words what a policy is worth: its gap, or what it violates."""
    if row["gap"] is not None:
        return f"gap {row['gap']:.3%}"
    return f"violates {row['violating_tasks']:,} of {row['tasks']:,} tasks"


class Validation:
    """Fixed episodes on seeds of their own, run by the likeliest actions.

    Those that have no feasible placement are left out.

    Parameters
    ----------
    episodes : Episodes
    encoder : Encoder
    count : int
        Number of episodes.
    seed : int
    bounds : Bounds, optional
        Of these very episodes, where they are known already.
    say : callable, optional
        Called with a line before and after bounds that may take long.

    Raises
    ------
    InputError
        If no episode has a feasible placement, or all together cost nothing.
    """

    def __init__(
        self,
        episodes: Episodes,
        encoder: Encoder,
        count: int,
        seed: int = VALIDATION,
        *,
        bounds: Bounds | None = None,
        say: Say | None = None,
    ) -> None:
        self.encoder = encoder
        self.batch = episodes.draw(count, np.random.default_rng((seed, count)), encoder)
        self.bounds: Bounds = bounds_of(self.batch, say) if bounds is None else bounds
        self.bounds.check(episodes.name)
        self.rows = self.batch.rows[:, self.bounds.possible]
        self.different = int(np.unique(self.rows[self.rows >= 0]).size)

    def judge(self, policy: PolicyNetwork) -> Judgement:
        """Run a policy on all episodes."""
        fleet = Fleet(self.batch.pool, self.rows, self.encoder)
        masks, score, placements = needed_masks(fleet), Score(), []
        while not fleet.ended.all():
            live = ~fleet.ended
            actions, _ = policy.decide(torch.from_numpy(fleet.observe()), masks, None)
            score.add(fleet.decide(actions), self.batch.pool.rule)
            placements.append(actions[live])
        _, counts = np.unique(np.concatenate(placements), axis=0, return_counts=True)
        found = gap(score.objective, self.bounds.sum()) if not score.violations else None
        tasks = int(fleet.lengths.sum())
        return Judgement(
            found, score.reward / fleet.episodes, score.repairs, float(counts.max() / counts.sum()),
            score.violations, score.violating_tasks, tasks, self.different,
        )  # fmt: skip


@dataclass
class Score:
    """Sums over what was decided; decisions of no task add nothing."""

    objective: float = 0.0  # seconds, as the judge counts it where nothing is violated
    reward: float = 0.0
    repairs: int = 0
    violations: int = 0
    violating_tasks: int = 0

    def add(self, outcome: Outcome, rule: RuleTables) -> None:
        """Add one task of each episode."""
        reward = float(outcome.reward.sum())
        self.reward += reward
        # Hard deadlines take a penalty off the reward that is no part of the objective.
        self.objective += float((outcome.local_s + outcome.edge_s).sum()) if rule.hard else -reward
        self.repairs += int(outcome.repairs.sum())
        self.violations += int(outcome.violations.sum())
        self.violating_tasks += int(np.count_nonzero(outcome.violations))

    def join(self, other: Score) -> None:
        """Add what another one holds."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)
