"""`mecopt export`: files that other readers read, and solve to the same optimum."""

import pytest
from click.testing import CliRunner

import mecopt
from mecopt.io import load, save
from mecopt_solvers.cli.export import export
from mecopt_solvers.crosscheck import brute_force
from mecopt_solvers.programs.highs import quiet

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
    assert "step(1_1_0_2)" in text
    assert "hold(0_1_0_1)" in text
    assert "memory(0_1)" in text
    text = written(
        "instances/tiny_memory.json", tmp_path / "model.mps", "--formulation", "assignment"
    ).read_text()
    assert "place(1_1_2)" in text
    assert "both(1_1_0_2)" in text


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
