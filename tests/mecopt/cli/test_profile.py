"""`mecopt profile` and `mecopt instances new`: from a file to a plan, and everything that may be wrong."""

import importlib.util
import json
import re
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from places import ROOT
from small_network import network

import mecopt as library
from mecopt import cli
from mecopt.json_schemas import json_schema
from mecopt.profiling import measuring, profile_document, profile_files, roofline
from mecopt.profiling.operator_kinds import ALL_KINDS


@pytest.fixture
def run(capfd):
    """Run the command in this process; return status, standard output, messages."""

    def run(words, *more):
        with pytest.raises(SystemExit) as left:
            cli.main([*words.split(), *map(str, more)])
        return left.value.code or 0, *capfd.readouterr()

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a network, its model, a profile, constants, and an estimate by these."""
    place = tmp_path_factory.mktemp("profile")
    network(place / "net.onnx", layers=8)
    network(place / "other.onnx", layers=1)
    (place / "moved").mkdir()
    model = library.import_model(place / "net.onnx", blocks=4)
    for file in (place / "model.json", place / "moved" / "model.json"):
        model.save(file)
    (place / "l.csv").write_text("from,to,rate_bps\nhere,estimate:here,fast\n")
    ready = measuring.runner(model, str(place / "net.onnx"), "onnxruntime")
    made = measuring.measure(model, ready, hardware="here", repeat=2)
    (place / "here.json").write_bytes(profile_files.text(made))
    kind = profile_document.KindDoc(
        seconds_per_call=1e-6,
        seconds_per_operation=2e-11,
        seconds_per_byte=5e-11,
        kernels=1,
        median_error=0.0,
    )
    plain = made.model_dump() | {"kind": "constants", "model": None, "blocks": [], "stretches": []}
    plain |= {"whole": None, "fit": None, "steadiness": None, "constants": dict.fromkeys(ALL_KINDS, kind)}
    constants = profile_document.ProfileDoc.model_validate(plain)
    (place / "constants.json").write_bytes(profile_files.text(constants))
    guess = roofline.estimate(model, str(place / "net.onnx"), constants, "constants.json")
    (place / "guess.json").write_bytes(profile_files.text(guess))
    return place


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)


def test_the_commands_of_the_page_lead_from_a_file_to_a_proved_plan(folder, tmp_path, run, monkeypatch):
    """The second machine is this one under another name."""
    shutil.copy(folder / "net.onnx", tmp_path)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "own-machines.md").read_text()
    commands = re.search(r"```sh\n(.*?)```", page, re.DOTALL)[1].splitlines()
    Path("links.csv").write_text(re.search(r"```csv\n(.*?)```", page, re.DOTALL)[1])
    assert len(commands) == 4
    for line in commands:
        status, _, messages = run(line.removeprefix("mecopt "))
        assert status == 0, messages
        if "--out camera.json" in line:
            camera = json.loads(Path("camera.json").read_text())
            Path("edge.json").write_text(json.dumps({**camera, "hardware": "edge"}))
    instance = library.load("plan.json")
    result = library.solve(instance)
    assert (result.status, result.gap) == ("optimal", 0.0)
    local = sum(block.seconds for block in profile_files.load("camera.json").blocks)
    judged = library.evaluate(instance, np.zeros((1, instance.max_blocks), dtype=int))
    assert judged.total_delay_s == pytest.approx(local)


def test_a_profile_keeps_its_schema_and_adds_up(folder):
    written = json.loads((folder / "here.json").read_text())
    jsonschema.validate(written, json_schema("profile"))
    profile = profile_files.load(folder / "here.json")
    assert [block.name for block in profile.blocks] == profile.model.blocks
    assert profile.whole.predicted_s == pytest.approx(sum(block.seconds for block in profile.blocks))
    assert profile.whole.measured.count == 4
    assert {(s.first, s.last) for s in profile.stretches} >= {(0, 3), (0, 0), (0, 1), (1, 2), (2, 3)}
    # Loose, since other work runs on the machine that tests it.
    assert profile.whole.predicted_s == pytest.approx(profile.whole.measured.median_s, rel=0.5)
    times = profile.whole.measured
    assert 0 < times.lower_quartile_s <= times.median_s <= times.upper_quartile_s
    assert profile.runtime.pinned_to is None or len(profile.runtime.pinned_to) == 1


def test_an_estimate_is_what_its_constants_say_of_the_operators(folder):
    """Calls, multiply-adds and bytes of the small network, counted by hand."""
    guess = profile_files.load(folder / "guess.json")
    assert (guess.kind, guess.hardware, guess.whole.measured) == ("estimate", "estimate:here", None)
    jsonschema.validate(json.loads((folder / "guess.json").read_text()), json_schema("profile"))
    pixels, width = 32 * 32, 8
    macs = pixels * width * 27 + 8 * pixels * width * 72 + width * 10
    predicted = guess.whole.predicted_s
    assert predicted > 2e-11 * macs
    moved = predicted - 2e-11 * macs - 1e-6 * 29  # operators and a start; the rest is bytes and sums
    assert 0.5 < moved / (5e-11 * 4 * pixels * width * 4 * 11) < 2


def test_json_is_one_document_and_the_file_is_written(tmp_path, run):
    _, out, _ = run("profile model.json --estimate constants.json --json --out", tmp_path / "p.json")
    assert json.loads(out) == json.loads((tmp_path / "p.json").read_text())


def test_tables_show_what_was_measured_and_what_not(tmp_path, run):
    _, out, messages = run("profile net.onnx --hardware x --repeat 2 --out", tmp_path / "p.json")
    assert "ms measured (quartiles" in out
    assert "halves of the run differ by" in out
    _, out, messages = run("profile model.json --estimate constants.json --out", tmp_path / "p.json")
    assert "an estimate, nothing was run" in out
    assert "warning: an estimate by constants of here" in messages


@pytest.mark.slow
def test_constants_are_measured_and_estimate_the_network(folder, tmp_path, run):
    assert run("profile --calibrate --hardware here --out", tmp_path / "c.json")[0] == 0
    run("profile model.json --estimate", tmp_path / "c.json", "--out", tmp_path / "g.json")
    jsonschema.validate(json.loads((tmp_path / "c.json").read_text()), json_schema("profile"))
    constants = profile_files.load(tmp_path / "c.json").constants
    assert constants["conv3x3"].median_error < 0.3
    measured = profile_files.load(folder / "here.json").whole.measured.median_s
    assert 0.3 < profile_files.load(tmp_path / "g.json").whole.predicted_s / measured < 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_program_of_torch_is_measured_by_both_runtimes(tmp_path, run):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    layers = [torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU()]
    layers += [
        torch.nn.Conv2d(8, 8, 3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * 28 * 28, 10),
    ]
    program = torch.export.export(torch.nn.Sequential(*layers).eval(), (torch.rand(1, 3, 32, 32),))
    torch.export.save(program, tmp_path / "net.pt2")
    assert run("import", tmp_path / "net.pt2", "--blocks", 3, "--out", tmp_path / "m.json")[0] == 0
    for runtime in ("torch", "onnxruntime"):
        words = ("--hardware", "x", "--repeat", 2, "--runtime", runtime, "--out", tmp_path / "p.json")
        status, _, messages = run("profile", tmp_path / "m.json", *words)
        assert status == 0, messages
        assert profile_files.load(tmp_path / "p.json").runtime.name == runtime


WRONG = {
    "profile": "missing argument 'MODEL'",
    "profile model.json": "missing option '--hardware NAME'",
    "profile nowhere.json --hardware x": "nowhere.json: no such file",
    "profile here.json --hardware x": "here.json: format: 'mecopt-profile/1', expected 'mecopt-model/1'",
    "profile model.json --hardware x --file other.onnx": "not the file that",
    "profile model.json --hardware x --file nowhere.onnx": "nowhere.onnx: cannot be read",
    "profile moved/model.json --hardware x": "which it was imported from, is not there",
    "profile net.onnx --hardware x --file net.onnx": "--file net.onnx: expected none",
    "profile model.json --hardware x --threads 4096": "expected at most the",
    "profile model.json --hardware x --repeat 1": "1 is not in the range",
    "profile model.json --hardware x --runtime torch": "expected a program of torch.export",
    "profile model.json --estimate here.json": "here.json: holds no constants",
    "profile model.json --calibrate --hardware x": "--calibrate measures the machine",
    "profile model.json --estimate constants.json --hardware x": "--estimate takes the hardware",
    "profile model.json --hardware x --out model.json": "is read by this command",
    "profile model.json --hardware x --idle -1": "expected a finite number >= 0",
    "instances new --model model.json --profiles constants.json --links l.csv": "holds constants of",
    "instances new --model model.json --profiles here.json,guess.json --links n.csv": "n.csv: no such file",
    "instances new --model here.json --profiles here.json --links l.csv": "here.json: format:",
    "instances new --model model.json --profiles model.json --links l.csv": "model.json: format:",
    "instances new --model model.json --profiles here.json,guess.json --links l.csv": "row 2, column",
    "instances new --model model.json --profiles here.json --links l.csv --name=": "--name is empty",
    "instances new --model model.json --profiles here.json --links l.csv --out a.txt": "ends in .json or",
    "instances --json new": "--json belongs behind new",
}


@pytest.mark.parametrize("words", WRONG)
def test_what_is_wrong_is_one_line_and_status_2(folder, run, words):
    before = sorted(folder.iterdir())
    status, out, messages = run(words)
    assert (status, out) == (2, "")
    assert WRONG[words] in messages
    assert len(messages.splitlines()) == 1
    assert sorted(folder.iterdir()) == before


def test_a_profile_that_contradicts_itself_is_refused(folder, tmp_path):
    whole = json.loads((folder / "here.json").read_text())
    for change, words in {
        ("blocks", ()): "blocks: 0 given, expected the 4 of model.blocks",
        ("kind", "estimate"): "hardware: 'here', expected 'estimate:'",
        ("kind", "constants"): "constants: expected them",
        ("hardwear", "x"): "hardwear: unknown field",
    }.items():
        (tmp_path / "p.json").write_text(json.dumps({**whole, change[0]: change[1]}))
        with pytest.raises(library.InputError, match=words):
            profile_files.load(tmp_path / "p.json")


def test_a_runtime_that_is_not_installed_is_said_with_the_line_that_installs_it(run, monkeypatch):
    real = importlib.util.find_spec
    for name, extra in (("onnxruntime", "onnx"), ("torch", "rl")):
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda found, *a, name=name: None if found == name else real(found, *a),
        )
        status, _, messages = run("profile model.json --hardware x --runtime", name)
        assert (status, f"pip install 'mecopt[{extra}" in messages) == (1, True), messages
