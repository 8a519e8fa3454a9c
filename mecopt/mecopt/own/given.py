"""What a caller gives for a method, turned into the `Method` that it stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from mecopt import registry
from mecopt.errors import InputError, shown
from mecopt.own import method_file
from mecopt.own.functions import as_method
from mecopt.registry import Method

MethodLike = str | Method | Callable[..., Any]
"""A registered name, ``file.py:NAME``, a `Method`, or a function of the instance that returns a placement."""


@dataclass(frozen=True)
class Given:
    """A method, and how another process finds it.

    Attributes
    ----------
    method : Method
    how : {"name", "file", "object"}
        Registered under `text`, in the file that `text` names, or only in this process.
    text : str
        The registered name, or ``file.py:NAME`` with the whole path.
    """

    method: Method
    how: Literal["name", "file", "object"]
    text: str = ""


def find(given: MethodLike, name: str | None = None) -> Given:
    """Return the method that a caller means.

    Parameters
    ----------
    given : str, Method or callable
    name : str, optional
        What it is to be called; by default its own name.

    Raises
    ------
    InputError
        If there is none of that name, its file cannot be imported or does not have it, or it is no method.
    """
    found = _found(given)
    return found if name is None else replace(found, method=replace(found.method, name=name))


def method_of(given: MethodLike) -> Method:
    """Return the method that a caller means; as `find`."""
    return find(given).method


def _found(given: MethodLike) -> Given:
    if isinstance(given, str):
        if not method_file.names_a_file(given):
            return Given(registry.method(given), "name", given)
        value = method_file.load(given)
        method = value if isinstance(value, Method) else _of_callable(value, given)
        return Given(method, "file", method_file.whole(given))
    if isinstance(given, Method):
        return Given(given, "object")
    return Given(_of_callable(given, "method"), "object")


def _of_callable(value: Any, place: str) -> Method:
    if not callable(value) or isinstance(value, type):
        raise InputError(
            f"{place}: {shown(value)}, expected a name of `mecopt methods`, file.py:NAME, a mecopt.Method, "
            "or a function of the instance"
        )
    return as_method(value)
