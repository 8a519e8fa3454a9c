"""Sharing: what a server calculates in a slot lengthens every calculation there.

With W seconds of calculation on a server in a slot of s seconds, and the load rho = W / s, a calculation
takes 1 / (1 - rho) (mm1) or 1 + rho (affine) times as long. All of them together then take
g(W) = W / (1 - W / s) or W + W^2 / s, which is convex. Judged in two passes: load, then stretch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.entities import Coupling, Sharing
from mecopt.limits.couplings import CAPACITY, seconds_on_servers
from mecopt.limits.kinds import Limit, Where

if TYPE_CHECKING:
    from mecopt.instance import Instance
    from mecopt.judge import Evaluation
    from mecopt.trellis_arcs import Arcs

FULLEST = 1.0 - 1e-6  # largest load under mm1; no tolerance beyond


class ServerSharing(Limit):
    """The load of a server in a slot, below one under mm1; a row a slot and server."""

    name = kind = component = Coupling.SHARING.value
    unit = ""

    def on(self, instance: Instance) -> bool:
        """Say whether the coupling is."""
        return Coupling.SHARING in instance.rules.couplings

    def rows(self, instance: Instance, tasks: Ints | slice = slice(None)) -> Ints:
        """Return slot times N plus server, counted from 0."""
        return CAPACITY.rows(instance, tasks)

    def given(self, instance: Instance, rows: Ints) -> Floats:
        """Return the largest load, a fraction of the slot."""
        return np.full(rows.shape, FULLEST if instance.rules.sharing is Sharing.MM1 else np.inf)

    def most(self, instance: Instance, rows: Ints) -> Floats:
        """Return it without widening."""
        return np.where(rows >= 0, self.given(instance, rows), np.inf)

    def where(self, instance: Instance, row: int) -> Where:
        """Name slot and node."""
        return CAPACITY.where(instance, row)

    def index(self, instance: Instance, row: int) -> tuple[int, ...]:
        """Return slot and node."""
        return CAPACITY.index(instance, row)

    def joins(self, instance: Instance) -> Ints:
        """Join the tasks of a slot."""
        return instance.tasks.slot

    def too_little(self, instance: Instance, row: int, least: float) -> dict[str, Any]:
        """Name the load that a server of a slot cannot be spared, and how much of it is too much."""
        reason = super().too_little(instance, row, least)
        slot, node = self.index(instance, row)
        reason["message"] = (
            f"slot {slot}, {instance.servers[node - 1].name}: what its tasks can run nowhere else is a load "
            f"of {least:.6g}, mm1 wants at most {FULLEST:.6f} ({least - FULLEST:.3g} of the slot too much)"
        )
        return reason

    def alone(self, arcs: Arcs, instance: Instance) -> Floats:
        """Return the load that a step makes by itself."""
        load = seconds_on_servers(arcs) / instance.slot_s
        return load[:, :, None, :] if load.ndim == 3 else load

    def used(self, judged: Evaluation) -> tuple[Ints, Floats]:
        """Return the load of every server that calculates."""
        rows, seconds = CAPACITY.used(judged)
        return rows, seconds / judged.instance.slot_s


SHARING = ServerSharing()


def stretch(kind: Sharing, load: Floats) -> Floats:
    """Return by what a load lengthens calculations; inf above the largest load."""
    if kind is Sharing.AFFINE:
        return 1.0 + load
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(load > FULLEST, np.inf, 1.0 / (1.0 - load))


def stretched(instance: Instance, placement: Ints, work_s: Floats) -> Floats:
    """Lengthen the calculations of a placement by the loads that it makes.

    Parameters
    ----------
    placement : array of shape (K, M)
    work_s : array of shape (K, M)
        Seconds of calculation by themselves.

    Returns
    -------
    array of shape (K, M)
        Seconds; inf on a server with too much to do.
    """
    assert instance.rules.sharing is not None
    k, m = np.nonzero(placement > 0)
    row = CAPACITY.rows(instance)[k, placement[k, m]]
    found, at = np.unique(row, return_inverse=True)
    seconds = work_s[k, m]
    load = np.bincount(at, seconds, len(found)) / instance.slot_s
    longer = work_s.copy()
    with np.errstate(invalid="ignore"):
        longer[k, m] = np.where(seconds > 0, seconds * stretch(instance.rules.sharing, load)[at], 0.0)
    return longer
