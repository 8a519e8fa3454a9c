"""The trellis against general shortest-path and LP code, and how its cost grows.

Run: ``python benchmarks/trellis.py`` (some three minutes); writes reports/trellis/.
"""

from __future__ import annotations

import csv
import sys

import highspy
import networkx as nx
import numpy as np
from common import ROOT, clean_tree, machine, random_instance, table, timed
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

import mecopt
from mecopt.costs import ChainCosts, chain_costs
from mecopt.highs import quiet
from mecopt.trellis import shortest_paths

OUT = ROOT / "reports" / "trellis"
MANY = 36_000  # chains that mecopt gets
SEEDS = range(5)
SIZES = ((6, 4, 600), (18, 9, 100))  # blocks, servers, and the chains that the slow peers get


def arc_weights(costs: ChainCosts) -> np.ndarray:
    """Return the weight of every arc, (chains, blocks, from, to); paper rules, uniform links."""
    chains, blocks = costs.device_s.shape
    nodes = costs.send_s.shape[1] + 1
    weights = np.zeros((chains, blocks, nodes, nodes))
    weights[:, :, 0, 1:] = costs.bits[:, :, None] * costs.send_s[:, None, :]
    weights[:, :, 1:, 1:] = (costs.bits * costs.hop_s[0, 1])[:, :, None, None] * ~np.eye(
        nodes - 1, dtype=bool
    )
    weights += np.concatenate([costs.device_s[:, :, None], costs.server_s[costs.group]], axis=2)[
        :, :, None, :
    ]
    return weights


def arcs(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return tail, head and weight of all arcs, and the size of the graph, all chains behind vertex 0.

    Vertices of a chain: one for each (block, node), then its sink.
    """
    chains, blocks, nodes, _ = weights.shape
    size = blocks * nodes + 1
    base = 1 + size * np.arange(chains)
    stage = np.arange(blocks * nodes).reshape(blocks, nodes)
    entry = (np.zeros((chains, nodes), int), base[:, None] + stage[0], weights[:, 0, 0, :])
    inner_tail = np.broadcast_to(base[:, None, None, None] + stage[:-1][:, :, None], weights[:, 1:].shape)
    inner_head = np.broadcast_to(base[:, None, None, None] + stage[1:][:, None, :], weights[:, 1:].shape)
    leave = (
        base[:, None] + stage[-1],
        np.repeat(base[:, None] + blocks * nodes, nodes, 1),
        np.zeros((chains, nodes)),
    )
    parts = (entry, (inner_tail, inner_head, weights[:, 1:]), leave)
    tail, head, weight = (np.concatenate([part[i].ravel() for part in parts]) for i in range(3))
    return tail, head, weight, 1 + chains * size


def flow_lp(tail: np.ndarray, head: np.ndarray, weight: np.ndarray, size: int, chains: int) -> highspy.Highs:
    """Return the flow LP of all chains: one column an arc, conservation at every vertex but the source."""
    entries = np.concatenate([head, tail])
    signs = np.concatenate([np.ones(len(head)), -np.ones(len(tail))])
    columns = np.tile(np.arange(len(tail)), 2)
    keep = entries > 0
    matrix = csr_array((signs[keep], (entries[keep] - 1, columns[keep])), shape=(size - 1, len(tail))).tocsc()
    demand = np.zeros(size - 1)
    demand[(size - 1) // chains - 1 :: (size - 1) // chains] = 1.0
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(tail), size - 1
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = (
        weight,
        np.zeros(len(tail)),
        np.full(len(tail), highspy.kHighsInf),
    )
    lp.row_lower_ = lp.row_upper_ = demand
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
    highs = quiet()
    highs.passModel(lp)
    return highs


def csgraph(weights: np.ndarray) -> csr_array:
    """Return the arcs as the sparse matrix that scipy wants."""
    tail, head, weight, size = arcs(weights)
    return csr_array((weight, (tail, head)), shape=(size, size))


def digraph(weights: np.ndarray) -> nx.DiGraph:
    """Return the arcs as networkx wants them."""
    tail, head, weight, _ = arcs(weights)
    graph = nx.DiGraph()
    graph.add_weighted_edges_from(zip(tail.tolist(), head.tolist(), weight.tolist(), strict=True))
    return graph


def peers(blocks: int, servers: int, chains: int, seed: int) -> dict[str, float]:
    """Return CPU seconds a chain of everybody on one random instance; all must find the same optimum."""
    few = chain_costs(random_instance(chains, blocks, servers, seed=seed))
    many_instance = random_instance(MANY, blocks, servers, seed=seed)
    many = chain_costs(many_instance)
    optimum = shortest_paths(few, kernel="numpy").value.sum()
    weights = arc_weights(few)
    graph, dag = csgraph(weights), digraph(weights)
    graphs = [csgraph(weights[k : k + 1]) for k in range(chains)]
    highs = flow_lp(*arcs(weights), chains)
    size = graph.shape[0]
    sinks = np.arange(size - 1, 0, -(size - 1) // chains)

    check(dijkstra(graph, indices=0)[sinks].sum(), optimum, "csgraph")
    check(sum(dijkstra(own, indices=0)[-1] for own in graphs), optimum, "csgraph, a graph a chain")
    lengths = nx.single_source_dijkstra(dag, 0)[0]
    check(sum(lengths[v] for v in sinks.tolist()), optimum, "networkx")
    highs.run()
    check(highs.getInfo().objective_function_value, optimum, "HiGHS")

    def resolve() -> None:
        highs.clearSolver()
        highs.run()

    def search(own: csr_array) -> None:
        dijkstra(own, indices=0, return_predecessors=True)

    ours = {
        "numba, 1 thread": lambda: shortest_paths(many, kernel="numba"),
        "numba, 2 threads": lambda: shortest_paths(many, kernel="numba", threads=2),
        "numpy": lambda: shortest_paths(many, kernel="numpy"),
        "chain_costs": lambda: chain_costs(many_instance),
        "mecopt.solve": lambda: mecopt.solve(many_instance),
    }
    theirs = {
        "scipy csgraph, one graph": lambda: search(graph),
        "scipy csgraph, one graph, built too": lambda: search(csgraph(arc_weights(few))),
        "scipy csgraph, a graph a chain": lambda: [search(own) for own in graphs],
        "networkx, one graph": lambda: nx.single_source_dijkstra(dag, 0),
        "networkx, one graph, built too": lambda: nx.single_source_dijkstra(digraph(arc_weights(few)), 0),
        "HiGHS, flow LP": resolve,
        "HiGHS, flow LP, built too": lambda: flow_lp(*arcs(arc_weights(few)), chains).run(),
    }
    return {
        "arcs": many.arcs / MANY,
        **{
            name: timed(work, repeats=11 if "numba" in name else 5)["cpu_s"] / MANY
            for name, work in ours.items()
        },
        **{name: timed(work, repeats=3)["cpu_s"] / chains for name, work in theirs.items()},
    }


def check(value: float, optimum: float, name: str) -> None:
    """End the benchmark when a peer finds another optimum."""
    if abs(value - optimum) > 1e-9 * abs(optimum):
        sys.exit(f"{name} finds {value!r}, the trellis {optimum!r}")


def growth() -> list[dict[str, float]]:
    """Return CPU nanoseconds of the numba kernel along three lines through the space of sizes."""
    lines = {
        "tasks": [(tasks, 6, 4, True) for tasks in (1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)],
        "blocks": [(10_000, blocks, 4, True) for blocks in (3, 6, 12, 24, 48, 96)],
        "servers": [(10_000, 6, servers, True) for servers in (2, 4, 8, 16, 32, 64)],
        "servers, matrix": [(10_000, 6, servers, False) for servers in (2, 4, 8, 16, 32, 64)],
    }
    rows = []
    for line, sizes in lines.items():
        for tasks, blocks, servers, uniform in sizes:
            costs = chain_costs(random_instance(tasks, blocks, servers, seed=1, uniform=uniform))
            spent = timed(lambda costs=costs: shortest_paths(costs, kernel="numba"))["cpu_s"]
            rows.append(
                {"line": line, "tasks": tasks, "blocks": blocks, "servers": servers, "cpu_ms": spent * 1e3}
            )
    return rows


def draw(rows: list[dict[str, float]]) -> None:
    """Draw the curves of `growth` into growth.svg."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, 3), ("tasks", "blocks", "servers"), strict=True):
        for line, style in ((name, "o-"), (f"{name}, matrix", "s--")):
            points = [(row[name], row["cpu_ms"]) for row in rows if row["line"] == line]
            if points:
                axes.loglog(
                    *zip(*points, strict=True), style, label="server links differ" if "," in line else "alike"
                )
        axes.set(xlabel=name, ylabel="CPU time [ms]", title=f"growth in {name}")
        axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(OUT / "growth.svg")


def exponent(rows: list[dict[str, float]], line: str) -> float:
    """Return the slope of a curve in logarithms, between its third size and its last."""
    points = [(row[line.split(",")[0]], row["cpu_ms"]) for row in rows if row["line"] == line]
    (x0, y0), (x1, y1) = points[2], points[-1]
    return float(np.log(y1 / y0) / np.log(x1 / x0))


def main() -> None:
    """Measure, and write the report."""
    OUT.mkdir(parents=True, exist_ok=True)
    raw, page = (
        [],
        [
            "# The trellis against its peers",
            "",
            "`python benchmarks/trellis.py`; see benchmarks/protocol.md.",
        ],
    )
    for blocks, servers, chains in SIZES:
        runs = [peers(blocks, servers, chains, seed) for seed in SEEDS]
        raw += [
            {"blocks": blocks, "servers": servers, "seed": s, **run}
            for s, run in zip(SEEDS, runs, strict=True)
        ]
        names = [name for name in runs[0] if name != "arcs"]
        rows = []
        for name in names:
            each = sorted(run[name] for run in runs)
            middle = each[len(each) // 2]
            ratios = sorted(run[name] / run["numba, 1 thread"] for run in runs)
            arc = f"{middle / runs[0]['arcs'] * 1e9:.2f}"
            spread = f"{each[0] * 1e9:,.0f} to {each[-1] * 1e9:,.0f}"
            rows.append([name, f"{middle * 1e9:,.0f}", spread, arc, f"{ratios[len(ratios) // 2]:,.1f}"])
        header = ["", "ns a chain (CPU)", "over 5 seeds", "ns an arc", "times numba"]
        page += ["", f"## M = {blocks} blocks, N = {servers} servers", "", table(header, rows)]
    few = " and ".join(str(chains) for _, _, chains in SIZES)
    grown = growth()
    draw(grown)
    slopes = [
        [line, f"{exponent(grown, line):.2f}"] for line in ("tasks", "blocks", "servers", "servers, matrix")
    ]
    page += [
        "",
        f"mecopt runs on {MANY:,} chains, the peers on {few} that are drawn alike. `numba` and `numpy` are",
        "the two kernels from cost figures to values and placements; `chain_costs` makes the figures;",
        "`mecopt.solve` is everything, the judge and the result included. The last column is the median over",
        "the seeds of the ratio to `numba, 1 thread`.",
        "",
        "*One graph*: all chains hang on one source, and one call searches them all. *A graph a chain*: one",
        "call a chain, as whoever plans task by task does. The HiGHS model holds all chains. Graphs",
        "and model are built beforehand; *built too* counts that as well, from the cost figures on.",
        "",
        "## Growth",
        "",
        "![CPU time against tasks, blocks and servers](growth.svg)",
        "",
        "Slope in logarithms (1 = linear, 2 = quadratic), from the third size to the last:",
        "",
        table(["in", "slope"], slopes),
        "",
        "## Where",
        "",
        *machine("numpy", "numba", "scipy", "networkx", "highspy"),
    ]
    (OUT / "README.md").write_text("\n".join(page) + "\n")
    for name, rows in (("peers", raw), ("growth", grown)):
        with (OUT / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    print("\n".join(page))


if __name__ == "__main__":
    clean_tree()
    main()
