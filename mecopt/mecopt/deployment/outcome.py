"""What came of a deployment: predicted beside measured."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats
from mecopt.deployment.stages import Stretch

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "mecopt-deployment/1"


@dataclass(frozen=True, eq=False)
class BlockTimes:
    """What each of the M blocks of a placement took as a session of its own; N inputs, seconds.

    Parameters
    ----------
    names : sequence of str, of length M
    alone : sequence of Stretch, of length M
        Each block by itself, with what was predicted so: what it takes at the start of a stretch is in it.
    inside_s : array of shape (M,)
        Predicted in the stretch of the placement that it belongs to.
    transfers_s, calculations_s : array of shape (N, M)
        Measured: until the block's input is there, and of the block.
    apart : bool
        Whether the blocks went through one by one after the run; else every stretch of the run is one block.
    """

    names: Sequence[str]
    alone: Sequence[Stretch]
    inside_s: Floats
    transfers_s: Floats
    calculations_s: Floats
    apart: bool

    def to_frame(self) -> pd.DataFrame:
        """Return one row a block; measured are medians, and quartiles of the calculation."""
        import pandas as pd

        lower, middle, upper = np.quantile(self.calculations_s, (0.25, 0.5, 0.75), axis=0)
        return pd.DataFrame(
            {
                "block": list(self.names),
                "node": [one.node for one in self.alone],
                "predicted_transfer_s": [one.transfer_s for one in self.alone],
                "measured_transfer_s": medians(self.transfers_s),
                "predicted_inside_s": self.inside_s,
                "predicted_alone_s": [one.calculation_s for one in self.alone],
                "measured_alone_s": middle,
                "lower_quartile_s": lower,
                "upper_quartile_s": upper,
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "measured": "one by one, after the run" if self.apart else "in the run",
            "inputs": len(self.calculations_s),
            "rows": self.to_frame().to_dict(orient="records"),
        }


@dataclass(frozen=True, eq=False)
class Deployment:
    """Inputs that went through a placement on real machines; S stretches, N inputs, seconds.

    Parameters
    ----------
    stretches : sequence of Stretch
        With what was predicted.
    arrived, started, ended : array of shape (N, S)
        On one clock; NaN where an input went through another plan (after a node was lost).
    outputs : sequence of mapping of str to array
        Of every input.
    difference : float
        Largest absolute difference between an output and that of the whole model, run on this machine; inf
        where one of them is no number and the other is.
    pipeline : bool
        Whether inputs overlapped.
    predicted_s : float
        Delay of one input; of a pipeline, the period.
    clock_error_s : float
        How far the clocks of two agents may be apart after they were compared.
    events : sequence of str
        Nodes that were lost, plans that were changed, drifts.
    blocks : BlockTimes, optional
        Of the last placement; None where they were not wanted, or could not be had (`events` then says why).
    """

    stretches: Sequence[Stretch]
    arrived: Floats
    started: Floats
    ended: Floats
    outputs: Sequence[Mapping[str, NDArray[Any]]]
    difference: float
    pipeline: bool
    predicted_s: float
    clock_error_s: float
    events: Sequence[str] = field(default_factory=tuple)
    blocks: BlockTimes | None = None

    @property
    def delays_s(self) -> Floats:
        """From the start on the device to the end of the last stretch, of every input, (N,)."""
        last = self.arrived[:, -1] if self.stretches[-1].first < 0 else self.ended[:, -1]
        delays: Floats = last - self.started[:, 0]
        return delays

    @property
    def period_s(self) -> float | None:
        """Mean seconds between two results, from the second on; None for fewer than three inputs."""
        ends = np.sort(self.ended[:, -1])
        ends = ends[np.isfinite(ends)]
        return float((ends[-1] - ends[1]) / (len(ends) - 2)) if len(ends) > 2 else None

    @property
    def measured_s(self) -> float | None:
        """Median delay, or the period of a pipeline; None where every input went through another plan."""
        if self.pipeline and self.period_s is not None:
            return self.period_s
        delays = self.delays_s[np.isfinite(self.delays_s)]
        return float(np.median(delays)) if len(delays) else None

    @property
    def error(self) -> float | None:
        """Predicted over measured, less one; None where nothing was measured."""
        return self.predicted_s / self.measured_s - 1.0 if self.measured_s else None

    def transfers_s(self) -> Floats:
        """From the end of the stretch before to the arrival of the input, (N, S); 0 of the first."""
        found: Floats = np.zeros_like(self.arrived)
        found[:, 1:] = self.arrived[:, 1:] - self.ended[:, :-1]
        return found

    def calculations_s(self) -> Floats:
        """Seconds of calculation, (N, S)."""
        return self.ended - self.started

    def to_frame(self) -> pd.DataFrame:
        """Return one row a stretch: node, blocks, transfers and calculations, predicted and measured."""
        import pandas as pd

        transfer, calculation = medians(self.transfers_s()), medians(self.calculations_s())
        return pd.DataFrame(
            {
                "node": [one.node for one in self.stretches],
                "first_block": [one.first for one in self.stretches],
                "last_block": [one.last for one in self.stretches],
                "predicted_transfer_s": [one.transfer_s for one in self.stretches],
                "measured_transfer_s": transfer,
                "predicted_calculation_s": [one.calculation_s for one in self.stretches],
                "measured_calculation_s": calculation,
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; the outputs themselves are left out."""
        rows = [
            {key: None if value != value else value for key, value in row.items()}
            for row in self.to_frame().to_dict(orient="records")
        ]
        return {
            "format": FORMAT,
            "inputs": len(self.outputs),
            "pipeline": self.pipeline,
            "predicted_s": self.predicted_s,
            "measured_s": self.measured_s,
            "error": self.error,
            "period_s": self.period_s if self.pipeline else None,
            "delays_s": [None if np.isnan(value) else float(value) for value in self.delays_s],
            "largest_difference": self.difference if np.isfinite(self.difference) else None,
            "clock_error_s": self.clock_error_s,
            "stretches": rows,
            "blocks": None if self.blocks is None else self.blocks.to_dict(),
            "events": list(self.events),
        }


def medians(values: Floats) -> Floats:
    """Return the median of each column over what is known in it, NaN where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of columns of nothing but NaN
        found: Floats = np.nanmedian(values, axis=0)
    return found
