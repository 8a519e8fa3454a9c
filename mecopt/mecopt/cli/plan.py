"""`mecopt plan`: JSON lines of changes in, plans out, for programs on a pipe."""

from __future__ import annotations

from functools import partial

import click

from mecopt.cli import common, printing
from mecopt.errors import InputError


@click.command(short_help="Plan again for every JSON line of changes.")
@click.argument("instance_file", metavar="INSTANCE")
@click.pass_context
def plan(ctx: click.Context, instance_file: str) -> None:
    """Plan again for every JSON line of changes on standard input.

    A line is an object with any of: rates (bits/s to every server, or a row of them for each task), speeds
    (cycles/s of the servers, likewise), deadlines (seconds, null for none; a number, one for each block, or
    rows), batch (a number, or one for each task), tasks (which of the instance's). {} plans the instance as
    it is. Each line gets one at once: status, objective, lower_bound, and placements, delays, objectives and
    bounds of the tasks. A line that cannot be used gets {"error": {"line": N, "problems": [...]}}, and the
    next ones go on.

    An empty line gets no answer; an input of nothing else prints nothing and ends with 0.

    Exit status: the worst of all lines; 0 optimal, 3 some task of a line has no placement, 2 a line that
    cannot be used.
    """
    if instance_file == common.STDIN:
        raise InputError("-: standard input holds the lines, expected a file, a name or a spec")
    from mecopt.cli.line_streams import answer_lines
    from mecopt.files import lines_of_stdin
    from mecopt.planner import Planner
    from mecopt.planner.json_lines import answer

    instance = common.load_instance(instance_file)
    with common.naming(instance_file), common.working(f"laying out {printing.plain(instance.name)}"):
        planner = Planner(instance)
    ctx.exit(answer_lines(lines_of_stdin(), partial(answer, planner)))
