"""An evolution strategy: pairs of opposite steps are tried, and the mean moves to where tries were better.

Salimans, Ho, Chen, Sidor and Sutskever 2017 (arXiv 1703.03864), with Adam. Both of a pair are tried on the
same tasks, so that most of the luck cancels in their difference. Every draw depends on seed and generation
alone, so a training goes on as if it had never stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mecopt.arrays import Floats
from mecopt.errors import InputError

DECAY, SQUARE_DECAY, LEAST = 0.9, 0.99, 1e-8  # of Adam


@dataclass(frozen=True)
class EvolutionSettings:
    """Settings of the strategy.

    Parameters
    ----------
    generations : int
    pairs : int
        Of a generation.
    spread : float
        Standard deviation of a step that is tried.
    step : float
        Of Adam, which falls to a tenth of it along a cosine.
    width : int
        Hidden units of the network.
    tasks : int
        Of the stream that a generation is tried on.
    """

    generations: int = 60
    pairs: int = 16
    spread: float = 0.1
    step: float = 0.05
    width: int = 8
    tasks: int = 20_000

    def __post_init__(self) -> None:
        for name in ("generations", "pairs", "width"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)}, expected at least 1")
        for name in ("spread", "step"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise InputError(f"{name}: {getattr(self, name)}, expected a number > 0")


@dataclass(frozen=True, eq=False)
class EvolutionState:
    """Where it stands: weights, both moments of Adam, (P,) each, and finished generations."""

    weights: Floats
    first: Floats
    second: Floats
    generation: int = 0

    @classmethod
    def begin(cls, weights: Floats) -> EvolutionState:
        """Return the state before the first generation."""
        return cls(weights, np.zeros_like(weights), np.zeros_like(weights))


def next_generation(
    state: EvolutionState, settings: EvolutionSettings, seed: int, loss: Callable[[Floats], float]
) -> EvolutionState:
    """Try the pairs of a generation, and return the state after it."""
    rng = np.random.default_rng([seed, state.generation])
    steps = rng.normal(size=(settings.pairs, len(state.weights)))
    tried = np.array(
        [[loss(state.weights + sign * settings.spread * step) for sign in (1.0, -1.0)] for step in steps]
    )
    worse = tried[:, 0] - tried[:, 1]
    slope = worse @ steps / (settings.pairs * max(float(np.sqrt(np.mean(worse**2))), 1e-12))
    return _moved(state, settings, slope)


def _moved(state: EvolutionState, settings: EvolutionSettings, slope: Floats) -> EvolutionState:
    done = state.generation + 1
    first = DECAY * state.first + (1.0 - DECAY) * slope
    second = SQUARE_DECAY * state.second + (1.0 - SQUARE_DECAY) * slope**2
    by = first / (1.0 - DECAY**done) / (np.sqrt(second / (1.0 - SQUARE_DECAY**done)) + LEAST)
    share = 0.55 + 0.45 * float(np.cos(np.pi * state.generation / settings.generations))
    return replace(
        state,
        weights=state.weights - settings.step * share * by,
        first=first,
        second=second,
        generation=done,
    )
