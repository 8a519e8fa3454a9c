"""What `against.py` times inside a process, of whatever release of mecopt that process has.

Run by `against.py` alone: ``python against_work.py GROUP FOLDER``; prints CPU seconds and gaps as JSON.
Nothing here may need what only one of the two releases has.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mecopt

RULES = (
    "apdi", "best-constant", "best-node", "best-server", "greedy", "greedy-arc", "local", "rpdi",
    "single-cut", "slot-price",
)  # fmt: skip
TIMED_S = 0.3  # of CPU for each case, but for what takes longer once


def cpu_s() -> float:
    """Return the CPU seconds of this process and of those that it has started and awaited."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def cases(group: str, folder: Path) -> Iterator[tuple[str, Callable[[], Any], int]]:
    """Yield the name of every case of a group, its work, and how often it is done at most."""

    def solved(name: str, method: str, **asked: Any) -> tuple[str, Callable[[], Any], int]:
        instance = mecopt.load(folder / f"{name}.json")
        most = 3 if asked else 100
        return f"{method}, {name}", lambda: mecopt.solve(instance, method, **asked), most

    if group == "trellis":
        for name in ("slots-600", "loaded-600", "tasks-36000"):
            yield solved(name, "trellis")
    elif group == "baselines":
        for name in ("slots-600", "crowd-60", "crowd-1000"):
            for method in RULES:
                if name == "slots-600" or method != "best-constant":  # which takes no capacity
                    yield solved(name, method)
        yield solved("energy-600", "online-price")
    elif group == "decomposition":
        for name, gap in (("crowd-60", 4e-3), ("crowd-300", 1e-3), ("crowd-1000", 3e-4)):
            yield solved(name, "decomposition", gap=gap, time_limit_s=20.0)
        yield solved("energy-600", "energy-path", gap=1e-6)
    elif group == "programs":
        for method in ("milp", "ilp", "cpsat"):
            for name in ("small-capacity", "small-memory"):
                yield solved(name, method, time_limit_s=20.0)
    elif group == "decisions":
        for name in ("slots-600", "loaded-600"):
            for method in ("mtl-a3c", "markov-a3c"):
                yield solved(name, method)


def main() -> None:
    """Time the cases of a group."""
    group, folder = sys.argv[1], Path(sys.argv[2])
    found = {}
    for name, work, most in cases(group, folder):
        begin = cpu_s()
        result = work()  # loads libraries and what is compiled; not counted
        spent, times = cpu_s() - begin, []
        while len(times) < most and (len(times) < 3 or sum(times) < TIMED_S):
            begin = cpu_s()
            work()
            times.append(cpu_s() - begin)
        found[name] = {"cpu_s": statistics.median(times), "first_s": spent, "gap": result.gap}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
