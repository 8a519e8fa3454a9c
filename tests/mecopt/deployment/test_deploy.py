"""Plans carried out by agents: outputs are the whole model's, times are told, failures have names."""

import dataclasses
import shutil
import subprocess
import threading
import time

import numpy as np
import pytest

import mecopt
from mecopt.deployment.agent import Agent, Secrets
from mecopt.deployment.client import AgentError, Credentials
from mecopt.deployment.whole import WholeModel


def row(instance, *nodes):
    """Return a placement whose blocks run on these nodes, each for about as many."""
    return [[nodes[m * len(nodes) // instance.max_blocks] for m in range(instance.max_blocks)]]


@pytest.mark.parametrize("nodes", [(0,), (1,), (0, 1), (1, 2), (0, 1, 2), (1, 0, 2), (0, 2, 0)])
def test_outputs_are_those_of_the_whole(instance, whole, agents, nodes):
    _, addresses = agents
    found = mecopt.deploy(instance, row(instance, *nodes), whole, addresses, 2, seed=3)
    assert found.difference <= 1e-4
    assert len(found.outputs) == 2
    assert found.outputs[0]["y"].shape == (1, 10)
    assert not np.allclose(found.outputs[0]["y"], found.outputs[1]["y"])
    assert np.isfinite(found.delays_s).all()
    assert (found.delays_s > 0).all()


def test_predicted_and_measured_stand_side_by_side(instance, whole, agents):
    _, addresses = agents
    placement = row(instance, 0, 1, 2)
    found = mecopt.deploy(instance, placement, whole, addresses, 3)
    judged = mecopt.evaluate(instance, placement)
    frame = found.to_frame()
    assert frame.node.tolist() == ["device", "es1", "es2", "device"]
    predicted = frame.predicted_transfer_s.sum() + frame.predicted_calculation_s.sum()
    assert predicted == pytest.approx(judged.total_delay_s)
    measured = found.transfers_s().sum(axis=1) + found.calculations_s()[:, :-1].sum(axis=1)
    waited = (found.started - found.arrived)[:, 1:-1].sum(axis=1)
    assert (measured + waited) == pytest.approx(found.delays_s, rel=1e-6)
    document = found.to_dict()
    assert document["largest_difference"] == found.difference
    assert len(document["stretches"]) == 4


def with_starts(instance):
    """The instance with 1 s a block inside a stretch and 0.25 s more at the start of one."""
    (model,) = instance.models
    blocks = [
        dataclasses.replace(block, measured_seconds={"here": 1.0}, start_seconds={"here": 0.25})
        for block in model.blocks
    ]
    nodes = {
        "devices": [dataclasses.replace(instance.devices[0], hardware="here")],
        "servers": [dataclasses.replace(server, hardware="here") for server in instance.servers],
    }
    return instance.replace(models=[dataclasses.replace(model, blocks=blocks)], **nodes)


def test_single_blocks_are_timed_by_themselves(instance, whole, agents):
    _, addresses = agents
    placement = row(instance, 1, 2)
    instance = with_starts(instance)
    found = mecopt.deploy(instance, placement, whole, addresses, 2)
    times, (nodes,) = found.blocks, placement
    assert times.apart
    frame = times.to_frame()
    assert frame["block"].tolist() == [block.name for block in instance.models[0].blocks]
    assert frame["node"].tolist() == [f"es{node}" for node in nodes]
    assert (frame["measured_alone_s"] > 0).all()
    assert times.calculations_s.shape == (2, len(nodes))
    crosses = [m for m in range(len(nodes)) if m == 0 or nodes[m] != nodes[m - 1]]
    assert [m for m in range(len(nodes)) if frame["predicted_transfer_s"][m] > 0] == crosses
    # Alone each block begins a piece; inside, only the first of a stretch does.
    assert frame["predicted_alone_s"].tolist() == [1.25] * len(nodes)
    assert frame["predicted_inside_s"].tolist() == [1.25 if m in crosses else 1.0 for m in range(len(nodes))]
    document = found.to_dict()["blocks"]
    assert (document["measured"], document["inputs"]) == ("one by one, after the run", 2)
    assert len(document["rows"]) == len(nodes)


def test_a_plan_of_single_blocks_is_timed_in_the_run_itself(instance, whole, agents):
    _, addresses = agents
    placement = [[1 + m % 2 for m in range(instance.max_blocks)]]
    found = mecopt.deploy(instance, placement, whole, addresses, 3)
    assert not found.blocks.apart
    assert found.blocks.calculations_s == pytest.approx(found.calculations_s()[:, 1:-1])
    assert found.blocks.transfers_s == pytest.approx(found.transfers_s()[:, 1:-1])
    assert mecopt.deploy(instance, placement, whole, addresses, 1, blocks=False).blocks is None


def test_a_round_of_blocks_that_fails_leaves_the_run(instance, whole, agents, monkeypatch):
    from mecopt.deployment import deploying

    def lost(*_):
        raise AgentError("es1", "no agent at 127.0.0.1:1", lost=True)

    monkeypatch.setattr(deploying, "one_by_one", lost)
    _, addresses = agents
    found = mecopt.deploy(instance, row(instance, 1), whole, addresses, 2)
    assert found.blocks is None
    assert found.events[-1] == "single blocks were not timed: es1: no agent at 127.0.0.1:1"
    assert len(found.outputs) == 2


def test_a_shaped_link_takes_its_time(instance, whole, agents):
    _, addresses = agents
    shapes = {("device", "es1"): (1e6, 0.01)}
    found = mecopt.deploy(instance, row(instance, 1), whole, addresses, 3, shapes=shapes)
    expected = 3 * 16 * 16 * 32 / 1e6 + 0.01
    took = np.median(found.transfers_s()[:, 1])
    assert 0.95 * expected <= took <= expected + 0.05  # other tests run beside it


def test_a_pipeline_is_as_fast_as_its_slowest_link(instance, whole, agents):
    _, addresses = agents
    shapes = {("device", "es1"): (1e6, 0.03)}
    found = mecopt.deploy(instance, row(instance, 1), whole, addresses, 6, shapes=shapes, pipeline=True)
    assert 0.9 * (sending := 3 * 16 * 16 * 32 / 1e6) <= found.period_s <= 2 * sending
    assert found.period_s < np.median(found.delays_s)
    assert found.difference <= 1e-4


def test_given_inputs_are_used_and_checked(instance, whole, agents):
    _, addresses = agents
    ones = {"x": np.ones((1, 3, 16, 16))}
    found = mecopt.deploy(instance, row(instance, 0, 1), whole, addresses, [ones, ones])
    assert np.array_equal(found.outputs[0]["y"], found.outputs[1]["y"])
    with pytest.raises(mecopt.InputError, match="'x': shape"):
        mecopt.deploy(instance, row(instance, 0, 1), whole, addresses, [{"x": np.ones((1, 3, 8, 8))}])
    with pytest.raises(mecopt.InputError, match="'x' is missing"):
        mecopt.deploy(instance, row(instance, 0, 1), whole, addresses, [{}])


def test_the_device_has_two_names_and_other_models_are_refused(instance, whole, agents):
    _, addresses = agents
    device = Agent()
    try:
        there = {"camera": device.start(), **addresses}
        shapes = {("camera", "es1"): (1e9, 0.0)}
        found = mecopt.deploy(instance, row(instance, 0, 1), whole, there, 1, shapes=shapes)
        assert found.difference <= 1e-4
    finally:
        device.stop()
    model = instance.models[0]
    blocks = [mecopt.Block(1.0, 1.0, name=f"b{m}") for m in range(len(model.blocks))]
    other = instance.replace(models=[mecopt.Model(model.name, blocks)])
    with pytest.raises(mecopt.InputError, match="block 0 is 'b0', in the model file"):
        mecopt.deploy(other, row(instance, 0, 1), whole, addresses, 1)


def test_no_numbers_are_the_same_no_numbers(instance, whole, agents):
    _, addresses = agents
    nothing = {"x": np.full((1, 3, 16, 16), np.nan, dtype=np.float32)}
    found = mecopt.deploy(instance, row(instance, 0, 1), whole, addresses, [nothing])
    assert found.difference == 0.0
    assert whole.difference(nothing, {"y": np.zeros((1, 10))}) == np.inf
    with pytest.raises(mecopt.InputError, match="complex128, expected float32"):
        mecopt.deploy(instance, row(instance, 0, 1), whole, addresses, [{"x": np.ones((1, 3, 16, 16)) * 1j}])


def stopped_later(agent, seconds):
    threading.Timer(seconds, agent.stop).start()


def test_an_agent_that_is_gone_is_named(instance, whole, agents):
    made, addresses = agents
    shapes = {("device", "es1"): (1e6, 0.05)}
    stopped_later(made["es2"], 0.5)
    began = time.monotonic()
    with pytest.raises(AgentError, match="es2: no a") as error:
        mecopt.deploy(instance, row(instance, 1, 2), whole, addresses, 200, shapes=shapes)
    assert error.value.lost
    assert time.monotonic() - began < 8


def test_a_run_goes_on_without_a_lost_node(instance, whole, agents):
    made, addresses = agents
    shapes = {("device", "es1"): (1e6, 0.02)}
    stopped_later(made["es2"], 0.5)
    found = mecopt.deploy(instance, row(instance, 1, 2), whole, addresses, 20, shapes=shapes, replan=True)
    assert len(found.outputs) == 20
    assert found.difference <= 1e-4
    assert any("planned again without es2" in event for event in found.events)
    assert "es2" not in {one.node for one in found.stretches}


def test_an_agent_that_was_never_there(instance, whole, agents):
    made, addresses = agents
    made["es1"].stop()
    with pytest.raises(AgentError, match="es1: no a"):
        mecopt.deploy(instance, row(instance, 0, 1), whole, addresses, 1)


def test_what_does_not_fit_is_refused(instance, whole, agents):
    _, addresses = agents
    with pytest.raises(mecopt.InputError, match="agents: none for es2"):
        mecopt.deploy(instance, row(instance, 0, 2), whole, {"es1": addresses["es1"]}, 1)
    with pytest.raises(mecopt.InputError, match="agents: 'es9' is no node"):
        mecopt.deploy(instance, row(instance, 0), whole, {"es9": "127.0.0.1:1"}, 1)
    with pytest.raises(mecopt.InputError, match="es1 and es2 have one address"):
        mecopt.deploy(instance, row(instance, 0), whole, dict.fromkeys(("es1", "es2"), addresses["es1"]), 1)
    with pytest.raises(mecopt.InputError, match="task 7: expected 0 to 0"):
        mecopt.deploy(instance, row(instance, 0), whole, addresses, 1, task=7)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate")
def test_behind_tls_and_a_token(instance, whole, tmp_path):
    """As on machines that others reach: a token and certificates for calls between agents too."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate]
    subprocess.run(
        [*made, "-days", "2", "-subj", "/CN=localhost", "-addext", names],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    secrets = Secrets("secret", certificate.read_bytes(), key.read_bytes(), certificate.read_bytes())
    agents = {name: Agent(secrets=secrets) for name in ("device", "es1", "es2")}
    right = Credentials("secret", certificate.read_bytes())
    try:
        there = {name: agent.start() for name, agent in agents.items()}
        found = mecopt.deploy(instance, row(instance, 0, 1, 2), whole, there, 1, credentials=right)
        assert found.difference <= 1e-4
        wrong = Credentials("other", certificate.read_bytes())
        with pytest.raises(AgentError, match="wants another token"):
            mecopt.deploy(instance, row(instance, 0, 1), whole, there, 1, credentials=wrong)
        with pytest.raises(AgentError, match="no agent"):  # in the clear
            mecopt.deploy(instance, row(instance, 0, 1), whole, there, 1, credentials=Credentials("secret"))
        without = {name: there[name] for name in ("es1", "es2")}
        with pytest.raises(mecopt.InputError, match="none for device: behind TLS"):
            mecopt.deploy(instance, row(instance, 1), whole, without, 1, credentials=right)
    finally:
        for agent in agents.values():
            agent.stop()


def test_a_calculation_that_takes_too_long_ends(instance, whole):
    from mecopt.deployment.agent import AgentLimits

    agent = Agent(limits=AgentLimits(calculation_s=1e-9))
    try:
        with pytest.raises(AgentError, match="took longer than 1e-09 s"):
            mecopt.deploy(instance, row(instance, 1), whole, {"es1": agent.start()}, 1)
    finally:
        agent.stop()


def test_words_of_a_table_of_one_row(tmp_path, agents):
    """Random whole numbers are such that the model runs."""
    import onnx_graphs as graphs

    nodes = [graphs.node("Gather", "table ids", "h"), graphs.node("MatMul", "h w", "y")]
    params = [graphs.param("table", 1, 8), graphs.param("w", 8, 4)]
    proto = graphs.model(nodes, {"ids": (1, 5)}, ["y"], params, {"ids": graphs.INT})
    short = WholeModel.of(str(graphs.save(proto, tmp_path)))
    assert {int(one["ids"].max()) for one in short.random(3, 0)} == {0}
    params[0] = graphs.param("table", 2, 8)
    proto = graphs.model(nodes, {"ids": (1, 5)}, ["y"], params, {"ids": graphs.INT})
    longer = WholeModel.of(str(graphs.save(proto, tmp_path)))
    assert {int(one["ids"].max()) for one in longer.random(3, 0)} == {1}


def one_task_of(model):
    """A device and two servers for a model that was imported."""
    blocks = len(model.blocks)
    return mecopt.Instance(
        name="any",
        slot_count=1,
        models=[model],
        devices=[mecopt.Device("camera", 1e9)],
        servers=[mecopt.Server("es1", 1e9), mecopt.Server("es2", 1e9)],
        links=mecopt.Links.of(2, 1e8),
        tasks=mecopt.Tasks.of(slot=0, device=0, model=0, blocks=blocks, rate_bps=np.full((1, 2), 1e8)),
        rules=mecopt.Rules.preset("physical", deadline="none"),
    )


def test_graphs_of_all_kinds(tmp_path, agents):
    """Masks and flags that go everywhere, integers that cross, branches, loops, several outputs."""
    import onnx_graphs as graphs

    both = [
        graphs.node("MatMul", "a w", "h"),
        graphs.node("Add", "h b", "s"),
        graphs.node("Relu", "s", "early"),
        graphs.node("MatMul", "s v", "late"),
    ]
    params = [graphs.param("w", 8, 8), graphs.param("v", 8, 3)]
    several = graphs.model(both, {"a": (2, 8), "b": (2, 8)}, ["early", "late"], params)
    kinds = [graphs.masked(), graphs.quantised(), graphs.branched(None), graphs.looped(), several]
    for number, proto in enumerate(kinds):
        path = graphs.save(proto, tmp_path, f"{number}.onnx")
        dims = {"batch": 2} if number == 0 else {}
        document = mecopt.import_model(path, dims=dims)
        nodes = [[m % 3 for m in range(len(document.model.blocks))]]
        found = mecopt.deploy(
            one_task_of(document.model), nodes, WholeModel(document, str(path)), agents[1], 2
        )
        assert found.difference <= 1e-4
        assert found.outputs[0].keys() == {value.name for value in proto.graph.output}
