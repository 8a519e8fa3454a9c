"""The command run as a process, small instances to run it on, and a third party's package."""

import json
from pathlib import Path

import commands
import pytest
from commands import environment
from strategies import MINIMAL

import mecopt as library
from mecopt import Method, registry

PLUGIN = '''
import time
import click
import numpy as np
from mecopt import Method


def idle(instance, run):
    """Hand over the placement on the devices, say so, and wait."""
    run.found(np.where(instance.block_count[:, None] > np.arange(instance.max_blocks), 0, -1))
    if path := run.options.get("ready") or __import__("os").environ.get("READY"):
        open(path, "w").close()
    while not run.should_stop():
        time.sleep(0.01)


def deaf(instance, run):
    open(__import__("os").environ["READY"], "w").close()
    time.sleep(60)


def empty(instance, run):
    run.improve_bound(0.25)


def late(instance, run):
    run.found(np.zeros((instance.task_count, instance.max_blocks), dtype=int))


def liar(instance, run):
    run.found(np.zeros((instance.task_count, instance.max_blocks), dtype=int), objective=1e-3)


def crash(instance, run):
    raise ZeroDivisionError("two lines\\nof text")


def method(solve):
    return Method(solve.__name__, "heuristic", "for tests", frozenset(["energy"]), solve)


IDLE, DEAF, EMPTY, LATE, LIAR, CRASH = map(method, (idle, deaf, empty, late, liar, crash))


@click.command()
def hello():
    """Greet."""
    click.echo("hello from a third party")
    return 7
'''
ENTRIES = """
[mecopt.methods]
idle = test_plugin:IDLE
deaf = test_plugin:DEAF
empty = test_plugin:EMPTY
late = test_plugin:LATE
liar = test_plugin:LIAR
crash = test_plugin:CRASH

[mecopt.commands]
hello = test_plugin:hello
wreck = no_such_package:command
number = test_plugin:ENTRIES_ARE_NOT_THIS
"""


@pytest.fixture(scope="session")
def mecopt():
    """Run `mecopt` with arguments; the answer has returncode, stdout and stderr."""
    return commands.mecopt


@pytest.fixture(scope="session")
def plugin(tmp_path_factory):
    """Return the folder of an installed package that adds methods and commands; it goes on PYTHONPATH."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "test_plugin.py").write_text(PLUGIN)
    info = folder / "test_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: test-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    return str(folder)


def toy(**changes):
    """Return the plain values of an instance of two tasks, two servers and a model of two blocks."""
    document = {
        "format": "mecopt-instance/1",
        "name": "toy_pair",
        "slots": {"count": 2, "seconds": 1.0},
        "rules": {"preset": "physical", "deadline": "hard"},
        "models": [
            {
                "name": "toy",
                "output_bits": 320000,
                "blocks": [
                    {"name": "conv1", "cycles": 2.0e8, "param_bytes": 140000, "input_bits": 1204224},
                    {"name": "fc", "cycles": 4.0e8, "param_bytes": 9000000, "input_bits": 294912},
                ],
            }
        ],
        "devices": [{"name": "cam0", "cycles_per_s": 1.0e9, "transmit_power_w": 0.5}],
        "servers": [{"name": "es1", "cycles_per_s": 4.0e9}, {"name": "es2", "cycles_per_s": [3.0e9, 1.5e9]}],
        "links": {"server_bps": 1.0e8},
        "tasks": [
            {"slot": 0, "device": "cam0", "model": "toy", "max_delay_s": 2.0, "rate_bps": [8.0e6, 1.2e7]},
            {"slot": 1, "device": "cam0", "model": "toy", "batch": 4, "rate_bps": [0, 9.6e6]},
        ],
    }
    return {**document, **changes}


@pytest.fixture
def write(tmp_path):
    """Write a document (or a text) to a file in a folder of the test's own and return its path."""

    def put(document, name="instance.json"):
        path = tmp_path / name
        path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        return path

    return put


@pytest.fixture
def toy_file(write):
    return write(toy())


@pytest.fixture
def many_file(tmp_path):
    """An instance of 400 tasks and 9 servers."""
    import numpy as np

    import mecopt

    draw = np.random.default_rng(1)
    blocks = [mecopt.Block(c, b, name=f"b{i}") for i, (c, b) in enumerate(draw.uniform(1e7, 2e8, (7, 2)))]
    instance = mecopt.Instance(
        name="many",
        slot_count=20,
        models=(mecopt.Model("a", tuple(blocks)), mecopt.Model("b", tuple(blocks[:3]))),
        devices=(mecopt.Device("d0", 2e9, 0.5), mecopt.Device("d1", 3e9, 0.5)),
        servers=tuple(mecopt.Server(f"es{n}", float(draw.uniform(2e9, 4e9))) for n in range(1, 10)),
        links=mecopt.Links.of(9, 1e9),
        tasks=mecopt.Tasks.of(
            slot=np.arange(400) % 20,
            device=np.arange(400) % 2,
            model=np.arange(400) % 3 % 2,
            rate_bps=draw.uniform(1e8, 1e9, (400, 9)),
            blocks=7,
        ),
        rules=mecopt.Rules.preset("paper", deadline="soft"),
    )
    mecopt.save(instance, tmp_path / "many.json.gz")
    return tmp_path / "many.json.gz"


@pytest.fixture(name="toy")
def toy_fixture():
    return toy


@pytest.fixture
def env():
    return environment


@pytest.fixture
def only_files():
    """Return the names in a folder, hidden ones too: nothing half-written may lie about."""
    return lambda folder: sorted(path.name for path in Path(folder).iterdir())


@pytest.fixture
def using(monkeypatch):
    """Return a function that solves with a method of the test's own, as a third party would install it."""

    def solve_with(action, document=MINIMAL, honours=frozenset(library.Coupling), **options):
        own = Method("own", "heuristic", "of this test", honours, action, options=frozenset({"depth"}))
        real = registry.method
        monkeypatch.setattr(registry, "method", lambda name: own if name == "own" else real(name))
        return library.solve(library.from_dict(document), "own", **options)

    return solve_with
