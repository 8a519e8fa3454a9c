"""`mecopt tune`: look for good settings of a learner, trial by trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mecopt.cli import INTERRUPTED, common_options, printing
from mecopt_rl.cli.train import changes_of

if TYPE_CHECKING:
    from mecopt_rl.training.tuning import Trial


@click.command(short_help="Look for good settings of a learner.")
@click.argument("spec")
@click.option("--learner", metavar="L", required=True, help="As for `mecopt train`.")
@click.option("--out", metavar="DIR", required=True, help="Folder of the study; an unfinished one goes on.")
@click.option(
    "--trials", metavar="N", type=click.IntRange(1), default=20, show_default=True, help="Trainings in all."
)
@click.option(
    "--search",
    "searches",
    metavar="NAME=LOW..HIGH",
    multiple=True,
    help="A setting to look for, or NAME=a|b|c. [default: learning rate and temperatures]",
)
@click.option("--set", "assignments", metavar="NAME=VALUE", multiple=True, help="A setting for all trials.")
@click.option("--recipe", metavar="R", help="best or paper. [default: best]")
@click.option(
    "--episodes", metavar="N", type=click.IntRange(1), default=400, show_default=True, help="Of a training."
)
@click.option(
    "--seed", metavar="S", type=click.IntRange(0), default=0, show_default=True, help="Of trials and search."
)
@common_options.json_option
@click.pass_context
def tune(
    ctx: click.Context,
    spec: str,
    learner: str,
    out: str,
    trials: int,
    searches: tuple[str, ...],
    assignments: tuple[str, ...],
    recipe: str | None,
    episodes: int,
    seed: int,
    as_json: bool,
) -> None:
    """Look for settings with which a learner trains best on episodes of SPEC, by Optuna.

    Every trial is a training as of `mecopt train`, worth its best gap on validation episodes; one that is
    worse than half of the others so far is cut short. Kept in DIR are the study, every training, a table and
    the best policy. Given again, the same command goes on where it stopped; more --trials are added.

    Exit status: 0 done, 130 interrupted (finished trials are kept).
    """
    from mecopt_rl.learners.learner import need_torch

    need_torch("mecopt tune")
    from mecopt_rl.training.loop import POLICY
    from mecopt_rl.training.training_plan import TrainingPlan
    from mecopt_rl.training.tuning import Tuning, TuningSpace

    plan = TrainingPlan(spec, learner, recipe, changes_of(assignments), episodes, seed=seed)

    def tell(trial: Trial) -> None:
        chosen = ", ".join(f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
                           for name, value in trial.changes.items())  # fmt: skip
        printing.note(printing.plain(f"trial {trial.number} of {trials}: {trial.outcome}; {chosen}"))

    tuning = Tuning(TuningSpace.of(plan, searches), out, tell)
    try:
        ranked = tuning.run(trials)
    except KeyboardInterrupt:
        printing.note(f"interrupted; finished trials are kept in {out}; the same command goes on")
        ctx.exit(INTERRUPTED)
    best = ranked[0]
    kept = best.best is not None
    if as_json:
        printing.emit_json(
            {
                "policy": f"{out}/{POLICY}" if kept else None,
                "best": best.row(),
                "command": tuning.command(best),
                "trials": [trial.row() for trial in sorted(ranked, key=lambda trial: trial.number)],
            }
        )
        return
    click.echo(f"best of {len(ranked)} trials: {best.outcome} on validation episodes (trial {best.number})")
    click.echo(tuning.command(best))
    if kept:
        printing.note(f"its policy is kept in {out}/{POLICY}")
    else:
        printing.note("warning: every policy had collapsed; none was kept")
