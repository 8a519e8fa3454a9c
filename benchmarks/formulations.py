"""Building and bounding problem P: arrays against Pyomo, flow against the paper's assignment variables.

Run: ``python benchmarks/formulations.py`` (a few minutes); writes reports/formulations/.
"""

from __future__ import annotations

import csv
import sys

from common import ROOT, clean_tree, machine, random_instance, table, timed

import mecopt
from mecopt.costs import chain_costs
from mecopt.trellis_arcs import build_arcs
from mecopt_solvers.bounds import bounds
from mecopt_solvers.programs.flow import build_flow
from mecopt_solvers.programs.milp import build_model
from mecopt_solvers.programs.pyomo_arrays import to_program

OUT = ROOT / "reports" / "formulations"
CHAINS = 600
SEEDS = range(5)
SMALL = ("crowd_k10_n4", "crowd_k60_n4", "energy_k10_n4", "energy_k60_n4", "tiny_memory")


def building(seed: int) -> dict[str, float]:
    """Return CPU seconds to build the flow model of 600 chains, costs given; both must be the same size."""
    instance = random_instance(CHAINS, 6, 4, seed=seed)
    costs = chain_costs(instance)
    arcs = build_arcs(costs)
    arrays = build_flow(instance, arcs, all_tasks=True)
    model = build_model(instance, arcs)
    same = to_program(model, arcs)
    if (arrays.columns, len(arrays.rows.lower)) != (same.columns, len(same.rows.lower)):
        raise SystemExit("the two models differ")
    return {
        "columns": arrays.columns,
        "arcs": timed(lambda: build_arcs(costs))["cpu_s"],
        "arrays": timed(lambda: build_flow(instance, arcs, all_tasks=True))["cpu_s"],
        "pyomo": timed(lambda: build_model(instance, arcs), repeats=3, warmups=0)["cpu_s"],
        "pyomo, to arrays": timed(lambda: to_program(model, arcs), repeats=3, warmups=0)["cpu_s"],
    }


def main() -> None:
    """Write the report."""
    OUT.mkdir(parents=True, exist_ok=True)
    built = [{"seed": seed, **building(seed)} for seed in SEEDS]
    with open(OUT / "building.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, built[0])
        writer.writeheader()
        writer.writerows(built)
    bounded = []
    for name in SMALL:
        instance = mecopt.load(ROOT / "instances" / f"{name}.json")
        found = [b for b in bounds(instance, time_limit_s=10) if b.name != "decomposition"]
        bounded += [{"instance": name, **vars(bound)} for bound in found]
    with open(OUT / "bounds.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, bounded[0])
        writer.writeheader()
        writer.writerows(bounded)
    rows = [
        [
            str(row["seed"]),
            f"{row['columns']:,}",
            f"{row['arrays']:.3f}",
            f"{row['pyomo']:.2f}",
            f"{row['pyomo, to arrays']:.2f}",
            f"{row['pyomo'] / row['arrays']:.0f}",
        ]
        for row in built
    ]
    by_name = {(row["instance"], row["name"]): row for row in bounded}
    gaps = []
    for name in SMALL:
        free, flow, weak = (
            by_name[name, kind]["value"]
            for kind in (
                "trellis, no couplings",
                "LP of the flow formulation",
                "LP of the assignment formulation",
            )
        )
        gaps.append(
            [name, f"{free:.6g}", f"{flow:.6g}", f"{weak:.6g}", f"{100 * (flow - weak) / flow:.1f} %"]
        )
    page = [
        "# Formulations: building them, and what their relaxations prove",
        "",
        f"`python {' '.join(sys.argv)}`",
        "",
        *machine("highspy", "pyomo", "numpy"),
        "",
        f"## Building the flow model of {CHAINS} chains (6 blocks, 4 servers), CPU seconds",
        "",
        "From the same arcs. Pyomo's model must then still be turned into arrays for a solver.",
        "",
        table(["seed", "columns", "arrays", "Pyomo", "Pyomo to arrays", "Pyomo / arrays"], rows),
        "",
        "## Root bounds, seconds of objective",
        "",
        table(["instance", "trellis", "flow LP", "assignment LP", "assignment below flow"], gaps),
        "",
    ]
    (OUT / "README.md").write_text("\n".join(page))
    print("\n".join(page))


if __name__ == "__main__":
    clean_tree()
    main()
