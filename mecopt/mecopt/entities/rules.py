"""The rules of an instance: which reading of the paper counts, what is minimised, which limits are on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from mecopt.entities.fields import member, one_number, set_numbers
from mecopt.errors import InstanceError, shown


class Coupling(StrEnum):
    """A constraint that ties tasks together."""

    ENERGY = "energy"
    CAPACITY = "capacity"
    MEMORY = "memory"
    SHARING = "sharing"


class Deadline(StrEnum):
    """What the largest tolerable delays do: forbid (C2), cost (Eq. 14), or nothing."""

    HARD = "hard"
    SOFT = "soft"
    NONE = "none"


class Sharing(StrEnum):
    """How a server's load lengthens its calculations: by 1 / (1 - load), or by 1 + load."""

    MM1 = "mm1"
    AFFINE = "affine"


class OneRun(StrEnum):
    """Which nodes run at most one stretch of a task: none need to, every server, every node."""

    NONE = "none"
    SERVERS = "servers"
    ALL = "all"


@dataclass(frozen=True)
class Objective:
    """What is minimised.

    Parameters
    ----------
    delay : float
        Worth of a second of delay, and of deadline penalties.
    energy : float
        Worth of a joule.
    of : {"devices", "all"}
        Whose joules: the devices' alone, or the servers' calculations too.
    period : bool
        Minimise the time that the busiest resource of a slot is busy instead.
    """

    delay: float = 1.0
    energy: float = 0.0
    of: str = "devices"
    period: bool = False

    def __post_init__(self) -> None:
        set_numbers(self, "rules.objective", "delay", "energy")
        if self.of not in ("devices", "all"):
            raise InstanceError(f"rules.objective.of: {shown(self.of)}, expected one of devices, all")
        if self.period:
            object.__setattr__(self, "delay", 0.0)
            object.__setattr__(self, "energy", 0.0)
        elif not (self.delay or self.energy):
            raise InstanceError("rules.objective: delay and energy are both 0, expected one of them above 0")
        if not self.energy:  # whose joules count for nothing makes no difference
            object.__setattr__(self, "of", "devices")

    @classmethod
    def read(cls, value: Any) -> Objective:
        """Read ``"delay"``, ``"period"``, ``{"delay": a, "energy": b, "of": ...}`` or an `Objective`.

        Raises
        ------
        InstanceError
            If it is none of these.
        """
        if isinstance(value, Objective):
            return value
        if isinstance(value, str) and value in ("delay", "period"):
            return PERIOD if value == "period" else DELAY
        if not isinstance(value, Mapping):
            expected = 'expected "delay", "period" or {"delay": a, "energy": b}'
            raise InstanceError(f"rules.objective: {shown(value)}, {expected}")
        unknown = sorted(str(key) for key in value.keys() - {"delay", "energy", "of"})
        if unknown:
            raise InstanceError(f"rules.objective: {shown(unknown[0])}, expected delay, energy and of")
        return cls(value.get("delay", 0.0), value.get("energy", 0.0), value.get("of", "devices"))

    def plain(self) -> str | dict[str, Any]:
        """Return it in the form of the file."""
        if self.period or self == DELAY:
            return "period" if self.period else "delay"
        of = {"of": self.of} if self.of != "devices" else {}
        return {"delay": self.delay, "energy": self.energy, **of}


DELAY = Objective()
PERIOD = Objective(period=True)


@dataclass(frozen=True)
class Rules:
    """Which reading of the paper counts; `Rules.preset` gives the two named ones.

    Parameters
    ----------
    return_transfer : bool
        Charge the step back from a server to the device (Eq. 5) or drop it (Eq. 9).
    hop_energy : bool
        Charge the device for a hop between two servers (Eq. 7 to the letter).
    return_result : bool
        Send the final output back to the device.
    deadline : Deadline
        Mode of the largest tolerable delays.
    deadline_penalty : float
        beta of Eq. 14: seconds of objective for each second above a deadline, under soft deadlines.
    couplings : frozenset of Coupling
        The constraints between tasks that are switched on.
    objective : Objective
        Or what `Objective.read` takes.
    one_run : OneRun
        Whether a node may run two separate stretches of one task.
    sharing : Sharing, optional
        How load lengthens calculations; needed with the coupling `sharing`, and None without it.
    """

    return_transfer: bool = False
    hop_energy: bool = True
    return_result: bool = False
    deadline: Deadline = Deadline.HARD
    deadline_penalty: float = 1.0
    couplings: frozenset[Coupling] = frozenset()
    objective: Objective = field(default=DELAY, metadata={"format": 2})
    one_run: OneRun = field(default=OneRun.NONE, metadata={"format": 2})
    sharing: Sharing | None = field(default=None, metadata={"format": 2})

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("deadline", member(Deadline, self.deadline, "rules.deadline"))
        couplings = frozenset(member(Coupling, name, "rules.couplings") for name in self.couplings)
        put("couplings", couplings)
        for switch in PRESETS["paper"]:
            value = getattr(self, switch)
            if not isinstance(value, (bool, np.bool_)):
                raise InstanceError(f"rules.{switch}: {shown(value)}, expected true or false")
            put(switch, bool(value))
        put("deadline_penalty", one_number(self.deadline_penalty, "rules.deadline_penalty"))
        put("objective", Objective.read(self.objective))
        put("one_run", member(OneRun, self.one_run, "rules.one_run"))
        if self.sharing is not None:
            put("sharing", member(Sharing, self.sharing, "rules.sharing"))
        if Coupling.SHARING not in couplings:
            put("sharing", None)
        problems = list(self._contradictions())
        if problems:
            raise InstanceError(problems)

    def _contradictions(self) -> list[str]:
        """Return what cannot hold together."""
        found = []
        if Coupling.SHARING in self.couplings and self.sharing is None:
            found.append(f"rules.sharing: missing beside the coupling, expected one of {', '.join(Sharing)}")
        soft = self.deadline is Deadline.SOFT
        if soft and not self.objective.period and self.objective.delay == 0:
            found.append("rules.objective.delay: 0 with soft deadlines, whose penalties vanish, expected > 0")
        if self.objective.period:
            beside = ["soft deadlines"] * soft
            beside += [
                f"the coupling {c}" for c in (Coupling.CAPACITY, Coupling.SHARING) if c in self.couplings
            ]
            if beside:
                found.append(f"rules.objective: period, expected it without {' and '.join(beside)}")
        return found

    @classmethod
    def preset(cls, name: str = "paper", **changes: Any) -> Rules:
        """Return the preset `paper` or `physical`, with the given fields changed.

        Raises
        ------
        InstanceError
            If there is no such preset, or a field has a wrong value.
        """
        if name not in PRESETS:
            raise InstanceError(f"rules.preset: {shown(name)}, expected one of {', '.join(PRESETS)}")
        return cls(**{**PRESETS[name], **changes})


PRESETS: dict[str, dict[str, bool]] = {
    "paper": {"return_transfer": False, "hop_energy": True, "return_result": False},
    "physical": {"return_transfer": True, "hop_energy": False, "return_result": True},
}
