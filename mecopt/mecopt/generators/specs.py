"""Named settings, and the texts that name them: ``paper:servers=6,blocks=9``, ``paper:servers=2..9``."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any

from mecopt.errors import InputError
from mecopt.generators import own_settings
from mecopt.generators.parameters import Parameters, canonical, kind, resolve
from mecopt.generators.values import Range, WholeValue, from_text, to_text

MOST_SPECS = 10_000

ABOUT = {
    "paper": "the paper's setting, calibrated: VGG16 on CIFAR-10, 60 inferences a slot, tau 7 s",
    "paper-load": "servers under varying load",
    "paper-deadline": "varying load, deadlines of 1 to 7 s",
    "paper-near": "a device as fast as a server, 1 Gbit/s between servers",
    "camera-alexnet": "one AlexNet frame a slot, all optima mixed",
    "camera-vgg": "one VGG16 frame a slot",
    "camera-vgg-load": "one VGG16 frame a slot, servers under varying load",
    "camera-alexnet-deadline": "one AlexNet frame a slot, varying load, deadlines of 0.02 to 0.4 s",
    "camera-alexnet-uint8": "one AlexNet frame a slot, raw input of 1 byte a value, varying load",
    "energy": "camera-alexnet with 0.6 of the energy that its optimum would spend",
    "crowd": "60 tasks of 60 devices in one slot, demand 1.1 times what the servers can do",
    "alexnet-6es": "AlexNet, six unequal servers under varying load, hard deadlines that bite in some slots",
}

# Keys of the regimes file that are no parameters, or follow from the model.
_DROPPED = {"base", "output_bits"}


@dataclass(frozen=True)
class Spec:
    """A named setting with changes, and perhaps a seed: what makes one instance.

    Attributes
    ----------
    name : str
        The named setting, or the file of one's own.
    changes : dict
        Parameters that differ from it.
    seed : int or None
        None: the caller's.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None

    def parameters(self) -> Parameters:
        """Return all parameters, checked."""
        return resolve(setting(self.name), self.changes)

    @property
    def title(self) -> str:
        """What an instance of it is called: as the spec, a setting of one's own by its name."""
        if self.name in ABOUT or not self.name.endswith(own_settings.SUFFIX):
            return str(self)
        return own_settings.read(self.name).name + str(self)[len(self.name) :]

    def __str__(self) -> str:
        pairs = [f"{name}={to_text(value)}" for name, value in self.changes.items()]
        pairs += [] if self.seed is None else [f"seed={self.seed}"]
        return self.name + (":" + ",".join(pairs) if pairs else "")


@cache
def regimes() -> dict[str, Any]:
    """Return the regimes file: parameters and expected values of the named regimes."""
    text = (files("mecopt") / "data" / "regimes.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)["regimes"]
    return found


def names() -> tuple[str, ...]:
    """Return the names of all settings."""
    return tuple(ABOUT)


def setting(name: str) -> dict[str, Any]:
    """Return the parameters that a named setting sets, or one of a file.

    Raises
    ------
    InputError
        If there is none of that name; the nearest are offered. If a file holds no setting.
    """
    if name not in ABOUT and name.endswith(own_settings.SUFFIX):
        return _of_file(name)
    if name not in ABOUT:
        near = difflib.get_close_matches(name, ABOUT, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(ABOUT)}"
        raise InputError(f"no setting {name!r}; {hint}")
    if name == "alexnet-6es":
        return _alexnet_6es()
    if name == "crowd":
        return _crowd()
    own = regimes()[name]["parameters"]
    changes = {canonical(key): value for key, value in own.items() if key not in _DROPPED}
    if "base" in own:  # energy
        return setting(own["base"]) | changes | {"couplings": ("energy",)}
    return changes


def _of_file(path: str) -> dict[str, Any]:
    """Return all parameters of a setting of one's own: its base's, and its changes on top."""
    own = own_settings.read(path)
    try:
        return resolve({} if own.base is None else setting(own.base), own.parameters).flat()
    except InputError as error:
        raise InputError(list(error.problems), path) from None


def _crowd() -> dict[str, Any]:
    """Take the numbers of the regimes file, and spell out its words."""
    facts = regimes()["crowd"]["parameters"]
    words = ("tasks_per_slot", "batch", "server_cycles_per_s", "ratio", "default", *_DROPPED)
    default = facts["default"]
    return {key: value for key, value in facts.items() if key not in words} | {
        "tasks": "individual",
        "release_rate": default["K"],
        "servers": default["N"],
        "ratio": default["ratio"],
        "slots": default["slots"],
        "slot_s": None,
        "server_cycles_per_s": Range(2e9, 8e9),
    }


def _alexnet_6es() -> dict[str, Any]:
    return {
        "model": "alexnet-224",
        "release_rate": 1,
        "cycles_per_mac": 1.0,
        "device_cycles_per_s": 2.8e8,
        "servers": 6,
        "server_cycles_per_s": (2.0e9, 2.6e9, 3.4e9, 4.4e9, 5.6e9, 7.2e9),
        "server_load_factor": Range(0.4, 1.0),
        "server_bps": 1e8,
        "rate_bps": Range(6.4e6, 16e6),
        "preset": "paper",
        "deadline": "hard",
        "max_delay_s": Range(0.2, 0.8),
        "max_delay_lift": True,
    }


def parse(text: str) -> Spec:
    """Read a text that names one instance.

    Raises
    ------
    InputError
        If it is malformed, names what does not exist, or names several.
    """
    found = expand(text)
    if len(found) > 1:
        raise InputError(f"{text}: names {len(found)} instances, expected one")
    return found[0]


def expand(text: str) -> list[Spec]:
    """Read a text that may name several instances.

    ``NAME:parameter=value,...``, where ``2..9`` of a parameter that is a whole number (or of ``seed``) stands
    for each number from 2 to 9, and ``a|b|c`` for each of any values. Several of these are combined.
    A range of a parameter that can be drawn stays one: ``rate_bps=6.4e6..16e6``.

    Raises
    ------
    InputError
        If it is malformed, or names what does not exist.
    """
    name, _, rest = text.strip().partition(":")
    setting(name)
    axes = dict(_pairs(text, rest))
    count = 1
    for values in axes.values():
        count *= len(values)
    if count > MOST_SPECS:
        raise InputError(f"{text}: names {count} instances, expected {MOST_SPECS} or fewer")
    specs = []
    for combination in product(*axes.values()):
        changes = dict(zip(axes, combination, strict=True))
        seed = changes.pop("seed", None)
        specs.append(Spec(name, changes, seed))
        specs[-1].parameters()  # refuse now what could not be made
    return specs


def _pairs(text: str, rest: str) -> Iterator[tuple[str, list[Any]]]:
    """Yield each parameter of a text with all its values."""
    seen = set()
    for part in re.split(r",(?=\s*[A-Za-z_-]+\s*=)", rest) if rest.strip() else []:
        given, equals, value = part.partition("=")
        if not equals or not value.strip():
            raise InputError(f"{text}: {part!r}, expected parameter=value")
        name = given.strip() if given.strip() == "seed" else canonical(given)
        if name in seen:
            raise InputError(f"{text}: {name} is given twice")
        seen.add(name)
        yield name, [one for choice in value.split("|") for one in _choices(name, from_text(choice))]


def _choices(name: str, value: Any) -> list[Any]:
    form = WholeValue(0, 2**63) if name == "seed" else kind(name)
    if not isinstance(form, WholeValue):
        return [value]
    ends = (value.low, value.high) if isinstance(value, Range) else (value, value)
    try:
        low, high = (form.read(end) for end in ends)
    except ValueError as error:
        raise InputError(f"{name}: {to_text(value)}, expected {error}") from None
    if not low <= high < low + MOST_SPECS:
        raise InputError(f"{name}: {to_text(value)}, expected a range from low to high")
    return list(range(low, high + 1))
