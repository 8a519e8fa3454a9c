"""Whether a folder holds the beginning of this very training: same plan, same instances, same layout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mecopt.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

ROW = ("round", "episodes", "decisions", "reward", "seconds")  # what a row has at least, beside the gap
LARGEST = 1e15  # of what a training keeps; the squares of larger ones leave the range of their type
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


def check_header(header: Mapping[str, Any], path: Path) -> None:
    """Refuse a checkpoint whose header is damaged.

    Raises
    ------
    InputError
        If a part is missing, or not as training writes it.
    """
    rows, card, kept = header.get("rows"), header.get("card"), header.get("kept")
    sound = {
        "said": isinstance(header.get("said"), dict),
        "samples": isinstance(header.get("samples"), list),
        "rows": isinstance(rows, list) and all(map(_is_row, rows, range(len(rows)))),
        "kept": "kept" in header and (kept is None or (isinstance(rows, list) and kept in rows)),
        "card": "card" in header and (card is None or isinstance(card, dict)),
        "bounds": "bounds" in header,
        "seconds": _finite(header.get("seconds")),
    }
    wrong = next((name for name, is_sound in sound.items() if not is_sound), None)
    if wrong is not None:
        what = f"{wrong}: not as training writes it" if wrong in header else repr(wrong)
        text = f"does not hold this learner's state ({what})"
        raise InputError(f"{text}; {ELSEWHERE}", str(path))


def check_count(rows: list[Any], rounds: int, path: Path) -> None:
    """Refuse a checkpoint of more rounds than the training has.

    Raises
    ------
    InputError
    """
    if len(rows) > rounds:
        raise InputError(f"{len(rows)} rounds, expected at most {rounds}; {ELSEWHERE}", str(path))


def _is_row(row: Any, number: int) -> bool:
    """Say whether it is the row of that round."""
    return (
        isinstance(row, dict)
        and row.get("round") == number
        and "gap" in row
        and all(_finite(row.get(name)) for name in ROW)
        and all(value is None or isinstance(value, (str, bool)) or _finite(value) for value in row.values())
    )


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf


def _is_small(tensor: Tensor) -> bool:
    return bool((tensor.abs() < LARGEST).all())


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
        elif stored[name].dtype != tensor.dtype:
            reason = f"{name}: {stored[name].dtype}, expected {tensor.dtype}"
        elif tensor.is_floating_point() and tensor.isfinite().all() and not _is_small(stored[name]):
            reason = f"{name}: numbers that no training keeps"
        else:
            continue
        text = f"does not hold this learner's state ({reason}; another version may have written it)"
        raise InputError(f"{text}; {ELSEWHERE}", str(path))
