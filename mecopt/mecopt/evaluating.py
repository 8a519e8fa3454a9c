"""`mecopt.evaluate`: the judge, for whatever stands for an instance.

Apart from the judge, which is below what makes instances: generators ask it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from mecopt import judge
from mecopt.costs import ChainCosts
from mecopt.instance import Instance
from mecopt.judge import Evaluation
from mecopt.sources import instance_of


def evaluate(
    instance: Instance | str | os.PathLike[str],
    placement: Sequence[Sequence[int]] | NDArray[Any],
    *,
    costs: ChainCosts | None = None,
) -> Evaluation:
    """Judge a placement.

    Parameters
    ----------
    instance : Instance, str or path
        Or what `load` takes: a file, the name of a shipped instance, a generator's spec.
    placement : sequence of sequences of int, or array of shape (tasks, longest model)
        The node of every block: 0 the device, n the n-th server; -1 behind the end of shorter models.
    costs : ChainCosts, optional
        The instance's `chain_costs`, where the caller has them already.

    Raises
    ------
    PlacementError
        If the placement has the wrong shape or a node that does not exist. Violations are no error.
    CouplingError
        If the instance has a coupling that is not in `mecopt.limits`.
    """
    return judge.evaluate(instance_of(instance), placement, costs=costs)
