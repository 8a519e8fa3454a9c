"""`mecopt methods`: the methods that are installed, and what they can do."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, get_args

import click

from mecopt.cli import common

if TYPE_CHECKING:
    from mecopt.registry import Method


@click.command(short_help="List the methods that solve knows.")
@common.json_option
def methods(as_json: bool) -> None:
    """List the methods that `solve` knows: kind, couplings honoured, summary.

    An exact method proves the optimum when given the time; all others are shown with their gap too.
    """
    from mecopt import registry
    from mecopt.errors import MecoptError

    found = []
    for name in sorted({entry.name for entry in entry_points(group=registry.GROUP)}):
        try:
            found.append(registry.method(name))
        except MecoptError as error:  # the package of a third party; the other methods are still there
            common.note(str(error))
    if as_json:
        common.emit_json([_row(method) for method in found])
        return
    kinds = list(get_args(registry.Kind))
    found.sort(key=lambda m: (kinds.index(m.kind), m.name))
    rows = [(m.name, m.kind, _couplings(m), m.summary) for m in found]
    common.table(("Method", "Kind", "Couplings", "What it does"), rows, numbers=0, wraps=(2, 3))


def _couplings(method: Method) -> str:
    from mecopt.entities import Coupling

    if method.honours == frozenset(Coupling):
        return "all"
    return ", ".join(sorted(method.honours)) or "none"


def _row(method: Method) -> dict[str, Any]:
    return {
        "name": method.name,
        "kind": method.kind,
        "exact": method.exact,
        "couplings": sorted(method.honours),
        "random": method.random,
        "summary": method.summary,
    }
