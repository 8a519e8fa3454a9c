"""Solutions of the wider format: terms, drops, phases, nodes, and when blocks run."""

import itertools
import json
import math

import jsonschema
import pytest
from hypothesis import given
from reference import Reference
from small_case import LEFT_OUT, case
from strategies import MINIMAL, examples
from wide_strategies import wide_documents, wide_judged

import mecopt
from mecopt import schedule
from mecopt.io import load_solution
from mecopt.json_schemas import json_schema

ADDED = {"objective_terms", "dropped", "phase_delay_s", "nodes", "schedule"}
PHASES = [{"name": "prefill", "repeat": 1}, {"name": "decode", "repeat": 3}]


def language_model(**changes):
    """[1, 1]: prefill 2 + 2 + 4 s, and three times decode 0.25 + 0.5 + 1 s."""
    return case(
        a={"cycles": [8, 2], "input_bits": [16, 2]},
        b={"cycles": [16, 4], "input_bits": [4, 1]},
        model={"phases": PHASES},
        **changes,
    )


def account(document, placement):
    instance = mecopt.from_dict(document)
    return schedule.account(instance, mecopt.evaluate(instance, placement))


def times(phase):
    return [(block["start_s"], block["end_s"]) for block in phase["blocks"]]


def test_one_pass_of_every_phase():
    found = account(language_model(), [[1, 1]])
    assert found["phase_delay_s"] == {"prefill": 8, "decode": 5.25}
    (task,) = found["schedule"]
    prefill, decode = task["phases"]
    assert (prefill["phase"], prefill["repeat"], prefill["delay_s"]) == ("prefill", 1, 8)
    assert (decode["phase"], decode["repeat"], decode["delay_s"]) == ("decode", 3, 5.25)
    assert [(block["block"], block["node"]) for block in decode["blocks"]] == [("a", "es1"), ("b", "es1")]
    assert times(prefill) == [(2, 4), (4, 8)]
    assert times(decode) == [(8.25, 8.75), (8.75, 9.75)]  # the first of three, when the prefill has ended


def test_what_is_left_out_has_no_schedule():
    # The other takes 8 s on [1, 1]; leaving this one out costs 5.
    found = account(case(tasks=[{"drop_cost": 5}, {}]), [LEFT_OUT, (1, 1)])
    assert found["dropped"] == 1
    assert found["objective_terms"] == {"delay": 8, "energy": 0, "period": 0, "penalties": 5}
    assert found["phase_delay_s"] == {"pass": 8}
    assert found["schedule"][0] == {"task": 0, "phases": []}
    assert times(found["schedule"][1]["phases"][0]) == [(2, 4), (4, 8)]


def test_nothing_behind_a_missing_link_has_a_time():
    found = account(case(tasks=[{"rate_bps": [8, 0], "weight": 2}], links={"server_bps": 0}), [[1, 2]])
    assert found["phase_delay_s"] == {"pass": None}
    assert times(found["schedule"][0]["phases"][0]) == [(2, 4), (None, None)]


def test_load_lengthens_a_schedule():
    # Two tasks of 6 s of work in a slot of 24 s: everything on es1 takes twice as long.
    rules = {"couplings": ["sharing"], "sharing": "mm1", "seconds": 24}
    found = account(case(tasks=[{}, {}], **rules), [(1, 1), (1, 1)])
    assert times(found["schedule"][0]["phases"][0]) == [(2, 6), (6, 14)]


def test_phases_of_one_name_are_summed_over_models():
    document = language_model(tasks=[{}, {"model": "other"}])
    blocks = [{"cycles": 8, "input_bits": 16}]
    document["models"].append(
        {"name": "other", "blocks": blocks, "phases": [{"name": "decode", "repeat": 2}]}
    )
    assert account(document, [[1, 1], [1]])["phase_delay_s"] == {"prefill": 8, "decode": 5.25 + 2 * 4}


@pytest.mark.parametrize(
    ("changes", "unit"),
    [
        ({"tasks": [{"weight": 2}]}, " s"),
        ({"objective": "period"}, " s"),
        ({"objective": {"delay": 0, "energy": 1}}, " J"),
        ({"objective": {"delay": 2, "energy": 0.5}}, ""),
    ],
)
def test_a_result_names_the_unit_of_its_objective(changes, unit):
    result = mecopt.solve(mecopt.from_dict(case(**changes)), "enumeration")
    assert f": {result.objective:.6g}{unit}, gap" in repr(result)
    assert repr(result.evaluation).endswith(f"objective {result.objective:.6g}{unit}>")


def test_results_of_the_first_format_stay_as_they_were():
    written = mecopt.solve(mecopt.from_dict(MINIMAL)).to_dict()
    assert written["format"] == "mecopt-solution/1"
    assert not ADDED & written.keys()


def test_a_result_of_the_wider_format_is_written_and_read(tmp_path):
    result = mecopt.solve(mecopt.from_dict(language_model()), "enumeration")
    result.save(tmp_path / "solution.json")
    written = json.loads((tmp_path / "solution.json").read_text())
    assert written == result.to_dict()
    assert written["format"] == "mecopt-solution/2"
    assert written["nodes"] == ["device", "es1", "es2"]
    jsonschema.validate(written, json_schema("solution"))
    assert load_solution(tmp_path / "solution.json").schedule[0].phases[1].phase == "decode"


def test_without_a_placement_all_of_it_is_null():
    document = case(deadline="hard", tasks=[{"max_total_delay_s": 1}])
    written = mecopt.solve(mecopt.from_dict(document), "enumeration").to_dict()
    assert written["status"] == "infeasible"
    assert {name: written[name] for name in ADDED} == {
        **dict.fromkeys(ADDED),
        "nodes": ["device", "es1", "es2"],
    }
    jsonschema.validate(written, json_schema("solution"))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            {"format": "mecopt-solution/1", "dropped": 0},
            "dropped: unknown field of mecopt-solution/1, it is one",
        ),
        ({"format": "mecopt-solution/2", "dropped": -1}, "dropped: -1, expected a number >= 0"),
        ({"format": "mecopt-solution/3"}, "format: 'mecopt-solution/3', expected 'mecopt-solution/1'"),
        ({"format": "mecopt-solution/2", "objective_terms": {"delay": 1}}, "objective_terms.energy: missing"),
        ({"format": "mecopt-solution/2", "schedule": [{"task": 0}]}, "schedule[0].phases: missing"),
    ],
)
def test_fields_of_solution_files_are_checked(tmp_path, fields, problem):
    (tmp_path / "s.json").write_text(json.dumps({"placement": [[0]], **fields}))
    with pytest.raises(mecopt.InputError) as error:
        load_solution(tmp_path / "s.json")
    assert error.value.problems[0].startswith(problem)


@examples(100)
@given(wide_judged(wide_documents()))
def test_accounts_add_up_and_agree_with_the_reference(drawn):
    document, placement = drawn
    instance = mecopt.from_dict(document)
    judged = mecopt.evaluate(instance, placement)
    found = schedule.account(instance, judged)
    json.dumps(found, allow_nan=False)
    if judged.feasible:
        total = sum(found["objective_terms"].values())
        assert total == pytest.approx(judged.objective, rel=1e-9, abs=1e-300)
    reference = Reference(document)
    stretch = reference.stretches(placement)
    for k, path in reference.placed(placement):
        phases = found["schedule"][k]["phases"]
        for phase, delay in zip(phases, reference.phase_delays(k, path, stretch), strict=True):
            if math.isfinite(delay):
                assert phase["delay_s"] == pytest.approx(delay, rel=1e-9, abs=1e-300)
                flat = [time for block in phase["blocks"] for time in (block["start_s"], block["end_s"])]
                rounding = 1e-9 * flat[-1]
                assert all(later >= earlier - rounding for earlier, later in itertools.pairwise(flat))
