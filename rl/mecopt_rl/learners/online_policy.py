"""A policy for tasks that arrive one by one: prices of servers' entries by a network over what is seen.

The cheapest path at these prices is the decision, so the node of every block depends on that of the block
before it, and links and `allow` are kept by themselves. The weights are the same for every server.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mecopt.arrays import Floats
from mecopt.errors import InputError
from mecopt.simulation import Pricing, Rule, Setting
from mecopt.simulation.price_head import FEATURES, OUTPUTS, PriceHead
from mecopt.simulation.world import World
from mecopt_rl.training.checkpoint import read, write_arrays
from mecopt_solvers.online.scalar_tuning import weighed
from mecopt_solvers.online.static import value_figures

FORMAT = "mecopt-online-policy/1"
MOST_WIDTH = 512


@dataclass(frozen=True, eq=False)
class OnlinePolicy:
    """A trained policy; any setting can use it, and it is at its best in one like that of its training.

    Attributes
    ----------
    scalars : array (3,)
        Of the static price and the value function, `mecopt_solvers.online.scalar_tuning`; where it began.
    weights : array (P,)
        Of the network, in the order of `parts_of`.
    card : dict
        What is said of it: setting and course of the training.
    """

    scalars: Floats
    weights: Floats
    card: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.scalars.shape != (3,) or not np.isfinite(self.scalars).all():
            raise InputError(f"scalars of shape {self.scalars.shape}, expected 3 finite numbers")
        if not np.isfinite(self.weights).all():
            raise InputError("a weight is not a finite number")
        parts_of(self.weights)

    def pricing(self, setting: Setting) -> Pricing:
        """Return the compiled rule for a setting."""
        return pricing_of(setting, value_figures(setting), self.scalars, self.weights)

    def rule(self, name: str = "learned") -> Rule:
        """Return it as a rule that `mecopt.simulate` takes."""
        return Rule(name, "prices by a network over what is seen, trained by evolution", self.pricing)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as one safetensors file.

        Raises
        ------
        InputError, MecoptError
            If the place cannot be written.
        """
        arrays = {"scalars": self.scalars, "weights": self.weights}
        write_arrays(path, arrays, {"format": FORMAT, **self.card})


def load_online_policy(path: str | os.PathLike[str]) -> OnlinePolicy:
    """Read a policy.

    Raises
    ------
    InputError
        If the file is none, damaged, or of another version.
    """
    arrays, card = read(path, FORMAT, framework="numpy")
    try:
        if arrays["weights"].ndim != 1:
            raise InputError(f"weights of shape {arrays['weights'].shape}, expected one row")
        return OnlinePolicy(
            arrays["scalars"].astype(np.float64),
            arrays["weights"].astype(np.float64),
            {name: value for name, value in card.items() if name != "format"},
        )
    except KeyError as error:
        raise InputError(f"holds no {error.args[0]}, expected those of a policy", str(path)) from None
    except InputError as error:
        raise InputError(str(error), str(path)) from None


def rule_of(path: str) -> Rule:
    """Return the rule that a file holds; `mecopt.simulate` finds it through the entry points."""
    return load_online_policy(path).rule(path)


def parts_of(weights: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Cut a row of weights into those of the hidden units, their offsets, the outputs and theirs.

    Raises
    ------
    InputError
        If there is no width that the number of weights fits.
    """
    given, inner = len(weights), len(FEATURES)
    width, rest = divmod(given - OUTPUTS, inner + 1 + OUTPUTS)
    if rest or not 1 <= width <= MOST_WIDTH:
        raise InputError(f"{given} weights, expected {inner + 1 + OUTPUTS} a hidden unit and {OUTPUTS} more")
    ends = np.cumsum([inner * width, width, width * OUTPUTS])
    hidden, bias, out, offset = np.split(weights, ends)
    return hidden.reshape(inner, width), bias, out.reshape(width, OUTPUTS), offset


def first_weights(width: int, seed: int) -> Floats:
    """Return weights with which prices are exactly those of the rule that it begins with."""
    inner = len(FEATURES)
    hidden = np.random.default_rng(seed).normal(0.0, inner**-0.5, inner * width)
    return np.concatenate([hidden, np.zeros(width + width * OUTPUTS + OUTPUTS)])


def pricing_of(
    setting: Setting, figures: tuple[Floats, Floats, Floats], scalars: Floats, weights: Floats
) -> Pricing:
    """Return the compiled rule; the figures are those of `value_figures`."""
    world = setting.world
    hidden, bias, out, offset = parts_of(weights)
    unit, speed = _scales(world)
    servers = slice(world.servers)
    head = PriceHead(
        hidden, bias, out, offset, unit, speed, figures[1][servers], figures[2][servers], setting.rate
    )
    return replace(weighed(world, figures, scalars[None]), head=head)


def _scales(world: World) -> tuple[float, Floats]:
    """Return the mean seconds of a task on a server, and the log of each server's as a share of it."""
    work = world.tables[2][:, :, 1:].sum(axis=1)  # (K, N)
    finite = np.isfinite(work)
    many = np.maximum(finite.sum(axis=0), 1)
    mean = np.where(finite, work, 0.0).sum(axis=0) / many
    mean = np.where(mean > 0, mean, 1e-9)
    unit = float(mean.mean())
    return unit, np.log(mean / unit)
