"""docs/promises.md: every name, format, option and status on it is there, and means what it says."""

import dataclasses
import inspect
import json
import re
from importlib.metadata import entry_points

import click
import pytest
from places import ROOT

import mecopt
from mecopt.cli.line_streams import WORSE
from mecopt.instance import FORMAT, WIDER_FORMAT
from mecopt.planner.changes import NAMES
from mecopt.planner.json_lines import answer, refused
from mecopt.result import SOLUTION_FORMATS
from mecopt.stop import StopReason

PAGE = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
QUOTED = re.compile(r"`([^`]+)`")


def rows(begin):
    """Return the promised names and what each is promised with, of rows that begin so."""
    cells = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith(f"| `{begin}")]
    return {QUOTED.findall(head)[0]: QUOTED.findall(rest) for head, *others in cells for rest in others[:1]}


PYTHON, COMMANDS = rows("mecopt."), rows("mecopt ")


def line(begin):
    text = PAGE[PAGE.index(begin) :].split("\n\n")[0]
    return QUOTED.findall(text)


def found(name):
    value = mecopt
    for part in name.split(".")[1:]:
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("name", PYTHON)
def test_names_have_what_they_are_promised_with(name):
    value, promised = found(name), set(PYTHON[name])
    assert name.split(".")[1] in mecopt.__all__
    if inspect.isclass(value) and value is not mecopt.Planner:
        fields = {f.name for f in dataclasses.fields(value)} if dataclasses.is_dataclass(value) else set()
        own = (
            fields | set(vars(value)) | set(vars(value("a problem")))
            if value is mecopt.InputError
            else fields
        )
        assert promised <= own | set(dir(value))
    else:
        assert promised <= set(inspect.signature(value).parameters)
    assert promised or name in ("mecopt.methods", "mecopt.Planner.plan_async")


def test_the_page_was_read():
    assert len(PYTHON) == 16
    assert len(COMMANDS) == 9


def test_errors_are_kinds_of_one():
    errors = line("Errors:")
    assert len(errors) == 9
    assert all(issubclass(found(name), mecopt.MecoptError) for name in errors)


def test_formats_and_statuses():
    first, second = re.findall(r"^\| (`mecopt-.*?) \|", PAGE, re.M)
    assert QUOTED.findall(first) == [FORMAT, WIDER_FORMAT]
    assert tuple(QUOTED.findall(second)) == SOLUTION_FORMATS
    statuses = line("Statuses:")
    assert statuses[:5] == list(mecopt.Status)
    assert sorted(statuses[5:]) == sorted(StopReason)
    assert sorted(WORSE) == [0, 1, 2, 3, 4, 5, 130]
    assert "0, 1, 2, 3, 4, 5, 130" in PAGE


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_have_their_options(name):
    (entry,) = entry_points(group="mecopt.commands", name=name.split()[1])
    options = {o for p in entry.load().params if isinstance(p, click.Option) for o in p.opts}
    assert set(COMMANDS[name]) <= options


def test_lines_of_plan():
    promised = line("A line for")
    assert tuple(promised[1:6]) == NAMES
    late = mecopt.load("tiny_paper").replace(rules=mecopt.Rules.preset("paper", deadline="hard"))
    document, _ = answer(mecopt.Planner(late), b'{"deadlines": 1e-9}')
    assert promised[6:14] == list(json.loads(json.dumps(document)))
    assert list(refused(1, ("x",))["error"]) == ["line", "problems"]
