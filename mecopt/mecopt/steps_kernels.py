"""The compiled twin of `mecopt.costs.steps` for `ChainCosts.plain` figures: one loop for 30 arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.compiling import njit

if TYPE_CHECKING:
    from mecopt.costs import ChainCosts

INF = np.inf


def priced(costs: ChainCosts, placement: Ints) -> tuple[NDArray[Any], ...]:
    """Return the fields of what `mecopt.costs.steps` returns, in their order and to the last bit."""
    blocks, tasks = placement.shape[1], len(placement)
    trans, calc, energy, excess = np.zeros((4, blocks, tasks))
    missing, result = np.zeros((blocks + 1, tasks), dtype=np.bool_), np.zeros(tasks)
    _price(
        np.array(placement.T, order="C"), costs.blocks, costs.group, costs.server_s, costs.batch,
        _rows(costs.device_s), _rows(costs.device_j), _rows(costs.bits), costs.result_bits,
        _rows(costs.send_s), costs.send_lat, costs.hop_s, costs.hop_lat, costs.send_w, costs.hop_w,
        _rows(costs.tau), costs.return_transfer, costs.return_result,
        trans, calc, energy, excess, missing, result,
    )  # fmt: skip
    return trans.T, calc.T, energy.T, excess.T, result, missing.T


def _rows(figures: Floats) -> Floats:
    """Return the array with the tasks in the last place; no copy of what `chain_costs` makes."""
    return np.ascontiguousarray(figures.T)


@njit(nogil=True, cache=True)
def _price(  # type: ignore[no-untyped-def]
    placement, blocks, group, server_s, batch, device_s, device_j, bits, result_bits, send_s, send_lat,
    hop_s, hop_lat, send_w, hop_w, tau, return_transfer, return_result, trans, calc, energy, excess, missing,
    result,
):  # fmt: skip
    tasks = placement.shape[1]
    for m in range(len(placement)):
        for k in range(tasks):
            if m >= blocks[k]:
                continue
            now, before, load = placement[m, k], 0 if m == 0 else placement[m - 1, k], bits[m, k]
            per_bit, latency, watts, charged = 0.0, 0.0, 0.0, True
            if now != before:
                if now > 0 and before > 0:
                    per_bit, latency = hop_s[before - 1, now - 1], hop_lat[before - 1, now - 1]
                    watts = hop_w[k]
                else:
                    far = max(now, before) - 1
                    per_bit, latency = send_s[far, k], send_lat[far]
                    watts = send_w[k] if now > 0 else 0.0
                    charged = now > 0 or return_transfer
            lost = np.isinf(per_bit)
            flight = 0.0 if lost else per_bit * load
            move = (INF if lost else latency + flight) if charged else 0.0
            seconds = batch[k] * server_s[group[k], m, now - 1] if now > 0 else device_s[m, k]
            over = move + seconds - tau[m, k]
            trans[m, k], calc[m, k], missing[m, k] = move, seconds, lost
            joules = INF if lost and watts > 0 else watts * flight
            energy[m, k] = joules if now > 0 else device_j[m, k]
            excess[m, k] = over if over > 0.0 or over != over else 0.0
            if m == blocks[k] - 1 and now > 0 and return_result:
                way = send_s[now - 1, k]
                missing[len(placement), k] = not np.isfinite(way)
                result[k] = send_lat[now - 1] + way * result_bits[k] if np.isfinite(way) else INF
