"""The card of a policy: how it was trained, on what, and how good it was found to be; docs/train.md."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mecopt._version import __version__
from mecopt_rl.learners.learner import Shape


@dataclass(frozen=True)
class Trained:
    """What a training came to; the part ``training`` of every card."""

    command: str  # that makes the policy again
    spec: str
    seed: int
    episodes: int
    decisions: int
    seconds: float
    validation_episodes: int
    validation_gap: float | None  # a fraction; None: the policy violates a limit
    validation_violations: int  # limits broken, as the judge counts them
    validation_violating_tasks: int
    validation_tasks: int


def card_of(
    learner: str,
    recipe: str,
    settings: Any,
    shape: Shape,
    seen: Mapping[str, Any],
    trained: Trained,
) -> dict[str, Any]:
    """Return a card, as `mecopt_rl.training.checkpoint.save_policy` takes it.

    Parameters
    ----------
    learner, recipe : str
    settings : Settings
    shape : Shape
    seen : mapping
        ``encoder`` and ``fingerprint``: what the network sees, and what it was trained on; ``prices`` and
        ``priced_gap`` where it is told prices.
    trained : Trained
    """
    return {
        "mecopt_version": __version__,
        "learner": learner,
        "recipe": recipe,
        "settings": dataclasses.asdict(settings),
        "shape": dataclasses.asdict(shape),
        **seen,
        "training": dataclasses.asdict(trained),
    }


def standing(training: Mapping[str, Any]) -> tuple[int, float]:
    """Return what the better of two policies has less of, from the part ``training`` of their cards.

    Cards of before violations were counted have none.
    """
    gap = training["validation_gap"]
    return training.get("validation_violations", 0), float("inf") if gap is None else gap
