"""Random instances of format /2: everything of the wider model together with the old fields and options.

Valid ones only, and none whose validity hangs on how a refusal is read: where energy counts every node can
count it, names and numbers in `allow` hold in all models that an entry covers.
"""

import math

from hypothesis import strategies as st
from reference import DROPPED, Reference
from strategies import COUPLINGS, DEADLINES, HARDWARE, Numbers, documents, some, spread

SHARED = (*COUPLINGS, "sharing")
JOINT = 20_000  # placements that brute force goes through


@st.composite
def wide_documents(draw, *, grid=None, joint=JOINT, objectives=("delay", "sum", "period"), **sizes):
    """Draw a valid document with at most `joint` joint placements; `sizes` are those of `documents`."""
    grid = draw(st.booleans()) if grid is None else grid
    numbers = Numbers(grid)
    objective = draw(_objectives(numbers, objectives))
    soft = objective != "period" and not (isinstance(objective, dict) and objective["delay"] == 0)
    deadlines = DEADLINES if soft else ("hard", "none")
    couplings = st.sampled_from(("energy", "memory") if objective == "period" else SHARED)
    most = {"servers": st.integers(1, 3), "blocks": 3, "tasks": 3, **sizes}
    document = draw(documents(grid=grid, deadlines=deadlines, couplings=(), **most))
    document["format"] = "mecopt-instance/2"
    _widen_rules(draw, document, objective, couplings)
    _shorten(document, joint)
    if "sharing" in document["rules"].get("couplings", []):  # else mm1 is overloaded nearly always
        document["slots"]["seconds"] = draw(st.sampled_from([4.0, 16.0, 64.0]) if grid else spread(0, 8))
    for model in document["models"]:
        _widen_model(draw, numbers, model)
    for node in (*document["devices"], *document["servers"]):
        _widen_node(draw, numbers, node)
    for server in document["servers"]:
        server |= some(draw, compute_power_w=st.none() | numbers.power)
    for task in document["tasks"]:
        _widen_task(draw, numbers, document, task, plain=objective == "period")
    _draw_allow(draw, document)
    _make_countable(draw, numbers, document)
    return document


@st.composite
def wide_placements(draw, document):
    """Draw a placement, allowed or not, on nodes where a block's time can be counted; some tasks dropped."""
    reference, paths = Reference(document), []
    for k, task in enumerate(document["tasks"]):
        blocks = range(len(reference.blocks(k)))
        if task.get("drop_cost") is not None and draw(st.booleans()):
            paths.append([DROPPED for _ in blocks])
        else:
            nodes = range(len(document["servers"]) + 1)
            paths.append([draw(st.sampled_from(_countable(reference, k, m, nodes))) for m in blocks])
    return paths


@st.composite
def wide_judged(draw, documents):
    """Draw a document and one of its placements."""
    document = draw(documents)
    return document, draw(wide_placements(document))


def joint_size(document):
    """Return the number of joint placements, drops included."""
    nodes, reference = len(document["servers"]) + 1, Reference(document)
    drops = [task.get("drop_cost") is not None for task in document["tasks"]]
    return math.prod(nodes ** len(reference.blocks(k)) + drop for k, drop in enumerate(drops))


def _countable(reference, k, m, nodes):
    return [j for j in nodes if math.isfinite(reference.calculation(k, m, j))]


def _shorten(document, joint):
    """Leave out tasks at the end until the joint placements are few enough, were every task dropable."""
    nodes, reference = len(document["servers"]) + 1, Reference(document)
    sizes = [nodes ** len(reference.blocks(k)) + 1 for k in range(len(document["tasks"]))]
    while len(sizes) > 1 and math.prod(sizes) > joint:
        sizes.pop()
    document["tasks"] = document["tasks"][: len(sizes)]


@st.composite
def _objectives(draw, numbers, kinds):
    kind = draw(st.sampled_from(kinds))
    if kind != "sum":
        return kind
    worth = {"delay": draw(numbers.power), "energy": draw(numbers.power)}
    if not any(worth.values()):
        worth[draw(st.sampled_from(["delay", "energy"]))] = 1.0
    return worth | some(draw, of=st.sampled_from(["devices", "all"]))


def _widen_rules(draw, document, objective, couplings):
    rules = document.setdefault("rules", {})
    if draw(st.booleans()):
        rules["couplings"] = draw(st.lists(couplings, unique=True, min_size=1))
    if objective != "delay" or draw(st.booleans()):
        rules["objective"] = objective
    rules |= some(draw, one_run=st.sampled_from(["none", "servers", "all"]))
    if "sharing" in rules.get("couplings", []):
        rules["sharing"] = draw(st.sampled_from(["mm1", "affine"]))


def _widen_model(draw, numbers, model):
    """Add phases, then values for each of them, and what blocks read, hold and take to start."""
    if draw(st.booleans()):
        model["phases"] = [
            {"name": f"phase{f}", "repeat": draw(numbers.batch)} for f in range(draw(st.integers(1, 3)))
        ]
    phases = len(model.get("phases", [None]))

    def each(values):
        return values | st.lists(values, min_size=phases, max_size=phases)

    model |= some(draw, output_bits=each(numbers.size))
    for m, block in enumerate(model["blocks"]):
        if "name" in block:
            block["name"] = f"layer{m}"
        block |= {"cycles": draw(each(numbers.size)), "input_bits": draw(each(numbers.size))}
        if draw(st.sampled_from([True, False, False])):
            del block["cycles"]
        block |= some(
            draw,
            measured_seconds=st.dictionaries(st.sampled_from(HARDWARE), each(numbers.size)),
            read_bytes=st.none() | each(numbers.size),
            state_read_bytes=each(numbers.size),
            start_seconds=st.dictionaries(st.sampled_from(HARDWARE), numbers.latency),
            state_bytes=numbers.size,
        )
    members = st.lists(_members(model["blocks"]), min_size=1, unique=True)
    part = st.fixed_dictionaries({"bytes": numbers.size, "blocks": members})
    parts = draw(st.lists(part, max_size=2))
    if parts or draw(st.booleans()):
        model["shared_params"] = [{"name": f"part{i}", **part} for i, part in enumerate(parts)]


def _widen_node(draw, numbers, node):
    """Add a memory rate and a spread, and leave the speed out now and then."""
    node |= some(
        draw,
        memory_bytes_per_s=st.none() | numbers.speed,
        calc_spread=st.sampled_from([0.0, 0.25, 1.0]),
    )
    if draw(st.sampled_from([True, False, False])):
        del node["cycles_per_s"]


def _widen_task(draw, numbers, document, task, *, plain):
    """Add the way back, end-to-end deadlines, and unless `plain` weights and drop costs."""
    model = next(model for model in document["models"] if model["name"] == task["model"])
    servers, phases = len(document["servers"]), len(model.get("phases", []))
    total = st.none() | numbers.limit
    if phases:
        total |= st.lists(total, min_size=phases, max_size=phases)
    down = st.lists(numbers.rate, min_size=servers, max_size=servers)
    task |= some(draw, max_total_delay_s=total, down_rate_bps=st.none() | down)
    if not plain:
        task |= some(draw, weight=numbers.speed, drop_cost=st.none() | numbers.limit)


def _draw_allow(draw, document):
    """Add entries that leave every block a node."""
    tasks, servers = range(len(document["tasks"])), document["servers"]
    names = ["device", *(server.get("name", f"es{n}") for n, server in enumerate(servers, 1))]
    entries = []
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        about = draw(st.just("all") | st.lists(st.sampled_from(tasks), min_size=1, unique=True))
        covered = [document["tasks"][k]["model"] for k in (tasks if about == "all" else about)]
        chains = [model["blocks"] for model in document["models"] if model["name"] in covered]
        nodes = st.lists(st.sampled_from(names), min_size=1, unique=True)
        listed = st.lists(_members(*chains), min_size=1, unique=True)
        entry = {"tasks": about, "blocks": draw(st.just("all") | listed), "nodes": draw(nodes)}
        reference = Reference({**document, "allow": [*entries, entry]})
        if all(reference.permitted(k, m) for k in tasks for m in range(len(reference.blocks(k)))):
            entries.append(entry)
    if entries or draw(st.booleans()):
        document["allow"] = entries


def _members(*chains):
    """Draw a number or a name that each chain of blocks has."""
    named = [{block.get("name", f"block{m}") for m, block in enumerate(blocks, 1)} for blocks in chains]
    return st.sampled_from([*range(min(map(len, chains))), *sorted(set.intersection(*named))])


def _make_countable(draw, numbers, document):
    """Give nodes the memory rate, and where energy counts the power, without which they would be refused."""
    for node in _uncountable(document):
        node["memory_bytes_per_s"] = draw(numbers.speed)
    objective, rules = document["rules"].get("objective"), document["rules"]
    if isinstance(objective, dict) or "energy" in rules.get("couplings", []):
        cycles = all("cycles" in block for model in document["models"] for block in model["blocks"])
        for device in document["devices"]:
            if device.get("compute_power_w") is None and not (cycles and "cycles_per_s" in device):
                device["compute_power_w"] = draw(numbers.power)
    if isinstance(objective, dict) and objective.get("of") == "all":
        for server in document["servers"]:
            server["compute_power_w"] = draw(numbers.power)


def _uncountable(document):
    """Yield the nodes that may run a block whose time they cannot count, or only as nothing by omission."""
    reference = Reference(document)
    for j, node in enumerate((*document["devices"], *document["servers"]), 1 - len(document["devices"])):
        blocks = [
            block
            for model in document["models"]
            for m, block in enumerate(model["blocks"])
            if _may_run(reference, model, m, max(j, 0))
        ]
        if node.get("memory_bytes_per_s") is None and any(_lacks(node, block) for block in blocks):
            yield node


def _may_run(reference, model, m, j):
    """Say whether a task of the model may run the block on the node; yes where there is no such task."""
    own = [k for k, task in enumerate(reference.tasks) if task["model"] == model["name"]]
    return not own or any(j in reference.permitted(k, m) for k in own)


def _lacks(node, block):
    measured, cycles = block.get("measured_seconds") or {}, block.get("cycles")
    if node.get("hardware") in measured:
        return False
    free = 0 in (cycles if isinstance(cycles, list) else [cycles])
    return cycles is None or "cycles_per_s" not in node or bool(measured and free)
