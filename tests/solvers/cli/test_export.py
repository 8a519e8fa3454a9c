"""`mecopt export`: files that other readers read, and solve to the same optimum."""

import re
import shutil
import subprocess

import pytest
from click.testing import CliRunner
from small_case import case

import mecopt
from mecopt.highs import quiet
from mecopt.io import load, save
from mecopt_solvers.cli.export import export
from mecopt_solvers.crosscheck import brute_force, instances

TINY = ("tiny_capacity", "tiny_energy", "tiny_memory", "tiny_deadline")


def written(instance, path, *options):
    done = CliRunner().invoke(export, [instance, "--out", str(path), *options])
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    return path


def by_highs(path):
    highs = quiet()
    highs.setOptionValue("mip_rel_gap", 0.0)
    highs.readModel(str(path))
    highs.run()
    return highs.getInfo().objective_function_value


def by_ortools(path):
    from ortools.linear_solver.python import model_builder

    model = model_builder.Model()
    assert model.import_from_mps_file(str(path))
    solver = model_builder.Solver("scip")
    assert solver.solve(model) == model_builder.SolveStatus.OPTIMAL
    return solver.objective_value


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("formulation", ["flow", "assignment"])
@pytest.mark.parametrize("suffix", [".lp", ".mps"])
def test_another_solver_finds_the_same_optimum(name, formulation, suffix, tmp_path):
    source = f"instances/{name}.json"
    path = written(source, tmp_path / f"model{suffix}", "--formulation", formulation)
    truth = pytest.approx(brute_force(load(source)).objective, rel=1e-6)
    assert by_highs(path) == truth
    if suffix == ".mps":
        assert by_ortools(path) == truth


def test_names_are_readable(tmp_path):
    text = written("instances/tiny_memory.json", tmp_path / "model.lp").read_text()
    assert "step_1_1_0_2" in text
    assert "hold_0_1_0_1" in text
    assert "memory_0_1" in text
    text = written(
        "instances/tiny_memory.json", tmp_path / "model.mps", "--formulation", "assignment"
    ).read_text()
    assert "place_1_1_2" in text
    assert "both_1_1_0_2" in text


@pytest.mark.parametrize("out", ["model.txt", "model", "nowhere/model.lp"])
def test_a_bad_name_is_refused(out, tmp_path):
    done = CliRunner().invoke(export, ["instances/tiny_memory.json", "--out", str(tmp_path / out)])
    assert isinstance(done.exception, mecopt.InputError)
    assert list(tmp_path.iterdir()) == []


def test_a_task_that_cannot_be_placed(tmp_path):
    done = CliRunner().invoke(export, ["instances/tiny_infeasible.json", "--out", str(tmp_path / "x.lp")])
    assert done.exit_code == 3
    assert "task 1, block 1" in done.stderr
    assert not (tmp_path / "x.lp").exists()


def test_no_couplings(tmp_path):
    instance = load("instances/tiny_paper.json")
    save(instance, tmp_path / "i.json")
    path = written(str(tmp_path / "i.json"), tmp_path / "m.mps")
    assert by_ortools(path) == pytest.approx(mecopt.solve(instance, "trellis").objective)


def by_glpk(path):
    form = "--lp" if path.suffix == ".lp" else "--freemps"
    done = subprocess.run(
        ["glpsol", form, path, "--write", path.with_suffix(".sol")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = re.search(r"^s mip \d+ \d+ o (\S+)", path.with_suffix(".sol").read_text(), re.MULTILINE)
    return float(found[1]) if found else done.stdout


def by_cbc(path):
    done = subprocess.run(
        ["cbc", path, "ratioGap", "0", "allowableGap", "0", "solve", "solution", path.with_suffix(".txt")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = re.match(r"Optimal - objective value (\S+)", path.with_suffix(".txt").read_text())
    return float(found[1]) if found else done.stdout


def by_scip(path):
    scip = pytest.importorskip("pyscipopt", reason="pyscipopt is not installed").Model()
    scip.hideOutput()
    scip.setParam("limits/gap", 0.0)
    scip.readProblem(str(path))
    scip.optimize()
    return scip.getObjVal()


PEERS = {"highs": by_highs, "glpk": by_glpk, "cbc": by_cbc, "scip": by_scip}
PROGRAMS = {"glpk": "glpsol", "cbc": "cbc"}


@pytest.mark.parametrize("peer", PEERS)
def test_every_reader_finds_the_same_optimum(peer, tmp_path):
    """Random instances of all sets of couplings, both formulations, both formats."""
    if shutil.which(PROGRAMS.get(peer, "python3")) is None:
        pytest.skip(f"{PROGRAMS[peer]} is not installed")
    seen = set()
    for i, instance in enumerate(instances(24, seed=5)):
        truth = brute_force(instance)
        if truth is None:  # nothing is feasible
            continue
        seen.add(instance.rules.couplings)
        save(instance, tmp_path / "i.json")
        suffix, formulation = (".lp", ".mps")[i % 2], ("flow", "assignment")[i // 2 % 2]
        path = written(str(tmp_path / "i.json"), tmp_path / f"model{suffix}", "--formulation", formulation)
        assert PEERS[peer](path) == pytest.approx(truth.objective, rel=1e-6, abs=1e-8), (
            instance.name,
            suffix,
        )
    assert len(seen) >= 6, seen


@pytest.mark.parametrize("suffix", [".lp", ".mps"])
def test_names_that_every_reader_takes(suffix, tmp_path):
    """Whatever the instance is called: no section that some do not know, no brackets, nothing long."""
    instance = load("instances/tiny_memory.json").replace(name="*\\\nEND\n" + "é" * 300)
    save(instance, tmp_path / "i.json")
    path = written(str(tmp_path / "i.json"), tmp_path / f"model{suffix}")
    text = path.read_bytes().decode("ascii")
    assert "OBJSENSE" not in text
    assert not re.search(r"[\[\]()]", text)
    assert max(map(len, text.split())) < 64
    assert by_highs(path) == pytest.approx(4.7)


def test_no_costs_at_all(tmp_path):
    document = mecopt.to_dict(load("instances/tiny_paper.json"))
    for block in document["models"][0]["blocks"]:
        block.update(cycles=0, input_bits=0)
    mecopt.save(mecopt.from_dict(document), tmp_path / "i.json")
    for suffix in (".lp", ".mps"):
        path = written(str(tmp_path / "i.json"), tmp_path / f"model{suffix}")
        assert by_highs(path) == 0
        if shutil.which("cbc"):
            assert by_cbc(path) == 0


ALLOWED = [{"tasks": "all", "blocks": ["a"], "nodes": ["device"]}]


@pytest.mark.parametrize("formulation", ["flow", "assignment"])
@pytest.mark.parametrize(
    "document",
    [
        {**case(), "allow": ALLOWED},
        case(one_run="all", couplings=["energy"], device={"energy_budget_j": 7}),
        case(deadline="hard", tasks=[{"max_total_delay_s": 7}, {"weight": 3, "down_rate_bps": [1, 0]}]),
    ],
    ids=["allow", "one_run", "end to end"],
)
def test_what_the_model_takes_of_the_wider_format_is_in_the_file(document, formulation, tmp_path):
    instance = mecopt.from_dict(document)
    save(instance, tmp_path / "wide.json")
    path = written(str(tmp_path / "wide.json"), tmp_path / "model.lp", "--formulation", formulation)
    assert by_highs(path) == pytest.approx(brute_force(instance).objective, rel=1e-6)


@pytest.mark.parametrize(
    ("document", "what"),
    [
        (case(objective="period"), "the objective period"),
        (case(tasks=[{"drop_cost": 1}]), "drop costs"),
        (case(couplings=["sharing"], sharing="mm1"), "the coupling sharing"),
    ],
)
def test_what_the_model_does_not_take_is_refused_by_name(document, what, tmp_path):
    save(mecopt.from_dict(document), tmp_path / "wide.json")
    done = CliRunner().invoke(export, [str(tmp_path / "wide.json"), "--out", str(tmp_path / "model.lp")])
    assert isinstance(done.exception, mecopt.InputError)
    assert str(done.exception) == f"export does not take {what}"
    assert not (tmp_path / "model.lp").exists()
