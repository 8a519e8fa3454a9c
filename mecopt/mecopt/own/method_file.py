"""``file.py:NAME``: a name in a Python file, imported without being installed."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import os
import re
import sys
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
)
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from mecopt.containment import line_in
from mecopt.errors import InputError, located, said

FORM = re.compile(r"(?P<path>.+\.py)(?::(?P<name>.*))?", re.DOTALL)
PREFIX = "mecopt_own_"  # of the names under which files are imported
METHOD = "a mecopt.Method or a function of the instance"


class TextLoader(SourceFileLoader):
    """Compiles the text each time: copies on disk do not tell texts of one length and second apart."""

    def __init__(self, name: str, path: str, text: bytes | None = None) -> None:
        super().__init__(name, path)
        self.text = text

    def get_code(self, fullname: str) -> CodeType:
        """Compile the text that was given, or that of the file."""
        return self.source_to_code(self.get_data(self.path) if self.text is None else self.text, self.path)


def names_a_file(text: str) -> bool:
    """Say whether a text means a file, well-formed or not."""
    return FORM.fullmatch(text) is not None


def whole(text: str) -> str:
    """Return ``file.py:NAME`` with the absolute path."""
    path, name = _parts(text)
    return f"{path.resolve()}:{name}"


def path_of(text: str) -> Path:
    """Return the file of ``file.py:NAME``."""
    return _parts(text)[0]


def load(text: str, what: str = "method", kind: str = METHOD) -> Any:
    """Return what ``file.py:NAME`` names.

    The file is imported once for each content that it has, and messages say that a `what` of this `kind` is
    wanted. What it imports from its own folder is found after
    what is installed, so that no file there can stand in for a library.

    Raises
    ------
    InputError
        If there is no such file, it cannot be imported, or does not have the name: one line with the file,
        and with the line in it where there is one.
    """
    path, name = _parts(text, what, kind)
    try:
        source = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot be read ({reason}); {_expected(kind)}", str(path)) from None
    module = _imported(path, source)
    if not hasattr(module, name):
        known = [key for key, value in vars(module).items() if _defined_in(value, module)]
        near = difflib.get_close_matches(name, known, n=1)
        offer = f"did you mean {near[0]}?" if near else f"it has {', '.join(known) or f'no {what}s'}"
        raise InputError(f"has no {name!r}; {offer}", str(path))
    return getattr(module, name)


def _parts(text: str, what: str = "method", kind: str = METHOD) -> tuple[Path, str]:
    found = FORM.fullmatch(text)
    if found is None or not (found["name"] or "").isidentifier():
        raise InputError(f"{what} {text!r}: {_expected(kind)}")
    return Path(found["path"]), found["name"]


def _expected(kind: str) -> str:
    return f"expected file.py:NAME, where NAME is {kind}"


def _imported(path: Path, source: bytes) -> ModuleType:
    """Return the module of a file, imported anew when its text has changed."""
    digest = hashlib.sha256(os.fsencode(path.resolve()) + b"\0" + source).hexdigest()
    name = f"{PREFIX}{path.stem}_{digest[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    loader = TextLoader(name, str(path.resolve()), source)
    spec = importlib.util.spec_from_file_location(name, path.resolve(), loader=loader)
    assert spec is not None  # with a loader there always is one
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    kinds = (ExtensionFileLoader, EXTENSION_SUFFIXES), (TextLoader, SOURCE_SUFFIXES)
    sys.path_importer_cache[folder] = FileFinder(folder, *kinds)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except KeyboardInterrupt:
        del sys.modules[name]
        raise
    except BaseException as error:  # the code of a third party may raise anything
        del sys.modules[name]
        raise _explained(path, error) from error
    return module


def _explained(path: Path, error: BaseException) -> InputError:
    """Return an error of an import as one line with the file and the line in it."""
    if isinstance(error, SyntaxError) and error.filename:
        place: tuple[str, int | None] = error.filename, error.lineno
        text = f"SyntaxError: {error.msg}"
    else:
        place, text = line_in(error, str(path.resolve())) or (str(path), None), said(error)
    file = str(path) if Path(place[0]) == path.resolve() else place[0]
    line = "" if place[1] is None else f"line {place[1]}: "
    return InputError(located(None, f"{line}cannot be imported: {text}"), file)


def _defined_in(value: Any, module: ModuleType) -> bool:
    """Say whether a value could be what somebody means by NAME."""
    from mecopt.registry import Method

    return isinstance(value, Method) or (
        callable(value)
        and not isinstance(value, type)
        and getattr(value, "__module__", "") == module.__name__
    )
