"""The decision process of one episode (Eq. 11-17) as a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from mecopt.arrays import Ints
from mecopt.errors import InputError
from mecopt.instance import Instance
from mecopt_rl.world.episodes import Batch, Episodes
from mecopt_rl.world.fleet import Fleet, TaskPool
from mecopt_rl.world.kernel_tables import Outcome
from mecopt_rl.world.masks import checked, checked_prefix
from mecopt_rl.world.observation import HIGH, LOW, Encoder
from mecopt_rl.world.spaces import EncodedBox

Observation = NDArray[np.float32] | dict[str, NDArray[np.float32]]


class Partition(gymnasium.Env[Any, NDArray[np.int64]]):
    """Place the tasks of an instance one by one; a step decides all blocks of one task.

    Parameters
    ----------
    instance : Instance or str or Path or sequence of Instance, optional
        An instance, the file of one, or several of which each episode takes any.
    spec : str, optional
        In place of `instance` a generator, ``"paper:servers=6"``: every episode is a fresh instance of it.
    parts : sequence of str, optional
        Parts of the observation; by default those that matter. See `mecopt_rl.world.observation.Encoder`.
    encoder : Encoder, optional
        In place of `parts` the encoder of a trained policy.
    flat : bool
        One vector of all parts (``encoder.slices`` says where each is), or else a dictionary of them.

    Notes
    -----
    Tasks come in order of slot, then position. The action is the node of every block, 0 the device; padding
    behind the end of shorter models is ignored. The reward is minus what the task adds to the objective as
    `mecopt.evaluate` counts it, in seconds; under hard deadlines beta times the time above them is
    taken off too and reported as ``info["signal_s"]``.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        instance: Instance | str | Path | Sequence[Instance] | None = None,
        *,
        spec: str | None = None,
        parts: Sequence[str] | None = None,
        encoder: Encoder | None = None,
        flat: bool = True,
    ) -> None:
        self.episodes, self.encoder = opened(instance, spec, parts, encoder)
        self.flat = flat
        self.observation_space = observation_space(self.encoder, flat=flat)
        self.action_space = spaces.MultiDiscrete([self.encoder.servers + 1] * self.encoder.blocks)
        self._fleet: Fleet | None = None
        self._batch: Batch | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode.

        Returns
        -------
        observation
            Of the first task.
        info : dict
            ``tasks``, the length of the episode.
        """
        super().reset(seed=seed, options=options)
        self._batch = self.episodes.draw(1, self.np_random, self.encoder)
        self._fleet = Fleet(self._batch.pool, self._batch.rows, self.encoder)
        return self._observation(), {"tasks": int(self._fleet.lengths[0])}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Decide the next task.

        Returns
        -------
        observation
            Of the task after it; zeros after the last.
        reward : float
            Seconds.
        terminated : bool
            Whether that was the last task.
        truncated : bool
            Never; wrap the environment in a time limit to cut episodes off.
        info : dict
            See `step_infos`.

        Raises
        ------
        InputError
            If there is no task left, or the action is no list of M nodes.
        """
        fleet = self._running()
        if fleet.ended[0]:
            raise InputError("step: the episode has ended, expected reset() first")
        row = int(fleet.now[0])
        outcome = fleet.decide(checked(np.asarray(action)[None], fleet))
        infos = step_infos(outcome, fleet.pool, np.array([row]))
        info = {name: value[0] if value.ndim > 1 else value[0].item() for name, value in infos.items()}
        return self._observation(), float(outcome.reward[0]), bool(fleet.ended[0]), False, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which nodes each block can use at all, M * (N + 1) values as sb3-contrib expects them."""
        masks: NDArray[np.bool_] = self._running().branch_masks()[0].ravel()
        return masks

    def block_mask(self, m: int, chosen: Sequence[int]) -> NDArray[np.bool_]:
        """Return which nodes block m can use after the blocks before it went to `chosen`, (N + 1,)."""
        nodes = np.asarray(chosen, dtype=np.int64).reshape(1, -1)
        mask: NDArray[np.bool_] = self._running().block_mask(m, checked_prefix(nodes, m, self.encoder))[0]
        return mask

    @property
    def instance(self) -> Instance:
        """The instance of the running episode."""
        self._running()
        assert self._batch is not None
        return self._batch.instance(0)

    def _running(self) -> Fleet:
        if self._fleet is None:
            raise InputError("no episode has begun, expected reset() first")
        return self._fleet

    def _observation(self) -> Observation:
        flat = self._running().observe()[0]
        return flat if self.flat else {name: flat[at] for name, at in self.encoder.slices.items()}


def opened(
    instance: Any, spec: str | None, parts: Sequence[str] | None, encoder: Encoder | None
) -> tuple[Episodes, Encoder]:
    """Return the source of episodes and the encoder that an environment was asked for.

    Raises
    ------
    InputError
        If not exactly one of `instance` and `spec` is given, both `parts` and `encoder` are, or the encoder
        is one for another shape.
    """
    if (instance is None) == (spec is None):
        raise InputError("expected either instance=... or spec=...")
    if parts is not None and encoder is not None:
        raise InputError("parts: given together with encoder, expected one of them")
    source = spec if instance is None else instance
    episodes = source if isinstance(source, Episodes) else Episodes(source)
    if encoder is None:
        return episodes, episodes.encoder(parts)
    for sample in episodes.samples:
        encoder.check(sample)
    return episodes, encoder


def observation_space(encoder: Encoder, *, flat: bool) -> spaces.Box | spaces.Dict:
    """Return the space of one observation."""
    if flat:
        return EncodedBox(encoder)

    def box(size: int) -> spaces.Box:
        low, high = (-np.inf, np.inf) if encoder.raw else (LOW, HIGH)
        return spaces.Box(low, high, (size,), np.float32)

    return spaces.Dict({name: box(at.stop - at.start) for name, at in encoder.slices.items()})


def step_infos(outcome: Outcome, pool: TaskPool, decided: Ints) -> dict[str, NDArray[Any]]:
    """Return what is told about E decided tasks, -1 = none.

    Returns
    -------
    dict of arrays
        ``placement`` (E, M), -1 behind the end; ``local_delay_s``, ``edge_delay_s``, ``energy_j`` (E,);
        ``violations`` (E,) deadlines that are missed and limits that this task was the first to break, as the
        judge counts them; ``repairs`` (E,) choices that were forbidden and replaced; ``forced`` (E,) blocks
        for which nothing was allowed; ``signal_s`` (E,) what hard deadlines take off the reward though it is
        no part of the objective; ``block_cost`` (E, M) seconds of every block, their sum is minus the reward;
        ``optimum`` (E,) least objective of the task alone: a bound where couplings join tasks.
    """
    return {
        "placement": outcome.nodes,
        "local_delay_s": outcome.local_s,
        "edge_delay_s": outcome.edge_s,
        "energy_j": outcome.energy_j,
        "violations": outcome.violations,
        "repairs": outcome.repairs,
        "forced": outcome.forced,
        "signal_s": outcome.signal_s,
        "block_cost": outcome.block_cost,
        "optimum": np.where(decided >= 0, pool.optimum[decided], 0.0),
    }
