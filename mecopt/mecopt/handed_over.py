"""What a method hands over, checked and made plain: placements, reasons and notes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mecopt.errors import MethodError, PlacementError
from mecopt.instance import Instance
from mecopt.scalars import scalar


def whole_nodes(placement: Any, instance: Instance) -> Any:
    """Return a placement with whole numbers in the place of floats that are whole.

    Raises
    ------
    PlacementError
        If a block is given a fraction or NaN.
    """
    if isinstance(placement, np.ndarray) and np.issubdtype(placement.dtype, np.floating):
        if placement.shape != (instance.task_count, instance.max_blocks):
            return placement  # the judge says what is wrong with it
        behind = np.arange(instance.max_blocks) >= instance.block_count[:, None]
        nodes = np.where(behind, -1.0, placement)
        wrong = np.argwhere(~(np.isfinite(nodes) & (nodes == np.floor(nodes)) & (np.abs(nodes) < 2**31)))
        if len(wrong):
            raise PlacementError(
                f"placement[{k}][{m}]: {float(nodes[k, m])!r}, expected a whole number"
                for k, m in wrong.tolist()
            )
        return nodes.astype(np.int64)
    if isinstance(placement, Sequence) and not isinstance(placement, str):
        return [_whole_row(row) for row in placement]
    return placement


def _whole_row(row: Any) -> Any:
    row = row.tolist() if isinstance(row, np.ndarray) else row
    if not isinstance(row, Sequence) or isinstance(row, str):
        return row
    found = [scalar(node) for node in row]
    return [
        int(number) if isinstance(number, float) and number.is_integer() else node
        for number, node in zip(found, row, strict=True)
    ]


def plain_reasons(reasons: Any) -> tuple[dict[str, Any], ...]:
    """Return reasons as JSON holds them, each with a message.

    Raises
    ------
    MethodError
        If they are no list of dictionaries, or one has neither message nor kind.
    """
    if not isinstance(reasons, Iterable) or isinstance(reasons, (str, bytes, Mapping)):
        raise MethodError(f"its reasons are a {type(reasons).__name__}, expected a list of dictionaries")
    kept = []
    for i, reason in enumerate(reasons):
        if not isinstance(reason, Mapping):
            raise MethodError(
                f"reasons[{i}] is a {type(reason).__name__}, expected a dictionary with a message"
            )
        message = reason.get("message", reason.get("kind"))
        if not isinstance(message, str) or not message.strip():
            raise MethodError(f"reasons[{i}] has no message, expected a text that says why")
        kept.append(_as_json(f"reasons[{i}]", {**reason, "message": message}))
    return tuple(kept)


def plain_notes(notes: Any) -> dict[str, Any]:
    """Return notes as JSON holds them.

    Raises
    ------
    MethodError
        If they are no dictionary with texts as names, or JSON does not hold them.
    """
    if not isinstance(notes, Mapping):
        raise MethodError(f"run.notes is a {type(notes).__name__}, expected a dictionary")
    for name in notes:
        if not isinstance(name, str):
            raise MethodError(f"run.notes has the name {name!r:.60}, expected a text")
    return {name: _as_json(f"run.notes[{name!r}]", value) for name, value in notes.items()}


def _as_json(place: str, value: Any) -> Any:
    """Return what JSON makes of a value, numpy's numbers as Python's."""

    def other(member: Any) -> Any:
        if isinstance(member, (np.ndarray, np.generic)):
            return member.tolist()
        raise TypeError(f"Object of type {type(member).__name__} is not JSON serializable")

    try:
        return json.loads(json.dumps(value, allow_nan=False, default=other))
    except (TypeError, ValueError, RecursionError) as error:
        raise MethodError(f"{place}: {error}, expected what JSON can hold") from None
