"""`mecopt run`: carry a plan out on agents, and put what was predicted beside what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mecopt.cli import common, common_options, printing
from mecopt.cli.agent import credentials
from mecopt.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from mecopt.instance import Instance

LOCAL = "local"

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def agent_options(command: Decorated) -> Decorated:
    """Add the options that say where agents are, and how to get in."""
    for option in (
        click.option("--tls-ca", metavar="FILE", help="Who signed the agents' certificates (PEM)."),
        click.option("--token-file", metavar="FILE", help="File with the agents' token."),
        click.option(
            "--agents",
            required=True,
            metavar="NODE=HOST:PORT,...",
            help="Agents of the nodes: two or more for `probe`; for others this process stands for a device "
            "without one. For `run`, the word local starts one for each server on this machine.",
        ),
    ):
        command = option(command)
    return command


@click.command(short_help="Carry a plan out on agents: predicted beside measured.")
@click.argument("instance_file", metavar="INSTANCE")
@click.argument("solution_files", metavar="SOLUTION...", nargs=-1, required=True)
@click.option(
    "--model", "model_file", required=True, metavar="FILE", help="Model file of mecopt import, or ONNX."
)
@agent_options
@click.option(
    "--inputs", metavar="FILE", help="Inputs, .npz or .safetensors: tensors with a first axis of inputs."
)
@click.option(
    "--random", "count", type=click.IntRange(1), default=10, help="So many random inputs. [default: 10]"
)
@click.option(
    "--task", type=click.IntRange(0), default=0, show_default=True, help="Task of the instance to run."
)
@click.option("--pipeline", is_flag=True, help="Let inputs overlap; else one at a time.")
@click.option(
    "--blocks/--no-blocks",
    default=True,
    help="Time single blocks too: some inputs go through block by block after the run. [default: blocks]",
)
@click.option("--replan", is_flag=True, help="Where a node is lost, plan again without it and go on.")
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="FROM>TO=BPS,S",
    help="Make a link slower than it is, such as device>es1=1e7,0.002; both ways with <>. Repeatable.",
)
@click.option(
    "--limit",
    "limit_s",
    type=click.FloatRange(0, min_open=True),
    callback=common_options.finite,
    help="Longest seconds of one input.",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Of random inputs. [default: 0]")
@click.option("--out", metavar="FILE", help="Write the JSON document to a file.")
@click.option("--outputs", metavar="FILE", help="Write the outputs of the first plan, .npz or .safetensors.")
@click.option(
    "--plot", metavar="FILE", help="Draw the first plan as .png, .svg or .pdf: predicted above measured."
)
@common_options.json_option
def run(
    instance_file: str,
    solution_files: tuple[str, ...],
    model_file: str,
    agents: str,
    token_file: str | None,
    tls_ca: str | None,
    inputs: str | None,
    count: int,
    task: int,
    pipeline: bool,
    blocks: bool,
    replan: bool,
    shapes: tuple[str, ...],
    limit_s: float | None,
    seed: int,
    out: str | None,
    outputs: str | None,
    plot: str | None,
    as_json: bool,
) -> None:
    """Cut the model by a plan, hand the parts to agents, send inputs through and compare with the prediction.

    With several solution files one plan is carried out after the other. Outputs are compared with those of
    the whole model on this machine.

    Exit status: 0 done, 2 bad input, 130 interrupted, 1 an agent was lost or failed.
    """
    from mecopt.importing.model_document import source_of

    read = (instance_file, model_file, source_of(model_file), inputs, *solution_files)
    common.check_out("--out", out, *read)
    common.check_plot(plot, *read, out)
    common.check_out("--outputs", outputs, *read, out, plot)
    if outputs is not None and not outputs.endswith((".npz", ".safetensors")):
        raise InputError(f"--outputs {outputs}: expected a name that ends in .npz or .safetensors")
    from mecopt import deployment
    from mecopt.deployment.inputs import read_inputs, write_outputs
    from mecopt.deployment.whole import WholeModel

    instance = common.load_instance(instance_file)
    plans = [placement_of(path, instance) for path in solution_files]
    whole = WholeModel.of(model_file)
    given: Any = count if inputs is None else read_inputs(inputs)
    with common.working("running"), reached(agents, instance, plans, task) as there:
        found = [
            deployment.deploy(
                instance, placement, whole, there, given,
                task=task, pipeline=pipeline, replan=replan, shapes=shaped(shapes),
                credentials=credentials(token_file, tls_ca), seed=seed, limit_s=limit_s, blocks=blocks,
            )
            for placement in plans
        ]  # fmt: skip
    for one in found:
        for event in one.events:
            printing.note(event)
    document = {
        "plans": [
            {"solution": path, **one.to_dict()} for path, one in zip(solution_files, found, strict=True)
        ]
    }
    if outputs is not None:
        write_outputs(outputs, found[0].outputs)
        printing.note(f"wrote {outputs}")
    if plot is not None:
        from mecopt.drawing.deployed import save_deployment

        save_deployment(found[0], plot)
        printing.note(f"wrote {plot}")
    if out is not None:
        printing.emit_json(document, out)
        printing.note(f"wrote {out}")
    if as_json:
        printing.emit_json(document)
    else:
        from mecopt.cli.run_tables import show

        for path, one in zip(solution_files, found, strict=True):
            show(one, path if len(found) > 1 else "")


def placement_of(path: str, instance: Instance) -> np.ndarray:
    """Return the placement of a solution file of this instance."""
    solution, placement = common.load_placement(path, instance)
    common.check_same_instance(solution, instance, path)
    return placement


def reached(
    agents: str, instance: Instance, plans: Sequence[np.ndarray], task: int
) -> AbstractContextManager[dict[str, str]]:
    """Return the agents' addresses; those of `local` are started, one for each server of the plans."""
    if agents != LOCAL:
        return nullcontext(addresses(agents))
    from mecopt.deployment.local_agents import local_agents
    from mecopt.schedule import node_names

    common.check_tasks([task], instance)
    used = sorted({int(node) for plan in plans for node in plan[task] if node > 0})
    return local_agents(node_names(instance)[node] for node in used)


def addresses(text: str) -> dict[str, str]:
    """Read ``es1=host:port,es2=host:port``.

    Raises
    ------
    InputError
        If it is none.
    """
    found: dict[str, str] = {}
    for part in text.split(","):
        node, equals, address = part.strip().partition("=")
        port = address.rpartition(":")[2]
        if not equals or not node or not port.isdigit() or int(port) > 65535 or node in found:
            raise InputError(f"--agents {part.strip()}: expected NODE=HOST:PORT, each node once")
        found[node] = address
    return found


def shaped(texts: Sequence[str]) -> dict[tuple[str, str], tuple[float, float]]:
    """Read ``device>es1=1e7,0.002`` or, both ways, ``device<>es1=1e7,0.002``.

    Raises
    ------
    InputError
        If it is neither.
    """
    found = {}
    for text in texts:
        link, _, values = text.partition("=")
        start, arrow, to = link.partition("<>" if "<>" in link else ">")
        try:
            rate, latency = (float(value) for value in values.split(","))
        except ValueError:
            rate, latency = -1.0, 0.0
        if not (start and arrow and to and 0 < rate < math.inf and 0 <= latency < math.inf):
            raise InputError(f"--shape {text}: expected FROM>TO=BPS,SECONDS, such as device>es1=1e7,0.002")
        found[start, to] = (rate, latency)
        if arrow == "<>":
            found[to, start] = (rate, latency)
    return found
