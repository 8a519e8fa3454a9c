"""The page: one HTML file with its styles, libraries, data and charts inside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt.reporting import placement_view, sentences
from mecopt.reporting import statistics as st
from mecopt.reporting.style import SHAPES, figure, percent
from mecopt.text import visible

if TYPE_CHECKING:
    import pandas as pd

    from mecopt.reporting.figures import Charts, Figure
    from mecopt.reporting.numbers import Numbers
    from mecopt.reporting.tables import Table

MOST_ROWS = 6000  # of the table of runs on the page; beyond, it has one for each method and instance


def page(
    comparison: Any, numbers: Numbers, charts: Charts, figures: list[Figure], tables: list[Table], folder: str
) -> str:
    """Return the page."""
    import jinja2

    assets = files("mecopt.reporting") / "assets"
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((assets / "page.html.jinja").read_text("utf-8"))
    details = list(_details(comparison, numbers))
    rows = _rows(numbers)
    specs = {
        found.name: found.chart.to_dict()
        for found in [*figures, *(f for entry in details for f in entry["figures"])]
    }
    return template.render(
        css=_raw((assets / "page.css").read_text("utf-8")),
        script=_raw((assets / "page.js").read_text("utf-8")),
        **_libraries(),
        summary=sentences.summary(numbers),
        warnings=sentences.warnings(comparison, numbers),
        looks=charts.looks,
        marks=SHAPES,
        figures={found.name: found for found in figures},
        pictured={found.name for found in figures},
        anytime=[found for found in figures if found.name.startswith("anytime_")],
        tables={table.name: table for table in tables},
        common=[table for table in tables if table.name.startswith("common_")],
        no_common=[group for group in numbers.groups if not group.common],
        details=details,
        left_out=len(numbers.instances) - len(details),
        rows=rows,
        specs=_script_json(specs),
        table_json=_script_json(rows),
        counts={
            "runs": len(numbers.runs),
            "instances": len(numbers.instances),
            "methods": len(numbers.labels),
        },
        info=[("Methods", ", ".join(numbers.labels)), *_info(comparison.info)],
        command=_commands(comparison.info, folder, numbers.wanted.words()),
        resamples=st.RESAMPLES,
        horizon=figure(numbers.horizon_s, 3),
    )


def _details(comparison: Any, numbers: Numbers) -> Iterator[dict[str, Any]]:
    """Yield what stands behind each instance: facts, its methods, and pictures of their placements."""
    spread = numbers.cells.groupby("instance_sha256")["gap"].mean().fillna(-1.0)
    chosen = set(spread.sort_values(ascending=False).index[: placement_view.MOST_INSTANCES])
    grouped: dict[Any, pd.DataFrame] = dict(list(numbers.runs.groupby("instance_sha256", sort=False)))
    for i, row in enumerate(st.records(numbers.instances)):
        if row.instance_sha256 not in chosen:
            continue
        runs = grouped[row.instance_sha256]
        shown = placement_view.best_runs(runs)
        pictures: list[Figure] = []
        if len(shown):
            instance = comparison.instance(row.instance_sha256)
            made = (
                placement_view.share_figure(str(i), instance, runs, shown, numbers.shares),
                placement_view.timeline_figure(str(i), instance, shown, comparison),
            )
            pictures = [found for found in made if found is not None]
        yield {
            "name": row.instance,
            "sha256": row.instance_sha256,
            "facts": _facts(row),
            "rows": _instance_rows(numbers, row.instance_sha256),
            "figures": pictures,
        }


def _facts(row: Any) -> str:
    kind = str(row.couplings or "").replace(",", ", ") or "no couplings"
    facts = [
        sentences.counted(int(row.tasks), "task"),
        sentences.counted(int(row.slots), "slot"),
        sentences.counted(int(row.devices), "device"),
        sentences.counted(int(row.servers), "server"),
        f"up to {sentences.counted(int(row.blocks), 'block')}",
        f"{row.deadline} deadlines" if row.deadline != "none" else "no deadlines",
        kind,
    ]
    if row.best_bound == row.best_bound:
        facts.append(f"best bound {figure(row.best_bound, 6)} s")
    if row.best_known == row.best_known:
        facts.append(f"best known {figure(row.best_known, 6)} s")
    return "; ".join(facts)


def _instance_rows(numbers: Numbers, sha256: str) -> list[tuple[str, ...]]:
    own = numbers.cells[numbers.cells["instance_sha256"] == sha256]
    own = own.sort_values("gap", kind="stable")
    return [
        (
            row.label,
            f"{row.placed} of {row.runs}" + (f", {row.failure}" if isinstance(row.failure, str) else ""),
            percent(row.gap),
            *(figure(v, 5) for v in (row.objective, row.edge_delay_s, row.local_delay_s, row.energy_j)),
            figure(row.cpu_s, 3),
        )
        for row in st.records(own)
    ]


def _rows(numbers: Numbers) -> dict[str, Any]:
    """Return the rows of the table that sorts and filters: the runs, or means of them where they are many."""
    runs = numbers.runs
    if len(runs) <= MOST_ROWS:
        columns: tuple[tuple[str, pd.Series[Any], int | None], ...] = (
            ("Instance", runs["instance"], None),
            ("Method", runs["label"], None),
            ("Seed", runs["seed"], 0),
            ("Status", runs["status"].where(numbers.contradictions.isna(), runs["status"] + ", WRONG"), None),
            ("Gap [%]", 100 * runs["gap_used"], 4),
            ("Own gap [%]", 100 * runs["gap"], 4),
            ("Objective [s]", runs["objective"], 6),
            ("Edge [s]", runs["edge_delay_s"].where(runs["placed"]), 4),
            ("Local [s]", runs["local_delay_s"].where(runs["placed"]), 4),
            ("Energy [J]", runs["energy_j"].where(runs["placed"]), 4),
            ("Violations", runs["violations"], 0),
            ("Repairs", runs["repairs"], 0),
            ("CPU [s]", runs["cpu_s"], 3),
            ("Wall [s]", runs["wall_s"], 3),
        )
        note = ""
    else:
        table = numbers.cells
        kept = table.head(MOST_ROWS)
        columns = (
            ("Instance", kept["instance"], None),
            ("Method", kept["label"], None),
            ("Runs", kept["runs"], 0),
            ("Status", kept["failure"].fillna("placed"), None),
            ("Placed", kept["placed"], 0),
            ("Mean gap [%]", 100 * kept["gap"], 4),
            ("Best objective [s]", kept["objective"], 6),
            ("Edge [s]", kept["edge_delay_s"], 4),
            ("Local [s]", kept["local_delay_s"], 4),
            ("Energy [J]", kept["energy_j"], 4),
            ("CPU [s]", kept["cpu_s"], 3),
        )
        first = "" if len(table) <= MOST_ROWS else f", the first {MOST_ROWS:,} of {len(table):,}"
        note = (
            f"{len(runs):,} runs are too many for a page: here is one row for each method and instance"
            f"{first}. All runs are in runs.csv and runs.parquet beside this page."
        )
    filled = [_column(values, digits) for _, values, digits in columns]
    words = [sorted(set(filled[i])) if digits is None else None for i, (_, _, digits) in enumerate(columns)]
    for column, known in zip(filled, words, strict=True):
        if known is not None:  # each word once, and its place in every row
            places = {word: i for i, word in enumerate(known)}
            column[:] = [places[word] for word in column]
    return {
        "heads": [head for head, _, _ in columns],
        "words": words,
        "rows": list(zip(*filled, strict=True)),
        "note": note,
    }


def _column(values: pd.Series[Any], digits: int | None) -> list[Any]:
    """Return a column for the page: text, or numbers with so many digits (0 for whole ones)."""
    if digits is None:
        return [str(value) for value in values]
    numbers = values.astype("Float64").astype(float).to_numpy()
    if digits == 0:
        return [None if value != value else int(value) for value in numbers]
    return [None if not np.isfinite(value) else float(f"{value:.{digits}g}") for value in numbers]


def _commands(info: dict[str, Any], folder: str, words: list[str]) -> str:
    """Return the commands that make comparison and report again."""
    import shlex

    made = [f"{line} --out {shlex.quote(folder)}" for line in str(info.get("command") or "").splitlines()]
    return "\n".join(map(visible, [*made, shlex.join(["mecopt", "report", folder, *words])]))


def _info(info: dict[str, Any]) -> list[tuple[str, str]]:
    """Return hardware, versions, seeds and options as lines."""
    limit = info.get("time_limit_s")
    lines = [
        ("Made", info.get("created")),
        ("mecopt", info.get("mecopt_version")),
        (
            "Seeds",
            f"0 to {info['seeds'] - 1}; methods without randomness run once" if info.get("seeds") else None,
        ),
        ("Time limit", f"{limit:g} s a run" if limit else "none"),
        ("Stops at a gap of", f"{percent(info['gap'])} %" if info.get("gap") is not None else None),
        ("Threads", f"{info.get('threads')} a run"),
        ("Runs at the same time", info.get("workers")),
        ("Engine", info.get("engine")),
        ("A process for each run", "yes" if info.get("isolate") else None),
    ]
    for host, machine in (info.get("machines") or {"": info}).items():
        memory = machine.get("memory_bytes")
        words = [
            machine.get("cpu_model"),
            f"{machine.get('cores')} cores" if machine.get("cores") else None,
            f"{memory / 2**30:.0f} GiB" if memory else None,
            machine.get("platform"),
            f"Python {machine['python']}" if machine.get("python") else None,
            *(f"{name} {version}" for name, version in (machine.get("versions") or {}).items()),
        ]
        lines.append((f"Machine {host}".strip(), ", ".join(str(word) for word in words if word)))
    return [(visible(head), visible(str(text))) for head, text in lines if text is not None]


def _libraries() -> dict[str, str]:
    """Return the libraries that draw the charts and sort the tables."""
    import itables
    import vl_convert

    bundle = files(itables) / "html" / "dt_bundle.js"
    styles = files(itables) / "html" / "dt_bundle.css"
    return {
        "vega": _raw(vl_convert.javascript_bundle()),  # type: ignore[call-arg]
        "datatables": _raw(bundle.read_text("utf-8")),
        "datatables_css": _raw(styles.read_text("utf-8")),
    }


def _raw(text: str) -> Any:
    """Mark a text of the libraries as safe to stand inside a script or style element."""
    import markupsafe

    return markupsafe.Markup(text.replace("</script", "<\\/script").replace("</style", "<\\/style"))


def _script_json(value: Any) -> Any:
    """Return JSON that cannot end the script element in which it stands."""
    import markupsafe

    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return markupsafe.Markup(
        text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    )
