"""A comparison made up for the tests of reports: everything that can happen, without any solving."""

import json

import numpy as np
import pandas as pd

import mecopt
from mecopt.comparing.one_run import node_share
from mecopt.result import gap

EVIL = "</script><b>ev&il $x_1$ 100%"  # a name that must stay text, in HTML as in LaTeX


def instance(name, tasks=12, seed=0):
    """Its model, device and first server are called as it is."""
    draw = np.random.default_rng(seed)
    return mecopt.Instance(
        name=name,
        slot_count=tasks,
        models=(mecopt.Model(name, (mecopt.Block(2e8, 1e6, name="c1"), mecopt.Block(1e8, 1e5, name=EVIL))),),
        devices=(mecopt.Device(name, 1e9, 0.5),),
        servers=(mecopt.Server(name, 4e9), mecopt.Server("es2", 4e9)),
        links=mecopt.Links.of(2, 1e8),
        tasks=mecopt.Tasks.of(
            slot=np.arange(tasks), device=0, model=0, rate_bps=draw.uniform(6e6, 2e7, (tasks, 2)), blocks=2
        ),
        rules=mecopt.Rules.preset("paper", deadline="none"),
    )


class MadeUp:
    """As `mecopt.comparing.Comparison`: methods `exact`, `dice` (many seeds), `stuck`, and the evil one."""

    pending = 0

    def __init__(self, names=("one", EVIL, "three"), seeds=3, methods=("exact", "dice", "stuck", EVIL)):
        self._instances = {f"{i:064x}": instance(name, seed=i) for i, name in enumerate(names)}
        self._placements, rows = {}, []
        for sha, inst in self._instances.items():
            bound = float(mecopt.solve(inst, "trellis").lower_bound)
            for method in methods:
                for seed in range(seeds if method == "dice" else 1):
                    rows.append(self._run(len(rows) + 1, sha, inst, method, seed, bound))
        self.runs = pd.DataFrame(rows)
        known = self.runs.groupby("instance_sha256")["objective"].min()
        self.runs["best_known"] = self.runs["instance_sha256"].map(known)
        self.instances = pd.DataFrame(
            [
                {
                    "instance": inst.name, "instance_sha256": sha, "tasks": inst.task_count,
                    "slots": inst.slot_count, "devices": 1, "servers": 2, "blocks": 2,
                    "couplings": "energy" if i == 2 else "", "deadline": "none", "local_share": 0.25,
                    "one_server_share": 0.5, "mixed_share": 0.25, "trellis_bound": 1.0,
                    "best_bound": self.runs.groupby("instance_sha256")["best_bound"].first()[sha],
                    "best_known": known[sha],
                }
                for i, (sha, inst) in enumerate(self._instances.items())
            ]
        )  # fmt: skip
        self.info = {
            "command": "mecopt compare x --methods exact,dice", "created": "2026-01-01T00:00:00+00:00",
            "mecopt_version": "0", "seeds": seeds, "time_limit_s": 2.0, "gap": None, "threads": 1,
            "workers": 1, "engine": "local", "isolate": False, "methods": list(methods),
            "machines": {
                "abc": {"cpu_model": "CPU", "cores": 2, "memory_bytes": 2**33, "versions": {"numpy": "2"}}
            },
        }  # fmt: skip

    def _run(self, run, sha, inst, method, seed, bound):
        draw = np.random.default_rng((run, seed))
        status, judged = "feasible", None
        if method == "exact":
            judged, status = mecopt.solve(inst, "trellis").evaluation, "optimal"
        elif method == "dice":
            judged = mecopt.evaluate(inst, draw.integers(0, 3, (inst.task_count, 2)))
        else:
            status = "failed" if method == "stuck" else ("refused", "timeout", "unknown")[run % 3]
        if judged is not None:
            self._placements[run] = judged.placement
        value = None if judged is None else judged.objective
        sums = ("total_delay_s", "edge_delay_s", "local_delay_s", "energy_j")
        return {
            "run": run, "instance": inst.name, "instance_sha256": sha, "method": method,
            "options": json.dumps({}), "seed": seed, "status": status, "stopped_by": None,
            "error": None if judged else f"{EVIL} of {method}",
            "objective": np.nan if value is None else value, "lower_bound": bound, "gap": gap(value, bound),
            "best_bound": bound, "gap_to_best_bound": np.nan if value is None else gap(value, bound),
            **{name: np.nan if judged is None else getattr(judged, name) for name in sums},
            "deadline_excess_s": 0.0, "violations": 0, "violation_kinds": "", "repairs": 0,
            "cpu_s": 0.01 * run, "wall_s": 0.01 * run, "peak_memory_bytes": None, "time_limit_s": 2.0,
            "threads": 1, "mecopt_version": "0", "started": "2026-01-01", "host": "abc",
        }  # fmt: skip

    def node_shares(self):
        return {run: node_share(placement, 2) for run, placement in self._placements.items()}

    def traces(self):
        own = self.runs[self.runs["run"].isin(self._placements)]
        return {
            row.run: [(0.001, None, None), (0.005 * row.run, row.objective, None)] for row in own.itertuples()
        }

    def solution(self, run):
        placement = self._placements.get(run)
        return None if placement is None else {"placement": placement.tolist()}

    def instance(self, sha256):
        return self._instances[sha256]
