"""`mecopt compare`: many methods on many instances, kept run by run, and the table of what came out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from mecopt.cli import INTERRUPTED, common, common_options, printing

if TYPE_CHECKING:
    import pandas as pd

    from mecopt.comparing import Comparison

MOST_TOLD = 5  # failures that are told one by one
NOTHING = ("infeasible", "unknown", "refused", "failed", "timeout")  # no placement; counted one by one


@click.command(short_help="Run many methods on many instances, and compare them.")
@click.argument("instances", metavar="INSTANCES...", nargs=-1, required=True)
@click.option(
    "--methods",
    metavar="A,B,C=FILE",
    required=True,
    help="Methods, a learner with its policy file, file.py:NAME or mine=file.py:NAME.",
)
@click.option(
    "--seeds", metavar="N", type=click.IntRange(1), default=1, show_default=True, help="Seeds 0 to N-1."
)
@click.option(
    "--time-limit", metavar="S", type=float, callback=common_options.finite, help="Seconds for each run."
)
@click.option(
    "--gap",
    metavar="G",
    type=float,
    callback=common_options.finite,
    help="Stop a run at this gap, a fraction.",
)
@click.option(
    "--threads",
    metavar="N",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Threads of each run.",
)
@click.option(
    "--workers", metavar="N", type=click.IntRange(1), help="Runs at the same time  [default: all cores]"
)
@click.option("--isolate", is_flag=True, help="One process for each run, whose peak memory is kept.")
@common_options.engine_options("Where runs are made.")
@click.option(
    "--out", metavar="DIR", required=True, help="Folder of the comparison; an unfinished one goes on."
)
@click.option(
    "--rerun", metavar="METHOD", multiple=True, help="Make its finished runs again; may be repeated."
)
@common_options.json_option
@click.pass_context
def compare(
    ctx: click.Context,
    instances: tuple[str, ...],
    methods: str,
    seeds: int,
    time_limit: float | None,
    gap: float | None,
    threads: int,
    workers: int | None,
    isolate: bool,
    engine: Any,
    address: str | None,
    out: str,
    rerun: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run methods on instances: files, globs, folders, names of shipped ones, or specs as paper:servers=2..9.

    `-` is the instance on standard input.

    Every run is kept in DIR as soon as it is finished. Given again, the same command goes on where it stopped
    and repeats nothing; more instances, methods or seeds are added. `mecopt report DIR` shows the comparison.

    Exit status: 0 when every run ended in a row, also if some rows are failures; 130 interrupted.
    """
    from mecopt.comparing import Comparison
    from mecopt.comparing.run_plan import ComparisonPlan
    from mecopt.comparing.session import conduct
    from mecopt.comparing.table import has_begun

    with common.working("reading the instances"), common.telling_warnings():
        plan = ComparisonPlan.of(
            [common.load_instance(text) if text == common.STDIN else text for text in instances],
            [name.strip() for name in methods.split(",") if name.strip()],
            seeds=seeds,
            time_limit_s=time_limit,
            gap=gap,
            threads=threads,
            rerun=rerun,
        )
    interrupted = False
    try:
        conduct(plan, out, workers=workers, engine=engine, address=address, isolate=isolate, progress=True)
    except KeyboardInterrupt:
        if not has_begun(out):
            raise
        interrupted = True
    with Comparison.open(out) as comparison:
        pending = comparison.pending
        if as_json:
            printing.emit_json(_document(comparison, out))
        else:
            _show(comparison.runs)
        for method, count in comparison.outdated["method"].value_counts().items():
            kept = printing.counted(int(count), "run")
            printing.note(f"{printing.plain(str(method))}: {kept} of other code kept, and not counted")
        wrong = comparison.disagreements()
        for line in wrong[:MOST_TOLD]:
            printing.note(printing.plain(line))
        if len(wrong) > MOST_TOLD:
            printing.note(f"and {len(wrong) - MOST_TOLD:,} more contradictions")
        finished = len(comparison.runs)
    if interrupted:
        total = f"{finished:,} of {printing.counted(finished + pending, 'run')}"
        printing.note(f"interrupted; {total} finished and kept in {out}; the same command goes on")
        ctx.exit(INTERRUPTED)
    if pending:
        printing.note(f"{printing.counted(pending, 'run')} of other commands in {out} are not finished")
    printing.note(f"kept in {out}; `mecopt report {out}` makes the report")


def _document(comparison: Comparison, out: str) -> dict[str, Any]:
    return {
        "folder": out,
        "info": comparison.info,
        "pending": comparison.pending,
        "instances": _records(comparison.instances),
        "runs": _records(comparison.runs),
    }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as plain values, null for what is missing."""
    plain = frame.astype(object)
    return [
        {str(k): v for k, v in row.items()} for row in plain.where(plain.notna(), None).to_dict("records")
    ]


def _show(runs: pd.DataFrame) -> None:
    """Show one line a method; what has no feasible placement has no gap, and is counted apart."""
    rows, apart = [], []
    for (method, options), group in runs.groupby(["method", "options"], sort=False):
        name = _named(str(method), str(options))
        counts = group["status"].value_counts()
        gaps = group["gap_to_best_bound"].dropna()
        nothing = {status: int(counts[status]) for status in NOTHING if status in counts}
        found = (int(counts.get(status, 0)) for status in ("optimal", "feasible", "violating"))
        shares = ("", "") if gaps.empty else (_percent(gaps.median()), _percent(gaps.max()))
        rows.append((name, len(group), *found, sum(nothing.values()), *shares))
        if nothing:
            apart.append(f"{name}: {', '.join(f'{count} {status}' for status, count in nothing.items())}")
        contradicted = int(group["contradiction"].notna().sum())
        if contradicted:
            apart.append(
                f"{name}: WRONG in {printing.counted(contradicted, 'run')}, which other runs contradict"
            )
    heads = ("Method", "Runs", "Optimal", "Feasible", "Violating", "None", "Median gap", "Worst gap")
    printing.table(heads, rows, numbers=7, wraps=(0,))
    for line in apart:
        printing.console().print(printing.plain(line))
    for method, group in runs[runs["status"] == "refused"].groupby("method", sort=False):
        first = group.iloc[0]
        count = printing.counted(len(group), "run")
        printing.note(
            printing.plain(f"{method!s}: refused {count}, first {first['instance']}: {first['error']}")
        )
    failures = runs[runs["status"].isin(("failed", "timeout"))]
    for row in failures.head(MOST_TOLD).itertuples():
        place = f"{row.method} on {row.instance}, seed {row.seed}"
        printing.note(printing.plain(f"{place}: {row.status}, {row.error}"))
    if len(failures) > MOST_TOLD:
        printing.note(f"and {len(failures) - MOST_TOLD:,} more")


def _named(method: str, options: str) -> str:
    """Return a method with its options as they are typed: ``name=FILE`` for a policy."""
    given = json.loads(options)
    if isinstance(given.get("policy"), str):
        method = f"{method}={given.pop('policy')}"
    return " ".join((method, *(f"{name}={value}" for name, value in given.items())))


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
