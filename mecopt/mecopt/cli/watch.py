"""`mecopt watch`: run a plan round after round, and plan again where something drifted or was lost."""

from __future__ import annotations

import time

import click

from mecopt.cli import common, common_options, printing
from mecopt.cli.agent import credentials
from mecopt.cli.run import addresses, agent_options, placement_of, shaped


@click.command(short_help="Run a plan again and again, and plan anew where machines drift.")
@click.argument("instance_file", metavar="INSTANCE")
@click.argument("solution_file", metavar="SOLUTION")
@click.option("--model", "model_file", required=True, metavar="FILE", help="Of mecopt import, or ONNX.")
@agent_options
@click.option("--task", type=click.IntRange(0), default=0, show_default=True, help="Which task to run.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0),
    callback=common_options.finite,
    default=10.0,
    show_default=True,
    help="Seconds.",
)
@click.option("--rounds", type=click.IntRange(1), help="Stop after so many. [default: until told to stop]")
@click.option(
    "--random", "count", type=click.IntRange(1), default=5, show_default=True, help="Inputs a round."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, min_open=True),
    callback=common_options.finite,
    default=0.2,
    show_default=True,
    help="Drifts beyond this fraction count.",
)
@click.option("--shape", "shapes", multiple=True, metavar="FROM>TO=BPS,S", help="As in mecopt run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line a round and nothing else.")
def watch(
    instance_file: str,
    solution_file: str,
    model_file: str,
    agents: str,
    token_file: str | None,
    tls_ca: str | None,
    task: int,
    every_s: float,
    rounds: int | None,
    count: int,
    tolerance: float,
    shapes: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run a plan round after round until told to stop; where machines or links drift, plan again and go on.

    A node that is lost is left out from then on. Each round is a line.

    Exit status: 0 after --rounds, 2 bad input, 130 interrupted, 1 nothing is left that the plan could run on.
    """
    import json

    from mecopt.deployment.watching import watch as watched
    from mecopt.deployment.whole import WholeModel
    from mecopt.drawing.timeline import seconds

    instance = common.load_instance(instance_file)
    placement = placement_of(solution_file, instance)
    going = watched(
        instance,
        placement,
        WholeModel.of(model_file),
        addresses(agents),
        task=task,
        inputs=count,
        tolerance=tolerance,
        shapes=shaped(shapes),
        credentials=credentials(token_file, tls_ca),
    )
    for number, one in enumerate(going, 1):
        nodes = [int(node) for node in one.placement[0] if node >= 0]
        found = one.found
        if as_json:
            line = {
                "round": number,
                "predicted_s": found.predicted_s,
                "measured_s": found.measured_s,
                "events": list(one.drifts),
                "changed": one.changed,
                "placement": nodes,
            }
            click.echo(json.dumps(line))
        else:
            click.echo(
                f"round {number}: predicted {seconds(found.predicted_s, 4)}, measured "
                f"{seconds(found.measured_s or 0.0, 4)}" + (f"; now {nodes}" if one.changed else "")
            )
            for text in one.drifts:
                printing.note(text)
        if number == rounds:
            return
        time.sleep(every_s)
