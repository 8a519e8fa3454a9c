"""The file formats: reading documents, saying what is wrong with them.

What one field alone can show to be wrong is caught here; what needs two fields is caught in `mecopt.io`. What
the documents are is in `mecopt.schema_docs` and, of the wider format, in `mecopt.schema_wider`; their JSON
Schemas are in `mecopt.json_schemas`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from mecopt.encoding import not_text, without_mark
from mecopt.errors import SHOWN, InstanceError, shortened, shown
from mecopt.scalars import plain_numbers
from mecopt.schema_docs import (
    BESIDE,
    FORMS,
    SOLUTION_FORMS,
    TAGS,
    InstanceDoc,
    SolutionDoc,
)

MOST_NAME = 60  # characters of a key in the place of a problem


INSTANCE: TypeAdapter[InstanceDoc] = TypeAdapter(InstanceDoc)
SOLUTION: TypeAdapter[SolutionDoc] = TypeAdapter(SolutionDoc)


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
    raise InstanceError(list(_lines(wrong_format or details, adapter)))


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


def _lines(details: list[ErrorDetails], adapter: TypeAdapter[Any]) -> Iterator[str]:
    for i, detail in enumerate(details):
        place = where(detail["loc"], field=detail["type"] == "extra_forbidden")
        text = _expectation(detail, adapter, offer=i < SHOWN)
        yield f"{place}: {text}" if place else text


def where(path: tuple[int | str, ...], *, field: bool = False) -> str:
    """Write a path as people do: ``tasks[3].rate_bps[1]``; a `field` at its end may be called as a tag."""
    text = ""
    for i, part in enumerate(path, 1):
        if isinstance(part, int):
            text += f"[{part}]"
        elif part not in TAGS or (field and i == len(path)):
            name = shortened(part, MOST_NAME)
            name = name if name.isprintable() else repr(name)
            text += f".{name}" if text else name
    return text


def _expectation(detail: ErrorDetails, adapter: TypeAdapter[Any], *, offer: bool) -> str:
    """Say what was expected; `offer` a known field in place of an unknown one, which takes a while."""
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "missing":
        return "missing"
    if kind == "extra_forbidden":
        if not offer:
            return "unknown field"
        return f"unknown field{_of_wider(detail['loc'], adapter) or _nearest(detail['loc'], adapter)}"
    if detail["loc"] == ("format",) and kind == "literal_error":
        form = context["expected"].strip("'")
        forms = next((pair for pair in (FORMS, SOLUTION_FORMS) if form in pair), (form,))
        return f"{_short(given)}, expected {' or '.join(map(repr, forms))}"
    if kind == "json_invalid":
        reason = context["error"].replace("unexpected ", "")  # a word for mistakes of mecopt's own
        return f"not JSON: {reason}"
    beside = BESIDE.get(str(detail["loc"][-1]), "") if detail["loc"] else ""
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
        "literal_error": f"{context.get('expected')}{beside}",
    }.get(kind)
    if kind == "too_short":
        return f"{context.get('actual_length')} given, expected at least {context.get('min_length')}"
    return f"{_short(given)}, expected {expected}" if expected else f"{_short(given)}: {detail['msg']}"


def _short(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else f"a list of {len(value)}"
    text = shown(value)
    return {"None": "null", "True": "true", "False": "false"}.get(text, text)


def _of_wider(path: tuple[int | str, ...], adapter: TypeAdapter[Any]) -> str:
    """Say that a field belongs to the wider format."""
    if adapter is not INSTANCE and adapter is not SOLUTION:
        return ""
    forms = FORMS if adapter is INSTANCE else SOLUTION_FORMS
    known = path[-1] in fields(_adapter(forms[1]), _named(path[:-1]))
    return f" of {forms[0]}, it is one of {forms[1]}" if known else ""


def _nearest(path: tuple[int | str, ...], adapter: TypeAdapter[Any]) -> str:
    """Offer the field of that object that is nearest to an unknown one."""
    known = sorted(fields(adapter, _named(path[:-1])))
    match = difflib.get_close_matches(shortened(str(path[-1]), MOST_NAME), known, n=1)
    return f", did you mean {match[0]!r}?" if match else ""


def _named(path: tuple[int | str, ...]) -> tuple[str, ...]:
    return tuple(part for part in path if isinstance(part, str) and part not in TAGS)


@cache
def fields(adapter: TypeAdapter[Any], place: tuple[str, ...]) -> frozenset[str]:
    """Return the names of the fields of the objects at a place, the names of fields on the way to it."""
    schema = adapter.json_schema()
    found = list(_objects(schema, schema))
    for name in place:
        inside = [one["properties"][name] for one in found if name in one.get("properties", {})]
        found = [one for part in inside for one in _objects(part, schema)]
    return frozenset(name for one in found for name in one.get("properties", {}))


def _objects(part: Any, schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Go through what a part of a JSON Schema may be, into lists, down to objects."""
    if not isinstance(part, Mapping):
        return
    if "$ref" in part:
        part = schema["$defs"][part["$ref"].rpartition("/")[2]]
    if "properties" in part:
        yield part
    for choice in (*part.get("anyOf", ()), *part.get("oneOf", ()), part.get("items")):
        yield from _objects(choice, schema)
