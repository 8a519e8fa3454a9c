"""From a placement to the stages of a run: which blocks run together, where, and what it should take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mecopt.arrays import Ints
from mecopt.schedule import node_names

if TYPE_CHECKING:
    from mecopt.instance import Instance
    from mecopt.judge import Evaluation


@dataclass(frozen=True)
class Stretch:
    """Consecutive blocks of a task on one node, and the seconds that the judge gives them.

    Parameters
    ----------
    node : str
    first, last : int
        Blocks, the last one included; -1 and -1 where a node only has the input or gets the result.
    transfer_s, calculation_s : float
        Predicted: until its input is there, and of all its blocks.
    """

    node: str
    first: int
    last: int
    transfer_s: float
    calculation_s: float

    @property
    def blocks(self) -> str:
        """The blocks as they are shown."""
        if self.first < 0:
            return ""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def stretches(judged: Evaluation, task: int) -> list[Stretch]:
    """Return the stretches of a task in order, the device's first even where it runs nothing.

    Parameters
    ----------
    judged : Evaluation
    task : int
        It must not be left out.
    """
    instance = judged.instance
    row: Ints = judged.placement[task, : int(instance.block_count[task])]
    names, steps = node_names(instance), judged.steps
    begins = np.flatnonzero(np.diff(row, prepend=-1))
    ends = np.append(begins[1:], len(row)) - 1
    found = [
        Stretch(
            names[row[first]],
            int(first),
            int(last),
            float(steps.trans_s[task, first : last + 1].sum()),
            float(steps.calc_s[task, first : last + 1].sum()),
        )
        for first, last in zip(begins, ends, strict=True)
    ]
    if row[0] != 0:
        found.insert(0, Stretch(names[0], -1, -1, 0.0, 0.0))
    if instance.rules.return_result and row[-1] != 0:
        found.append(Stretch(names[0], -1, -1, float(steps.result_s[task]), 0.0))
    return found


def sent_bits(instance: Instance, task: int, stretch: Stretch) -> float:
    """Return the bits that enter a stretch by the instance's account, or leave as the result."""
    model = instance.models[instance.tasks.model[task]]
    batch = float(instance.tasks.batch[task])
    value = model.output_bits if stretch.first < 0 else model.blocks[stretch.first].input_bits
    return batch * float(value[0] if isinstance(value, tuple) else value)
