"""What people see of an explanation of the wider model: costs of demands, loads, what makes the period."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding

from mecopt.cli import printing
from mecopt.cli.show import worth
from mecopt.drawing.timeline import number, seconds
from mecopt_solvers.explain.limits import amount, place_text

if TYPE_CHECKING:
    from mecopt.instance import Instance
    from mecopt_solvers.explain import Clash, Demand, Explanation

MOST = 12  # rows of a table; --json lists all
UNKNOWN = "-"


def show_wider(found: Explanation) -> None:
    """Show how full shared servers are, what is busiest, and what demands cost."""
    instance = found.instance
    if found.loads:
        rows = [
            [
                place_text(instance, one.where),
                amount("sharing", one.load),
                "too full" if one.longer is None else f"x {number(one.longer, 5)}",
            ]
            for one in found.loads[:MOST]
        ]
        _table(
            "Load of shared servers, and how much longer calculations take there",
            ["server", "load", "take"],
            rows,
            2,
        )
        _rest(len(found.loads))
    if found.busiest:
        rows = [[place_text(instance, one.where), seconds(one.busy_s, 5)] for one in found.busiest[:MOST]]
        _table("What makes the period of each slot", ["resource", "busy"], rows, 1)
        _rest(len(found.busiest))
    if found.demand_values:
        rows = [
            [
                demand_text(instance, value.demand),
                UNKNOWN if value.saved_eased is None else worth(instance, value.saved_eased),
                UNKNOWN if value.saved_without is None else worth(instance, value.saved_without),
            ]
            for value in found.demand_values[:MOST]
        ]
        heads = ["demand", "10 % more saves", "none saves"]
        _table("What demands cost, one at a time, all else kept", heads, rows, 2)
        _rest(len(found.demand_values))


def show_clash(instance: Instance, clash: Clash) -> None:
    """Show demands that cannot hold together."""
    small = (
        "without any one of them the others can" if clash.irreducible else "perhaps not the smallest such set"
    )
    out = printing.console()
    out.print(f"\nCannot hold together ({small}):", style="bold")
    for demand in clash.demands[:MOST]:
        out.print(Padding(printing.plain(demand_text(instance, demand)), (0, 0, 0, 1), expand=False))
    _rest(len(clash.demands))


def demand_text(instance: Instance, demand: Demand) -> str:
    """Write a demand for people: ``deadline of task 3, end to end``, ``memory of es1``."""
    where = dict(demand.where)
    if demand.kind in ("pin", "ban"):
        return f"{demand.kind} {where['text']}"
    if demand.kind == "allow":
        return f"allow[{where['entry']}]"
    if demand.kind == "one_run":
        return f"one_run: {instance.rules.one_run}"
    if not where:
        return f"{demand.kind} of the slots"
    what = {"energy": "energy budget"}.get(demand.kind, demand.kind)
    return f"{what} of {place_text(instance, where)}"


def _table(title: str, heads: list[str], rows: list[list[str]], numbers: int) -> None:
    printing.console().print(f"\n{title}:", style="bold")
    printing.table(heads, rows, numbers=numbers, wraps={0})


def _rest(count: int) -> None:
    if count > MOST:
        line = f"and {count - MOST:,} more (--json lists all)"
        printing.console().print(Padding(line, (0, 0, 0, 1), expand=False))
