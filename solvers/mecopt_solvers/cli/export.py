"""`mecopt export`: the model as an LP or MPS file, for any other solver."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from mecopt.cli import common
from mecopt.cli.solve import EXIT
from mecopt.errors import InputError

SUFFIXES = (".lp", ".mps")


@click.command(short_help="Write the MILP of an instance as LP or MPS.")
@click.argument("instance_file", metavar="INSTANCE")
@click.option("--out", metavar="FILE", required=True, help="The file; its name ends in .lp or .mps.")
@click.option(
    "--formulation",
    type=click.Choice(["flow", "assignment"]),
    default="flow",
    show_default=True,
    help="Flow through the trellis, or the paper's assignment with products linearised.",
)
@click.pass_context
def export(ctx: click.Context, instance_file: str, out: str, formulation: str) -> None:
    """Write problem P with all its couplings as a file that other solvers read; `-` reads standard input.

    Names count from 0. step(k_m_i_j): task k enters block m on node j from node i. place(k_m_n): it runs
    on node
    n. both(k_m_i_j): block m-1 on i and m on j. hold(t_h_d_m): holder h (server n is n-1, then the
    devices) has
    block m of model d in slot t. The objective is in seconds.

    Exit status 3: a task cannot be placed at all, so that there is nothing to write.
    """
    common.check_out("--out", out, instance_file)
    suffix = Path(out).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"--out {out}: expected a name that ends in {' or '.join(SUFFIXES)}")
    instance = common.load_instance(instance_file)
    import numpy as np

    from mecopt.costs import chain_costs
    from mecopt.files import write_bytes
    from mecopt.trellis import infeasible_tasks, shortest_paths
    from mecopt.trellis_arcs import build_arcs
    from mecopt_solvers.programs.milp import build_model

    with common.naming(instance_file):
        costs = chain_costs(instance)
    paths = shortest_paths(costs)
    if np.isinf(paths.value).any():
        for reason in infeasible_tasks(instance, costs, paths):
            common.note(reason["message"])
        ctx.exit(EXIT["infeasible"])
    with common.working(f"building {common.plain(instance.name)}"), tempfile.TemporaryDirectory() as folder:
        model = build_model(instance, build_arcs(costs), formulation)
        path = Path(folder) / f"model{suffix}"
        model.write(str(path), io_options={"symbolic_solver_labels": True})
        write_bytes(out, path.read_bytes())
    common.note(f"wrote {out}")
