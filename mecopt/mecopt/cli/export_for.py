"""`mecopt export --for`: a plan for other runtimes."""

from __future__ import annotations

import click

from mecopt.cli import common, printing
from mecopt.errors import InputError


def hand_over(
    runtime: str,
    instance_file: str,
    solution_file: str | None,
    model_file: str | None,
    out: str | None,
    task: int,
) -> None:
    """Write a plan for a runtime.

    Raises
    ------
    InputError
        If an argument is missing, or the runtime cannot do what the plan says.
    """
    if solution_file is None:
        raise InputError(f"--for {runtime}: SOLUTION is missing, the plan that is to be written")
    instance = common.load_instance(instance_file)
    common.check_tasks([task], instance)
    solution, placement = common.load_placement(solution_file, instance)
    common.check_same_instance(solution, instance, solution_file)
    from mecopt.deployment.handing_over import lines, write_parts
    from mecopt.judge import evaluate

    judged = evaluate(instance, placement)
    if runtime == "parts":
        if model_file is None or out is None:
            raise InputError("--for parts: expected --model, of mecopt import, and --out, a folder")
        from mecopt.deployment.whole import WholeModel

        manifest = write_parts(judged, task, WholeModel.of(model_file), out)
        printing.note(f"wrote {printing.counted(len(manifest['parts']), 'part')} and a manifest into {out}")
        return
    text = "\n".join(lines(runtime, judged, task, model_file or "MODEL.gguf")) + "\n"
    if out is None:
        click.echo(text, nl=False)
        return
    from mecopt.files import write_bytes

    common.check_out("--out", out, instance_file, solution_file)
    write_bytes(out, text.encode())
    printing.note(f"wrote {out}")
