"""One name, one thing: no file and no public class of the packages stands twice."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (ROOT / "mecopt" / "mecopt", ROOT / "solvers" / "mecopt_solvers", ROOT / "rl" / "mecopt_rl")
SOURCES = sorted(file for package in PACKAGES for file in package.rglob("*.py"))


def twice(places: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: found for name, found in places.items() if len(found) > 1}


def test_no_file_name_stands_twice() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for file in SOURCES:
        # a command's file has the name of the command, whatever the room that does its work is called
        if not file.stem.startswith("__") and file.parent.name != "cli":
            places[file.stem].append(str(file.relative_to(ROOT)))
    assert len(places) > 300
    assert twice(places) == {}


def test_no_public_class_stands_twice() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for file in SOURCES:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(file.relative_to(ROOT)))
    assert len(places) > 200
    assert twice(places) == {}
