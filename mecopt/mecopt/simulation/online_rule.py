"""The seam: what a rule is, and how one is found by its name or in a file.

Rules are entry points of group ``mecopt.rules``, each naming a `Rule`. Nothing else lists them.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import numpy as np

from mecopt.arrays import Floats
from mecopt.errors import InputError, MecoptError, said, shown, words
from mecopt.own import method_file
from mecopt.simulation.price_head import PriceHead
from mecopt.simulation.world import World

GROUP = "mecopt.rules"
FILES = "mecopt.rule_files"  # readers of rules from files, each named by the end of a file's name
KIND = "a Rule of mecopt.simulation or a function of a View"  # in a file

SEES = {"nothing": 0, "backlog": 1, "flight": 2}
POOLS = {"all": 0, "least": 1, "two": 2}


@dataclass(frozen=True, eq=False)
class Setting:
    """What a rule may know before the first task comes: the model of the arrivals, no arrival itself.

    Attributes
    ----------
    world : World
    rate : float
        Mean tasks a second.
    lag_s : float
        Age of the backlogs that decisions see, in seconds.
    sizes, chances : arrays
        Sizes of tasks and how likely each is.
    arrivals : str
        Kind of the arrivals.
    discipline : {"fifo", "ps"}
    """

    world: World
    rate: float
    lag_s: float
    sizes: Floats
    chances: Floats
    arrivals: str = "poisson"
    discipline: str = "fifo"


@dataclass(frozen=True, eq=False)
class View:
    """What a decision sees; for rules of one's own.

    Attributes
    ----------
    world : World
    time_s : float
    task : int
        Template: which task of the instance it is like.
    size : float
        Factor of its calculations and bits.
    backlog_s : array (N,)
        Seconds that every server had to do `lag_s` ago.
    in_flight_s : array (N,)
        Seconds sent to every server that these backlogs do not have in them.
    lag_s : float
    device_s, radio_s : float
        Seconds that the task's own device and its radio have to do now.
    """

    world: World
    time_s: float
    task: int
    size: float
    backlog_s: Floats
    in_flight_s: Floats
    lag_s: float
    device_s: float
    radio_s: float

    def cheapest(self, backlog_s: Floats, price: Floats | None = None) -> list[int]:
        """Return the nodes of the cheapest path at backlogs and prices of the servers, (N,) each."""
        world, device = self.world, int(self.world.tables[1][self.task])
        backlog, prices = np.zeros(world.resources), np.zeros(world.resources)
        backlog[: world.servers] = backlog_s
        backlog[world.servers + device] = self.device_s
        backlog[world.servers + world.devices + device] = self.radio_s
        if price is not None:
            prices[: world.servers] = price
        nodes, _, _ = world.decide(
            np.array([self.task]), np.array([self.size]), backlog=backlog, price=prices
        )
        return [int(node) for node in nodes[0] if node >= 0]


Decide = Callable[[View], Sequence[int]]


@dataclass(frozen=True, eq=False)
class Pricing:
    """A rule that is compiled: the cheapest path, where entries cost u + x + x (p + q u + r x).

    Attributes
    ----------
    prices : array (J, R)
        p of every resource; one of the J rows is drawn for each decision.
    grow, curve : arrays (R,) or (J, R)
        q and r.
    sees : {"nothing", "backlog", "flight"}
        What u is for servers: 0, the backlog seen, or that and what is in flight.
    pool : {"all", "least", "two"}
        Servers that may be used: all, that of least backlog, two drawn at random.
    own : float
        Weight of what the task's device and radio have to do now; 0 for a rule that looks at nothing.
    mean : array (N,)
        What backlogs are expected to be.
    keep : float
        Share of a backlog's distance from that which is believed: u is mean + keep (seen - mean).
    rate : float
        Step of mirror descent on the first row of prices; 0: they stay.
    unit : float
        Seconds that one step is measured by.
    told : bool
        Whether the row is that of the true state of the arrivals (0 calm, 1 burst), which no rule can know.
    head : PriceHead, optional
        What moves u, p, q and r of the servers with what is seen.
    """

    prices: Floats
    grow: Floats
    curve: Floats
    sees: str = "nothing"
    pool: str = "all"
    own: float = 0.0
    mean: Floats = field(default_factory=lambda: np.zeros(0))
    keep: float = 1.0
    rate: float = 0.0
    unit: float = 1.0
    told: bool = False
    head: PriceHead | None = None

    @classmethod
    def free(cls, world: World, **changes: Any) -> Pricing:
        """Return one without prices, but for what is given."""
        zero = np.zeros(world.resources)
        given = {"prices": zero[None], "grow": zero, "curve": zero, "mean": np.zeros(world.servers)}
        return cls(**(given | changes))


@dataclass(frozen=True)
class Rule:
    """A way to decide where an arriving task runs.

    Parameters
    ----------
    name : str
    summary : str
        One line.
    prepare : callable
        ``prepare(setting)`` returns a `Pricing`, or a function of a `View` that returns a node a block.
    """

    name: str
    summary: str
    prepare: Callable[[Setting], Pricing | Decide]


@cache
def _entries(group: str = GROUP) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}


def names() -> tuple[str, ...]:
    """Return the names of all registered rules, sorted."""
    return tuple(sorted(_entries()))


def find(given: str | Rule | Decide) -> Rule:
    """Return the rule of a registered name, ``file.py:NAME``, a policy's file, a `Rule` or a function.

    Raises
    ------
    InputError
        If there is none, or it is no rule.
    MecoptError
        If the package that offers it cannot be imported.
    """
    if not isinstance(given, str):
        return _of(given, "rule")
    if method_file.names_a_file(given):
        return _of(method_file.load(given, "rule", KIND), given)
    reader = _entries(FILES).get(Path(given).suffix.removeprefix("."))
    if reader is not None:
        value = _loaded(reader, given)(given)
        return replace(value, name=given) if isinstance(value, Rule) else _of(value, given)
    entry = _entries().get(given)
    if entry is None:
        near = difflib.get_close_matches(given, _entries(), n=2)
        offer = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names())}"
        raise InputError(f"no rule {shown(given)}; {offer}, or file.py:NAME")
    value = _loaded(entry, given)
    if not isinstance(value, Rule):
        raise MecoptError(f"rule {given!r} ({entry.value}) is a {type(value).__name__}, expected a Rule")
    return replace(value, name=given)


def file_of(given: Any) -> Path | None:
    """Return the file that a rule is read from, None where it is in none."""
    if not isinstance(given, str):
        return None
    if method_file.names_a_file(given):
        return method_file.path_of(given)
    return Path(given) if Path(given).suffix.removeprefix(".") in _entries(FILES) else None


def _loaded(entry: EntryPoint, given: str) -> Any:
    try:
        return entry.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the code of a third party may raise anything
        why = words(error) if isinstance(error, Exception) else said(error)
        raise MecoptError(f"rule {given!r} ({entry.value}) cannot be loaded: {why}") from error


def _of(value: Any, place: str) -> Rule:
    if isinstance(value, Rule):
        return value
    if not callable(value) or isinstance(value, type):
        raise InputError(
            f"{place}: {shown(value)}, expected a rule's name, file.py:NAME, a Rule or a function of a View"
        )
    name = getattr(value, "__name__", type(value).__name__).strip("<>")
    summary = (inspect.getdoc(value) or "a rule of one's own").partition("\n")[0]
    return Rule(name, summary, lambda setting: value)
