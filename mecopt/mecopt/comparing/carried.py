"""Methods on their way to worker processes."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass, replace
from typing import Any

import cloudpickle

from mecopt.comparing.fingerprints import fingerprint
from mecopt.containment import place_in, unwrapped
from mecopt.errors import InputError, MecoptError, words
from mecopt.own import Given, find
from mecopt.own.method_file import PREFIX
from mecopt.registry import Method


@dataclass(frozen=True)
class Carried:
    """A method as it travels.

    Attributes
    ----------
    name : str
        What it is called in the table.
    text : str
        Its registered name or ``file.py:NAME``, where that finds it; else empty.
    data : bytes
        Else the method itself, pickled.
    code : str
        Fingerprint of its code as the comparison knows it.
    """

    name: str
    text: str
    data: bytes
    code: str

    @classmethod
    def of(cls, given: Given) -> Carried:
        """Pack a method.

        Raises
        ------
        InputError
            If it exists in this process only, and holds what cannot be sent.
        """
        data = _pickled(given.method) if given.how == "object" else b""
        return cls(given.method.name, given.text, data, fingerprint(given))

    def method(self) -> Method:
        """Return the method, in the process that it came to; the same one each time.

        Raises
        ------
        MecoptError
            If it cannot be imported, or its code is not the one that the comparison knows.
        """
        return _unpacked(self)


@functools.lru_cache(maxsize=64)
def _unpacked(carried: Carried) -> Method:
    if carried.data:
        method: Method = cloudpickle.loads(carried.data)
        return method
    given = find(carried.text, carried.name)
    if fingerprint(given) != carried.code:
        raise MecoptError(
            f"the code of {carried.name} has changed since the comparison began; begin it again"
        )
    return replace(given.method)


def _pickled(method: Method) -> bytes:
    """Return a method as bytes: by name what another process can import, anything else as it is."""
    module = sys.modules.get(getattr(unwrapped(method.solve), "__module__", None) or "")
    alone = module is not None and module.__name__ != "__main__" and not _importable(module.__name__)
    if alone:
        cloudpickle.register_pickle_by_value(module)
    try:
        data: bytes = cloudpickle.dumps(method)
        return data
    except Exception as error:  # whatever is in it says so in its own way
        why = f"{words(error)}{place_in(method.solve)}"
        raise InputError(f"method {method.name!r} cannot be carried to worker processes: {why}") from None
    finally:
        if alone:
            cloudpickle.unregister_pickle_by_value(module)


def _importable(name: str) -> bool:
    """Say whether a new process finds a module by its name."""
    top: str = name.partition(".")[0]
    finders: list[Any] = sys.meta_path
    return not top.startswith(PREFIX) and any(finder.find_spec(top, None) for finder in finders)
