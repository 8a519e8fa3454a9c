"""Settings of learners: their base, checks, and changes that a user asks for."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from mecopt.errors import InputError


@dataclass(frozen=True)
class Settings:
    """Settings that every learner has; those of a learner derive from it and add their own."""

    environments: int = (
        60  # E, episodes (or pieces of them, where nothing couples) side by side in one worker
    )
    steps: int = 1  # decisions of an environment between two updates, t_max
    raw_observations: bool = False  # leave the observations in their units

    def __post_init__(self) -> None:
        at_least(self, 1, "environments", "steps")


S = TypeVar("S", bound=Settings)


def at_least(settings: Settings, least: float, *names: str) -> None:
    """Refuse settings that are too small.

    Raises
    ------
    InputError
    """
    for name in names:
        if getattr(settings, name) < least:
            raise InputError(f"{name}: {getattr(settings, name)}, expected at least {least}")


def one_of(settings: Settings, **choices: tuple[str, ...]) -> None:
    """Refuse settings that are none of the words that they may be.

    Raises
    ------
    InputError
    """
    for name, words in choices.items():
        if getattr(settings, name) not in words:
            raise InputError(f"{name}: {getattr(settings, name)!r}, expected {' or '.join(words)}")


def changed(base: S, changes: Mapping[str, object], learner: str) -> S:
    """Return settings, some changed; texts are read as what the setting is.

    Raises
    ------
    InputError
        If there is no such setting, or a value is of another type.
    """
    known = {field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
    given = {}
    for key, value in changes.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
            raise InputError(f"--set {key}: {learner} has no such setting; {hint}")
        given[key] = _typed(key, value, known[key])
    return dataclasses.replace(base, **given)


def _typed(key: str, value: object, example: Any) -> Any:
    """Read a setting's value as the type of its default."""
    kind = type(example)
    if isinstance(value, str) and kind is not str:
        with contextlib.suppress(ValueError):
            value = float(value) if kind is float else json.loads(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(f"--set {key}={value}: expected a {_PLAIN[kind]}, such as {json.dumps(example)}")
    if isinstance(value, float) and not np.isfinite(value):
        raise InputError(f"--set {key}={value}: expected a finite number")
    return value


_PLAIN = {bool: "true or false", int: "whole number", float: "number", str: "text"}
