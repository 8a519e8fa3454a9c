"""Exactness: every method against brute force on random small instances of both formats.

Run: ``python benchmarks/exactness.py [COUNT]`` (3,000 instances: about half an hour).
Writes reports/exactness/. Every instance is appended to exactness.csv there as it ends, and what is there is
not checked again: start it as often as it takes. Another commit starts anew.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from common import ROOT, clean_tree, machine, table

from mecopt import features
from mecopt.instance import Instance
from mecopt.registry import Method, methods
from mecopt_solvers.crosscheck import check, instances
from mecopt_solvers.crosscheck.checking import AGREEMENT, OTHERS_S

OUT = ROOT / "reports" / "exactness"
KEPT = OUT / "exactness.csv"
SEED = 0
EVERY = "all instances"
OWN = ("commit", "instance", "parts", "optimum")  # columns before those of the methods
AGREED, REFUSED = "agrees", ""  # anything else in a method's column says how it differs
Row = dict[str, Any]

WORDS = """
Every second instance may use anything of the wider model, the others have every set of couplings of the first
format in turn. About half of those with an optimum are solved from another placement. A method is asked about
what it takes, and refuses the rest by name. Of an exact one status, objective and every bound, at the end and
at each moment of its trace, must agree within {agreement:g} relative (`cpsat`: plus its stated error). The
others get {seconds:g} s, and what they claim must be true: no objective below the optimum, no bound above it,
no `optimal` and no `infeasible` without cause, no limit broken that they respect. Learners take nothing of
the wider model and are not asked.
"""


class Account:
    """How often each method was asked about instances of each kind, and was wrong."""

    def __init__(self, rows: list[Row], tried: list[Method]) -> None:
        self.rows, self.tried = rows, tried
        self.instances: Counter[str] = Counter()
        self.taken, self.wrong = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for row in rows:
            for part in (EVERY, *row["parts"].split(", ")):
                self.instances[part] += 1
                self.taken.update((part, m.name) for m in tried if row[m.name] != REFUSED)
                self.wrong.update((part, m.name) for m in tried if row[m.name] not in (REFUSED, AGREED))

    def by_method(self) -> str:
        """Return the table of all instances, a line a method."""
        body = []
        for m in self.tried:
            taken, wrong = self.taken[EVERY, m.name], self.wrong[EVERY, m.name]
            body.append([m.name, m.kind, f"{taken:,}", f"{len(self.rows) - taken:,}", f"{wrong:,}"])
        return table(["method", "kind", "taken", "refused", "disagreements"], body)

    def by_part(self, *, exact: bool) -> str:
        """Return the table of what instances have, a column a method."""
        names = [m.name for m in self.tried if m.exact is exact]
        body = []
        for part in [EVERY, *sorted(self.instances.keys() - {EVERY})]:
            cells = [f"{self.wrong[part, name]:,} of {self.taken[part, name]:,}" for name in names]
            body.append([part, f"{self.instances[part]:,}", *cells])
        return table(["instances with", "there are", *names], body)

    def disagreements(self) -> list[str]:
        """Return a line for each."""
        return [
            f"- {row['instance']}, `{m.name}`: {row[m.name]}"
            for row in self.rows
            for m in self.tried
            if row[m.name] not in (REFUSED, AGREED)
        ]


def main(count: int) -> None:
    """Write the report."""
    OUT.mkdir(parents=True, exist_ok=True)
    tried = [m for m in methods() if m.kind != "learner"]
    account = Account(list(_checked(count, tried)), tried)
    feasible = sum(row["optimum"] != "" for row in account.rows)
    page = [
        "# Exactness: disagreements with brute force",
        "",
        f"`python benchmarks/exactness.py {count}`: {count:,} random instances of seed {SEED},",
        f"of at most 20,000 placements each; {feasible:,} of them have a feasible one.",
        WORDS.format(agreement=AGREEMENT, seconds=OTHERS_S),
        *machine("numpy", "highspy", "ortools", "pyomo"),
        "",
        account.by_method(),
        "",
        "Exact methods: disagreements of those taken, among the instances that have what stands in front.",
        "",
        account.by_part(exact=True),
        "",
        "The others:",
        "",
        account.by_part(exact=False),
        "",
        *account.disagreements(),
    ]
    (OUT / "README.md").write_text("\n".join(page).rstrip() + "\n")
    print("\n".join(page))


def _checked(count: int, tried: list[Method]) -> Iterator[Row]:
    """Yield what was found on every instance; check those that no earlier run of this commit has."""
    commit, columns = machine("numpy")[0].split("commit ")[1], [*OWN, *(m.name for m in tried)]
    kept: dict[str, Row] = {}
    if KEPT.exists():
        with KEPT.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if list(row) == columns and None not in row.values()]
        kept = {row["instance"]: row for row in rows if row["commit"] == commit}
    with KEPT.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(kept.values())
        for instance in instances(count, SEED, wider=True):
            row = kept.get(instance.name)
            if row is None:
                row = {"commit": commit, **_check(instance, tried)}
                writer.writerow(row)
                file.flush()
            yield row


def _check(instance: Instance, tried: list[Method]) -> Row:
    """Ask all methods about one instance."""
    answers = list(check(instance, [m.name for m in tried]))
    for answer in answers:
        if answer.what:
            print(f"{instance.name}: {answer.method}: {answer.what}", file=sys.stderr, flush=True)
    optimum = answers[0].optimum
    return {
        "instance": instance.name,
        "parts": ", ".join(_parts(instance)),
        "optimum": "" if optimum is None else repr(optimum),
        **dict.fromkeys([m.name for m in tried], REFUSED),
        **{answer.method: answer.what or AGREED for answer in answers},
    }


def _parts(instance: Instance) -> list[str]:
    """Name what an instance has that methods may differ in."""
    rules = instance.rules
    found = [str(feature) for feature in features.of(instance)]
    found += [f"{c} ({rules.sharing})" if c == "sharing" else str(c) for c in rules.couplings]
    return sorted([*found, f"{rules.deadline} deadlines", f"format {instance.format[-2:]}"])


if __name__ == "__main__":
    clean_tree()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
