"""Training of `mecopt_rl.learners.any_size`: episodes of many sizes in one training.

The folder of a training is that of `mecopt_rl.training.loop`.
"""

from __future__ import annotations

import dataclasses
import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mecopt.entities import Coupling
from mecopt.errors import InputError
from mecopt.generation import Spec, expand
from mecopt.result import gap
from mecopt_rl.learners.any_size import KIND, PARTS, SHAPE, AnySize, StepScorer
from mecopt_rl.learners.learner import Nodes
from mecopt_rl.training.bounds import bounds_of
from mecopt_rl.training.fingerprint import _rules as rules_of
from mecopt_rl.training.loop import Training
from mecopt_rl.training.refusals import check_couplings, those
from mecopt_rl.training.rounds import TRAINING, VALIDATION, Tally
from mecopt_rl.training.training_plan import Plan
from mecopt_rl.training.validation import Judgement, Score
from mecopt_rl.world.episodes import Batch, Episodes
from mecopt_rl.world.fleet import Fleet, Pool
from mecopt_rl.world.observation import Encoder

FIRST = 0.1  # share of the specs, the smallest, that a training begins with
MOST_ROUNDS = 20
VALIDATION_FACTOR = 4  # more episodes than elsewhere, since their sizes differ


class Families:
    """Episodes of several specs, of any sizes; the smallest first.

    Parameters
    ----------
    text : str
        Specs, separated by spaces: ``"paper-near:blocks=3..18 camera-vgg:servers=2..4,..."``.

    Raises
    ------
    InputError
        If one names nothing, or a fixed instance, or instances whose tasks are joined.
    """

    def __init__(self, text: str) -> None:
        for word in text.split():
            if word.endswith((".json", ".json.gz")):
                can = those(lambda other: not other.any_size)
                raise InputError(f"an instance; any-size takes specs of settings, instances: {can}", word)
        specs = [spec for word in text.split() for spec in expand(word)]
        if not specs:
            raise InputError("no spec, expected at least one")
        for spec in specs:
            if spec.seed is not None:
                raise InputError(f"{spec}: a fixed instance, expected specs without a seed")
            on = frozenset(map(Coupling, spec.parameters().limits.couplings))
            check_couplings(KIND, on, str(spec))
        self.specs = sorted(specs, key=_work)
        self.first_of_each = [expand(word)[0] for word in text.split()]
        self._known: dict[str, tuple[Episodes, Encoder]] = {}

    def of(self, spec: Spec) -> tuple[Episodes, Encoder]:
        """Return the episodes of one spec, and an encoder of their shape."""
        if str(spec) not in self._known:
            episodes = Episodes(spec)
            self._known[str(spec)] = episodes, episodes.encoder(PARTS)
        return self._known[str(spec)]

    def draw(self, spec: Spec, count: int, rng: np.random.Generator) -> tuple[Tensor, Batch]:
        """Return the steps of all tasks of `count` episodes, (B, M, J, J) seconds, and the episodes."""
        episodes, encoder = self.of(spec)
        batch = episodes.draw(count, rng, encoder)
        return step_costs(batch.pool, encoder), batch

    def fingerprint(self) -> dict[str, Any]:
        """Return what a policy is trained on: the sizes, and all rules."""
        counts = [(p.servers.servers, p.network.blocks) for p in (s.parameters() for s in self.specs)]
        servers, blocks = zip(*counts, strict=True)
        rules = [rules_of(self.of(spec)[0].samples[0]) for spec in self.first_of_each]
        return {
            "size": "any",
            "servers": [min(servers), max(servers)],
            "blocks": [min(blocks), max(blocks)],
            "rules": [rule for i, rule in enumerate(rules) if rule not in rules[:i]],
        }


def _spread(specs: Sequence[Spec], count: int) -> list[Spec]:
    """Return some specs, spread evenly over all."""
    return [specs[i] for i in np.unique(np.linspace(0, len(specs) - 1, count).round().astype(int))]


def _work(spec: Spec) -> float:
    """Return the number of steps of a chain."""
    p = spec.parameters()
    return float(p.network.blocks * (p.servers.servers + 1) ** 2)


def step_costs(pool: Pool, encoder: Encoder) -> Tensor:
    """Return the seconds of every step of all tasks, (K, M, J, J), inf where there is no link."""
    every = np.arange(len(pool.optimum))[None]
    return torch.from_numpy(Fleet(pool, every, encoder).step_cost())


def cost_of(steps: Tensor, placement: Nodes) -> Tensor:
    """Return the seconds of placements (B, M) whose steps cost (B, M, J, J), (B,)."""
    now = torch.from_numpy(placement)
    before = torch.nn.functional.pad(now[:, :-1], (1, 0))
    rows, blocks = torch.arange(len(now))[:, None], torch.arange(now.shape[1])
    return steps[rows, blocks, before, now].sum(-1)


class Rounds:
    """Runs rounds: episodes of one spec after the other, cut into updates."""

    def __init__(self, families: Families, learner: AnySize, seed: int) -> None:
        self.families, self.learner, self.seed = families, learner, seed

    def run(self, number: int, episodes: int, start: float, end: float) -> Tally:
        """Run round `number`."""
        rng = np.random.default_rng((TRAINING, self.seed, number))
        settings, tally = self.learner.settings, Tally()
        sums, updates = defaultdict[str, float](float), 0
        while tally.episodes < episodes:
            progress = start + (end - start) * tally.episodes / episodes
            count = min(episodes - tally.episodes, settings.environments)
            steps, _ = self.families.draw(self._spec(progress, rng), count, rng)
            for rows in torch.split(torch.from_numpy(rng.permutation(len(steps))), settings.batch):
                for name, value in self.learner.update(steps[rows], progress).items():
                    sums[name] += value
                updates += 1
            tally.decisions += len(steps)
            tally.episodes += count
        tally.figures = {name: value / updates for name, value in sums.items()}
        return tally

    def _spec(self, progress: float, rng: np.random.Generator) -> Spec:
        """Draw a spec; the largest join only in the course of the training."""
        late = self.learner.settings.small_first
        share = min(1.0, FIRST + (1.0 - FIRST) * progress / late) if late else 1.0
        return self.families.specs[int(rng.integers(max(1, round(share * len(self.families.specs)))))]

    def close(self) -> None:
        """Nothing is left to end."""


class SizesValidation:
    """One fixed episode of each of some specs, spread evenly over all sizes.

    Those that have no feasible placement are left out.

    Raises
    ------
    InputError
        If none has one, or one costs nothing at all.
    """

    def __init__(self, families: Families, count: int, seed: int = VALIDATION) -> None:
        rng = np.random.default_rng((seed, count))
        self.drawn = []
        for spec in _spread(families.specs, count):
            steps, batch = families.draw(spec, 1, rng)
            bounds = bounds_of(batch)
            if bounds.possible:
                bounds.check(str(spec))
                encoder = families.of(spec)[1]
                self.drawn.append((steps, batch, encoder, bounds.sum()))
        if not self.drawn:
            bounds.check(str(spec))

    def judge(self, policy: StepScorer) -> Judgement:
        """Return the mean gap of all episodes: all sizes count alike."""
        score, shares, gaps = Score(), [], []
        for steps, batch, encoder, least in self.drawn:
            placement = policy.decide(steps, None, None)[0]
            every = Fleet(batch.pool, np.arange(len(placement))[None], encoder)
            one = Score()
            one.add(every.decide(placement), batch.pool.rule)
            gaps.append(None if one.violations else gap(one.objective, least))
            counts = np.unique(placement, axis=0, return_counts=True)[1]
            shares.append(counts.max() / counts.sum())
            score.join(one)
        kept = [value for value in gaps if value is not None]
        mean = float(np.mean(kept)) if len(kept) == len(gaps) else None
        tasks = sum(len(steps) for steps, *_ in self.drawn)
        return Judgement(
            mean, score.reward / len(gaps), score.repairs, float(np.mean(shares)), score.violations,
            score.violating_tasks, tasks, tasks,
        )  # fmt: skip


class SizesTraining(Training):
    """As `mecopt_rl.training.loop.Training`, for a set of specs; always in this process.

    Parameters
    ----------
    plan : Plan
        Its `spec` are specs, separated by spaces.
    folder, address, report, note
        As of `Training`.
    """

    def __init__(self, plan: Plan, folder: str | os.PathLike[str], **options: Any) -> None:
        if plan.workers > 1 or plan.engine != "local":
            asked = f"--workers {plan.workers}" if plan.workers > 1 else f"--engine {plan.engine}"
            raise InputError(f"{asked}: {plan.learner} trains in one process, on this machine")
        length = max(plan.round_episodes, -(-plan.episodes // MOST_ROUNDS))  # its episodes are short
        super().__init__(dataclasses.replace(plan, round_episodes=length), folder, **options)

    def _make(self) -> None:
        """Make the specs and the learner."""
        self.families = Families(self.plan.spec)
        self.shape = SHAPE
        self.learner: Any = self.kind.make(SHAPE, self.settings, self.plan.seed, None)

    def _samples(self) -> list[str]:
        """Return what tells whether the episodes are still the same: identities of instances."""
        firsts = (self.families.of(spec)[0] for spec in self.families.first_of_each)
        return [instance.sha256 for episodes in firsts for instance in episodes.samples]

    def _prepare(self) -> None:
        """Nothing is scaled by a sample of episodes."""

    def _parts(self) -> tuple[Any, Any]:
        validation = SizesValidation(self.families, VALIDATION_FACTOR * self.plan.validation_episodes)
        return validation, Rounds(self.families, self.learner, self.plan.seed)

    def _seen(self) -> dict[str, Any]:
        return {"encoder": None, "fingerprint": self.families.fingerprint()}
