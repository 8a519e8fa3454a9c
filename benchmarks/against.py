"""Another commit beside the one that is checked out, in one run: CPU seconds of the same work, in turn.

Run: ``python benchmarks/against.py CHECKOUT`` (20 minutes); writes reports/against/. CHECKOUT is a folder
with the other commit, which has an environment of its own in ``.venv``:

    git worktree add --detach ../before COMMIT
    python3 -m venv ../before/.venv && ../before/.venv/bin/pip install -c constraints.txt -e '../before[test]'

``--repeats N`` takes other than nine turns, ``--only TEXT`` the groups whose name contains it; it then only
prints.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from common import ROOT, clean_tree, machine, random_instance, table

import mecopt

OUT = ROOT / "reports" / "against"
WORK = Path(__file__).with_name("against_work.py")
REPEATS = 9
GROUPS = ("trellis", "baselines", "decomposition", "programs", "decisions")
SLOWER = 1.03  # what counts as slower
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# A small process in between: what it has started is all that its children's CPU seconds can be of.
WATCH = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, used.ru_utime + used.ru_stime, done.stderr.decode()[-500:]]))
"""


class Side:
    """One of the two commits: where it is, and how its processes are started."""

    def __init__(self, root: Path, python: Path) -> None:
        self.python, self.root = python, root
        self.environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        self.environment |= dict.fromkeys(ONE_THREAD, "1")
        head = ["git", "rev-parse", "--short", "HEAD"]
        self.commit = subprocess.run(
            head, cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()

    def group(self, name: str, folder: str) -> dict[str, float]:
        """Let a process time a group of cases; return the CPU seconds of each."""
        done = self._run([str(self.python), str(WORK), name, folder], folder)
        return {case: figures["cpu_s"] for case, figures in json.loads(done).items()}

    def command(self, arguments: list[str], folder: str) -> float:
        """Run the command line once, and return its CPU seconds."""
        mecopt_ = str(self.python.with_name("mecopt"))
        status, seconds, said = json.loads(
            self._run([sys.executable, "-S", "-c", WATCH, mecopt_, *arguments], folder)
        )
        if status:
            raise SystemExit(f"{mecopt_} {' '.join(arguments)} ended with {status}: {said}")
        return float(seconds)

    def _run(self, words: list[str], folder: str) -> str:
        done = subprocess.run(
            words, cwd=folder, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(words)} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout


def instances(folder: str) -> None:
    """Write the instances that both sides read, in the first format."""
    made = {
        "slots-600": mecopt.generate("camera-vgg", seed=1),
        "loaded-600": mecopt.generate("camera-alexnet-deadline", seed=1),
        "tasks-36000": random_instance(36_000, 6, 4, seed=1),
        "energy-600": mecopt.generate("energy", seed=1),
        "small-capacity": mecopt.generate("crowd", batch=4, seed=3),
        "small-memory": mecopt.load(ROOT / "instances" / "tiny_memory.json"),
        **{f"crowd-{k}": mecopt.generate("crowd", batch=k, seed=1) for k in (60, 300, 1000)},
    }
    for name, instance in made.items():
        mecopt.save(instance, f"{folder}/{name}.json")


def commands(folder: str) -> dict[str, list[str]]:
    """Return the commands that are timed from start to end."""
    slots, large = f"{folder}/slots-600.json", f"{folder}/tasks-36000.json"
    train = ["train", "camera-vgg", "--learner", "markov-a3c", "--episodes", "40", "--out"]
    return {
        "mecopt --help": ["--help"],
        "mecopt solve, slots-600": ["solve", slots],
        "mecopt solve --json, slots-600": ["solve", slots, "--json"],
        "mecopt solve --out, tasks-36000": ["solve", large, "--out", f"{folder}/out.json"],
        "mecopt train, 40 episodes": [*train, ""],  # a new folder each time
    }


def turn(side: Side, groups: list[str], folder: str) -> Iterator[tuple[str, str, float]]:
    """Yield group, case and CPU seconds of everything, once."""
    for group in groups:
        if group != "commands":
            yield from ((group, case, seconds) for case, seconds in side.group(group, folder).items())
            continue
        for name, arguments in commands(folder).items():
            with tempfile.TemporaryDirectory(dir=folder) as new:
                words = [word or f"{new}/run" for word in arguments]
                yield group, name, side.command(words, folder)


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path, help="folder of another commit with an environment in .venv")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--only", default="", help="groups whose name contains this; only printed")
    asked = parser.parse_args()
    sides = {
        "before": Side(asked.checkout, asked.checkout.absolute() / ".venv" / "bin" / "python"),
        "now": Side(ROOT, Path(sys.executable)),
    }
    groups = [group for group in (*GROUPS, "commands") if asked.only in group]
    raw = []
    with tempfile.TemporaryDirectory() as folder:
        instances(folder)
        for side in sides.values():
            list(turn(side, groups, folder))  # compiles what is compiled; not counted
        for repeat in range(asked.repeats):
            print(f"turn {repeat + 1} of {asked.repeats}", file=sys.stderr)
            order = list(sides.items())
            for group in groups:
                for name, side in order if repeat % 2 else order[::-1]:
                    for _, case, seconds in turn(side, [group], folder):
                        row = {"group": group, "case": case, "side": name, "repeat": repeat}
                        raw.append({**row, "cpu_s": seconds})
    lines = page(sides, raw, asked.repeats)
    print("\n".join(lines))
    if not asked.only:
        OUT.mkdir(parents=True, exist_ok=True)
        (OUT / "README.md").write_text("\n".join(lines) + "\n")
        with (OUT / "runs.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(raw[0]))
            writer.writeheader()
            writer.writerows(raw)


def page(sides: dict[str, Side], raw: list[dict[str, object]], repeats: int) -> list[str]:
    """Return the lines of the report."""
    seconds: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in raw:
        both = seconds.setdefault((str(row["group"]), str(row["case"])), {"before": [], "now": []})
        both[str(row["side"])].append(float(str(row["cpu_s"])))
    rows, slower = [], 0
    for (group, case), both in seconds.items():
        ratios = [now / before for before, now in zip(both["before"], both["now"], strict=True)]
        ratio = statistics.median(ratios)
        slower += ratio > SLOWER
        rows.append(
            [
                group,
                f"`{case}`" if case.startswith("mecopt") else case,
                f"{1e3 * statistics.median(both['before']):.2f}",
                f"{1e3 * statistics.median(both['now']):.2f}",
                f"**{ratio:.3f}**" if ratio > SLOWER else f"{ratio:.3f}",
                f"{min(ratios):.3f} to {max(ratios):.3f}",
            ]
        )
    heads = ["group", "case", "before [ms]", "now [ms]", "ratio, median", "least to largest"]
    return [
        f"# This commit beside {sides['before'].commit}",
        "",
        f"`python benchmarks/against.py CHECKOUT --repeats {repeats}`: CPU milliseconds on one thread. Each "
        "turn starts a process of either commit for every group of cases, in the other order in every second "
        "turn; a ratio is of two processes of one turn. Within a process a case is done once uncounted, then "
        "until 0.3 s are spent (three times at least), and the median counts; commands are timed from start "
        "to end. Both read the same files. `decomposition` stops at a gap: 4e-3, 1e-3, 3e-4 for 60, 300, "
        "1000 tasks.",
        "",
        table(heads, rows),
        "",
        f"Slower by more than 3 % (bold): {slower} of {len(rows)}.",
        "",
        *machine("numpy", "numba", "highspy", "pydantic"),
    ]


if __name__ == "__main__":
    clean_tree()
    main()
