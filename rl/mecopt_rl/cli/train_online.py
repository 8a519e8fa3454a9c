"""`mecopt train-online`: train a policy for tasks that arrive one by one."""

from __future__ import annotations

from typing import Any

import click

from mecopt.cli import INTERRUPTED, common, common_options, printing
from mecopt.cli.simulate import setting_options
from mecopt.errors import InputError


@click.command("train-online", short_help="Train a policy for tasks that arrive one by one.")
@click.argument("instance", metavar="INSTANCE|SPEC")
@click.option("--out", metavar="DIR", required=True, help="Folder of the training and the policy.")
@setting_options
@click.option(
    "--start",
    type=click.Choice(["tuned", "selfish"]),
    default="tuned",
    show_default=True,
    help="Begin as the rule price-tuned or selfish-flight.",
)
@click.option(
    "--aim",
    type=click.Choice(["mean", "p99"]),
    default="mean",
    show_default=True,
    help="What is made small of the delays.",
)
@click.option(
    "--generations", metavar="G", type=click.IntRange(1), default=60, show_default=True, help="In all."
)
@click.option(
    "--seed", metavar="S", type=click.IntRange(0), default=0, show_default=True, help="Random seed."
)
@common_options.json_option
@click.pass_context
def train_online(
    ctx: click.Context,
    /,
    instance: str,
    out: str,
    generations: int,
    aim: str,
    as_json: bool,
    **given: Any,
) -> None:
    """Train a policy that sets prices of servers by what is seen of them, for one setting.

    The setting is that of `mecopt simulate`, and `mecopt simulate --policy DIR/policy.safetensors` uses the
    policy. A generation tries 16 pairs of weights on 20,000 new tasks, which takes some seconds; every ten
    generations the policy is judged on other tasks, and the best is kept, the start among them. Given again,
    the same command goes on where it stopped and repeats nothing.

    Exit status: 0 done, 130 interrupted (finished generations are kept).
    """
    from mecopt_rl.learners.learner import need_torch

    need_torch("mecopt train-online")
    from mecopt_rl.training.evolution import EvolutionSettings
    from mecopt_rl.training.online_training import POLICY
    from mecopt_rl.training.online_training import train_online as train

    if not out:
        raise InputError("--out: no name, expected that of a folder")
    loaded = common.load_instance(instance)

    def report(row: dict[str, Any]) -> None:
        best = ", the best so far" if row["best"] and row["generation"] else ""
        printing.note(
            f"{row['generation']} of {generations} generations: {aim} {row['figure_s']:.4g} s{best}"
        )

    try:
        with common.naming(instance):
            done = train(
                loaded,
                out,
                aim=aim,
                settings=EvolutionSettings(generations=generations),
                report=report,
                **given,
            )
    except KeyboardInterrupt:
        printing.note(f"interrupted; finished generations are kept in {out}; the same command goes on")
        ctx.exit(INTERRUPTED)
    begun, best = done.rows[0]["figure_s"], min(row["figure_s"] for row in done.rows)
    if as_json:
        printing.emit_json(
            {"policy": f"{out}/{POLICY}", "figure_s": best, "start_s": begun, "rows": done.rows}
        )
        return
    printing.say(
        f"best policy: {aim} {best:.4g} s on tasks that chose it; the rule it began as: {begun:.4g} s"
    )
    printing.note(f"kept in {out}/{POLICY}")
