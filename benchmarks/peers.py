"""Models of Stable-Baselines3 trained on our episodes and judged as our policies are."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import stable_baselines3
from learner_runs import PEER_ENVIRONMENTS
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from mecopt_rl.sb3 import make_sb3_env
from mecopt_rl.training.validation import Validation
from mecopt_rl.world.env import Partition
from mecopt_rl.world.episodes import Episodes
from mecopt_rl.world.observation import Encoder

VALIDATED, EVERY = 20, 20  # episodes of a validation, and between two


class Joint(gymnasium.ActionWrapper):  # type: ignore[type-arg]
    """Every placement one action, for learners that know no others."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.sizes = env.action_space.nvec
        self.action_space = gymnasium.spaces.Discrete(int(np.prod(self.sizes)))

    def action(self, action: Any) -> Any:
        """Return the nodes of a placement's number."""
        return np.array(np.unravel_index(int(action), self.sizes))


class Peer:
    """A model of Stable-Baselines3 as a policy."""

    def __init__(self, model: Any, sizes: Any, joint: bool) -> None:
        self.model, self.sizes, self.joint = model, sizes, joint

    def decide(self, observations: Any, masks: Any, noise: Any) -> Any:
        """Choose nodes, see `mecopt_rl.learners.learner.Policy`."""
        chosen = self.model.predict(observations.numpy(), deterministic=True)[0]
        return (np.stack(np.unravel_index(chosen, self.sizes), axis=-1) if self.joint else chosen), None


@dataclass
class Trained:
    """A peer, and how it came about.

    Attributes
    ----------
    curve : list of [decisions, CPU seconds, gap, None]
        At every validation; the seconds are of training alone.
    """

    policy: Peer
    encoder: Encoder
    curve: list[list[float | None]]
    decisions: int
    cpu_s: float


class _Validated(BaseCallback):
    """Looks at the policy every so many decisions, and takes the time of looking out of that of training."""

    def __init__(self, look: Callable[[], float | None], every: int) -> None:
        super().__init__()
        self.look, self.every, self.due = look, every, every
        self.curve: list[list[float | None]] = []
        self.start, self.looking = time.process_time(), 0.0

    @property
    def spent(self) -> float:
        """CPU seconds of training."""
        return time.process_time() - self.start - self.looking

    def note(self, decisions: int) -> None:
        """Validate now."""
        spent, begun = self.spent, time.process_time()
        self.curve.append([decisions, spent, self.look(), None])
        self.looking += time.process_time() - begun

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.due:
            self.note(self.num_timesteps)
            self.due += self.every
        return True


def train_peer(
    learner: str,
    setting: str,
    episodes: int,
    seed: int,
    changes: Mapping[str, Any],
    environment: Callable[[str, Encoder, bool], VecEnv],
) -> Trained:
    """Train by one call of `learn`: its schedules run over all decisions.

    Parameters
    ----------
    changes : mapping
        To the defaults of Stable-Baselines3. The discount is 0, as nothing joins the slots.
    """
    joint, source = learner == "SB3 DQN", Episodes(setting)
    encoder = source.encoder()
    model = getattr(stable_baselines3, learner.split()[1])(
        "MlpPolicy", environment(setting, encoder, joint), seed=seed, device="cpu", gamma=0.0, **changes
    )
    peer = Peer(model, [encoder.servers + 1] * encoder.blocks, joint)
    validation = Validation(source, encoder, VALIDATED)
    watch = _Validated(lambda: validation.judge(peer).gap, EVERY * source.horizon)
    model.learn(episodes * source.horizon, callback=watch)
    spent = watch.spent
    watch.note(model.num_timesteps)
    return Trained(peer, encoder, watch.curve, model.num_timesteps, spent)


def usual(setting: str, encoder: Encoder, joint: bool) -> VecEnv:
    """Return single environments side by side, as most would."""

    def one() -> Any:
        env = Partition(spec=setting, encoder=encoder)
        return Joint(env) if joint else env

    return DummyVecEnv([one] * PEER_ENVIRONMENTS)


def fast(setting: str, encoder: Encoder, joint: bool) -> VecEnv:
    """Return the vector environment, which steps the same episodes in one compiled call."""
    return make_sb3_env(setting, PEER_ENVIRONMENTS, discrete=joint, encoder=encoder)
