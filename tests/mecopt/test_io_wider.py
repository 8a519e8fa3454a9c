"""Files of mecopt-instance/2: what is written is read back, defaults change nothing, errors name places."""

import copy
import json

import jsonschema
import pytest
from hypothesis import given
from small_case import case
from strategies import documents, examples
from wide_strategies import wide_documents

import mecopt
from mecopt import schema
from mecopt.io import from_json, to_json
from mecopt.json_schemas import json_schema

PHASES = [{"name": "prefill"}, {"name": "decode", "repeat": 3}]
VALIDATOR = jsonschema.Draft202012Validator(json_schema("instance"))
STAYS = {"tasks": "all", "blocks": "all", "nodes": ["device"]}


def spelled_out(document):
    """Return a document of the first format as one of the wider, with every default written down."""
    rules = {"objective": {"delay": 1, "energy": 0, "of": "all"}, "one_run": "none", "sharing": None}
    once = {"phases": [{"name": "all", "repeat": 1}], "shared_params": []}
    block = {"state_read_bytes": 0, "start_seconds": {"rpi4": 0}, "state_bytes": 0}
    node = {"memory_bytes_per_s": None, "calc_spread": 0}
    task = {"weight": 1, "drop_cost": None}
    return {
        **document,
        "format": "mecopt-instance/2",
        "rules": {**document.get("rules", {}), **rules},
        "models": [
            {
                **model,
                **once,
                "output_bits": [model.get("output_bits", 0)],
                "blocks": [
                    {**block, "read_bytes": b.get("param_bytes", 0), **b, "cycles": [b["cycles"]]}
                    for b in model["blocks"]
                ],
            }
            for model in document["models"]
        ],
        "devices": [{**device, **node} for device in document["devices"]],
        "servers": [{**server, **node, "compute_power_w": None} for server in document["servers"]],
        "allow": [],
        "tasks": [
            {**t, **task, "max_total_delay_s": [None], "down_rate_bps": t["rate_bps"]}
            for t in document["tasks"]
        ],
    }


@examples(60)
@given(wide_documents())
def test_a_written_instance_is_read_back(document):
    instance = mecopt.from_dict(document)
    for again in (
        from_json(json.dumps(document).encode()),
        mecopt.from_dict(mecopt.to_dict(instance)),
        from_json(to_json(instance).encode()),
    ):
        assert again.sha256 == instance.sha256
        assert mecopt.to_dict(again) == mecopt.to_dict(instance)
        assert again.format == instance.format


@examples(60)
@given(wide_documents())
def test_the_schema_accepts_what_is_read_and_written(document):
    assert VALIDATOR.is_valid(document)
    assert VALIDATOR.is_valid(mecopt.to_dict(mecopt.from_dict(document)))


@examples(60)
@given(documents())
def test_defaults_spelled_out_are_the_first_format(document):
    instance, same = mecopt.from_dict(document), mecopt.from_dict(spelled_out(document))
    VALIDATOR.validate(spelled_out(document))
    assert same.sha256 == instance.sha256
    assert same.format == "mecopt-instance/1"
    assert mecopt.to_dict(same) == mecopt.to_dict(instance)
    assert from_json(to_json(same, "mecopt-instance/2").encode()).sha256 == instance.sha256


def phased(**changes):
    return case(model={"phases": PHASES, **changes.pop("model", {})}, **changes)


def allowed(*entries, **changes):
    return {**case(**changes), "allow": list(entries)}


def first(place, value):
    """Return the small case as a file of the first format, with a field added."""
    document = {**copy.deepcopy(case()), "format": "mecopt-instance/1"}
    *steps, name = place
    part = document
    for step in steps:
        part = part[step]
    part[name] = value
    return document


WIDER_ONLY = {
    ("allow",): [],
    ("rules", "objective"): "delay",
    ("rules", "one_run"): "none",
    ("rules", "sharing"): None,
    ("models", 0, "phases"): PHASES,
    ("models", 0, "shared_params"): [],
    ("models", 0, "blocks", 1, "read_bytes"): 1,
    ("models", 0, "blocks", 1, "state_read_bytes"): 1,
    ("models", 0, "blocks", 1, "start_seconds"): {},
    ("models", 0, "blocks", 1, "state_bytes"): 1,
    ("devices", 0, "memory_bytes_per_s"): 1,
    ("devices", 0, "calc_spread"): 0,
    ("servers", 1, "memory_bytes_per_s"): 1,
    ("servers", 1, "compute_power_w"): 1,
    ("servers", 1, "calc_spread"): 0,
    ("tasks", 0, "max_total_delay_s"): 1,
    ("tasks", 0, "down_rate_bps"): [1, 1],
    ("tasks", 0, "weight"): 1,
    ("tasks", 0, "drop_cost"): 1,
}


def problems_of(document):
    with pytest.raises(mecopt.InstanceError) as error:
        mecopt.from_dict(document)
    assert error.value.exit_status == 2
    return list(error.value.problems)


@pytest.mark.parametrize(("place", "value"), WIDER_ONLY.items())
def test_a_file_of_the_first_format_has_no_field_of_the_wider(place, value):
    expected = "unknown field of mecopt-instance/1, it is one of mecopt-instance/2"
    assert problems_of(first(place, value)) == [f"{schema.where(place)}: {expected}"]
    assert not VALIDATOR.is_valid(first(place, value))
    mecopt.from_dict({**first(place, value), "format": "mecopt-instance/2"})


# What one field alone shows: the schema refuses it too.
BAD_FIELDS = [
    (case(objective="joules"), "rules.objective: 'joules', expected 'delay' or 'period' or {"),
    (case(objective=3), "rules.objective: 3, expected 'delay' or 'period' or {"),
    (case(objective={"delay": -1}), "rules.objective.delay: -1, expected a number >= 0"),
    (case(objective={"delay": 1, "energy": float("nan")}), "rules.objective.energy: nan, expected a finite"),
    (
        case(objective={"delay": 1, "of": "servers"}),
        "rules.objective.of: 'servers', expected 'devices' or 'all'",
    ),
    (case(objective={"delay": 1, "watts": 1}), "rules.objective.watts: unknown field"),
    (case(one_run="device"), "rules.one_run: 'device', expected 'none', 'servers' or 'all'"),
    (case(couplings=["sharing"], sharing="md1"), "rules.sharing: 'md1', expected 'mm1' or 'affine'"),
    (case(tasks=[{"max_total_delay_s": -1}]), "tasks[0].max_total_delay_s: -1, expected a number >= 0"),
    (phased(tasks=[{"max_total_delay_s": [1, -1]}]), "tasks[0].max_total_delay_s[1]: -1, expected a number"),
    (case(tasks=[{}, {"weight": 0}]), "tasks[1].weight: 0, expected a number > 0"),
    (case(tasks=[{"weight": -2}]), "tasks[0].weight: -2, expected a number > 0"),
    (case(tasks=[{"weight": None}]), "tasks[0].weight: null, expected a number"),
    (case(tasks=[{"drop_cost": -1}]), "tasks[0].drop_cost: -1, expected a number >= 0"),
    (case(tasks=[{"drop_cost": float("inf")}]), "tasks[0].drop_cost: inf, expected a finite number"),
    (case(tasks=[{"down_rate_bps": [1, -1]}]), "tasks[0].down_rate_bps[1]: -1, expected a number >= 0"),
    (case(tasks=[{"down_rate_bps": 1}]), "tasks[0].down_rate_bps: 1, expected a list"),
    (case(tasks=[{"wieght": 2}]), "tasks[0].wieght: unknown field, did you mean 'weight'?"),
    ({**case(), "weight": 2}, "weight: unknown field"),
    ({**case(), "mecopt-instance/1": 2}, "mecopt-instance/1: unknown field"),
    ({**case(), "allows": []}, "allows: unknown field, did you mean 'allow'?"),
    (
        case(objective={"delay": 1, "energi": 1}),
        "rules.objective.energi: unknown field, did you mean 'energy'?",
    ),
    (
        {**case(), "allow": [{"task": "all", "tasks": "all", "blocks": "all", "nodes": ["device"]}]},
        "allow[0].task: unknown field, did you mean 'tasks'?",
    ),
    (case(model={"phases": []}), "models[0].phases: 0 given, expected at least 1"),
    (case(model={"phases": [{"repeat": 2}]}), "models[0].phases[0].name: missing"),
    (
        case(model={"phases": [{"name": "p", "repeat": 0}]}),
        "models[0].phases[0].repeat: 0, expected a number >=",
    ),
    (
        case(model={"phases": [{"name": "p", "repeat": 1.5}]}),
        "models[0].phases[0].repeat: 1.5, expected a whole",
    ),
    (phased(a={"cycles": [1, -1]}), "models[0].blocks[0].cycles[1]: -1, expected a number >= 0"),
    (case(a={"start_seconds": {"gpu": -1}}), "models[0].blocks[0].start_seconds.gpu: -1, expected a number"),
    (
        phased(a={"start_seconds": {"gpu": [1, 1]}}),
        "models[0].blocks[0].start_seconds.gpu: a list of 2, expected",
    ),
    (case(b={"state_bytes": -1}), "models[0].blocks[1].state_bytes: -1, expected a number >= 0"),
    (case(b={"read_bytes": "1"}), "models[0].blocks[1].read_bytes: '1', expected a number"),
    (case(device={"memory_bytes_per_s": 0}), "devices[0].memory_bytes_per_s: 0, expected a number > 0"),
    (case(es1={"memory_bytes_per_s": 0}), "servers[0].memory_bytes_per_s: 0, expected a number > 0"),
    (case(es1={"calc_spread": -1}), "servers[0].calc_spread: -1, expected a number >= 0"),
    (case(es1={"compute_power_w": -1}), "servers[0].compute_power_w: -1, expected a number >= 0"),
    (allowed({**STAYS, "tasks": "some"}), "allow[0].tasks: 'some', expected 'all' or a list"),
    (allowed({**STAYS, "blocks": "a"}), "allow[0].blocks: 'a', expected 'all' or a list"),
    (allowed(STAYS, {**STAYS, "nodes": []}), "allow[1].nodes: 0 given, expected at least 1"),
    (allowed({"tasks": "all", "blocks": "all"}), "allow[0].nodes: missing"),
    (
        case(model={"shared_params": [{"name": "t", "bytes": -1, "blocks": [0]}]}),
        "models[0].shared_params[0].bytes: -1, expected a number >= 0",
    ),
]
# What only several fields together show.
CONTRADICTIONS = [
    (phased(a={"cycles": [1, 2, 3]}), "models[0].blocks[0].cycles: 3 values for 2 phases"),
    (phased(b={"input_bits": [1]}), "models[0].blocks[1].input_bits: 1 values for 2 phases"),
    (phased(b={"read_bytes": [1]}), "models[0].blocks[1].read_bytes: 1 values for 2 phases"),
    (phased(b={"state_read_bytes": [1]}), "models[0].blocks[1].state_read_bytes: 1 values for 2 phases"),
    (
        phased(a={"measured_seconds": {"gpu": [1]}}),
        "models[0].blocks[0].measured_seconds.gpu: 1 values for 2 phases",
    ),
    (phased(model={"output_bits": [1]}), "models[0].output_bits: 1 values for 2 phases"),
    (case(a={"cycles": [1, 2]}), "models[0].blocks[0].cycles: 2 values for 1 phases"),
    (phased(tasks=[{"max_total_delay_s": [1]}]), "tasks[0].max_total_delay_s: 1 delays for 2 phases"),
    (case(tasks=[{"down_rate_bps": [1]}]), "tasks[0].down_rate_bps: 1 rates for 2 servers"),
    (
        case(model={"phases": [{"name": "p"}, {"name": "p"}]}),
        "models[0].phases[1].name: 'p' is also the name of phases[0]",
    ),
    (
        case(model={"shared_params": [{"name": "t", "bytes": 1, "blocks": ["a", "z"]}]}),
        "models[0].shared_params[0].blocks[1]: no block 'z', expected a name or number",
    ),
    (allowed({**STAYS, "tasks": [0, 5]}), "allow[0].tasks[1]: 5, expected 0 to 0"),
    (
        allowed({**STAYS, "blocks": ["zz"]}),
        "allow[0].blocks[0]: no block 'zz' in its tasks' models, expected",
    ),
    (allowed({**STAYS, "blocks": [7]}), "allow[0].blocks[0]: no block 7 in its tasks' models, expected"),
    (
        allowed({**STAYS, "nodes": ["es1", "es9"]}),
        "allow[0].nodes[1]: no node 'es9', expected 'device' or the name of a server",
    ),
    (
        allowed({**STAYS, "blocks": ["b"]}, {**STAYS, "nodes": ["es1"]}),
        "allow: no node is left for block 1 of tasks[0], expected at least one",
    ),
    (
        allowed({**STAYS, "nodes": ["es1"]}, es2={"name": "device"}),
        "servers[1].name: 'device' is what `allow` calls a task's device, expected another name",
    ),
    (case(couplings=["sharing"]), "rules.sharing: missing beside the coupling sharing, expected 'mm1' or"),
    (
        case(objective="period", deadline="soft"),
        "rules.objective: period, expected it without soft deadlines",
    ),
    (
        case(objective="period", couplings=["capacity"]),
        "rules.objective: period, expected it without the coupling capacity",
    ),
    (
        case(objective="period", couplings=["sharing"], sharing="mm1"),
        "rules.objective: period, expected it without the coupling sharing",
    ),
    (
        case(objective="period", tasks=[{}, {"weight": 2}]),
        "tasks[1].weight: 2, expected none under the objective period",
    ),
    (
        case(objective="period", tasks=[{"drop_cost": 0}]),
        "tasks[0].drop_cost: 0, expected none under the objective period",
    ),
    (case(objective={"energy": 1}, deadline="soft"), "rules.objective.delay: 0 with soft deadlines, whose"),
    (
        case(objective={"delay": 0}),
        "rules.objective: delay and energy are both 0, expected one of them above",
    ),
    (
        case(device={"cycles_per_s": None, "memory_bytes_per_s": 1}, objective={"delay": 1, "energy": 1}),
        "devices[0]: 'cam' has neither cycles_per_s nor compute_power_w, expected one of them where energy",
    ),
    (
        case(device={"cycles_per_s": None, "memory_bytes_per_s": 1}, couplings=["energy"]),
        "devices[0]: 'cam' has neither cycles_per_s nor compute_power_w, expected one of them where energy",
    ),
]


@pytest.mark.parametrize(("document", "problem"), BAD_FIELDS)
def test_a_field_names_its_place_and_what_was_expected(document, problem):
    (line,) = problems_of(document)
    assert line.startswith(problem)
    assert "finite" in problem or not VALIDATOR.is_valid(document)  # JSON has no NaN to refuse


@pytest.mark.parametrize(("document", "problem"), CONTRADICTIONS)
def test_fields_that_contradict_each_other_are_named(document, problem):
    (line,) = problems_of(document)
    assert line.startswith(problem)
    assert VALIDATOR.is_valid(document)


@pytest.mark.parametrize(
    ("document", "lacks"),
    [
        (
            case(device={"cycles_per_s": None}),
            "nor a cycles_per_s nor memory_bytes_per_s for devices[0] 'cam'",
        ),
        (case(es2={"cycles_per_s": None}), "nor a cycles_per_s nor memory_bytes_per_s for servers[1] 'es2'"),
        (case(a={"cycles": None}), "nor cycles nor memory_bytes_per_s for servers[0] 'es1'"),
        (
            case(a={"cycles": 0, "measured_seconds": {"gpu": 1}}),
            "neither cycles nor measured seconds for devices",
        ),
    ],
)
def test_a_block_whose_time_nothing_tells_is_refused(document, lacks):
    lines = problems_of(document)
    assert any(lacks in line for line in lines)
    assert all(line.startswith("models[0].blocks[") and "which may run it" in line for line in lines)
    kept = {**document, "allow": [{**STAYS, "nodes": ["es1" if "es1" not in lacks else "es2"]}]}
    if "cycles_per_s" in lacks.partition(" for ")[0]:  # a node that may run nothing need tell nothing
        mecopt.from_dict(kept)


def test_a_speed_that_is_left_out_is_written_as_the_wider_format(tmp_path):
    """The first format requires speeds, so a file without one would not be read again."""
    block = {"cycles": 1, "input_bits": 1, "measured_seconds": {"a": 1}}
    instance = mecopt.from_dict(
        {
            "format": "mecopt-instance/2",
            "slots": {"count": 1},
            "models": [{"name": "m", "blocks": [block]}],
            "devices": [{"name": "d", "hardware": "a"}],
            "servers": [{"hardware": "a", "cycles_per_s": 1}],
            "tasks": [{"slot": 0, "device": "d", "model": "m", "rate_bps": [1]}],
        }
    )
    assert instance.format == "mecopt-instance/2"
    mecopt.save(instance, tmp_path / "i.json")
    assert mecopt.load(tmp_path / "i.json") == instance


def test_what_is_public_makes_an_instance_that_uses_the_wider_model(tmp_path):
    phases = (mecopt.Phase("prefill"), mecopt.Phase("decode", 3))
    block = mecopt.Block(
        (8.0, 2.0), (16.0, 2.0), 10.0, name="a", state_bytes=4.0, start_seconds={"gpu": 0.5}, read_bytes=5.0
    )
    tied = (mecopt.SharedParams("tied", 7.0, ("a",)),)
    instance = mecopt.Instance(
        name="own",
        slot_count=1,
        models=(mecopt.Model("net", (block,), (8.0, 1.0), phases, tied),),
        devices=(mecopt.Device("cam", 2.0, compute_power_w=1.0),),
        servers=(mecopt.Server("es1", 4.0, memory_bytes_per_s=9.0, compute_power_w=2.0),),
        links=mecopt.Links.of(1, 0.0),
        tasks=mecopt.Tasks.of(
            slot=[0], device=0, model=0, rate_bps=[[8.0]], blocks=1, down_rate_bps=[[4.0]], weight=[2.0]
        ),
        rules=mecopt.Rules.preset(
            "physical",
            couplings={mecopt.Coupling.SHARING},
            sharing=mecopt.Sharing.AFFINE,
            one_run=mecopt.OneRun.ALL,
            objective=mecopt.Objective(1.0, 0.5, "all"),
        ),
        allow=(mecopt.Allow("all", ("a",), ("es1",)),),
    )
    document = mecopt.to_dict(instance)
    assert document["format"] == "mecopt-instance/2"
    mecopt.save(instance, tmp_path / "own.json")
    again = mecopt.load(tmp_path / "own.json")
    assert again == instance
    assert again.sha256 == instance.sha256
    assert document["rules"]["objective"] == {"delay": 1.0, "energy": 0.5, "of": "all"}
    assert document["models"][0]["phases"][1] == {"name": "decode", "repeat": 3}
