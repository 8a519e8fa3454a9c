"""Small decision problems whose optimum is known, as rollouts for learners; and small trainings."""

import dataclasses
import time

import numpy as np

from mecopt_rl.learners.learner import Rollout, Shape


@dataclasses.dataclass(frozen=True)
class Chain:
    """A chain of blocks whose cost depends on the nodes of two that follow each other, (M, J, J) seconds.

    What is observed is one of several contexts; context i shifts the nodes by i.
    """

    cost: np.ndarray
    contexts: int = 1

    @property
    def shape(self):
        return Shape(self.contexts, len(self.cost), self.cost.shape[1])

    def costs(self, context, actions):
        nodes = (actions + context[:, None]) % self.cost.shape[1]
        before = np.concatenate([np.zeros((len(nodes), 1), int), nodes[:, :-1]], axis=1)
        return self.cost[np.arange(len(self.cost)), before, nodes]

    def train(self, learner, updates, *, batch=32, seed=0):
        rng = np.random.default_rng(seed)
        learner.begin_round(seed)
        for i in range(updates):
            context = rng.integers(self.contexts, size=batch)
            seen = np.eye(self.contexts, dtype=np.float32)[context]
            actions, _ = learner.act(seen, None, i / updates)
            costs = self.costs(context, actions).astype(np.float32)
            learner.update(rollout(seen[None], actions[None], costs[None]), i / updates)

    def gap(self, policy):
        import torch

        context = np.arange(self.contexts)
        actions, _ = policy.decide(torch.eye(self.contexts), None, None)
        value = np.zeros(self.cost.shape[1])
        for step in self.cost[::-1]:
            value = (step + value).min(axis=1)
        return self.costs(context, actions).sum() / (self.contexts * value[0]) - 1.0


def evaluate(network, observations, actions, masks=None):
    """Return the log-probabilities of all columns of every choice (B, K, C), and the values."""
    passed = network.run(observations, actions, masks)
    return passed.scores.log_softmax(-1).transpose(0, 1), passed.values


def rollout(
    observations, actions, block_costs, *, terminated=None, truncated=None, following=None, masks=None
):
    """Return a rollout; by default no episode ends, and what follows is what was seen."""
    flags = np.zeros(actions.shape[:2], dtype=bool)
    return Rollout(
        observations=observations,
        actions=actions,
        rewards=-block_costs.sum(axis=2),
        block_costs=block_costs,
        next_observations=observations if following is None else following,
        terminated=flags if terminated is None else terminated,
        truncated=flags if truncated is None else truncated,
        masks=masks,
    )


# A step to another node costs 2, block 0 begins on node 0, and node 0 is slow: all blocks must move together.
TOGETHER = np.array([[[3.0, 2.5], [3.0, 0.5]]] + [[[3.0, 2.5], [5.0, 0.5]]] * 2)


def scattered(blocks=6, servers=4):
    """Return a chain whose servers are cheap to stay on and dear to reach, the way back free.

    While the other blocks are scattered, node 0 is the best choice of each block on its own; the optimum
    has all of them on server 1.
    """
    cost = np.empty((blocks, servers + 1, servers + 1))
    cost[:, :, 0] = 1.0
    for j in range(1, servers + 1):
        cost[:, :, j] = 2.2 + 0.1 * (j - 1)
        cost[:, j, j] -= 2.0
    return cost


BANDIT = np.array([[[5.0, 4.0, 1.0, 3.0]] * 4])


def hold(lock, holds):
    with lock:
        holds.set()
        time.sleep(600)
