"""JSON line to JSON line: changes of an instance in, judged plans out, an error object for a bad line."""

from __future__ import annotations

import json
import math
from typing import Any

from mecopt.errors import SHOWN, InputError, shown
from mecopt.planner.changes import NAMES
from mecopt.planner.plan import Plan
from mecopt.planner.planner import Planner


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
        raise InputError(f"{shown(found)}, expected an object")
    if not found.keys() <= _KNOWN:
        unknown = [name for name in found if name not in _KNOWN]
        raise InputError(f"{shown(name)}: unknown field, expected {', '.join(NAMES)}" for name in unknown)
    missing = [name for name, value in found.items() if value is None and name != "deadlines"]
    if missing:
        raise InputError(f"{name}: null, expected numbers" for name in missing)
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
    plan = planner.plan(**changes_of(line))
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


def _constant(text: str) -> Any:
    raise InputError(f"not JSON: {text}, expected a number")
