"""Tasks that arrive one by one as a Gymnasium environment: `mecopt simulate`, decided by a learner."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from mecopt.arrays import Ints
from mecopt.errors import InputError
from mecopt.simulation.online_plan import OnlinePlan
from mecopt_rl.world.online_episode import EPISODE_TASKS, MOST, OnlineEpisode, OnlineScene, checked_nodes

SEEDS = 1 << 40  # streams of episodes have the seeds from here on, which `mecopt simulate` never has


class Online(gymnasium.Env[Any, NDArray[np.int64]]):
    """Decide tasks as they arrive; a step decides all blocks of one task, and lasts to the next arrival.

    Parameters
    ----------
    instance : Instance, path or name, optional
    spec : str, optional
        In place of `instance` a generator's text.
    load, rate, arrivals, staleness, discipline
        The setting, as for `mecopt.simulate`.
    tasks : int
        Arrivals of an episode.

    Notes
    -----
    Every episode is a new stream of the same setting. The action is the node of every block, 0 the device; a
    node that is forbidden gives way to the allowed one of least step (``info["repairs"]``). The reward is
    minus the seconds that all tasks together were in the system since the last arrival, so that an episode's
    rewards add up to minus its tasks' delays (Little 1961); the last step goes on until every task is at its
    end. What is seen is `mecopt_rl.world.online_episode.OnlineScene.slices`.
    """

    observation_space: spaces.Box
    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self, instance: Any = None, *, spec: str | None = None, tasks: int = EPISODE_TASKS, **setting: Any
    ) -> None:
        self.scene = scene_of(instance, spec, tasks, setting)
        self.observation_space, self.action_space = spaces_of(self.scene)
        self._episode: OnlineEpisode | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode; ``tasks`` of the second is its length."""
        super().reset(seed=seed, options=options)
        self._episode = OnlineEpisode(self.scene, drawn(self.np_random))
        return self._episode.observe(), {"tasks": self.scene.plan.count}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Decide the next task.

        Returns
        -------
        observation
            Of the task after it; zeros after the last.
        reward : float
        terminated : bool
            Whether that was the last task.
        truncated : bool
            Never.
        info : dict
            ``placement``, ``repairs``, ``tasks_there`` and, at the end, ``mean_delay_s``.

        Raises
        ------
        InputError
            If no episode runs, or the action is no list of M nodes.
        """
        episode = self._running()
        if episode.at is None:
            raise InputError("step: the episode has ended, expected reset() first")
        nodes: Ints = checked_nodes(np.asarray(action)[None], self.scene.world, 1)[0]
        reward, info = episode.step(nodes)
        ended = episode.at is None
        if ended:
            info["mean_delay_s"] = float(episode.delay_s.mean())
        return episode.observe(), reward, ended, False, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which nodes each block can have in some path, M * (N + 1) values as sb3-contrib expects."""
        masks: NDArray[np.bool_] = self._running().masks().ravel()
        return masks

    def _running(self) -> OnlineEpisode:
        if self._episode is None:
            raise InputError("no episode has begun, expected reset() first")
        return self._episode


def scene_of(instance: Any, spec: str | None, tasks: int, setting: dict[str, Any]) -> OnlineScene:
    """Return the setting that an environment was asked for.

    Raises
    ------
    InputError
        If not exactly one of `instance` and `spec` is given, or something is out of range.
    """
    if (instance is None) == (spec is None):
        raise InputError("expected either instance=... or spec=...")
    arrivals = setting.pop("arrivals", "poisson")
    known = ("load", "rate", "staleness", "discipline")
    strange = [name for name in setting if name not in known]
    if strange:
        raise InputError(f"{strange[0]}: unknown, expected arrivals, {', '.join(known)} or tasks")
    source = spec if instance is None else instance
    return OnlineScene(OnlinePlan(source, arrivals, tasks=tasks, **setting))


def spaces_of(scene: OnlineScene) -> tuple[spaces.Box, spaces.MultiDiscrete]:
    """Return the spaces of observations and actions."""
    box = spaces.Box(-MOST, MOST, (scene.width,), np.float32)
    return box, spaces.MultiDiscrete([scene.world.servers + 1] * scene.world.stages)


def drawn(rng: np.random.Generator) -> int:
    """Return the seed of an episode's stream."""
    return SEEDS + int(rng.integers(SEEDS))
