"""The judge against the scalar transcription of the model, and against changes that must not matter."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import Reference
from strategies import documents, examples, judged, placements

import mecopt
from mecopt.limits import CAPACITY, MEMORY
from mecopt.tolerances import slack


def close(value):
    return pytest.approx(value, rel=1e-9, abs=1e-300)


def toy(**rules):
    """One device, two servers, two blocks; every number a power of two or close to it."""
    return {
        "format": "mecopt-instance/1",
        "slots": {"count": 2},
        "rules": rules,
        "models": [
            {
                "name": "net",
                "output_bits": 8,
                "blocks": [
                    {"cycles": 4, "input_bits": 16, "param_bytes": 10},
                    {"cycles": 8, "input_bits": 4, "param_bytes": 20},
                ],
            }
        ],
        "devices": [{"name": "cam", "cycles_per_s": 2, "transmit_power_w": 3, "kappa": 0.5}],
        "servers": [{"cycles_per_s": 4}, {"cycles_per_s": 8}],
        "links": {"server_bps": 2, "server_latency_s": 0.125, "device_latency_s": [0.25, 0.5]},
        "tasks": [{"slot": 0, "device": "cam", "model": "net", "rate_bps": [8, 0]}],
    }


def judge(document, placement):
    return mecopt.evaluate(mecopt.from_dict(document), placement)


# --- Eq. 3-9 ---
@examples(120)
@given(judged(documents()))
def test_costs_equal_the_scalar_transcription(case):
    document, placement = case
    reference, evaluation = Reference(document), judge(document, placement)
    for k, path in enumerate(placement):
        if not reference.has_links(k, path):
            continue
        blocks = len(path)
        assert evaluation.block_delay_s[k, :blocks].tolist() == close(reference.block_delays(k, path))
        assert evaluation.task_excess_s[k] == close(sum(reference.excesses(k, path)))
        assert evaluation.task_objective_s[k] == close(reference.task_objective(k, path))
        assert evaluation.task_energy_j[k] == close(reference.task_energy(k, path))
    if all(reference.has_links(k, path) for k, path in enumerate(placement)):
        local, edge = map(
            sum, zip(*(reference.split(k, path) for k, path in enumerate(placement)), strict=True)
        )
        assert evaluation.local_delay_s == close(local)
        assert evaluation.edge_delay_s == close(edge)
        assert evaluation.total_delay_s == close(local + edge)
        assert evaluation.device_energy_j == close(reference.device_energy(placement))
        assert evaluation.energy_j == close(sum(reference.device_energy(placement).values()))


@examples(120)
@given(judged(documents()))
def test_violations_are_those_of_the_scalar_transcription(case):
    document, placement = case
    reference, evaluation = Reference(document), judge(document, placement)
    expected = reference.broken(placement)
    assert evaluation.feasible == (not expected)
    assert (evaluation.objective is None) == bool(expected)
    if not expected:
        assert evaluation.objective == close(reference.objective(placement))
    linked = [reference.has_links(k, path) for k, path in enumerate(placement)]
    found = {plain(violation) for violation in evaluation.violations}
    if all(linked):
        assert found == expected
    else:  # what a missing link delays or spends is not defined, so only the rest can be compared
        defined = lambda v: v[0] in ("capacity", "memory") or (v[0] == "deadline" and linked[v[1]])  # noqa: E731
        assert set(filter(defined, found)) == set(filter(defined, expected))
        assert {v[1] for v in found if v[0] == "link"} == {v[1] for v in expected if v[0] == "link"}


def plain(violation):
    """Return a violation as the transcription names it."""
    where = violation.where
    if violation.kind == "memory":
        return "memory", where["slot"], where.get("device", where["node"])
    return (violation.kind, *where.values())


@examples(100)
@given(judged(documents(deadlines=("hard",), couplings=("energy", "capacity", "memory"))))
def test_violations_give_limit_and_use(case):
    document, placement = case
    reference, evaluation = Reference(document), judge(document, placement)
    load, held = reference.loads(placement), reference.held(placement)
    for violation in evaluation.violations:
        where = violation.where
        if violation.kind != "link":
            assert violation.value > slack(np.float64(violation.limit))
        if violation.kind == "deadline" and reference.has_links(where["task"], placement[where["task"]]):
            delays = reference.block_delays(where["task"], placement[where["task"]])
            assert violation.limit == reference.limit(where["task"], where["block"])
            assert violation.value == close(delays[where["block"]])
        if violation.kind == "capacity":
            assert violation.limit == reference.slot_s
            assert violation.value == close(load[where["slot"], where["node"]])
        if violation.kind == "memory":
            assert violation.value == close(held[where["slot"], where.get("device", where["node"])])


@given(judged(documents()))
def test_load_and_memory_tables(case):
    document, placement = case
    reference, evaluation = Reference(document), judge(document, placement)
    instance = evaluation.instance
    table = {}
    for row, used in zip(*CAPACITY.used(evaluation), strict=True):
        table[tuple(CAPACITY.where(instance, int(row)).values())] = used
    assert table == close(reference.loads(placement))

    held = {}
    for row, used in zip(*MEMORY.used(evaluation), strict=True):
        where = MEMORY.where(instance, int(row))
        held[where["slot"], where.get("device", where["node"])] = used
    assert held == close(reference.held(placement))


def test_hand_counted_step_costs():
    """Device, server 1, server 2: every term of Eq. 3-9 by hand."""
    device = judge(toy(), [[0, 0]])
    assert device.objective == 4 / 2 + 8 / 2
    assert device.energy_j == 0.5 * 2**2 * (4 + 8)
    out_and_hop = judge(toy(), [[1, 2]])
    assert out_and_hop.objective == (0.25 + 16 / 8 + 4 / 4) + (0.125 + 4 / 2 + 8 / 8)
    assert out_and_hop.energy_j == 3 * 16 / 8 + 3 * 4 / 2
    assert judge(toy(hop_energy=False), [[1, 2]]).energy_j == 3 * 16 / 8
    assert judge(toy(), [[1, 0]]).objective == (0.25 + 16 / 8 + 4 / 4) + 8 / 2
    assert judge(toy(return_transfer=True), [[1, 0]]).objective == (0.25 + 16 / 8 + 1) + (
        0.25 + 4 / 8 + 8 / 2
    )
    assert judge(toy(return_result=True), [[1, 1]]).objective == (0.25 + 16 / 8 + 1) + 8 / 4 + (0.25 + 8 / 8)


def test_a_batch_multiplies_cycles_and_bits_but_neither_latency_nor_parameters():
    one, four = toy(return_result=True, couplings=["memory"]), toy(return_result=True, couplings=["memory"])
    four["tasks"][0]["batch"] = 4
    for document in (one, four):
        document["servers"][0]["memory_bytes"] = document["servers"][1]["memory_bytes"] = 20
    four_at_once, latencies = judge(four, [[1, 1]]), 0.25 + 0.25
    assert kinds(four_at_once) == kinds(judge(one, [[1, 1]])) == [("memory", {"slot": 0, "node": 1})]
    assert four_at_once.violations[0].value == 30
    four_at_once, once = judge(four, [[0, 1]]), judge(one, [[0, 1]])
    assert four_at_once.total_delay_s == 4 * (once.total_delay_s - latencies) + latencies
    assert four_at_once.energy_j == 4 * once.energy_j


def test_devices_have_a_memory_each():
    """The two tasks of one device hold the block once; the other device holds it for itself."""
    document = toy(couplings=["memory"])
    document["devices"] = [{**document["devices"][0], "name": n, "memory_bytes": 29} for n in ("cam", "eye")]
    task = document["tasks"][0]
    document["tasks"] = [task, task, {**task, "device": "eye"}, {**task, "slot": 1}]
    placement = [[0, 1], [0, 1], [0, 0], [0, 1]]
    (violation,) = judge(document, placement).violations
    assert (violation.kind, violation.limit, violation.value) == ("memory", 29, 30)
    assert violation.where == {"slot": 0, "node": 0, "device": "eye"}


def test_missing_links():
    assert kinds(judge(toy(), [[2, 2]])) == [("link", {"task": 0, "block": 0})]
    assert kinds(judge(toy(), [[1, 2]])) == []
    assert kinds(judge(toy(return_result=True), [[1, 2]])) == [("link", {"task": 0, "block": 2})]
    three = toy()
    three["models"][0]["blocks"].append({"cycles": 1, "input_bits": 1})
    for counted in (True, False):
        three["rules"] = {"return_transfer": counted}
        back = judge(three, [[1, 2, 0]])
        assert kinds(back) == [("link", {"task": 0, "block": 2})]
        assert back.objective is None
        assert "link at task 0, block 2" in str(back.violations[0])


def kinds(evaluation):
    return [(violation.kind, violation.where) for violation in evaluation.violations]


# --- limits ---
def limited(kind, used, limit):
    """Return a document and a placement that uses `used` of a limit of `limit`."""
    document = toy(couplings=[kind] if kind != "deadline" else [])
    document["links"]["device_latency_s"] = 0
    task, block = document["tasks"][0], document["models"][0]["blocks"][0]
    del document["models"][0]["blocks"][1]
    block |= {"cycles": used, "input_bits": 0, "param_bytes": used}
    document["servers"][0] |= {"cycles_per_s": 1, "memory_bytes": limit}
    document["devices"][0] |= {"cycles_per_s": 1, "kappa": 1, "energy_budget_j": limit}
    if kind == "deadline":
        task["max_delay_s"] = limit
    if kind == "capacity":
        document["slots"]["seconds"] = limit
    return document, [[0 if kind == "energy" else 1]]


@pytest.mark.parametrize("kind", ["deadline", "energy", "capacity", "memory"])
@pytest.mark.parametrize(
    ("limit", "over", "within"),
    [(8.0, 0.0, True), (8.0, 4e-9, True), (8.0, 2e-8, False), (1e-9, 0.9e-12, True), (1e-9, 1.2e-12, False)],
)
def test_every_limit_has_the_same_slack(kind, limit, over, within):
    evaluation = judge(*limited(kind, limit + over, limit))
    assert [violation.kind for violation in evaluation.violations] == ([] if within else [kind])
    assert evaluation.feasible == within


@pytest.mark.parametrize("kind", ["deadline", "energy", "memory"])
def test_a_limit_of_zero_is_a_limit(kind):
    assert judge(*limited(kind, 0.0, 0.0)).feasible
    assert not judge(*limited(kind, 1e-6, 0.0)).feasible


@given(judged(documents(couplings=("energy", "capacity", "memory"))))
def test_couplings_that_are_off_are_not_judged(case):
    document, placement = case
    rules = document.get("rules", {})
    free = judge({**document, "rules": {**rules, "couplings": []}}, placement)
    assert {violation.kind for violation in free.violations} <= {"deadline", "link"}
    assert free.task_objective_s.tolist() == judge(document, placement).task_objective_s.tolist()


# --- what must not matter ---
def permuted_servers(document, order):
    """Return the document with server `order[n]` in place n."""

    def row(values):
        return [values[n] for n in order] if isinstance(values, list) else values

    def matrix(values):
        return row([row(line) for line in values]) if isinstance(values, list) else values

    links = dict(document.get("links", {}))
    renamed = {"server_bps": matrix, "server_latency_s": matrix, "device_latency_s": row}
    return {
        **document,
        "servers": [{**document["servers"][n], "name": f"was{n}"} for n in order],
        "links": {name: renamed[name](value) for name, value in links.items()},
        "tasks": [{**task, "rate_bps": row(task["rate_bps"])} for task in document["tasks"]],
    }


@given(st.data())
def test_renaming_servers_changes_nothing(data):
    document = data.draw(documents())
    placement = data.draw(placements(document))
    order = data.draw(st.permutations(range(len(document["servers"]))))
    renumbered = [[0 if node == 0 else order.index(node - 1) + 1 for node in path] for path in placement]
    before, after = judge(document, placement), judge(permuted_servers(document, order), renumbered)
    assert after.block_delay_s.tolist() == before.block_delay_s.tolist()
    assert after.task_energy_j.tolist() == before.task_energy_j.tolist()
    assert len(after.violations) == len(before.violations)
    assert after.objective == before.objective

    paths = [
        mecopt.solve(mecopt.from_dict(d), relax=True) for d in (document, permuted_servers(document, order))
    ]
    assert paths[0].lower_bound == paths[1].lower_bound


@given(st.data())
def test_reordering_tasks_changes_nothing(data):
    document = data.draw(documents())
    placement = data.draw(placements(document))
    order = data.draw(st.permutations(range(len(document["tasks"]))))
    shuffled = {**document, "tasks": [document["tasks"][k] for k in order]}
    before, after = judge(document, placement), judge(shuffled, [placement[k] for k in order])
    assert after.block_delay_s.tolist() == before.block_delay_s[order].tolist()
    assert after.objective == (None if before.objective is None else close(before.objective))
    # An energy or a load that is summed in another order may round to the other side of its limit.
    assert after.feasible == before.feasible

    # Not `auto`: where couplings leave one of two equal tasks a place, the first one gets it.
    paths = [mecopt.solve(mecopt.from_dict(d), "trellis", relax=True) for d in (document, shuffled)]
    assert (paths[0].placement is None) == (paths[1].placement is None)
    if paths[0].placement is not None:
        assert paths[1].placement.tolist() == paths[0].placement[order].tolist()


# --- shape of the answer ---
@given(judged(documents()))
def test_array_and_lists_are_the_same_placement(case):
    document, placement = case
    evaluation = judge(document, placement)
    again = judge(document, evaluation.placement)
    assert again.placement.tolist() == evaluation.placement.tolist()
    assert [[n for n in path if n >= 0] for path in again.placement.tolist()] == placement
    assert not again.placement.flags.writeable


@given(judged(documents()))
def test_nothing_infinite_leaves_the_judge(case):
    evaluation = judge(*case)
    sums = ("total_delay_s", "edge_delay_s", "local_delay_s", "deadline_excess_s", "energy_j", "objective")
    values = [getattr(evaluation, name) for name in sums] + list(evaluation.device_energy_j.values())
    values += [number for v in evaluation.violations for number in (v.limit, v.value)]
    assert all(value is None or math.isfinite(value) for value in values)
    json.dumps([vars(violation) for violation in evaluation.violations], allow_nan=False)
    assert repr(evaluation)


@pytest.mark.parametrize(
    ("placement", "text"),
    [
        ([[0, 0], [0, 0]], "placement: 2 tasks, expected 1"),
        ([], "placement: 0 tasks, expected 1"),
        ([[0]], "placement[0]: 1 nodes for 2 blocks"),
        ([[0, 0, 0]], "placement[0]: 3 nodes for 2 blocks"),
        ([[0, 3]], "placement[0][1]: node 3, expected 0 to 2"),
        ([[-1, 0]], "placement[0][0]: node -1, expected 0 to 2"),
        (np.array([[0, 0, 0]]), "placement: shape (1, 3), expected (1, 2)"),
        (np.array([0, 0]), "placement: shape (2,), expected (1, 2)"),
        (np.array(0), "placement: shape (), expected (1, 2)"),
        (np.array([[0, 7]]), "placement[0][1]: node 7, expected 0 to 2"),
        (np.array([[0.0, 1.0]]), "placement: float64, expected whole numbers"),
        ([[0, 1.5]], "placement[0][1]: 1.5, expected a whole number"),
        ([[0, True]], "placement[0][1]: True, expected a whole number"),
        ([[0, "1"]], "placement[0][1]: '1', expected a whole number"),
        ([[None, 1]], "placement[0][0]: None, expected a whole number"),
        ([[0, 2**70]], f"placement[0][1]: node {2**70}, expected 0 to 2"),
        ([0], "placement[0]: int, expected a list of nodes"),
        (["01"], "placement[0]: str, expected a list of nodes"),
        (None, "placement: NoneType, expected a list of nodes for each task"),
        ({0: [0, 0]}, "placement: dict, expected a list of nodes for each task"),
    ],
)
def test_placements_of_wrong_shape_or_node(placement, text):
    with pytest.raises(mecopt.PlacementError) as error:
        judge(toy(), placement)
    assert str(error.value) == text


def test_every_wrong_node_is_reported():
    with pytest.raises(mecopt.PlacementError) as error:
        judge(toy(), [[5, -2]])
    assert len(error.value.problems) == 2


def test_numbers_too_large_for_a_sum_are_refused():
    """Latency, rate, power and penalty can each drive a delay or an energy beyond floating point."""
    for part, field, value in (
        ("links", "device_latency_s", 1e308),
        ("links", "server_latency_s", 1e308),
        ("links", "server_bps", 1e-310),
        ("tasks", "rate_bps", [1e-310, 1]),
        ("devices", "cycles_per_s", 1e200),
        ("devices", "transmit_power_w", 1e300),
        ("rules", "deadline_penalty", 1e300),
    ):
        document = toy(deadline="soft")
        target = document[part] if isinstance(document[part], dict) else document[part][0]
        target[field] = value
        with pytest.raises(mecopt.InstanceError, match=r"tasks\[0\]: .* out of range"):
            judge(document, [[0, 0]])


def test_numbers_too_large_for_an_objective_are_refused():
    """A weight that makes an infinity of a long delay would look like an infeasible task."""
    for part, field, value in (
        ("tasks", "weight", 1e308),
        ("rules", "objective", {"delay": 1e308, "energy": 1.0}),
        ("rules", "objective", {"delay": 1.0, "energy": 1e308}),
    ):
        document = toy() | {"format": "mecopt-instance/2"}
        document["links"]["device_latency_s"] = 1e140
        target = document[part] if isinstance(document[part], dict) else document[part][0]
        target[field] = value
        with pytest.raises(mecopt.InstanceError, match=r"tasks\[0\]: .* out of range"):
            judge(document, [[0, 0]])
