"""Constants of a machine by kind of operator, from small kernels: what an estimate is made with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import numpy as np

from mecopt import _version
from mecopt.arrays import Floats
from mecopt.profiling import onnx_runtime, operator_kinds, profile_document, surroundings
from mecopt.profiling.divisions import division
from mecopt.profiling.fitting import nnls
from mecopt.profiling.kernels import Kernel, kernels
from mecopt.profiling.measuring import now
from mecopt.profiling.operator_kinds import ALL_KINDS, START, OperatorWork
from mecopt.profiling.timing import Piece, time_divisions

CALLS = 2  # constants of a call: of an operator of any kind, and of a piece
TERMS = 2  # constants of each kind: an operation, a byte


def calibrate(hardware: str, *, threads: int = 1, repeat: int = 7) -> profile_document.ProfileDoc:
    """Measure the constants of this machine.

    All kernels are run one after the other, again and again, so that each finds the caches as an operator in
    a network does: filled by others.

    Parameters
    ----------
    hardware : str
    threads : int
    repeat : int

    Raises
    ------
    InputError
        If there are fewer cores.
    MissingExtraError
        If onnxruntime is not installed.
    """
    onnx_runtime.needed()
    load = surroundings.load_per_core()
    clock_name, clock = surroundings.clock(threads)
    known = list(kernels())
    with surroundings.pinned(threads) as cores:
        pieces: list[Piece] = [_Own(kernel, threads) for kernel in known]
        stretches = division(len(known), list(range(len(known))))
        (times,) = time_divisions([(stretches, pieces)], {}, repeat=repeat, idle_s=0.0, clock=clock)
    seconds = np.array([t.median_s for t in times])
    constants = fitted(
        known, [operator_kinds.works(onnx_runtime.optimised(kernel.proto)) for kernel in known], seconds
    )
    return profile_document.ProfileDoc(
        format="mecopt-profile/1",
        kind="constants",
        hardware=hardware,
        date=now(),
        mecopt_version=_version.__version__,
        model=None,
        runtime=profile_document.RuntimeDoc(
            name="onnxruntime",
            version=surroundings.version("onnxruntime") or "",
            threads=threads,
            pinned_to=cores,
            idle_ms=0.0,
            repeat=repeat,
            clock=cast("Literal['cpu', 'wall']", clock_name),
        ),
        machine=surroundings.machine(cores, load),
        blocks=[],
        whole=None,
        fit=None,
        steadiness=None,
        stretches=[],
        constants=constants,
        notes=[],
    )


class _Own:
    """A kernel with an input of its own."""

    outputs: tuple[str, ...] = ()

    def __init__(self, kernel: Kernel, threads: int) -> None:
        self._session = onnx_runtime.Session(kernel.proto, threads)
        self._values = onnx_runtime.made_up(kernel.proto, self._session.inputs, 1)

    def run(self, values: dict[str, object]) -> Sequence[object]:
        self._session.run(self._values)
        return ()


def fitted(
    known: Sequence[Kernel], works: Sequence[Sequence[OperatorWork]], seconds: Floats
) -> dict[str, profile_document.KindDoc]:
    """Return the constants of all kinds that explain the seconds of kernels best, by relative errors.

    Parameters
    ----------
    known : sequence of Kernel, of length K
    works : sequence of sequences of Work, of length K
    seconds : (K,)
    """
    rows = np.array([_terms(work) for work in works])
    found = nnls(rows / seconds[:, None], np.ones(len(known)))
    errors = np.abs(rows @ found / seconds - 1.0)
    constants = {}
    for i, kind in enumerate(ALL_KINDS):
        mine = [error for error, kernel in zip(errors.tolist(), known, strict=True) if kernel.kind == kind]
        operation, byte = found[CALLS + TERMS * i : CALLS + TERMS * (i + 1)].tolist()
        constants[kind] = profile_document.KindDoc(
            seconds_per_call=float(found[int(kind == START)]),
            seconds_per_operation=operation,
            seconds_per_byte=byte,
            kernels=len(mine),
            median_error=float(np.median(mine)) if mine else 0.0,
        )
    return constants


def seconds_of(works: Sequence[OperatorWork], constants: Mapping[str, profile_document.KindDoc]) -> float:
    """Return what operators take by the constants of their kinds."""
    return sum(
        constants[work.kind].seconds_per_call
        + work.operations * constants[work.kind].seconds_per_operation
        + work.moved_bytes * constants[work.kind].seconds_per_byte
        for work in works
    )


def _terms(works: Sequence[OperatorWork]) -> Floats:
    """Return calls of operators and of pieces, then operations and bytes of every kind, (2 + 2 kinds,)."""
    row = np.zeros(CALLS + TERMS * len(ALL_KINDS))
    for work in works:
        at = CALLS + TERMS * ALL_KINDS.index(work.kind)
        row[int(work.kind == START)] += 1.0
        row[at : at + TERMS] += (work.operations, work.moved_bytes)
    return row
