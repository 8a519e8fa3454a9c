"""The examples that the page of the model works out by hand, judged."""

import json

import pytest
from places import ROOT
from small_case import case

import mecopt
from mecopt.drawing.timeline import shared_s, spans

PAGE = (ROOT / "docs" / "model.md").read_text()


def judged(document, *paths):
    return mecopt.evaluate(mecopt.from_dict(document), paths)


LATE = {"deadline": "soft", "deadline_penalty": 2, "tasks": [{"weight": 3, "max_delay_s": [3, None]}]}
SOFT = {
    "deadline": "soft",
    "deadline_penalty": 0.5,
    "tasks": [{"max_total_delay_s": 6, "max_delay_s": [2, None]}],
}
DOWN = {"return_transfer": True, "tasks": [{"down_rate_bps": [0, 2]}]}
SHARED = {"couplings": ["sharing"], "seconds": 24, "tasks": [{}, {}]}
START = {
    **{name: {"start_seconds": {"gpu": 0.5}} for name in "ab"},
    **{name: {"hardware": "gpu"} for name in ("es1", "es2")},
}


@pytest.mark.parametrize(
    ("text", "document", "paths", "value"),
    [
        ("[1, 1] takes 2 + 2 + 4 = 8 s", case(), [(1, 1)], 8),
        ("[2, 2] 4 + 1 + 2 = 7 s", case(), [(2, 2)], 7),
        ("[1, 2] 2 + 2 + 2 + 2 = 8 s", case(), [(1, 2)], 8),
        ("all on the device 12 s", case(), [(0, 0)], 12),
        ("2 · 8 + 0.5 · 6 = 19", case(objective={"delay": 2, "energy": 0.5}), [(1, 1)], 19),
        ("[1, 1] is best, with 6 J", case(objective={"energy": 1}), [(1, 1)], 6),
        ("3 · (8 + 2 · 1) = 30", case(**LATE), [(1, 1)], 30),
        ("one inference every 2 s, though each takes 8 s", case(objective="period"), [(1, 2)], 2),
        ("7 + 0.5 · (1 + 3) = 9", case(**SOFT), [(2, 2)], 9),
        ("[2, 0] takes 4 + 1 + 2 + 8 = 15 s", case(**DOWN), [(2, 0)], 15),
        ("[0, 2] is best: 4 + 1 + 2 = 7 s", case(), [(0, 2)], 7),
        ("2 · (2 + 12) = 28 s", case(sharing="mm1", **SHARED), [(1, 1), (1, 1)], 28),
        ("2 · (2 + 9) = 22 s", case(sharing="affine", **SHARED), [(1, 1), (1, 1)], 22),
        ("[1, 1] takes 8.5 s", case(**START), [(1, 1)], 8.5),
        ("[1, 2] 9 s", case(**START), [(1, 2)], 9),
    ],
)
def test_what_a_placement_is_worth(text, document, paths, value):
    assert text in PAGE
    assert judged(document, *paths).objective == pytest.approx(value, rel=1e-12)


def test_the_best_are_the_best():
    energy = mecopt.solve(mecopt.from_dict(case(objective={"energy": 1})), "enumeration")
    assert (energy.objective, energy.placement.tolist()) == (6, [[1, 1]])
    stays = {"tasks": "all", "blocks": ["a"], "nodes": ["device"]}
    kept = mecopt.solve(mecopt.from_dict({**case(), "allow": [stays]}), "enumeration")
    assert (kept.objective, kept.placement.tolist()) == (7, [[0, 2]])


def test_phases():
    phases = [{"name": "prefill", "repeat": 1}, {"name": "decode", "repeat": 3}]
    a, b = {"cycles": [8, 2], "input_bits": [16, 2]}, {"cycles": [16, 4], "input_bits": [4, 1]}
    found = judged(case(a=a, b=b, model={"phases": phases}), (1, 1)).phases
    assert "8 s to the first token, then 3 · (0.25 + 0.5 + 1) = 5.25 s" in PAGE
    assert [phase.task_delay_s.tolist() for phase in found] == [[8], [5.25]]


def test_reading_and_state():
    reads = case(a={"read_bytes": 80}, es1={"memory_bytes_per_s": 4})
    assert "20 s in place of 2" in PAGE
    assert judged(reads, (1, 1)).steps.calc_s[0, 0] == 20
    assert judged(case(), (1, 1)).steps.calc_s[0, 0] == 2
    assert "10 + 5 · 4 = 30 bytes" in PAGE
    state = {"a": {"param_bytes": 10, "state_bytes": 4}, "tasks": [{"batch": 2}, {"batch": 3}]}
    for memory, feasible in ((30, True), (29, False)):
        document = case(couplings=["memory"], es1={"memory_bytes": memory}, **state)
        assert judged(document, (1, 2), (1, 2)).feasible is feasible


RATES = (264.4, 344.0, 308.7, 351.2, 177.6)  # GB/s


def planner(**rules):
    """40 layers of 1 GB that are read once a pass, on five servers alone."""
    document = case(**rules)
    layer = {"cycles": 0, "input_bits": 0, "param_bytes": 1e9}
    names = [f"es{n}" for n in range(1, 6)]
    return {
        **document,
        "models": [{"name": "net", "blocks": [layer] * 40}],
        "servers": [{"name": n, "memory_bytes_per_s": r * 1e9} for n, r in zip(names, RATES, strict=True)],
        "devices": [{"name": "cam"}],
        "tasks": [{"slot": 0, "device": "cam", "model": "net", "rate_bps": [1] * 5}],
        "allow": [{"tasks": "all", "blocks": "all", "nodes": names}],
    }


def layers(*counts):
    return [node for node, count in enumerate(counts, 1) for _ in range(count)]


def test_a_layer_planners_example():
    for counts, milliseconds in (((7, 10, 8, 10, 5), "29.07"), ((4, 12, 8, 12, 4), "34.88")):
        found = judged(planner(objective="period"), layers(*counts))
        assert f"{1e3 * found.objective:.2f}" == milliseconds
        assert f"{'/'.join(map(str, counts))}" in PAGE
        assert milliseconds in PAGE
    alone = judged(planner(), [4] * 40)
    assert f"{1e3 * alone.objective:.1f}" == "113.9"
    assert "40 / 351.2 = 113.9 ms" in PAGE
    # In less the five do 39 layers at most, and no server reads a layer faster than server 4.
    assert sum(int((10 / 344.0 - 1e-9) * rate) for rate in RATES) == 39
    assert max(RATES) == 351.2


def test_the_example_of_the_wider_format():
    page = (ROOT / "docs" / "formats.md").read_text()
    text = next(part for part in page.split("```json\n") if '"mecopt-instance/2"' in part[:60])
    result = mecopt.solve(mecopt.from_dict(json.loads(text.split("```")[0])), "enumeration")
    assert result.status == "optimal"
    assert result.evaluation.phases[0].task_delay_s[0] <= 1.5
    frame = result.phases_to_frame()
    assert frame[["task", "phase", "repeat"]].values.tolist() == [
        [0, "prefill", 1], [0, "decode", 50], [1, "prefill", 1], [1, "decode", 50],
    ]  # fmt: skip
    assert frame.groupby("task").delay_s.sum().tolist() == pytest.approx(
        result.evaluation.task_delay_s.tolist()
    )
    drawn = spans(result.evaluation, 0)
    assert [span.phase for span in drawn] == sorted(span.phase for span in drawn)
    assert {span.phase for span in drawn} == {0, 1}
    assert drawn[-1].end_s == pytest.approx(result.evaluation.task_delay_s[0])
    longer = result.evaluation.steps.calc_s[0] - result.evaluation.work_s[0]
    assert shared_s(result.evaluation, 0) == pytest.approx(longer.sum())
