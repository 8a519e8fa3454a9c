"""`mecopt train`: train a policy on the episodes of a generator, and keep the best one."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mecopt.cli import INTERRUPTED, common, common_options, printing
from mecopt.errors import InputError

if TYPE_CHECKING:
    from mecopt_rl.training.loop import Training


@click.command(short_help="Train a policy by reinforcement learning.")
@click.argument("spec")
@click.option(
    "--learner",
    metavar="L",
    help="markov-a3c, mtl-a3c, any-size, a3c, dqn, or a package's own. [default: that of --from]",
)
@click.option("--out", metavar="DIR", required=True, help="Folder for checkpoints, the policy and the logs.")
@click.option("--recipe", metavar="R", help="best or paper. [default: best]")
@click.option(
    "--episodes", metavar="N", type=click.IntRange(1), default=400, show_default=True, help="Episodes in all."
)
@click.option(
    "--workers", metavar="W", type=click.IntRange(1), default=1, show_default=True, help="Worker processes."
)
@click.option(
    "--seed", metavar="S", type=click.IntRange(0), default=0, show_default=True, help="Random seed."
)
@click.option("--from", "start", metavar="POLICY", help="Begin with the weights of this policy.")
@click.option(
    "--set", "assignments", metavar="NAME=VALUE", multiple=True, help="Change a setting of the recipe."
)
@common_options.engine_options("Where the workers are.")
@common_options.json_option
@click.pass_context
def train(
    ctx: click.Context,
    spec: str,
    learner: str | None,
    out: str,
    recipe: str | None,
    episodes: int,
    workers: int,
    seed: int,
    start: str | None,
    assignments: tuple[str, ...],
    engine: str,
    address: str | None,
    as_json: bool,
) -> None:
    """Train a policy on episodes of SPEC: a named setting such as camera-vgg-load, or one instance.

    An instance is given by its file, the name of a shipped one, a setting with its seed, or `-` for standard
    input, whose instance is kept in DIR/instance.json.

    Every 20 episodes the policy is judged on validation episodes and a checkpoint is written. The best policy
    (the fewest violations, then the least gap) is kept in DIR/policy.safetensors; `mecopt solve INSTANCE
    --method L --policy FILE` uses it. Given again, the same command goes on where it stopped and repeats
    nothing. Under couplings the validation episodes are bounded first, which takes up to half a minute.

    Exit status: 0 done, 130 interrupted (the last checkpoint is kept).
    """
    from mecopt_rl.learners.learner import need_torch

    need_torch("mecopt train")
    from mecopt_rl.training.checkpoint import load_policy
    from mecopt_rl.training.loop import POLICY, Training
    from mecopt_rl.training.training_plan import TrainingPlan
    from mecopt_rl.training.validation import worth

    if learner is None:
        if start is None:
            raise click.UsageError("Missing option '--learner'.")
        learner = load_policy(start).learner
    if not out:
        raise InputError("--out: no name, expected that of a folder")
    if spec == common.STDIN:
        spec = _kept(out)
    plan = TrainingPlan(
        spec, learner, recipe, changes_of(assignments), episodes, workers, seed, start=start, engine=engine
    )
    training = Training(plan, out, address=address)
    if training.complete:
        printing.note(f"{out} holds this training, and it is complete; nothing was repeated")
    elif training.rows:
        printing.note(f"going on after {training.rows[-1]['episodes']} of {episodes} episodes")
    try:
        with _shown(training):
            training.run()
    except KeyboardInterrupt:
        if not training.rows:
            raise
        done = f"{training.rows[-1]['episodes']} of {episodes} episodes"
        printing.note(f"interrupted; {done} are kept in {out}; the same command goes on")
        ctx.exit(INTERRUPTED)
    best = training.kept
    if best is None:
        printing.note("warning: every policy had collapsed; none was kept")
    if as_json:
        printing.emit_json(
            {"policy": None if best is None else f"{out}/{POLICY}", "best": best, "rows": training.rows}
        )
    elif best is not None:
        click.echo(f"best policy: {worth(best)} on validation episodes, after {best['episodes']} episodes")
        printing.note(f"kept in {out}/{POLICY}")


def _kept(out: str) -> str:
    """Keep the instance of standard input where workers, and the same command later, find it."""
    from mecopt import io

    instance = common.load_instance(common.STDIN)
    path = Path(out) / "instance.json"
    if path.exists() and io.load(path).sha256 != instance.sha256:
        raise InputError("--out: holds a training on another instance; expected the same, or another folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be a folder ({error.strerror})", out) from None
    io.save(instance, path)
    return str(path)


def changes_of(assignments: tuple[str, ...]) -> dict[str, Any]:
    """Read the settings of ``--set``."""
    changes: dict[str, Any] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals or name in changes:
            raise InputError(f"--set {text}: expected NAME=VALUE, each name once")
        changes[name] = value
    return changes


@contextmanager
def _shown(training: Training) -> Iterator[None]:
    """Show a progress bar with reward and gap; without a terminal, a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from mecopt_rl.training.validation import worth

    # A notebook sets FORCE_COLOR, which rich takes for a terminal; a bar there is hundreds of lines.
    console = Console(stderr=True, force_terminal=sys.stderr.isatty())
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("{task.fields[figures]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    total, seldom = training.plan.episodes, max(training.rounds // 10, 1)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        begun = training.rows[-1]["episodes"] if training.rows else 0
        name = f"{training.plan.learner}: episodes"
        bar = progress.add_task(name, total=total, completed=begun, figures="")

        def say(text: str) -> None:
            progress.console.print(f"mecopt: {text}", highlight=False, markup=False, soft_wrap=True)

        def note(text: str) -> None:
            say(f"warning: {text}")

        def report(row: Mapping[str, Any]) -> None:
            best = "none" if training.kept is None else worth(training.kept).removeprefix("gap ")
            figures = f"reward {row['reward']:.5g}, {worth(row)}, best {best}"
            progress.update(bar, completed=row["episodes"], figures=figures)
            if row["collapsed"]:
                share = f"{row['top_placement_share']:.0%} of the tasks get one placement"
                text = f"collapsed after {row['episodes']} episodes: {share}, {worth(row)}"
                note(f"{text}; not kept as best")
            elif not console.is_terminal and (row["round"] + 1) % seldom == 0:
                printing.note(f"{row['episodes']} of {total} episodes: {figures}")

        training.report, training.note, training.say = report, note, say
        yield
