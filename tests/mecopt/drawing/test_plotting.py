"""Pictures from Python: figures of a placement, of a comparison, of trainings."""

import pytest

import mecopt
from mecopt import plotting
from mecopt.comparing import Comparison


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("comparison")
    mecopt.compare("camera-vgg:slots=3,seed=1..2", ["trellis", "greedy"], out=out, workers=1)
    return out


def test_a_placement_is_a_figure_of_matplotlib(tmp_path):
    result = mecopt.solve("camera-vgg:slots=5", "trellis")
    figure = mecopt.plot_placement(result, tasks=[1, 2])
    assert len(figure.axes) == 2
    figure.savefig(tmp_path / "x.svg")
    assert (tmp_path / "x.svg").stat().st_size > 1000
    assert len(mecopt.plot_placement(result.evaluation).axes) == 3  # a summary
    with pytest.raises(mecopt.InputError, match="task 5: expected 0 to 4"):
        mecopt.plot_placement(result, tasks=[5])
    with pytest.raises(mecopt.InputError, match="has no placement, expected a Result or Evaluation"):
        mecopt.plot_placement("tiny_paper")


def test_a_comparison_is_a_chart_by_the_name_of_its_file(folder):
    with Comparison.open(folder) as comparison:
        chart = mecopt.plot_comparison(comparison, "gap_map").to_dict()
    assert chart == mecopt.plot_comparison(folder, "gap_map").to_dict()
    assert mecopt.plot_comparison(str(folder)).to_dict()["title"] == "Share of the instances within a gap"
    with pytest.raises(mecopt.InputError, match="no figure 'pie'; there are gap_map, profile_gap, "):
        mecopt.plot_comparison(folder, "pie")


def test_trainings_are_a_chart_where_they_are_on_one_setting(tmp_path):
    (tmp_path / "log.csv").write_text("episodes,gap\n20,0.5\n40,0.1\n")
    assert "layer" in mecopt.plot_training(tmp_path).to_dict()
    with pytest.raises(mecopt.InputError, match="trainings on none, expected some on one setting"):
        mecopt.plot_training(tmp_path / "empty")


def test_what_is_missing_is_said(monkeypatch, folder):
    monkeypatch.setattr(plotting, "find_spec", lambda name: None)
    with pytest.raises(mecopt.MissingExtraError, match=r"pip install 'mecopt\[report\]'"):
        mecopt.plot_comparison(folder)
