"""Measured seconds by hardware: a name that nothing measures warns, a block free by omission is refused."""

import copy
import warnings

import pytest

import mecopt

JETSON = {
    "format": "mecopt-instance/1",
    "name": "jetson",
    "slots": {"count": 1, "seconds": 0.1},
    "rules": {"preset": "physical", "deadline": "none"},
    "models": [
        {
            "name": "net",
            "blocks": [
                {"name": name, "cycles": 0, "input_bits": 4, "measured_seconds": {"jetson": 0.1, "gpuA": 1}}
                for name in ("stem", "head")
            ],
        }
    ],
    "devices": [{"name": "cam", "cycles_per_s": 1e9, "hardware": "jetson"}],
    "servers": [{"name": name, "cycles_per_s": 1e10, "hardware": "gpuA"} for name in ("A", "B")],
    "links": {"server_bps": 1e9},
    "tasks": [{"slot": 0, "device": "cam", "model": "net", "rate_bps": [6e7, 6e7]}],
}  # fmt: skip


def jetson(**places):
    """Return the document with values at places such as ``servers_0_hardware``."""
    document = copy.deepcopy(JETSON)
    for place, value in places.items():
        *way, last = [int(step) if step.isdigit() else step for step in place.split("__")]
        target = document
        for step in way:
            target = target[step]
        target[last] = value
    return document


def problems_of(document):
    with pytest.raises(mecopt.InstanceError) as error:
        mecopt.from_dict(document)
    return list(error.value.problems)


def test_measured_everywhere_is_read():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mecopt.solve(mecopt.from_dict(JETSON), "trellis").status == "optimal"


def test_a_letter_wrong_in_the_hardware_is_refused():
    problems = problems_of(jetson(servers__0__hardware="gpua"))
    assert problems == [
        f"models[0].blocks[{m}]: block '{name}' has neither cycles nor measured seconds for servers[0] 'A' "
        "(hardware 'gpua'), which may run it, expected one of them, did you mean 'gpuA'?"
        for m, name in enumerate(("stem", "head"))
    ]


def test_no_hardware_at_all_is_refused_too():
    assert len(problems_of(jetson(servers__1__hardware=None))) == 2
    assert all(
        "devices[0] 'cam' (no hardware named)" in p for p in problems_of(jetson(devices__0__hardware=None))
    )


def test_each_block_and_node_is_named():
    document = jetson(servers__0__hardware="x", servers__1__hardware="y")
    document["models"][0]["blocks"][0]["cycles"] = 1e6
    problems = problems_of(document)
    assert [p.split(" for ")[1].split(",")[0] for p in problems] == [
        "servers[0] 'A' (hardware 'x')",
        "servers[1] 'B' (hardware 'y')",
    ]


def test_a_block_of_no_cycles_that_nothing_measures_stays_free():
    document = jetson(servers__0__hardware=None)
    for block in document["models"][0]["blocks"]:
        del block["measured_seconds"]
    del document["devices"][0]["hardware"], document["servers"][1]["hardware"]
    assert mecopt.solve(mecopt.from_dict(document), "trellis").objective == 0


def test_a_measured_zero_is_no_omission():
    document = jetson()
    document["models"][0]["blocks"][0]["measured_seconds"] = {"jetson": 0.0, "gpuA": 0.0}
    assert mecopt.from_dict(document).task_count == 1


def test_a_measurement_on_hardware_that_is_not_there_counts():
    """Free everywhere, and not on purpose."""
    document = jetson()
    for block in document["models"][0]["blocks"]:
        block["measured_seconds"] = {"tpu": 0.1}
    assert len(problems_of(document)) == 6


# --- which node may run a block ---
def test_a_server_that_no_link_reaches_runs_nothing():
    document = jetson(servers__1__hardware=None, tasks__0__rate_bps=[6e7, 0], links__server_bps=0)
    assert mecopt.from_dict(document).task_count == 1


def test_a_server_behind_another_runs_no_first_block():
    document = jetson(servers__1__hardware=None, tasks__0__rate_bps=[6e7, 0], rules__preset="paper")
    assert [p[:19] for p in problems_of(document)] == ["models[0].blocks[1]"]
    document["links"]["server_bps"] = [[0, 0], [1e9, 0]]  # only the other way
    assert mecopt.from_dict(document).task_count == 1


def test_a_server_from_which_no_result_returns_runs_no_last_block():
    document = jetson(servers__1__hardware=None, tasks__0__rate_bps=[6e7, 0])
    assert (
        mecopt.from_dict(document).task_count == 1
    )  # reached with the second and last block, and no way back
    document["models"][0]["blocks"].append({"name": "tail", "cycles": 1, "input_bits": 1})
    assert [p[:19] for p in problems_of(document)] == ["models[0].blocks[1]"]


def test_a_model_without_tasks_runs_nowhere():
    document = jetson(servers__0__hardware="gpua")
    document["models"].append({"name": "other", "blocks": [{"cycles": 1, "input_bits": 1}]})
    document["tasks"][0]["model"] = "other"
    with pytest.warns(UserWarning, match="gpua"):
        assert mecopt.from_dict(document).task_count == 1


def test_a_device_without_tasks_of_the_model_may_lack_its_measurement():
    document = jetson()
    document["devices"].append({"name": "idle", "cycles_per_s": 1})
    assert mecopt.from_dict(document).task_count == 1
    document["tasks"].append({**document["tasks"][0], "device": "idle"})
    assert all("devices[1] 'idle'" in p for p in problems_of(document))


def test_links_agree_with_brute_force(monkeypatch):
    """Refused exactly where some placement over existing links runs the block on the node."""
    import itertools
    import random

    from mecopt.hardware import _reached

    for seed in range(40):
        rng = random.Random(seed)
        servers, blocks = rng.randint(1, 3), rng.randint(1, 4)

        def rate(rng=rng):
            return rng.choice([0.0, 1.0])

        document = jetson(rules__preset=rng.choice(["paper", "physical"]))
        document["servers"] = [{"cycles_per_s": 1.0} for _ in range(servers)]
        document["links"] = {"server_bps": [[rate() for _ in range(servers)] for _ in range(servers)]}
        document["models"][0]["blocks"] = [{"cycles": 1, "input_bits": 1} for _ in range(blocks)]
        document["devices"] = [{"name": "cam", "cycles_per_s": 1.0}]
        document["tasks"] = [
            {"slot": 0, "device": "cam", "model": "net", "rate_bps": [rate() for _ in range(servers)]}
            for _ in range(rng.randint(1, 2))
        ]
        instance = mecopt.from_dict(document)
        _, reached = _reached(instance, 0)
        expected = set()
        for path in itertools.product(range(servers + 1), repeat=blocks):
            for k in range(instance.task_count):
                one = instance.replace(tasks=mecopt.Tasks.of(
                    slot=0, device=0, model=0, rate_bps=instance.tasks.rate_bps[k : k + 1], blocks=blocks
                ))  # fmt: skip
                if not [v for v in mecopt.evaluate(one, [list(path)]).violations if v.kind == "link"]:
                    expected |= {(m, n - 1) for m, n in enumerate(path) if n}
        assert {(m, n) for m in range(blocks) for n in range(servers) if reached[m, n]} == expected


# --- names that nothing measures ---
def test_a_name_that_nothing_measures_warns(tmp_path):
    document = jetson(servers__0__hardware="gpua")
    for block in document["models"][0]["blocks"]:
        block["cycles"] = 1e6
    text = r"servers\[0\]\.hardware: no block has measured seconds for 'gpua', did you mean 'gpuA'\?; cycles"
    with pytest.warns(UserWarning, match=text) as found:
        instance = mecopt.from_dict(document)
    assert [warning.filename for warning in found] == [__file__]
    mecopt.save(instance, tmp_path / "a.json")
    with pytest.warns(UserWarning, match=text):
        mecopt.load(tmp_path / "a.json")
    with pytest.warns(UserWarning, match=text):
        mecopt.Instance(
            **{
                name: getattr(instance, name)
                for name in vars(instance)
                if name in mecopt.Instance.__match_args__
            }
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        instance.replace(name="a copy warns no more")


def test_one_line_for_each_kind():
    document = jetson()
    document["models"][0]["blocks"][0]["cycles"] = document["models"][0]["blocks"][1]["cycles"] = 1
    document["devices"] = [{"name": f"d{i}", "cycles_per_s": 1, "hardware": "pi"} for i in range(50)]
    document["tasks"][0]["device"] = "d7"
    with pytest.warns(UserWarning, match=r"devices\[0\]\.hardware and 49 more: no block .* 'pi'") as found:
        mecopt.from_dict(document)
    assert len(found) == 1
