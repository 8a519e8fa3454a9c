"""Episodes of many sizes in one training, the smallest first; a task is seen as the seconds of its steps.

The curriculum of `mecopt_rl.learners.any_size`. As every step's cost is known, no placement is tried: a
rollout is some tasks, `Rollout.untried`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from mecopt.arrays import Floats
from mecopt.entities import Coupling
from mecopt.errors import InputError
from mecopt.generation import Spec, expand
from mecopt.result import gap
from mecopt_rl.learners.interfaces import Learner, PolicyNetwork, Rollout, Shape
from mecopt_rl.learners.learner import LearnerKind
from mecopt_rl.training.curriculum import Judgement, Round, Tally
from mecopt_rl.training.fingerprint import rules_of
from mecopt_rl.training.preconditions import check_couplings, those
from mecopt_rl.training.seeds import VALIDATION
from mecopt_rl.training.validation import Score
from mecopt_rl.training.validation_bounds import Bounds, Say, bounds_of
from mecopt_rl.world.episodes import Batch, Episodes
from mecopt_rl.world.fleet import Fleet, TaskPool
from mecopt_rl.world.observation import Encoder

ANY = 0  # stands in a shape where every size will do
SHAPE = Shape(observation=ANY, blocks=ANY, nodes=ANY)
PARTS = ("batch",)  # of an encoder that nobody looks at: the network sees the costs of steps
FIRST = 0.1  # share of the specs, the smallest, that a training begins with
VALIDATION_FACTOR = 4  # more episodes than elsewhere, since their sizes differ


class SizesSettings(Protocol):
    """What the curriculum asks of a learner's settings."""

    @property
    def environments(self) -> int:
        """Episodes of one size that are drawn at a time."""
        ...

    @property
    def batch(self) -> int:
        """Tasks of an update."""
        ...

    @property
    def small_first(self) -> float:
        """Share of the training after which the largest sizes are drawn too."""
        ...


class Families:
    """Episodes of several specs, of any sizes; the smallest first.

    Parameters
    ----------
    kind : LearnerKind
        Whose couplings they may have.
    text : str
        Specs, separated by spaces: ``"paper-near:blocks=3..18 camera-vgg:servers=2..4,..."``.

    Raises
    ------
    InputError
        If one names nothing, or a fixed instance, or instances whose tasks are joined.
    """

    def __init__(self, kind: LearnerKind[Any, Any], text: str) -> None:
        for word in text.split():
            if word.endswith((".json", ".json.gz")):
                can = those(lambda other: not other.any_size)
                raise InputError(f"an instance; {kind.name} takes specs of settings, instances: {can}", word)
        specs = [spec for word in text.split() for spec in expand(word)]
        if not specs:
            raise InputError("no spec, expected at least one")
        for spec in specs:
            if spec.seed is not None:
                raise InputError(f"{spec}: a fixed instance, expected specs without a seed")
            on = frozenset(map(Coupling, spec.parameters().limits.couplings))
            check_couplings(kind, on, str(spec))
        self.specs = sorted(specs, key=_work)
        self.first_of_each = [expand(word)[0] for word in text.split()]
        self._known: dict[str, tuple[Episodes, Encoder]] = {}

    def of(self, spec: Spec) -> tuple[Episodes, Encoder]:
        """Return the episodes of one spec, and an encoder of their shape."""
        if str(spec) not in self._known:
            episodes = Episodes(spec)
            self._known[str(spec)] = episodes, episodes.encoder(PARTS)
        return self._known[str(spec)]

    def draw(self, spec: Spec, count: int, rng: np.random.Generator) -> tuple[Floats, Batch]:
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


def step_costs(pool: TaskPool, encoder: Encoder) -> Floats:
    """Return the seconds of every step of all tasks, (K, M, J, J), inf where there is no link."""
    every = np.arange(len(pool.optimum))[None]
    return Fleet(pool, every, encoder).step_cost()


class Sizes:
    """Rounds of episodes of one spec after the other, cut into updates; a `Curriculum`.

    Parameters
    ----------
    families : Families
    settings : SizesSettings
    """

    shape = SHAPE

    def __init__(self, families: Families, settings: SizesSettings) -> None:
        self.families, self.settings = families, settings

    @property
    def samples(self) -> list[str]:
        """See `mecopt_rl.training.curriculum.Curriculum`, as for all that follow."""
        firsts = (self.families.of(spec)[0] for spec in self.families.first_of_each)
        return [instance.sha256 for episodes in firsts for instance in episodes.samples]

    def prepare(self, learner: Learner) -> None:
        """Nothing is scaled by a sample of episodes."""

    def judge(self, count: int, bounds: Bounds | None, say: Say | None) -> SizesValidation:
        """Return validation episodes."""
        return SizesValidation(self.families, VALIDATION_FACTOR * count)

    def seen(self, network: PolicyNetwork) -> dict[str, Any]:
        """Return the sizes and rules; there is no encoder."""
        return {"encoder": None, "fingerprint": self.families.fingerprint()}

    def rollouts(self, learner: Learner, task: Round, tally: Tally) -> Iterator[tuple[Rollout, float]]:
        """Yield tasks, their steps as what is seen of them, `batch` at a time."""
        rng = np.random.default_rng(task.seed[:-1])  # without the worker's number: there is one
        while tally.episodes < task.episodes:
            progress = task.start + (task.end - task.start) * tally.episodes / task.episodes
            count = min(task.episodes - tally.episodes, self.settings.environments)
            steps, _ = self.families.draw(self._spec(progress, rng), count, rng)
            order = rng.permutation(len(steps))
            for at in range(0, len(order), self.settings.batch):
                yield Rollout.untried(steps[order[at : at + self.settings.batch]]), progress
            tally.decisions += len(steps)
            tally.episodes += count

    def _spec(self, progress: float, rng: np.random.Generator) -> Spec:
        """Draw a spec; the largest join only in the course of the training."""
        late = self.settings.small_first
        share = min(1.0, FIRST + (1.0 - FIRST) * progress / late) if late else 1.0
        return self.families.specs[int(rng.integers(max(1, round(share * len(self.families.specs)))))]


@dataclass(frozen=True, eq=False)
class Drawn:
    """One validation episode."""

    steps: Floats  # (B, M, J, J) seconds
    batch: Batch
    encoder: Encoder
    least: float  # seconds, the optimum


class SizesValidation:
    """One fixed episode of each of some specs, spread evenly over all sizes.

    Those that have no feasible placement are left out.

    Raises
    ------
    InputError
        If none has one, or one costs nothing at all.
    """

    bounds = None  # they take no time

    def __init__(self, families: Families, count: int, seed: int = VALIDATION) -> None:
        rng = np.random.default_rng((seed, count))
        self.drawn: list[Drawn] = []
        for spec in _spread(families.specs, count):
            steps, batch = families.draw(spec, 1, rng)
            bounds = bounds_of(batch)
            if bounds.possible:
                bounds.check(str(spec))
                encoder = families.of(spec)[1]
                self.drawn.append(Drawn(steps, batch, encoder, bounds.sum()))
        if not self.drawn:
            bounds.check(str(spec))

    def judge(self, policy: PolicyNetwork) -> Judgement:
        """Return the mean gap of all episodes: all sizes count alike."""
        score, shares, gaps = Score(), [], []
        for drawn in self.drawn:
            placement = policy.decide(torch.from_numpy(drawn.steps), None, None)[0]
            every = Fleet(drawn.batch.pool, np.arange(len(placement))[None], drawn.encoder)
            one = Score()
            one.add(every.decide(placement), drawn.batch.pool.rule)
            gaps.append(None if one.violations else gap(one.objective, drawn.least))
            counts = np.unique(placement, axis=0, return_counts=True)[1]
            shares.append(counts.max() / counts.sum())
            score.join(one)
        kept = [value for value in gaps if value is not None]
        mean = float(np.mean(kept)) if len(kept) == len(gaps) else None
        tasks = sum(len(drawn.steps) for drawn in self.drawn)
        return Judgement(
            mean, score.reward / len(gaps), score.repairs, float(np.mean(shares)), score.violations,
            score.violating_tasks, tasks, tasks,
        )  # fmt: skip
