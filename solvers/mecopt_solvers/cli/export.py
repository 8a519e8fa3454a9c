"""`mecopt export`: the problem for other solvers (LP, MPS), or a plan for other runtimes."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import click

from mecopt.cli import common, printing
from mecopt.cli.solve import EXIT
from mecopt.errors import InputError

SUFFIXES = (".lp", ".mps")


@click.command(short_help="Write an instance as LP or MPS, or a plan for other runtimes.")
@click.argument("instance_file", metavar="INSTANCE")
@click.argument("solution_file", metavar="[SOLUTION]", required=False)
@click.option("--out", metavar="FILE", help="The file, .lp or .mps; with --for parts a folder.")
@click.option(
    "--for",
    "runtime",
    type=click.Choice(["parts", "llama.cpp", "exo", "prima"]),
    help="Write a plan: the model's parts and a manifest, or layers per node and lines to paste.",
)
@click.option(
    "--model", "model_file", metavar="FILE", help="With --for: of mecopt import, or the runtime's own."
)
@click.option("--task", type=click.IntRange(0), default=0, help="With --for: which task. [default: 0]")
@click.option(
    "--formulation",
    type=click.Choice(["flow", "assignment"]),
    default="flow",
    show_default=True,
    help="Flow through the trellis, or the paper's assignment with products linearised.",
)
@click.pass_context
def export(
    ctx: click.Context,
    instance_file: str,
    solution_file: str | None,
    out: str | None,
    runtime: str | None,
    model_file: str | None,
    task: int,
    formulation: str,
) -> None:
    """Write problem P with all its couplings as a file that other solvers read; `-` reads standard input.

    With --for it is a plan that is written, SOLUTION, for a runtime: ONNX files of its parts and a manifest,
    or how many layers of a language model each node gets, with the lines to paste.

    HiGHS, CBC, GLPK (MPS: `glpsol --freemps`) and SCIP read both. Names count from 0. step_k_m_i_j: task k
    enters block m on node j from node i. place_k_m_n: it runs on node n. both_k_m_i_j: block m-1 on i and m
    on j. hold_t_h_d_m: holder h (server n is n-1, then the devices) has block m of model d in slot t. The
    objective is to be minimised, in seconds; rows of shared limits are in shares of the limit.

    Exit status 3: a task cannot be placed at all, so that there is nothing to write.
    """
    if runtime is not None:
        from mecopt.cli.export_for import hand_over

        hand_over(runtime, instance_file, solution_file, model_file, out, task)
        return
    if solution_file is not None or model_file is not None:
        raise InputError("SOLUTION and --model go with --for, which says for which runtime")
    if out is None:
        raise InputError("--out: missing, expected a name that ends in .lp or .mps")
    common.check_out("--out", out, instance_file)
    suffix = Path(out).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"--out {out}: expected a name that ends in {' or '.join(SUFFIXES)}")
    instance = common.load_instance(instance_file)
    import numpy as np

    from mecopt.costs import chain_costs
    from mecopt.features import Feature, forbidden
    from mecopt.files import write_bytes
    from mecopt.trellis import infeasible_tasks, shortest_paths
    from mecopt.trellis_arcs import build_arcs
    from mecopt.what_if.refusals import check_takes
    from mecopt_solvers.programs.milp import METHOD, build_model

    check_takes("export", instance, frozenset(map(Feature, METHOD.takes)), METHOD.honours)
    with common.naming(instance_file):
        costs, node_cost = chain_costs(instance), forbidden(instance)
    paths = shortest_paths(costs, node_cost)
    if np.isinf(paths.value).any():
        for reason in infeasible_tasks(instance, costs, paths, node_cost):
            printing.note(reason["message"])
        ctx.exit(EXIT["infeasible"])
    with common.working(f"building {printing.plain(instance.name)}"), tempfile.TemporaryDirectory() as folder:
        model = build_model(instance, build_arcs(costs, node_cost=node_cost), formulation)
        _in_shares(model)
        path = Path(folder) / f"model{suffix}"
        model.name = "mecopt"  # the instance's own may hold anything
        if suffix == ".lp":
            model.write(str(path), io_options={"labeler": _label})
            write_bytes(out, path.read_bytes())
        else:
            model.write(str(path), io_options={"labeler": _label, "skip_objective_sense": True})
            write_bytes(out, _for_cbc(path.read_text()).encode())
    printing.note(f"wrote {out}")


def _label(component: Any) -> str:
    """Return a name that every reader takes: letters, digits and underscores."""
    return "_".join(re.findall(r"\w+", component.getname(fully_qualified=True)))


def _in_shares(model: Any) -> None:
    """Divide the rows of limits by their limits: in millions of bytes or joules, solvers miss an optimum."""
    from pyomo.repn import generate_standard_repn

    for name in model.labels:
        for row in model.component(name).values():
            body = generate_standard_repn(row.body, quadratic=False)
            unit = float(row.upper) or max(body.linear_coefs)
            terms = zip(body.linear_coefs, body.linear_vars, strict=True)
            row.set_value(sum(value / unit * column for value, column in terms) <= float(row.upper) / unit)


def _for_cbc(mps: str) -> str:
    """Give the bounds of binary columns a value, which means nothing: without it CBC sees no column."""
    return re.sub(r"^ BV BOUND \w+$", r"\g<0> 1", mps, flags=re.MULTILINE)
