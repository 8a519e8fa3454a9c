"""`generate`: seeded instances, from the paper's setting to harder ones.

The same setting and seed give the same instance on every machine, and every instance says in `origin`
how to make it again.
"""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Mapping
from typing import Any

from mecopt._version import __version__
from mecopt.errors import InputError, InstanceError, shown
from mecopt.generators.census import Census, census
from mecopt.generators.own_settings import SUFFIX
from mecopt.generators.parameters import Parameters, read
from mecopt.generators.specs import Spec, expand, names, parse
from mecopt.generators.values import Range, WholeValue, to_json, to_text
from mecopt.instance import Instance

__all__ = ["Census", "Range", "Spec", "census", "command", "expand", "generate", "names", "parse"]


def generate(spec: str | Spec = "paper", *, seed: int | None = None, **parameters: Any) -> Instance:
    """Make an instance.

    Parameters
    ----------
    spec : str or Spec
        A named setting (`names()`), with changes if you like: ``"paper:servers=6,blocks=9"``; or the file of
        a setting of one's own, ``"my.json:servers=6"``.
    seed : int, optional
        0 unless the spec gives one.
    **parameters
        Changes to the setting; docs/generate.md lists them all. A value to be drawn is a `Range(low, high)`,
        or just (low, high) where it cannot be mistaken for one value for each server.

    Returns
    -------
    Instance
        Its name is the spec, its `origin` how to make it again.

    Raises
    ------
    InputError
        If a name does not exist, a value is out of range, or no placement can meet an energy budget.

    Examples
    --------
    >>> import mecopt
    >>> mecopt.generate("camera-alexnet:slots=10", seed=3, servers=2).name
    'camera-alexnet:slots=10,servers=2,seed=3'
    """
    from mecopt.generators.assemble import build

    if not isinstance(spec, (str, Spec)):
        raise InputError(f"{shown(spec)}, expected a text such as 'paper:servers=6', or a Spec")
    base = parse(spec) if isinstance(spec, str) else spec
    chosen = Spec(base.name, _merged(base.changes, parameters), _seed(base.seed, seed))
    settled = chosen.parameters()
    for text in _doubts(settled):
        warnings.warn(text, stacklevel=2)
    try:
        instance, derived = build(settled, chosen.seed or 0, chosen.title)
    except InstanceError as error:
        raise InstanceError(f"no instance follows from these parameters: {error.problems[0]}") from None
    origin = {
        "generator": "mecopt generate",
        "version": __version__,
        "command": command(chosen),
        "spec": chosen.name,
        "seed": chosen.seed,
        "parameters": {name: to_json(value) for name, value in settled.flat().items()},
        "derived": derived,
    }
    return instance.replace(origin=origin)


def command(spec: Spec) -> str:
    """Return the command line that makes the instance of a spec."""
    setting = ["--setting", spec.name] if spec.name.endswith(SUFFIX) else [spec.name]
    words = ["mecopt", "generate", *setting, "--seed", str(spec.seed or 0)]
    for name, value in spec.changes.items():
        words += ["--set", f"{name}={to_text(value)}"]
    return shlex.join(words)


def _merged(changes: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    return {**read(changes), **read(more)}


def _seed(given: int | None, wanted: int | None) -> int:
    if given is not None and wanted is not None and given != wanted:
        raise InputError(f"seed: {shown(wanted)}, but the spec says {given}")
    seed = wanted if given is None else given
    try:
        return WholeValue(0, 2**63).read(0 if seed is None else seed)
    except ValueError as error:
        raise InputError(f"seed: {shown(seed)}, expected {error}") from None


def _doubts(settled: Parameters) -> list[str]:
    """Say what is allowed but seldom meant."""
    doubts = []
    limits, devices = settled.limits, settled.devices
    if "capacity" in limits.couplings and not settled.individual:
        doubts.append(
            "capacity on bundled tasks: a whole slot's batch rarely fits one server; try tasks=individual"
        )
    budget = devices.energy_budget_j is not None or devices.energy_budget_share is not None
    if budget and "energy" not in limits.couplings:
        doubts.append("an energy budget without the coupling: nothing enforces it; try couplings=energy")
    if "energy" in limits.couplings and not budget:
        doubts.append("the energy coupling without a budget: it limits nothing; try energy_budget_share=0.6")
    memory = devices.device_memory_bytes is not None or settled.servers.server_memory_bytes is not None
    if "memory" in limits.couplings and not memory:
        doubts.append("the memory coupling without a memory size: it limits nothing; try server_memory_bytes")
    late = limits.max_delay_s is not None or settled.wider.max_total_delay_s is not None
    if not late and limits.deadline == "hard":
        doubts.append("hard deadlines without max_delay_s: nothing is late")
    return doubts
