"""`mecopt crosscheck`: random small instances, every exact method against brute force."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mecopt.cli import ERROR, INTERRUPTED, common, common_options, printing
from mecopt.errors import InputError

if TYPE_CHECKING:
    from mecopt.instance import Instance


@click.command(short_help="Hold the exact methods against brute force.")
@click.option(
    "--count", metavar="N", type=click.IntRange(1), default=100, show_default=True, help="Instances."
)
@click.option(
    "--seed", metavar="S", type=click.IntRange(0), default=0, show_default=True, help="Random seed."
)
@click.option(
    "--seconds", metavar="T", type=float, callback=common_options.finite, help="Stop after T seconds."
)
@click.option(
    "--method", "names", metavar="M", multiple=True, help="This method, exact or not; may be repeated."
)
@click.option(
    "--out", metavar="DIR", default=".", show_default=True, help="Where instances of disagreement go."
)
@common_options.json_option
@click.pass_context
def crosscheck(
    ctx: click.Context,
    count: int,
    seed: int,
    seconds: float | None,
    names: tuple[str, ...],
    out: str,
    as_json: bool,
) -> None:
    """Solve random small instances by every exact method, and compare with all their placements.

    The instances have ties, missing links, limits met exactly or missed by a hair, and numbers of very
    different size. Every second one may use anything of the wider model; the others have every set of
    couplings in turn. A method is asked about what it takes. Of one that is named and not exact, all that it
    claims must be true. Ends with status 1 if any method disagrees; the instance is saved. An interrupt shows
    what was checked until then.
    """
    from mecopt import registry
    from mecopt_solvers.crosscheck import check, instances

    for name in names:
        registry.method(name)
    folder = Path(out)
    if not folder.is_dir():
        raise InputError(f"--out {out}: expected a folder that exists")
    start, checked, wrong = time.perf_counter(), Counter[str](), []
    drawn, interrupted = 0, True
    with (
        suppress(KeyboardInterrupt),
        common.working(f"checking {printing.counted(count, 'instance')}", seconds),
    ):
        for instance in instances(count, seed, wider=True):
            if seconds is not None and time.perf_counter() - start > seconds:
                break
            drawn += 1
            for answer in check(instance, names):
                checked[answer.method] += 1
                if answer.what:
                    file = _save(instance, folder)
                    wrong.append(
                        {
                            "method": answer.method,
                            "instance": instance.name,
                            "file": file,
                            "what": answer.what,
                        }
                    )
                    printing.note(f"{instance.name}: {answer.method}: {answer.what}; saved as {file}")
        interrupted = False
    bad = Counter(row["method"] for row in wrong)
    rows = [(name, f"{checked[name]:,}", f"{bad[name]:,}") for name in sorted(checked)]
    if as_json:
        printing.emit_json(
            {
                "instances": drawn,
                "seed": seed,
                "seconds": time.perf_counter() - start,
                "interrupted": interrupted,
                "methods": {
                    name: {"checked": checked[name], "disagreements": bad[name]} for name in sorted(checked)
                },
                "disagreements": wrong,
            }
        )
    else:
        printing.table(("Method", "Instances", "Disagreements"), rows, numbers=2, wraps=())
        click.echo(
            f"{printing.counted(drawn, 'instance')} of seed {seed}, {time.perf_counter() - start:.1f} s"
        )
    if interrupted:
        printing.note("interrupted")
        ctx.exit(INTERRUPTED)
    if wrong:
        ctx.exit(ERROR)


def _save(instance: Instance, folder: Path) -> str:
    from mecopt.io import save

    path = folder / f"{instance.name}.json"
    save(instance, path)
    return str(path)
