"""The environment for Stable-Baselines3 and sb3-contrib: ``PPO(NodesPolicy, make_sb3_env("camera-vgg"))``.

`NodesPolicy` is its `MlpPolicy` in less time, `mecopt_rl.world.sb3_network`; ``"MlpPolicy"`` will do too.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mecopt.errors import MissingExtraError

if TYPE_CHECKING:
    from mecopt_rl.world.observation import Encoder
    from mecopt_rl.world.sb3_env import PartitionVecEnv
    from mecopt_rl.world.sb3_network import NodesPolicy as NodesPolicy

NUM_ENVS = 64


def __getattr__(name: str) -> Any:
    """Import `NodesPolicy` when it is asked for: it brings PyTorch."""
    if name != "NodesPolicy":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if find_spec("stable_baselines3") is None:
        raise MissingExtraError("a network for Stable-Baselines3", "sb3")
    from mecopt_rl.world.sb3_network import NodesPolicy

    return NodesPolicy


def make_sb3_env(
    source: Any = None,
    num_envs: int = NUM_ENVS,
    *,
    discrete: bool = False,
    parts: Sequence[str] | None = None,
    encoder: Encoder | None = None,
    seed: int | None = None,
    instance: Any = None,
    spec: str | None = None,
) -> PartitionVecEnv:
    """Return episodes side by side as one `VecEnv` of Stable-Baselines3.

    Parameters
    ----------
    source : Instance, sequence of Instance, str, Path
        Where episodes come from: an instance, several, or the text of a generator, of which every episode is
        a fresh instance.
    num_envs : int
        Episodes side by side.
    discrete : bool
        The placement of a task is one number from 0 to (N + 1) ** M - 1, the first block's node its highest
        digit, for learners such as DQN; at most 20,000 of them. Otherwise one node a block (MultiDiscrete).
    parts : sequence of str, optional
        Parts of the observation; by default those that matter.
    encoder : Encoder, optional
        In place of `parts` that of a trained policy.
    seed : int, optional
        Of the first episodes, unless the learner gives one.
    instance, spec : optional
        Other names of `source`.

    Returns
    -------
    VecEnv
        It has masks as `MaskablePPO` of sb3-contrib asks for them.

    Raises
    ------
    MissingExtraError
        If Stable-Baselines3 is not installed.
    InputError
        If the episodes differ in shape, or there are too many placements for `discrete`.

    Examples
    --------
    >>> from stable_baselines3 import PPO
    >>> from mecopt_rl.sb3 import NodesPolicy, make_sb3_env
    >>> model = PPO(NodesPolicy, make_sb3_env("camera-vgg-load", 16), n_steps=64)  # doctest: +SKIP
    """
    if any(find_spec(name) is None for name in ("stable_baselines3", "gymnasium")):
        raise MissingExtraError("an environment for Stable-Baselines3", "sb3")
    from mecopt_rl.world.sb3_env import PartitionVecEnv
    from mecopt_rl.world.vector import VectorPartition

    vector = VectorPartition(
        source, num_envs, parts=parts, encoder=encoder, seed=seed, instance=instance, spec=spec
    )
    return PartitionVecEnv(vector, discrete=discrete)


def make_sb3_online_env(
    source: Any = None, num_envs: int = 8, *, seed: int | None = None, **setting: Any
) -> PartitionVecEnv:
    """Return episodes of tasks that arrive one by one as one `VecEnv` of Stable-Baselines3.

    Parameters
    ----------
    source : Instance, path, name or spec
    num_envs : int
        Episodes side by side.
    seed : int, optional
        Of the first episodes, unless the learner gives one.
    setting
        load, rate, arrivals, staleness, discipline and tasks, as for `mecopt_rl.world.online_env.Online`.

    Returns
    -------
    VecEnv

    Raises
    ------
    MissingExtraError
        If Stable-Baselines3 is not installed.
    InputError
        If something is out of range.

    Examples
    --------
    >>> from stable_baselines3 import PPO
    >>> from mecopt_rl.sb3 import make_sb3_online_env
    >>> env = make_sb3_online_env("camera-vgg:tasks=individual,slots=1,release_rate=40", load=0.9)
    >>> model = PPO("MlpPolicy", env, gamma=0.99)  # doctest: +SKIP
    """
    if any(find_spec(name) is None for name in ("stable_baselines3", "gymnasium")):
        raise MissingExtraError("an environment for Stable-Baselines3", "sb3")
    from mecopt_rl.world.online_vector import VectorOnline
    from mecopt_rl.world.sb3_env import PartitionVecEnv

    return PartitionVecEnv(VectorOnline(source, num_envs, seed=seed, **setting))
