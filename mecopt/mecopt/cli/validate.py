"""`mecopt validate`: check instance files, and say everything that is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mecopt.cli import BAD_INPUT, common, common_options, printing

if TYPE_CHECKING:
    from mecopt.instance import Instance


@click.command(short_help="Check instance files.")
@click.argument("instances", metavar="INSTANCE...", nargs=-1, required=True)
@common_options.json_option
@click.pass_context
def validate(ctx: click.Context, instances: tuple[str, ...], as_json: bool) -> None:
    """Check instance files; `-` reads standard input.

    Says what is in each file, the least format that has all of it and what it asks for beyond the first; or
    everything that is wrong with it, and ends with status 2 if any is bad.
    """
    from mecopt.costs import chain_costs
    from mecopt.errors import InputError, located

    rows = []
    for path in instances:
        try:
            instance = common.load_instance(path)
            with common.naming(path):
                chain_costs(instance)  # refuses what no number can hold
        except InputError as error:
            rows.append({"file": path, "valid": False, "problems": list(error.problems)})
            if not as_json:
                for problem in error.problems:
                    printing.note(located(error.source or path, problem))
        else:
            rows.append({"file": path, "valid": True, "problems": [], **_facts(instance)})
            if not as_json:
                about = f"{printing.one_line(instance)}; {_format(instance)}; sha256 {instance.sha256}"
                printing.say(f"{path}: ok: {about}")
    if as_json:
        printing.emit_json(rows)
    if not all(row["valid"] for row in rows):
        ctx.exit(BAD_INPUT)


def _format(instance: Instance) -> str:
    from mecopt import features

    asked = sorted(features.of(instance))
    return f"{instance.format} with {', '.join(asked)}" if asked else instance.format


def _facts(instance: Instance) -> dict[str, Any]:
    from mecopt import features

    return {
        "name": instance.name,
        "format": instance.format,
        "tasks": instance.task_count,
        "servers": instance.server_count,
        "devices": len(instance.devices),
        "max_blocks": instance.max_blocks,
        "slots": instance.slot_count,
        "deadline": instance.rules.deadline.value,
        "couplings": sorted(c.value for c in instance.rules.couplings),
        "asks_for": sorted(features.of(instance)),
        "sha256": instance.sha256,
    }
