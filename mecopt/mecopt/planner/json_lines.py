"""JSON line to JSON line: changes of an instance in, judged plans out, an error object for a bad line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from mecopt.errors import SHOWN, InputError, shortened, shown
from mecopt.planner.changes import NAMES
from mecopt.planner.plan import Plan
from mecopt.planner.planner import Planner
from mecopt.text import visible


def changes_of(line: bytes) -> dict[str, Any]:
    """Read the changes that a line asks for.

    Raises
    ------
    InputError
        If it is no JSON object, or one with an unknown field or the same twice.
    """
    try:
        found = json.loads(line.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise InputError(f"not JSON: not UTF-8 at byte {error.start}, expected UTF-8") from None
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise InputError("nested too deeply, expected lists of numbers") from None
    except ValueError as error:
        told = "a whole number of thousands of digits" if "digits" in str(error) else str(error)
        raise InputError(f"not JSON: {told}") from None
    if not isinstance(found, dict):
        raise InputError(f"{_written(found)}, expected an object")
    if not found.keys() <= _KNOWN:
        unknown = [name for name in found if name not in _KNOWN]
        raise InputError(f"{shown(name)}: unknown field, expected {', '.join(NAMES)}" for name in unknown)
    if b"true" in line or b"false" in line or None in found.values():
        _check_numbers(found)  # numpy takes true for 1, and a planner null for nothing given
    return found if found.get("deadlines", 0) is not None else found | {"deadlines": math.inf}


def answer(planner: Planner, line: bytes) -> tuple[dict[str, Any], int]:
    """Plan what a line asks for.

    Returns
    -------
    dict, int
        The plan as JSON holds it, and the exit status that it alone would have: 0 optimal, 3 infeasible.

    Raises
    ------
    InputError
        If the line cannot be read, or a number in it is out of range.
    """
    changes = changes_of(line)
    try:
        plan = planner.plan(**changes)
    except InputError:
        _check_numbers(changes)  # in the words of JSON, where that is what is wrong
        raise
    return plain(plan), 0 if plan.objective is not None else 3


def plain(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON holds it: null where there is no placement."""
    objective, counts = plan.objective, plan.block_count.tolist()
    placements: list[Any] = [row[:n] for row, n in zip(plan.placements.tolist(), counts, strict=True)]
    delays, objectives, bounds = plan.delays.tolist(), plan.objectives.tolist(), plan.bounds.tolist()
    document = {
        "status": plan.status.value,
        "objective": objective,
        "lower_bound": plan.lower_bound,
        "placements": placements,
        "delays": delays,
        "objectives": objectives,
        "bounds": bounds,
    }
    if objective is None:
        for k in (~plan.feasible).nonzero()[0].tolist():
            placements[k] = delays[k] = objectives[k] = bounds[k] = None
        document["reasons"] = plan.reasons
    return document


def refused(number: int, problems: tuple[str, ...]) -> dict[str, Any]:
    """Return the error object of a line, counted from 1."""
    more = len(problems) - SHOWN
    said = [*problems[:SHOWN], f"and {more} more problems"] if more > 0 else list(problems)
    return {"error": {"line": number, "problems": said}}


_KNOWN = frozenset(NAMES)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(f"{shown(name)}: given twice" for name in twice)
    return found


def _check_numbers(found: dict[str, Any]) -> None:
    """Name what is no number, or no row like the others, where it is.

    Raises
    ------
    InputError
        With a line for each.
    """
    problems = [problem for name, value in found.items() for problem in _strange(name, name, value)]
    if problems:
        raise InputError(problems)


def _strange(name: str, place: str, value: Any) -> Iterator[str]:
    if isinstance(value, list):
        if len({len(member) if isinstance(member, list) else None for member in value}) > 1:
            yield f"{place}: {_written(value)}, expected numbers, rows of one length"
        for i, member in enumerate(value):
            yield from _strange(name, f"{place}[{i}]", member)
    elif isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
        yield f"{place}: {_written(value)}, expected numbers"
    elif value is None and name != "deadlines":
        yield f"{place}: null, expected numbers"


def _written(value: Any) -> str:
    """Return a value as JSON has it, short enough for a message."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):  # a whole number of thousands of digits
        return shown(value)
    return shortened(visible(text), 60)


def _constant(text: str) -> Any:
    raise InputError(f"not JSON: {text}, expected a number")
