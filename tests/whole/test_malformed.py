"""Bad input: one line for every problem, naming the place and what was expected; never another exception."""

import copy
import json

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import documents, examples

import mecopt
from mecopt.io import from_json
from mecopt.schema import where

INF, NAN = float("inf"), float("nan")
REMOVED = object()
FORMS = "'mecopt-instance/1' or 'mecopt-instance/2'"


def base():
    """One instance with every field, to be spoilt in one place."""
    return {
        "format": "mecopt-instance/1",
        "name": "base",
        "slots": {"count": 2, "seconds": 1.0},
        "rules": {"preset": "paper", "deadline": "hard", "deadline_penalty": 1.0, "couplings": ["energy"]},
        "models": [
            {
                "name": "net",
                "output_bits": 8,
                "blocks": [
                    {
                        "name": "a",
                        "cycles": 1,
                        "param_bytes": 1,
                        "input_bits": 1,
                        "measured_seconds": {"rpi4": 1},
                    },
                    {"name": "b", "cycles": 1, "param_bytes": 1, "input_bits": 1},
                ],
            },
            {"name": "one", "blocks": [{"cycles": 1, "input_bits": 1}]},
        ],
        "devices": [
            {
                "name": "cam",
                "cycles_per_s": 1,
                "transmit_power_w": 1,
                "kappa": 1,
                "compute_power_w": 1,
                "energy_budget_j": 1,
                "memory_bytes": 1,
                "hardware": "rpi4",
            },
            {"name": "cam2", "cycles_per_s": 1},
        ],
        "servers": [
            {"name": "es1", "cycles_per_s": 1, "memory_bytes": 1, "hardware": "gpu"},
            {"name": "two", "cycles_per_s": [1, 1]},
            {"cycles_per_s": 1},
        ],
        "links": {
            "server_bps": [[0, 1, 1], [1, 0, 1], [1, 1, 0]],
            "server_latency_s": [[0, 1, 1], [1, 0, 1], [1, 1, 0]],
            "device_latency_s": [0, 0, 0],
        },
        "tasks": [
            {
                "slot": 0,
                "device": "cam",
                "model": "net",
                "batch": 1,
                "max_delay_s": [1, None],
                "rate_bps": [1, 1, 1],
            },
            {"slot": 1, "device": "cam2", "model": "one", "rate_bps": [1, 1, 0]},
        ],
    }


def spoilt(document, place, value):
    """Set, add or remove what is at a place such as ``tasks[0].slot``."""
    document = copy.deepcopy(document)
    steps = [int(s) if s.isdigit() else s for s in place.replace("[", ".").replace("]", "").split(".")]
    target = document
    for step in steps[:-1]:
        target = target[step]
    if value is REMOVED:
        del target[steps[-1]]
    elif isinstance(target, list) and steps[-1] == len(target):
        target.append(value)
    else:
        target[steps[-1]] = value
    return document


NUMBERS_FROM_ZERO = [
    "rules.deadline_penalty",
    "models[0].output_bits",
    "models[0].blocks[1].cycles",
    "models[0].blocks[0].param_bytes",
    "models[0].blocks[1].input_bits",
    "models[0].blocks[0].measured_seconds.rpi4",
    "devices[0].transmit_power_w",
    "devices[0].kappa",
    "devices[0].compute_power_w",
    "devices[0].energy_budget_j",
    "devices[0].memory_bytes",
    "servers[0].memory_bytes",
    "links.server_bps",
    "links.server_bps[0][1]",
    "links.server_latency_s",
    "links.server_latency_s[1][0]",
    "links.device_latency_s",
    "links.device_latency_s[2]",
    "tasks[0].max_delay_s",
    "tasks[0].max_delay_s[0]",
    "tasks[1].rate_bps[2]",
]
SPEEDS = ["slots.seconds", "devices[0].cycles_per_s", "servers[0].cycles_per_s", "servers[1].cycles_per_s[1]"]


def problems_of(document):
    with pytest.raises(mecopt.InstanceError) as error:
        mecopt.from_dict(document)
    assert error.value.exit_status == 2
    return list(error.value.problems)


@pytest.mark.parametrize("place", NUMBERS_FROM_ZERO + SPEEDS)
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (NAN, "nan, expected a finite number"),
        (INF, "inf, expected a finite number"),
        (-INF, "-inf, expected a finite number"),
        (-1, "-1, expected a number"),
        ("1", "'1', expected a number"),
        (True, "true, expected a number"),
    ],
)
def test_every_number_is_checked(place, value, text):
    (problem,) = problems_of(spoilt(base(), place, value))
    assert problem.startswith(f"{place}: {text}")


@pytest.mark.parametrize("place", SPEEDS)
@pytest.mark.parametrize("value", [0, -0.0])
def test_speeds_are_above_zero(place, value):
    assert problems_of(spoilt(base(), place, value)) == [f"{place}: {value!r}, expected a number > 0"]


@pytest.mark.parametrize("place", [p for p in NUMBERS_FROM_ZERO if not p.endswith("seconds.rpi4")])
def test_zero_is_in_range_elsewhere(place):
    assert mecopt.from_dict(spoilt(base(), place, 0)).task_count == 2


CASES = [
    # what is missing
    ("slots", REMOVED, "slots: missing"),
    ("slots.count", REMOVED, "slots.count: missing"),
    ("models", REMOVED, "models: missing"),
    ("devices", REMOVED, "devices: missing"),
    ("servers", REMOVED, "servers: missing"),
    ("tasks", REMOVED, "tasks: missing"),
    ("format", REMOVED, "format: missing"),
    ("models[0].blocks", REMOVED, "models[0].blocks: missing"),
    ("models[0].blocks[1].cycles", REMOVED, "models[0].blocks[1].cycles: missing"),
    ("models[0].blocks[1].input_bits", REMOVED, "models[0].blocks[1].input_bits: missing"),
    ("devices[1].cycles_per_s", REMOVED, "devices[1].cycles_per_s: missing"),
    ("servers[2].cycles_per_s", REMOVED, "servers[2].cycles_per_s: missing"),
    ("tasks[1].slot", REMOVED, "tasks[1].slot: missing"),
    ("tasks[1].device", REMOVED, "tasks[1].device: missing"),
    ("tasks[1].model", REMOVED, "tasks[1].model: missing"),
    ("tasks[1].rate_bps", REMOVED, "tasks[1].rate_bps: missing"),
    ("links", REMOVED, "links.server_bps: missing, expected a number or a matrix for 3 servers"),
    ("links.server_bps", None, "links.server_bps: missing, expected a number or a matrix for 3 servers"),
    # what is empty
    ("tasks", [], "tasks: 0 given, expected at least 1"),
    ("models", [], "models: 0 given, expected at least 1"),
    ("devices", [], "devices: 0 given, expected at least 1"),
    ("servers", [], "servers: 0 given, expected at least 1"),
    ("models[1].blocks", [], "models[1].blocks: 0 given, expected at least 1"),
    ("models[1].name", "", "models[1].name: '', expected a text that is not empty"),
    # what is not known
    ("format", "mecopt-instance/3", f"format: 'mecopt-instance/3', expected {FORMS}"),
    ("format", 1, f"format: 1, expected {FORMS}"),
    ("frmat", 1, "frmat: unknown field, did you mean 'format'?"),
    ("#comment", "hello", "#comment: unknown field"),
    ("rules.couplings[0]", "enery", "rules.couplings[0]: 'enery', expected 'energy', 'capacity' or 'memory'"),
    ("rules.preset", "Paper", "rules.preset: 'Paper', expected 'paper' or 'physical'"),
    ("rules.deadline", "soft ", "rules.deadline: 'soft ', expected 'hard', 'soft' or 'none'"),
    ("rules.hop_energy", 1, "rules.hop_energy: 1, expected true or false"),
    ("tasks[1].max_delay", 1, "tasks[1].max_delay: unknown field, did you mean 'max_delay_s'?"),
    (
        "devices[0].cycles_per_sec",
        1,
        "devices[0].cycles_per_sec: unknown field, did you mean 'cycles_per_s'?",
    ),
    ("models[0].blocks[0].bits", 1, "models[0].blocks[0].bits: unknown field"),
    ("servers[0].rate_bp", 1, "servers[0].rate_bp: unknown field"),  # rate_bps is one of a task
    ("a\nb", 1, "'a\\nb': unknown field"),
    ("tasks[0].device", "cam3", "tasks[0].device: no device 'cam3'"),
    ("tasks[0].model", "Net", "tasks[0].model: no model 'Net'"),
    ("tasks[0].model", "a\nb", "tasks[0].model: no model 'a\\nb'"),
    # what is given twice
    ("models[1].name", "net", "models[1].name: 'net' is also the name of models[0]"),
    ("devices[1].name", "cam", "devices[1].name: 'cam' is also the name of devices[0]"),
    ("servers[1].name", "es1", "servers[1].name: 'es1' is also the name of servers[0]"),
    ("servers[1].name", "es3", "servers[2].name: 'es3' is also the name of servers[1]"),
    ("rules.couplings", ["energy", "energy"], "rules.couplings: a name is given twice"),
    # what is outside
    ("slots.count", 0, "slots.count: 0, expected a number >= 1"),
    ("slots.count", 1.5, "slots.count: 1.5, expected a whole number"),
    ("slots.count", True, "slots.count: true, expected a whole number"),
    ("slots.count", 10**12, "slots.count: 1000000000000, expected a number <= 10000000"),
    ("tasks[1].slot", 2, "tasks[1].slot: 2, expected 0 to 1"),
    ("tasks[1].slot", -1, "tasks[1].slot: -1, expected a number >= 0"),
    ("tasks[1].slot", 0.5, "tasks[1].slot: 0.5, expected a whole number"),
    ("tasks[1].batch", 0, "tasks[1].batch: 0, expected a number >= 1"),
    ("tasks[1].batch", 2.5, "tasks[1].batch: 2.5, expected a whole number"),
    ("tasks[1].batch", None, "tasks[1].batch: null, expected a whole number"),
    # what has the wrong length or form
    ("tasks[0].rate_bps", [1, 1], "tasks[0].rate_bps: 2 rates for 3 servers"),
    ("tasks[0].rate_bps", [], "tasks[0].rate_bps: 0 rates for 3 servers"),
    ("tasks[0].rate_bps", 1, "tasks[0].rate_bps: 1, expected a list"),
    ("tasks[0].rate_bps[1]", None, "tasks[0].rate_bps[1]: null, expected a number"),
    ("tasks[0].max_delay_s", [1], "tasks[0].max_delay_s: 1 delays for 2 blocks"),
    ("tasks[1].max_delay_s", [1, 1], "tasks[1].max_delay_s: 2 delays for 1 blocks"),
    ("servers[1].cycles_per_s", [1], "servers[1].cycles_per_s: 1 speeds for 2 slots"),
    ("servers[1].cycles_per_s", [], "servers[1].cycles_per_s: 0 speeds for 2 slots"),
    ("servers[1].cycles_per_s", [[1], [1]], "servers[1].cycles_per_s[0]: a list of 1, expected a number"),
    ("servers[1].cycles_per_s", {"a": 1}, "servers[1].cycles_per_s: an object, expected a number"),
    ("servers[1].cycles_per_s", None, "servers[1].cycles_per_s: null, expected a number"),
    ("links.server_bps", [[0, 1], [1, 0]], "links.server_bps: 2 rows for 3 servers"),
    ("links.server_bps[1]", [1, 1], "links.server_bps[1]: 2 numbers for 3 servers"),
    ("links.server_bps", [1, 1, 1], "links.server_bps[0]: 1, expected a list"),
    ("links.server_bps", [], "links.server_bps: 0 rows for 3 servers"),
    ("links.server_latency_s", [[0]], "links.server_latency_s: 1 rows for 3 servers"),
    ("links.device_latency_s", [0, 0], "links.device_latency_s: 2 numbers for 3 servers"),
    ("links.device_latency_s", [[0, 0, 0]], "links.device_latency_s[0]: a list of 3, expected a number"),
    (
        "models[0].blocks[0].measured_seconds",
        [1],
        "models[0].blocks[0].measured_seconds: a list of 1, expected an",
    ),
    (
        "models[0].blocks[0].measured_seconds.rpi4",
        None,
        "models[0].blocks[0].measured_seconds.rpi4: null, expected a",
    ),
    ("models[0]", "net", "models[0]: 'net', expected an object"),
    ("tasks", {}, "tasks: an object, expected a list"),
    ("tasks[0]", None, "tasks[0]: null, expected an object"),
    ("slots", 3, "slots: 3, expected an object"),
    ("rules", None, "rules: null, expected an object"),
    ("name", 5, "name: 5, expected a text"),
    ("origin", "me", "origin: 'me', expected an object"),
    ("origin", {"seed": NAN}, "origin: Out of range float values are not JSON compliant"),
    ("origin", {"made": {"by": [1, INF]}}, "origin: Out of range float values are not JSON compliant"),
]


@pytest.mark.parametrize(
    ("place", "value", "text"), CASES, ids=[f"{i}-{case[2][:40]!r}" for i, case in enumerate(CASES)]
)
def test_refused_with_the_place(place, value, text):
    problems = problems_of(spoilt(base(), place, value))
    assert problems[0].startswith(text)
    assert all("\n" not in problem for problem in problems)


@pytest.mark.parametrize(
    ("place", "value", "text"), CASES, ids=[f"{i}-{case[2][:40]!r}" for i, case in enumerate(CASES)]
)
def test_refused_in_a_file_too(tmp_path, place, value, text):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(spoilt(base(), place, value)))
    with pytest.raises(mecopt.InstanceError) as error:
        mecopt.load(path)
    assert str(error.value).startswith(f"{path}: {text}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not JSON: EOF while parsing"),
        ("   \n", "not JSON: EOF while parsing"),
        ("hello", "not JSON: expected value at line 1"),
        ("{'format': 1}", "not JSON: key must be a string at line 1"),
        (json.dumps(base())[:-1], "not JSON: EOF while parsing an object"),
        (json.dumps(base())[:200], "not JSON: EOF while parsing"),
        (json.dumps(base()) + "}", "not JSON: trailing characters"),
        ("[]", "a list of 0, expected an object"),
        ("null", "null, expected an object"),
        ("3", "3, expected an object"),
        ('"mecopt-instance/1"', "'mecopt-instance/1', expected an object"),
        ("{}", "format: missing"),
        ("[" * 100_000, "not JSON: recursion limit exceeded"),
        (json.dumps(base()).replace('"count": 2', '"count": 1e999'), "slots.count"),
        (json.dumps(base()).replace('"kappa": 1', '"kappa": 1e999'), "devices[0].kappa: "),
        (json.dumps(base()).replace('"slot": 1', '"slot": ' + "9" * 400), "tasks[1].slot: "),
    ],
)
def test_texts_that_are_no_instance(text, problem):
    with pytest.raises(mecopt.InstanceError) as error:
        from_json(text.encode())
    assert error.value.problems[0].startswith(problem)
    assert len(str(error.value)) < 2000
    assert "\n" not in error.value.problems[0]


@pytest.mark.parametrize(
    "data", [b"\xff\xfe{\x00}\x00", b"\x00" * 10, json.dumps(base()).encode("utf-16"), b'{"a": "\xff"}']
)
def test_bytes_that_are_no_text(data):
    with pytest.raises(mecopt.InstanceError, match="not JSON"):
        from_json(data)


@pytest.mark.parametrize("document", [[], None, 3, "text", [("format", 1)]])
def test_what_is_no_document(document):
    assert problems_of(document)[0].endswith("expected an object")


def test_arrays_are_no_lists():
    """Plain values only: the message stays in one line whatever is given."""
    (problem,) = problems_of(spoilt(base(), "tasks[0].rate_bps", np.ones((40, 3))))
    assert problem.startswith("tasks[0].rate_bps: array(")
    assert "\n" not in problem
    assert len(problem) < 120


# --- several at once ---
def test_several_problems_of_single_fields_together():
    document = spoilt(
        spoilt(spoilt(base(), "slots.count", 0), "devices[0].kappa", -1), "tasks[1].slot", REMOVED
    )
    assert [problem.split(":")[0] for problem in problems_of(document)] == [
        "slots.count",
        "devices[0].kappa",
        "tasks[1].slot",
    ]


def test_several_problems_between_fields_together():
    document = spoilt(spoilt(base(), "tasks[0].rate_bps", [1]), "tasks[0].max_delay_s", [1])
    document = spoilt(spoilt(document, "tasks[1].device", "?"), "links.server_bps", [[1]])
    assert problems_of(document) == [
        "links.server_bps: 1 rows for 3 servers",
        "links.server_bps[0]: 1 numbers for 3 servers",
        "tasks[0].rate_bps: 1 rates for 3 servers",
        "tasks[0].max_delay_s: 1 delays for 2 blocks",
        "tasks[1].device: no device '?'",
    ]


def test_duplicate_names_join_the_other_problems():
    document = spoilt(spoilt(base(), "models[1].name", "net"), "devices[1].name", "cam")
    document["tasks"][1] |= {"model": "net", "device": "cam", "slot": 7}
    assert len(problems_of(document)) == 3


def test_the_wrong_format_is_the_only_problem():
    assert len(problems_of({"format": "mecopt-instance/9", "nodes": 3})) == 1


def test_thousands_of_problems_are_cut_short():
    document = base()
    document["tasks"] = [{**document["tasks"][0], "slot": 9} for _ in range(5000)]
    with pytest.raises(mecopt.InstanceError) as error:
        mecopt.from_dict(document)
    assert len(error.value.problems) == 5000
    assert len(str(error.value).splitlines()) == 21
    assert str(error.value).endswith("and 4980 more problems")


# --- mutations of valid documents ---
JUNK = st.sampled_from(
    [
        NAN,
        INF,
        -INF,
        -1,
        -0.0,
        0,
        1e308,
        5e-324,
        2**63,
        10**400,
        True,
        None,
        "",
        "x",
        "nan",
        "\n",
        [],
        [[]],
        [None],
        {},
        {"a": 1},
    ]
)


def spots(value, path=()):
    """Yield the path of everything in a document."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from spots(inner, (*path, key))


@st.composite
def mutants(draw):
    """Draw a valid document and spoil one to three places: junk, removal, a doubled or an unknown entry."""
    document = copy.deepcopy(draw(documents()))
    for _ in range(draw(st.integers(1, 3))):
        paths = sorted(spots(document), key=str)
        assume(paths)
        path = draw(st.sampled_from(paths))
        target = document
        for step in path[:-1]:
            target = target[step]
        kind = draw(st.sampled_from(["junk", "junk", "remove", "double", "extra"]))
        if kind == "junk":
            target[path[-1]] = copy.deepcopy(draw(JUNK))  # a later step may change it
        elif kind == "remove":
            del target[path[-1]]
        elif kind == "double" and isinstance(target, list):
            target.append(copy.deepcopy(target[path[-1]]))
        elif isinstance(target, dict):
            target[draw(st.sampled_from(["extra", "", "#", "a\nb", "ü", "tasks", "slot"]))] = copy.deepcopy(
                draw(JUNK)
            )
    return document


def loads_or_says_why(load, *arguments):
    """Return the instance, or None after an error that is as it must be; anything else fails the test."""
    try:
        return load(*arguments)
    except mecopt.InstanceError as error:
        problems = error.problems
    assert problems
    for problem in problems:
        assert problem
        assert problem.isprintable()
        assert len(problem) < 500
    return None


@examples(300)
@given(mutants())
def test_mutants_are_loaded_or_refused_in_one_line_each(document):
    """What is loaded can be judged or is out of range, can be written, and is read back the same."""
    instance = loads_or_says_why(mecopt.from_dict, document)
    from_text = loads_or_says_why(from_json, json.dumps(document).encode())
    assert (instance is None) == (from_text is None)
    if instance is None:
        return
    assert from_text == instance
    assert mecopt.from_dict(mecopt.to_dict(instance)) == instance
    placement = [[0] * count for count in instance.block_count]
    loads_or_says_why(lambda: mecopt.evaluate(instance, placement).violations)
    loads_or_says_why(lambda: mecopt.solve(instance, "trellis", relax=True).to_json())


@examples(150)
@given(documents(), st.data())
def test_truncated_or_garbled_files(document, data):
    text = json.dumps(document).encode()
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(mecopt.InstanceError, match="not JSON"):
        from_json(text[:cut])
    byte = data.draw(st.integers(0, 255))
    loads_or_says_why(from_json, text[:cut] + bytes([byte]) + text[cut + 1 :])


@examples(150)
@given(documents(), st.data())
def test_junk_is_named_by_its_place(document, data):
    """A junk value that no field takes is reported at exactly the place where it was put."""
    paths = sorted((p for p in spots(document) if p[0] not in ("origin", "description")), key=str)
    path = data.draw(st.sampled_from(paths))
    document = copy.deepcopy(document)
    target = document
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = {"junk": NAN} if not isinstance(target[path[-1]], dict) else [NAN]
    places = [problem.split(": ")[0] for problem in problems_of(document)]
    assert any(place.startswith(where(path)) for place in places)


def test_where():
    assert where(("tasks", 3, "rate_bps", "#list", 1)) == "tasks[3].rate_bps[1]"
    assert where(()) == ""
