"""Instances built in Python: validated at birth, read-only, equal to what a file would hold."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import documents

import mecopt
from mecopt import Block, Device, Instance, Links, Model, Rules, Server, Tasks


def build(**changes):
    """Two models of different length, two servers, three tasks, all from Python."""
    parts = {
        "name": "built",
        "slot_count": 2,
        "models": [Model("long", [Block(4, 2), Block(8, 1, 3)]), Model("short", [Block(1, 1)], 5)],
        "devices": [Device("cam", 2)],
        "servers": [Server("a", 4), Server("b", [1, 2], 7)],
        "links": Links.of(2, 10),
        "tasks": Tasks.of(
            slot=[0, 1, 1],
            device=0,
            model=[0, 1, 1],
            rate_bps=[[1, 2], [3, 0], [5, 6]],
            blocks=2,
            max_delay_s=3,
        ),
    }
    return Instance(**(parts | changes))


def arrays(value, seen=None):
    """Yield every array that can be reached from a value."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from arrays(inner, seen)
    elif dataclasses.is_dataclass(value):
        for inner in vars(value).values():
            yield from arrays(inner, seen)


# --- read-only ---
@given(documents())
def test_arrays_are_not_writeable(document):
    instance = mecopt.from_dict(document)
    reached = [*arrays(instance), instance.block_count, instance.server_speed]
    assert len(reached) >= 8
    for array in reached:
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_parts_built_directly_are_frozen_too():
    links = Links(np.ones((2, 2)), np.zeros((2, 2)), np.zeros(2))
    tasks = Tasks(
        np.array([0]), np.array([0]), np.array([0]), np.array([1]), np.ones((1, 2)), np.ones((1, 2))
    )
    assert not any(array.flags.writeable for part in (links, tasks) for array in arrays(part))
    assert links.server_bps.tolist() == [[0, 1], [1, 0]]


def test_the_arrays_given_stay_the_callers_own():
    rates, speed = np.ones((1, 1)), np.array([1.0, 2.0])
    tasks = Tasks.of(slot=[0], device=0, model=0, rate_bps=rates, blocks=1)
    server = Server("a", speed)
    rates[:], speed[:] = 9, 9
    assert tasks.rate_bps.tolist() == [[1.0]]
    assert server.cycles_per_s.tolist() == [1.0, 2.0]


def test_measured_times_given_stay_the_callers_own():
    measured = {"rpi4": 1.0}
    block = Block(1, 1, measured_seconds=measured)
    measured["rpi4"] = -1.0
    assert block.measured_seconds == {"rpi4": 1.0}


@pytest.mark.parametrize("part", ["name", "slot_count", "tasks", "rules"])
def test_fields_cannot_be_set(part):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(build(), part, None)


# --- replace ---
def test_replace_gives_another_instance():
    instance = build()
    before = instance.sha256
    faster = instance.replace(servers=[Server("a", 8), instance.servers[1]])
    assert faster.sha256 != before
    assert instance.sha256 == before
    assert faster.server_speed.tolist() == [[8, 8], [1, 2]]
    assert instance.server_speed.tolist() == [[4, 4], [1, 2]]
    assert instance.replace() == instance
    assert instance.replace(name="other") == instance


def rejected(match, make):
    with pytest.raises(mecopt.InstanceError, match=match) as error:
        make()
    assert all(problem.isprintable() for problem in error.value.problems)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"slot_count": 1}, r"servers\[1\].cycles_per_s: 2 speeds for 1 slots"),
        ({"slot_count": 0}, "slots.count: 0, expected 1 to"),
        ({"slot_s": 0.0}, "slots.seconds: 0.0, expected a number > 0"),
        ({"slot_s": float("nan")}, "slots.seconds: nan"),
        ({"models": []}, "models: none, expected at least one"),
        ({"devices": []}, "devices: none, expected at least one"),
        ({"servers": []}, "servers: none, expected at least one"),
        (
            {"models": [Model("a", [Block(1, 1)])] * 2},
            r"models\[1\].name: 'a' is also the name of models\[0\]",
        ),
        ({"devices": [Device("", 1)]}, r"devices\[0\].name: empty"),
        ({"servers": [Server("a", 1)]}, "links: for 2 servers, expected 1"),
        ({"links": Links.of(3, 1)}, "links: for 3 servers, expected 2"),
        ({"models": [Model("long", [Block(1, 1)])]}, r"tasks\[1\].model: expected a model of the instance"),
        ({"origin": {"when": object()}}, "origin: .*not JSON serializable"),
    ],
)
def test_replace_validates_again(changes, match):
    rejected(match, lambda: build().replace(**changes))


def test_errors_between_tasks_and_parts_come_together():
    tasks = dataclasses.replace(build().tasks, slot=[0, 5, 1], device=[0, 0, 3], batch=[0, 1, 1])
    with pytest.raises(mecopt.InstanceError) as error:
        build(tasks=tasks)
    assert error.value.problems == (
        "tasks[1].slot: expected 0 to 1",
        "tasks[2].device: expected a device of the instance",
        "tasks[0].batch: expected a whole number >= 1",
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_every_array_is_checked(bad):
    tasks = build().tasks
    rates, delays = np.array(tasks.rate_bps), np.array(tasks.max_delay_s)
    rates[2, 1], delays[0, 1] = bad, (np.nan if bad == np.inf else bad)
    rejected(r"tasks\[2\].rate_bps", lambda: build(tasks=dataclasses.replace(tasks, rate_bps=rates)))
    rejected(r"tasks\[0\].max_delay_s", lambda: build(tasks=dataclasses.replace(tasks, max_delay_s=delays)))
    both = dataclasses.replace(tasks, max_total_delay_s=np.ones(3), max_phase_delay_s=np.ones((3, 1)))
    rejected(r"tasks\[0\].max_total_delay_s: expected no limit of the whole", lambda: build(tasks=both))
    matrix = [[0, bad], [1, 0]]
    rejected("links.server_bps", lambda: Links.of(2, matrix))
    rejected("links.server_bps", lambda: dataclasses.replace(Links.of(2, 1), server_bps=matrix))
    rejected("links.device_latency_s", lambda: Links.of(2, 1, 0, [0, bad]))
    rejected("server 'a': cycles_per_s", lambda: Server("a", [1, bad]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0, "1", None, 1j])
@pytest.mark.parametrize(
    "make",
    [
        lambda bad: Block(1, bad),
        lambda bad: Block(1, 1, bad),
        lambda bad: Block(1, 1, measured_seconds={"gpu": bad}),
        lambda bad: Model("m", [Block(1, 1)], bad),
        lambda bad: Device("d", 1, bad),
        lambda bad: Device("d", 1, kappa=bad),
        lambda bad: Rules(deadline_penalty=bad),
    ],
)
def test_every_number_of_a_part_is_checked(make, bad):
    rejected("expected a number >", lambda: make(bad))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0, "1", 1j])
@pytest.mark.parametrize("make", [lambda bad: Block(bad, 1), lambda bad: Device("d", bad)])
def test_cycles_and_speeds_may_be_left_out_but_not_be_wrong(make, bad):
    rejected("expected a number >", lambda: make(bad))
    assert make(None) is not None


@pytest.mark.parametrize("field", ["compute_power_w", "energy_budget_j", "memory_bytes"])
def test_limits_may_be_none_but_not_negative(field):
    assert getattr(Device("d", 1, **{field: None}), field) is None
    assert getattr(Device("d", 1, **{field: 0}), field) == 0.0
    rejected(f"device 'd': {field}: -1", lambda: Device("d", 1, **{field: -1}))


def test_speeds_of_zero_are_refused():
    rejected("device 'd': cycles_per_s: 0, expected a number > 0", lambda: Device("d", 0))
    rejected("server 's': cycles_per_s", lambda: Server("s", 0))
    rejected("server 's': cycles_per_s", lambda: Server("s", [1, 0]))


def test_models_without_blocks_are_refused():
    rejected("model 'm': no blocks", lambda: Model("m", []))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"slot": [0, 1]}, r"tasks.slot: .* expected whole numbers, one for each of 3 tasks"),
        ({"batch": 1.5}, "tasks.batch: float64"),
        ({"batch": [1, 1, 2.5]}, "tasks.batch: float64"),
        ({"rate_bps": [1, 2, 3]}, "tasks.rate_bps: shape"),
        ({"max_delay_s": [1, 2]}, "tasks.max_delay_s: shape"),
        ({"max_delay_s": [[1, 2, 3]] * 3}, "tasks.max_delay_s: shape"),
    ],
)
def test_tasks_of_wrong_shape(changes, match):
    fields = {"slot": [0, 0, 0], "device": 0, "model": 0, "rate_bps": np.ones((3, 2)), "blocks": 2}
    rejected(match, lambda: Tasks.of(**(fields | changes)))


@pytest.mark.parametrize(
    ("changes", "match"),
    [({"deadline": "Hard"}, "rules.deadline: 'Hard', expected one of hard, soft, none"),
     ({"couplings": ["enery"]}, "rules.couplings: 'enery', expected one of energy, capacity, memory")],
)  # fmt: skip
def test_rules_that_do_not_exist(changes, match):
    rejected(match, lambda: Rules(**changes))


def test_a_preset_that_does_not_exist():
    rejected("rules.preset: 'real', expected one of paper, physical", lambda: Rules.preset("real"))


def test_links_of_wrong_shape():
    rejected(r"links.server_bps: shape \(3,\), expected one number or 2 x 2", lambda: Links.of(2, [1, 2, 3]))
    rejected("links.device_latency_s: shape", lambda: Links.of(2, 1, 0, [1]))


# --- the same as a file would hold ---
def test_built_in_python_and_written_is_read_back():
    """Also with names left out, delays behind the end of a short model, and whole numbers."""
    instance = build(models=[Model("long", [Block(4, 2), Block(8, 1, 3)]), Model("short", [Block(1, 1)])])
    assert [block.name for block in instance.models[0].blocks] == ["block1", "block2"]
    assert instance.tasks.max_delay_s.tolist() == [[3, 3], [3, np.inf], [3, np.inf]]
    assert mecopt.from_dict(mecopt.to_dict(instance)) == instance
    unnamed = instance.replace(servers=[Server("", 4), Server("", [1, 2])])
    assert [server.name for server in unnamed.servers] == ["es1", "es2"]
    assert mecopt.from_dict(mecopt.to_dict(unnamed)) == unnamed


def test_kinds_of_numbers_are_the_same_instance():
    plain = build(slot_s=2.0)
    numpy = build(
        slot_s=np.float32(2),
        slot_count=np.int64(2),
        models=[
            Model("long", [Block(np.int64(4), np.float32(2)), Block(8.0, np.uint8(1), np.float64(3))]),
            Model("short", [Block(np.array(1), 1)], np.int32(5)),
        ],
        devices=[Device("cam", np.int16(2))],
        servers=[Server("a", np.int64(4)), Server("b", np.array([1, 2]), np.float32(7))],
        rules=Rules(deadline_penalty=np.int64(1)),
    )
    assert numpy == plain
    assert mecopt.from_dict(mecopt.to_dict(numpy)) == plain


@given(documents())
def test_copies_are_equal(document):
    instance = mecopt.from_dict(document)
    for again in (copy.deepcopy(instance), pickle.loads(pickle.dumps(instance)), copy.copy(instance)):
        assert again == instance
        assert again.replace() == instance


@given(documents(), st.data())
def test_tasks_can_be_sliced_with_replace(document, data):
    """Any selection of the tasks is an instance of its own, worth the sum of its tasks."""
    instance = mecopt.from_dict(document)
    rows = data.draw(st.lists(st.integers(0, instance.task_count - 1), min_size=1))
    part = instance.tasks.take(np.array(rows))
    picked = mecopt.evaluate(instance.replace(tasks=part), [[0] * instance.block_count[k] for k in rows])
    whole = mecopt.evaluate(instance, [[0] * count for count in instance.block_count])
    assert picked.task_delay_s.tolist() == whole.task_delay_s[rows].tolist()


def test_shapes_and_counts():
    instance = build()
    assert (instance.task_count, instance.server_count, instance.max_blocks) == (3, 2, 2)
    assert instance.block_count.tolist() == [2, 1, 1]
    assert (
        repr(instance)
        == "<Instance 'built': 3 tasks, 2 servers, up to 2 blocks, hard deadlines, no couplings>"
    )


@pytest.mark.parametrize(
    ("bps", "latency", "uniform"),
    [(1, 0, True), ([[9, 1], [1, 9]], 0, True), ([[0, 1], [2, 0]], 0, False), (1, [[0, 1], [2, 0]], False)],
)
def test_uniform_links(bps, latency, uniform):
    assert Links.of(2, bps, latency).uniform == uniform


def test_one_server_has_uniform_links():
    assert Links.of(1).uniform
