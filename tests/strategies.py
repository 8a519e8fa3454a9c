"""Random instances for property tests: plain documents in file form, with every field and option.

Half of them live on a small grid of powers of two, where sums are exact and ties are common; the other
half have numbers of very different size.
"""

import copy

from hypothesis import settings
from hypothesis import strategies as st

HARDWARE = ("rpi4", "gpu")
DEADLINES = ("hard", "soft", "none")
COUPLINGS = ("energy", "capacity", "memory")
SWITCHES = ("return_transfer", "hop_energy", "return_result")
ONE_TO_FOUR = st.integers(1, 4)
PRESENT = st.sampled_from([False, True, True])  # more often than not, so that options meet

# The example of the format's page, and the least that is an instance.
EXAMPLE = {
    "format": "mecopt-instance/1",
    "name": "two_slots",
    "description": "optional",
    "origin": {"optional": "how it was made"},
    "slots": {"count": 2, "seconds": 1.0},
    "rules": {
        "preset": "paper",
        "deadline": "hard",
        "deadline_penalty": 1.0,
        "couplings": ["energy", "capacity", "memory"],
    },
    "models": [
        {
            "name": "toy",
            "output_bits": 320,
            "blocks": [
                {"name": "conv1", "cycles": 2.0e8, "param_bytes": 140000, "input_bits": 1204224},
                {
                    "name": "fc",
                    "cycles": 1.0e8,
                    "param_bytes": 9000000,
                    "input_bits": 294912,
                    "measured_seconds": {"rpi4": 0.031},
                },
            ],
        }
    ],
    "devices": [
        {
            "name": "cam0",
            "cycles_per_s": 1.0e9,
            "transmit_power_w": 0.5,
            "kappa": 1e-26,
            "compute_power_w": None,
            "energy_budget_j": 40.0,
            "memory_bytes": None,
            "hardware": "rpi4",
        }
    ],
    "servers": [
        {"name": "es1", "cycles_per_s": 4.0e9, "memory_bytes": 2.0e8, "hardware": None},
        {"name": "es2", "cycles_per_s": [3.0e9, 1.5e9]},
    ],
    "links": {"server_bps": 1.0e8, "server_latency_s": 0.0, "device_latency_s": 0.0},
    "tasks": [
        {
            "slot": 0,
            "device": "cam0",
            "model": "toy",
            "batch": 1,
            "max_delay_s": 2.0,
            "rate_bps": [8.0e6, 1.2e7],
        },
        {
            "slot": 1,
            "device": "cam0",
            "model": "toy",
            "batch": 4,
            "max_delay_s": [2.0, None],
            "rate_bps": [0, 9.6e6],
        },
    ],
}
MINIMAL = {
    "format": "mecopt-instance/1",
    "slots": {"count": 1},
    "models": [{"name": "m", "blocks": [{"cycles": 1, "input_bits": 1}]}],
    "devices": [{"name": "d", "cycles_per_s": 1}],
    "servers": [{"cycles_per_s": 1}],
    "tasks": [{"slot": 0, "device": "d", "model": "m", "rate_bps": [1]}],
}


def examples(count):
    """Draw so many examples, or in proportion under another profile (see conftest.py)."""
    return settings(max_examples=max(1, count * settings().max_examples // 100))


class Numbers:
    """Where the numbers of one document come from."""

    def __init__(self, grid):
        if grid:
            self.size = st.sampled_from([0.0, 0.5, 1.0, 2.0, 4.0])
            self.speed = st.sampled_from([0.5, 1.0, 2.0, 4.0])
            self.latency = st.sampled_from([0.0, 0.25, 1.0])
            self.limit = st.sampled_from([0.0, 0.5, 1.0, 2.0, 4.0, 8.0])
            self.power = st.sampled_from([0.0, 0.5, 1.0])
            self.batch = st.sampled_from([1, 2, 4])
            self.slot = st.sampled_from([1.0, 4.0])
        else:
            self.size = st.just(0.0) | spread(-3, 10)
            self.speed = spread(-2, 10)
            self.latency = st.just(0.0) | spread(-6, 1)
            self.limit = spread(-3, 5)
            self.power = st.just(0.0) | spread(-6, 2)
            self.batch = st.integers(1, 9)
            self.slot = spread(-2, 3)
        self.kappa = self.power if grid else spread(-30, -18)
        self.rate = st.just(0.0) | self.speed | self.speed


def spread(low, high):
    """Floats whose exponent is spread evenly."""
    return st.floats(low, high).map(lambda exponent: 10.0**exponent)


@st.composite
def documents(
    draw,
    *,
    servers=ONE_TO_FOUR,
    blocks=5,
    models=2,
    devices=2,
    tasks=3,
    slots=2,
    deadlines=DEADLINES,
    couplings=COUPLINGS,
    grid=None,
):
    """Draw a valid document; the integers are the largest counts."""
    numbers = Numbers(draw(st.booleans()) if grid is None else grid)
    server_count, slot_count = draw(servers), draw(st.integers(1, slots))
    document = {
        "format": "mecopt-instance/1",
        "name": "drawn",
        "slots": {"count": slot_count, **some(draw, seconds=numbers.slot)},
        "models": [draw(_models(numbers, name, blocks)) for name in _names(draw, "model", models)],
        "devices": [draw(_devices(numbers, name)) for name in _names(draw, "device", devices)],
        "servers": [draw(_servers(numbers, n, slot_count)) for n in range(1, server_count + 1)],
    }
    rules = draw(_rules(numbers, deadlines, couplings))
    if rules or draw(st.booleans()):
        document["rules"] = rules
    links = draw(_links(numbers, server_count))
    if links:
        document["links"] = links
    document["tasks"] = [draw(_tasks(numbers, document)) for _ in range(draw(st.integers(1, tasks)))]
    return document


def small_documents(**changes):
    """Draw documents that brute force over (N + 1) ** M can afford, task by task."""
    return documents(**{"servers": st.integers(1, 3), "blocks": 4, "models": 2, "tasks": 3, **changes})


def tiny_documents(**changes):
    """Draw documents that joint brute force over all tasks can afford."""
    return documents(**{"servers": st.integers(1, 2), "blocks": 2, "tasks": 3, "slots": 2, **changes})


@st.composite
def placements(draw, document):
    """Draw any placement of a document, as lists of nodes."""
    nodes = st.integers(0, len(document["servers"]))
    return [
        draw(st.lists(nodes, min_size=(m := _block_count(document, task)), max_size=m))
        for task in document["tasks"]
    ]


@st.composite
def judged(draw, documents):
    """Draw a document and one of its placements."""
    document = draw(documents)
    return document, draw(placements(document))


def repeated(document, count):
    """Return the document with its tasks repeated until there are `count`, the slots moving on."""
    document = copy.deepcopy(document)
    tasks, slots = document["tasks"], document["slots"]["count"]
    document["tasks"] = [
        {**tasks[k % len(tasks)], "slot": (tasks[k % len(tasks)]["slot"] + k // len(tasks)) % slots}
        for k in range(count)
    ]
    return document


def _names(draw, kind, most):
    return [f"{kind}{i}" for i in range(draw(st.integers(1, most)))]


def some(draw, **fields):
    """Draw some of the optional fields, the others stay out."""
    return {name: draw(values) for name, values in fields.items() if draw(PRESENT)}


@st.composite
def _models(draw, numbers, name, most):
    def block():
        measured = st.none() | st.dictionaries(st.sampled_from(HARDWARE), numbers.size)
        fields = {"cycles": draw(numbers.size), "input_bits": draw(numbers.size)}
        fields |= some(draw, name=st.just("conv"), param_bytes=numbers.size, measured_seconds=measured)
        if fields.get("measured_seconds") and not fields["cycles"]:  # free elsewhere: refused
            fields["cycles"] = draw(numbers.speed)
        return fields

    blocks = [block() for _ in range(draw(st.integers(1, most)))]
    return {"name": name, "blocks": blocks, **some(draw, output_bits=numbers.size)}


@st.composite
def _devices(draw, numbers, name):
    return {"name": name, "cycles_per_s": draw(numbers.speed)} | some(
        draw,
        transmit_power_w=numbers.power,
        kappa=numbers.kappa,
        compute_power_w=st.none() | numbers.power,
        energy_budget_j=st.none() | numbers.limit,
        memory_bytes=st.none() | numbers.limit,
        hardware=st.none() | st.sampled_from(HARDWARE),
    )


@st.composite
def _servers(draw, numbers, n, slots):
    speed = numbers.speed | st.lists(numbers.speed, min_size=slots, max_size=slots)
    return {"cycles_per_s": draw(speed)} | some(
        draw,
        name=st.just(f"server{n}"),
        memory_bytes=st.none() | numbers.limit,
        hardware=st.none() | st.sampled_from(HARDWARE),
    )


@st.composite
def _rules(draw, numbers, deadlines, couplings):
    rules = some(
        draw,
        preset=st.sampled_from(["paper", "physical"]),
        deadline_penalty=numbers.power,
        **dict.fromkeys(SWITCHES, st.booleans()),
    )
    rules["deadline"] = draw(st.sampled_from(deadlines))
    if rules["deadline"] == "hard" and draw(st.booleans()):
        del rules["deadline"]  # the default
    if couplings:
        rules |= some(draw, couplings=st.lists(st.sampled_from(couplings), unique=True))
    return rules


@st.composite
def _links(draw, numbers, servers):
    def matrix(values):
        row = st.lists(values, min_size=servers, max_size=servers)
        return st.lists(row, min_size=servers, max_size=servers)

    rate = numbers.rate | matrix(numbers.rate)
    links = {"server_bps": draw(rate)} if servers > 1 else some(draw, server_bps=rate)
    per_server = st.lists(numbers.latency, min_size=servers, max_size=servers)
    return links | some(
        draw,
        server_latency_s=numbers.latency | matrix(numbers.latency),
        device_latency_s=numbers.latency | per_server,
    )


@st.composite
def _tasks(draw, numbers, document):
    servers = len(document["servers"])
    task = {
        "slot": draw(st.integers(0, document["slots"]["count"] - 1)),
        "device": draw(st.sampled_from(document["devices"]))["name"],
        "model": draw(st.sampled_from(document["models"]))["name"],
        "rate_bps": draw(st.lists(numbers.rate, min_size=servers, max_size=servers)),
    }
    count = _block_count(document, task)
    per_block = st.lists(st.none() | numbers.limit, min_size=count, max_size=count)
    return task | some(draw, batch=numbers.batch, max_delay_s=st.none() | numbers.limit | per_block)


def _block_count(document, task):
    return next(len(model["blocks"]) for model in document["models"] if model["name"] == task["model"])
