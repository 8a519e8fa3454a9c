"""Markov A3C: as multi-task A3C, but the branch of block m sees the node of block m-1.

The cost of a step depends on the nodes of two blocks that follow each other. A branch that knows the
first of them has only its own choice to make, and answers for what it and the blocks after it cost.
"""

from __future__ import annotations

from dataclasses import dataclass

from mecopt_rl.learners.a3c_settings import PAPER as MULTITASK_PAPER
from mecopt_rl.learners.a3c_settings import A3CSettings
from mecopt_rl.learners.learner import LearnerKind, Shape
from mecopt_rl.learners.multitask_a3c import A3C, Shared
from mecopt_rl.learners.networks import MarkovBranches


@dataclass(frozen=True)
class MarkovSettings(A3CSettings):
    """As `A3CSettings`; there is one trunk, and every block has its own noise and its own credit."""

    shared_noise: bool = False
    credit: str = "block"


def network(shape: Shape, settings: MarkovSettings) -> MarkovBranches:
    """Return the untrained network."""
    return MarkovBranches(shape, settings.width, settings.layers, settings.branch_width)


def make(shape: Shape, settings: MarkovSettings, seed: int, shared: Shared | None = None) -> A3C:
    """Return the learner."""
    return A3C(network, shape, settings, seed, shared)


KIND = LearnerKind(
    name="markov-a3c",
    summary="A3C whose branch for each block sees the node of the block before",
    recipes={
        "best": MarkovSettings(),
        "paper": MarkovSettings(**{**vars(MULTITASK_PAPER), "credit": "block"}),
    },
    make=make,
    network=network,
)
