"""Which code a method is: a row of a comparison says it, so that old rows are not taken for new code.

What counts is in docs/compare.md. Of what is installed, or imported from a file, it is the text of the
source; of what only this process has, such as a function of a notebook, what the function consists of.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import os
import pickle
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.metadata import Distribution
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from mecopt import registry
from mecopt.containment import unwrapped
from mecopt.own import Given, method_file
from mecopt.own.functions import Placing

SUFFIXES = (".py", *EXTENSION_SUFFIXES, ".json", ".safetensors")  # of a package: code, and what it was given
STANDARD = tuple(os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib"))
INSTALLED = {"site-packages", "dist-packages"}


def fingerprint(given: Given) -> str:
    """Return the SHA-256 of the code of a method, the same in every process that has the same code."""
    code, solve = _Code(), given.method.solve
    if given.how == "object":
        code.value(solve)
        return code.digest()
    if given.how == "name":
        entry = registry.entry(given.text)
        code.modules({entry.module})
        if entry.dist is not None:
            code.text(f"{entry.dist.name} {entry.dist.version}")
            code.modules(offer.module for offer in entry.dist.entry_points)
            code.files(_recorded(entry.dist))
    else:
        code.files(closure(method_file.path_of(given.text)))
    name = getattr(unwrapped(solve), "__module__", None) or ""
    if not _is_own(name) and not _is_library(name):
        code.modules({name})
    return code.digest()


def _recorded(dist: Distribution) -> Iterator[Path]:
    """Yield the modules that a distribution has installed."""
    for file in dist.files or ():
        path = Path(str(dist.locate_file(file)))
        if path.suffix == ".py" and path.is_file():
            yield path


def _is_own(name: str) -> bool:
    """Say whether a module bears a name that means nothing to another process."""
    return name == "__main__" or name.startswith(method_file.PREFIX)


def _is_library(name: str) -> bool:
    """Say whether a module is Python's, or installed: versions of libraries are the machine's."""
    spec = _spec(name)
    return spec is not None and (spec.origin is None or not spec.has_location or _in_a_library(spec.origin))


def _in_a_library(file: str) -> bool:
    return file.startswith(STANDARD) or not INSTALLED.isdisjoint(Path(file).parts)


def closure(path: Path) -> set[Path]:
    """Return a file and what it imports from its own folder: modules, theirs in turn, and whole packages."""
    found, todo = set[Path](), [path.resolve()]
    while todo:
        file = todo.pop()
        if file in found:
            continue
        found.add(file)
        for name in _imports(file):
            beside = file.parent / name
            if beside.with_suffix(".py").is_file():
                todo.append(beside.with_suffix(".py"))
            elif beside.is_dir():
                found |= set(package_files(beside))
    return found


def package_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a package that count; hidden ones and caches do not."""
    for file in folder.rglob("*"):
        hidden = any(part.startswith((".", "__pycache__")) for part in file.relative_to(folder).parts)
        if file.name.endswith(SUFFIXES) and not hidden and file.is_file():
            yield file


def _imports(file: Path) -> set[str]:
    """Return the first names of all that a file imports, wherever in it that is."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError):  # it is imported nowhere then
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module.partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.name for alias in node.names}
    return names


@functools.lru_cache(maxsize=4096)
def _content(path: Path, changed_ns: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Code:
    """A digest that is fed with what a method consists of, each part once."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._seen: set[int] = set()
        self._kept: list[object] = []  # so that no `id` is given twice
        self._known: set[str] = set()

    def digest(self) -> str:
        """Return what came out."""
        return self._hash.hexdigest()

    def text(self, text: str) -> None:
        """Feed a text."""
        data = text.encode(errors="surrogatepass")
        self._hash.update(b"%d:" % len(data) + data)

    def files(self, paths: Iterable[Path]) -> None:
        """Feed the contents of files, whatever folder they are in."""
        found = []
        for path in paths:
            state = path.stat()
            found.append((path.name, _content(path, state.st_mtime_ns, state.st_size)))
        for name, content in sorted(found):
            self.text(f"{name} {content}")

    def modules(self, names: Iterable[str]) -> None:
        """Feed the sources of modules: their whole packages, or a module with those beside it."""
        for name in sorted({name.partition(".")[0] for name in names}):
            if name not in self._known:
                self._known.add(name)
                self.text(name)
                self.files(_source(name))

    def value(self, value: Any) -> None:
        """Feed what a function uses: code, and all that the code names."""
        if isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, functools.partial):
            self._all("partial", (value.func, value.args, value.keywords))
        elif isinstance(value, MethodType):
            self._all("method", (value.__func__, value.__self__))
        elif isinstance(value, Placing):
            self.value(value.function)
        elif isinstance(value, CodeType):
            self._code(value)
        elif isinstance(value, ModuleType):
            self._of_module(value.__name__, value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, dict):
            self._all("dict", [part for item in value.items() for part in item])
        elif isinstance(value, (list, tuple)):
            self._all(type(value).__name__, value)
        elif isinstance(value, (set, frozenset)):  # whose order differs from process to process
            self._all("set", sorted(value, key=repr))
        elif value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
            self.text(f"{type(value).__name__} {value!r}")
        else:
            self._object(value)

    def _all(self, kind: str, values: Iterable[Any]) -> None:
        parts = list(values)
        self.text(f"{kind} {len(parts)}")
        for part in parts:
            self.value(part)

    def _first(self, value: object) -> bool:
        """Say whether a thing comes for the first time: functions may name one another."""
        new = id(value) not in self._seen
        self._seen.add(id(value))
        self._kept.append(value)
        return new

    def _of_module(self, name: str, thing: Any) -> bool:
        """Feed a thing that can be imported by its name and its module's sources; say whether it was one."""
        if _is_own(name) or not (_is_library(name) or _source(name.partition(".")[0])):
            return False
        self.text(f"{name} {getattr(thing, '__qualname__', '')}")
        if not _is_library(name):
            self.modules({name})
        return True

    def _function(self, function: FunctionType) -> None:
        if not self._first(function):
            return
        importable = "<" not in function.__qualname__ and self._of_module(function.__module__, function)
        if importable:
            return
        self._code(function.__code__)
        self._all("defaults", (function.__defaults__, function.__kwdefaults__))
        self._all("closure", [_inside(cell) for cell in function.__closure__ or ()])
        for name in sorted(_names(function.__code__)):
            if name in function.__globals__:
                self.text(name)
                self.value(function.__globals__[name])

    def _code(self, code: CodeType) -> None:
        """Feed what is done, wherever it stands in its file."""
        self.text(f"code {code.co_name} {code.co_argcount} {code.co_kwonlyargcount} {code.co_flags}")
        self._all("names", (code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_consts))

    def _class(self, kind: type) -> None:
        if not self._first(kind) or self._of_module(kind.__module__, kind):
            return
        self.text(f"class {kind.__qualname__}")
        self._all("bases", kind.__bases__)
        for name, value in sorted(vars(kind).items()):
            if name not in ("__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__"):
                self.text(name)
                self.value(getattr(value, "__func__", value))

    def _object(self, value: Any) -> None:
        """Feed the state of any other thing."""
        if not self._first(value):
            return
        self.value(type(value))
        state = getattr(value, "__dict__", None)
        if isinstance(state, dict) and not type(value).__module__.startswith("numpy"):
            self._all("state", [part for item in sorted(state.items()) for part in item])
            return
        try:
            self._hash.update(pickle.dumps(value, protocol=5))
        except Exception:  # a lock, a connection: it has no state that could be named
            self.text("opaque")


def _inside(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet
        return None


def _names(code: CodeType) -> set[str]:
    """Return the names that a code and those within it use."""
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _source(name: str) -> set[Path]:
    """Return the files of a package, or of a lone module and what it imports from beside it."""
    spec = _spec(name)
    if spec is None or spec.origin is None or not spec.has_location:
        return set()
    path = Path(spec.origin)
    if path.name == "__init__.py":
        return set(package_files(path.parent))
    if path.suffix != ".py":
        return {path} if path.is_file() else set()
    return {path} if _in_a_library(spec.origin) else closure(path)


def _spec(name: str) -> ModuleSpec | None:
    """Return where the top of a module's name is found, imported or not: all processes shall say the same."""
    try:
        return importlib.util.find_spec(name.partition(".")[0])
    except (ImportError, ValueError):  # ValueError: a module that no file stands for
        return None
