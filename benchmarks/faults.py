"""Random kills, interrupts, full disks, removed folders and rivals, over every command that keeps something.

Run: ``python benchmarks/faults.py``; writes reports/faults/. A case starts a command on small work in a
folder of its own, hits it at a random moment, looks at what is on disk, makes room again where the fault took
it, and gives the same command again. It fails where a status or a message is not as promised, where a file
that has its name is not whole, where what was finished is lost or made again, where the second time ends with
anything else than an undisturbed run gives, or where files or processes are left over.

Full disks are small memory file systems, for which Linux and root are needed; without, they are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from common import ROOT, clean_tree, machine, table

from mecopt.comparing import Comparison
from mecopt.errors import InputError

OUT = ROOT / "reports" / "faults"
INSTANCES = ROOT / "instances"
COLUMNS = ["case", "command", "fault", "moment_s", "status", "again", "seconds", "verdict"]
TIMES = ("cpu_s", "wall_s", "started", "run", "host", "peak_memory_bytes")
PATIENCE_S = 300.0  # a command that takes longer hangs
FALTERING_S = 20.0  # after which a process that is left over counts
ROOM = 64 << 20  # bytes of a disk that becomes full
MARK = "MECOPT_FAULT_CASE"  # in the environment of all processes of a case

# The command with a budget of seconds; its own smallest one takes minutes.
REPRODUCE = """
from mecopt_rl.reproduce import experiments as ex, running
ex.BUDGETS["quick"] = ex.Budget(
    "quick", 3, episodes=2, round_episodes=1, validation_episodes=1, seeds=1, scope="some")
ex.variations = lambda budget: []
running.machine.cores = lambda: 1
from mecopt.__main__ import run
run()
"""

Found = dict[str, Any]  # what a folder holds: by a name, what does not change from run to run


@dataclass(frozen=True)
class Command:
    """A command that keeps something in `folder`."""

    name: str
    words: Callable[[Path], list[str]]
    read: Callable[[Path], Found]  # raises where something is not whole
    kept: Callable[[Path], dict[Any, Any]] = lambda folder: {}  # what has to stay, with its times
    rival: tuple[int, ...] = (0,)  # statuses that two at a time may have


def mecopt(*words: object) -> list[str]:
    """Return a command line."""
    return [sys.executable, "-m", "mecopt", *map(str, words)]


def runs_of(folder: Path) -> Any:
    """Return the table of a comparison; None before it has begun."""
    if not (folder / "comparison.sqlite").exists():
        return None
    try:
        with Comparison.open(folder) as comparison:
            return comparison.runs
    except InputError as error:
        if "has not begun" in str(error):
            return None
        raise


def read_compare(folder: Path) -> Found:
    """Return the rows without what a clock gave."""
    runs = runs_of(folder)
    if runs is None:
        return {}
    keys = ["instance", "method", "seed"]
    rows = runs.drop(columns=[name for name in TIMES if name not in keys]).to_json(orient="records")
    return {f"{row['instance']} {row['method']} {row['seed']}": row for row in json.loads(rows)}


def kept_runs(folder: Path) -> dict[Any, Any]:
    """Return when every finished run was begun."""
    runs = runs_of(folder)
    return {} if runs is None else dict(zip(runs["run"], runs["started"], strict=True))


def read_train(folder: Path) -> Found:
    """Return weights and rows, seconds left out."""
    from mecopt_rl.training import checkpoint

    found: Found = {}
    if (folder / "last.safetensors").exists():
        tensors, header = checkpoint.read(folder / "last.safetensors", checkpoint.TRAINING_FORMAT)
        found |= {name: tensor.flatten().tolist() for name, tensor in tensors.items()}
        found["rows"] = [{k: v for k, v in row.items() if k != "seconds"} for row in header["rows"]]
    if (folder / "policy.safetensors").exists():
        policy = checkpoint.load_policy(folder / "policy.safetensors")
        found["policy"] = {n: t.flatten().tolist() for n, t in policy.network.state_dict().items()}
    if (folder / "policy.json").exists():
        card = json.loads((folder / "policy.json").read_text())
        del card["training"]["seconds"]
        found["card"] = card
    if (folder / "log.csv").exists():
        with (folder / "log.csv").open() as file:
            log = list(csv.DictReader(file))
        found["log"] = [{k: v for k, v in row.items() if k != "seconds"} for row in log]
    return found


def kept_rounds(folder: Path) -> dict[Any, Any]:
    """Return the seconds after every round."""
    from mecopt_rl.training import checkpoint

    if not (folder / "last.safetensors").exists():
        return {}
    rows = checkpoint.read(folder / "last.safetensors", checkpoint.TRAINING_FORMAT)[1]["rows"]
    return {row["round"]: row["seconds"] for row in rows}


def read_reproduce(folder: Path) -> Found:
    """Return the rows of the table; every training and the store have to be whole."""
    found: Found = {}
    for training in sorted((folder / "trainings").glob("*")):
        read_train(training)
        if (training / "done.json").exists():
            json.loads((training / "done.json").read_text())
    runs_of(folder / "runs")
    for name in ("reproduction.json", "claims.csv", "runs.csv"):
        if (folder / name).exists():
            text = (folder / name).read_text()
            assert text.endswith("\n"), f"{name} is cut short"
            if name != "runs.csv":
                found[name] = text
    for path in sorted((folder / "figures").glob("*")):
        assert path.stat().st_size, f"{path.name} is empty"
    found["files"] = [path.name for path in sorted(folder.glob("*.*"))]
    return found


def kept_reproduction(folder: Path) -> dict[Any, Any]:
    """Return what is finished: trainings with their CPU seconds, runs with their beginnings."""
    done = {path: path.read_text() for path in (folder / "trainings").glob("*/done.json")}
    return {**done, **kept_runs(folder / "runs")}


def read_report(folder: Path) -> Found:
    """Return tables; pages and pictures have to be whole."""
    found: Found = {"files": sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())}
    ends = {".png": b"IEND\xaeB`\x82", ".svg": b"</svg>", ".html": b"</html>", ".parquet": b"PAR1"}
    for path in folder.rglob("*.*"):
        data = path.read_bytes()
        if path.suffix in ends:
            assert data.rstrip().endswith(ends[path.suffix]), f"{path.name} is cut short"
        elif path.suffix in (".csv", ".tex"):
            found[str(path.relative_to(folder))] = data.decode()
    return found


def read_solution(folder: Path) -> Found:
    """Return the solution without its times."""
    path = folder / "solution.json"
    if not path.exists():
        return {}
    document = json.loads(path.read_text())
    return {k: v for k, v in document.items() if k not in ("runtime_s", "trace")}


def read_best_known(folder: Path) -> Found:
    """Return the entries."""
    path = folder / "best.json"
    return json.loads(path.read_text())["entries"] if path.exists() else {}


def kept_entries(folder: Path) -> dict[Any, Any]:
    """Return the objective of every entry that is proved; what an interrupt left may become better."""
    entries = read_best_known(folder).items()
    return {sha256: entry["objective"] for sha256, entry in entries if entry["status"] == "optimal"}


def commands(prepared: Path) -> list[Command]:
    """Return all commands; `prepared` is the folder of a comparison, for the report."""
    tiny = [INSTANCES / f"tiny_{name}.json" for name in ("paper", "capacity", "memory", "energy", "deadline")]
    compare = ("compare", tiny[0], "paper:slots=2", "--methods", "rpdi,trellis,greedy", "--seeds", 20)
    train = ("train", "paper:slots=5", "--learner", "mtl-a3c", "--episodes", 100)
    small = ("--set", "width=8", "--set", "branch_width=8")
    return [
        Command(
            "compare",
            lambda f: mecopt(*compare, "--workers", 1, "--out", f),
            read_compare,
            kept_runs,
        ),
        Command("train", lambda f: mecopt(*train, *small, "--out", f), read_train, kept_rounds, (0, 2)),
        Command(
            "reproduce",
            lambda f: [sys.executable, "-c", REPRODUCE, "reproduce", "fig13", "--out", str(f)],
            read_reproduce,
            kept_reproduction,
            (0, 2),
        ),
        Command("report", lambda f: mecopt("report", prepared, "--out", f), read_report),
        Command(
            "solve --out",
            lambda f: mecopt(
                "solve", INSTANCES / "paper.json.gz", "--method", "trellis", "--out", f / "solution.json"
            ),
            read_solution,
        ),
        Command(
            "best-known update",
            lambda f: mecopt("best-known", "update", *tiny, "--store", f / "best.json"),
            read_best_known,
            kept_entries,
        ),
    ]


SHARES = {"compare": 5, "train": 5, "reproduce": 1, "report": 3, "solve --out": 4, "best-known update": 5}
FAULTS = ["SIGKILL", "SIGINT", "SIGTERM", "two processes", "full disk", "folder removed"]
INTERRUPTED = (130, 0)  # it may be done by then
ALLOWED = {
    "SIGKILL": (-signal.SIGKILL, 0),
    "SIGINT": INTERRUPTED,
    "SIGTERM": INTERRUPTED,
    "full disk": (1, 0),
    "folder removed": (0, 1, 2),
}


class Broken(Exception):
    """Something is not as promised."""


@dataclass
class Case:
    """A command in a folder of its own, with what becomes of it."""

    command: Command
    fault: str
    folder: Path
    number: int
    moment_s: float

    def start(self) -> subprocess.Popen[str]:
        """Start the command in a group of its own, where an interrupt of the terminal would be one."""
        self.folder.mkdir(exist_ok=True, parents=True)
        return subprocess.Popen(
            self.command.words(self.folder), env={**os.environ, MARK: str(self.number)}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            cwd=self.folder.parent, start_new_session=True,
        )  # fmt: skip

    def go(self, expected: Found) -> tuple[int, int]:
        """Return the statuses of the first and the second time.

        Raises
        ------
        Broken
        """
        status = self.hit()
        self.nothing_runs()
        self.read("after the fault")
        before = self.command.kept(self.folder)
        self.mend()
        second = self.start()
        again = self.ended(second, (0,))
        self.nothing_runs()
        found = self.read("after the second time")
        if found != expected:
            differing = [name for name in {**found, **expected} if found.get(name) != expected.get(name)]
            raise Broken(f"{', '.join(differing)[:200]}: other than of an undisturbed run")
        after = self.command.kept(self.folder)
        lost = [name for name, value in before.items() if after.get(name) != value]
        if lost:
            raise Broken(f"{len(lost)} of {len(before)} finished ones were lost or made again")
        self.nothing_left()
        return status, again

    def hit(self) -> int:
        """Start the command, and do to it what the case is about; returns its status."""
        first = self.start()
        if self.fault in ("SIGINT", "SIGTERM"):
            _wait_for_python(first)
        try:
            first.wait(timeout=self.moment_s)
        except subprocess.TimeoutExpired:
            if self.fault == "SIGKILL":
                first.kill()
            elif self.fault == "SIGTERM":
                first.terminate()
            elif self.fault == "SIGINT":
                os.killpg(first.pid, signal.SIGINT)
            elif self.fault == "folder removed":
                shutil.rmtree(self.folder, ignore_errors=True)
            elif self.fault == "full disk":
                self.fill()
        if self.fault == "two processes":
            second = self.start()
            # Both pipes are read, lest one waits for the other.
            with_status: list[int] = []
            thread = threading.Thread(
                target=lambda: with_status.append(self.ended(first, self.command.rival))
            )
            thread.start()
            other = self.ended(second, self.command.rival)
            thread.join()
            if not with_status:
                raise Broken("the first of two: see above")
            if 0 not in (with_status[0], other):
                raise Broken("neither of two ended with 0")
            return with_status[0] or other
        return self.ended(first, ALLOWED[self.fault])

    def ended(self, process: subprocess.Popen[str], allowed: tuple[int, ...]) -> int:
        """Wait for the end of a process; its status and what it said have to be as promised."""
        try:
            _, errors = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Broken(f"hangs, {PATIENCE_S:g} s after the fault") from None
        said = [line for line in errors.splitlines() if line.strip()]
        last = said[-1] if said else ""
        if "Traceback" in errors or "unexpected" in errors:
            raise Broken(f"says: {next((s for s in said if 'unexpected' in s), last)}")
        if process.returncode not in allowed:
            raise Broken(f"status {process.returncode}: {last}")
        if process.returncode > 0 and not last.startswith("mecopt"):
            raise Broken(f"status {process.returncode} says: {last!r}")
        return process.returncode

    def fill(self) -> None:
        """Leave no byte free on the disk of the folder."""
        with contextlib.suppress(OSError), open(self.folder.parent / "filler", "wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))

    def mend(self) -> None:
        """Make room again."""
        (self.folder.parent / "filler").unlink(missing_ok=True)

    def read(self, when: str) -> Found:
        """Read what is on disk."""
        try:
            return self.command.read(self.folder)
        except Exception as error:  # whatever it is, it is not whole
            text = " ".join(str(error).split())
            raise Broken(f"{when}: {type(error).__name__}: {text}") from None

    def nothing_runs(self) -> None:
        """Wait until no process of the case is left."""
        until = time.monotonic() + FALTERING_S
        while left := _marked(self.number):
            if time.monotonic() > until:
                for process in left:
                    process.kill()
                raise Broken(f"{len(left)} processes were left over")
            time.sleep(0.1)

    def nothing_left(self) -> None:
        """Look for temporary files and locks."""
        wrong = (".mecopt-*", "*.lock", ".lock", ".*.part", "*-wal", "*-shm", "*-journal")
        left = sorted({p.name for pattern in wrong for p in self.folder.rglob(pattern)})
        if left:
            raise Broken(f"left over: {', '.join(left)}")


def _wait_for_python(process: subprocess.Popen[str]) -> None:
    """Wait until a command listens to signals: before that, it is Python that they end."""
    while process.poll() is None:
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            caught = int(next(line for line in lines if line.startswith("SigCgt")).split()[1], 16)
            if caught >> (signal.SIGTERM - 1) & 1:
                return
        time.sleep(0.01)


def _marked(number: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == str(number):
                found.append(process)
    return found


@contextlib.contextmanager
def disk(folder: Path, small: bool) -> Iterator[Path]:
    """Yield a folder, on a small disk of its own where that is asked for."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)]
    if small:
        subprocess.run(mount, check=True, capture_output=True)
    try:
        yield folder
    finally:
        if small:
            subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def drawn(count: int, seed: int, names: list[str], faults: list[str]) -> list[tuple[str, str]]:
    """Return the command and the fault of every case: all pairs evenly, costly commands less often."""
    draw = random.Random(seed)
    queues = {name: itertools.cycle(draw.sample(faults, len(faults))) for name in names}
    weights = [SHARES[name] for name in names]
    order: list[str] = []
    while len(order) < count:
        block = [name for name, weight in zip(names, weights, strict=True) for _ in range(weight)]
        order += draw.sample(block, len(block))
    return [(name, next(queues[name])) for name in order[:count]]


def can_mount() -> bool:
    """Say whether a small disk can be had."""
    try:
        with tempfile.TemporaryDirectory() as folder, disk(Path(folder) / "try", small=True):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def undisturbed(command: Command, folder: Path) -> tuple[float, Found]:
    """Return how long a command takes, and what it gives; once before, so that everything is compiled."""
    for name in ("first", "second"):
        case = Case(command, "", folder / name / "out", -1, 0.0)
        start = time.monotonic()
        case.ended(case.start(), (0,))
        took = time.monotonic() - start
    found = command.read(case.folder)
    shutil.rmtree(folder, ignore_errors=True)
    return took, found


def main() -> None:
    """Run the cases, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the report")
    parser.add_argument("--command", action="append", help="only this command; may be repeated")
    parser.add_argument("--fault", action="append", help="only this fault; may be repeated")
    args = parser.parse_args()
    # A shell hands its deafness to Ctrl-C on to what runs in its background, and that to its own processes.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    args.out.mkdir(parents=True, exist_ok=True)
    faults = [f for f in args.fault or FAULTS if f != "full disk" or can_mount()]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mecopt-faults-") as name:
        place = Path(name)
        made = place / "made"
        words = ("compare", INSTANCES / "tiny_paper.json", "--methods", "trellis,greedy", "--out", made)
        subprocess.run(mecopt(*words), check=True, capture_output=True)
        every = {one.name: one for one in commands(made) if one.name in (args.command or SHARES)}
        known = {key: undisturbed(one, place / "whole") for key, one in every.items()}
        order = drawn(args.count, args.seed, list(every), faults)
        rows: list[dict[str, Any]] = []
        with contextlib.suppress(KeyboardInterrupt):  # the page then holds the cases so far
            run_all(order, every, known, place, args, rows)
    page(args, rows, known, time.monotonic() - begun)


def run_all(
    order: list[tuple[str, str]],
    every: dict[str, Command],
    known: dict[str, tuple[float, Found]],
    place: Path,
    args: argparse.Namespace,
    rows: list[dict[str, Any]],
) -> None:
    """Run the cases in turn, and write a row of each as soon as it has ended."""
    draw = random.Random(args.seed)
    with (args.out / "cases.csv").open("w") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for number, (key, fault) in enumerate(order):
            took, expected = known[key]
            moment, start = draw.uniform(0.0, took), time.monotonic()
            status: int | str = ""
            again: int | str = ""
            verdict = "passed"
            with disk(place / f"case{number}", small=fault == "full disk") as folder:
                try:
                    status, again = Case(every[key], fault, folder / "out", number, moment).go(expected)
                except Broken as error:
                    verdict = str(error)
            seconds = f"{time.monotonic() - start:.1f}"
            row = (number, key, fault, f"{moment:.2f}", status, again, seconds, verdict)
            rows.append(dict(zip(COLUMNS, row, strict=True)))
            writer.writerow(rows[-1])
            file.flush()
            print(*row, file=sys.stderr)


def page(args: argparse.Namespace, rows: list[dict[str, Any]], known: dict[str, Any], took: float) -> None:
    """Write the page."""
    faults = [fault for fault in FAULTS if any(row["fault"] == fault for row in rows)]
    cells = []
    for name in known:
        own = [[row for row in rows if (row["command"], row["fault"]) == (name, fault)] for fault in faults]
        passed = [sum(row["verdict"] == "passed" for row in some) for some in own]
        cells.append([f"`{name}`", *(f"{p} of {len(some)}" for p, some in zip(passed, own, strict=True))])
    failures = [row for row in rows if row["verdict"] != "passed"]
    said = [
        f"- case {row['case']}, `{row['command']}`, {row['fault']} at {row['moment_s']} s: {row['verdict']}"
        for row in failures
    ]
    times = ", ".join(f"`{name}` {seconds:.1f} s" for name, (seconds, _) in known.items())
    text = [
        "# Kills, interrupts, full disks",
        "",
        f"`python benchmarks/faults.py --count {args.count} --seed {args.seed}`: a command on small work is",
        "hit at a random moment of its course (signals that end Python before it has come to the command are",
        "not counted), what is on disk is read, and the same command is given again. A case has passed where",
        "the status and the message are as [docs/errors.md](../../docs/errors.md) says, without a traceback;",
        "every file that has its name is whole; the second time ends with status 0 and with what an",
        "undisturbed run gives, figures of clocks left out; nothing that was finished is lost or made again;",
        "no temporary file, lock or process is left over. A full disk has no byte left from that moment on",
        "until the second time. Undisturbed, the commands take: " + times + ".",
        "",
        table(["command", *faults], cells),
        "",
        f"{len(rows) - len(failures)} of {len(rows)} cases passed, in {took / 60:.0f} minutes. "
        + ("The others:" if failures else "`cases.csv` beside this page has each."),
        *(["", *said] if failures else []),
        "",
        *machine("numpy", "torch"),
    ]
    (args.out / "README.md").write_text("\n".join(text) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    clean_tree()
    main()
