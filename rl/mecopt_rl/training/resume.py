"""Whether a folder holds the beginning of this very training: same plan, same instances, same layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mecopt.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

ELSEWHERE = "expected the same, or another folder"


def check_same(mine: Mapping[str, Any], stored: Mapping[str, Any], folder: Path) -> None:
    """Refuse to go on with the training of another plan.

    Raises
    ------
    InputError
        If a part of the plan or a setting is stored otherwise; the text names them.
    """
    other = [name for name in mine if stored.get(name) != mine[name]]
    if "learner" in other:  # its settings have other names
        other = ["learner"]
    if other:
        parts = ", ".join(f"{name} {stored.get(name)!r} (here {mine[name]!r})" for name in other)
        why = ""
        if other == ["episodes"]:
            why = ": temperature and learning rate fall over all of them, so it cannot be made longer"
        raise InputError(f"holds a training with {parts}{why}; {ELSEWHERE}", str(folder))


def check_samples(mine: list[str], stored: Any, folder: Path, spec: str) -> None:
    """Refuse to go on when the episodes are no longer those of the beginning, by identities of instances.

    Raises
    ------
    InputError
        If they differ.
    """
    if stored != mine:
        text = f"holds a training on other instances of {spec}, which has changed since"
        raise InputError(f"{text}; {ELSEWHERE}", str(folder))


def check_shapes(mine: Mapping[str, Tensor], stored: Mapping[str, Tensor], path: Path) -> None:
    """Refuse a checkpoint of another layout, before any of it is taken; a copy might stretch a tensor.

    Raises
    ------
    InputError
        If a tensor is missing or of another shape; the text names the first.
    """
    for name, tensor in mine.items():
        if name not in stored:
            reason = f"no {name}"
        elif stored[name].shape != tensor.shape:
            reason = f"{name}: shape {tuple(stored[name].shape)}, expected {tuple(tensor.shape)}"
        else:
            continue
        text = f"does not hold this learner's state ({reason}; another version may have written it)"
        raise InputError(f"{text}; {ELSEWHERE}", str(path))
