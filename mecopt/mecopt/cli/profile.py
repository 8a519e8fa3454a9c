"""`mecopt profile`: what the blocks of a model take on this machine, measured or estimated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mecopt.cli import common, common_options, printing

if TYPE_CHECKING:
    from mecopt.importing.model_document import ModelDocument
    from mecopt.profiling.profile_document import ProfileDoc, TimesDoc


@click.command(short_help="Measure what the blocks of a model take on this machine.")
@click.argument("model", required=False)
@click.option("--hardware", metavar="NAME", help="What machines like this one are called.")
@click.option(
    "--runtime", type=click.Choice(["onnxruntime", "torch"]), default="onnxruntime", show_default=True,
    help="What runs the blocks.",
)  # fmt: skip
@click.option(
    "--threads", metavar="N", type=click.IntRange(min=1), default=1, show_default=True,
    help="Threads of the runtime, each on a core of its own.",
)  # fmt: skip
@click.option(
    "--repeat", metavar="N", type=click.IntRange(min=2), default=7, show_default=True,
    help="How often every piece has its turn.",
)  # fmt: skip
@click.option(
    "--idle", metavar="MS", type=float, default=0.0, show_default=True, callback=common_options.finite,
    help="Milliseconds of waiting in front of every piece, so that caches forget as between requests.",
)  # fmt: skip
@click.option("--file", metavar="FILE", help="The model's source file.  [default: that beside MODEL]")
@click.option(
    "--calibrate", is_flag=True, help="Measure constants of the machine by small kernels, no MODEL."
)
@click.option(
    "--estimate", metavar="FILE", help="Estimate MODEL by constants of --calibrate; nothing is run."
)
@common_options.out_option("Profile to write.  [default: named after model and hardware]")
@common_options.json_option
def profile(
    model: str | None,
    hardware: str | None,
    runtime: str,
    threads: int,
    repeat: int,
    idle: float,
    file: str | None,
    calibrate: bool,
    estimate: str | None,
    out: str | None,
    as_json: bool,
) -> None:
    """Measure the blocks of MODEL on this machine: inside a stretch, at its start, and the whole network.

    MODEL is a model file of `mecopt import`, whose source file lies beside it, or an ONNX file. `mecopt
    instances new` makes an instance of profiles.
    """
    _check_words(model, hardware, calibrate, estimate)
    from mecopt.importing.model_document import source_of

    source = None if model is None or file is not None else source_of(model)
    common.check_out("--out", out, model, file, estimate, source)
    if estimate is not None:
        made = _estimated(str(model), file, estimate)
    elif calibrate:
        from mecopt.profiling import calibration

        with common.working("measuring kernels"):
            made = calibration.calibrate(str(hardware), threads=threads, repeat=repeat)
    else:
        from mecopt.profiling import measuring

        with common.working("measuring"):
            known, path = _opened(str(model), file)
            ready = measuring.runner(known, path, runtime)
            made = measuring.measure(
                known, ready, hardware=str(hardware), threads=threads, repeat=repeat, idle_ms=idle
            )
    _write(made, out, as_json, [model, file, estimate])


def _check_words(model: str | None, hardware: str | None, calibrate: bool, estimate: str | None) -> None:
    if calibrate and (model is not None or estimate is not None):
        raise click.UsageError(
            "--calibrate measures the machine alone, expected neither MODEL nor --estimate"
        )
    if not calibrate and model is None:
        raise click.UsageError("missing argument 'MODEL'")
    if estimate is not None and hardware is not None:
        raise click.UsageError("--estimate takes the hardware of its constants, expected no --hardware")
    if estimate is None and not hardware:
        raise click.UsageError("missing option '--hardware NAME', what machines like this one are called")


def _opened(model: str, file: str | None) -> tuple[ModelDocument, str]:
    from mecopt.profiling import subject

    return subject.opened(model, file)


def _estimated(model: str, file: str | None, constants: str) -> ProfileDoc:
    from mecopt.profiling import profile_files, roofline

    with common.working("estimating"):
        machine = profile_files.load(constants)
        known, path = _opened(model, file)
        return roofline.estimate(known, path, machine, constants)


def _write(made: ProfileDoc, out: str | None, as_json: bool, inputs: list[str | None]) -> None:
    from mecopt.files import write_bytes
    from mecopt.profiling.profile_files import text
    from mecopt.text import file_name

    name = made.hardware if made.model is None else f"{made.model.name}-{made.hardware}"
    path = out or file_name(name, ".json")
    common.check_out("--out", path, *inputs)
    write_bytes(path, text(made))
    if as_json:
        printing.emit(text(made).decode())
    elif made.constants is not None:
        _print_constants(made)
    else:
        _print_blocks(made)
    for line in made.notes:
        printing.note(f"warning: {line}")
    printing.note(f"wrote {path}")


def _print_constants(made: ProfileDoc) -> None:
    rows = [
        (name, *(f"{v:.3g}" for v in (k.seconds_per_call, k.seconds_per_operation, k.seconds_per_byte)),
         str(k.kernels), f"{k.median_error:.1%}")
        for name, k in (made.constants or {}).items()
    ]  # fmt: skip
    heads = ("Kind of operator", "s a call", "s an operation", "s a byte", "Kernels", "Error")
    printing.table(heads, rows, numbers=5, wraps={0})


def _print_blocks(made: ProfileDoc) -> None:
    rows = [
        (
            block.name,
            _ms(block.seconds),
            _ms(block.start_seconds),
            "" if block.alone is None else _ms(block.alone.median_s),
            "" if block.alone is None else _spread(block.alone),
        )
        for block in made.blocks
    ]
    heads = ("Block", "Inside [ms]", "Start [ms]", "Alone [ms]", "Quartiles [ms]")
    printing.table(heads, rows, numbers=4, wraps={0})
    printing.say("")
    if made.whole is not None:
        whole = made.whole.measured
        found = f"{_ms(made.whole.predicted_s)} ms by its blocks"
        if whole is None:
            printing.say(f"the whole: {found}; an estimate, nothing was run")
        else:
            error = made.fit.whole_error if made.fit is not None else 0.0
            printing.say(
                f"the whole: {_ms(whole.median_s)} ms measured (quartiles {_spread(whole)}, "
                f"{whole.count} runs, the first {_ms(whole.warm_up_s)}), {found} ({error:+.1%})"
            )
    if made.fit is not None:
        printing.say(
            f"pieces of all lengths: fitted within {made.fit.median_error:.1%} (median), "
            f"{made.fit.worst_error:.1%} (worst)"
        )
    if made.steadiness is not None:
        s = made.steadiness
        printing.say(
            f"{s.verdict}: the halves of the run differ by {s.whole:.1%} (whole), "
            f"{s.blocks_median:.1%} (median block)"
        )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f}"


def _spread(times: TimesDoc) -> str:
    return f"{_ms(times.lower_quartile_s)}-{_ms(times.upper_quartile_s)}"
