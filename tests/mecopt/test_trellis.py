"""The trellis: exact, the same in every kernel, monotone where it must be, honest about what cannot be."""

import copy
import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from reference import Reference, within
from strategies import COUPLINGS, documents, examples, repeated, small_documents, tiny_documents

import mecopt
from mecopt import trellis
from mecopt.costs import chain_costs
from mecopt.trellis import infeasible_tasks, shortest_paths


def paths_of(document, node_cost=None, **options):
    return shortest_paths(chain_costs(mecopt.from_dict(document)), node_cost, **options)


def close(value):
    return pytest.approx(value, rel=1e-9, abs=1e-300)


def rows(placement):
    return [tuple(node for node in path if node >= 0) for path in placement.tolist()]


# --- exact ---
def agrees_with_brute_force(document):
    reference, paths = Reference(document), paths_of(document)
    for k, path in enumerate(rows(paths.placement)):
        best = reference.best_path(k)
        if best is None:
            assert paths.value[k] == np.inf
            assert path == ()
        else:
            assert paths.value[k] == close(best[0])
            assert reference.task_feasible(k, path)
            assert reference.task_objective(k, path) == close(best[0])


@examples(150)
@given(small_documents())
def test_equal_to_brute_force(document):
    agrees_with_brute_force(document)


@pytest.mark.slow
@examples(2000)
@given(documents())
def test_equal_to_brute_force_in_the_large(document):
    agrees_with_brute_force(document)


@examples(100)
@given(small_documents(grid=True))
def test_ties_go_to_the_lowest_node_from_the_last_block_back(document):
    """On the grid every sum is exact, so that the paths of least objective are known exactly."""
    reference, paths = Reference(document), paths_of(document)
    for k, found in enumerate(rows(paths.placement)):
        able = [path for path in reference.paths(k) if reference.task_feasible(k, path)]
        values = {path: reference.task_objective(k, path) for path in able}
        ties = [path for path in able if values[path] == min(values.values())]
        assert found == (min(ties, key=lambda path: path[::-1]) if ties else ())


@pytest.mark.parametrize("kernel", ["numpy", "numba"])
@pytest.mark.parametrize("counted", [True, False])
def test_no_step_back_without_a_link(kernel, counted):
    """Server 2 is reached by way of server 1, but the device cannot be reached from there.

    Block 2 would take no time on the device; it must go back to server 1, or to where it was.
    """
    seconds = (
        {"cam": 100, "s1": 0, "s2": 100},
        {"cam": 100, "s1": 100, "s2": 0},
        {"cam": 0, "s1": 50, "s2": 60},
    )
    document = chain([{"cycles": 0, "input_bits": 0, "measured_seconds": times} for times in seconds])
    document["rules"] = {"return_transfer": counted}
    document["devices"][0]["hardware"] = "cam"
    document["servers"] = [{"cycles_per_s": 1, "hardware": name} for name in ("s1", "s2")]
    document["links"] = {"server_bps": 1}
    paths = paths_of(document, kernel=kernel)
    assert (paths.value.tolist(), paths.placement.tolist()) == ([50.0], [[1, 2, 1]])


@given(small_documents(), st.data())
def test_node_costs(document, data):
    """A finite node cost is added, an infinite one forbids."""
    reference, instance = Reference(document), mecopt.from_dict(document)
    shape = (instance.task_count, instance.max_blocks, instance.server_count + 1)
    cost = data.draw(node_costs(shape))
    paths = paths_of(document, cost)
    for k in range(instance.task_count):
        priced = [
            reference.task_objective(k, path) + sum(cost[k, m, node] for m, node in enumerate(path))
            for path in reference.paths(k)
            if reference.task_feasible(k, path)
        ]
        assert paths.value[k] == close(min(priced, default=np.inf))


def node_costs(shape):
    values = st.sampled_from([0.0, 0.0, 1.0, 0.3, np.inf])
    return st.lists(values, min_size=math.prod(shape), max_size=math.prod(shape)).map(
        lambda flat: np.array(flat).reshape(shape)
    )


# --- every kernel, the same bits ---
def same_bits(one, other):
    assert one.value.tobytes() == other.value.tobytes()
    assert one.placement.tolist() == other.placement.tolist()


@examples(100)
@given(documents(), st.integers(1, 100), st.booleans(), st.integers(0, 2**32 - 1))
def test_numba_gives_the_bits_of_numpy(document, count, priced, seed):
    """Up to 100 tasks: several groups of lanes, a last one that is not full, several threads."""
    costs = chain_costs(mecopt.from_dict(repeated(document, count)))
    cost = None
    if priced:
        random = np.random.default_rng(seed)
        shape = (*costs.device_s.shape, costs.send_s.shape[1] + 1)
        cost = random.choice([0.0, 0.5, np.inf, random.random()], shape, p=[0.4, 0.3, 0.1, 0.2])
    expected = shortest_paths(costs, cost, kernel="numpy")
    for threads in (1, 2, 3):
        same_bits(shortest_paths(costs, cost, kernel="numba", threads=threads), expected)


@given(documents(), st.integers(1, 60), st.integers(1, 60))
def test_chunks_make_no_difference(document, count, chunk):
    costs = chain_costs(mecopt.from_dict(repeated(document, count)))
    expected = shortest_paths(costs, kernel="numpy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trellis, "CHUNK", chunk)
        same_bits(shortest_paths(costs, kernel="numpy"), expected)


@pytest.mark.parametrize("kernel", ["numpy", "numba"])
@given(document=documents(servers=st.integers(2, 4), grid=True), rate=st.sampled_from([0.0, 0.5, 2.0]))
def test_uniform_links_are_only_a_shortcut(kernel, document, rate):
    document["links"] |= {"server_bps": rate, "server_latency_s": 0.25}
    costs = chain_costs(mecopt.from_dict(document))
    assert costs.uniform
    matrix = dataclasses.replace(costs, uniform=False)
    same_bits(shortest_paths(costs, kernel=kernel), shortest_paths(matrix, kernel=kernel))


# --- bounds ---
@examples(100)
@given(tiny_documents(couplings=COUPLINGS))
def test_relaxation_bounds_the_coupled_optimum(document):
    """The trellis ignores the couplings: its value is a bound for every set of them, and its proof holds."""
    optimum = Reference(document).best_coupled()
    result = mecopt.solve(mecopt.from_dict(document), "trellis", relax=True)
    if result.status == "infeasible":
        assert optimum is None
    elif optimum is not None:
        assert result.lower_bound <= optimum * (1 + 1e-12)
        if result.objective is not None:
            assert result.status == "optimal"
            assert result.objective == close(optimum)
    else:
        assert result.status == "violating"


# --- infeasible tasks ---
def reachable_delays(reference, k, m, *, in_time):
    """Return every delay that block `m` has over the starts of placements that have their links.

    With `in_time` the blocks before it must meet their own deadlines.
    """
    nodes = range(len(reference.servers) + 1)
    for path in itertools.product(nodes, repeat=m + 1):
        steps = reference.steps(path)
        early = in_time and any(late < m for late in reference.late_blocks(k, path))
        if all(reference.allowed(k, i, j) for i, j in steps) and not early:
            yield reference.delay(k, m, *steps[-1])


@examples(120)
@given(small_documents(deadlines=("hard",)))
def test_infeasible_tasks_are_named_with_a_true_reason(document):
    """A reason says what block can never be in time, and the smallest delay that it can have.

    Smallest over all placements with their links, or, where the text says so, over those of them whose
    earlier blocks are in time. Without bans the only other reason is a result that cannot return.
    """
    instance, reference = mecopt.from_dict(document), Reference(document)
    costs = chain_costs(instance)
    paths = shortest_paths(costs)
    reasons = infeasible_tasks(instance, costs, paths)
    hopeless = [k for k in range(instance.task_count) if reference.best_path(k) is None]
    assert [reason["where"]["task"] for reason in reasons] == hopeless
    for reason in reasons:
        k, m = reason["where"]["task"], reason["where"]["block"]
        if reason["kind"] == "link":
            assert m == len(reference.blocks(k))
            assert reference.switch["return_result"]
            assert all(
                reference.late_blocks(k, path) or reference.result_return(k, path[-1]) == math.inf
                for path in reference.paths(k)
                if all(reference.allowed(k, i, j) for i, j in reference.steps(path))
            )
        else:
            in_time = "after blocks that meet their own" in reason["message"]
            assert reason["kind"] == "deadline"
            assert reason["value"] == close(min(reachable_delays(reference, k, m, in_time=in_time)))
            assert reason["limit"] == reference.limit(k, m)
            assert not within(reason["value"], reason["limit"])
            assert reason["message"].startswith(f"task {k}, block {m} (")


def chain(blocks, servers=2, **task):
    """One task on a chain of blocks; only server 1 has a link to the device."""
    return {
        "format": "mecopt-instance/1",
        "slots": {"count": 1},
        "models": [{"name": "net", "blocks": blocks}],
        "devices": [{"name": "cam", "cycles_per_s": 1}],
        "servers": [{"cycles_per_s": 2}, {"cycles_per_s": 100}][:servers],
        "links": {"server_bps": 0},
        "tasks": [{"slot": 0, "device": "cam", "model": "net", "rate_bps": [4, 0][:servers], **task}],
    }


def only_reason(document):
    result = mecopt.solve(mecopt.from_dict(document))
    assert result.status == "infeasible"
    (reason,) = result.reasons
    return reason


def test_reason_of_a_block_that_is_always_late():
    reason = only_reason(chain([{"name": "conv", "cycles": 8, "input_bits": 4}], max_delay_s=4))
    assert reason["where"] == {"task": 0, "block": 0}
    assert (reason["value"], reason["limit"]) == (5.0, 4.0)
    assert (
        reason["message"] == "task 0, block 0 (conv): the smallest delay it can have is 5 s, its tau is 4 s"
    )


def test_a_server_out_of_reach_does_not_count_as_the_smallest_delay():
    """Server 2 would need 0.08 s for block 1, but no link leads there."""
    blocks = [{"cycles": 0, "input_bits": 0}, {"cycles": 8, "input_bits": 0}]
    reason = only_reason(chain(blocks, max_delay_s=[None, 1]))
    assert reason["where"] == {"task": 0, "block": 1}
    assert reason["value"] == 4.0


def test_reason_that_depends_on_the_blocks_before():
    """Block 1 is in time only behind block 0 on the server, and block 0 is in time only on the device."""
    blocks = [{"cycles": 1, "input_bits": 400}, {"cycles": 2, "input_bits": 400}]
    reason = only_reason(chain(blocks, servers=1, max_delay_s=[1, 1.5]))
    assert reason["where"] == {"task": 0, "block": 1}
    assert reason["value"] == 2.0
    assert "after blocks that meet their own" in reason["message"]


def test_every_infeasible_task_is_named():
    document = chain([{"cycles": 8, "input_bits": 4}], max_delay_s=4)
    document["tasks"] = [{**document["tasks"][0], "max_delay_s": tau} for tau in (4, 6, 1)]
    result = mecopt.solve(mecopt.from_dict(document))
    assert [reason["where"]["task"] for reason in result.reasons] == [0, 2]


def test_bans_are_a_reason_too():
    document = chain([{"cycles": 8, "input_bits": 4}] * 2, max_delay_s=4)
    document["tasks"][0]["max_delay_s"] = None
    result = mecopt.solve(mecopt.from_dict(document), bans=["0:1=0", "0:1=1"])
    assert result.status == "infeasible"
    assert result.reasons[0]["kind"] == "ban"
    assert result.reasons[0]["where"] == {"task": 0, "block": 1}


# --- what can only help ---
def optimum(document):
    """Return the optimum under the couplings by brute force, inf where there is none."""
    value = Reference(document).best_coupled()
    return np.inf if value is None else value


def optima(document, better):
    """Return the sum of the tasks' values before and after a change, in one mode each."""
    return paths_of(document).value, paths_of(better).value


def no_worse(before, after):
    assert (after <= before * (1 + 1e-9)).all()


def with_another_server(document, data):
    """Add a last server with any speed, links and latencies, which leaves those of the others as they are."""
    donor = data.draw(documents(servers=st.just(1), slots=1))
    numbers = st.sampled_from([0.0, 0.5, 2.0, 1e3])
    count = len(document["servers"])
    better = copy.deepcopy(document)
    better["servers"].append({**donor["servers"][0], "name": "new"})
    better["servers"][-1]["cycles_per_s"] = data.draw(st.sampled_from([0.5, 2.0, 1e3]))
    for task in better["tasks"]:
        task["rate_bps"] = [*task["rate_bps"], data.draw(numbers)]
    links = better.setdefault("links", {})
    links.setdefault("server_bps", 0.0)
    for name in ("server_bps", "server_latency_s"):
        value = links.get(name, 0.0)
        if isinstance(value, list):
            links[name] = [[*row, data.draw(numbers)] for row in value]
            links[name].append([data.draw(numbers) for _ in range(count + 1)])
    if isinstance(links.get("device_latency_s"), list):
        links["device_latency_s"] = [*links["device_latency_s"], data.draw(numbers)]
    return better


def with_a_faster_server(document, data):
    better = copy.deepcopy(document)
    server = data.draw(st.sampled_from(better["servers"]))
    factor = data.draw(st.sampled_from([1.5, 2.0, 100.0]))
    speed = server["cycles_per_s"]
    server["cycles_per_s"] = [s * factor for s in speed] if isinstance(speed, list) else speed * factor
    return better


def with_faster_links(document, data):
    """Raise one rate of a device's link, or of all wired links; a missing one may come into being."""
    better = copy.deepcopy(document)
    more = st.sampled_from([0.0, 0.5, 10.0])
    for task in better["tasks"]:
        task["rate_bps"] = [rate + data.draw(more) for rate in task["rate_bps"]]
    rates = better.get("links", {}).get("server_bps")
    if isinstance(rates, list):
        better["links"]["server_bps"] = [[rate + data.draw(more) for rate in row] for row in rates]
    elif rates is not None:
        better["links"]["server_bps"] = rates + data.draw(more)
    return better


def with_a_faster_device(document, data):
    better = copy.deepcopy(document)
    data.draw(st.sampled_from(better["devices"]))["cycles_per_s"] *= data.draw(st.sampled_from([1.5, 100.0]))
    return better


def with_a_finer_cut(document, data):
    """Split one block in two: cycles, bytes and measured times are shared out, each half keeps the whole tau.

    The input of the second half is any number of bits.
    """
    better = copy.deepcopy(document)
    model = data.draw(st.sampled_from(better["models"]))
    m = data.draw(st.integers(0, len(model["blocks"]) - 1))
    share = data.draw(st.sampled_from([0.0, 0.25, 0.5, 1.0]))
    halves = []
    for part in (share, 1 - share):
        block = copy.deepcopy(model["blocks"][m])
        block["cycles"] *= part
        block["param_bytes"] = block.get("param_bytes", 0.0) * part
        if not part:  # nothing to do, anywhere
            block.pop("measured_seconds", None)
        elif block.get("measured_seconds"):
            block["measured_seconds"] = {h: s * part for h, s in block["measured_seconds"].items()}
        halves.append(block)
    halves[1]["input_bits"] = data.draw(st.sampled_from([0.0, 1.0, 1e6]))
    model["blocks"][m : m + 1] = halves
    for task in better["tasks"]:
        tau = task.get("max_delay_s")
        if task["model"] == model["name"] and isinstance(tau, list):
            task["max_delay_s"] = [*tau[: m + 1], *tau[m:]]
    return better


IMPROVEMENTS = [with_another_server, with_a_faster_server, with_faster_links, with_a_finer_cut]


@pytest.mark.parametrize("improve", [*IMPROVEMENTS, with_a_faster_device])
@examples(80)
@given(document=documents(), data=st.data())
def test_improvements_never_hurt_a_task(improve, document, data):
    """Without couplings no task ever gets worse, under every preset, switch and deadline mode.

    - Another server, with any links: every old placement is still there, at its old cost.
    - A faster server or device: every delay shrinks or (measured times) stays.
    - Faster links: every transfer shrinks, and a link that comes into being forbids nothing.
    - A finer cut: both halves on the old node cost what the block did. This needs each half to keep the
      *whole* tau; a test below shows what happens when tau is shared out.
    """
    before, after = optima(document, improve(document, data))
    no_worse(before, after)


@pytest.mark.parametrize("improve", IMPROVEMENTS)
@examples(50)
@given(document=tiny_documents(couplings=COUPLINGS), data=st.data())
def test_improvements_never_hurt_under_couplings(improve, document, data):
    """Under energy, capacity and memory together the same four never hurt the optimum of the whole instance.

    Every old placement uses no more of anything: a faster server takes less of its slot, a faster link less
    energy, and two halves together what the block used. A faster *device* is left out: see a test below.
    """
    before, after = optimum(document), optimum(improve(document, data))
    no_worse(np.array([before]), np.array([after]))


def test_a_finer_cut_hurts_when_its_deadline_is_shared_out():
    """4 s are enough for 4 cycles, but 1 s + 3 s is not for 2 + 2: the total excess grows from 0 to 1 s."""
    whole = chain([{"cycles": 4, "input_bits": 0}], servers=1, max_delay_s=4)
    halves = chain([{"cycles": 2, "input_bits": 0}] * 2, servers=1, max_delay_s=[1, 3])
    for document in (whole, halves):
        document["tasks"][0]["rate_bps"] = [0]
        document["rules"] = {"deadline": "soft"}
    assert (optimum(whole), optimum(halves)) == (4.0, 5.0)
    for document in (whole, halves):
        document["rules"] = {"deadline": "hard"}
    assert (optimum(whole), optimum(halves)) == (4.0, np.inf)


def test_a_faster_device_hurts_when_energy_is_short():
    """Energy grows with the square of the speed (Eq. 4): a faster device may run out of its budget."""
    slow = chain([{"cycles": 4, "input_bits": 0}], servers=1)
    slow["tasks"][0]["rate_bps"] = [0]
    slow["rules"] = {"couplings": ["energy"]}
    slow["devices"] = [{"name": "cam", "cycles_per_s": 1, "kappa": 1, "energy_budget_j": 5}]
    fast = copy.deepcopy(slow)
    fast["devices"][0]["cycles_per_s"] = 2
    assert (optimum(slow), optimum(fast)) == (4.0, np.inf)


# --- choices of the kernel ---
def test_auto_takes_numba_for_many_arcs(monkeypatch):
    costs = chain_costs(mecopt.from_dict(chain([{"cycles": 1, "input_bits": 1}])))
    taken = []
    monkeypatch.setattr(
        "mecopt.trellis_numba.shortest_paths", lambda *given: taken.append(given) or given[:2]
    )
    monkeypatch.delitem(trellis.sys.modules, "mecopt.trellis_numba")
    monkeypatch.setattr(trellis, "_arcs", 0)  # those of all calls in this process count
    shortest_paths(costs)
    assert not taken
    monkeypatch.setattr(trellis, "NUMBA_ARCS", 0)
    shortest_paths(costs)
    assert len(taken) == 1


def test_arcs_of_the_trellis():
    costs = chain_costs(mecopt.from_dict(chain([{"cycles": 1, "input_bits": 1}] * 3)))
    assert costs.arcs == 3 + 9 + 9


@given(documents(deadlines=("hard",)))
def test_a_task_without_tau_can_always_be_placed(document):
    """The device is always there: only a deadline can leave a task without a path."""
    for task in document["tasks"]:
        task.pop("max_delay_s", None)
    assume(document["tasks"])
    assert np.isfinite(paths_of(document).value).all()
