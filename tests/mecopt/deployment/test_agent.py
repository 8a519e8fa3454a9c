"""What an agent lets in: nothing from elsewhere without a token, no other part than was said, no rubbish."""

import random
import time

import grpc
import numpy as np
import pytest
from onnx import TensorProto, helper

import mecopt
from mecopt.deployment.agent import Agent, AgentLimits, Secrets
from mecopt.deployment.client import AgentError, Client, Credentials
from mecopt.deployment.wire import packed, unpacked


@pytest.fixture
def agent():
    made = Agent(limits=AgentLimits(memory_bytes=1 << 20))
    made.address = made.start()
    yield made
    made.stop()


@pytest.fixture
def client(agent):
    made = Client("es1", agent.address, Credentials())
    yield made
    made.close()


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.int64, np.uint8, np.bool_])
def test_messages_come_back_as_they_were(kind):
    tensors = {"a": np.arange(6).reshape(2, 3).astype(kind), "scalar": np.array(1).astype(kind)}
    header, found = unpacked(packed({"run": "r", "n": 3, "none": None}, tensors))
    assert header == {"run": "r", "n": 3, "none": None}
    for name, value in tensors.items():
        assert found[name].dtype == value.dtype
        assert found[name].shape == value.shape
        assert (found[name] == value).all()


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "192.0.2.1:7070", "example.org:1"])
def test_elsewhere_only_with_token_and_certificate(listen):
    with pytest.raises(mecopt.InputError, match="others could reach it, expected --token-file"):
        Agent(listen)
    with pytest.raises(mecopt.InputError, match="--tls-cert"):
        Agent(listen, secrets=Secrets(token="t"))


@pytest.mark.parametrize("listen", ["", "7070", "localhost:", "localhost:x", "localhost:70000"])
def test_an_address_that_is_none(listen):
    with pytest.raises(mecopt.InputError, match="expected HOST:PORT"):
        Agent(listen)


def test_an_address_that_is_taken(agent):
    with pytest.raises(mecopt.InputError, match="in use"):
        Agent(agent.address).start()


def test_a_wrong_token_is_told():
    agent = Agent(secrets=Secrets(token="right"))
    address = agent.start()
    try:
        assert Client("es1", address, Credentials("right")).call("Hello", {})[0]["cores"] >= 1
        for wrong in ("", "wrong"):
            with pytest.raises(AgentError, match="wants another token"):
                Client("es1", address, Credentials(wrong)).call("Hello", {})
            with pytest.raises(AgentError, match="wants another token"):
                Client("es1", address, Credentials(wrong)).upload("0" * 64, b"x")
    finally:
        agent.stop()


def test_only_the_part_that_was_said(client, whole):
    data = whole.part(0, 0)
    with pytest.raises(AgentError, match="SHA-256"):
        client.upload("0" * 64, data)
    assert client.call("Has", {"parts": ["0" * 64]})[0]["parts"] == []


def test_a_part_that_is_stuck_is_told_within_seconds(agent, client, monkeypatch):
    monkeypatch.setattr("mecopt.deployment.client.STALL_S", 0.3)
    monkeypatch.setattr(agent, "upload", lambda chunks: time.sleep(2.0) or packed({}))
    began = time.monotonic()
    with pytest.raises(AgentError, match="has stopped taking a part") as error:
        client.upload("0" * 64, bytes(1 << 20))
    assert error.value.lost
    assert time.monotonic() - began < 2.0


def test_runs_that_nobody_asks_for_make_room(agent, client):
    begin = {"node": "es1", "stages": [{"node": "es1", "part": None, "outputs": []}]}
    begin |= {"everywhere": [], "peers": {}, "links": {}}
    for i in range(8):
        client.call("Begin", {**begin, "run": f"r{i}"})
    with pytest.raises(AgentError, match="8 runs are under way"):
        client.call("Begin", {**begin, "run": "r8"})
    agent.works["r3"].asked -= 100
    client.call("Begin", {**begin, "run": "r8"})
    assert client.call("Hello", {})[0]["runs"] == 8
    assert "r3" not in agent.works


def digest(data):
    import hashlib

    return hashlib.sha256(data).hexdigest()


def test_parts_are_models_of_a_size(client):
    with pytest.raises(AgentError, match=r"no ONNX model|onnxruntime does not take it"):
        client.upload(digest(b"rubbish"), b"rubbish")
    large = bytes(2 << 20)
    with pytest.raises(AgentError, match="there is no room for it"):
        client.upload(digest(large), large)


def test_a_part_reads_no_files(client):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/hostname")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [tensor],
    )
    data = helper.make_model(graph).SerializeToString()
    with pytest.raises(AgentError, match="keeps weights in other files"):
        client.upload(digest(data), data)


HEADERS = [
    {},
    {"run": 1},
    {"run": "none"},
    {"run": "r", "node": "es1", "stages": [], "everywhere": [], "peers": {}, "links": {}},
    {"run": "r", "node": "es1", "stages": [1], "everywhere": [], "peers": {}, "links": {}},
    {"run": "r", "node": "a", "stages": [{"node": "b", "part": None, "outputs": []}], "everywhere": [],
     "peers": {}, "links": {}},
    {"parts": "x"},
    {"bytes": -1, "times": 1, "link": {}, "address": "127.0.0.1:1"},
    {"bytes": 1 << 40, "times": 1, "link": {}, "address": "127.0.0.1:1"},
]  # fmt: skip


def fuzzed(draw, samples):
    """Return a broken message: cut, flipped, lengthened, or of another method."""
    data = bytearray(draw.choice(samples))
    for _ in range(draw.randint(1, 8)):
        if data:
            data[draw.randrange(len(data))] = draw.randrange(256)
    kind = draw.randrange(4)
    return (
        bytes(data[: draw.randrange(len(data) + 1)]) if kind == 0 else bytes(data) + bytes(draw.randrange(9))
    )


def broken_messages(agent, count):
    """Send broken messages; return how many were answered as if they were right."""
    draw = random.Random(1)
    samples = [packed(header, {"x": np.ones(3)}) for header in HEADERS]
    methods = [*agent._methods, "Part", "Nothing"]
    channel = grpc.insecure_channel(agent.address)
    obeyed, codes = 0, set()
    for _ in range(count):
        method = draw.choice(methods)
        message = fuzzed(draw, samples)
        try:
            if method == "Part":
                channel.stream_unary("/mecopt.Agent/Part")(iter([message, message]), timeout=5)
            else:
                channel.unary_unary(f"/mecopt.Agent/{method}")(message, timeout=5)
            obeyed += method not in ("Hello", "Clock", "Sink")  # those do nothing
        except grpc.RpcError as error:
            codes.add(error.code().name)
    assert codes <= {"INVALID_ARGUMENT", "UNIMPLEMENTED", "FAILED_PRECONDITION"}
    channel.close()
    return obeyed


def test_broken_messages_neither_end_it_nor_are_obeyed(agent, client):
    assert broken_messages(agent, 300) == 0
    assert client.call("Hello", {})[0]["runs"] == 0


@pytest.mark.slow
def test_two_thousand_broken_messages(agent, client):
    assert broken_messages(agent, 2000) == 0
    assert client.call("Hello", {})[0]["runs"] == 0
