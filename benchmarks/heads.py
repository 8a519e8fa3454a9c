"""Why independent branches stop short: is it what they can represent, or how they are trained?

    python benchmarks/heads.py [--settings A,B] [--seeds N]

Every training (below a minute of CPU) is added to reports/heads/runs.csv as it ends; what is there is not run
again. All trainings see 150 episodes of 600 slots, 60 decisions an update, by the network, optimiser
and rates of recipe `best`. The last weights are tested, by the likeliest nodes, on 60 test episodes.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from heads_page import EPISODES, OUT, RUNS, page, rows
from learner_runs import FIRST_SEED
from learners_page import TEST_EPISODES
from torch import Tensor
from torch.nn import functional

from mecopt.arrays import Floats, Ints
from mecopt.trellis_arcs import shortest
from mecopt_rl.learners.learner import Reals, Shape, kind
from mecopt_rl.learners.multitask_a3c import SCALE_DECISIONS
from mecopt_rl.learners.network_layers import Passed, Slopes
from mecopt_rl.learners.optimisers import Adam, one_vector, set_rate
from mecopt_rl.training.curriculum import Round
from mecopt_rl.training.rounds import OneShape, Worker
from mecopt_rl.training.seeds import TEST, TRAINING
from mecopt_rl.world.episodes import Batch, Episodes
from mecopt_rl.world.fleet import Fleet
from mecopt_rl.world.prices import along

SETTINGS = ("camera-vgg-load", "camera-alexnet-deadline")
SAME = 1e-9  # relative; costs closer than this are equal

RECIPE = {"environments": 60, "temperature_end": 0.002}  # that of the policies of these settings
COLD = {"temperature_start": RECIPE["temperature_end"]}
ALONE = {"shared_noise": False}

Weights = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Tasks:
    """Tasks in the order in which they are decided; M blocks, J = N + 1 nodes."""

    seen: Reals  # (K, D) observations
    weight: Floats  # (K, M, J, J) seconds of every step; the first block comes from node 0
    optimum: Ints  # (K, M)

    @classmethod
    def of(cls, batch: Batch, encoder: Any) -> Tasks:
        """Price every step of the tasks, and find their optima."""
        order = batch.rows.ravel()
        weight = Fleet(batch.pool, order[None], encoder).step_cost()
        weight[:, 0, 1:] = 0.0  # never used; forbidden so far, and infinite times no probability is not 0
        return cls(
            batch.pool.static[order], weight, shortest(weight, np.full(len(order), weight.shape[1]))[1]
        )


class Setting:
    """Episodes of a setting, and the test tasks."""

    def __init__(self, name: str) -> None:
        self.episodes = Episodes(name)
        self.encoder = self.episodes.encoder()
        self.shape = Shape(self.encoder.size, self.episodes.blocks, self.episodes.servers + 1)
        self.test = self.draw(TEST_EPISODES, np.random.default_rng((TEST, TEST_EPISODES)))

    def draw(self, count: int, numbers: np.random.Generator) -> Tasks:
        """Return the tasks of so many fresh episodes."""
        return Tasks.of(self.episodes.draw(count, numbers, self.encoder), self.encoder)

    def sample(self, seed: int) -> Tasks:
        """Return the tasks that observations and rewards are scaled by."""
        return self.draw(20, np.random.default_rng((TRAINING, seed)))


setting_of = lru_cache(maxsize=None)(Setting)


def uniform_cost(weight: Floats) -> float:
    """Return the mean cost of a task when every block takes any node: the unit of rewards."""
    first, rest = weight[:SCALE_DECISIONS, 0, 0], weight[:SCALE_DECISIONS, 1:]
    return float(first.mean() + rest.mean(axis=(2, 3)).sum(axis=1).mean())


Slope = Callable[[Passed, Tasks, slice, float], Slopes]


def supervised(name: str, seed: int, learner: str, slope: Slope, weights: Weights | None = None) -> Any:
    """Train a network on fresh tasks by a slope worked out from their costs, from given weights if any."""
    setting, chosen = setting_of(name), kind(learner)
    settings = chosen.settings(None, RECIPE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = chosen.network(setting.shape, settings)
    network.standard.fit(torch.from_numpy(setting.sample(seed).seen))
    if weights is not None:
        network.load_state_dict(weights)
    vector = one_vector(network, gradients=True)
    optimiser, numbers = (
        Adam([vector], settings.learning_rate),
        np.random.default_rng((TRAINING, seed, 2 if weights is None else 3)),
    )
    each, done = settings.environments, 0
    total = EPISODES * setting.episodes.horizon
    while done < total:
        tasks = setting.draw(min(each, EPISODES - done // setting.episodes.horizon), numbers)
        for at in range(0, len(tasks.seen), each):
            part = slice(at, at + each)
            progress = (done + at) / total
            with torch.no_grad():
                seen, best = torch.from_numpy(tasks.seen[part]), torch.from_numpy(tasks.optimum[part])
                passed = network.run(seen, best, None)
                network.back(passed, slope(passed, tasks, part, progress))
                norm = float(vector.grad.norm())
                vector.grad.mul_(min(1.0, settings.gradient_norm / max(norm, 1e-12)))
            set_rate(
                optimiser, settings.learning_rate * (1.0 - progress * (1.0 - settings.learning_rate_end))
            )
            optimiser.step()
        done += len(tasks.seen)
    return network


def imitate(unit: float) -> Slope:
    """Cross-entropy of the optimum's nodes, for every branch; the critic learns what the optimum costs."""

    def slope(passed: Passed, tasks: Tasks, part: slice, progress: float) -> Slopes:
        blocks, count, nodes = passed.scores.shape
        scores = functional.softmax(passed.scores, -1) - functional.one_hot(passed.nodes.T, nodes)
        costs = along(tasks.weight[part], tasks.optimum[part]).astype(np.float32) / np.float32(unit)
        if passed.values.shape[1] == 1:
            target = -costs.sum(axis=1, keepdims=True)
        else:  # each block answers for itself and those after it
            target = -costs[:, ::-1].cumsum(axis=1)[:, ::-1].copy()
        values = (passed.values - torch.from_numpy(target)) / target.size
        return Slopes(scores / (blocks * count), values, 0.0, 0.0, 0.0)

    return slope


def expect(unit: float, cold: bool) -> Slope:
    """Return the gradient that mtl-a3c samples: of the expected cost over independent branches, exactly.

    E cost = sum over m of p_{m-1}' W_m p_m, minus temperature times entropy; cold: the last temperature.
    """
    recipe = kind("mtl-a3c").settings(None, RECIPE | (COLD if cold else {}))
    ratio = recipe.temperature_end / recipe.temperature_start

    def slope(passed: Passed, tasks: Tasks, part: slice, progress: float) -> Slopes:
        weight = torch.from_numpy((tasks.weight[part] / unit).astype(np.float32))
        log_p = functional.log_softmax(passed.scores, -1)
        p = log_p.exp()
        start = functional.one_hot(torch.zeros(1, p.shape[1], dtype=torch.int64), p.shape[2])
        each = torch.einsum("mbi,bmij->mbj", torch.cat([start.to(p.dtype), p[:-1]]), weight)
        each[:-1] += torch.einsum("mbj,bmij->mbi", p[1:], weight[:, 1:])
        each += recipe.temperature_start * ratio**progress * log_p
        scores = p * (each - (p * each).sum(-1, keepdim=True)) / (p.shape[0] * p.shape[1])
        return Slopes(scores, torch.zeros_like(passed.values), 0.0, 0.0, 0.0)

    return slope


def learn(name: str, seed: int, changes: dict[str, Any], weights: Weights | None = None) -> Any:
    """Train mtl-a3c by `RECIPE`, some settings changed, from given weights if any; returns the network."""
    setting, chosen = setting_of(name), kind("mtl-a3c")
    learner = chosen.make(setting.shape, chosen.settings(None, RECIPE | changes), seed, None)
    sample = setting.sample(seed)
    learner.prepare(sample.seen)
    if weights is not None:
        state = {key: tensor.clone() for key, tensor in learner.state().items()}
        state |= {f"network.{key}": tensor for key, tensor in weights.items()}
        cost = uniform_cost(sample.weight) * SCALE_DECISIONS  # what a beginner's first decisions cost
        state["cost"] = torch.tensor([cost, SCALE_DECISIONS], dtype=torch.float64)
        learner.load_state(state)
    curriculum = OneShape(setting.episodes, setting.encoder)
    Worker(curriculum, learner).run(Round((TRAINING, seed, 1), EPISODES, 0.0, 1.0))
    return learner.network


@lru_cache(maxsize=1)
def imitation(name: str, seed: int, learner: str = "mtl-a3c") -> Any:
    """Train by imitation."""
    unit = uniform_cost(setting_of(name).sample(seed).weight)
    return supervised(name, seed, learner, imitate(unit))


def expectation(name: str, seed: int, weights: Weights | None = None) -> Any:
    """Train by the exact gradient."""
    unit = uniform_cost(setting_of(name).sample(seed).weight)
    return supervised(name, seed, "mtl-a3c", expect(unit, cold=weights is not None), weights)


def taught(name: str, seed: int, changes: dict[str, Any]) -> Any:
    """Train mtl-a3c from the imitation's weights."""
    return learn(name, seed, changes, imitation(name, seed).state_dict())


VARIANTS: dict[str, Callable[[str, int], Any]] = {
    "imitation, Markov branches": lambda name, seed: imitation(name, seed, "markov-a3c"),
    "imitation": imitation,
    "mtl-a3c from it, noise shared": lambda name, seed: taught(name, seed, COLD),
    "mtl-a3c from it, noise independent": lambda name, seed: taught(name, seed, COLD | ALONE),
    "exact gradient from it": lambda name, seed: expectation(name, seed, imitation(name, seed).state_dict()),
    "mtl-a3c": lambda name, seed: learn(name, seed, {}),
    "exact gradient": expectation,
    "mtl-a3c, noise independent": lambda name, seed: learn(name, seed, ALONE),
}


def deviations(weight: Floats, nodes: Ints) -> Floats:
    """Return by how much a task's cost changes when one block alone moves, (K, M, J)."""
    tasks, stages = np.arange(len(nodes))[:, None], np.arange(nodes.shape[1])
    before = np.concatenate([np.zeros_like(nodes[:, :1]), nodes[:, :-1]], axis=1)
    total = weight[tasks, stages, before]
    total[:, :-1] += weight[tasks, stages[1:], :, nodes[:, 1:]]
    change: Floats = total - np.take_along_axis(total, nodes[:, :, None], axis=2)
    return change


def descend(weight: Floats, nodes: Ints) -> Ints:
    """Move one block at a time, the best move of each task first, until none gains."""
    nodes = nodes.copy()
    moving = np.arange(len(nodes))
    while moving.size:
        change = deviations(weight[moving], nodes[moving]).reshape(len(moving), -1)
        cost = along(weight[moving], nodes[moving]).sum(axis=1)
        gains = change.min(axis=1) < -SAME * cost
        block, node = np.divmod(change.argmin(axis=1)[gains], weight.shape[2])
        moving = moving[gains]
        nodes[moving, block] = node
    return nodes


def judge(tasks: Tasks, network: Any) -> dict[str, float]:
    """Return the gap on the test tasks, also when sampled, and how much of it no block can mend alone."""
    nodes = network.decide(torch.from_numpy(tasks.seen), None, None)[0]
    cost, least = (along(tasks.weight, path).sum(axis=1) for path in (nodes, tasks.optimum))
    worse = cost - least > SAME * least
    stuck = worse & (deviations(tasks.weight, nodes).min(axis=(1, 2)) >= -SAME * cost)
    excess = cost - least
    mended = along(tasks.weight, descend(tasks.weight, nodes)).sum(axis=1)
    moved = (nodes != tasks.optimum).sum(axis=1)
    network.shared_noise = False  # every block by itself, as the likeliest nodes are
    sampled = network.decide(torch.from_numpy(tasks.seen), None, torch.Generator().manual_seed(0))[0]
    figures = {
        "gap": excess.sum() / least.sum(),
        "gap_sampled": along(tasks.weight, sampled).sum() / least.sum() - 1.0,
        "worse": worse.mean(),
        "stuck_of_worse": stuck.sum() / max(worse.sum(), 1),
        "stuck_of_excess": excess[stuck].sum() / max(excess.sum(), 1e-300),
        "blocks_moved": moved[stuck].mean() if stuck.any() else 0.0,
        "gap_mended": mended.sum() / least.sum() - 1.0,
    }
    return {name: float(value) for name, value in figures.items()}


def jobs(settings: list[str], seeds: int) -> Iterator[tuple[str, int, str]]:
    """Yield all trainings."""
    for variants in (tuple(VARIANTS)[:-1], tuple(VARIANTS)[-1:]):  # what tells least comes last
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            for setting in settings:
                for variant in variants:
                    yield setting, seed, variant


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", default=",".join(SETTINGS))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    done = {(row["setting"], int(row["seed"]), row["variant"]) for row in rows()}
    for job in jobs(options.settings.split(","), options.seeds):
        if job in done:
            continue
        setting, seed, variant = job
        test = setting_of(setting).test
        if "from it" in variant:
            imitation(setting, seed)  # once for all of these, and not counted again
        start = time.process_time()
        network = VARIANTS[variant](setting, seed)
        cpu = time.process_time() - start
        row = {"setting": setting, "seed": seed, "variant": variant, "cpu_s": round(cpu, 2)}
        row |= judge(test, network)
        print(row, file=sys.stderr, flush=True)
        new = not RUNS.exists()
        with RUNS.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)
        (OUT / "README.md").write_text(page(), encoding="utf-8")
    (OUT / "README.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    from common import clean_tree

    clean_tree()
    main()
