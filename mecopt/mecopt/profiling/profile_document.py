"""The format mecopt-profile/1: what the blocks of a model take on one kind of hardware."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from mecopt.schema_docs import STRICT, DocumentPart, Name, NonNegative, Positive, Whole

Count = Annotated[int, Whole(ge=0)]


class TimesDoc(DocumentPart):
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


class ProfiledModelDoc(DocumentPart):
    """The model that the profile is of: the identity of its model file, and the SHA-256 of what was run."""

    name: Name
    blocks: Annotated[list[Name], Field(min_length=1)]
    sha256: str
    source_sha256: str | None
    dims: dict[str, int]


class BlockTimesDoc(DocumentPart):
    """A block inside a stretch and at its start; `halves` are the seconds by each half of the run."""

    name: Name
    seconds: NonNegative
    start_seconds: NonNegative
    alone: TimesDoc | None = None
    halves: list[NonNegative] | None = None


class WholeDoc(DocumentPart):
    """The whole network as one piece, measured (none of an estimate) and predicted from its blocks."""

    measured: TimesDoc | None
    wall_s: NonNegative | None
    predicted_s: NonNegative


class SteadinessDoc(DocumentPart):
    """How far the second half of the run differs from the first, as fractions of the smaller."""

    whole: NonNegative
    blocks_median: NonNegative
    limit: NonNegative
    verdict: Literal["steady", "unsteady"]


class FitDoc(DocumentPart):
    """How far the fitted seconds are from the measured ones of stretches, as fractions."""

    whole_error: float
    median_error: NonNegative
    worst_error: NonNegative


class RuntimeDoc(DocumentPart):
    """What ran the blocks, and how."""

    name: Literal["onnxruntime", "torch"]
    version: str
    threads: Annotated[int, Whole(ge=1)]
    pinned_to: list[Count] | None
    idle_ms: NonNegative
    repeat: Count
    clock: Literal["cpu", "wall"]


class MachineDoc(DocumentPart):
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


class KindDoc(DocumentPart):
    """A kind of operator: seconds a call, a multiply-add (or value) and a byte; its error on the kernels."""

    seconds_per_call: NonNegative
    seconds_per_operation: NonNegative
    seconds_per_byte: NonNegative
    kernels: Count
    median_error: NonNegative


class ProfileDoc(DocumentPart):
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
