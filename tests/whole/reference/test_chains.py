"""Worked by hand: routes, phases, roofline, starts of stretches, memory."""

import pytest
from reference import Reference
from small_case import LEFT_OUT, case, total


# --- routes ---
def test_down_rates():
    # [2, 0]: a 4 + 1 s; b comes back at 2 bit/s in 2 s, 8 s on the device: 15. From es1 there is no way back.
    tasks = [{"down_rate_bps": [0, 2]}]
    reference = Reference(case(return_transfer=True, tasks=tasks))
    assert reference.objective([(2, 0)]) == 15
    assert reference.broken([(1, 0)]) == {("link", 0, 1)}
    assert Reference(case(tasks=tasks)).broken([(1, 0)]) == {("link", 0, 1)}  # nor where it is not counted
    # Results: [1, 2] 8 s and 8 bits at 2 bit/s; [1, 1] cannot return.
    returning = Reference(case(return_result=True, tasks=tasks))
    assert returning.objective([(1, 2)]) == 12
    assert returning.broken([(1, 1)]) == {("link", 0, 1)}
    # A way up that is missing says nothing about the way down.
    one_way = Reference(case(return_transfer=True, tasks=[{"rate_bps": [0, 4], "down_rate_bps": [2, 0]}]))
    assert one_way.broken([(1, 0)]) == {("link", 0, 0)}


@pytest.mark.parametrize(
    ("path", "servers", "everywhere"),
    [
        ((1, 2, 1), {("one_run", 0, 2)}, {("one_run", 0, 2)}),
        ((0, 1, 0), set(), {("one_run", 0, 2)}),
        ((1, 1, 1), set(), set()),  # the input starts at the device and the result ends there: no stretches
        ((1, 0, 2), set(), set()),
    ],
)
def test_one_run(path, servers, everywhere):
    blocks = [{"cycles": 1, "input_bits": 1}] * 3
    model = {"blocks": blocks, "phases": [{"name": "p", "repeat": 2}]}  # a new pass is no new stretch
    for mode, expected in (("none", set()), ("servers", servers), ("all", everywhere)):
        assert Reference(case(model=model, one_run=mode, return_result=True)).broken([path]) == expected


def test_allow():
    # The first block stays on the camera: [0, 2], 7 s. Without es2 for any block: [0, 1], 8.5 s.
    stays = {"tasks": "all", "blocks": ["a"], "nodes": ["device"]}
    near = {"tasks": [0], "blocks": "all", "nodes": ["device", "es1"]}
    assert Reference({**case(), "allow": [stays]}).best_joint() == (7, ((0, 2),))
    reference = Reference({**case(tasks=[{}, {}]), "allow": [stays, near]})
    assert reference.best_joint() == (8.5 + 7, ((0, 1), (0, 2)))
    assert reference.broken([(2, 2), (0, 2)]) == {("allow", 0, 0), ("allow", 0, 1)}
    assert reference.permitted(0, 0) == {0}
    assert reference.permitted(1, 1) == {0, 1, 2}


# --- phases ---
def language_model(**changes):
    """Prefill once; three decode passes, each with a quarter of the cycles of both and 2 and 1 bits in."""
    phases = [{"name": "prefill", "repeat": 1}, {"name": "decode", "repeat": 3}]
    return case(
        a={"cycles": [8, 2], "input_bits": [16, 2]},
        b={"cycles": [16, 4], "input_bits": [4, 1]},
        model={"phases": phases, "output_bits": [0, 8]},
        **changes,
    )


def test_phases():
    # [1, 1]: prefill 2 + 2 + 4 = 8 s; a decode pass 0.25 + 0.5 + 1 = 1.75 s, three 5.25 s.
    reference = Reference(language_model())
    assert reference.phase_delays(0, (1, 1)) == [8, 5.25]
    assert reference.block_delays(0, (1, 1)) == [2 + 2 + 3 * 0.75, 4 + 3 * 1]
    assert reference.task_energy(0, (1, 1)) == 3 * (2 + 3 * 0.25)
    assert reference.loads([(1, 1)]) == {(0, 1): 6 + 3 * 1.5}
    # Latency of half a second is paid by each of the four passes; results: 8 bits at 8 bit/s from each decode
    # pass, none but the latency from the prefill.
    late = Reference(language_model(links={"device_latency_s": 0.5}))
    assert late.phase_delays(0, (1, 1)) == [8.5, 6.75]
    back = Reference(language_model(links={"device_latency_s": 0.5}, return_result=True))
    assert back.phase_delays(0, (1, 1)) == [8.5 + 0.5, 6.75 + 3 * 1.5]
    assert sum(back.split(0, (1, 1))) == 9 + 11.25


def test_deadlines_of_phases():
    # Prefill 8 s, decode 5.25 s, b 7 s over all passes.
    task = {"max_total_delay_s": [8, 5], "max_delay_s": [None, 6]}
    hard = Reference(language_model(deadline="hard", tasks=[task]))
    assert hard.broken([(1, 1)]) == {("deadline", 0, "decode"), ("deadline", 0, 1)}
    soft = Reference(language_model(deadline="soft", tasks=[{**task, "max_total_delay_s": [7, 5]}]))
    assert soft.terms([(1, 1)])["penalties"] == 1 + 0.25 + 1
    whole = Reference(language_model(deadline="hard", tasks=[{"max_total_delay_s": 13}]))
    assert whole.broken([(1, 1)]) == {("deadline", 0)}


# --- roofline, measured times, stretches ---
def test_roofline():
    # Reading a's 8 bytes at 4 byte/s takes as long as its 8 cycles at 4 cycles/s: 2 s. Three inferences: 6 s
    # of cycles; with 4 bytes of state each (8 + 12) / 4 = 5 s of reading.
    def seconds(batch, es1, **a):
        document = case(
            a={"param_bytes": 8, **a}, es1={"memory_bytes_per_s": 4, **es1}, tasks=[{"batch": batch}]
        )
        return Reference(document).calculation(0, 0, 1)

    assert seconds(1, {}) == 2
    assert seconds(3, {}, state_read_bytes=4) == 6
    assert seconds(3, {"cycles_per_s": None}, state_read_bytes=4) == 5
    assert seconds(3, {}, state_read_bytes=4, cycles=None) == 5
    assert seconds(3, {}, state_read_bytes=4, cycles=None, read_bytes=0) == 3
    assert seconds(1, {}, read_bytes=80) == 20
    # Measured seconds go before both.
    assert seconds(3, {"hardware": "gpu"}, read_bytes=80, measured_seconds={"gpu": 0.5}) == 1.5


def test_measured_seconds_per_phase():
    # 1 s of prefill and three times 0.25 s.
    phases = [{"name": "prefill", "repeat": 1}, {"name": "decode", "repeat": 3}]
    document = case(
        a={"measured_seconds": {"gpu": [1, 0.25]}}, es1={"hardware": "gpu"}, model={"phases": phases}
    )
    assert Reference(document).calculation(0, 0, 1) == 1.75


def test_starts():
    # A start of 0.5 s on es1 and es2. [1, 1] 8 s and one start, [1, 2] 8 s and two, [0, 2] 7 s and one.
    start = {"start_seconds": {"gpu": 0.5}}
    parts = {"a": start, "b": start, "es1": {"hardware": "gpu"}, "es2": {"hardware": "gpu"}}
    assert [total(case(**parts), path) for path in ((1, 1), (1, 2), (0, 2))] == [8.5, 9, 7.5]
    # Not times the batch (4 * 8 s), but times the passes (3 * 8.5 s); load, period and energy count it.
    assert total(case(**parts, tasks=[{"batch": 4}]), (1, 1)) == 32.5
    thrice = {**parts, "model": {"phases": [{"name": "p", "repeat": 3}]}}
    assert total(case(**thrice), (1, 1)) == 25.5
    assert Reference(case(**thrice)).phase_delays(0, (1, 1)) == [25.5]
    assert Reference(case(**thrice)).loads([(1, 1)]) == {(0, 1): 3 * 6.5}
    assert Reference(case(**parts, objective="period")).objective([(1, 1)]) == 6.5
    powered = case(a=start, device={"hardware": "gpu", "compute_power_w": 2})
    assert Reference(powered).task_energy(0, (0, 0)) == 2 * (4 + 0.5 + 8)


# --- state and shared parts ---
def test_memory_of_state_and_of_shared_parts():
    # Two tasks of batch 2 and 3 on es1: a's 10 bytes once, 4 bytes of state for each of 5 inferences: 30.
    # Blocks a and b share 7 bytes: once on a node, and on both where they are apart.
    shared = [{"name": "tied", "bytes": 7, "blocks": ["a", 1]}]
    document = case(
        a={"param_bytes": 10, "state_bytes": 4},
        b={"param_bytes": 1},
        model={"shared_params": shared},
        tasks=[{"batch": 2}, {"batch": 3}],
        couplings=["memory"],
        es1={"memory_bytes": 37},
    )
    reference = Reference(document)
    assert reference.held([(1, 1), (1, 1)]) == {(0, 1): 10 + 20 + 1 + 7}
    assert reference.held([(1, 2), (1, 2)]) == {(0, 1): 10 + 20 + 7, (0, 2): 1 + 7}
    assert reference.broken([(1, 1), (1, 1)]) == {("memory", 0, 1)}
    assert reference.feasible([(1, 2), (1, 2)])
    assert reference.held([(1, 1), LEFT_OUT]) == {(0, 1): 10 + 8 + 1 + 7}
