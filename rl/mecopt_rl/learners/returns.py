"""Returns: what the actor's advantage and the critic's target are made of."""

from __future__ import annotations

import numpy as np

from mecopt_rl.learners.learner import Flags, Reals


def k_step_returns(
    rewards: Reals, next_values: Reals, terminated: Flags, truncated: Flags, gamma: float
) -> Reals:
    """Return Eq. 16 for every step of a segment of T steps, of E environments.

    Parameters
    ----------
    rewards : array of shape (T, E)
    next_values : array of shape (T, E)
        V of the observation that each step led to. It counts at the end of the segment and where an episode
        was cut off; not where it came to its end.
    terminated, truncated : array of bool, shape (T, E)
    gamma : float
        Discount.

    Returns
    -------
    array of shape (T, E)
        Step t looks T - t steps ahead, or to the end of its episode.
    """
    returns = np.empty_like(rewards)
    following = next_values[-1]
    for t in range(len(rewards) - 1, -1, -1):
        following = np.where(terminated[t], 0.0, np.where(truncated[t], next_values[t], following))
        following = rewards[t] + np.float32(gamma) * following
        returns[t] = following
    return returns


def block_returns(block_costs: Reals, returns: Reals, rewards: Reals, credit: str) -> Reals:
    """Return what each block's choice is credited with.

    Parameters
    ----------
    block_costs : array of shape (..., M)
        What each block adds to -reward.
    returns, rewards : array of shape (...)
        Return and reward of the whole step.
    credit : {"slot", "block"}
        "slot": all blocks the same return. "block": block m what it and the blocks after it cost, since
        its choice cannot change those before it, and what follows the step.

    Returns
    -------
    array of shape (..., 1) or (..., M)
    """
    if credit == "slot":
        return returns[..., None]
    to_go = np.flip(np.flip(block_costs, -1).cumsum(-1), -1)
    credited: Reals = (returns - rewards)[..., None] - to_go
    return credited
