"""The file formats as pydantic types: what a field may be, and its JSON Schema.

What one field alone can show to be wrong is caught here; what needs two fields is caught in `mecopt.io`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
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
    TypeAdapter,
    ValidationError,
)
from pydantic_core import ErrorDetails, core_schema
from typing_extensions import TypedDict

from mecopt.encoding import not_text, without_mark
from mecopt.errors import SHOWN, InputError, InstanceError, shortened, shown
from mecopt.scalars import plain_numbers

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
MOST_NAME = 60  # characters of a key in the place of a problem


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


class Part(BaseModel):
    """A part of a document: unknown fields, other types and infinities are refused."""

    model_config = STRICT


class SlotsDoc(Part):
    """The horizon."""

    count: Annotated[int, Whole(ge=1, le=10_000_000)]
    seconds: Positive = 1.0


class AnyRulesDoc(Part):
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


class BlockDoc(Part):
    """One block of a model."""

    name: str | None = None
    cycles: NonNegative
    param_bytes: NonNegative = 0.0
    input_bits: NonNegative
    measured_seconds: dict[str, NonNegative] | None = None


class ModelDoc(Part):
    """A DNN as a chain of blocks."""

    name: Name
    output_bits: NonNegative = 0.0
    blocks: Annotated[list[BlockDoc], Field(min_length=1)]


class DeviceDoc(Part):
    """An IoT device."""

    name: Name
    cycles_per_s: Positive
    transmit_power_w: NonNegative = 0.0
    kappa: NonNegative = 1e-26
    compute_power_w: NonNegative | None = None
    energy_budget_j: NonNegative | None = None
    memory_bytes: NonNegative | None = None
    hardware: str | None = None


class ServerDoc(Part):
    """An edge server; its speed is one number or one per slot."""

    name: Name | None = None
    cycles_per_s: PerSlot
    memory_bytes: NonNegative | None = None
    hardware: str | None = None


class LinksDoc(Part):
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
    batch: NotRequired[Annotated[int, Whole(ge=1, le=2**53)]]
    max_delay_s: NotRequired[PerBlock]


class InstanceDoc(Part):
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


class ViolationDoc(Part):
    """A limit that a placement breaks, where, and by how much."""

    kind: Literal["deadline", "link", "energy", "capacity", "memory", "sharing", "one_run", "allow"]
    where: dict[str, Annotated[int, Whole()] | str]
    limit: float | None
    value: float | None


class SolutionDoc(Part):
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


INSTANCE: TypeAdapter[InstanceDoc] = TypeAdapter(InstanceDoc)
SOLUTION: TypeAdapter[SolutionDoc] = TypeAdapter(SolutionDoc)
NAMES = ("instance", "solution")


def json_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of the formats, /1 and /2, of an `instance` or a `solution`."""
    from mecopt.schema_wider import EITHER

    if name not in EITHER:
        raise InputError(f"schema: {name!r}, expected one of {', '.join(NAMES)}")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **EITHER[name].json_schema()}


def parse(adapter: TypeAdapter[Any], data: bytes | Mapping[str, Any]) -> Any:
    """Validate JSON text (UTF-8, with or without a byte-order mark) or plain Python values.

    Raises
    ------
    InstanceError
        With one line for every problem, in the order of the file.
    """
    if not isinstance(data, (bytes, Mapping)):
        raise InstanceError(f"{_short(data)}, expected an object")
    try:
        if isinstance(data, bytes):
            return adapter.validate_json(without_mark(data))
        return adapter.validate_python(dict(data))
    except ValidationError as error:
        details = error.errors(include_url=False)
    except RecursionError:  # of plain values; JSON text has a limit of its own
        raise InstanceError("nested too deeply, expected an object as in a file") from None
    if details[0]["type"] == "json_invalid" and isinstance(data, bytes):
        other = not_text(data)
        if other is not None:
            raise InstanceError(other)
    if isinstance(data, Mapping):  # only now, since the search takes longer than the reading
        try:
            plain = plain_numbers(data)
        except RecursionError:
            plain = data
        if plain is not data:
            return parse(adapter, plain)
    # A file of another format or version breaks many rules; the one that matters is the format.
    wrong_format = [d for d in details if d["loc"] == ("format",)]
    wider = adapter is not INSTANCE and adapter is not SOLUTION
    raise InstanceError(list(_lines(wrong_format or details, wider)))


def parse_instance(data: bytes | Mapping[str, Any]) -> Any:
    """Validate an instance of either format, as `parse` does."""
    return _parse_either(data, FORMS)


def parse_solution(data: bytes | Mapping[str, Any]) -> SolutionDoc:
    """Validate a solution of either format, as `parse` does."""
    found: SolutionDoc = _parse_either(data, SOLUTION_FORMS)
    return found


def _parse_either(data: bytes | Mapping[str, Any], forms: tuple[str, str]) -> Any:
    if isinstance(data, bytes):
        wider = forms[1].encode() in data
    else:
        wider = isinstance(data, Mapping) and data.get("format") == forms[1]
    try:
        return parse(_adapter(forms[wider]), data)
    except InstanceError as error:
        # The text may stand elsewhere in a file, or its slash be written as an escape.
        if not any(line.startswith(f"format: '{forms[not wider]}'") for line in error.problems):
            raise
    return parse(_adapter(forms[not wider]), data)


def _adapter(form: str) -> TypeAdapter[Any]:
    if form in (FORMS[0], SOLUTION_FORMS[0]):
        return INSTANCE if form == FORMS[0] else SOLUTION
    from mecopt.schema_wider import WIDER_INSTANCE, WIDER_SOLUTION

    return WIDER_INSTANCE if form == FORMS[1] else WIDER_SOLUTION


def _lines(details: list[ErrorDetails], wider: bool) -> Iterator[str]:
    for i, detail in enumerate(details):
        place = where(detail["loc"])
        text = _expectation(detail, wider, offer=i < SHOWN)
        yield f"{place}: {text}" if place else text


def where(path: tuple[int | str, ...]) -> str:
    """Write a path as people do: ``tasks[3].rate_bps[1]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part not in TAGS:
            name = shortened(part, MOST_NAME)
            name = name if name.isprintable() else repr(name)
            text += f".{name}" if text else name
    return text


def _expectation(detail: ErrorDetails, wider: bool, *, offer: bool) -> str:
    """Say what was expected; `offer` a known field in place of an unknown one, which takes a while."""
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "missing":
        return "missing"
    if kind == "extra_forbidden":
        if not offer:
            return "unknown field"
        return f"unknown field{_of_wider(detail['loc']) or _nearest(detail['loc'], wider)}"
    if detail["loc"] == ("format",) and kind == "literal_error":
        forms = FORMS if context["expected"].strip("'") in FORMS else SOLUTION_FORMS
        return f"{_short(given)}, expected {' or '.join(map(repr, forms))}"
    if kind == "json_invalid":
        reason = context["error"].replace("unexpected ", "")  # a word for mistakes of mecopt's own
        return f"not JSON: {reason}"
    expected = {
        "float_type": "a number",
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "int_parsing_size": "a smaller whole number",
        "bool_type": "true or false",
        "string_type": "a text",
        "string_too_short": "a text that is not empty",
        "list_type": "a list",
        "dict_type": "an object",
        "model_type": "an object",
        "model_attributes_type": "an object",
        "finite_number": "a finite number",
        "greater_than_equal": f"a number >= {context.get('ge', 0):g}",
        "greater_than": f"a number > {context.get('gt', 0):g}",
        "less_than_equal": f"a number <= {context.get('le')}",
        "less_than": f"a number < {context.get('lt')}",
        "too_short": f"at least {context.get('min_length')}",
        "literal_error": f"{context.get('expected')}{BESIDE.get(str(detail['loc'][-1]), '')}",
    }.get(kind)
    if kind == "too_short":
        return f"{context.get('actual_length')} given, expected at least {context.get('min_length')}"
    return f"{_short(given)}, expected {expected}" if expected else f"{_short(given)}: {detail['msg']}"


def _short(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else f"a list of {len(value)}"
    text = shown(value)
    return {"None": "null", "True": "true", "False": "false"}.get(text, text)


def _of_wider(path: tuple[int | str, ...]) -> str:
    """Say that a field belongs to the wider format."""
    from mecopt.schema_wider import wider_form

    forms = wider_form(tuple(part for part in path if isinstance(part, str) and part not in TAGS))
    return f" of {forms[0]}, it is one of {forms[1]}" if forms else ""


def _nearest(path: tuple[int | str, ...], wider: bool) -> str:
    """Offer the known field nearest to an unknown one."""
    known = _names()
    if wider:
        from mecopt.schema_wider import names

        known |= names()
    match = difflib.get_close_matches(shortened(str(path[-1]), MOST_NAME), sorted(known), n=1)
    return f", did you mean {match[0]!r}?" if match and path[-1] not in known else ""


def _names() -> set[str]:
    docs = (InstanceDoc, SlotsDoc, RulesDoc, BlockDoc, ModelDoc, DeviceDoc, ServerDoc, LinksDoc, SolutionDoc)
    return {name for doc in docs for name in doc.model_fields} | set(TaskDoc.__annotations__)
