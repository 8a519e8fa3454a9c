"""What is compared: instances, methods and seeds, read from what the caller gives."""

from __future__ import annotations

import datetime
import glob
import hashlib
import json
import os
import shlex
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mecopt import io, registry, sources
from mecopt._version import __version__
from mecopt.errors import InputError
from mecopt.files import read_bytes
from mecopt.generation import census, expand, generate
from mecopt.instance import Instance
from mecopt.scalars import number, whole, without_numpy

OTHER_FORMATS = ("mecopt-best-known/", "mecopt-solution/")  # they lie beside instances, and are passed over

Source = Instance | str | os.PathLike[str]
MethodChoice = str | tuple[str, Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Entry:
    """An instance of the comparison, under a name that no other instance of it has."""

    name: str
    instance: Instance

    @property
    def sha256(self) -> str:
        """Identity of the instance."""
        return self.instance.sha256

    def row(self) -> dict[str, Any]:
        """Return the facts that stand in the table of instances."""
        instance = self.instance
        found = census(instance)
        return {
            "instance": self.name,
            "instance_sha256": self.sha256,
            "tasks": instance.task_count,
            "slots": instance.slot_count,
            "devices": len(instance.devices),
            "servers": instance.server_count,
            "blocks": instance.max_blocks,
            "couplings": ",".join(sorted(instance.rules.couplings)),
            "deadline": instance.rules.deadline.value,
            "local_share": found.local / found.tasks,
            "one_server_share": found.one_server / found.tasks,
            "mixed_share": found.mixed / found.tasks,
            "trellis_bound": None if found.unserved else found.objective,
            "document": zlib.compress(io.to_json(instance.replace(name=self.name)).encode()),
        }


@dataclass(frozen=True)
class Choice:
    """A method with the options that it gets; `files` has the SHA-256 of every file that they name."""

    name: str
    options: Mapping[str, Any]
    random: bool
    files: Mapping[str, str]

    @cached_property
    def options_text(self) -> str:
        """The options as JSON text, the same for the same options."""
        return json.dumps(dict(self.options), sort_keys=True, ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True, eq=False)
class Plan:
    """The runs of a comparison, and what all of them have in common."""

    entries: tuple[Entry, ...]
    methods: tuple[Choice, ...]
    seeds: int
    time_limit_s: float | None = None
    gap: float | None = None
    threads: int = 1
    command: str = ""
    created: str = field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat("T", "seconds")
    )

    @classmethod
    def of(
        cls,
        instances: Source | Iterable[Source],
        methods: MethodChoice | Iterable[MethodChoice],
        *,
        seeds: int = 1,
        time_limit_s: float | None = None,
        gap: float | None = None,
        threads: int = 1,
        command: str | None = None,
    ) -> Plan:
        """Read what is to be compared.

        Raises
        ------
        InputError
            If nothing matches, a file is no instance, a method or option does not exist, or a number is
            out of range.
        """
        seeds, threads = whole("seeds", seeds, 1), whole("threads", threads, 1)
        time_limit_s = None if time_limit_s is None else float(number("time_limit_s", time_limit_s))
        gap = None if gap is None else float(number("gap", gap))
        chosen: list[Any] = [methods] if _is_choice(methods) else list(methods)
        given = [instances] if isinstance(instances, (Instance, str, os.PathLike)) else list(instances)
        return cls(
            methods=_distinct_methods(_choice(method) for method in chosen),  # first: it is the quicker check
            entries=_distinct_entries(entry for source in given for entry in _entries(source)),
            seeds=seeds,
            time_limit_s=time_limit_s,
            gap=gap,
            threads=threads,
            command=_call(given, chosen, seeds, time_limit_s, gap, threads) if command is None else command,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """What has to be the same for all runs of one folder."""
        return {
            "mecopt version": __version__,
            "time limit": self.time_limit_s,
            "gap": self.gap,
            "threads": self.threads,
        }

    @cached_property
    def instances(self) -> dict[str, Instance]:
        """The instances by their SHA-256."""
        return {entry.sha256: entry.instance for entry in self.entries}

    def runs(self) -> Iterator[tuple[str, str, str, int]]:
        """Yield SHA-256, method, options and seed of every run, one instance after the other."""
        for entry in self.entries:
            for method in self.methods:
                for seed in range(self.seeds if method.random else 1):
                    yield entry.sha256, method.name, method.options_text, seed


def _entries(source: Source) -> Iterator[Entry]:
    """Yield the instances that a path, glob, folder or spec stands for."""
    if isinstance(source, Instance):
        yield Entry(source.name, source)
        return
    text = os.fspath(source)
    path = Path(text)
    if path.is_dir():
        files = [file for file in sorted(path.iterdir()) if file.name.endswith(sources.SUFFIXES)]
        found = [entry for file in files for entry in _of_file(file)]
        if not found:
            raise InputError("no instance in this folder, expected files .json or .json.gz", text)
        yield from found
    elif path.exists():
        yield from _of_file(path)
    elif glob.has_magic(text):
        matches = [Path(match) for match in sorted(glob.glob(text, recursive=True))]
        found = [entry for match in matches if match.is_file() for entry in _of_file(match)]
        if not found:
            raise InputError(f"no instance matches {text!r}")
        yield from found
    else:
        yield from _named(text)


def _of_file(path: Path) -> Iterator[Entry]:
    """Yield the instance of a file; the best-known store and solutions may lie among them."""
    try:
        instance = io.load(path)
    except InputError:
        if _other_format(path):
            return
        raise
    yield Entry(sources.stem(path) if instance.name == "unnamed" else instance.name, instance)


def _other_format(path: Path) -> bool:
    try:
        document = json.loads(read_bytes(path))
    except (InputError, ValueError, RecursionError):
        return False
    found = document.get("format") if isinstance(document, dict) else None
    return isinstance(found, str) and found.startswith(OTHER_FORMATS)


def _named(text: str) -> Iterator[Entry]:
    """Yield a shipped instance, or all that a spec stands for."""
    path = sources.find(text)
    if path is not None:
        yield from _of_file(path)
        return
    for spec in expand(text):
        instance = generate(spec)
        yield Entry(instance.name, instance)


def _distinct_entries(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Keep each instance once; two that differ need names that differ."""
    kept: dict[str, Entry] = {}
    by_name: dict[str, str] = {}
    for entry in entries:
        if by_name.setdefault(entry.name, entry.sha256) != entry.sha256:
            raise InputError(f"two different instances are named {entry.name!r}, expected a name for each")
        kept.setdefault(entry.sha256, entry)
    if not kept:
        raise InputError("no instance matches, expected at least one")
    return tuple(kept.values())


def _is_choice(methods: Any) -> bool:
    """Whether this is one method, and not a list of them."""
    return isinstance(methods, str) or (
        isinstance(methods, tuple) and len(methods) == 2 and isinstance(methods[1], Mapping)
    )


def _choice(given: MethodChoice) -> Choice:
    if isinstance(given, str):
        name, equals, path = given.partition("=")
        options: dict[str, Any] = {"policy": path} if equals else {}
    elif _is_choice(given):
        name, options = given[0], without_numpy(dict(given[1]))
    else:
        raise InputError(f"methods: {given!r}, expected a name, 'name=FILE' or (name, options)")
    method = registry.method(name.strip())
    registry.check_options(method, options)
    try:
        json.dumps(options, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"options of {method.name}: {error}, expected plain values") from None
    files = {
        value: hashlib.sha256(_file_bytes(method.name, name, value)).hexdigest()
        for name, value in options.items()
        if isinstance(value, str) and (name == "policy" or Path(value).is_file())
    }
    return Choice(method.name, options, method.random, files)


def _file_bytes(method: str, option: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{option} of {method}: {path!r} cannot be read ({reason})") from None


def _distinct_methods(methods: Iterable[Choice]) -> tuple[Choice, ...]:
    kept = {(method.name, method.options_text): method for method in methods}
    if not kept:
        raise InputError("methods: none, expected at least one")
    return tuple(kept.values())


def _call(
    instances: Sequence[Source],
    methods: Sequence[Any],
    seeds: int,
    time_limit_s: float | None,
    gap: float | None,
    threads: int,
) -> str:
    """Return the command that does the same, as far as instances and options can be typed."""
    texts = [source.name if isinstance(source, Instance) else os.fspath(source) for source in instances]
    chosen = [m if isinstance(m, str) else f"{m[0]}{dict(m[1]) or ''}" for m in methods]
    words = ["mecopt", "compare", *texts, "--methods", ",".join(chosen), "--seeds", str(seeds)]
    words += ["--time-limit", f"{time_limit_s:g}"] if time_limit_s is not None else []
    words += ["--gap", f"{gap:g}"] if gap is not None else []
    words += ["--threads", str(threads)] if threads != 1 else []
    return shlex.join(words)
