"""What a policy was trained on, and how an instance differs from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mecopt.instance import Instance
from mecopt_rl.world.episodes import Episodes
from mecopt_rl.world.observation import LEFT, ranges_of

TOLERANCE = 1e-9  # of a range's ends, relative


def fingerprint(episodes: Episodes) -> dict[str, Any]:
    """Return servers, blocks, rules, the cut of every model, the range of every figure, as JSON holds it."""
    models = {_cut(model) for instance in episodes.samples for model in instance.models}
    return {
        "servers": episodes.servers,
        "blocks": episodes.blocks,
        "rules": rules_of(episodes.samples[0]),
        "models": sorted([list(map(list, cut)) for cut in models]),
        "ranges": {name: list(ends) for name, ends in episodes.ranges.items()},
    }


def misfit(known: Mapping[str, Any], instance: Instance) -> str | None:
    """Say why a policy cannot decide for the instance at all: its shape is another; None where it can."""
    given = instance.server_count, instance.max_blocks
    trained = int(known["servers"]), int(known["blocks"])
    if given[0] == trained[0] and given[1] <= trained[1]:
        return None
    return (
        f"trained for {trained[0]} servers and {trained[1]} blocks, "
        f"instance {instance.name!r} has {given[0]} and {given[1]}"
    )


def outside(known: Mapping[str, Any], instance: Instance) -> list[str]:
    """Return the names of what the policy was not trained on: "rules", "models", parts of an observation."""
    found = []
    if known["rules"] != rules_of(instance):
        found.append("rules")
    cuts = [list(map(list, _cut(model))) for model in instance.models]
    if any(cut not in known["models"] for cut in cuts):
        found.append("models")
    for name, (low, high) in ranges_of([instance]).items():
        if name in LEFT:  # shares of limits that the rules name
            continue
        least, most = known["ranges"][name]
        slack = TOLERANCE * max(abs(least), abs(most))
        if low < least - slack or high > most + slack:
            found.append(name)
    return found


def _cut(model: Any) -> tuple[tuple[float, float, float], ...]:
    return tuple((block.cycles, block.input_bits, block.param_bytes) for block in model.blocks)


def rules_of(instance: Instance) -> dict[str, Any]:
    """Return the rules of an instance as JSON holds them; those of the wider format where they are used."""
    fields = {f.name: (f, getattr(instance.rules, f.name)) for f in dataclasses.fields(instance.rules)}
    rules = {name: value for name, (f, value) in fields.items() if not (f.metadata and value == f.default)}
    return {**rules, "deadline": str(rules["deadline"]), "couplings": sorted(map(str, rules["couplings"]))}
