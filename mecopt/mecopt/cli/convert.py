"""`mecopt convert`: write an instance in the other format."""

from __future__ import annotations

import click

from mecopt.cli import common, common_options, printing


@click.command(short_help="Write an instance as mecopt-instance/1 or /2.")
@click.argument("instance_file", metavar="INSTANCE")
@click.option(
    "--format",
    "form",
    type=click.Choice(["1", "2"]),
    help="Format to write. [default: the least that will do]",
)
@click.option("--out", metavar="FILE", required=True, help="File, .json or .json.gz.")
@common_options.json_option
def convert(instance_file: str, form: str | None, out: str, as_json: bool) -> None:
    """Write an instance as mecopt-instance/1 or /2; `-` reads it from standard input.

    Its content and its identity stay the same. What uses a field that /1 does not have is not written as /1,
    and the message names the first such field.
    """
    common.check_out("--out", out, instance_file)
    from mecopt import io
    from mecopt.files import write_bytes
    from mecopt.instance import FORMAT, WIDER_FORMAT

    instance = common.load_instance(instance_file)
    chosen = {"1": FORMAT, "2": WIDER_FORMAT, None: instance.format}[form]
    with common.naming(instance_file):
        text = io.to_json(instance, chosen)
    write_bytes(out, text.encode())
    if as_json:
        printing.emit_json({"path": out, "format": chosen, "sha256": instance.sha256})
    else:
        printing.say(f"{printing.one_line(instance)}; {chosen}; sha256 {instance.sha256}")
    printing.note(f"wrote {out}")
