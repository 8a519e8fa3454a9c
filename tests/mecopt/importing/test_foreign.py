"""What other projects measured: files as theirs are, small, and what cannot be expressed."""

import json
import pickle

import pytest

import mecopt
from mecopt.errors import InputError
from mecopt.importing.foreign import import_foreign


class LayerBenchmark:
    """As Scission's files have them."""

    def __init__(self, first, last, seconds, size):
        self.model, self.device = "net", ""
        self.input_layer, self.output_layer = first, last
        self.second_prediction, self.output_size = seconds, size


SECONDS = {"device-pi": (0.4, 0.6, 0.2), "edge-box": (0.1, 0.15, 0.05), "cloud-big": (0.01, 0.015, 0.005)}
SIZES = (800_000, 40_000, 1_000)
LINKS = """source,destination,ping(ms),bandwidth(mbps)
pi,box, 10, 8
pi,big, 50, 8
box,big, 20, 80
"""


def scission(folder):
    for name, seconds in SECONDS.items():
        spans = ((0, 1), (2, 5), (6, 6))
        layers = [LayerBenchmark(*span, s, size) for span, s, size in zip(spans, seconds, SIZES, strict=True)]
        (folder / f"{name}.dat").write_bytes(pickle.dumps({"net": layers, "other": layers[:1]}))
    (folder / "network_stats.csv").write_text(LINKS)
    return folder


def test_scission_gives_its_best_plan(tmp_path):
    document, instance = import_foreign(str(scission(tmp_path)), "scission", "net")
    times = [dict(block.measured_seconds) for block in document.model.blocks]
    assert times[0] == {"big": 0.01, "box": 0.1, "pi": 0.4}
    assert document == mecopt.import_model(tmp_path, kind="scission", name="net")
    # By hand, as its own search counts: prefixes on the device, then the edge, then the cloud.
    sizes, best = (150_000, *SIZES[:2]), float("inf")
    pi, box, big = SECONDS.values()
    for x in range(4):
        for y in range(x, 4):
            delay = sum(pi[:x]) + sum(box[x:y]) + sum(big[y:])
            if y > x:
                delay += 0.010 + sizes[x] / 1e6
            if y < 3:
                delay += 0.020 + sizes[y] / 1e7 if y > x else 0.050 + sizes[y] / 1e6
            best = min(best, delay)
    assert mecopt.solve(instance).objective == pytest.approx(best)


def test_a_pickle_of_anything_else_is_refused_and_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / "run"), "w")

    folder = scission(tmp_path)
    (folder / "edge-box.dat").write_bytes(pickle.dumps({"net": [Evil()]}))
    with pytest.raises(InputError, match="not measurements of Scission"):
        import_foreign(str(folder), "scission", "net")
    assert not (tmp_path / "run").exists()


def test_several_models_ask_for_a_name(tmp_path):
    with pytest.raises(InputError, match="expected --name, one of net, other"):
        import_foreign(str(scission(tmp_path)), "scission", None)


PIPEEDGE = {
    "models.yml": """
vit:
  layers: 3
  mem_MB: [1, 2, 3]
  parameters_in: 9
  parameters_out: [100, 200, 10]
""",
    "device_types.yml": """
small:
  bw_Mbps: 1
  mem_MB: 4
  model_profiles:
    vit:
    - {batch_size: 8, dtype: torch.float32, time_s: [0.4, 0.1, 0.3]}
large:
  bw_Mbps: 100
  mem_MB: 64
  model_profiles:
    vit:
    - {batch_size: 8, dtype: torch.float32, time_s: [0.2, 0.05, 0.15]}
""",
    "devices.yml": "small: [a, b]\nlarge: [c]\n",
}


def pipeedge(folder, **changes):
    for name, text in {**PIPEEDGE, **changes}.items():
        (folder / name).write_text(text)
    return str(folder)


def test_pipeedge_minimises_the_longest_stage(tmp_path):
    document, instance = import_foreign(pipeedge(tmp_path), "pipeedge", None)
    assert document.model.blocks[1].input_bits == 8 * 4 * 8 * 100
    assert document.model.blocks[1].param_bytes == 2 * 2**20
    # On c alone 0.4; any two of its layers and one elsewhere: 0.3 at best; a transfer takes up to 0.05 s.
    result = mecopt.solve(instance)
    assert result.objective == pytest.approx(0.3)
    assert (result.placement > 0).all()


def test_pipeedge_says_what_is_wrong_where(tmp_path):
    for name, old, new, said in (
        ("models.yml", "[1, 2, 3]", "[1, 2]", "vit.mem_MB: 2 numbers, expected 3"),
        ("models.yml", "[1, 2, 3]", "[1, x, 3]", r"vit.mem_MB.1: 'x', expected a number"),
        ("devices.yml", "small", "other", "other: no such type"),
        ("devices.yml", "[c]", "7", "large: 7, expected a list"),
        ("device_types.yml", "torch.float32", "torch.int7", "torch.int7"),
        ("device_types.yml", "vit:", "vit: [", "not YAML"),
    ):
        text = PIPEEDGE[name].replace(old, new)
        with pytest.raises(InputError, match=said):
            import_foreign(pipeedge(tmp_path, **{name: text}), "pipeedge", None)


def workload(**changes):
    times = ((1, 8.0, 0.8), (2, 4.0, 0.4), (3, 2.0, 0.2), (4, 6.0, 0.6))
    nodes = [
        {
            "id": number,
            "supportedOnFpga": 1,
            "cpuLatency": cpu,
            "fpgaLatency": fast,
            "isBackwardNode": 0,
            "colorClass": number,
            "size": 100.0,
            **changes.get(f"node{number}", {}),
        }
        for number, cpu, fast in times
    ]
    edges = [
        {"sourceId": a, "destId": b, "cost": cost} for a, b, cost in ((1, 2, 0.5), (2, 3, 0.1), (3, 4, 0.3))
    ]
    return {"maxSizePerFPGA": 250.0, "maxFPGAs": 2, "maxCPUs": 1, "nodes": nodes, "edges": edges}


def msr(tmp_path, **changes):
    path = tmp_path / "work.json"
    path.write_text(json.dumps(workload(**changes)))
    return str(path)


def test_device_placement_of_a_chain(tmp_path):
    document, instance = import_foreign(msr(tmp_path), "msr", None)
    assert len(document.model.blocks) == 4
    # Two nodes fit an accelerator: all on both, through the CPUs' memory and back into the other.
    assert mecopt.solve(instance).objective == pytest.approx((0.8 + 0.4 + 2 * 0.1 + 0.2 + 0.6) / 1e3)


def test_colours_stay_together_and_some_nodes_stay_on_the_cpu(tmp_path):
    document, _ = import_foreign(msr(tmp_path, node2={"colorClass": 1}), "msr", None)
    assert [block.name for block in document.model.blocks] == ["node 1..2", "node 3", "node 4"]
    _, instance = import_foreign(msr(tmp_path, node3={"supportedOnFpga": 0}), "msr", None)
    assert mecopt.solve(instance).placement[0, 2] == 0


def test_accelerators_beyond_the_blocks_are_left_out(tmp_path):
    path = tmp_path / "work.json"
    path.write_text(json.dumps({**workload(), "maxFPGAs": 1e308}))
    assert import_foreign(str(path), "msr", None)[1].server_count == 4


def test_training_and_graphs_that_are_no_chain_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"nodes\[3\].isBackwardNode: true"):
        import_foreign(msr(tmp_path, node4={"isBackwardNode": 1}), "msr", None)
    with pytest.raises(InputError, match="no chain"):
        import_foreign(msr(tmp_path, node1={"colorClass": 9}, node4={"colorClass": 9}), "msr", None)


def distilp(folder, **head):
    profile = {
        "b": [0, 400, 400],
        "b_i": [0, 64, 64],
        "b_o": [0, 64, 64],
        "L": 2,
        "hk": 1,
        "ek": 2,
        "hv": 1,
        "ev": 2,
        "n_kv": 8,
        "seq_len": 8,
        "quantization": "Q4_K",
        "is_moe": False,
        "f_q": {"prefill": {"b_1": [0, 800, 800]}, "decode": {"b_1": [0, 100, 100]}},
    }
    machine = {
        "name": "one",
        "is_head": True,
        "has_cuda": False,
        "has_metal": False,
        "scpu": {"Q4_K": {"b_1": 100.0}},
        "T_cpu": 1000.0,
        "t_comm": 0.5,
        "d_avail_ram": 1000,
        **head,
    }
    other = {**machine, "name": "two", "is_head": False, "scpu": {"Q4_K": {"b_1": 400.0}}, "has_cuda": False}
    for name, content in (("model_profile", profile), ("one", machine), ("two", other)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    return str(folder)


def test_distilp_phases_state_and_the_way_back(tmp_path):
    document, instance = import_foreign(distilp(tmp_path), "distilp", None)
    block = document.model.blocks[0]
    assert [phase.name for phase in document.model.phases] == ["prefill", "decode"]
    assert block.cycles == (800, 100)
    assert (block.param_bytes, block.state_bytes) == (400, 2 * 8 * 4)
    # All on the faster: two passes there and back at 0.5 s each way, work or memory, whichever takes longer.
    memory = (400 + 64) / 1000
    each = max(800 / 400, memory) + max(100 / 400, memory)
    assert mecopt.solve(instance).objective == pytest.approx(2 * each + 4 * 0.5)


def test_distilp_refuses_what_an_instance_cannot_say(tmp_path):
    with pytest.raises(InputError, match="has_cuda"):
        import_foreign(distilp(tmp_path, has_cuda=True), "distilp", None)
    with pytest.raises(InputError, match="0 machines have is_head"):
        import_foreign(distilp(tmp_path, is_head=False), "distilp", None)
    folder = distilp(tmp_path)
    profile = json.loads((tmp_path / "model_profile.json").read_text())
    profile["f_q"]["decode"]["b_1"].pop()
    (tmp_path / "model_profile.json").write_text(json.dumps(profile))
    with pytest.raises(InputError, match="lists of one length"):
        import_foreign(folder, "distilp", None)
