"""`mecopt methods`: the methods that are installed, and what they can do."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, get_args

import click

from mecopt.cli import common_options, printing

if TYPE_CHECKING:
    from mecopt.registry import Method


@click.command(short_help="List the methods that solve knows.")
@common_options.json_option
def methods(as_json: bool) -> None:
    """List the methods that `solve` knows: kind, what they do about limits, summary.

    An exact method proves the optimum when given the time; all others are shown with their gap too. Limits
    are missing links, hard deadlines and the couplings. What a method respects it never ends up breaking
    while some placement keeps to all limits; what it tries it may, and the result then says violating; an
    instance with a coupling that it ignores is refused, unless with --relax.
    """
    from mecopt import registry
    from mecopt.errors import MecoptError

    found = []
    for name in sorted({entry.name for entry in entry_points(group=registry.GROUP)}):
        try:
            found.append(registry.method(name))
        except MecoptError as error:  # the package of a third party; the other methods are still there
            printing.note(str(error))
    if as_json:
        printing.emit_json([_row(method) for method in found])
        return
    kinds = list(get_args(registry.Kind))
    found.sort(key=lambda m: (kinds.index(m.kind), m.name))
    rows = [(m.name, m.kind, _limits(m), m.summary) for m in found]
    printing.table(("Method", "Kind", "Limits", "What it does"), rows, numbers=0, wraps=(2, 3))


def _stances(method: Method) -> dict[str, str]:
    """Return what a method does about every limit."""
    from mecopt.entities import Coupling
    from mecopt.registry import OF_ONE_TASK

    return {str(limit): method.stance(limit) for limit in (*OF_ONE_TASK, *Coupling)}


def _limits(method: Method) -> str:
    """Say in words what a method does about the limits."""
    stances = _stances(method)
    parts = []
    for stance in ("respects", "tries", "ignores"):
        those = [limit for limit, own in stances.items() if own == stance]
        if those:
            parts.append(f"{stance} {'all' if len(those) == len(stances) else ', '.join(those)}")
    return "; ".join(parts)


def _row(method: Method) -> dict[str, Any]:
    return {
        "name": method.name,
        "kind": method.kind,
        "exact": method.exact,
        "couplings": sorted(method.honours),
        "limits": _stances(method),
        "random": method.random,
        "summary": method.summary,
    }
