"""Instances of profiles: every figure is where it belongs, and what does not fit is named."""

import itertools

import numpy as np
import pytest

import mecopt
from mecopt.importing import model_document as models
from mecopt.profiling import assembling, links, profile_files

LINKS = "from,to,rate_bps,latency_s\ndev,edge,1e8,0.001\n"


@pytest.fixture
def made(tmp_path, model_of, profile_of):
    """Return an instance of given profiles and links."""

    def make(profiles, text=LINKS, models=None):
        (tmp_path / "links.csv").write_text(text)
        models = models or [model_of()]
        named = [(f"{i}.json", profile) for i, profile in enumerate(profiles)]
        files = [(f"model{i}.json", model) for i, model in enumerate(models)]
        return assembling.instance(files, named, str(tmp_path / "links.csv"), name="made")

    return make


def test_the_optimum_is_that_of_the_figures_by_hand(made, model_of, profile_of):
    """Three blocks, two machines, every placement counted from profiles and links."""
    model = model_of(blocks=3, bits=8e5)
    device, server = [0.02, 0.05, 0.03], [0.004, 0.01, 0.002]
    starts = [0.0, 0.003, 0.001]
    instance = made(
        [profile_of(model, "dev", device), profile_of(model, "edge", server, starts=starts)], models=[model]
    )
    totals = {}
    for place in itertools.product((0, 1), repeat=3):
        total, before = 0.0, 0
        for m, node in enumerate(place):
            total += (device, server)[node][m]
            total += 0.001 + 8e5 / 1e8 if node != before else 0.0
            total += starts[m] if node and (m == 0 or before == 0) else 0.0
            before = node
        totals[place] = total + (0.001 + 320 / 1e8 if before else 0.0)
    result = mecopt.solve(instance)
    assert result.status == "optimal"
    assert result.objective == pytest.approx(min(totals.values()), rel=1e-9)
    for place, total in totals.items():
        assert mecopt.evaluate(instance, np.array([place])).total_delay_s == pytest.approx(total, rel=1e-9)


def test_a_link_given_once_holds_both_ways_and_given_twice_each_by_itself(made, model_of, profile_of):
    profiles = [profile_of(model_of(), name) for name in ("dev", "edge", "far")]
    one = made(profiles, LINKS + "edge,far,1e9,0.002\n")
    assert one.tasks.rate_bps.tolist() == [[1e8, 0]]
    assert one.links.server_bps[1, 0] == one.links.server_bps[0, 1] == 1e9
    assert one.links.server_latency_s[1, 0] == 0.002
    two = made(profiles, LINKS + "edge,dev,2e7,0.001\nedge,far,1e9,\nfar,edge,5e8,\n")
    assert two.tasks.back_bps.tolist() == [[2e7, 0]]
    assert (two.links.server_bps[0, 1], two.links.server_bps[1, 0]) == (1e9, 5e8)


def test_what_was_estimated_is_called_so_in_names_description_and_result(made, model_of, profile_of):
    estimate = profile_of(model_of(), "estimate:pi", kind="estimate", seconds=[1e-6] * 3)
    instance = made(
        [profile_of(model_of(), "dev", [1.0] * 3), estimate], LINKS.replace("edge", "pi")
    )  # by its plain name too
    assert instance.servers[0].name == instance.servers[0].hardware == "estimate:pi"
    assert "estimated, not measured, on estimate:pi" in instance.description
    result = mecopt.solve(instance).to_dict()
    assert "estimate:pi" in result["nodes"]
    assert result["options"]["estimated_hardware"] == ["estimate:pi"]
    assert instance.origin["profiles"][1]["kind"] == "estimate"


def test_a_profile_given_twice_is_two_machines(made, model_of, profile_of):
    edge = profile_of(model_of(), "edge")
    text = LINKS + "dev,edge-2,1e7,0\nedge,edge-2,1e9,0\n"
    instance = made([profile_of(model_of(), "dev"), edge, edge], text)
    assert [server.name for server in instance.servers] == ["edge", "edge-2"]
    assert {server.hardware for server in instance.servers} == {"edge"}


def test_several_models_share_machines(made, model_of, profile_of):
    models = [model_of("a"), model_of("b", blocks=2)]
    profiles = [profile_of(model, name) for model in models for name in ("dev", "edge")]
    instance = made(profiles, models=models)
    assert (instance.task_count, instance.server_count) == (2, 1)
    with pytest.raises(mecopt.InputError, match="none of model 'b' on 'edge'"):
        made(profiles[:3], models=models)


def test_a_model_that_was_measured_elsewhere_needs_no_profile(tmp_path, model_of, profile_of):
    document = model_of().to_dict()
    for m, block in enumerate(document["model"]["blocks"]):
        block["measured_seconds"] = {"rpi4": 0.1, "tower": 0.001 * (m + 1)}
    model = models.from_dict(document)
    assert [assembling.measured(model, kind) for kind in ("rpi4", "moon")] == [True, False]
    (tmp_path / "l.csv").write_text("from,to,rate_bps\nrpi4,tower,1e9\nrpi4,edge,1e7\n")
    profiles = [("rpi4", None), ("tower", None), ("edge.json", profile_of(model, "edge", [0.5] * 3))]
    instance = assembling.instance([("m.json", model)], profiles, str(tmp_path / "l.csv"), name="x")
    assert [block.measured_seconds["tower"] for block in instance.models[0].blocks] == [0.001, 0.002, 0.003]
    assert mecopt.solve(instance).objective == pytest.approx(0.006 + 1e6 / 1e9 + 320 / 1e9)


def test_what_does_not_fit_is_named(made, model_of, profile_of):
    dev, edge = (profile_of(model_of(), name) for name in ("dev", "edge"))
    with pytest.raises(mecopt.InputError, match=r"1\.json: model\.sha256: a profile of another model"):
        made([dev, profile_of(model_of("other"), "edge")])
    with pytest.raises(mecopt.InputError, match="4 blocks where the model has 3"):
        made([dev, profile_of(model_of(blocks=4), "edge")])
    with pytest.raises(mecopt.InputError, match="1 machine, expected at least two"):
        made([dev])
    with pytest.raises(mecopt.InputError, match="'edge' has another profile already"):
        made([dev, edge, profile_of(model_of(), "edge", [2.0] * 3)])


def test_latencies_that_differ_by_direction_are_one(made, model_of, profile_of):
    """As `mecopt probe` writes them: two measured figures are never equal, an instance has one."""
    instance = made(
        [profile_of(model_of(), name) for name in ("dev", "edge")],
        "from,to,rate_bps,latency_s\ndev,edge,1e8,0.002\nedge,dev,2e8,0.004\n",
    )
    assert instance.links.device_latency_s.tolist() == [pytest.approx(0.003)]
    assert instance.tasks.down_rate_bps.tolist() == [[2e8]]


BAD_CELLS = {
    "from,to,rate_bps\ndev,edge,fast\n": "row 2, column rate_bps: 'fast', expected a number >= 0",
    "from,to,rate_bps\ndev,edge,-1\n": "row 2, column rate_bps: '-1'",
    "from,to,rate_bps\ndev,edge,inf\n": "row 2, column rate_bps: 'inf'",
    "from,to,rate_bps\ndev,edge,\n": "row 2, column rate_bps: ''",
    "from,to,rate_bps,latency_s\n\ndev,edge,1,x\n": "row 3, column latency_s: 'x'",
    "from,to,rate_bps\ndev,moon,1\n": "row 2, column to: 'moon' is no node, expected one of 'dev', 'edge'",
    "from,to,rate_bps\ndev,edge\n": "row 2: 2 cells, expected 3",
    "from,to,rate_bps\ndev,dev,1\n": "row 2, column to: 'dev' is where the link begins",
    "from,to,rate_bps\ndev,edge,1\ndev,edge,2\n": "row 3: the link from 'dev' to 'edge' is given twice",
    "from,to\ndev,edge\n": "row 1: column 'rate_bps' is missing",
    "from,to,rate_bps,speed\n": "row 1: unknown column 'speed'",
    'from,to,rate_bps\n"dev,edge,1': "not CSV",
    "": "row 1: column 'from' is missing",
}


@pytest.mark.parametrize("text", BAD_CELLS)
def test_a_cell_that_cannot_be_read_is_named_by_row_and_column(tmp_path, text):
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(mecopt.InputError) as error:
        links.read(str(tmp_path / "l.csv"), [["dev"], ["edge"]])
    assert BAD_CELLS[text] in str(error.value)


def test_tables_of_spreadsheets_are_read(tmp_path):
    text = "\ufefffrom, to ,rate_bps,latency_s\r\n dev ,edge,1e6,\r\n,,,\r\n"
    (tmp_path / "l.csv").write_bytes(text.encode())
    found = links.read(str(tmp_path / "l.csv"), [["dev"], ["edge"]])
    assert found == {(0, 1): links.Link(1e6, 0.0), (1, 0): links.Link(1e6, 0.0)}
    (tmp_path / "l.csv").write_bytes(text.encode("utf-16"))
    with pytest.raises(mecopt.InputError, match="UTF-16"):
        links.read(str(tmp_path / "l.csv"), [["dev"], ["edge"]])


def test_a_profile_is_read_with_a_mark_and_names_what_is_wrong(tmp_path, model_of, profile_of):
    data, path = profile_files.text(profile_of(model_of(), "dev")), tmp_path / "p.json"
    path.write_bytes(b"\xef\xbb\xbf" + data)
    assert profile_files.text(profile_files.load(path)) == data
    for spoilt, text in (
        (data.replace(b'"hardware"', b'"hardware": "x", "hardware"', 1), "p.json: hardware: given twice"),
        (data.decode().encode("utf-16"), "not JSON: not UTF-8 but UTF-16"),
    ):
        path.write_bytes(spoilt)
        with pytest.raises(mecopt.InputError, match=text):
            profile_files.load(path)
