"""What must hold of the reference on any instance."""

import pytest
from hypothesis import given
from reference import Reference
from strategies import documents, examples, judged
from wide_strategies import wide_documents, wide_judged


def spelled_out(document):
    """Return the document with every default of the wider model written down."""
    rules = {"objective": {"delay": 1, "energy": 0, "of": "devices"}, "one_run": "none"}
    once = {"phases": [{"name": "all", "repeat": 1}], "shared_params": []}
    free = {"read_bytes": None, "state_read_bytes": 0, "state_bytes": 0, "start_seconds": {}}
    models = [
        {**model, **once, "blocks": [{**free, **block} for block in model["blocks"]]}
        for model in document["models"]
    ]
    same = [
        {"weight": 1, "drop_cost": None, "max_total_delay_s": None, "down_rate_bps": task["rate_bps"], **task}
        for task in document["tasks"]
    ]
    whole = {"models": models, "tasks": same, "allow": [], "rules": {**document.get("rules", {}), **rules}}
    return {**document, **whole}


@given(judged(documents()))
def test_defaults_change_nothing(case):
    document, placement = case
    before, after = Reference(document), Reference(spelled_out(document))
    assert after.broken(placement) == before.broken(placement)
    assert after.objective(placement) == before.objective(placement)
    assert after.loads(placement) == before.loads(placement)
    assert after.held(placement) == before.held(placement)


@given(wide_judged(wide_documents(objectives=("delay", "sum"))))
def test_a_server_takes_the_curve_of_its_load(case):
    document, placement = case
    reference = Reference(document)
    stretch, loads, slot = reference.stretches(placement), reference.loads(placement), reference.slot_s
    for (_, load), factor in zip(sorted(loads.items()), map(stretch.get, sorted(loads)), strict=True):
        if reference.sharing == "affine":
            assert load * factor == pytest.approx(load + load**2 / slot)
        elif reference.sharing == "mm1" and factor < float("inf"):
            assert load * factor == pytest.approx(load / (1 - load / slot))
        else:
            assert factor is None or load > (1 - 1e-6) * slot


@given(wide_judged(wide_documents()))
def test_phases_and_blocks_are_the_same_seconds(case):
    document, placement = case
    reference = Reference(document)
    stretch = reference.stretches(placement)
    for k, path in reference.placed(placement):
        if reference.has_links(k, path):
            assert sum(reference.phase_delays(k, path, stretch)) == pytest.approx(
                sum(reference.split(k, path, stretch)), rel=1e-9
            )


@examples(60)
@given(wide_documents(joint=1000, objectives=("delay", "sum")))
def test_tasks_alone_are_a_bound(document):
    reference = Reference(document)
    best, alone = reference.best_joint(), reference.best_uncoupled()
    assert best is None or best[0] >= alone - 1e-9 * abs(alone)
    assert best is None or reference.feasible(best[1])
    if not reference.couplings and alone is not None:
        assert best[0] == pytest.approx(alone, rel=1e-9, abs=1e-300)


@examples(60)
@given(wide_documents(joint=300, objectives=("period",)))
def test_a_period_is_at_least_the_busy_seconds_weighed_equally(document):
    reference = Reference(document)
    best = reference.best_joint()
    if best is not None:
        busy = reference.busy(best[1])
        for slot in {slot for slot, *_ in busy}:
            seconds = [value for (at, *_), value in busy.items() if at == slot]
            assert sum(seconds) / len(seconds) <= best[0] * (1 + 1e-9)
