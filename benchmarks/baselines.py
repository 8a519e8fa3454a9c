"""All exact methods and baselines on the whole benchmark set: `mecopt compare`, then `mecopt report`.

Run: ``python benchmarks/baselines.py`` (60 s for a run, ten seeds for the baselines that are random; 80
minutes of one core, most of them for `local-search`) or ``python benchmarks/baselines.py --quick`` (5 s,
under ten minutes); writes reports/baselines/. Stopped at any moment, the same command goes on where it
stopped.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from common import ROOT, clean_tree

import mecopt

OUT = ROOT / "reports" / "baselines"
QUICK_SECONDS, SECONDS, SEEDS = 5.0, 60.0, 10


def main() -> int:
    """Compare, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="5 s for a run")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    limit = QUICK_SECONDS if given.quick else SECONDS
    known = mecopt.methods()
    # An exact method's seed only steers its search, and what it proves does not depend on it: one seed.
    exact = [method.name for method in known if method.kind == "exact"]
    others = [method.name for method in known if method.kind in ("baseline", "heuristic")]
    folder, begun = given.out.resolve() / "runs", time.perf_counter()
    os.chdir(ROOT)  # the report repeats the commands, which name folders
    folder = Path(os.path.relpath(folder))
    for methods, seeds in ((others, SEEDS), (exact, 1)):
        mecopt.compare("instances", methods, seeds=seeds, time_limit_s=limit, out=folder, progress=True)
    report = [sys.executable, "-m", "mecopt", "report", str(folder), "--out", str(folder.parent)]
    subprocess.run(report, check=True)
    print(f"{time.perf_counter() - begun:.0f} s in all")
    return 0


if __name__ == "__main__":
    clean_tree()
    sys.exit(main())
