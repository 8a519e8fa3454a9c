"""`mecopt solve`: run one method on one instance, and show or write what it found."""

from __future__ import annotations

import json
import warnings
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from mecopt.cli import INTERRUPTED, common, common_options, printing
from mecopt.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mecopt.instance import Instance
    from mecopt.result import Result

EXIT = {"optimal": 0, "feasible": 0, "violating": 5, "infeasible": 3, "unknown": 4}


@click.command(short_help="Find the best placement of an instance.")
@click.argument("instance_file", metavar="INSTANCE")
@click.option(
    "--method",
    metavar="M",
    default="auto",
    show_default=True,
    help="See `mecopt methods`; a learner with its policy, ppo=FILE.zip; or file.py:NAME.",
)
@click.option(
    "--time-limit", metavar="S", type=float, callback=common_options.finite, help="Stop after S seconds."
)
@click.option(
    "--gap",
    metavar="G",
    type=float,
    callback=common_options.finite,
    help="Stop at this gap, a fraction: 0.01 is 1 %.",
)
@click.option(
    "--seed", metavar="N", type=click.IntRange(0), default=0, show_default=True, help="Random seed."
)
@click.option("--threads", metavar="N", type=click.IntRange(1), default=1, show_default=True, help="Threads.")
@click.option("--warm-start", metavar="FILE", help="Start from the placement of this solution file.")
@click.option("--pin", "pins", metavar="K:M=N", multiple=True, help="Force block M of task K onto node N.")
@click.option("--ban", "bans", metavar="K:M=N", multiple=True, help="Keep block M of task K off node N.")
@click.option(
    "--option", "options", metavar="NAME=VALUE", multiple=True, help="An option of the method; see its page."
)
@click.option("--policy", metavar="FILE", help="The trained policy of a learner. [default: the shipped one]")
@click.option(
    "--samples", metavar="N", type=click.IntRange(0), help="Of a learner: best of N samples. [default: 0]"
)
@click.option("--relax", is_flag=True, help="Ignore couplings that the method cannot honour: a bound only.")
@common_options.out_option("Write the solution to this file.")
@common_options.json_option
@common_options.plot_options
@click.pass_context
def solve(
    ctx: click.Context,
    instance_file: str,
    method: str,
    time_limit: float | None,
    gap: float | None,
    seed: int,
    threads: int,
    warm_start: str | None,
    pins: tuple[str, ...],
    bans: tuple[str, ...],
    options: tuple[str, ...],
    policy: str | None,
    samples: int | None,
    relax: bool,
    out: str | None,
    as_json: bool,
    plot: str | None,
    tasks: tuple[int, ...],
) -> None:
    """Find the best placement of an instance; `-` reads it from standard input.

    Tasks, blocks and nodes count from 0; node 0 is the task's device, node 1 the first server.

    Standard input may hold several instances, a line each: then each gets its solution as one line of JSON
    (with --json at once, and before the next is read), or {"error": {"line": N, "problems": [...]}}.

    Exit status: 0 optimal or feasible, 5 only a placement that violates a limit, 3 proved infeasible,
    4 nothing found, 130 interrupted (the best so far is still shown and written); of several instances the
    worst.
    """
    common.check_out("--out", out, instance_file, warm_start)
    common.check_plot(plot, instance_file, warm_start, out)
    written, drawn = common.absolute(out), common.absolute(plot)  # whatever folder a method goes to
    asked: dict[str, Any] = {
        "method": method, "time_limit_s": time_limit, "gap": gap, "seed": seed, "threads": threads,
        "pins": pins, "bans": bans, "relax": relax, **_options(options, policy=policy, samples=samples),
    }  # fmt: skip
    data = None
    if instance_file == common.STDIN:
        from mecopt.cli.line_streams import answer_lines, split_stdin

        of_one = [
            name for name, given in (("--out", out), ("--plot", plot), ("--task", tasks or None)) if given
        ]
        data, more = split_stdin(look_ahead=not as_json or bool(of_one))
        if more is not None and of_one:
            raise InputError(f"{of_one[0]}: standard input holds several instances, expected a single one")
        if more is not None:
            ctx.exit(answer_lines(chain([data], more), partial(_answer, warm_start, asked)))
    instance = common.load_instance(instance_file) if data is None else common.read_instance(data)
    common.check_tasks(tasks, instance)
    result = _run(instance, instance_file, warm_start, asked)
    if written is not None:
        result.save(written)
    if as_json:
        printing.emit(result.to_json())
    else:
        from mecopt.cli.show import show_result

        show_result(result, tasks)
    if out is not None:
        printing.note(f"wrote {out}")
    if drawn is not None and result.evaluation is not None:
        common.write_plot(result.evaluation, drawn, tasks, plot)
    elif plot is not None:
        printing.note(f"--plot {plot}: not written, there is no placement")
    ctx.exit(_status(result))


def _run(instance: Instance, name: str, warm_start: str | None, asked: dict[str, Any]) -> Result:
    """Solve an instance, and say what warnings there were."""
    from mecopt.solving import solve as run

    with (
        common.naming(name),
        common.working(f"solving {printing.plain(instance.name)}", asked["time_limit_s"]),
        warnings.catch_warnings(record=True) as doubts,
    ):
        start = None if warm_start is None else _start(warm_start, instance)
        result = run(instance, warm_start=start, **asked)
    for doubt in doubts:
        printing.note(f"warning: {doubt.message}")
    return result


def _answer(warm_start: str | None, asked: dict[str, Any], line: bytes) -> tuple[dict[str, Any], int]:
    """Solve the instance of a line of standard input; return the solution and its exit status."""
    result = _run(common.read_instance(line), common.STDIN, warm_start, asked)
    return result.to_dict(), _status(result)


def _status(result: Result) -> int:
    return INTERRUPTED if result.stopped_by == "interrupt" else EXIT[result.status.value]


def _options(texts: tuple[str, ...], **named: Any) -> dict[str, Any]:
    """Read ``name=value``, a value that is JSON (a number, true, null) as such; add those with a name."""
    options: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier() or name in options:
            raise InputError(f"--option {text}: expected NAME=VALUE, each name once")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options


def _start(path: str, instance: Instance) -> NDArray[Any]:
    solution, placement = common.load_placement(path, instance)
    if common.other_instance(solution, instance):
        name = solution.instance or "unnamed"
        printing.note(
            f"{path}: made for another instance ({name}); its placement fits and is used as a start"
        )
    return placement
