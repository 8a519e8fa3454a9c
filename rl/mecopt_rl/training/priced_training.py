"""Policies that are told prices: how they see them, and how they are trained.

A budget or a full server joins tasks; a price on what is scarce takes them apart again. At given prices every
task is a problem of its own, so a policy that sees its task and the prices learns it as it learns uncoupled
tasks: on single tasks, with the priced cost as the reward. Which price is right now is worked out when
deciding, from what is left: `mecopt_rl.deciding.energy_policy` and `mecopt_rl.deciding.crowd_policy`.

The network is that of `mecopt_rl.learners.markov_a3c`, its observation longer by the prices; it is trained
by the same updates (`mecopt_rl.learners.multitask_a3c`), in the same loop (`mecopt_rl.training.loop`), in
one round.
"""

from __future__ import annotations

import copy
import dataclasses
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from mecopt.arrays import Floats
from mecopt.entities import Coupling
from mecopt.errors import InputError
from mecopt.judge import evaluate
from mecopt.result import gap
from mecopt.trellis_arcs import build_arcs, shortest
from mecopt_rl.learners.interfaces import Actor, Learner, PolicyNetwork, Rollout, Shape
from mecopt_rl.learners.learner import LearnerKind, kind
from mecopt_rl.learners.settings import Settings
from mecopt_rl.training.checkpoint import StoredPolicy
from mecopt_rl.training.curriculum import Judgement, Round, Tally
from mecopt_rl.training.fingerprint import fingerprint
from mecopt_rl.training.loop import Training
from mecopt_rl.training.seeds import TRAINING, VALIDATION
from mecopt_rl.training.training_plan import TrainingPlan
from mecopt_rl.training.validation_bounds import Bounds, Say, bounds_of
from mecopt_rl.world.episodes import Episodes
from mecopt_rl.world.observation import LEFT, Encoder, default_parts
from mecopt_rl.world.prices import EnergyPrice, Prices, Sample, ServerPrices, along, see

LEARNER = "markov-a3c"
DRAWN = 12_000  # tasks made at a time
JUDGED = 12_000  # tasks, each at a price of its own, on which a policy is validated
BOUND_S = 1.0  # wall time for the bound of a validation episode
SAMPLE = 2_000  # tasks from which a range of prices is read
LAST_TEMPERATURE = 0.002  # of the entropy: lower ones were tried without prices only
STAY = 3.0  # log-odds of staying on a node rather than leaving it, before training


@dataclass(frozen=True)
class PricedPlan:
    """What is trained; with the seed this says everything."""

    spec: str
    decisions: int = 720_000  # tasks decided in training
    environments: int = 120  # of an update
    seed: int = 0
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # to recipe `best`
    validation_episodes: int = 5  # whole ones, that the trained policy decides under the limits

    @property
    def command(self) -> str:
        """What trains such a policy, in Python."""
        return f"{__name__}.train({self!r})"

    @property
    def plan(self) -> TrainingPlan:
        """The plan of the loop: one round, in which `PricedTasks` counts decisions rather than episodes."""
        changes = {"environments": self.environments, "temperature_end": LAST_TEMPERATURE, **self.changes}
        return TrainingPlan(
            self.spec,
            LEARNER,
            "best",
            changes,
            episodes=1,
            seed=self.seed,
            round_episodes=1,
            validation_episodes=self.validation_episodes,
        )


def train(plan: PricedPlan) -> tuple[Any, dict[str, Any]]:
    """Train a policy that is told prices of what the spec's coupling makes scarce.

    Returns
    -------
    network : torch.nn.Module
    card : dict
        As `checkpoint.save_policy` takes it; ``priced_gap`` is that to the cheapest paths at the same
        prices, ``validation_gap`` that of whole episodes under their limits.

    Raises
    ------
    InputError
        If not exactly one of energy and capacity couples the tasks, or no placement is feasible.
    MecoptError
        If a weight is no longer a finite number.
    """
    start = time.perf_counter()
    priced = partial(PricedTasks, plan.decisions)
    learner = dataclasses.replace(kind(LEARNER), curriculum=priced, workers=False)
    with tempfile.TemporaryDirectory() as folder:
        training = Training(plan.plan, folder, learner=learner)
        row = training.run()
    tasks = training.curriculum
    assert isinstance(tasks, PricedTasks)
    card = training.card or training.card_of(row)  # one that has collapsed is handed over too
    card["training"] |= {
        "command": plan.command,
        "episodes": -(-row["decisions"] // tasks.episodes.horizon),
        "seconds": round(time.perf_counter() - start, 3),
    }
    return training.learner.network, card


class PricedTasks:
    """Single tasks at drawn prices; a `mecopt_rl.training.curriculum.Curriculum` of one round.

    Parameters
    ----------
    decisions : int
        In all.
    kind, spec, settings, seed
        As `LearnerKind.curriculum` is given them.

    Raises
    ------
    InputError
        If not exactly one of energy and capacity couples the tasks.
    """

    def __init__(
        self, decisions: int, kind: LearnerKind[Any, Any], spec: str, settings: Settings, seed: int
    ) -> None:
        self.decisions, self.spec = decisions, spec
        self.episodes = episodes = Episodes(spec)
        on = episodes.rules.couplings
        if on not in ({Coupling.ENERGY}, {Coupling.CAPACITY}):
            raise InputError(f"{spec}: expected a spec coupled by either energy or capacity")
        self.encoder = episodes.encoder([n for n in default_parts(episodes.samples) if n not in LEFT])
        self._rng = np.random.default_rng((TRAINING, seed))
        first = drawn(episodes, self.encoder, self._rng, SAMPLE)
        self.prices: Prices = EnergyPrice.of(first) if Coupling.ENERGY in on else ServerPrices.of(first)
        self._first = see(first.static, self.prices.draw(first, self._rng))

    @property
    def shape(self) -> Shape:
        """See `mecopt_rl.training.curriculum.Curriculum`, as for all that follow."""
        size = self.encoder.size + self.prices.size
        return Shape(size, self.episodes.blocks, self.episodes.servers + 1)

    @property
    def samples(self) -> list[str]:
        """Return the identities of two instances of the generator."""
        return [instance.sha256 for instance in self.episodes.samples]

    def prepare(self, learner: Learner) -> None:
        """Let the learner begin by staying, and see some tasks at some prices."""
        _stay_at_first(learner.network)
        learner.prepare(self._first)

    def rollouts(self, learner: Learner, task: Round, tally: Tally) -> Iterator[tuple[Rollout, float]]:
        """Yield tasks that were decided at prices: every block answers for its priced cost."""
        assert isinstance(learner, Actor)
        rng = copy.deepcopy(self._rng)  # a round that is run again draws the same
        learner.begin_round(int(rng.integers(2**62)))
        tally.episodes = task.episodes
        for tasks, seen in self._batches(learner.settings.environments, rng):
            progress = tally.decisions / max(self.decisions, 1)
            if tally.decisions >= self.decisions:
                break
            observations, weight = see(tasks.static, seen), self.prices.weight(tasks, seen)
            nodes, _ = learner.act(observations, None, progress)
            costs = along(weight, nodes).astype(np.float32)[None]
            never = np.zeros((1, len(nodes)), dtype=np.bool_)
            yield (
                Rollout(
                    observations[None], nodes[None], -costs.sum(-1), costs, observations[None], ~never, never
                ),
                progress,
            )
            tally.decisions += len(seen)

    def _batches(self, size: int, rng: np.random.Generator) -> Iterator[tuple[Sample, Floats]]:
        """Yield tasks and prices for one update after the other, without end."""
        while True:
            tasks = drawn(self.episodes, self.encoder, rng, DRAWN)
            seen, order = self.prices.draw(tasks, rng), rng.permutation(len(tasks.static))
            for at in range(0, len(order) - size + 1, size):
                rows = order[at : at + size]
                yield tasks[rows], seen[rows]

    def judge(self, count: int, bounds: Bounds | None, say: Say | None) -> PricedValidation:
        """Return whole episodes, decided under their limits."""
        return PricedValidation(self, count)

    def seen(self, network: PolicyNetwork) -> dict[str, Any]:
        """Return encoder, prices and fingerprint, and the gap at prices."""
        test = drawn(self.episodes, self.encoder, np.random.default_rng((VALIDATION, 0)), JUDGED)
        return {**self.card, "priced_gap": priced_gap(network, test, self.prices)}

    @property
    def card(self) -> dict[str, Any]:
        """What deciding needs of the card."""
        return {
            "encoder": self.encoder.to_json(),
            "prices": self.prices.to_json(),
            "fingerprint": fingerprint(self.episodes),
        }


class PricedValidation:
    """Whole episodes that a policy decides under their limits, but those without a feasible placement.

    Raises
    ------
    InputError
        If none has one.
    """

    bounds = None  # no training goes on from them

    def __init__(self, curriculum: PricedTasks, count: int) -> None:
        self.curriculum = curriculum
        rng = np.random.default_rng((VALIDATION, count))
        self.batch = curriculum.episodes.draw(count, rng, curriculum.encoder)
        self.lower = bounds_of(self.batch, limit_s=BOUND_S * count)
        self.lower.check(curriculum.spec)

    def judge(self, network: PolicyNetwork) -> Judgement:
        """Let the policy decide, and the judge count."""
        from mecopt_rl.deciding import policy_methods  # which is built on this package

        cost, repairs, violations, late, tasks = 0.0, 0, 0, 0, 0
        policy = StoredPolicy(self.curriculum.card, network, None, self.curriculum.spec)
        for e in self.lower.possible:
            instance = self.batch.instance(e)
            decided = policy_methods.decide(policy, instance)
            judged = evaluate(instance, decided.placement)
            cost += float(judged.task_objective_s.sum())
            repairs += decided.repairs
            violations += len(judged.violations)
            late += len({v.where.get("task", -1 - i) for i, v in enumerate(judged.violations)})
            tasks += instance.task_count
        found = None if violations else gap(cost, self.lower.sum())
        reward = -cost / len(self.lower.possible)
        return Judgement(found, reward, repairs, 0.0, violations, late, tasks, tasks)


def drawn(episodes: Episodes, encoder: Encoder, rng: np.random.Generator, tasks: int) -> Sample:
    """Draw fresh tasks.

    Raises
    ------
    InputError
        If a link is missing, a deadline hard or a model shorter than another: a price is no help with these.
    """
    batch = episodes.draw(max(1, tasks // episodes.horizon), rng, encoder)
    parts = [build_arcs(draw.costs()) for draw in batch.draws]
    sample = Sample(
        batch.pool.static,
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("weight", "energy_j", "work_s")),
    )
    if not np.isfinite(sample.weight[:, 1:]).all():
        raise InputError(
            "priced policies are trained on tasks of one length, with all links and no hard deadline"
        )
    return sample


@torch.no_grad()
def _stay_at_first(network: Any) -> None:
    """Let the untrained policy mostly keep to the node of the block before.

    One that leaves each node at random learns first that no block should begin on a node where only staying
    pays, such as the device, and by the time that it stays it no longer tries it.
    """
    for j in range(network.shape.nodes):
        network.previous[1:, j, j] += STAY
        network.score[1:, j, j] += 1.0


def priced_gap(network: PolicyNetwork, tasks: Sample, prices: Prices) -> float:
    """Return the gap to the cheapest paths, each task at a price of its own: a ratio of sums, less one."""
    seen = prices.draw(tasks, np.random.default_rng((VALIDATION, 1)))
    weight = prices.weight(tasks, seen)
    nodes = network.decide(torch.from_numpy(see(tasks.static, seen)), None, None)[0]
    best = shortest(weight, np.full(len(nodes), weight.shape[1]))[0]
    found = gap(float(along(weight, nodes).sum()), float(best.sum()))
    assert found is not None
    return found
