"""The decision process of many episodes at once (Eq. 11-17) as a Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.errors import InputError
from mecopt.instance import Instance
from mecopt_rl.world.env import observation_space, opened, step_infos
from mecopt_rl.world.episodes import Batch
from mecopt_rl.world.fleet import Fleet
from mecopt_rl.world.masks import checked, checked_prefix
from mecopt_rl.world.observation import Encoder


class VectorPartition(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """E episodes of `mecopt_rl.world.env.Partition` side by side, stepped in one compiled call.

    Parameters
    ----------
    source : Episodes, Instance, sequence of Instance, str, Path
        Where episodes come from, see `mecopt_rl.world.episodes.Episodes`.
    num_envs : int
        E.
    parts : sequence of str, optional
        Parts of the observation; by default those that matter. See `mecopt_rl.world.observation.Encoder`.
    encoder : Encoder, optional
        In place of `parts` the encoder of a trained policy.
    seed : int, optional
        Of the first `reset`, where that gives none.
    instance, spec : optional
        Other names of `source`, as `gymnasium.make_vec` hands them over.

    Notes
    -----
    An episode that ends is followed by the next one in the same step (``AutoresetMode.SAME_STEP``): the
    observation returned is the first of the new episode, that of the end (zeros) in ``infos["final_obs"]``.
    All other infos are about the tasks just decided, whether or not an episode ended.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(
        self,
        source: Any = None,
        num_envs: int = 1,
        *,
        parts: Sequence[str] | None = None,
        encoder: Encoder | None = None,
        seed: int | None = None,
        instance: Any = None,
        spec: str | None = None,
    ) -> None:
        if num_envs < 1:
            raise InputError(f"num_envs: {num_envs}, expected 1 or more")
        if source is not None and instance is not None:
            raise InputError("instance: given together with source, expected one of them")
        self.episodes, self.encoder = opened(instance if source is None else source, spec, parts, encoder)
        self.num_envs = num_envs
        space = observation_space(self.encoder, flat=True)
        self.single_observation_space = space
        self.single_action_space = spaces.MultiDiscrete([self.encoder.servers + 1] * self.encoder.blocks)
        self.observation_space = batch_space(space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._seed = seed
        self._fleet: Fleet | None = None
        self._origin: list[tuple[Batch, int]] = []

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin new episodes.

        Parameters
        ----------
        seed : int or sequence of int, optional
            Of everything that is drawn from now on.
        options : dict, optional
            ``reset_mask``, bool (E,): the episodes to begin anew; the others go on.

        Returns
        -------
        observations : array of shape (E, D)
        infos : dict
            ``tasks`` (E,), the lengths of the episodes.
        """
        if seed is None and self._fleet is None:
            seed = self._seed
        if seed is not None:
            self._np_random = np.random.default_rng(seed)
        chosen = np.asarray((options or {}).get("reset_mask", np.ones(self.num_envs, dtype=np.bool_)))
        if chosen.shape != (self.num_envs,) or chosen.dtype != np.bool_:
            given = f"{chosen.dtype} of shape {chosen.shape}"
            raise InputError(f"reset_mask: {given}, expected bool of shape ({self.num_envs},)")
        if self._fleet is None and not chosen.all():
            raise InputError("reset_mask: no episode has begun, expected a reset() of all first")
        self._restart(chosen)
        fleet = self._running()
        return fleet.observe(), {"tasks": fleet.lengths.copy()}

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
            See `mecopt_rl.world.env.step_infos`; besides, when an episode ended, ``final_obs`` (E, D) and
            ``final_info`` with the masks ``_final_obs`` and ``_final_info``.
        """
        fleet = self._running()
        decided = fleet.now
        outcome = fleet.decide(checked(actions, fleet))
        infos: dict[str, Any] = step_infos(outcome, fleet.pool, decided)
        ended = fleet.ended
        if ended.any():
            infos["final_info"] = dict(infos)
            infos["final_obs"] = np.zeros((self.num_envs, self.encoder.size), dtype=np.float32)
            infos["_final_obs"] = infos["_final_info"] = ended
            self._restart(ended)
        return fleet.observe(), outcome.reward, ended, np.zeros(self.num_envs, dtype=np.bool_), infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which nodes each block of the next tasks can use at all, (E, M, N + 1)."""
        return self._running().branch_masks()

    def block_mask(self, m: int, chosen: Ints) -> NDArray[np.bool_]:
        """Return the nodes, (E, N + 1), that block m can use when `chosen`, (E, m), came before."""
        fleet = self._running()
        nodes = checked_prefix(np.asarray(chosen), m, self.encoder)
        if len(nodes) != self.num_envs:
            raise InputError(f"chosen: {len(nodes)} rows, expected {self.num_envs}")
        return fleet.block_mask(m, nodes)

    def step_cost(self) -> Floats:
        """Return the seconds of every step of the next tasks, (E, M, N + 1, N + 1) [from, to], inf = no link.

        As in the reward: penalties and the return of the result included.
        """
        return self._running().step_cost()

    @property
    def fleet(self) -> Fleet:
        """The running episodes: their state, and the tables of their tasks."""
        return self._running()

    def instance(self, e: int) -> Instance:
        """Return the instance of running episode e."""
        self._running()
        batch, number = self._origin[e]
        return batch.instance(number)

    def _running(self) -> Fleet:
        if self._fleet is None:
            raise InputError("no episode has begun, expected reset() first")
        return self._fleet

    def _restart(self, chosen: NDArray[np.bool_]) -> None:
        batch = self.episodes.draw(int(chosen.sum()), self.np_random, self.encoder)
        if self._fleet is None:
            self._fleet = Fleet(batch.pool, batch.rows, self.encoder)
            self._origin = [(batch, number) for number in range(self.num_envs)]
            return
        self._fleet.restart(chosen, batch.pool, batch.rows)
        for number, e in enumerate(np.flatnonzero(chosen).tolist()):
            self._origin[e] = (batch, number)
