"""Policies that are told prices: how they see them, and how they are trained.

A budget or a full server joins tasks; a price on what is scarce takes them apart again. At given prices every
task is a problem of its own, so a policy that sees its task and the prices learns it as it learns uncoupled
tasks: on single tasks, with the priced cost as the reward. Which price is right now is worked out when
deciding, from what is left: `mecopt_rl.deciding.energy_policy` and `mecopt_rl.deciding.crowd_policy`.

The network is that of `mecopt_rl.learners.markov_a3c`, its observation longer by the prices; it is trained
by the same updates (`mecopt_rl.learners.multitask_a3c`).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mecopt.arrays import Floats
from mecopt.entities import Coupling
from mecopt.errors import InputError, MecoptError
from mecopt.judge import evaluate
from mecopt.result import gap
from mecopt.trellis_arcs import build_arcs, shortest
from mecopt_rl.learners.learner import Rollout, Shape, kind
from mecopt_rl.training.bounds import Bounds, bounds_of
from mecopt_rl.training.cards import Trained, card_of
from mecopt_rl.training.checkpoint import StoredPolicy
from mecopt_rl.training.fingerprint import fingerprint
from mecopt_rl.training.rounds import TRAINING, VALIDATION
from mecopt_rl.training.validation import Judgement
from mecopt_rl.world.episodes import Batch, Episodes
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
    torch.set_num_threads(1)  # a network this small only waits for more
    start = time.perf_counter()
    episodes = Episodes(plan.spec)
    on = episodes.rules.couplings
    if on not in ({Coupling.ENERGY}, {Coupling.CAPACITY}):
        raise InputError(f"{plan.spec}: expected a spec coupled by either energy or capacity")
    encoder = episodes.encoder([name for name in default_parts(episodes.samples) if name not in LEFT])
    count = plan.validation_episodes
    batch = episodes.draw(count, np.random.default_rng((VALIDATION, count)), encoder)
    bounds = bounds_of(batch, limit_s=BOUND_S * count)
    bounds.check(plan.spec)
    rng = np.random.default_rng((TRAINING, plan.seed))
    first = drawn(episodes, encoder, rng, SAMPLE)
    prices: Prices = EnergyPrice.of(first) if Coupling.ENERGY in on else ServerPrices.of(first)
    learner_kind = kind(LEARNER)
    changes = {"environments": plan.environments, "temperature_end": LAST_TEMPERATURE, **plan.changes}
    settings = learner_kind.settings("best", changes)
    shape = Shape(encoder.size + prices.size, episodes.blocks, episodes.servers + 1)
    learner = learner_kind.make(shape, settings, plan.seed, None)
    _stay_at_first(learner.network)
    learner.prepare(see(first.static, prices.draw(first, rng)))
    learner.begin_round(int(rng.integers(2**62)))
    done = 0
    for tasks, seen in _batches(episodes, encoder, prices, plan.environments, rng):
        if done >= plan.decisions:
            break
        _learn(learner, tasks, prices, seen, done / plan.decisions)
        done += len(seen)
    if not all(bool(torch.isfinite(weight).all()) for weight in learner.network.parameters()):
        raise MecoptError("a weight is no longer a finite number")
    test = drawn(episodes, encoder, np.random.default_rng((VALIDATION, 0)), JUDGED)
    said = {
        "encoder": encoder.to_json(),
        "prices": prices.to_json(),
        "fingerprint": fingerprint(episodes),
        "priced_gap": priced_gap(learner.network, test, prices),
    }
    judged = _judged(StoredPolicy(said, learner.network.eval(), settings, plan.spec), batch, bounds)
    trained = Trained(
        plan.command, plan.spec, plan.seed, -(-done // episodes.horizon), done,
        round(time.perf_counter() - start, 3), count, judged.gap, judged.violations, judged.violating_tasks,
        judged.tasks,
    )  # fmt: skip
    return learner.network, card_of(LEARNER, "best", settings, shape, said, trained)


def _judged(policy: StoredPolicy, batch: Batch, bounds: Bounds) -> Judgement:
    """Let the policy decide whole episodes under their limits, where these have a feasible placement."""
    from mecopt_rl.deciding import policy_methods  # which is built on this package

    cost, repairs, violations, late, tasks = 0.0, 0, 0, 0, 0
    for e in bounds.possible:
        instance = batch.instance(e)
        decided = policy_methods.decide(policy, instance)
        judged = evaluate(instance, decided.placement)
        cost += float(judged.task_objective_s.sum())
        repairs += decided.repairs
        violations += len(judged.violations)
        late += len({v.where.get("task", -1 - i) for i, v in enumerate(judged.violations)})
        tasks += instance.task_count
    found = None if violations else gap(cost, bounds.sum())
    return Judgement(found, -cost / len(bounds.possible), repairs, 0.0, violations, late, tasks, tasks)


def _batches(
    episodes: Episodes, encoder: Encoder, prices: Prices, size: int, rng: np.random.Generator
) -> Iterator[tuple[Sample, Floats]]:
    """Yield tasks and prices for one update after the other, without end."""
    while True:
        tasks = drawn(episodes, encoder, rng, DRAWN)
        seen, order = prices.draw(tasks, rng), rng.permutation(len(tasks.static))
        for at in range(0, len(order) - size + 1, size):
            rows = order[at : at + size]
            yield tasks[rows], seen[rows]


@torch.no_grad()
def _stay_at_first(network: Any) -> None:
    """Let the untrained policy mostly keep to the node of the block before.

    One that leaves each node at random learns first that no block should begin on a node where only staying
    pays, such as the device, and by the time that it stays it no longer tries it.
    """
    for j in range(network.shape.nodes):
        network.previous[1:, j, j] += STAY
        network.score[1:, j, j] += 1.0


def _learn(learner: Any, tasks: Sample, prices: Prices, seen: Floats, progress: float) -> None:
    """Decide tasks at prices and make an update: every block answers for its priced cost."""
    observations, weight = see(tasks.static, seen), prices.weight(tasks, seen)
    nodes, _ = learner.act(observations, None, progress)
    costs = along(weight, nodes).astype(np.float32)[None]
    never = np.zeros((1, len(nodes)), dtype=np.bool_)
    learner.update(
        Rollout(observations[None], nodes[None], -costs.sum(-1), costs, observations[None], ~never, never),
        progress,
    )


def priced_gap(network: Any, tasks: Sample, prices: Prices) -> float:
    """Return the gap to the cheapest paths, each task at a price of its own: a ratio of sums, less one."""
    seen = prices.draw(tasks, np.random.default_rng((VALIDATION, 1)))
    weight = prices.weight(tasks, seen)
    nodes = network.decide(torch.from_numpy(see(tasks.static, seen)), None, None)[0]
    best = shortest(weight, np.full(len(nodes), weight.shape[1]))[0]
    found = gap(float(along(weight, nodes).sum()), float(best.sum()))
    assert found is not None
    return found
