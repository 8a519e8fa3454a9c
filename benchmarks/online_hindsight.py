"""How low may any bound lie that lets a policy know the stream: placements improved by one who knows it.

    python benchmarks/online_hindsight.py [--tasks T] [--minutes M]

Bursts, heavy sizes, load 0.9: the placements of the trained policy (five slots stale) are improved one by one
over all tasks, each tried on every path that goes to one server and stays, as long as that helps. What is
found is the mean of a policy, so no bound on policies that know the stream lies above it. Prints a table.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from common import clean_tree, table
from online_learners_page import CELLS, REPORT

from mecopt.simulation.bound import bound_of
from mecopt.simulation.engine import replay, simulate_stream
from mecopt.simulation.online_plan import OnlinePlan
from mecopt_rl.learners.online_policy import load_online_policy

ENOUGH = 1e-3  # a sweep that gains less is the last


def main() -> None:
    """Improve, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1500)
    parser.add_argument("--minutes", type=float, default=5.0)
    options = parser.parse_args()
    cell = CELLS["both-5"]
    plan = OnlinePlan(cell.source(), tasks=options.tasks, **cell.setting)
    world, stream = plan.world, plan.stream(0)
    rule = load_online_policy(str(REPORT / "both-5-mean.safetensors")).pricing(plan.setting())
    run = simulate_stream(world, stream, rule, lag_s=plan.lag_s)
    stages, nodes = world.stages, run.nodes.copy()
    paths = [[0] * m + [n] * (stages - m) for m in range(stages) for n in range(1, world.servers + 1)]
    tried = np.array([[0] * stages, *paths], dtype=np.int8)
    go, best, rng = replay(world, stream), float(run.delay_s.mean()), np.random.default_rng(0)
    end, before = time.process_time() + 60 * options.minutes, np.inf
    while best < before * (1 - ENOUGH) and time.process_time() < end:
        before = best
        for i in rng.permutation(len(stream)):
            kept = nodes[i].copy()
            for path in tried:
                nodes[i] = path
                mean = float(go(nodes).mean())
                if mean < best - 1e-12:
                    best, kept = mean, path
            nodes[i] = kept
    bound = bound_of(world, stream, plan.capacity.price).queueing_s
    rows = [["trained policy", run.delay_s.mean()], ["improved by who knows the stream", best]]
    lines = [[name, f"{mean:.3f}", f"{mean / bound - 1:.1%}"] for name, mean in [*rows, ["bound", bound]]]
    print(table(["placements", "mean s", "above the bound"], lines))


if __name__ == "__main__":
    clean_tree()
    main()
