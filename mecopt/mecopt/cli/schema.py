"""`mecopt schema`: the JSON Schemas of the file formats."""

from __future__ import annotations

import click

from mecopt.cli import common_options, printing


@click.command(short_help="Print the JSON Schema of a file format.")
@click.argument("name", type=click.Choice(["instance", "solution", "model", "profile"]), default="instance")
@common_options.out_option("Write the schema to this file instead of printing it.")
def schema(name: str, out: str | None) -> None:
    """Print the JSON Schema of the instance, solution, model or profile format.

    Editors and other programs check files against it. What one field alone cannot show, such as the
    number of rates of a task, is checked by `mecopt validate`.
    """
    from mecopt.json_schemas import json_schema

    printing.emit_json(json_schema(name), out)
