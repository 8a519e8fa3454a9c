"""Steps of some tasks as costs and delays, compiled: what `mecopt.trellis_arcs` says, many tasks at a time.

Tests hold it to that. Arrays that the instance has no need of are empty.
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit

INF = np.inf


@njit(cache=True, nogil=True)
def fill(figures, rules, added, tasks, node_cost, cost, delay):  # type: ignore[no-untyped-def]
    """Fill cost and delay (n, M, J, J) of tasks (n,): objective and seconds of every step, inf = forbidden.

    The return of the result is part of the last block. Steps that are forbidden take no seconds.
    """
    (blocks, group, server_s, batch, device_s, device_j, bits, result_bits, send_s, back_s, send_lat, hop_s,
     hop_lat, send_w, hop_w, tau, limit) = figures  # fmt: skip
    penalty, return_transfer, return_result, delay_worth, energy_worth = rules
    passes, start_s, device_w, server_w, weight = added
    stages, nodes = cost.shape[1], cost.shape[2]
    per_bit, lat, watts = np.zeros((nodes, nodes)), np.zeros((nodes, nodes)), np.zeros((nodes, nodes))
    counted = np.ones((nodes, nodes))
    if not return_transfer:
        counted[1:, 0] = 0.0
    for a in range(len(tasks)):
        k = tasks[a]
        times = passes[k] if len(passes) else 1.0
        factor = weight[k] if len(weight) else 1.0
        per_bit[0, 1:], per_bit[1:, 0] = send_s[k], back_s[k]
        per_bit[1:, 1:] = hop_s
        lat[0, 1:], lat[1:, 0] = send_lat * times, send_lat * times
        lat[1:, 1:] = hop_lat * times
        watts[0, 1:] = send_w[k]
        watts[1:, 1:] = hop_w[k]
        for m in range(stages):
            for i in range(nodes):
                for j in range(nodes):
                    delay[a, m, i, j] = 0.0
                    if m >= blocks[k]:
                        cost[a, m, i, j] = 0.0 if i == j else INF
                        continue
                    cost[a, m, i, j] = INF
                    if (m == 0 and i > 0) or (len(node_cost) and node_cost[k, m, j] == INF):
                        continue
                    calc = batch[k] * server_s[group[k], m, j - 1] if j > 0 else device_s[k, m]
                    begun = 0.0
                    if len(start_s) and (i != j or m == 0):
                        begun = start_s[k, m, j]
                    seconds, flight = calc + begun, 0.0
                    if i != j:
                        if per_bit[i, j] == INF:
                            continue
                        flight = bits[k, m] * per_bit[i, j]
                        seconds = (lat[i, j] + flight) * counted[i, j] + seconds
                    if not seconds <= limit[k, m] or seconds == INF:
                        continue
                    worth = delay_worth * seconds
                    if seconds > tau[k, m]:
                        worth += delay_worth * penalty * (seconds - tau[k, m])
                    if energy_worth > 0.0:
                        joules = watts[i, j] * flight
                        if j == 0:
                            joules = device_j[k, m]
                            if begun > 0.0:
                                joules += device_w[k] * begun
                        elif len(server_w) and server_w[j - 1] > 0.0:
                            joules += server_w[j - 1] * (calc + begun)
                        worth += energy_worth * joules
                    if m == blocks[k] - 1 and j > 0 and return_result:
                        if back_s[k, j - 1] == INF:
                            continue
                        back = send_lat[j - 1] * times + back_s[k, j - 1] * result_bits[k]
                        seconds += back
                        worth += delay_worth * back
                    cost[a, m, i, j] = factor * worth
                    delay[a, m, i, j] = seconds
