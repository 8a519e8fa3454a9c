"""Measuring a profile: pieces of every length timed in the network's order, and blocks fitted to them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from mecopt import _version
from mecopt.errors import InputError
from mecopt.profiling import profile_document, surroundings
from mecopt.profiling.divisions import Stretch, divisions
from mecopt.profiling.fitting import Fit, fit
from mecopt.profiling.timing import Piece, Times, time_divisions

if TYPE_CHECKING:
    from mecopt.importing.model_document import ModelDocument

UNSTEADY = 0.05  # by how much halves of a run may differ
WAITED = 0.05  # share of the wall time without a core from which the profile says so
SHARE_OF_MEMORY = 0.25  # of what is free, for pieces that are ready at the same time
COPIES = 2  # of its weights that a piece takes: as they are given, and packed for the processor

Times_ = Sequence[Sequence[Times]]


@dataclass(frozen=True)
class Runner:
    """A model that can be run in pieces.

    Parameters
    ----------
    name : {"onnxruntime", "torch"}
    piece : callable
        Makes a stretch ready to run on so many threads.
    values : dict
        The tensors that cross between blocks, by name.
    weight_bytes : float
    """

    name: Literal["onnxruntime", "torch"]
    piece: Callable[[Stretch, int], Piece]
    values: dict[str, Any]
    weight_bytes: float


def runner(model: ModelDocument, path: str, runtime: str) -> Runner:
    """Make a model ready to be run in pieces from its source file.

    Raises
    ------
    InputError
        If it has no graph to cut, or the runtime does not run it.
    MissingExtraError
        If the runtime is not installed.
    """
    if model.graph is None:
        raise InputError(f"{model.model.name}: imported from {model.source.kind}, which holds nothing to run")
    if runtime == "torch":
        from mecopt.profiling import torch_runtime

        return Runner("torch", *torch_runtime.opened(model, path))
    from mecopt.importing import pieces
    from mecopt.profiling import onnx_runtime

    onnx_runtime.needed()
    prepared = pieces.prepare(path, dict(model.source.dims))

    def piece(stretch: Stretch, threads: int) -> onnx_runtime.Session:
        return onnx_runtime.Session(pieces.piece(prepared, model, *stretch), threads)

    names = (*model.graph.boundaries[0], *model.graph.everywhere)
    alone = [piece((m, m), 1) for m in range(len(model.model.blocks))]
    values = onnx_runtime.initial(prepared, names, alone)
    return Runner("onnxruntime", piece, values, _weights(model, prepared.ByteSize()))


def _weights(model: ModelDocument, size: float) -> float:
    """Return the bytes of a model's weights, in the file or beside it."""
    return float(max(size, sum(block.param_bytes for block in model.model.blocks)))


def measure(
    model: ModelDocument,
    ready: Runner,
    *,
    hardware: str,
    threads: int = 1,
    repeat: int = 7,
    idle_ms: float = 0.0,
) -> profile_document.ProfileDoc:
    """Measure the blocks of a model on this machine.

    Parameters
    ----------
    model : ModelDocument
    ready : Runner
    hardware : str
        What machines like this one are to be called.
    threads : int
        Threads of the runtime, each on a core of its own.
    repeat : int
        How often every division has its turn, at least 2.
    idle_ms : float
        Milliseconds of waiting in front of every piece, so that caches forget as they do between requests.

    Raises
    ------
    InputError
        If there are fewer cores, or a parameter is out of range.
    """
    if repeat < 2:
        raise InputError(f"--repeat {repeat}: expected at least 2, since two halves are compared")
    load = surroundings.load_per_core()
    clock_name, clock = surroundings.clock(threads)
    divided = divisions(len(model.model.blocks))
    times: list[list[Times]] = []
    with surroundings.pinned(threads) as cores:
        for group in _groups(divided, ready.weight_bytes):
            made = [(part, [ready.piece(stretch, threads) for stretch in part]) for part in group]
            times += time_divisions(
                made, dict(ready.values), repeat=repeat, idle_s=idle_ms / 1e3, clock=clock
            )
    runtime = profile_document.RuntimeDoc(
        name=ready.name,
        version=surroundings.version(ready.name) or "",
        threads=threads,
        pinned_to=cores,
        idle_ms=idle_ms,
        repeat=repeat,
        clock=cast("Literal['cpu', 'wall']", clock_name),
    )
    return _profile(model, hardware, divided, times, runtime, surroundings.machine(cores, load))


def _groups(divided: list[list[Stretch]], weight_bytes: float) -> list[list[list[Stretch]]]:
    """Split divisions into groups that fit in memory at the same time."""
    import psutil

    room = SHARE_OF_MEMORY * psutil.virtual_memory().available
    size = max(1, int(room // max(COPIES * weight_bytes, 1.0)))
    return [divided[i : i + size] for i in range(0, len(divided), size)]


def _profile(
    model: ModelDocument,
    hardware: str,
    divided: list[list[Stretch]],
    times: Times_,
    runtime: profile_document.RuntimeDoc,
    machine: profile_document.MachineDoc,
) -> profile_document.ProfileDoc:
    names = [block.name for block in model.model.blocks]
    found = _fitted(divided, times, lambda t: t.median_s)
    halves = [_fitted(divided, times, lambda t, half=half: t.halves()[half]) for half in (0, 1)]  # type: ignore[misc]
    alone = times[1] if len(names) > 1 else times[0]
    whole = times[0][0]
    steadiness = _steadiness(whole, alone)
    wall = float(np.median(whole.wall))
    return profile_document.ProfileDoc(
        format="mecopt-profile/1",
        kind="measured",
        hardware=hardware,
        date=now(),
        mecopt_version=_version.__version__,
        model=profiled(model),
        runtime=runtime,
        machine=machine,
        blocks=[
            profile_document.BlockTimesDoc(
                name=name,
                seconds=float(found.seconds[m]),
                start_seconds=float(found.start_seconds[m]),
                alone=alone[m].doc(),
                halves=[float(half.seconds[m]) for half in halves],
            )
            for m, name in enumerate(names)
        ],
        whole=profile_document.WholeDoc(
            measured=whole.doc(), wall_s=wall, predicted_s=found.of((0, len(names) - 1))
        ),
        fit=_fit_doc(found, divided, times),
        steadiness=steadiness,
        stretches=[
            profile_document.StretchDoc(first=first, last=last, **t.figures())
            for (first, last), t in zip(chain(*divided), chain(*times), strict=True)
        ],
        constants=None,
        notes=_notes(steadiness, whole, wall, runtime, machine),
    )


def profiled(model: ModelDocument) -> profile_document.ProfiledModelDoc:
    """Return the account of a model that a profile holds."""
    return profile_document.ProfiledModelDoc(
        name=model.model.name,
        blocks=[block.name for block in model.model.blocks],
        sha256=model.sha256,
        source_sha256=model.source.sha256,
        dims=dict(model.source.dims),
    )


def now() -> str:
    """Return the date and time of this moment."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _fitted(divided: list[list[Stretch]], times: Times_, figure: Callable[[Times], float]) -> Fit:
    blocks = divided[0][0][1] + 1
    rows = [
        [(stretch, figure(t)) for stretch, t in zip(part, kept, strict=True)]
        for part, kept in zip(divided, times, strict=True)
    ]
    return fit(blocks, rows)


def _fit_doc(found: Fit, divided: list[list[Stretch]], times: Times_) -> profile_document.FitDoc:
    measured = np.array([t.median_s for t in chain(*times)])
    predicted = np.array([found.of(stretch) for stretch in chain(*divided)])
    errors = predicted / np.maximum(measured, 1e-12) - 1.0
    return profile_document.FitDoc(
        whole_error=float(errors[0]),
        median_error=float(np.median(np.abs(errors))),
        worst_error=float(np.abs(errors).max()),
    )


def _steadiness(whole: Times, alone: Sequence[Times]) -> profile_document.SteadinessDoc:
    of_whole = _difference(whole)
    of_blocks = float(np.median([_difference(t) for t in alone]))
    steady = max(of_whole, of_blocks) <= UNSTEADY
    return profile_document.SteadinessDoc(
        whole=of_whole, blocks_median=of_blocks, limit=UNSTEADY, verdict="steady" if steady else "unsteady"
    )


def _difference(times: Times) -> float:
    low, high = sorted(times.halves())
    return high / max(low, 1e-12) - 1.0


def _notes(
    steadiness: profile_document.SteadinessDoc,
    whole: Times,
    wall: float,
    runtime: profile_document.RuntimeDoc,
    machine: profile_document.MachineDoc,
) -> list[str]:
    notes = []
    if steadiness.verdict == "unsteady":
        notes.append(
            f"unsteady: the halves of the run differ by {steadiness.whole:.1%} (whole) and "
            f"{steadiness.blocks_median:.1%} (median block), more than {UNSTEADY:.0%}"
        )
    waited = 1.0 - whole.median_s / max(wall, 1e-12)
    if runtime.clock == "cpu" and waited > WAITED:
        notes.append(
            f"the runtime waited for a core {waited:.0%} of the time: other programs ran, "
            "which CPU seconds leave out"
        )
    if machine.governor not in (None, "performance"):
        notes.append(f"the cores' governor is {machine.governor}; 'performance' keeps their speed")
    return notes
