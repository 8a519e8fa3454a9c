"""What is compared: instances, methods and seeds, read from what the caller gives."""

from __future__ import annotations

import datetime
import glob
import json
import os
import shlex
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mecopt import io, sources
from mecopt._version import __version__
from mecopt.comparing.carried import Carried
from mecopt.comparing.choices import Choice, MethodChoices, chosen, distinct, listed, typed
from mecopt.errors import InputError
from mecopt.files import read_bytes
from mecopt.generation import census, expand, generate
from mecopt.instance import Instance
from mecopt.scalars import number, whole

# They lie beside instances, and are passed over.
OTHER_FORMATS = ("mecopt-best-known/", "mecopt-solution/", "mecopt-setting/")

Source = Instance | str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class ComparedInstance:
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


@dataclass(frozen=True, eq=False)
class ComparisonPlan:
    """The runs of a comparison, and what all of them have in common."""

    entries: tuple[ComparedInstance, ...]
    methods: tuple[Choice, ...]
    seeds: int
    time_limit_s: float | None = None
    gap: float | None = None
    threads: int = 1
    command: str = ""
    rerun: frozenset[str] = frozenset()  # names of methods whose finished runs are made again
    created: str = field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat("T", "seconds")
    )

    @classmethod
    def of(
        cls,
        instances: Source | Iterable[Source],
        methods: MethodChoices,
        *,
        seeds: int = 1,
        time_limit_s: float | None = None,
        gap: float | None = None,
        threads: int = 1,
        command: str | None = None,
        rerun: str | Iterable[str] = (),
    ) -> ComparisonPlan:
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
        given_methods = listed(methods)
        texts = [typed(method) for _, method in given_methods]
        given = [instances] if isinstance(instances, (Instance, str, os.PathLike)) else list(instances)
        plan = cls(
            # First, since it is the quicker check.
            methods=distinct(chosen(name, method) for name, method in given_methods),
            entries=_distinct_entries(entry for source in given for entry in _entries(source)),
            seeds=seeds,
            time_limit_s=time_limit_s,
            gap=gap,
            threads=threads,
            command=_call(given, texts, seeds, time_limit_s, gap, threads) if command is None else command,
            rerun=frozenset([rerun] if isinstance(rerun, str) else rerun),
        )
        unknown = plan.rerun - {method.name for method in plan.methods}
        if unknown:
            there = ", ".join(method.name for method in plan.methods)
            raise InputError(f"rerun: {', '.join(sorted(unknown))}, expected among the methods ({there})")
        return plan

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

    @cached_property
    def carried(self) -> dict[tuple[str, str], Carried]:
        """The methods by their names and options."""
        return {(chosen.name, chosen.options_text): chosen.carried for chosen in self.methods}

    def runs(self) -> Iterator[tuple[str, str, str, str, int]]:
        """Yield SHA-256, method, options, fingerprint and seed of every run, one instance after the other."""
        for entry in self.entries:
            for method in self.methods:
                for seed in range(self.seeds if method.random else 1):
                    yield entry.sha256, method.name, method.options_text, method.fingerprint, seed


def _entries(source: Source) -> Iterator[ComparedInstance]:
    """Yield the instances that a path, glob, folder or spec stands for."""
    if isinstance(source, Instance):
        yield ComparedInstance(source.name, source)
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
        yield from _named(text)
    elif glob.has_magic(text):
        matches = [Path(match) for match in sorted(glob.glob(text, recursive=True))]
        found = [entry for match in matches if match.is_file() for entry in _of_file(match)]
        if not found:
            raise InputError(f"no instance matches {text!r}")
        yield from found
    else:
        yield from _named(text)


def _of_file(path: Path) -> Iterator[ComparedInstance]:
    """Yield the instance of a file; the best-known store and solutions may lie among them."""
    try:
        instance = io.load(path)
    except InputError:
        if _other_format(path):
            return
        raise
    yield ComparedInstance(sources.stem(path) if instance.name == "unnamed" else instance.name, instance)


def _other_format(path: Path) -> bool:
    try:
        document = json.loads(read_bytes(path))
    except (InputError, ValueError, RecursionError):
        return False
    found = document.get("format") if isinstance(document, dict) else None
    return isinstance(found, str) and found.startswith(OTHER_FORMATS)


def _named(text: str) -> Iterator[ComparedInstance]:
    """Yield a shipped instance, or all that a spec stands for."""
    path = sources.find(text)
    if path is not None:
        yield from _of_file(path)
        return
    for spec in expand(text):
        instance = generate(spec)
        yield ComparedInstance(instance.name, instance)


def _distinct_entries(entries: Iterable[ComparedInstance]) -> tuple[ComparedInstance, ...]:
    """Keep each instance once; two that differ need names that differ."""
    kept: dict[str, ComparedInstance] = {}
    by_name: dict[str, str] = {}
    for entry in entries:
        if by_name.setdefault(entry.name, entry.sha256) != entry.sha256:
            raise InputError(f"two different instances are named {entry.name!r}, expected a name for each")
        kept.setdefault(entry.sha256, entry)
    if not kept:
        raise InputError("no instance matches, expected at least one")
    return tuple(kept.values())


def _call(
    instances: Sequence[Source],
    methods: Sequence[str],
    seeds: int,
    time_limit_s: float | None,
    gap: float | None,
    threads: int,
) -> str:
    """Return the command that does the same, as far as instances and options can be typed."""
    texts = [source.name if isinstance(source, Instance) else os.fspath(source) for source in instances]
    words = ["mecopt", "compare", *texts, "--methods", ",".join(methods), "--seeds", str(seeds)]
    words += ["--time-limit", f"{time_limit_s:g}"] if time_limit_s is not None else []
    words += ["--gap", f"{gap:g}"] if gap is not None else []
    words += ["--threads", str(threads)] if threads != 1 else []
    return shlex.join(words)
