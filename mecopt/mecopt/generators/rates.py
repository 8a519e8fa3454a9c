"""Rates between devices and servers, drawn from a range or from places in the plane."""

from __future__ import annotations

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.errors import InputError
from mecopt.generators.draws import unit
from mecopt.generators.parameters import Parameters
from mecopt.generators.values import Range


def rates(parameters: Parameters, device: Ints, seed: int) -> Floats:
    """Return the rate of every task to every server in whole bit/s, (tasks, servers).

    Parameters
    ----------
    parameters : Parameters
    device : array of shape (tasks,)
        The device of every task.
    seed : int
    """
    if parameters.radio.rates == "geometry":
        return _by_geometry(parameters, device, seed)
    given, count = parameters.radio.rate_bps, parameters.servers.servers
    if not isinstance(given, Range):
        return np.full((len(device), count), given)
    return np.rint(given(unit(seed, "rate", len(device), count)))


def places(quantity: str, count: int, radius_m: float, seed: int) -> Floats:
    """Return points uniform in a disc around the origin, (count, 2) metres."""
    drawn = unit(seed, quantity, count, 2)
    radius, angle = radius_m * np.sqrt(drawn[:, 0]), 2 * np.pi * drawn[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _by_geometry(parameters: Parameters, device: Ints, seed: int) -> Floats:
    """Shannon's R = B log2(1 + p |h|^2 / (N0 B)), the channel gain a path loss times Rayleigh fading.

    Devices and servers keep their places; fading is drawn per task and server.
    """
    radio, count = parameters.radio, parameters.servers.servers
    devices = places("device_place", parameters.tasks_per_slot, radio.radius_m, seed)
    servers = places("server_place", count, radio.radius_m, seed)
    apart = np.sqrt(((devices[:, None] - servers) ** 2).sum(axis=2))
    kilometres = np.maximum(apart, radio.nearest_m) / 1000.0
    fading = -np.log1p(-unit(seed, "fading", len(device), count))  # |h|^2 of Rayleigh fading has mean 1
    with np.errstate(all="ignore"):
        loss_db = radio.path_loss_db + radio.path_loss_slope_db * np.log10(kilometres)
        noise_w = 10.0 ** ((radio.noise_dbm_per_hz - 30.0) / 10.0) * radio.bandwidth_hz
        signal = parameters.devices.transmit_power_w * 10.0 ** (-loss_db[device] / 10.0) * fading
        bits_per_s: Floats = radio.bandwidth_hz * np.log1p(signal / noise_w) / np.log(2.0)
    if not np.isfinite(bits_per_s).all():
        names = "nearest_m, path_loss_db, path_loss_slope_db, transmit_power_w, bandwidth_hz"
        raise InputError(f"rates: geometry makes one that is no finite number, expected other {names}")
    return np.maximum(np.rint(bits_per_s), 1.0)
