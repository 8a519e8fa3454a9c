"""The compiled part of a `PriceHead`: windows over arrivals, features of servers, what entries cost."""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit

LEAST_PRICE = -0.9


@njit(cache=True)
def count_arrival(t, head, meter):  # type: ignore[no-untyped-def]
    """Let the windows fade since the last arrival, and count one more; `meter` is its time, and both."""
    scales = head[7]
    past = t - meter[0]
    meter[0] = t
    for w in range(2):
        meter[1 + w] = meter[1 + w] * np.exp(-past * scales[1] / scales[2 + w]) + 1.0


@njit(cache=True)
def move_prices(head, meter, seen, lag, size, own, radio, backlog, price, grow, curve):  # type: ignore[no-untyped-def]
    """Move u, p, q and r of every server by what the network makes of what is seen; all four are written.

    Parameters
    ----------
    head : tuple of arrays
        `PriceHead.table`.
    meter : array (3,)
        `count_arrival`.
    seen : array (2, N)
        Backlogs and work in flight.
    lag, size, own, radio : float
        Age of the backlogs, size of the task, seconds that its device and radio have to do.
    backlog : array (R,)
        u; in as the rule believes it.
    price, grow, curve : arrays (R,)
        p, q and r; in as the rule has them.
    """
    inner, bias, out, offset, speed, grows, curves, scales, feature, hidden = head
    servers, width, unit = len(speed), len(bias), scales[0]
    least, most, mean = np.inf, 0.0, 0.0
    for n in range(servers):
        u = np.log1p(backlog[n] / unit)
        least, most = min(least, u), max(most, u)
        mean += u / servers
    feature[3], feature[4], feature[5] = mean, least, most
    feature[6] = np.log1p(lag / unit)
    for w in range(2):  # as a share of the mean rate, bounded for the sake of very long bursts
        feature[7 + w] = min(4.0, meter[1 + w] / scales[2 + w]) - 1.0
    feature[9] = np.log(size)
    feature[10], feature[11] = np.log1p(own / unit), np.log1p(radio / unit)
    for n in range(servers):
        feature[0], feature[1] = np.log1p(seen[0, n] / unit), np.log1p(seen[1, n] / unit)
        feature[2], feature[12] = np.log1p(backlog[n] / unit), speed[n]
        for h in range(width):
            x = bias[h]
            for f in range(len(feature)):
                x += inner[h, f] * feature[f]
            hidden[h] = x / (1.0 + abs(x))
        p, q, r, u = offset[0], offset[1], offset[2], offset[3]
        for h in range(width):
            x = hidden[h]
            p += x * out[h, 0]
            q += x * out[h, 1]
            r += x * out[h, 2]
            u += x * out[h, 3]
        price[n] = max(LEAST_PRICE, price[n] + p)  # else forbidden work would be a gift
        grow[n] = max(0.0, grow[n] + q * grows[n])
        curve[n] = max(0.0, curve[n] + r * curves[n])
        backlog[n] = max(0.0, backlog[n] + u * unit)
