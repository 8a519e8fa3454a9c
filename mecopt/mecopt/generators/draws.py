"""Seeded draws that are the same on every machine, and of which none shifts another.

Every quantity has a stream of its own, and every column of it (server, block) again. So changing the
deadlines keeps the rates, and one more server keeps the rates of the others. Only the raw output of
PCG64 is used, which numpy guarantees for good; the last bits of a logarithm or cosine may differ between
machines, so what is drawn is rounded to the digits that are written.
"""

from __future__ import annotations

import numpy as np

from mecopt.arrays import Floats

# Numbers of the streams: never change one, add at the end.
STREAMS = {
    "rate": 0,
    "load": 1,
    "delay": 2,
    "device_speed": 3,
    "server_speed": 4,
    "device_place": 5,
    "server_place": 6,
    "fading": 7,
    "total_delay": 8,
    "weight": 9,
    "drop_cost": 10,
    "down_rate": 11,
}


def unit(seed: int, quantity: str, rows: int, columns: int = 1) -> Floats:
    """Return numbers uniform on [0, 1), shape (rows, columns); each column has its own stream."""
    drawn = np.empty((rows, columns))
    for column in range(columns):
        sequence = np.random.SeedSequence(seed, spawn_key=(STREAMS[quantity], column))
        raw = np.asarray(np.random.PCG64(sequence).random_raw(rows), dtype=np.uint64)
        drawn[:, column] = (raw >> np.uint64(11)) * 2.0**-53
    return drawn
