"""What is run for the paper's figures, and how its claims are judged; no training here."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from mecopt.errors import InputError
from mecopt.generation import expand, parse
from mecopt.registry import method
from mecopt_rl.learners.learner import kind
from mecopt_rl.reproduce import claims as cl
from mecopt_rl.reproduce import experiments as ex
from mecopt_rl.reproduce import own_axes, paper_figures, paper_page
from mecopt_rl.reproduce import running as run
from mecopt_rl.reproduce import verdicts as vd
from mecopt_rl.reproduce.results import AT, NUMBERS, Results, interval

BUDGETS = list(ex.BUDGETS.values())
ALL = [(name, setting) for name, figure in ex.FIGURES.items() for setting in figure.settings]


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: budget.name)
@pytest.mark.parametrize(("name", "setting"), ALL)
def test_every_experiment_can_be_made(name, setting, budget):
    points = ex.points(name, setting, budget)
    curves = ex.curves(name, setting, budget)
    assert points or curves
    trainings = [one for point in points for one in point.trainings]
    trainings += [one for part in curves.values() for one in part.values()]
    for one in dict.fromkeys(trainings):
        kind(one.learner).settings(one.recipe, dict(one.changes))
        assert len({spec.parameters().servers.servers for spec in expand(one.spec)}) == 1
    for point in points:
        own = parse(point.spec).parameters()
        assert own.release.slots == budget.slots
        for one in point.trainings:  # trained on episodes like those it is judged on
            assert any(spec.parameters() == own for spec in expand(one.spec))


def test_the_varied_choices_can_be_made_and_change_something():
    specs = [spec for _, _, spec in ex.variations(ex.BUDGETS["quick"])]
    parameters = [parse(spec).parameters() for spec in specs]
    assert all(other != parameters[0] for other in parameters[1:])


def test_a_default_written_out_is_the_same_training():
    assert ex.spec("paper", {"slots": "100", "servers": "4"}) == "paper:slots=100"
    assert ex.spec("paper", {"servers": "5"}) == "paper:servers=5"


def test_all_schemes_are_methods():
    for name in (*ex.BASELINES, *ex.OTHER_BASELINES, ex.OURS, ex.OPTIMUM, ex.ANY_SIZE, "markov-a3c"):
        assert method(name).name == name


def test_names_of_figures():
    assert ex.figures(["Fig. 9", "6", "fig8"]) == ("fig6", "fig8", "fig9")
    assert ex.figures(["all"]) == tuple(ex.FIGURES)
    with pytest.raises(InputError, match="did you mean fig1"):
        ex.figures(["fig14"])


def test_a_training_depends_on_its_budget_and_not_on_the_number_of_seeds():
    train = ex.Train("paper:slots=100", "mtl-a3c")
    small, more = ex.Budget("quick", 100, 40, 8, 2, 2), ex.Budget("quick", 100, 40, 8, 2, 9)
    longer = ex.Budget("quick", 100, 41, 8, 2, 2)
    names = [run.SeededTraining(train, 50, budget).name for budget in (small, more, longer)]
    assert names[0] == names[1] != names[2]


def test_intervals():
    found = interval([1.0, 2.0, 3.0])  # t(2) is 4.303, the standard error 1 / sqrt(3)
    assert found.mean == 2.0
    assert (found.low, found.high) == pytest.approx((2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5))
    assert interval([5.0, np.nan]).low is None
    assert interval([np.nan]).seeds == 0


def test_reductions():
    found = vd.reductions(np.array([10.0, 0.0, np.nan]), np.array([9.0, 1.0, 1.0]))
    assert found[0] == pytest.approx(0.1)
    assert np.isnan(found[1:]).all()  # against zero, and against nothing


@pytest.mark.parametrize(
    ("values", "printed", "verdict"),
    [
        ([0.050, 0.051, 0.049], 0.05, vd.HOLDS),
        ([0.080, 0.081, 0.079], 0.05, vd.HOLDS),  # more than printed
        ([0.020, 0.021, 0.019], 0.05, vd.FAILS),
        ([-0.3, -0.31, -0.29], 0.05, vd.FAILS),
        ([0.0, 0.1, 0.02], 0.05, vd.UNDECIDED),
        ([0.05], 0.05, vd.UNDECIDED),  # one seed has no interval
        ([np.nan, np.nan], 0.05, vd.UNDEFINED),
    ],
)
def test_verdicts_on_reductions(values, printed, verdict):
    assert vd.reduction_verdict(interval(values), printed) == verdict


def test_verdicts_on_orders():
    noise = np.array([[0.0, 0.01, -0.01]])
    falls = np.array([[3.0], [2.0], [1.0]]) + noise
    assert vd.step_verdict(falls, rising=False) == vd.HOLDS
    assert vd.step_verdict(falls, rising=True) == vd.FAILS
    assert vd.step_verdict(np.array([[3.0], [3.0]]) + 0 * noise, rising=False) == vd.FAILS  # no step
    assert vd.step_verdict(falls[:, :1], rising=False) == vd.UNDECIDED


def test_a_claim_of_several_numbers():
    assert vd.together([vd.HOLDS, vd.HOLDS]) == vd.HOLDS
    assert vd.together([vd.HOLDS, vd.UNDECIDED]) == vd.UNDECIDED
    assert vd.together([vd.HOLDS, vd.UNDEFINED, vd.UNDECIDED]) == vd.UNDEFINED
    assert vd.together([vd.UNDEFINED, vd.FAILS]) == vd.FAILS


def test_when_a_training_has_settled():
    course = run.Course([10, 20, 30, 40], [-150.0, -100.0, -120.0, -100.4], [0.0] * 4, False, 1.0)
    assert cl.settled(course) == 40  # crossing once is not convergence
    steady = run.Course([10, 20, 30], [-150.0, -100.0, -100.4], [0.0] * 3, False, 1.0)
    assert cl.settled(steady) == 20


def made_up(names, factors, seeds=3, budget=ex.BUDGETS["full"]):
    """Results in which the delays of what runs are `factors` of the optimum's, wherever it runs."""
    rows = []
    for name in names:
        for setting in ex.FIGURES[name].settings:
            for point in ex.points(name, setting, budget):
                trained = {one.learner for one in point.trainings}
                for seed in range(seeds):
                    best = 100.0 + seed + point.x
                    for scheme, (edge, local) in factors.items():
                        if scheme in LEARNERS - trained:
                            continue
                        place = (name, setting, point.sweep, point.x, point.network, seed, scheme)
                        both = best * (edge + local)
                        rows.append((*place, both, both, best * edge, best * local, best))
    table = pd.DataFrame(rows, columns=[*AT, "seed", "scheme", *NUMBERS])
    return Results(tuple(names), budget, seeds, table, {}, {})


LEARNERS = {"mtl-a3c", "a3c", "dqn"}
FACTORS = {
    "mtl-a3c": (1.0, 0.0), "a3c": (1.06, 0.0), "dqn": (1.2, 0.5), "greedy": (1.02, 0.0), "apdi": (1.3, 0.0),
    "rpdi": (1.5, 0.5),
}  # fmt: skip


def test_claims_on_a_made_up_table():
    results = made_up(["fig8", "fig9", "fig11"], FACTORS)
    found = {(a.claim.where, a.claim.against): a for a in paper_page.answers(results)}
    assert found["Fig 8a", "A3C"].verdict == vd.HOLDS  # 0.06 / 1.06 is 5.66 %, printed 4.61 %
    assert "5.66" in found["Fig 8a", "A3C"].findings[0].ours
    assert found["Fig 8a", "greedy"].verdict == vd.FAILS  # 1.96 %, printed 7.53 %
    assert found["Fig 8c", "distributed DQN"].verdict == vd.HOLDS  # all of it
    assert found["Fig 9c", "greedy"].verdict == vd.UNDEFINED  # greedy has no local delay
    assert found["Fig 9a", ""].verdict == vd.FAILS  # here delay rises with the blocks
    assert found["Fig 11a", ""].verdict == vd.FAILS
    assert found["Fig 11b", ""].verdict == vd.HOLDS
    assert found["Fig 12b", "A3C"].verdict == paper_page.NOT_RUN


def test_the_page_answers_every_row_of_the_file():
    claims = cl.printed_claims()
    assert len(claims) == 26
    assert {(claim.where, claim.what, claim.against) for claim in claims} == set(cl.RULES)
    results = made_up(["fig10", "fig12", "fig13"], FACTORS)
    results.rows["network"] = results.rows["network"].astype(str)
    answers = paper_page.answers(results)
    text = "\n".join(paper_page._claims(answers))
    for claim in claims:
        (row,) = (
            line
            for line in text.splitlines()
            if line.startswith(f"| {claim.where} | {paper_page._said(claim)} |")
        )
        assert row.split(" | ")[2] == claim.printed
    verdicts = {answer.verdict for answer in answers if answer.claim.figure in results.names}
    assert verdicts <= {vd.HOLDS, vd.FAILS, vd.UNDECIDED, vd.UNDEFINED}


def test_a_claim_in_words():
    claim = cl.Claim("Fig 8a", "reduction of total delay", "6 servers", "A3C", "4.61 %", "reduction")
    assert paper_page._said(claim) == "reduction of total delay over A3C, 6 servers"
    claim = cl.Claim("Fig 6", "converged reward", "default", "", "-18300", "value")
    assert paper_page._said(claim) == "converged reward"


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: budget.name)
def test_what_a_claim_names_is_trained(budget):
    names = ["fig8", "fig9", "fig10", "fig11", "fig12", "fig13"]
    answers = paper_page.answers(made_up(names, FACTORS, budget=budget))
    missing = {
        found.setting
        for one in answers
        for found in one.findings
        if "not trained in this budget" in found.ours
    }
    assert missing == ({"near"} if budget.scope == "some" else set())


def test_what_was_not_run_is_marked_and_delays_begin_at_zero():
    results = made_up(["fig9"], {**FACTORS, "trellis": (1.0, 0.0)}, budget=ex.BUDGETS["medium"])
    results.rows["excess"] = 0.0
    slow = results.rows["scheme"].isin(("a3c", "dqn")) & (results.rows["x"] > 9)
    results = dataclasses.replace(results, rows=results.rows[~slow])
    assert paper_figures.not_run(results, "fig9", "near") == [
        "not run: a3c at blocks 15, 18",
        "not run: dqn at blocks 15, 18",
    ]
    chart = paper_figures._delays(results, "fig9", "near").to_dict()
    first = chart["vconcat"][0]["hconcat"][0]
    line = next(layer for layer in first["layer"] if layer["mark"]["type"] == "line")
    assert line["encoding"]["y"]["scale"]["zero"] is True
    widths = line["encoding"]["strokeWidth"]["scale"]["range"]
    assert widths == sorted(widths, reverse=True)
    assert len(set(widths)) == len(widths)


def test_pages_name_the_figures_that_they_have():
    assert paper_page.which(made_up(["fig6"], FACTORS)) == "Figure 6"
    assert paper_page.which(made_up(["fig8", "fig9"], FACTORS)) == "Figures 8, 9"
    assert paper_page.which(made_up(list(ex.FIGURES), FACTORS, seeds=1)) == "All figures"


def own_setting(folder, **parameters):
    """Write a setting of one's own; returns its file."""
    path = folder / "yard.json"
    given = {"servers": 3, "rate_bps": [4e6, 8e6], "max_delay_s": 0.2, **parameters}
    base = {"name": "the yard", "base": "camera-alexnet-deadline"}
    path.write_text(json.dumps({**base, "parameters": given}))
    return str(path)


@pytest.mark.parametrize("budget", BUDGETS[::2], ids=lambda budget: budget.name)
@pytest.mark.parametrize("name", ex.FIGURES)
def test_every_figure_can_be_made_in_a_setting_of_ones_own(name, budget, tmp_path):
    own = dataclasses.replace(budget, own=own_axes.own_base(own_setting(tmp_path), [name]))
    assert ex.settings(name, own) == ("the-yard",)
    points = ex.points(name, "the-yard", own)
    assert points or ex.curves(name, "the-yard", own)
    for point in points:
        here = parse(point.spec).parameters()
        assert here.release.slots == own.slots
        for one in point.trainings:
            assert any(spec.parameters() == here for spec in expand(one.spec))


def test_what_figures_vary_in_a_setting_of_ones_own(tmp_path):
    path = own_setting(tmp_path)
    axes = own_axes.own_base(path, ["fig9", "fig12", "fig13"]).sweeps
    assert axes["blocks"].values == (3, 6, 9)  # AlexNet has no more
    delay, link = axes["delay"], axes["link"]
    xs = [delay.at("the-yard", value) for value in delay.values]
    assert xs == pytest.approx([0.2 * k / 7 for k in range(1, 8)], rel=0.005)
    assert [float(delay.write(x)) for x in xs] == pytest.approx(xs, rel=1e-5)
    assert link.write(link.at("the-yard", 1.4)) == "4000000..8000000"
    assert link.write(link.at("the-yard", 2.8)) == "8000000..16000000"


@pytest.mark.parametrize(
    ("parameters", "figure", "words"),
    [
        ({"couplings": "capacity", "slot_s": 1}, "fig8", "couplings: capacity, expected none"),
        ({"deadline": "hard"}, "fig8", "deadline: 'hard', expected soft or none"),
        ({"max_delay_s": None}, "fig12", "max_delay_s: none, expected a delay, which fig12 varies"),
        ({"rates": "geometry"}, "fig13", "rates: 'geometry', expected 'uniform'"),
        ({"server": 3}, "fig8", "did you mean"),
    ],
)
def test_a_setting_in_which_a_figure_cannot_be_made(parameters, figure, words, tmp_path):
    with pytest.raises(InputError, match=words) as error:
        own_axes.own_base(own_setting(tmp_path, **parameters), [figure])
    assert "yard.json" in str(error.value)
    assert "\n" not in str(error.value)
