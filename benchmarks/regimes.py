"""Measure the named regimes against their expected values, and write reports/regimes/.

    python benchmarks/regimes.py [--episodes 30] [--out reports/regimes]

An episode is an instance of 600 slots, its seed the number of the episode. Percentages of baselines are the
excess over the optimum, ratio of sums over the episodes. The baselines are the registered methods, seeded
with the number of the episode.

z = (measured - expected) / sqrt(s^2 + e^2 + r^2): s is the standard error of the measured value, by jackknife
over the episodes; e that of the expected value, the printed one or s scaled to 30 episodes; r the rounding of
the printed digits. A figure agrees when |z| <= 3.
"""

from __future__ import annotations

import argparse
import csv
import sys
from decimal import Decimal
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mecopt
from mecopt.generation import census, generate
from mecopt.generators.specs import regimes

Array = NDArray[np.float64]
Row = dict[str, Any]

SHARES = ("local", "one_server", "mixed", "blocks_on_device", "local_delay_share", "late_blocks")
BASELINES = {
    "greedy": "greedy",
    "apdi": "apdi",
    "rpdi": "rpdi",
    "greedy_arc": "greedy-arc",
    "best_node": "best-node",
    "best_constant": "best-constant",
    "all_local": "local",
}
EXPECTED_EPISODES = 30


def episode(name: str, seed: int) -> dict[str, float]:
    """Return the sums and shares of one episode; NaN where there is nothing to count."""
    instance = generate(name, seed=seed)
    counted = census(instance)
    shares = {
        "local": counted.local / counted.tasks,
        "one_server": counted.one_server / counted.tasks,
        "mixed": counted.mixed / counted.tasks,
        "blocks_on_device": counted.blocks_on_device,
        # The expected figure is a share of the objective, penalties included, not of the delay alone.
        "local_delay_share": (counted.local_delay_share or 0.0) * counted.total_delay_s / counted.objective,
        "late_blocks": counted.late_blocks,
    }
    figures = {"optimum": counted.objective}
    figures |= {key: float("nan") if value is None else 100 * value for key, value in shares.items()}
    for key, name in BASELINES.items():
        judged = mecopt.solve(instance, name, seed=seed).evaluation
        figures[key] = np.nan if judged is None else float(judged.task_objective_s.sum())
    return figures


def measure(name: str, episodes: int) -> list[Row]:
    """Return one row for every expected figure of a regime: measured, expected, z."""
    expected = regimes()[name]["expected"]
    runs = [episode(name, seed) for seed in range(episodes)]
    sums = {key: np.array([run[key] for run in runs]) for key in runs[0]}
    rows: list[Row] = []
    for key in ("optimum", *SHARES, *BASELINES):
        wanted = expected[key]
        row: Row = {
            "regime": name,
            "figure": key,
            "measured": None,
            "standard_error": None,
            "expected": wanted,
        }
        value, error = _figure(key, sums)
        if wanted is None or np.isnan(value):
            rows.append(row | {"z": None, "agrees": wanted is None and bool(np.isnan(value))})
            continue
        other = expected["standard_error"] if key == "optimum" else error * sqrt(episodes / EXPECTED_EPISODES)
        digits = -int(Decimal(repr(wanted)).as_tuple().exponent)
        z = (value - wanted) / sqrt(error**2 + other**2 + (0.5 * 10.0**-digits) ** 2)
        rows.append(row | {"measured": value, "standard_error": error, "z": z, "agrees": abs(z) <= 3})
    return rows


def _figure(key: str, sums: dict[str, Array]) -> tuple[float, float]:
    """Return the figure over all episodes and its standard error."""
    values, base = sums[key], sums["optimum"]
    count = len(values)
    if key not in BASELINES:
        return float(values.mean()), float(values.std(ddof=1) / sqrt(count))
    left_out = 100 * ((values.sum() - values) / (base.sum() - base) - 1)
    error = sqrt((count - 1) / count * float(((left_out - left_out.mean()) ** 2).sum()))
    return float(100 * (values.sum() / base.sum() - 1)), error


def main() -> int:
    """Measure all regimes and write the report; 1 when a figure does not agree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--episodes", type=int, default=EXPECTED_EPISODES)
    parser.add_argument("--out", type=Path, default=Path("reports/regimes"))
    given = parser.parse_args()
    rows = []
    for name in (name for name, facts in regimes().items() if "optimum" in facts["expected"]):
        print(name, file=sys.stderr)
        rows += measure(name, given.episodes)
    write_report(rows, given.episodes, given.out)
    wrong = [row for row in rows if not row["agrees"]]
    for row in wrong:
        print(f"{row['regime']}: {row['figure']} {row['measured']}, expected {row['expected']}, z {row['z']}")
    print(f"{len(rows) - len(wrong)} of {len(rows)} figures agree")
    return 1 if wrong else 0


def write_report(rows: list[Row], episodes: int, out: Path) -> None:
    """Write the raw table and the page."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "regimes.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0], lineterminator="\n")
        table.writeheader()
        table.writerows(
            {key: round(v, 4) if isinstance(v, float) else v for key, v in row.items()} for row in rows
        )
    names = list(dict.fromkeys(str(row["regime"]) for row in rows))
    figures = list(dict.fromkeys(str(row["figure"]) for row in rows))
    cell = {(row["regime"], row["figure"]): row for row in rows}
    agree = sum(row["agrees"] for row in rows)
    largest = max(abs(row["z"]) for row in rows if row["z"] is not None)
    versions = f"mecopt {mecopt.__version__}, numpy {np.__version__}"
    lines = [
        "# The named regimes, measured against their expected values",
        "",
        f"    python benchmarks/regimes.py --episodes {episodes}",
        "",
        f"{versions}, {episodes} episodes of 600 slots a regime, seeds 0 to {episodes - 1}.",
        "Each cell: measured, (expected), z; `regimes.csv` has the standard errors too. The script says how",
        "z is formed; docs/methods has a page for each baseline. The optimum is in seconds per episode;",
        "everything else in %: shares of tasks, of blocks and of delay, and the excess of baselines over the",
        "optimum.",
        "`local_delay_share` is local delay over objective here, as the expected values have it: of the",
        "delay alone it is larger where penalties are paid.",
        "",
        f"{agree} of {len(rows)} figures agree within three standard errors; largest |z| {largest:.2f}.",
        "",
        "| regime | " + " | ".join(figures) + " |",
        "| --- |" + " ---: |" * len(figures),
    ]
    lines += [
        f"| `{name}` | " + " | ".join(_cell(cell[name, figure]) for figure in figures) + " |"
        for name in names
    ]
    (out / "README.md").write_text("\n".join(lines) + "\n")


def _cell(row: Row) -> str:
    if row["z"] is None:
        return "-" if row["agrees"] else f"{row['measured']} ({row['expected']})"
    digits = 1 if row["figure"] in ("optimum", *SHARES) else 2
    return f"{row['measured']:.{digits}f} ({row['expected']}) {row['z']:+.1f}"


if __name__ == "__main__":
    from common import clean_tree

    clean_tree()
    sys.exit(main())
