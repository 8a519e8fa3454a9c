"""Whether the card of a policy says what deciding with it needs, before it meets an instance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mecopt.errors import InputError
from mecopt_rl.training.checkpoint import StoredPolicy
from mecopt_rl.world.observation import LEFT, OPTIONAL, PAPER, Encoder
from mecopt_rl.world.prices import prices_of

LARGEST = 1e150  # of a figure, as of those of an instance


def check_card(policy: StoredPolicy, *, any_size: bool = False) -> StoredPolicy:
    """Return the policy, or refuse one whose card is damaged.

    Raises
    ------
    InputError
        That names the part of the card.
    """
    card, path = policy.card, policy.path
    try:
        if not isinstance(card["training"]["command"], str):
            raise TypeError("command, expected a text")
        known = card["fingerprint"]
        if any_size:
            for name in ("servers", "blocks"):
                _ends(known[name], name)
            _all(known["rules"], Mapping, "rules")
            return policy
        _check_fingerprint(known)
        _check_sizes(policy)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, InputError) as error:
        raise InputError(f"card: {type(error).__name__}: {error}", path) from None
    return policy


def _check_fingerprint(known: Mapping[str, Any]) -> None:
    for name in ("servers", "blocks"):
        if not isinstance(known[name], int) or isinstance(known[name], bool):
            raise TypeError(f"{name}, expected a whole number")
    if not isinstance(known["rules"], Mapping):
        raise TypeError("rules, expected an object")
    _all(known["models"], list, "models")
    for name in (*PAPER, *OPTIONAL):
        if name not in LEFT:
            _ends(known["ranges"][name], f"ranges.{name}")


def _check_sizes(policy: StoredPolicy) -> None:
    """Hold what the policy sees against the network that sees it."""
    card, shape = policy.card, policy.card["shape"]
    encoder = Encoder.from_json(card["encoder"])
    for name, ends in encoder.ranges.items():
        _ends(list(ends), f"encoder: ranges.{name}")
    size = encoder.size
    if "prices" in card:
        prices = prices_of(card["prices"], policy.path)
        figures = [value for name, value in vars(prices).items() if name not in ("size", "servers")]
        if not all(0 < value <= LARGEST for value in figures):
            raise ValueError("prices, expected numbers above 0")
        if getattr(prices, "servers", encoder.servers) != encoder.servers:
            raise ValueError(f"prices of {card['prices']['servers']} servers, expected {encoder.servers}")
        size += prices.size
    given = (size, encoder.blocks, encoder.servers + 1)
    expected = tuple(int(shape[name]) for name in ("observation", "blocks", "nodes"))
    if given != expected:
        raise ValueError(f"encoder of shape {given}, expected {expected}")
    known = card["fingerprint"]
    if (known["servers"], known["blocks"]) != (encoder.servers, encoder.blocks):
        raise ValueError("fingerprint of other servers or blocks than the encoder")


def _ends(value: Any, name: str) -> None:
    """Refuse what are not the two ends of a range."""
    if not isinstance(value, list) or len(value) != 2:
        raise TypeError(f"{name}, expected two numbers")
    low, high = value
    if not all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in value):
        raise TypeError(f"{name}, expected two numbers")
    if not (math.isfinite(low) and math.isfinite(high) and -LARGEST <= low <= high <= LARGEST):
        raise ValueError(f"{name}: {low} to {high}, expected a range")


def _all(value: Any, kind: type, name: str) -> None:
    if not isinstance(value, list) or not all(isinstance(part, kind) for part in value):
        raise TypeError(f"{name}, expected a list")
