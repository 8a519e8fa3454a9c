"""Training episodes: what runs between two checkpoints, in one process.

All random numbers of a round come from its own seed, so a run that goes on at a round's start repeats it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mecopt.arrays import Ints
from mecopt.errors import MecoptError
from mecopt.result import gap
from mecopt_rl.learners.learner import Flags, Learner, Reals, Rollout
from mecopt_rl.training.bounds import MOST_S, optima
from mecopt_rl.world.episodes import Batch, Episodes
from mecopt_rl.world.fleet import Fleet
from mecopt_rl.world.kernel_tables import Rule
from mecopt_rl.world.masks import needed_masks
from mecopt_rl.world.observation import Encoder

# First number of the seeds of each purpose: training, validation and tests never share one.
TRAINING, VALIDATION, TEST = 1, 2, 3


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


class Worker:
    """Runs rounds of a learner on fresh episodes."""

    def __init__(self, episodes: Episodes, encoder: Encoder, learner: Learner) -> None:
        self.episodes, self.encoder, self.learner = episodes, encoder, learner

    def run(self, task: Round) -> Tally:
        """Run a round: whole episodes, `settings.environments` side by side.

        Raises
        ------
        MecoptError
            If a reward is not a finite number, or beyond single precision.
        """
        numbers = np.random.default_rng(task.seed)
        self.learner.begin_round(int(numbers.integers(2**62)))
        tally, sums, updates = Tally(), defaultdict[str, float](float), 0
        while tally.episodes < task.episodes:
            batch = self._draw(task.episodes - tally.episodes, numbers)
            fleet = Fleet(batch.pool, self._lanes(batch), self.encoder)
            decisions, before = int(fleet.lengths.sum()), tally.decisions

            def progress(
                before: int = before, count: int = batch.rows.shape[1], decisions: int = decisions
            ) -> float:
                done = (tally.episodes + count * (tally.decisions - before) / decisions) / task.episodes
                return task.start + (task.end - task.start) * done

            for part in self._rollouts(fleet, tally, progress):
                for name, value in self.learner.update(part, progress()).items():
                    sums[name] += value
                updates += 1
            if not coupled(batch.pool.rule):
                tally.optimum_s += float(optima(batch).sum())
            tally.episodes += batch.rows.shape[1]
        tally.figures = {name: value / updates for name, value in sums.items()}
        return tally

    def _draw(self, left: int, numbers: np.random.Generator) -> Batch:
        return self.episodes.draw(min(left, self.learner.settings.environments), numbers, self.encoder)

    def _lanes(self, batch: Batch) -> Ints:
        """Return what runs side by side: episodes; where these are few and uncoupled, pieces of them."""
        rows = batch.rows
        pieces = self.learner.settings.environments // rows.shape[1]
        while len(rows) % pieces:
            pieces -= 1
        if coupled(batch.pool.rule) or pieces == 1 or (rows < 0).any():
            return rows
        return rows.reshape(pieces, -1, rows.shape[1]).swapaxes(0, 1).reshape(len(rows) // pieces, -1)

    def _rollouts(self, fleet: Fleet, tally: Tally, progress: Callable[[], float]) -> Iterator[Rollout]:
        """Yield one rollout after the other until the episodes are over."""
        recorder, masks = Recorder(fleet), needed_masks(fleet)
        observations, live, left = fleet.observe(), ~fleet.ended, fleet.episodes
        while left:
            actions, allowed = self.learner.act(observations, masks, progress())
            outcome = fleet.decide(actions)
            reward = outcome.reward  # 0 where an episode was over before
            if not (reward > -MOST_S).all():
                raise MecoptError("a reward is not a finite number: a task costs more than can be counted")
            following = fleet.observe()
            recorder.add(observations, actions, allowed, outcome, following, live)
            tally.decisions += left
            tally.cost_s -= float(reward.sum())
            tally.repairs += int(outcome.repairs.sum())
            tally.violations += int(outcome.violations.sum())
            observations, live = following, ~fleet.ended
            before, left = left, int(np.count_nonzero(live))
            if len(recorder) == self.learner.settings.steps or left < before:
                yield recorder.rollout()


class Recorder:
    """Collects steps into rollouts.

    An episode that nothing couples is cut off at its end rather than over: the slot that follows is like any
    other, and the first one of the episode stands in for it. With couplings nothing follows.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.goes_on = not coupled(fleet.pool.rule)
        self.first = fleet.observe()
        self.steps: list[tuple[Any, ...]] = []

    def __len__(self) -> int:
        return len(self.steps)

    def add(
        self,
        observations: Reals,
        actions: Any,
        allowed: Flags | None,
        outcome: Any,
        following: Reals,
        live: Flags,
    ) -> None:
        """Keep one step of the episodes that were not over before it (`live`)."""
        ended = self.fleet.ended
        if self.goes_on and ended.any():
            following = np.where(ended[:, None], self.first, following)
        costs = outcome.block_cost.astype(np.float32)
        over, cut = ended & (not self.goes_on), ended & self.goes_on
        rewards = outcome.reward.astype(np.float32)
        self.steps.append((observations, actions, rewards, costs, following, over, cut, allowed, live))

    def rollout(self) -> Rollout:
        """Return the steps so far, and begin anew."""
        columns = list(zip(*self.steps, strict=True))
        self.steps.clear()
        live = columns.pop()[0]  # the same in all steps: a rollout stops where an episode does
        fields: list[Any] = [None if part[0] is None else np.stack(part) for part in columns]
        if not live.all():
            fields = [None if field is None else field[:, live] for field in fields]
        return Rollout(*fields)


def coupled(rule: Rule) -> bool:
    """Say whether limits join the tasks of an episode."""
    return rule.energy or rule.capacity or rule.memory
