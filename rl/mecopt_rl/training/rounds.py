"""Training episodes: what runs between two checkpoints, in one process.

All random numbers of a round come from its own seed, so a run that goes on at a round's start repeats it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mecopt.arrays import Ints
from mecopt.errors import MecoptError
from mecopt_rl.learners.interfaces import Actor, Flags, Learner, Nodes, PolicyNetwork, Reals, Rollout, Shape
from mecopt_rl.learners.learner import LearnerKind
from mecopt_rl.learners.settings import Settings
from mecopt_rl.training.curriculum import Curriculum, Round, Tally
from mecopt_rl.training.fingerprint import fingerprint
from mecopt_rl.training.preconditions import open_episodes
from mecopt_rl.training.seeds import TRAINING
from mecopt_rl.training.validation import Validation
from mecopt_rl.training.validation_bounds import MOST_S, Bounds, Say, optima
from mecopt_rl.world.episodes import Batch, Episodes
from mecopt_rl.world.fleet import Fleet
from mecopt_rl.world.kernel_tables import Outcome, RuleTables
from mecopt_rl.world.masks import needed_masks
from mecopt_rl.world.observation import Encoder

SHOWN = 20  # episodes that a learner sees before its first decision


class Diverged(MecoptError):
    """A training that ended where its numbers are none any longer."""


class Worker:
    """Runs rounds of a learner: every update there is, whatever is learnt from."""

    def __init__(self, curriculum: Curriculum, learner: Learner) -> None:
        self.curriculum, self.learner = curriculum, learner

    def run(self, task: Round) -> Tally:
        """Run a round.

        Raises
        ------
        MecoptError
            If a reward is not a finite number, or beyond single precision.
        """
        tally, sums, updates = Tally(), defaultdict[str, float](float), 0
        for rollout, progress in self.curriculum.rollouts(self.learner, task, tally):
            for name, value in self.learner.update(rollout, progress).items():
                sums[name] += value
            updates += 1
        tally.figures = {name: value / updates for name, value in sums.items()}
        return tally


class OneShape:
    """Episodes of one number of servers and blocks, `Settings.environments` of them side by side.

    Parameters
    ----------
    episodes : Episodes
    encoder : Encoder
    seed : int
        Of the episodes that a learner is shown first.
    """

    def __init__(self, episodes: Episodes, encoder: Encoder, seed: int = 0) -> None:
        self.episodes, self.encoder, self.seed = episodes, encoder, seed

    @classmethod
    def of(cls, kind: LearnerKind[Any, Any], spec: str, settings: Settings, seed: int) -> OneShape:
        """Return the episodes of a spec, as `LearnerKind.curriculum` does.

        Raises
        ------
        InputError
            If the learner cannot take their sizes or couplings.
        """
        episodes = open_episodes(kind, spec)
        return cls(episodes, episodes.encoder(raw=settings.raw_observations), seed)

    def __reduce__(self) -> tuple[Any, ...]:
        # Other machines do not have the file of an instance.
        return _again, (self.episodes.spec or self.episodes.samples, self.encoder, self.seed)

    @property
    def shape(self) -> Shape:
        """See `mecopt_rl.training.curriculum.Curriculum`, as for all that follow."""
        return Shape(self.encoder.size, self.episodes.blocks, self.episodes.servers + 1)

    @property
    def samples(self) -> list[str]:
        """Return the identities of the fixed instances, or of two of the generator."""
        return [instance.sha256 for instance in self.episodes.samples]

    def prepare(self, learner: Learner) -> None:
        """Show the learner some episodes."""
        rng = np.random.default_rng((TRAINING, self.seed))
        learner.prepare(self.episodes.draw(SHOWN, rng, self.encoder).pool.static)

    def judge(self, count: int, bounds: Bounds | None, say: Say | None) -> Validation:
        """Return validation episodes."""
        return Validation(self.episodes, self.encoder, count, bounds=bounds, say=say)

    def seen(self, network: PolicyNetwork) -> dict[str, Any]:
        """Return encoder and fingerprint."""
        return {"encoder": self.encoder.to_json(), "fingerprint": fingerprint(self.episodes)}

    def rollouts(self, learner: Learner, task: Round, tally: Tally) -> Iterator[tuple[Rollout, float]]:
        """Yield whole episodes in pieces of `Settings.steps` steps."""
        numbers = np.random.default_rng(task.seed)
        learner.begin_round(int(numbers.integers(2**62)))
        together = learner.settings.environments
        while tally.episodes < task.episodes:
            count = min(task.episodes - tally.episodes, together)
            batch = self.episodes.draw(count, numbers, self.encoder)
            fleet = Fleet(batch.pool, _lanes(batch, together), self.encoder)
            decisions, before = int(fleet.lengths.sum()), tally.decisions

            def progress(before: int = before, count: int = count, decisions: int = decisions) -> float:
                done = (tally.episodes + count * (tally.decisions - before) / decisions) / task.episodes
                return task.start + (task.end - task.start) * done

            for rollout in _rollouts(fleet, learner, tally, progress):
                yield rollout, progress()
            if not coupled(batch.pool.rule):
                tally.optimum_s += float(optima(batch).sum())
            tally.episodes += count


def _again(source: Any, encoder: Encoder, seed: int) -> OneShape:
    return OneShape(Episodes(source), encoder, seed)


def _lanes(batch: Batch, together: int) -> Ints:
    """Return what runs side by side: episodes; where these are few and uncoupled, pieces of them."""
    rows = batch.rows
    pieces = together // rows.shape[1]
    while len(rows) % pieces:
        pieces -= 1
    if coupled(batch.pool.rule) or pieces == 1 or (rows < 0).any():
        return rows
    return rows.reshape(pieces, -1, rows.shape[1]).swapaxes(0, 1).reshape(len(rows) // pieces, -1)


def _rollouts(
    fleet: Fleet, learner: Learner, tally: Tally, progress: Callable[[], float]
) -> Iterator[Rollout]:
    """Yield one rollout after the other until the episodes are over."""
    if not isinstance(learner, Actor):
        raise MecoptError(f"{type(learner).__name__} has no act, which decides its episodes; expected one")
    masks, recorder, steps = needed_masks(fleet), Recorder(fleet), learner.settings.steps
    observations, live, left = fleet.observe(), ~fleet.ended, fleet.episodes
    while left:
        actions, allowed = learner.act(observations, masks, progress())
        outcome = fleet.decide(actions)
        reward = outcome.reward  # 0 where an episode was over before
        if not (reward > -MOST_S).all():
            raise Diverged("a reward is not a finite number: a task costs more than can be counted")
        following = fleet.observe()
        recorder.add(observations, actions, allowed, outcome, following, live)
        tally.decisions += left
        tally.cost_s -= float(reward.sum())
        tally.repairs += int(outcome.repairs.sum())
        tally.violations += int(outcome.violations.sum())
        observations, live = following, ~fleet.ended
        before, left = left, int(np.count_nonzero(live))
        if len(recorder) == steps or left < before:
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
        actions: Nodes,
        allowed: Flags | None,
        outcome: Outcome,
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


def coupled(rule: RuleTables) -> bool:
    """Say whether limits join the tasks of an episode."""
    return rule.energy or rule.capacity or rule.memory
