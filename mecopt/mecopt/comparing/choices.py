"""The methods of a comparison, read from what the caller gives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mecopt import registry
from mecopt.comparing.carried import Carried
from mecopt.errors import InputError, shown
from mecopt.own import MethodLike, find, method_file, method_of
from mecopt.registry import Method
from mecopt.scalars import without_numpy

MethodChoice = MethodLike | tuple[MethodLike, Mapping[str, Any]]
MethodChoices = MethodChoice | Iterable[MethodChoice] | Mapping[str, MethodChoice]

EXPECTED = (
    "a name, 'name=FILE', file.py:NAME, a Method, a function, or a pair of one of these and its options"
)


@dataclass(frozen=True)
class Choice:
    """A method with the options that it gets; `files` has the SHA-256 of every file that they name."""

    carried: Carried
    options: Mapping[str, Any]
    random: bool
    files: Mapping[str, str]

    @property
    def name(self) -> str:
        """What the method is called in the table."""
        return self.carried.name

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of what makes its runs what they are, besides the options: code, and policy files."""
        text = json.dumps([self.carried.code, sorted(self.files.items())])
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()

    @cached_property
    def options_text(self) -> str:
        """The options as JSON text, the same for the same options."""
        return json.dumps(dict(self.options), sort_keys=True, ensure_ascii=False, allow_nan=False)


def listed(methods: MethodChoices) -> list[tuple[str | None, MethodChoice]]:
    """Return methods with the names that they are given, None for their own.

    Raises
    ------
    InputError
        If they are no methods, or a name is no text.
    """
    if isinstance(methods, Mapping):
        return [(_name(name), method) for name, method in methods.items()]
    if isinstance(methods, (str, Method)) or callable(methods) or _with_options(methods):
        return [_named_in_text(methods)]
    if not isinstance(methods, Iterable):
        raise InputError(f"methods: {shown(methods)}, expected {EXPECTED}")
    return [_named_in_text(method) for method in methods]


def _named_in_text(given: Any) -> tuple[str | None, Any]:
    """Split ``name=file.py:NAME``; what follows any other name is a policy."""
    if isinstance(given, str):
        name, equals, text = given.partition("=")
        if equals and method_file.names_a_file(text) and not method_file.names_a_file(name):
            return _name(name), text
    return None, given


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"methods: the name {shown(name)}, expected a text")
    return name.strip()


def _with_options(given: Any) -> bool:
    return isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], Mapping)


def chosen(name: str | None, given: Any) -> Choice:
    """Read one method, with the name that it is given, if it is.

    Raises
    ------
    InputError
        If there is none, it has no such options, or a file of these cannot be read.
    """
    options: dict[str, Any] = {}
    if isinstance(given, str):
        given, equals, path = given.partition("=")
        given, options = given.strip(), {"policy": path} if equals else {}
    elif _with_options(given):
        given, options = given[0], without_numpy(dict(given[1]))
    if not isinstance(given, (str, Method)) and not callable(given):
        raise InputError(f"methods: {shown(given)}, expected {EXPECTED}")
    found = find(given, name)
    method = found.method
    registry.check_options(method, options)
    try:
        json.dumps(options, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"options of {method.name}: {error}, expected plain values") from None
    read = {
        value: hashlib.sha256(_file_bytes(method.name, option, value)).hexdigest()
        for option, value in options.items()
        if isinstance(value, str) and (option == "policy" or Path(value).is_file())
    }
    return Choice(Carried.of(found), options, method.random, read)


def _file_bytes(method: str, option: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{option} of {method}: {path!r} cannot be read ({reason})") from None


def distinct(methods: Iterable[Choice]) -> tuple[Choice, ...]:
    """Keep each method once with the same options; two that differ need names that differ.

    Raises
    ------
    InputError
        If there are none, or two that differ share a name.
    """
    kept: dict[tuple[str, str], Choice] = {}
    code: dict[str, str] = {}
    for method in methods:
        if code.setdefault(method.name, method.carried.code) != method.carried.code:
            raise InputError(
                f"two different methods are named {method.name!r}, expected a name for each: "
                "{'mine': method} in Python, mine=file.py:NAME on the command line"
            )
        kept.setdefault((method.name, method.options_text), method)
    if not kept:
        raise InputError("methods: none, expected at least one")
    return tuple(kept.values())


def typed(given: Any) -> str:
    """Return a method as it is typed, as far as it can be."""
    if _with_options(given):
        return f"{_named(given[0])}{dict(given[1]) or ''}"
    return _named(given)


def _named(method: Any) -> str:
    return method if isinstance(method, str) else method_of(method).name
