"""The format mecopt-profile/1: what the blocks of a model take on one kind of hardware."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from mecopt.errors import InputError, InstanceError
from mecopt.hardware import ESTIMATE
from mecopt.schema_docs import STRICT, Name, NonNegative, Part, Positive, Whole

Count = Annotated[int, Whole(ge=0)]


class TimesDoc(Part):
    """Seconds of runs: the first apart, the median and the quartiles of those that count."""

    warm_up_s: NonNegative
    median_s: NonNegative
    lower_quartile_s: NonNegative
    upper_quartile_s: NonNegative
    count: Count


class StretchDoc(TimesDoc):
    """The times of a stretch of blocks, 0-based, the last one in it."""

    first: Count
    last: Count


class ProfiledModelDoc(Part):
    """The model that the profile is of: the identity of its model file, and the SHA-256 of what was run."""

    name: Name
    blocks: Annotated[list[Name], Field(min_length=1)]
    sha256: str
    source_sha256: str | None
    dims: dict[str, int]


class BlockTimesDoc(Part):
    """A block inside a stretch and at its start; `halves` are the seconds by each half of the run."""

    name: Name
    seconds: NonNegative
    start_seconds: NonNegative
    alone: TimesDoc | None = None
    halves: list[NonNegative] | None = None


class WholeDoc(Part):
    """The whole network as one piece, measured (none of an estimate) and predicted from its blocks."""

    measured: TimesDoc | None
    wall_s: NonNegative | None
    predicted_s: NonNegative


class SteadinessDoc(Part):
    """How far the second half of the run differs from the first, as fractions of the smaller."""

    whole: NonNegative
    blocks_median: NonNegative
    limit: NonNegative
    verdict: Literal["steady", "unsteady"]


class FitDoc(Part):
    """How far the fitted seconds are from the measured ones of stretches, as fractions."""

    whole_error: float
    median_error: NonNegative
    worst_error: NonNegative


class RuntimeDoc(Part):
    """What ran the blocks, and how."""

    name: Literal["onnxruntime", "torch"]
    version: str
    threads: Annotated[int, Whole(ge=1)]
    pinned_to: list[Count] | None
    idle_ms: NonNegative
    repeat: Count
    clock: Literal["cpu", "wall"]


class MachineDoc(Part):
    """The machine and how busy it was: its load a core (none where the system does not tell)."""

    cpu_model: str
    cores: Annotated[int, Whole(ge=1)]
    memory_bytes: Positive
    platform: str
    python: str
    versions: dict[str, str]
    governor: str | None
    load_before: NonNegative | None
    load_after: NonNegative | None


class KindDoc(Part):
    """A kind of operator: seconds a call, a multiply-add (or value) and a byte; its error on the kernels."""

    seconds_per_call: NonNegative
    seconds_per_operation: NonNegative
    seconds_per_byte: NonNegative
    kernels: Count
    median_error: NonNegative


class ProfileDoc(Part):
    """A profile file: of a model, measured or estimated, or (`constants`) of a machine alone."""

    model_config = ConfigDict(**STRICT, title="mecopt-profile/1")

    format: Literal["mecopt-profile/1"]
    kind: Literal["measured", "estimate", "constants"]
    hardware: Name
    date: str
    mecopt_version: str
    model: ProfiledModelDoc | None
    runtime: RuntimeDoc
    machine: MachineDoc
    blocks: list[BlockTimesDoc]
    whole: WholeDoc | None
    fit: FitDoc | None
    steadiness: SteadinessDoc | None
    stretches: list[StretchDoc]
    constants: dict[str, KindDoc] | None
    notes: list[str]


PROFILE: TypeAdapter[ProfileDoc] = TypeAdapter(ProfileDoc)
FORM = "mecopt-profile/1"


def load(path: str | os.PathLike[str]) -> ProfileDoc:
    """Read a profile file.

    Raises
    ------
    InputError
        With one line for every problem.
    """
    from mecopt import schema
    from mecopt.files import read_bytes

    data = read_bytes(path)
    try:
        found: ProfileDoc = schema.parse(PROFILE, data)
    except InstanceError as error:
        raise InputError(error.problems, str(path)) from None
    problems = list(_problems(found))
    if problems:
        raise InputError(problems, str(path))
    return found


def _problems(doc: ProfileDoc) -> list[str]:
    """Return what only several fields together can show to be wrong."""
    if (doc.kind == "constants") != (doc.constants is not None):
        return [f"constants: expected them with kind 'constants', and only there, kind is {doc.kind!r}"]
    if (doc.kind == "constants") != (doc.model is None):
        return [f"model: expected one, and none with kind 'constants', kind is {doc.kind!r}"]
    names = [] if doc.model is None else doc.model.blocks
    if [block.name for block in doc.blocks] != names:
        return [f"blocks: {len(doc.blocks)} given, expected the {len(names)} of model.blocks by their names"]
    if doc.kind == "estimate" and not doc.hardware.startswith(ESTIMATE):
        return [f"hardware: {doc.hardware!r}, expected {ESTIMATE!r} in front of what was not measured"]
    return []


def text(doc: ProfileDoc) -> bytes:
    """Return a profile as the bytes of its file."""
    import json

    plain: Any = doc.model_dump()
    return (json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
