"""Exactness: every exact method against brute force on random small instances, every set of couplings.

Run: ``python benchmarks/exactness.py [COUNT]`` (2,000 instances: about ten minutes).
Writes reports/exactness/.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter

from common import ROOT, clean_tree, machine, table

from mecopt_solvers.crosscheck import AGREEMENT, check, instances

OUT = ROOT / "reports" / "exactness"
SEED = 0


def main(count: int) -> None:
    """Write the report."""
    OUT.mkdir(parents=True, exist_ok=True)
    checked: Counter[tuple[str, str]] = Counter()
    wrong: Counter[tuple[str, str]] = Counter()
    texts = []
    for instance in instances(count, SEED):
        couplings = " + ".join(sorted(instance.rules.couplings)) or "none"
        for answer in check(instance):
            checked[couplings, answer.method] += 1
            if answer.what:
                wrong[couplings, answer.method] += 1
                texts.append(f"- {instance.name}, `{answer.method}`: {answer.what}")
                print(texts[-1], file=sys.stderr)
    with open(OUT / "exactness.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["couplings", "method", "instances", "disagreements"])
        writer.writerows([*key, checked[key], wrong[key]] for key in sorted(checked))
    methods = sorted({method for _, method in checked})
    sets = sorted({couplings for couplings, _ in checked}, key=lambda text: (text.count("+"), text))

    def cell(couplings: str, method: str) -> str:
        key = couplings, method
        return f"{wrong[key]} of {checked[key]}" if checked[key] else ""

    page = [
        "# Exactness: disagreements with brute force",
        "",
        f"`python benchmarks/exactness.py {count}`: {count:,} random instances of seed {SEED}, "
        "of at most 20,000 placements each. "
        f"Status, objective and bound must agree within {AGREEMENT:g} relative "
        "(`cpsat`: plus its stated error).",
        "",
        *machine("numpy", "highspy", "ortools", "pyomo"),
        "",
        table(["couplings", *methods], [[s, *(cell(s, method) for method in methods)] for s in sets]),
        "",
        *texts,
    ]
    (OUT / "README.md").write_text("\n".join(page) + "\n")
    print("\n".join(page))


if __name__ == "__main__":
    clean_tree()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
