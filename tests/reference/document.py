"""What a document says: every field with its default, values per phase, who may run what."""

PRESETS = {"paper": (False, True, False), "physical": (True, False, True)}
SWITCHES = ("return_transfer", "hop_energy", "return_result")
ONE_PHASE = [{"name": "all", "repeat": 1}]
DROPPED = -1  # the node of every block of a task that is left out


def within(used, limit):
    """Say whether a limit is met: the one right-hand side that everybody uses."""
    return used <= limit + 1e-9 * max(limit, 1e-3)


def given(part, name, default=None):
    """Return a field, the default where it is left out or null."""
    value = part.get(name)
    return default if value is None else value


def at(value, index):
    """Return the entry of a list, or the number that stands for all entries."""
    return value[index] if isinstance(value, list) else value


class Document:
    """One instance, read from its document."""

    def __init__(self, document):
        self.document = document
        self.slot_s = given(document["slots"], "seconds", 1.0)
        self.tasks = document["tasks"]
        self.servers = document["servers"]
        self.devices = {device["name"]: device for device in document["devices"]}
        self.models = {model["name"]: model for model in document["models"]}
        self.links = given(document, "links", {})
        self.allow = given(document, "allow", [])
        rules = given(document, "rules", {})
        preset = dict(zip(SWITCHES, PRESETS[rules.get("preset", "paper")], strict=True))
        self.switch = {name: given(rules, name, preset[name]) for name in SWITCHES}
        self.deadline = rules.get("deadline", "hard")
        self.beta = rules.get("deadline_penalty", 1.0)
        self.couplings = set(rules.get("couplings", []))
        self.sharing = rules["sharing"] if "sharing" in self.couplings else None
        self.one_run = rules.get("one_run", "none")
        objective = rules.get("objective", "delay")
        self.period = objective == "period"
        worth = {"delay": 1.0, "energy": 0.0} if isinstance(objective, str) else objective
        self.delay_worth, self.energy_worth = worth.get("delay", 0.0), worth.get("energy", 0.0)
        self.of_all = worth.get("of", "devices") == "all"

    # --- tasks, models, nodes ---
    def model(self, k):
        return self.models[self.tasks[k]["model"]]

    def blocks(self, k):
        return self.model(k)["blocks"]

    def device(self, k):
        return self.devices[self.tasks[k]["device"]]

    def batch(self, k):
        return self.tasks[k].get("batch", 1)

    def weight(self, k):
        return given(self.tasks[k], "weight", 1.0)

    def slot(self, k):
        return self.tasks[k]["slot"]

    def node(self, k, j):
        """Return what the document says about node `j` of the task."""
        return self.device(k) if j == 0 else self.servers[j - 1]

    def speed(self, k, j):
        """Return cycles per second in the task's slot, None where left out."""
        speed = self.node(k, j).get("cycles_per_s")
        return at(speed, self.slot(k)) if j > 0 else speed

    def phases(self, k):
        return given(self.model(k), "phases", ONE_PHASE)

    def repeats(self, k):
        """Return (number of the phase, how often the chain is passed in it)."""
        return [(f, phase["repeat"]) for f, phase in enumerate(self.phases(k))]

    # --- limits of a task ---
    def limit(self, k, m):
        """Return tau of block `m`, None for none."""
        return at(self.tasks[k].get("max_delay_s"), m)

    def end_limits(self, k):
        """Return (name, phases that it is about, seconds) of every end-to-end limit; no name: all of them."""
        limit, phases = self.tasks[k].get("max_total_delay_s"), self.phases(k)
        if not isinstance(limit, list):
            limits = [(None, range(len(phases)), limit)]
        else:
            limits = [(phases[f]["name"], [f], value) for f, value in enumerate(limit)]
        return [entry for entry in limits if entry[2] is not None]

    # --- links ---
    def rate_up(self, k, n):
        return self.tasks[k]["rate_bps"][n - 1]

    def rate_down(self, k, n):
        return given(self.tasks[k], "down_rate_bps", self.tasks[k]["rate_bps"])[n - 1]

    def rate(self, k, i, j):
        """Return the rate from node `i` to another node `j`, 0 where there is no link."""
        if i == 0:
            return self.rate_up(k, j)
        if j == 0:
            return self.rate_down(k, i)
        return at(at(self.links["server_bps"], i - 1), j - 1)

    def latency(self, i, j):
        """Return the fixed latency of the link between two nodes, the same up and down."""
        if i == 0 or j == 0:
            return at(self.links.get("device_latency_s", 0.0), i + j - 1)
        return at(at(self.links.get("server_latency_s", 0.0), i - 1), j - 1)

    # --- allow ---
    def numbers(self, k, blocks):
        """Return the numbers of the task's blocks that a list of names and numbers, or "all", covers."""
        named = [given(block, "name", f"block{m}") for m, block in enumerate(self.blocks(k), 1)]
        return {m for m, name in enumerate(named) if blocks == "all" or m in blocks or name in blocks}

    def permitted(self, k, m):
        """Return the nodes that `allow` leaves to block `m`: those that every entry about it names."""
        names = ["device", *(given(server, "name", f"es{n}") for n, server in enumerate(self.servers, 1))]
        left = set(range(len(names)))
        for entry in self.allow:
            about = entry["tasks"] == "all" or k in entry["tasks"]
            if about and m in self.numbers(k, entry["blocks"]):
                left &= {j for j, name in enumerate(names) if name in entry["nodes"]}
        return left
