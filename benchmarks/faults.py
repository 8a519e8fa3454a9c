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
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from common import ROOT, clean_tree, machine, table
from faults_commands import SHARES, Command, Found, commands, prepare

OUT = ROOT / "reports" / "faults"
COLUMNS = ["case", "command", "fault", "moment_s", "status", "again", "seconds", "verdict"]
PATIENCE_S = 300.0  # a command that takes longer hangs
FALTERING_S = 20.0  # after which a process that is left over counts
ROOM = 64 << 20  # bytes of a disk that becomes full
MARK = "MECOPT_FAULT_CASE"  # in the environment of all processes of a case

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
        prepare(place / "made")
        wanted = args.command or SHARES
        every = {one.name: one for one in commands(place / "made") if one.name in wanted}
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
