"""What is known of tasks and of running episodes, as the compiled kernels take it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Columns of Tables.whole, Tables.number and Tables.block.
BLOCKS, GROUP, SLOT, DEVICE, MODEL, SITE, GAPS = range(7)
BATCH, RESULT_BITS, SEND_W, HOP_W, SEND = range(5)  # SEND + n - 1: seconds per bit to server n
DEVICE_S, DEVICE_J, BITS, TAU = range(4)


class Tables(NamedTuple):
    """Figures of K tasks, I sites (one set of servers, links and budgets), D devices, H = N + D holders."""

    whole: NDArray[np.int64]  # (K, 7)
    number: NDArray[np.float64]  # (K, 4 + N)
    block: NDArray[np.float64]  # (K, M, 4)
    server_s: NDArray[np.float64]  # (groups, M, N) seconds of one inference
    send_lat: NDArray[np.float64]  # (I, N) seconds
    hop_s: NDArray[np.float64]  # (I, N, N) seconds per bit, inf = no link
    hop_lat: NDArray[np.float64]  # (I, N, N) seconds
    slot_s: NDArray[np.float64]  # (I,) seconds of calculation that a server has in a slot
    budget: NDArray[np.float64]  # (I, D) joules, inf = none
    memory: NDArray[np.float64]  # (I, H) bytes of the servers, then of the devices, inf = none
    params: NDArray[np.float64]  # (I, models * M) bytes of every block


class RuleTables(NamedTuple):
    """The rules that all tasks share."""

    return_transfer: bool
    return_result: bool
    capacity: bool
    memory: bool
    energy: bool
    hard: bool
    beta: float  # what a second above the deadline adds to the cost, 0 where deadlines do not count


class State(NamedTuple):
    """What E running episodes have used."""

    slot: NDArray[np.int64]  # (E,) slot that load, used and held belong to, -1 = none yet
    load: NDArray[np.float64]  # (E, N) seconds of calculation
    used: NDArray[np.float64]  # (E, H) bytes
    held: NDArray[np.bool_]  # (E, H, models * M), empty unless memory is limited
    spent: NDArray[np.float64]  # (E, D) joules since the start


class Outcome(NamedTuple):
    """What deciding one task in each of E episodes gave."""

    reward: NDArray[np.float64]  # (E,) seconds
    local_s: NDArray[np.float64]  # (E,)
    edge_s: NDArray[np.float64]  # (E,)
    energy_j: NDArray[np.float64]  # (E,)
    signal_s: NDArray[np.float64]  # (E,) part of -reward that is no part of the objective
    violations: NDArray[np.int64]  # (E,)
    repairs: NDArray[np.int64]  # (E,) choices that were replaced
    forced: NDArray[np.int64]  # (E,) blocks for which nothing was allowed
    block_cost: NDArray[np.float64]  # (E, M) seconds, sums to -reward
    nodes: NDArray[np.int64]  # (E, M), -1 behind the end


class Changing(NamedTuple):
    """Where the parts of an observation that change while an episode runs stand, -1 = nowhere."""

    energy: int
    capacity: int
    memory: int
    raw: bool
    energy_top: float  # what an unlimited one reads
    capacity_top: float
    memory_top: float
