"""When and where the blocks of a task run: what the pictures in the terminal and the plots both show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mecopt.arrays import Floats
from mecopt.costs import Steps
from mecopt.instance import Instance
from mecopt.judge import Evaluation, PhaseDelays
from mecopt.text import visible

# Okabe and Ito's palette, which the colour-blind can tell apart, and three of Paul Tol's for more servers.
DEVICE_COLOUR = "#E69F00"
SERVER_COLOURS = (
    "#56B4E9", "#009E73", "#F0E442", "#CC79A7", "#0072B2", "#999999", "#332288", "#882255", "#DDCC77",
)  # fmt: skip
LATE_COLOUR = "#D55E00"
LEFT_OUT = "left out"  # what is said of a task that runs nowhere

Kind = Literal["transfer", "calc", "result"]


@dataclass(frozen=True)
class Span:
    """A stretch of a task's time on one node.

    Parameters
    ----------
    kind : {"transfer", "calc", "result"}
        Receiving the input of the block, calculating it, or the device receiving the result.
    block, node : int
    start_s, end_s : float
        Seconds since the release of the task.
    late : bool
        Whether the block is above its deadline.
    missing : bool
        Whether the transfer needs a link that is missing; its length is then made up.
    phase : int
        The phase of the model; all its passes are one span.
    shared_s : float
        Seconds of it that are there because the server is shared.
    """

    kind: Kind
    block: int
    node: int
    start_s: float
    end_s: float
    late: bool = False
    missing: bool = False
    phase: int = 0
    shared_s: float = 0.0


def spans(evaluation: Evaluation, task: int) -> list[Span]:
    """Return the spans of one task in the order of time; a transfer that takes no time has none.

    A task that is left out has none at all.
    """
    if evaluation.dropped[task]:
        return []
    passes: tuple[PhaseDelays | Steps, ...] = (evaluation.steps,)
    if evaluation.instance.phase_count > 1:
        passes = evaluation.phases[: len(phases(evaluation.instance, task))]
    parts = [(p, *part) for p, steps in enumerate(passes) for part in _parts(evaluation, task, steps)]
    finite = sum(length for *_, length in parts if np.isfinite(length))
    made_up = 0.1 * finite or 1.0
    found, now = [], 0.0
    longer = _longer(evaluation, task)
    for phase, kind, block, node, length in parts:
        missing = not np.isfinite(length)
        end = now + (made_up if missing else length)
        # Over a missing link the excess is infinite; that is a fault of its own.
        late = kind == "calc" and 0 < evaluation.steps.excess_s[task, block] < np.inf
        shared = length * longer[block] if kind == "calc" and not missing else 0.0
        if kind == "calc" or end > now:
            found.append(Span(kind, block, node, now, end, bool(late), missing, phase, float(shared)))
        now = end
    return found


def _parts(
    evaluation: Evaluation, task: int, steps: PhaseDelays | Steps
) -> Iterator[tuple[Kind, int, int, float]]:
    """Yield kind, block, node and length of what happens to a task, one after the other."""
    count = int(evaluation.instance.block_count[task])
    for block in range(count):
        node = int(evaluation.placement[task, block])
        yield "transfer", block, node, float(steps.trans_s[task, block])
        yield "calc", block, node, float(steps.calc_s[task, block])
    yield "result", count, 0, float(steps.result_s[task])


def _longer(evaluation: Evaluation, task: int) -> Floats:
    """Return the share of every block's calculation that is there because servers are shared, (M,)."""
    calc, work = evaluation.steps.calc_s[task], evaluation.work_s[task]
    with np.errstate(invalid="ignore"):
        share: Floats = np.where(
            (calc > work) & np.isfinite(calc), 1.0 - work / np.where(calc > 0, calc, 1.0), 0.0
        )
    return share


def phases(instance: Instance, task: int) -> list[str]:
    """Return the names of a task's phases as they are shown, with how often it passes the chain in each."""
    parts = instance.models[instance.tasks.model[task]].phases
    return [visible(part.name) + (f" x{part.repeat}" if part.repeat > 1 else "") for part in parts]


def shared_s(evaluation: Evaluation, task: int) -> float:
    """Return the seconds of a task's delay that are there because servers are shared."""
    return sum(part.shared_s for part in spans(evaluation, task))


def node_names(instance: Instance, task: int | None = None) -> list[str]:
    """Return the names of nodes 0 to N as they are shown; node 0 is the task's own device, or "device"."""
    device = "device" if task is None else instance.devices[instance.tasks.device[task]].name
    return [visible(name) for name in (device, *(server.name for server in instance.servers))]


def block_names(instance: Instance, task: int) -> list[str]:
    """Return the names of a task's blocks as they are shown; one without a name is its number."""
    blocks = instance.models[instance.tasks.model[task]].blocks
    return [visible(block.name) or str(m) for m, block in enumerate(blocks)]


def model_name(instance: Instance, task: int) -> str:
    """Return the name of a task's model as it is shown."""
    return visible(instance.models[instance.tasks.model[task]].name)


def outcome(evaluation: Evaluation, task: int) -> str:
    """Say how long a task takes, or why that is not known."""
    if evaluation.dropped[task]:
        return LEFT_OUT
    delay, shared = float(evaluation.task_delay_s[task]), shared_s(evaluation, task)
    if not np.isfinite(delay):
        return "a link is missing" if np.isfinite(evaluation.steps.calc_s[task]).all() else "a server is full"
    more = f", {seconds(shared, 4)} of it by sharing" if shared > 0 else ""
    return f"delay {seconds(delay, 4)}{more}"


def node_colour(node: int) -> str:
    """Return the colour of a node; servers beyond the palette share its last one."""
    return DEVICE_COLOUR if node == 0 else SERVER_COLOURS[min(node, len(SERVER_COLOURS)) - 1]


def ink(colour: str) -> str:
    """Return black or white, whichever can be read on the colour."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 105 else "white"


def node_share(evaluation: Evaluation) -> Floats:
    """Return for every node and block position the share of the tasks that run the block there.

    Returns
    -------
    array of shape (servers + 1, longest model)
        Of the tasks that have the block; each column sums to 1.
    """
    placement, nodes = evaluation.placement, evaluation.instance.server_count + 1
    counts = np.stack([np.bincount(column[column >= 0], minlength=nodes) for column in placement.T], axis=1)
    share: Floats = counts / np.maximum(counts.sum(axis=0), 1)
    return share


def slowest_task(evaluation: Evaluation) -> int:
    """Return the task with the largest delay."""
    return int(evaluation.task_delay_s.argmax())


def seconds(value: float, digits: int = 6) -> str:
    """Write a duration with the unit that suits it."""
    if value == 0:
        return "0 s"
    factor, unit = unit_of(value)
    return f"{number(value / factor, digits)} {unit}"


def unit_of(value: float) -> tuple[float, str]:
    """Return the unit that suits a duration, in seconds and by name."""
    units = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
    return next((unit for unit in units if value >= unit[0]), units[-1])


def number(value: float, digits: int = 6) -> str:
    """Write a number with so many digits, and all of those before the point (none at all from 1e15 on)."""
    whole = 10**digits <= abs(value) < 1e15
    return f"{value:,.0f}" if whole else f"{value:,.{digits}g}"
