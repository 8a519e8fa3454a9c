"""The drawn instances of the wider model are valid, small enough, and use every field."""

import math
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from reference import Reference
from strategies import examples
from wide_strategies import joint_size, wide_documents, wide_judged


@examples(100)
@given(wide_judged(wide_documents()))
def test_no_rule_of_the_format_is_broken(case):
    document, placement = case
    assert document["format"] == "mecopt-instance/2"
    assert joint_size(document) <= 20_000
    reference, rules = Reference(document), document["rules"]
    objective, couplings = rules.get("objective", "delay"), set(rules.get("couplings", []))
    assert ("sharing" in couplings) == ("sharing" in rules)
    if objective == "period":
        assert reference.deadline != "soft"
        assert not couplings & {"capacity", "sharing"}
        assert not any("weight" in task or "drop_cost" in task for task in document["tasks"])
    if isinstance(objective, dict):
        assert objective["delay"] + objective["energy"] > 0
        assert objective["delay"] > 0 or reference.deadline != "soft"
    for k, task in enumerate(document["tasks"]):
        phases = len(reference.phases(k))
        assert isinstance(task.get("max_total_delay_s", 0), list) <= ("phases" in reference.model(k))
        lists = [
            task.get("max_total_delay_s"),
            reference.model(k).get("output_bits"),
            *(
                block.get(name)
                for block in reference.blocks(k)
                for name in ("cycles", "input_bits", "read_bytes", "state_read_bytes")
            ),
        ]
        assert all(len(value) == phases for value in lists if isinstance(value, list))
        assert len(task.get("down_rate_bps") or reference.servers) == len(reference.servers)
        blocks = range(len(reference.blocks(k)))
        assert all(reference.permitted(k, m) for m in blocks)
        runs = [(m, i, j) for m in blocks for j in reference.permitted(k, m) for i in (0, j)]
        assert all(math.isfinite(reference.calculation(k, m, j)) for m, _, j in runs)
        if isinstance(objective, dict) or "energy" in couplings:
            assert not any(
                math.isnan(reference.energy(k, *run)) for run in runs if reference.allowed(k, *run[1:])
            )
    for path, task in zip(placement, document["tasks"], strict=True):
        assert (set(path) == {-1}) <= (task.get("drop_cost") is not None)
        assert -1 not in path or set(path) == {-1}


@examples(100)
@given(wide_documents())
def test_no_block_is_free_by_omission(document):
    reference = Reference(document)
    for k in range(len(document["tasks"])):
        for m, block in enumerate(reference.blocks(k)):
            cycles = block.get("cycles")
            free = cycles is None or cycles == 0 or (isinstance(cycles, list) and 0 in cycles)
            for j in reference.permitted(k, m) if free and block.get("measured_seconds") else ():
                node = reference.node(k, j)
                assert node.get("hardware") in block["measured_seconds"] or node["memory_bytes_per_s"] > 0


def paths_of(part, prefix=""):
    """Yield the name of every field of a document, and of every choice that a rule makes."""
    if isinstance(part, dict):
        for name, value in part.items():
            yield from (f"{prefix}{name}", *paths_of(value, f"{prefix}{name}."))
    elif isinstance(part, list):
        for value in part:
            yield f"{prefix}[]"
            yield from paths_of(value, prefix)
    elif isinstance(part, str) and prefix.startswith("rules."):
        yield f"{prefix}{part}"


@pytest.mark.parametrize("grid", [True, False])
def test_every_field_and_choice_is_drawn(grid):
    seen = Counter()

    @settings(max_examples=200, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(wide_documents(grid=grid))
    def look(document):
        nodes = [*document["devices"], *document["servers"]]
        blocks = [block for model in document["models"] for block in model["blocks"]]
        seen.update(set(paths_of(document)))
        seen["no-speed"] += any("cycles_per_s" not in node for node in nodes)
        seen["no-cycles"] += any("cycles" not in block for block in blocks)

    look()
    expected = """
        rules.objective.delay rules.objective.period rules.objective.energy rules.objective.of.all
        rules.one_run.none rules.one_run.servers rules.one_run.all rules.sharing.mm1 rules.sharing.affine
        rules.couplings.energy rules.couplings.capacity rules.couplings.memory rules.couplings.sharing
        rules.deadline.hard rules.deadline.soft rules.deadline.none
        allow.tasks.[] allow.blocks.[] allow.nodes.[] models.phases.repeat models.output_bits.[]
        models.shared_params.blocks.[] models.blocks.cycles.[] models.blocks.input_bits.[]
        models.blocks.read_bytes.[] models.blocks.state_read_bytes.[] models.blocks.measured_seconds.gpu.[]
        models.blocks.start_seconds.gpu models.blocks.state_bytes devices.memory_bytes_per_s
        devices.calc_spread servers.memory_bytes_per_s servers.calc_spread servers.compute_power_w
        tasks.max_total_delay_s.[] tasks.down_rate_bps.[] tasks.weight tasks.drop_cost
        no-speed no-cycles
    """
    missing = [name for name in expected.split() if not seen[name]]
    assert not missing
