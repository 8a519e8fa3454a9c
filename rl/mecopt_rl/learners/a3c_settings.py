"""Settings of the asynchronous advantage actor-critics: `multitask_a3c` and those built on it."""

from __future__ import annotations

from dataclasses import dataclass

from mecopt.errors import InputError
from mecopt_rl.learners.learner import Settings, at_least, one_of


@dataclass(frozen=True)
class A3CSettings(Settings):
    """Settings of recipe `best`; those of recipe `paper` are in `PAPER`."""

    environments: int = 120
    width: int = 64  # of the trunk's layers
    layers: int = 2
    branch_width: int = 64
    sharing: str = "trunk"  # or "soft": a trunk each, held together by a penalty
    soft_weight: float = 0.0  # of that penalty
    shared_noise: bool = True  # blocks are sampled with common random numbers
    credit: str = "slot"  # or "block": a block answers for itself and those after it
    standardise: bool = True  # observations to mean 0 and variance 1 over a sample
    gamma: float = 0.0  # nothing joins two slots unless something couples them
    cost_unit: str = "mean"  # of rewards: the mean cost of the first decisions, or "second"
    temperature_start: float = 0.3  # weight of the entropy, beta_H of Eq. 18; in units of the cost
    temperature_end: float = 0.0005
    value_weight: float = 0.5  # of the critic's loss beside the actor's
    optimiser: str = "adam"  # or "rmsprop", Eq. 23-24
    learning_rate: float = 0.01
    learning_rate_end: float = 0.03  # the last rate, as a share of the first
    rms_alpha: float = 0.99
    rms_epsilon: float = 1e-5
    gradient_norm: float = 1.0  # longer gradients are cut to this; 0: none is
    explore_start: float = 0.0  # probability of a random action
    explore_end: float = 0.0
    explore_share: float = 1.0  # of the training, after which it has reached its end
    memory: int = 0  # segments kept for replay; 0: each is used once, as it comes
    batch: int = 32  # decisions of a minibatch, whole segments

    def __post_init__(self) -> None:
        super().__post_init__()
        words = ("adam", "rmsprop"), ("mean", "second"), ("slot", "block"), ("trunk", "soft")
        one_of(self, **dict(zip(("optimiser", "cost_unit", "credit", "sharing"), words, strict=True)))
        at_least(self, 1, "width", "layers", "branch_width", "batch")
        at_least(self, 0, "memory", "temperature_start", "temperature_end", "learning_rate", "gamma")
        at_least(self, 0, "gradient_norm", "value_weight", "soft_weight", "explore_start", "explore_end")
        at_least(self, 1e-12, "rms_epsilon", "explore_share")
        for name in ("gamma", "rms_alpha", "explore_start", "explore_end"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"{name}: {getattr(self, name)}, expected 0 to 1")


PAPER = A3CSettings(
    environments=1,
    steps=8,
    shared_noise=False,
    standardise=False,
    gamma=0.95,
    cost_unit="second",
    temperature_start=0.01,
    temperature_end=0.01,
    value_weight=1.0,
    optimiser="rmsprop",
    learning_rate=0.01,
    learning_rate_end=1.0,
    gradient_norm=0.0,
    explore_start=1.0,
    explore_end=0.01,
    explore_share=0.5,
    memory=1000,
)
