"""The file formats as pydantic types: what a field may be, and its JSON Schema.

What one field alone can show to be wrong is caught here; what needs two fields is caught in `mecopt.io`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
)
from pydantic_core import core_schema
from typing_extensions import TypedDict

from mecopt.scalars import EXACT

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


@dataclass(frozen=True)
class Whole:
    """A whole number, which may be written as 1.0 or 1e2, as JSON Schema's "integer" may.

    All of it runs in pydantic's core: a validator in Python would be called for every task.
    """

    ge: int | None = None
    le: int | None = None
    lt: int | None = None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        number = core_schema.union_schema(
            [core_schema.int_schema(strict=True), core_schema.float_schema(strict=True, allow_inf_nan=False)],
            mode="left_to_right",
            custom_error_type="int_type",
        )
        return core_schema.chain_schema([number, self._bounded()])

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(self._bounded())

    def _bounded(self) -> core_schema.CoreSchema:
        return core_schema.int_schema(strict=False, ge=self.ge, le=self.le, lt=self.lt)


NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Name = Annotated[str, Field(min_length=1)]
Index = Annotated[int, Whole(ge=0, lt=2**31)]


FORMS = ("mecopt-instance/1", "mecopt-instance/2")
SOLUTION_FORMS = ("mecopt-solution/1", "mecopt-solution/2")
TAGS = ("#number", "#list", "#matrix", "#name", "#weights", "#all", *FORMS, *SOLUTION_FORMS)

# What may stand beside the words of a field, by the tag of these.
BESIDE = {"#all": " or a list", "#name": ' or {"delay": a, "energy": b}'}


def _depth(value: Any) -> str:
    """Tag a value by its nesting, so that an error speaks of the form that was meant."""
    return "#list" if isinstance(value, list) else "#number"


Depth = Discriminator(_depth)
PerSlot = Annotated[Annotated[Positive, Tag("#number")] | Annotated[list[Positive], Tag("#list")], Depth]
PerServer = Annotated[
    Annotated[NonNegative, Tag("#number")] | Annotated[list[NonNegative], Tag("#list")], Depth
]
PerPair = Annotated[
    Annotated[NonNegative, Tag("#number")] | Annotated[list[list[NonNegative]], Tag("#matrix")],
    Discriminator(lambda value: "#matrix" if isinstance(value, list) else "#number"),
]
PerBlock = Annotated[
    Annotated[NonNegative | None, Tag("#number")] | Annotated[list[NonNegative | None], Tag("#list")], Depth
]


class DocumentPart(BaseModel):
    """A part of a document: unknown fields, other types and infinities are refused."""

    model_config = STRICT


class SlotsDoc(DocumentPart):
    """The horizon."""

    count: Annotated[int, Whole(ge=1, le=10_000_000)]
    seconds: Positive = 1.0


class AnyRulesDoc(DocumentPart):
    """A preset, with single switches set by name beside it."""

    preset: Literal["paper", "physical"] = "paper"
    return_transfer: bool | None = None
    hop_energy: bool | None = None
    return_result: bool | None = None
    deadline: Literal["hard", "soft", "none"] = "hard"
    deadline_penalty: NonNegative = 1.0


class RulesDoc(AnyRulesDoc):
    """Rules, with the couplings of the first format."""

    couplings: list[Literal["energy", "capacity", "memory"]] = []


class BlockDoc(DocumentPart):
    """One block of a model."""

    name: str | None = None
    cycles: NonNegative
    param_bytes: NonNegative = 0.0
    input_bits: NonNegative
    measured_seconds: dict[str, NonNegative] | None = None


class ModelDoc(DocumentPart):
    """A DNN as a chain of blocks."""

    name: Name
    output_bits: NonNegative = 0.0
    blocks: Annotated[list[BlockDoc], Field(min_length=1)]


class DeviceDoc(DocumentPart):
    """An IoT device."""

    name: Name
    cycles_per_s: Positive
    transmit_power_w: NonNegative = 0.0
    kappa: NonNegative = 1e-26
    compute_power_w: NonNegative | None = None
    energy_budget_j: NonNegative | None = None
    memory_bytes: NonNegative | None = None
    hardware: str | None = None


class ServerDoc(DocumentPart):
    """An edge server; its speed is one number or one per slot."""

    name: Name | None = None
    cycles_per_s: PerSlot
    memory_bytes: NonNegative | None = None
    hardware: str | None = None


class LinksDoc(DocumentPart):
    """Links between servers, and latencies."""

    server_bps: PerPair | None = None
    server_latency_s: PerPair = 0.0
    device_latency_s: PerServer = 0.0


class TaskDoc(TypedDict):
    """A task; a TypedDict, because there may be tens of thousands."""

    __pydantic_config__ = STRICT  # type: ignore[misc]
    slot: Index
    device: str
    model: str
    rate_bps: list[NonNegative]
    batch: NotRequired[Annotated[int, Whole(ge=1, le=EXACT)]]
    max_delay_s: NotRequired[PerBlock]


class InstanceDoc(DocumentPart):
    """An instance file of format mecopt-instance/1."""

    model_config = ConfigDict(**STRICT, title="mecopt-instance/1")

    format: Literal["mecopt-instance/1"]
    name: str = "unnamed"
    description: str | None = None
    origin: dict[str, Any] | None = None
    slots: SlotsDoc
    rules: RulesDoc = RulesDoc()
    models: Annotated[list[ModelDoc], Field(min_length=1)]
    devices: Annotated[list[DeviceDoc], Field(min_length=1)]
    servers: Annotated[list[ServerDoc], Field(min_length=1)]
    links: LinksDoc = LinksDoc()
    tasks: Annotated[list[TaskDoc], Field(min_length=1)]


class ViolationDoc(DocumentPart):
    """A limit that a placement breaks, where, and by how much."""

    kind: Literal["deadline", "link", "energy", "capacity", "memory", "sharing", "one_run", "allow"]
    where: dict[str, Annotated[int, Whole()] | str]
    limit: float | None
    value: float | None


class SolutionDoc(DocumentPart):
    """A solution file of format mecopt-solution/1.

    mecopt writes every field of the format; to have a placement judged, `format` and `placement` are enough.
    """

    model_config = ConfigDict(**STRICT, title="mecopt-solution/1")

    format: Literal["mecopt-solution/1"]
    instance: str | None = None
    instance_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    method: str | None = None
    mecopt_version: str | None = None
    seed: Annotated[int, Whole()] | None = None
    options: dict[str, Any] = {}
    status: Literal["optimal", "feasible", "violating", "infeasible", "unknown"] | None = None
    stopped_by: Literal["gap", "time", "iterations", "interrupt"] | None = None
    objective: float | None = None
    lower_bound: float | None = None
    gap: float | None = None
    optimality_tolerance: float | None = None
    total_delay_s: float | None = None
    edge_delay_s: float | None = None
    local_delay_s: float | None = None
    deadline_excess_s: float | None = None
    energy_j: float | None = None
    device_energy_j: dict[str, float | None] | None = None
    violations: list[ViolationDoc] = []
    reasons: list[dict[str, Any]] = []
    repairs: Annotated[int, Whole()] = 0
    runtime_s: float | None = None
    trace: list[Annotated[list[float | None], Field(min_length=3, max_length=3)]] = []
    placement: list[list[Annotated[int, Whole()]]] | None
