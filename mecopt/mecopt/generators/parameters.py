"""Every parameter of a generated instance: its kind, its default, and what it means.

The parts below hold what belongs together; to users the names are flat. Defaults that no named setting
changes are chosen, not the paper's, unless the help says so.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from mecopt.entities import PRESETS, Coupling, Deadline, OneRun, Sharing
from mecopt.errors import InputError, shortened, shown
from mecopt.generators.values import (
    Encoding,
    Flag,
    Kind,
    NetworkName,
    Number,
    Passes,
    Range,
    WholeValue,
    Word,
    Words,
    to_text,
)
from mecopt.scalars import without_numpy

MOST_TASKS, MOST_RATES = 5_000_000, 100_000_000
MOST_NUMBERS = 15_000_000  # rates and deadlines: a minute and 3 GB of memory, a file of 400 MB
MOST_STEPS, MOST_SERVERS = 20_000_000, 64  # where budgets are set, which prices every step of the chain
MOST_SHOWN = 60  # characters of a value in a message
POSITIVE, OPTIONAL = Number(), Number(optional=True)
ALIASES = {"batch": "release_rate", "tasks_per_slot": "release_rate", "beta": "deadline_penalty"}
COUPLINGS = tuple(
    c.value for c in Coupling if c is not Coupling.SHARING
)  # that one has a parameter of its own
# Of each pair at most one is set; naming one drops what a named setting says of the other.
EXCLUSIVE = (("slot_s", "ratio"), ("energy_budget_j", "energy_budget_share"))


# ruff: noqa: RUF009  (_p is dataclasses.field with its metadata spelled shorter)


def _p(default: Any, kind: Kind, about: str) -> Any:
    return dataclasses.field(default=default, metadata={"kind": kind, "help": about})


@dataclass(frozen=True)
class Release:
    """When inferences are released, and how they form tasks."""

    slots: int = _p(600, WholeValue(1, 1_000_000), "time slots T (the paper: 600)")
    slot_s: float | None = _p(1.0, OPTIONAL, "seconds of a slot")
    ratio: float | None = _p(
        None, OPTIONAL, "demand / capacity of a slot; the seconds of a slot follow from it"
    )
    tasks: str = _p(
        "bundled", Word(("bundled", "individual")), "one task per slot, or one per inference and device"
    )
    release_rate: int = _p(60, WholeValue(1, 1_000_000), "inferences per slot (the paper: 30..110, 60)")


@dataclass(frozen=True)
class NetworkParameters:
    """The DNN that every task runs."""

    model: str = _p("vgg16-cifar10", NetworkName(), "network; `mecopt models` lists them")
    blocks: int = _p(6, WholeValue(1, 1000), "blocks M (the paper: 3..18, 6)")
    cycles_per_mac: float = _p(1.0, POSITIVE, "cycles of one multiply-add")
    input: str | int = _p("float32", Encoding(), "raw input: float32, uint8, or bytes in all")
    output_bits: float | None = _p(
        None, Number(above=False, optional=True), "final output; none: the network's own"
    )


@dataclass(frozen=True)
class Devices:
    """The IoT devices: one when bundled, one per inference of a slot when individual."""

    device_cycles_per_s: float | Range = _p(1e9, Number(drawn=True), "speed f_l, or a range drawn per device")
    transmit_power_w: float = _p(0.5, Number(above=False), "transmit power p")
    kappa: float = _p(1e-26, Number(above=False), "energy coefficient (the paper: 1e-26)")
    device_memory_bytes: float | None = _p(None, Number(above=False, optional=True), "memory of every device")
    energy_budget_j: float | None = _p(
        None, Number(above=False, optional=True), "energy budget of every device"
    )
    energy_budget_share: float | None = _p(
        None, OPTIONAL, "budget as a share of what the optimum without it spends"
    )


@dataclass(frozen=True)
class Servers:
    """The edge servers and the links between them."""

    servers: int = _p(4, WholeValue(1, 1000), "edge servers N (the paper: 2..9)")
    server_cycles_per_s: float | Range | tuple[float, ...] = _p(
        5e9, Number(drawn=True, many=True), "speed F_n: one, one per server, or a range drawn per server"
    )
    server_load_factor: float | Range = _p(
        1.0,
        Number(drawn=True, most=1.0),
        "share of the speed left by other load, or a range drawn per slot and server",
    )
    server_memory_bytes: float | None = _p(None, Number(above=False, optional=True), "memory of every server")
    server_bps: float = _p(1e8, Number(above=False), "rate between any two servers, bit/s; 0 = no link")


@dataclass(frozen=True)
class Radio:
    """The rates between devices and servers; from `bandwidth_hz` on only for geometry."""

    rates: str = _p(
        "uniform", Word(("uniform", "geometry")), "draw rates from a range, or from places in the plane"
    )
    rate_bps: float | Range = _p(
        Range(6.4e6, 16e6),
        Number(drawn=True),
        "rate, or a range per task and server (the paper: 0.8..2 MB/s)",
    )
    bandwidth_hz: float = _p(2e6, POSITIVE, "bandwidth B of a channel")
    radius_m: float = _p(750.0, POSITIVE, "radius of the disc of devices and servers (the paper: 750 m)")
    nearest_m: float = _p(35.0, POSITIVE, "distances below this count as this")
    path_loss_db: float = _p(128.1, POSITIVE, "path loss at 1 km (3GPP TR 36.814, urban macro cell)")
    path_loss_slope_db: float = _p(
        37.6, Number(above=False), "path loss for ten times the distance (same source)"
    )
    noise_dbm_per_hz: float = _p(-174.0, Number(least=-300.0, most=300.0), "noise power density N0")


@dataclass(frozen=True)
class Limits:
    """Rules, deadlines and couplings."""

    preset: str = _p("paper", Word(tuple(PRESETS)), "which transfers and energies count")
    deadline: str = _p("soft", Word(tuple(mode.value for mode in Deadline)), "what max_delay_s does")
    deadline_penalty: float = _p(1.0, Number(above=False), "beta: cost of a second above a soft deadline")
    max_delay_s: float | Range | None = _p(
        None, Number(above=False, optional=True, drawn=True), "tau, or a range drawn per task and block"
    )
    max_delay_lift: bool = _p(
        False, Flag(), "lift the deadlines of tasks that could not meet them (docs/generate.md)"
    )
    couplings: tuple[str, ...] = _p((), Words(COUPLINGS), "constraints between tasks")


@dataclass(frozen=True)
class Wider:
    """What only instances of the wider format have."""

    objective: str = _p("delay", Word(("delay", "energy", "period")), "what is minimised")
    joule_worth: float = _p(0.0, Number(above=False), "seconds that a joule is worth in the objective delay")
    objective_of: str = _p("devices", Word(("devices", "all")), "whose joules the objective counts")
    server_power_w: float | None = _p(
        None, Number(above=False, optional=True), "power of every calculating server"
    )
    sharing: str = _p(
        "none", Word(("none", *Sharing)), "how a server's load lengthens its calculations; switches it on"
    )
    one_run: str = _p("none", Word(tuple(OneRun)), "which nodes run one stretch of a task at most")
    max_total_delay_s: float | Range | None = _p(
        None, Number(above=False, optional=True, drawn=True), "end-to-end deadline, or a range drawn per task"
    )
    weight: float | Range = _p(1.0, Number(drawn=True), "weight of a task, or a range drawn per task")
    drop_cost: float | Range | None = _p(
        None, Number(above=False, optional=True, drawn=True), "cost of leaving a task out, or a range"
    )
    down_rate_bps: float | Range | None = _p(
        None,
        Number(above=False, optional=True, drawn=True),
        "rate back to the device, or a range per task and server",
    )
    phases: tuple[tuple[str, int], ...] = _p((), Passes(), "phases, NAME or NAME*REPEAT, several with commas")
    phase_share: float = _p(
        1.0, Number(most=1.0), "cycles and bits of a pass of later phases, as a share of the first"
    )


@dataclass(frozen=True)
class Parameters:
    """All parameters of one instance, by what they belong to."""

    release: Release
    network: NetworkParameters
    devices: Devices
    servers: Servers
    radio: Radio
    limits: Limits
    wider: Wider

    def flat(self) -> dict[str, Any]:
        """Return every parameter by its name."""
        return {name: value for part in vars(self).values() for name, value in vars(part).items()}

    @property
    def individual(self) -> bool:
        """Whether every inference is a task of its own."""
        return self.release.tasks == "individual"

    @property
    def tasks_per_slot(self) -> int:
        """Tasks of a slot, each with a device of its own."""
        return self.release.release_rate if self.individual else 1

    @property
    def batch(self) -> int:
        """Inferences of a task."""
        return 1 if self.individual else self.release.release_rate


PARTS = {
    "release": Release,
    "network": NetworkParameters,
    "devices": Devices,
    "servers": Servers,
    "radio": Radio,
    "limits": Limits,
    "wider": Wider,
}


@cache
def fields() -> dict[str, dataclasses.Field[Any]]:
    """Return the field of every parameter by its name."""
    return {field.name: field for part in PARTS.values() for field in dataclasses.fields(part)}


def kind(name: str) -> Kind:
    """Return the kind of a parameter."""
    found: Kind = fields()[name].metadata["kind"]
    return found


def canonical(name: str) -> str:
    """Return the name of a parameter, an alias replaced.

    Raises
    ------
    InputError
        If there is none of that name; the nearest are offered.
    """
    plain = name.strip().replace("-", "_")
    plain = ALIASES.get(plain, plain)
    if plain not in fields():
        near = difflib.get_close_matches(plain, [*fields(), *ALIASES], n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(fields())}"
        raise InputError(f"{name}: no such parameter, {hint}")
    return plain


def resolve(setting: Mapping[str, Any], changes: Mapping[str, Any]) -> Parameters:
    """Put changes on top of a named setting, fill in the defaults and check everything.

    When the number of servers is changed but not their speeds, the setting's speeds are read as points at
    equal distances from 0 to 1, and the new ones interpolated between them (`respaced`).

    Raises
    ------
    InputError
        With one line for every problem.
    """
    given = read(changes)
    flat = {name: field.default for name, field in fields().items()} | read(setting)
    problems = []
    for pair in EXCLUSIVE:
        named = [name for name in pair if given.get(name) is not None]
        if len(named) == 2:
            problems.append(f"{pair[0]}: given together with {pair[1]}, expected one of them")
        elif named:
            flat |= dict.fromkeys(pair)
    flat |= given
    if flat["slot_s"] is None and flat["ratio"] is None:
        problems.append("slot_s: none, expected a number > 0 where no ratio is given")
    problems += _speed_problems(flat, given) + _size_problems(flat)
    if problems:
        raise InputError(problems)
    parts = {
        part: holder(**{field.name: flat[field.name] for field in dataclasses.fields(holder)})
        for part, holder in PARTS.items()
    }
    return Parameters(**parts)


def respaced(values: tuple[float, ...], count: int) -> tuple[float, ...]:
    """Interpolate `count` whole values along a list: same ends, equal distances; one alone is the middle."""
    spaced, last = [], len(values) - 1
    for i in range(count):
        left, rest = divmod(i * last, count - 1) if count > 1 else divmod(last, 2)
        share = rest / (count - 1 if count > 1 else 2)
        between = values[left] + (values[min(left + 1, last)] - values[left]) * share
        spaced.append(float(round(between)) if rest else values[left])
    return tuple(spaced)


def read(values: Mapping[str, Any]) -> dict[str, Any]:
    """Check names and values.

    Raises
    ------
    InputError
        Of all problems together.
    """
    problems: list[str] = []
    read: dict[str, Any] = {}
    for given, foreign in values.items():
        value = without_numpy(foreign)
        try:
            name = canonical(given)
            if name in read:
                problems.append(f"{given}: given twice")
            read[name] = kind(name).read(value)
        except InputError as error:
            problems += error.problems
        except ValueError as error:
            problems.append(f"{shortened(given, MOST_SHOWN)}: {_shown(value)}, expected {error}")
    if problems:
        raise InputError(problems)
    return read


def _shown(value: Any) -> str:
    try:
        text = to_text(tuple(value) if isinstance(value, list) else value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        text = shown(value)
    return shortened(text, MOST_SHOWN)


def _speed_problems(flat: dict[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Make the list of speeds as long as there are servers, or say why it cannot be."""
    speeds = flat["server_cycles_per_s"]
    if not isinstance(speeds, tuple):
        return []
    if "server_cycles_per_s" in given and "servers" not in given:
        flat["servers"] = len(speeds)
    elif "server_cycles_per_s" in given and len(speeds) != flat["servers"]:
        return [f"server_cycles_per_s: {len(speeds)} speeds for {flat['servers']} servers"]
    elif len(speeds) != flat["servers"]:
        flat["server_cycles_per_s"] = respaced(speeds, flat["servers"])
    return []


def _size_problems(flat: dict[str, Any]) -> list[str]:
    from mecopt import models

    problems = []
    most = models.network(flat["model"]).max_blocks
    if flat["blocks"] > most:
        problems.append(f"blocks: {flat['blocks']}, expected 1 to {most} for {flat['model']}")
    tasks = flat["slots"] * (flat["release_rate"] if flat["tasks"] == "individual" else 1)
    if tasks > MOST_TASKS:
        problems.append(f"slots: {tasks} tasks in all, expected {MOST_TASKS} or fewer")
    elif tasks * flat["servers"] > MOST_RATES:
        problems.append(f"servers: {tasks * flat['servers']} rates in all, expected {MOST_RATES} or fewer")
    elif tasks * (flat["servers"] + flat["blocks"]) > MOST_NUMBERS:
        numbers = tasks * (flat["servers"] + flat["blocks"])
        expected = f"{MOST_NUMBERS} or fewer"
        problems.append(f"slots: {numbers} rates and deadlines in all, expected {expected}")
    elif flat["energy_budget_j"] is not None or flat["energy_budget_share"] is not None:
        problems += _budget_problems(tasks, flat["blocks"], flat["servers"])
    return problems


def _budget_problems(tasks: int, blocks: int, servers: int) -> list[str]:
    """Refuse what would take minutes: the least energy of a task is a shortest path over all its steps."""
    steps = tasks * blocks * (servers + 1) ** 2
    if servers > MOST_SERVERS:
        return [f"servers: {servers} with an energy budget, expected {MOST_SERVERS} or fewer"]
    if steps > MOST_STEPS:
        expected = f"{MOST_STEPS} or fewer where there is an energy budget"
        return [f"slots: {steps} steps (tasks x blocks x nodes^2), expected {expected}"]
    return []
