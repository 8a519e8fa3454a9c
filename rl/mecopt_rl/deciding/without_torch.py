"""The shipped policies without torch, whose import alone takes longer than a short time limit allows.

The likeliest nodes, as `learners.networks` and `learners.any_size` choose them, from the same weights in
numpy. Sampling, training and everybody's own policies use torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mecopt_rl.learners.deciding_kernels import (
    CAP,
    FORBIDDEN,
    MOST_STEPS,
    SHARPEN,
    chain,
    dense,
    step_back,
    units,
)
from mecopt_rl.learners.learner import Masks, Nodes, Reals
from mecopt_rl.training.checkpoint import POLICY_FORMAT, StoredPolicy, read

STEP_PARTS = ("batch",)  # of an encoder that nobody looks at: any-size sees the costs of steps
ROWS = 1000  # tasks decided at a time

Weights = Mapping[str, Reals]


class PlainNetwork(Protocol):
    """A network that chooses the likeliest nodes."""

    def likeliest(self, observations: NDArray[Any], masks: Masks | None) -> Nodes:
        """Choose nodes (B, M) for observations (B, ...)."""
        ...


class LinearLayer:
    """A linear layer, with a rectifier behind it or not."""

    def __init__(self, weights: Reals, bias: Reals, *, bent: bool) -> None:
        self.weights, self.bias = np.ascontiguousarray(weights), bias.ravel()
        self.bent = bent

    @classmethod
    def of(cls, stored: Weights, name: str, *, bent: bool = False) -> LinearLayer:
        """Take the weights of a `torch.nn.Linear`."""
        return cls(stored[f"{name}.weight"].T, stored[f"{name}.bias"], bent=bent)

    def __call__(self, inputs: Reals) -> Reals:
        """Return the outputs (B, .) for inputs (B, .)."""
        outputs = np.empty((len(inputs), len(self.bias)), np.float32)
        dense(inputs, self.weights, self.bias, self.bent, outputs)
        return outputs


class PlainTrunk:
    """The scale of observations, then layers with rectifiers."""

    def __init__(self, stored: Weights, prefix: str) -> None:
        self.mean, self.scale = stored["standard.mean"], stored["standard.scale"]
        names = [name.removesuffix(".bias") for name in stored if name.startswith(prefix)]
        names = [name for name in names if not name.endswith(".weight")]
        names.sort(key=lambda name: int(name.split(".")[-1]))
        self.layers = [LinearLayer.of(stored, name, bent=True) for name in names]

    def __call__(self, observations: Reals) -> Reals:
        """Return what the last layer makes of observations (B, D)."""
        found = (observations - self.mean) * self.scale
        for layer in self.layers:
            found = layer(found)
        return found


class PlainBranches:
    """`learners.networks.Branches`: one trunk or one for each block, and a branch for each block."""

    def __init__(self, stored: Weights) -> None:
        numbers = sorted({int(name.split(".")[1]) for name in stored if name.startswith("trunks.")})
        self.trunks = [PlainTrunk(stored, f"trunks.{n}.") for n in numbers]
        self.branches = [
            (
                LinearLayer(stored["hidden"][m], stored["hidden_bias"][m], bent=True),
                LinearLayer(stored["score"][m], stored["score_bias"][m], bent=False),
            )
            for m in range(len(stored["score"]))
        ]

    def likeliest(self, observations: NDArray[Any], masks: Masks | None) -> Nodes:
        """Choose nodes (B, M) for observations (B, D)."""
        allowed = None if masks is None else masks.branch_masks()
        outputs = [trunk(observations) for trunk in self.trunks]
        chosen = np.empty((len(observations), len(self.branches)), dtype=np.int64)
        for m, (hidden, score) in enumerate(self.branches):
            scores = score(hidden(outputs[min(m, len(outputs) - 1)]))
            if allowed is not None:
                scores = np.where(allowed[:, m], scores, np.float32(FORBIDDEN))
            chosen[:, m] = scores.argmax(axis=-1)
        return chosen


class PlainMarkov:
    """`learners.networks.MarkovBranches`: branches in a chain."""

    def __init__(self, stored: Weights) -> None:
        self.trunk, self.hidden = PlainTrunk(stored, "trunk."), LinearLayer.of(stored, "hidden")
        self.previous, self.bias = stored["previous"], stored["score_bias"]
        self.score = np.ascontiguousarray(stored["score"].swapaxes(1, 2))

    def likeliest(self, observations: NDArray[Any], masks: Masks | None) -> Nodes:
        """Choose nodes (B, M) for observations (B, D), block by block."""
        if masks is None:
            parts = [observations[start : start + ROWS] for start in range(0, len(observations), ROWS)]
            return np.concatenate([self._decided(part, None) for part in parts])
        return self._decided(observations, masks)

    def _decided(self, observations: Reals, masks: Masks | None) -> Nodes:
        count, (blocks, nodes, width) = len(observations), self.previous.shape
        features = self.hidden(self.trunk(observations)).reshape(count, blocks, width)
        scores, still = (
            np.empty((blocks, count, nodes), np.float32),
            np.zeros((blocks, count, nodes), np.float32),
        )
        given = features, self.previous, self.score, self.bias, still  # the last in place of noise
        written = np.empty((blocks, count, width), np.float32), scores
        chosen = np.zeros((count, blocks), dtype=np.int64)
        allowed = np.ones((count, blocks, nodes), dtype=np.bool_)
        if masks is None:
            chain(0, blocks, *given, *written, allowed, chosen)
        else:
            for m in range(blocks):
                allowed[:, m] = masks.block_mask(m, chosen)
                chain(m, m + 1, *given, *written, allowed, chosen)
        return chosen


class PlainSteps:
    """`learners.any_size.StepScorer`: scores steps from what they cost."""

    def __init__(self, stored: Weights) -> None:
        self.last, self.after = stored["last"], LinearLayer.of(stored, "after")
        self.pooled, self.merge = LinearLayer.of(stored, "pooled", bent=True), LinearLayer.of(stored, "merge")
        self.cost = np.ascontiguousarray(stored["cost.weight"].T)
        self.score = stored["score.weight"][0], float(stored["score.bias"].item())
        self.gain = float(np.exp(np.float32(SHARPEN) * stored["gain"].item()))

    def likeliest(self, observations: NDArray[Any], masks: Masks | None) -> Nodes:
        """Choose nodes (B, M) for tasks whose steps cost `observations` seconds, (B, M, J, J)."""
        count, blocks, _, _ = observations.shape
        at_once = max(1, MOST_STEPS // observations[0].size)
        parts = [observations[start : start + at_once] for start in range(0, count, at_once)]
        scores = np.concatenate([self._scores(part) for part in parts])
        chosen, every = np.zeros((count, blocks), dtype=np.int64), np.arange(count)
        node = np.zeros(count, dtype=np.int64)
        for m in range(blocks):
            now = scores[every, m, node]
            if masks is not None:
                now = np.where(masks.block_mask(m, chosen), now, np.float32(2.0 * FORBIDDEN))
            node = chosen[:, m] = now.argmax(axis=-1)
        return chosen

    def _scores(self, seconds: NDArray[np.float64]) -> Reals:
        (count, blocks, nodes, _), width = seconds.shape, len(self.last)
        unit = np.empty(count)
        units(seconds, unit)
        steps = np.minimum((seconds * (1.0 / unit)[:, None, None, None]).astype(np.float32), np.float32(CAP))
        behind = np.tile(self.after(self.last[None]) + self.last, (count * nodes, 1))
        found = np.empty_like(steps)
        pools = np.empty((count * nodes, 3 * width + 1), np.float32)
        for m in range(blocks - 1, -1, -1):
            step_back(steps, m, behind, self.cost, *self.score, self.gain, found, pools)
            if m > 0:
                state = self.merge(self.pooled(pools)) + pools[:, :width]
                behind = self.after(state) + state
        return found


KINDS: dict[str, Callable[[Weights], PlainNetwork]] = {
    "mtl-a3c": PlainBranches,
    "markov-a3c": PlainMarkov,
    "any-size": PlainSteps,
}


def load_plain(path: str | os.PathLike[str]) -> StoredPolicy:
    """Read a shipped policy; its network is a `PlainNetwork`."""
    tensors, card = read(path, POLICY_FORMAT, framework="numpy")
    stored = {name: np.ascontiguousarray(tensor, dtype=np.float32) for name, tensor in tensors.items()}
    return StoredPolicy(card, KINDS[str(card["learner"])](stored), card["settings"], str(path))


@dataclass(frozen=True)
class Timed:
    """A network at work for a run: it asks the clock before it decides."""

    network: Any
    keep_time: Callable[[], None]  # of the run


def choose(network: Any, observations: NDArray[Any], masks: Masks | None, noise: Any = None) -> Nodes:
    """Let a network choose, whichever it is: one of these, or one of torch's."""
    if isinstance(network, Timed):
        network.keep_time()
        network = network.network
    if isinstance(network, (PlainBranches, PlainMarkov, PlainSteps)):
        return network.likeliest(observations, masks)
    import torch

    chosen: Nodes = network.decide(torch.from_numpy(observations), masks, noise)[0]
    return chosen
