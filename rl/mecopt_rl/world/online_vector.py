"""Episodes of tasks that arrive one by one, side by side, as a Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from mecopt.arrays import Floats
from mecopt.errors import InputError
from mecopt_rl.world.online_env import drawn, scene_of, spaces_of
from mecopt_rl.world.online_episode import EPISODE_TASKS, OnlineEpisode, checked_nodes


class VectorOnline(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """E episodes of `mecopt_rl.world.online_env.Online` side by side, each at its own time.

    Parameters
    ----------
    instance : Instance, path or name, optional
    num_envs : int
        E.
    spec, tasks, load, rate, arrivals, staleness, discipline
        As for `Online`.
    seed : int, optional
        Of the first `reset`, where that gives none.

    Notes
    -----
    An episode that ends is followed by the next one in the same step (``AutoresetMode.SAME_STEP``).
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(
        self,
        instance: Any = None,
        num_envs: int = 1,
        *,
        spec: str | None = None,
        tasks: int = EPISODE_TASKS,
        seed: int | None = None,
        **setting: Any,
    ) -> None:
        if num_envs < 1:
            raise InputError(f"num_envs: {num_envs}, expected 1 or more")
        self.scene = scene_of(instance, spec, tasks, setting)
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = spaces_of(self.scene)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._seed = seed
        self._episodes: list[OnlineEpisode] = []

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin all episodes anew.

        Returns
        -------
        observations : array of shape (E, D)
        infos : dict
            ``tasks`` (E,), the lengths of the episodes.
        """
        if seed is None and not self._episodes:
            seed = self._seed
        if seed is not None:
            self._np_random = np.random.default_rng(seed)
        self._episodes = [OnlineEpisode(self.scene, drawn(self.np_random)) for _ in range(self.num_envs)]
        return self._observed(), {"tasks": np.full(self.num_envs, self.scene.plan.count)}

    def step(
        self, actions: Any
    ) -> tuple[NDArray[np.float32], Floats, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Decide the next task of every episode.

        Parameters
        ----------
        actions : array of int, shape (E, M)

        Returns
        -------
        observations : array of shape (E, D)
        rewards : array of shape (E,), seconds
        terminations, truncations : arrays of bool, shape (E,); nothing is ever truncated
        infos : dict of arrays
            ``repairs`` and ``tasks_there`` (E,), ``placement`` (E, M); when an episode ended, ``final_obs``
            (E, D) and ``mean_delay_s`` (E,), nan elsewhere, with the masks ``_final_obs``, ``_mean_delay_s``.
        """
        if not self._episodes:
            raise InputError("no episode has begun, expected reset() first")
        nodes = checked_nodes(actions, self.scene.world, self.num_envs)
        done = [episode.step(row) for episode, row in zip(self._episodes, nodes, strict=True)]
        rewards = np.array([reward for reward, _ in done])
        infos: dict[str, Any] = {name: np.array([info[name] for _, info in done]) for name in done[0][1]}
        ended = np.array([episode.at is None for episode in self._episodes])
        if ended.any():
            infos["final_obs"] = np.zeros((self.num_envs, self.scene.width), dtype=np.float32)
            infos["mean_delay_s"] = np.full(self.num_envs, np.nan)
            infos["_final_obs"] = infos["_mean_delay_s"] = ended
            for e in np.flatnonzero(ended).tolist():
                infos["mean_delay_s"][e] = self._episodes[e].delay_s.mean()
                self._episodes[e] = OnlineEpisode(self.scene, drawn(self.np_random))
        return self._observed(), rewards, ended, np.zeros(self.num_envs, dtype=np.bool_), infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which nodes each block of the next tasks can have in some path, (E, M, N + 1)."""
        return np.stack([episode.masks() for episode in self._episodes])

    def _observed(self) -> NDArray[np.float32]:
        return np.stack([episode.observe() for episode in self._episodes])
