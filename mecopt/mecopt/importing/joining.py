"""Neighbouring blocks joined until so many are left: those whose boundary is missed least."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mecopt.errors import InputError
from mecopt.importing.losses import DEVICE_MACS_PER_S, FASTER
from mecopt.importing.places import Order

RATES_BPS = np.geomspace(1e6, 1e9, 13)
SMALLEST = np.finfo(float).tiny
EPSILON = 1e-12  # of the dearest cut


def joined(order: Order, places: Sequence[int], blocks: int) -> list[int]:
    """Return the places that are left when neighbours are joined.

    One boundary at a time goes: the one without which the best single cut between a device and a server 8
    times as fast is least worse, on average over rates from 1 Mbit/s to 1 Gbit/s; of equal ones that between
    the two blocks that do least together.

    Raises
    ------
    InputError
        If there are not that many blocks.
    """
    kept = list(places)
    if not 1 <= blocks < len(kept):
        raise InputError(f"blocks: {blocks}, expected a whole number from 1 to {len(kept) - 1}")
    cost = _cost(order, kept)
    # A cut that costs nothing would make all others infinitely worse: they are weighed by the dearest then.
    best = np.maximum(cost.min(axis=0), np.maximum(cost.max(axis=0), SMALLEST) * EPSILON)
    while len(kept) > blocks + 1:
        least = np.argsort(cost, axis=0)[:2]
        rates = np.arange(cost.shape[1])
        missed = np.zeros(len(kept))
        np.add.at(missed, least[0], (cost[least[1], rates] - cost[least[0], rates]) / best)
        together = [order.done[b] - order.done[a] for a, b in zip(kept, kept[2:], strict=False)]
        gone = min(range(1, len(kept) - 1), key=lambda i: (missed[i], together[i - 1]))
        del kept[gone]
        cost = np.delete(cost, gone, axis=0)
    return kept


def _cost(order: Order, places: Sequence[int]) -> np.ndarray:
    """Return the delay of each cut at each rate, (places, rates) [s]: the last is all on the device."""
    index = list(places)
    macs, bits = np.array(order.macs)[index], np.array(order.bits)[index]
    work = (macs + (macs[-1] - macs) / FASTER) / DEVICE_MACS_PER_S
    sent = bits[:, None] / RATES_BPS
    sent[-1] = 0.0  # nothing is sent
    return np.asarray(work[:, None] + sent)
