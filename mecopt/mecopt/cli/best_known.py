"""`mecopt best-known`: show and improve the store of best-known objectives and bounds."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mecopt.cli import INTERRUPTED, common, common_options, help_without_command, printing
from mecopt.errors import CouplingError, DisagreementError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mecopt.best_known import Change, Entry
    from mecopt.instance import Instance


@click.group(invoke_without_command=True, short_help="Show or improve the best objectives and bounds known.")
@click.pass_context
def best_known(ctx: click.Context) -> None:
    """Keep the best objective and bound known of every instance, with method, version and date."""
    help_without_command(ctx)


@best_known.command()
@click.argument("store", metavar="[FILE]", required=False)
@common_options.json_option
def show(store: str | None, as_json: bool) -> None:
    """Show a store, by default instances/best_known.json, or else the one that comes with mecopt."""
    from mecopt import sources
    from mecopt.best_known import Store
    from mecopt.drawing.timeline import number

    known = Store.load(store or sources.store())
    if as_json:
        printing.emit_json(known.to_dict())
        return
    rows = [
        (
            entry.instance,
            entry.status.value,
            entry.method or "",
            "" if entry.objective is None else number(entry.objective),
            "" if entry.lower_bound is None else number(entry.lower_bound),
            "" if entry.gap is None else f"{100 * entry.gap:.3g} %",
        )
        for entry in sorted(known.entries.values(), key=lambda entry: entry.instance)
    ]
    heads = ("Instance", "Status", "Method", "Objective [s]", "Bound [s]", "Gap")
    printing.table(heads, rows, numbers=3, wraps=(0,))


@best_known.command(short_help="Solve instances or read a comparison, and keep what is better.")
@click.argument("instances", metavar="INSTANCE|DIR...", nargs=-1, required=True)
@click.option("--method", metavar="M", default="auto", show_default=True, help="See `mecopt methods`.")
@click.option("--solution", metavar="FILE", help="Judge the placement of this file instead of solving.")
@click.option(
    "--time-limit", metavar="S", type=float, callback=common_options.finite, help="Seconds for each instance."
)
@click.option(
    "--seed", metavar="N", type=click.IntRange(0), default=0, show_default=True, help="Random seed."
)
@click.option("--relax", is_flag=True, help="Ignore couplings that the method cannot honour: a bound only.")
@click.option("--store", metavar="FILE", help="The store. [default: instances/best_known.json]")
@common_options.json_option
@click.pass_context
def update(
    ctx: click.Context,
    instances: tuple[str, ...],
    method: str,
    solution: str | None,
    time_limit: float | None,
    seed: int,
    relax: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Solve instances, or take what a comparison found, and keep what is better than what the store holds.

    DIR is the folder of a `mecopt compare`: the best placement of each of its instances, and its best bound.
    Every placement is judged again. With --solution the placement of a file is judged instead; a bound
    that stands in the file cannot be checked and is not taken. The store may stand among the instances
    and is passed over, so that `update instances/*.json*` takes them all.
    """
    store = _writable(store)
    folders = [path for path in instances if Path(path).is_dir()]
    instances = tuple(p for p in instances if not common.same_file(p, store) and p not in folders)
    if solution is not None and (len(instances) != 1 or folders):
        raise click.UsageError("--solution goes with exactly one INSTANCE")
    common.check_out("--store", store, *instances, solution)
    from mecopt.best_known import Store, improve_file

    Store.load(store, missing_ok=True)  # what is no store is refused before any work
    loaded = [common.load_instance(path) for path in instances]  # all are read before any is solved
    rows: list[dict[str, Any]] = []
    interrupted = False
    for folder in folders:
        rows += _merged(folder, store, as_json)
    for path, instance in zip(instances, loaded, strict=True):
        with common.naming(path), common.naming(path, CouplingError):
            if solution is not None:
                new = _judged(instance, solution)
            else:
                new, interrupted = _solved(instance, method, time_limit, seed, relax)
        # At once, so that an interrupt loses nothing.
        with _doubting(store):
            (change,) = improve_file(store, [(instance.sha256, [new])], lambda: _waiting(store))
        rows.append(_told(path, path, instance.sha256, change, as_json))
        if interrupted:
            break
    if as_json:
        printing.emit_json(rows)
    if interrupted:
        printing.note(f"interrupted; what was found is kept in {store}; the same command goes on")
        ctx.exit(INTERRUPTED)


def _writable(given: str | None) -> str:
    """Return the store to write to; the one of an installation is not."""
    from mecopt import sources

    store = given or str((sources.OWN if sources.OWN.is_dir() else sources.folder()) / sources.STORE)
    if sources.is_installed(store):
        raise InputError(f"--store: {store} belongs to the installation and is not written, expected a file")
    return store


@contextmanager
def _doubting(source: str) -> Iterator[None]:
    """Call figures that contradict each other bad input: files can be edited, and nothing is taken over."""
    try:
        yield
    except DisagreementError as error:
        raise InputError(str(error), source) from None


def _waiting(store: str) -> None:
    printing.note(f"{store}: another process is writing it; waiting")


def _merged(folder: str, store: str, as_json: bool) -> list[dict[str, Any]]:
    """Take over what a comparison found."""
    from mecopt.best_known import improve_file
    from mecopt.best_of_comparison import found_by
    from mecopt.comparing import Comparison

    with Comparison.open(folder) as comparison, _doubting(folder):
        found = [(instance.name, instance.sha256, entries) for instance, entries in found_by(comparison)]
    with _doubting(f"{store}, {folder}"):
        changes = improve_file(store, [own[1:] for own in found], lambda: _waiting(store))
    return [
        _told(folder, printing.plain(name), sha256, change, as_json)
        for (name, sha256, _), change in zip(found, changes, strict=True)
    ]


def _told(path: str, name: str, sha256: str, change: Change, as_json: bool) -> dict[str, Any]:
    """Say what has changed, and return it as a row of the document."""
    from mecopt.best_known import entry_dict

    if not as_json:
        printing.say(f"{name}: {_change(change)}")
    return {
        "file": path,
        "sha256": sha256,
        "improved": change.improved,
        "entry": entry_dict(change.after) if change.after else None,
    }


def _solved(
    instance: Instance, method: str, time_limit: float | None, seed: int, relax: bool
) -> tuple[Entry, bool]:
    from mecopt.best_known import Entry
    from mecopt.solving import solve

    with common.working(f"solving {printing.plain(instance.name)}", time_limit):
        result = solve(instance, method, time_limit_s=time_limit, seed=seed, relax=relax)
    return Entry.of_result(result), result.stopped_by == "interrupt"


def _judged(instance: Instance, path: str) -> Entry:
    from mecopt.best_known import Entry
    from mecopt.judge import evaluate

    solution, placement = common.load_placement(path, instance)
    common.check_same_instance(solution, instance, path)
    judged = evaluate(instance, placement)
    if not judged.feasible:
        raise InputError(
            f"placement: violates {len(judged.violations)} limits, expected a feasible one", path
        )
    return Entry.of_evaluation(judged, solution.method)


def _change(change: Change) -> str:
    before, after = change.before, change.after
    if after is None:
        return "nothing found"
    facts: list[str] = [after.status.value]
    old: dict[str, Any] = {} if before is None else vars(before)
    for name, label in (("objective", "objective"), ("lower_bound", "bound")):
        value, was = getattr(after, name), old.get(name)
        if value is not None:
            moved = f" (was {was:.9g} s)" if was is not None and was != value else ""
            facts.append(f"{label} {value:.9g} s{moved}")
    verdict = "new" if before is None else "improved" if change.improved else "unchanged"
    return f"{verdict}: {', '.join(facts)}"
