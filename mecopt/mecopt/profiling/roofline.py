"""Estimates of what blocks take, by constants of a machine and without running them.

Each operator takes so much a call, a multiply-add (or a value) and a byte, by its kind: a roofline whose two
roofs add up, since no kernel overlaps them fully (after Williams, Waterman, Patterson 2009).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mecopt import _version
from mecopt.errors import InputError
from mecopt.hardware import ESTIMATE
from mecopt.profiling import onnx_runtime, operator_kinds, profile_document
from mecopt.profiling.calibration import seconds_of
from mecopt.profiling.measuring import now, profiled

if TYPE_CHECKING:
    from mecopt.importing.model_document import ModelDocument


def estimate(
    model: ModelDocument, path: str, machine: profile_document.ProfileDoc, source: str
) -> profile_document.ProfileDoc:
    """Estimate the blocks of a model.

    Parameters
    ----------
    model : ModelDocument
    path : str
        Its source file.
    machine : ProfileDoc
        With constants.
    source : str
        File of the constants, for errors.

    Raises
    ------
    InputError
        If the profile has no constants, or the model has no graph.
    MissingExtraError
        If onnxruntime, which optimises the graph before it is counted, is not installed.
    """
    from mecopt.importing import pieces

    if machine.constants is None:
        raise InputError("holds no constants, expected a file of `mecopt profile --calibrate`", source)
    missing = [kind for kind in operator_kinds.ALL_KINDS if kind not in machine.constants]
    if missing:
        raise InputError(f"constants: {missing[0]} is missing, expected all kinds of operators", source)
    if model.graph is None:
        raise InputError(
            f"{model.model.name}: imported from {model.source.kind}, which has no operators to count"
        )
    onnx_runtime.needed()
    prepared = pieces.prepare(path, dict(model.source.dims))
    blocks, unknown = [], set()
    for m, block in enumerate(model.model.blocks):
        found = operator_kinds.works(onnx_runtime.optimised(pieces.piece(prepared, model, m, m)))
        unknown |= set(operator_kinds.unknown(found))
        start = seconds_of([work for work in found if work.kind == operator_kinds.START], machine.constants)
        whole = seconds_of(found, machine.constants)  # the first block always begins a stretch
        blocks.append(
            profile_document.BlockTimesDoc(
                name=block.name,
                seconds=max(whole - start, 0.0) if m else whole,
                start_seconds=start if m else 0.0,
            )
        )
    notes = [f"an estimate by constants of {machine.hardware}: nothing was run"]
    if unknown:
        notes.append(
            f"operators that are not known are taken for elementwise ones: {', '.join(sorted(unknown))}"
        )
    return profile_document.ProfileDoc(
        format="mecopt-profile/1",
        kind="estimate",
        hardware=ESTIMATE + machine.hardware,
        date=now(),
        mecopt_version=_version.__version__,
        model=profiled(model),
        runtime=machine.runtime,
        machine=machine.machine,
        blocks=blocks,
        whole=profile_document.WholeDoc(
            measured=None, wall_s=None, predicted_s=sum(block.seconds for block in blocks)
        ),
        fit=None,
        steadiness=None,
        stretches=[],
        constants=None,
        notes=notes,
    )
