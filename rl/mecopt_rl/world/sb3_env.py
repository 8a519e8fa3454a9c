"""The vector environments as a `VecEnv` of Stable-Baselines3; `mecopt_rl.sb3` makes it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv

from mecopt.errors import InputError
from mecopt_rl.world.online_vector import VectorOnline
from mecopt_rl.world.spaces import joint_count, joint_masks, nodes_of
from mecopt_rl.world.vector import VectorPartition

MASKS = "action_masks"  # the name that sb3-contrib asks for


class PartitionVecEnv(VecEnv):
    """E episodes that are stepped in one compiled call, as Stable-Baselines3 wants them.

    Returns and lengths of episodes are reported as its `Monitor` does; other figures of the tasks just
    decided are in `infos`, as arrays, and not in the dictionaries of each step.

    Parameters
    ----------
    vector : VectorPartition or VectorOnline
    discrete : bool
        A placement is one number, `mecopt_rl.world.spaces.nodes_of`, in place of one node a block; of
        `VectorPartition` alone.

    Attributes
    ----------
    vector : VectorPartition or VectorOnline
    infos : dict of arrays
        Of the last step, `mecopt_rl.world.env.step_infos`.
    """

    def __init__(self, vector: VectorPartition | VectorOnline, *, discrete: bool = False) -> None:
        self.vector = vector
        self.infos: dict[str, Any] = {}
        action: spaces.Space[Any] = vector.single_action_space
        self._joint = vector.encoder if discrete and isinstance(vector, VectorPartition) else None
        if self._joint is not None:
            action = spaces.Discrete(joint_count(self._joint))
        super().__init__(vector.num_envs, vector.single_observation_space, action)
        self._actions: NDArray[Any] = np.zeros(0, dtype=np.int64)
        self._begun = time.time()
        self._begin()

    def _begin(self) -> None:
        self._returns = np.zeros(self.num_envs)
        self._lengths = np.zeros(self.num_envs, dtype=np.int64)

    def reset(self) -> NDArray[np.float32]:
        """Begin all episodes anew, with the seed of `seed` if it was called."""
        observations, _ = self.vector.reset(seed=self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        self._begin()
        return observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions until `step_wait`."""
        self._actions = np.asarray(actions)

    def step_wait(
        self,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Decide the next task of every episode; one that ends is followed by the next at once."""
        actions = self._actions if self._joint is None else nodes_of(self._actions, self._joint)
        observations, rewards, ends, _, self.infos = self.vector.step(actions)
        self._returns += rewards
        self._lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for e in np.flatnonzero(ends).tolist():
            infos[e] = {
                "episode": {
                    "r": float(self._returns[e]),
                    "l": int(self._lengths[e]),
                    "t": round(time.time() - self._begun, 6),
                },
                "terminal_observation": self.infos["final_obs"][e],
                "TimeLimit.truncated": False,
            }
        if ends.any():
            self._returns[ends] = 0.0
            self._lengths[ends] = 0
        return observations, rewards.astype(np.float32), ends, infos

    def close(self) -> None:
        """Nothing is held."""

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which actions can be meant, (E, M * (N + 1)), or (E, (N + 1) ** M) where they are joint."""
        branches = self.vector.action_masks()
        masks: NDArray[np.bool_] = branches if self._joint is None else joint_masks(branches)
        return masks.reshape(self.num_envs, -1)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute, the same for every episode."""
        if attr_name == "render_mode":
            value: Any = None
        else:
            value = getattr(self if attr_name == MASKS else self.vector, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: the episodes are one environment."""
        raise InputError(f"set_attr: {attr_name}, expected what make_sb3_env(...) was given to stay")

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Return what a method says of every episode; `action_masks` alone has one to say."""
        if method_name != MASKS:
            raise AttributeError(f"the episodes have no method {method_name!r}, expected {MASKS!r}")
        masks = self.action_masks()
        return [masks[e] for e in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """Say whether episodes are reported as a wrapper would: by a `Monitor` alone."""
        wrapped = issubclass(Monitor, wrapper_class)
        return [wrapped for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[Any]:
        """Return no pictures."""
        return [None] * self.num_envs
