"""`mecopt generate`: make a seeded instance, and say what its optima look like."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from mecopt.cli import common, common_options, printing
from mecopt.text import file_name

if TYPE_CHECKING:
    from mecopt.generation import Census
    from mecopt.instance import Instance

# Options of their own for the parameters that are changed most; every other one is --set NAME=VALUE.
OPTIONS = {
    "--servers": ("servers", "Number of edge servers."),
    "--blocks": ("blocks", "Number of blocks."),
    "--slots": ("slots", "Number of slots."),
    "--release-rate": ("release_rate", "Inferences per slot."),
    "--tasks": (
        "tasks",
        "bundled: one task per slot; individual: one per inference, each with its own device.",
    ),
    "--model": ("model", "Network; `mecopt models` lists them."),
    "--rates": ("rates", "uniform: drawn from --rate; geometry: from places in the plane."),
    "--rate": ("rate_bps", "Rate between device and server in bit/s, such as 6.4e6..16e6."),
    "--server-rate": ("server_bps", "Rate between servers in bit/s."),
    "--max-delay": ("max_delay_s", "Largest tolerable delay of a block in seconds, such as 7, 1..7 or none."),
    "--deadline": ("deadline", "hard, soft or none."),
    "--preset": ("preset", "paper or physical."),
    "--coupling": ("couplings", "energy, capacity, memory (several with commas) or none."),
    "--objective": ("objective", "delay, energy or period."),
    "--sharing": ("sharing", "none, mm1 or affine: how load lengthens calculations."),
    "--deadline-total": ("max_total_delay_s", "End-to-end deadline in seconds, such as 2, 1..3 or none."),
    "--one-run": ("one_run", "none, servers or all: which run one stretch of a task at most."),
    "--drop-cost": ("drop_cost", "Cost of leaving a task out, such as 5, 1..9 or none."),
    "--phases": ("phases", "Phases with their passes, such as prefill,decode*200."),
    "--ratio": ("ratio", "Demand / capacity of a slot, from which its seconds follow."),
    "--energy-share": (
        "energy_budget_share",
        "Energy budget as a share of what the optimum without it spends.",
    ),
}


def _parameters(command: Callable[..., None]) -> Callable[..., None]:
    for option, (name, about) in reversed(OPTIONS.items()):
        command = click.option(option, f"p_{name}", metavar="VALUE", help=about)(command)
    return command


@click.command(short_help="Make an instance of a named setting.")
@click.argument("spec", required=False)
@click.option("--setting", "own", metavar="FILE", help="A setting of one's own, in the place of SPEC.")
@click.option("--seed", metavar="N", type=click.IntRange(min=0), help="Seed of all draws. [default: 0]")
@_parameters
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Set any parameter (--list).")
@common_options.out_option("File, .json or .json.gz. [default: named after the instance]")
@click.option("--list", "as_list", is_flag=True, help="List the named settings and all parameters.")
@common_options.json_option
def generate(
    spec: str | None,
    own: str | None,
    seed: int | None,
    assignments: tuple[str, ...],
    out: str | None,
    as_list: bool,
    as_json: bool,
    **options: str | None,
) -> None:
    """Make an instance of the named setting SPEC, such as paper or camera-alexnet.

    Changes to the setting may be options, or part of SPEC: paper:servers=6,blocks=9. The same SPEC and seed
    give the same instance on every machine. Without SPEC the settings are listed.

    A setting of one's own is a JSON file, {"name": "yard", "base": "paper", "parameters": {"servers": 3}},
    given by --setting, and by its name wherever a setting is (`mecopt train yard.json`).
    """
    changes = _changes(options, assignments)
    if own is not None:
        if spec is not None:
            raise click.UsageError("--setting: given together with SPEC, expected one of them")
        from mecopt.generators.own_settings import SUFFIX, read

        if not own.endswith(SUFFIX):
            raise click.UsageError(f"--setting {own}: expected the name of a file that ends in {SUFFIX}")
        read(own)
        spec = own
    if spec is None or as_list:
        if spec is not None or changes or out is not None or seed is not None:
            raise click.UsageError("expected SPEC, or else only --list: `mecopt generate --list`")
        _list_json() if as_json else _list()
        return
    from mecopt import io
    from mecopt.generation import census

    common.check_out("--out", out)
    with common.working("generating"):
        instance, doubts = _make(spec, seed, changes)
        found = census(instance)
    path = out or file_name(instance.name, ".json")
    io.save(instance, path)
    doubts += [] if found.warning is None else [found.warning]
    doubts += [] if not found.unserved else [f"no placement meets the deadlines of {found.unserved} tasks"]
    for doubt in doubts:
        printing.note(f"warning: {doubt}")
    if as_json:
        printing.emit_json(
            {
                "name": instance.name,
                "path": path,
                "sha256": instance.sha256,
                "census": found.to_dict(),
                "warnings": doubts,
                "origin": instance.origin,
            }
        )
    else:
        _print(instance, path, found)


def _changes(options: Mapping[str, str | None], assignments: tuple[str, ...]) -> dict[str, Any]:
    """Collect the parameters of the options and of --set."""
    from mecopt.generators.parameters import canonical
    from mecopt.generators.values import from_text

    pairs = [(name.removeprefix("p_"), text) for name, text in options.items() if text is not None]
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise click.UsageError(f"--set {assignment}: expected NAME=VALUE")
        if name.strip() == "seed":
            raise click.UsageError("--set seed: expected --seed N")
        pairs.append((canonical(name), text))
    changes: dict[str, Any] = {}
    for name, text in pairs:
        if name in changes:
            raise click.UsageError(f"{name}: given twice")
        changes[name] = from_text(text)
    return changes


def _make(spec: str, seed: int | None, changes: Mapping[str, Any]) -> tuple[Instance, list[str]]:
    """Return the instance and what `mecopt.generate` warned of."""
    from mecopt.generation import generate as make

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        instance = make(spec, seed=seed, **changes)
    return instance, [str(warning.message) for warning in caught]


def _print(instance: Instance, path: str, found: Census) -> None:
    kinds = {"all local": found.local, "all on one server": found.one_server, "mixed": found.mixed}
    if found.unserved:
        kinds["none possible"] = found.unserved
    rows = [(name, f"{count:,}", f"{count / found.tasks:.1%}") for name, count in kinds.items()]
    printing.table(("Optimum of a task, couplings left out", "Tasks", "Share"), rows, numbers=2, wraps={0})
    printing.say(f"{printing.one_line(instance)}; sha256 {instance.sha256}")
    printing.note(f"wrote {path}")


def _list() -> None:
    from mecopt.generators.parameters import fields
    from mecopt.generators.specs import ABOUT
    from mecopt.generators.values import to_text

    flags = {name: option for option, (name, _) in OPTIONS.items()}
    printing.table(("Setting", "What it is"), ABOUT.items(), numbers=0, wraps={1})
    rows = [
        (name, flags.get(name, ""), to_text(field.default), field.metadata["help"])
        for name, field in fields().items()
    ]
    click.echo()
    printing.table(("Parameter (--set)", "Option", "Default", "Meaning"), rows, numbers=0, wraps={3})


def _list_json() -> None:
    from mecopt.generators.parameters import fields
    from mecopt.generators.specs import ABOUT, setting
    from mecopt.generators.values import to_json

    settings = {
        name: {"about": about, "parameters": {key: to_json(value) for key, value in setting(name).items()}}
        for name, about in ABOUT.items()
    }
    parameters = {
        name: {"default": to_json(field.default), "about": field.metadata["help"]}
        for name, field in fields().items()
    }
    printing.emit_json({"settings": settings, "parameters": parameters})
