"""The formats mecopt-instance/2 and mecopt-solution/2 as pydantic types: what `schema_docs` has, and more.

A module of its own, since most files are of the first format and reading those must not wait for this one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Discriminator, Field, Tag, TypeAdapter

from mecopt.scalars import EXACT
from mecopt.schema_docs import (
    STRICT,
    AnyRulesDoc,
    Depth,
    DeviceDoc,
    DocumentPart,
    Index,
    InstanceDoc,
    LinksDoc,
    Name,
    NonNegative,
    PerBlock,
    PerSlot,
    Positive,
    ServerDoc,
    SlotsDoc,
    SolutionDoc,
    TaskDoc,
    Whole,
)

PerPhase = Annotated[
    Annotated[NonNegative, Tag("#number")]
    | Annotated[Annotated[list[NonNegative], Field(min_length=1)], Tag("#list")],
    Depth,
]
BlockName = Annotated[
    Annotated[str, Tag("#name")] | Annotated[Index, Tag("#number")],
    Discriminator(lambda value: "#name" if isinstance(value, str) else "#number"),
]
Which = Discriminator(lambda value: "#list" if isinstance(value, list) else "#all")
All = Annotated[Literal["all"], Tag("#all")]


class ObjectiveDoc(DocumentPart):
    """A weighted objective: a second of delay and a joule, and whose joules."""

    delay: NonNegative = 0.0
    energy: NonNegative = 0.0
    of: Literal["devices", "all"] = "devices"


class WiderRulesDoc(AnyRulesDoc):
    """Rules, with an objective, stretches and sharing."""

    couplings: list[Literal["energy", "capacity", "memory", "sharing"]] = Field(default_factory=list)
    objective: Annotated[
        Annotated[Literal["delay", "period"], Tag("#name")] | Annotated[ObjectiveDoc, Tag("#weights")],
        Discriminator(lambda value: "#weights" if isinstance(value, dict) else "#name"),
    ] = "delay"
    one_run: Literal["none", "servers", "all"] = "none"
    sharing: Literal["mm1", "affine"] | None = None


class WiderBlockDoc(DocumentPart):
    """One block of a model; what is `PerPhase` may be one value for each phase."""

    name: str | None = None
    cycles: PerPhase | None = None
    param_bytes: NonNegative = 0.0
    input_bits: PerPhase
    measured_seconds: dict[str, PerPhase] | None = None
    read_bytes: PerPhase | None = None
    state_read_bytes: PerPhase = 0.0
    start_seconds: dict[str, NonNegative] | None = None
    state_bytes: NonNegative = 0.0


class PhaseDoc(DocumentPart):
    """A way in which a request passes the chain, so many times."""

    name: Name
    repeat: Annotated[int, Whole(ge=1, le=EXACT)] = 1


class SharedParamsDoc(DocumentPart):
    """Parameters that several blocks use and a node holds once."""

    name: Name
    bytes: NonNegative
    blocks: Annotated[list[BlockName], Field(min_length=1)]


class WiderModelDoc(DocumentPart):
    """A DNN as a chain of blocks, passed in phases."""

    name: Name
    output_bits: PerPhase = 0.0
    phases: Annotated[list[PhaseDoc], Field(min_length=1)] | None = None
    shared_params: list[SharedParamsDoc] | None = None
    blocks: Annotated[list[WiderBlockDoc], Field(min_length=1)]


class WiderDeviceDoc(DeviceDoc):
    """An IoT device that may read memory at a known rate."""

    cycles_per_s: Positive | None = None  # type: ignore[assignment]
    memory_bytes_per_s: Positive | None = None
    calc_spread: NonNegative = 0.0


class WiderServerDoc(ServerDoc):
    """An edge server that may read memory at a known rate, and take power."""

    cycles_per_s: PerSlot | None = None  # type: ignore[assignment]
    memory_bytes_per_s: Positive | None = None
    compute_power_w: NonNegative | None = None
    calc_spread: NonNegative = 0.0


class WiderTaskDoc(TaskDoc):
    """A task, with limits and worth of its own."""

    __pydantic_config__ = STRICT  # type: ignore[misc]
    max_total_delay_s: NotRequired[PerBlock]
    down_rate_bps: NotRequired[list[NonNegative] | None]
    weight: NotRequired[Positive]
    drop_cost: NotRequired[NonNegative | None]


class AllowDoc(DocumentPart):
    """Blocks of tasks that run on some nodes only."""

    tasks: Annotated[All | Annotated[Annotated[list[Index], Field(min_length=1)], Tag("#list")], Which]
    blocks: Annotated[All | Annotated[Annotated[list[BlockName], Field(min_length=1)], Tag("#list")], Which]
    nodes: Annotated[list[Name], Field(min_length=1)]


class WiderInstanceDoc(DocumentPart):
    """An instance file of format mecopt-instance/2: all of the first format, and more."""

    model_config = ConfigDict(**STRICT, title="mecopt-instance/2")

    format: Literal["mecopt-instance/2"]
    name: str = "unnamed"
    description: str | None = None
    origin: dict[str, Any] | None = None
    slots: SlotsDoc
    rules: WiderRulesDoc = WiderRulesDoc()
    models: Annotated[list[WiderModelDoc], Field(min_length=1)]
    devices: Annotated[list[WiderDeviceDoc], Field(min_length=1)]
    servers: Annotated[list[WiderServerDoc], Field(min_length=1)]
    links: LinksDoc = LinksDoc()
    allow: list[AllowDoc] | None = None
    tasks: Annotated[list[WiderTaskDoc], Field(min_length=1)]


class TermsDoc(DocumentPart):
    """What the objective is made of, each term weighed, so that they add up."""

    delay: float | None
    energy: float | None
    period: float | None
    penalties: float | None


class ScheduledBlockDoc(DocumentPart):
    """When a block calculates, in seconds since the task's release; its transfer lies before."""

    block: str
    node: str
    start_s: float | None
    end_s: float | None


class ScheduledPhaseDoc(DocumentPart):
    """A phase of a task: the seconds of all its passes, and the blocks of the first of them."""

    phase: str
    repeat: Annotated[int, Whole(ge=1)]
    delay_s: float | None
    blocks: list[ScheduledBlockDoc]


class ScheduledTaskDoc(DocumentPart):
    """The phases of a task; none where it is left out."""

    task: Index
    phases: list[ScheduledPhaseDoc]


class WiderSolutionDoc(SolutionDoc):
    """A solution file of format mecopt-solution/2: all of the first format, and more."""

    model_config = ConfigDict(**STRICT, title="mecopt-solution/2")

    format: Literal["mecopt-solution/2"]  # type: ignore[assignment]
    objective_terms: TermsDoc | None = None
    dropped: Annotated[int, Whole(ge=0)] | None = None
    phase_delay_s: dict[str, float | None] | None = None
    nodes: list[str] | None = None
    schedule: list[ScheduledTaskDoc] | None = None


WIDER_INSTANCE: TypeAdapter[WiderInstanceDoc] = TypeAdapter(WiderInstanceDoc)
WIDER_SOLUTION: TypeAdapter[WiderSolutionDoc] = TypeAdapter(WiderSolutionDoc)
EITHER: dict[str, TypeAdapter[Any]] = {
    "instance": TypeAdapter(Annotated[InstanceDoc | WiderInstanceDoc, Field(discriminator="format")]),
    "solution": TypeAdapter(Annotated[SolutionDoc | WiderSolutionDoc, Field(discriminator="format")]),
}
