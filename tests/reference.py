"""The model in slow, scalar form: sections 2 to 4, one placement at a time, from a document in file form.

Nothing of mecopt's own is imported here. What the package does with arrays this file does with loops, so
that the two can only agree when both follow the same equations.
"""

import itertools
import math

PRESETS = {"paper": (False, True, False), "physical": (True, False, True)}
SWITCHES = ("return_transfer", "hop_energy", "return_result")


def within(used, limit):
    """Say whether a limit is met: the one right-hand side that everybody uses."""
    return used <= limit + 1e-9 * max(limit, 1e-3)


class Reference:
    """One instance, read from its document; every method is a formula of the model."""

    def __init__(self, document):
        self.document = document
        self.slot_s = document["slots"].get("seconds", 1.0)
        self.tasks = document["tasks"]
        self.servers = document["servers"]
        self.devices = {device["name"]: device for device in document["devices"]}
        self.models = {model["name"]: model for model in document["models"]}
        rules = document.get("rules", {})
        preset = dict(zip(SWITCHES, PRESETS[rules.get("preset", "paper")], strict=True))
        self.switch = {name: rules.get(name, preset[name]) for name in SWITCHES}
        self.deadline = rules.get("deadline", "hard")
        self.beta = rules.get("deadline_penalty", 1.0)
        self.couplings = set(rules.get("couplings", []))
        self.links = document.get("links", {})

    # --- what a task is made of ---
    def blocks(self, k):
        return self.models[self.tasks[k]["model"]]["blocks"]

    def device(self, k):
        return self.devices[self.tasks[k]["device"]]

    def batch(self, k):
        return self.tasks[k].get("batch", 1)

    def limit(self, k, m):
        """Return tau of block `m`, None for none."""
        tau = self.tasks[k].get("max_delay_s")
        return tau[m] if isinstance(tau, list) else tau

    def device_rate(self, k, n):
        return self.tasks[k]["rate_bps"][n - 1]

    def server_rate(self, i, j):
        rate = self.links["server_bps"]
        return rate[i - 1][j - 1] if isinstance(rate, list) else rate

    def device_latency(self, n):
        latency = self.links.get("device_latency_s", 0.0)
        return latency[n - 1] if isinstance(latency, list) else latency

    def server_latency(self, i, j):
        latency = self.links.get("server_latency_s", 0.0)
        return latency[i - 1][j - 1] if isinstance(latency, list) else latency

    def server_speed(self, k, n):
        speed = self.servers[n - 1]["cycles_per_s"]
        return speed[self.tasks[k]["slot"]] if isinstance(speed, list) else speed

    # --- Eq. 3-9 ---
    def calculation(self, k, m, j):
        """Return the calculation time of block `m` on node `j`."""
        block = self.blocks(k)[m]
        hardware = (self.device(k) if j == 0 else self.servers[j - 1]).get("hardware")
        measured = block.get("measured_seconds") or {}
        if hardware is not None and hardware in measured:
            return measured[hardware] * self.batch(k)
        speed = self.device(k)["cycles_per_s"] if j == 0 else self.server_speed(k, j)
        return block["cycles"] * self.batch(k) / speed

    def allowed(self, k, i, j):
        """Say whether the link of the step exists."""
        if i == j:
            return True
        if i == 0 or j == 0:
            return self.device_rate(k, i + j) > 0
        return self.server_rate(i, j) > 0

    def transfer(self, k, m, i, j):
        """Return the transfer time of block `m`'s input from `i` to `j`; infinite without a link."""
        if i == j:
            return 0.0
        if not self.allowed(k, i, j):
            return math.inf
        bits = self.blocks(k)[m]["input_bits"] * self.batch(k)
        if i == 0:
            return self.device_latency(j) + bits / self.device_rate(k, j)
        if j == 0:
            if not self.switch["return_transfer"]:
                return 0.0
            return self.device_latency(i) + bits / self.device_rate(k, i)
        return self.server_latency(i, j) + bits / self.server_rate(i, j)

    def delay(self, k, m, i, j):
        return self.transfer(k, m, i, j) + self.calculation(k, m, j)

    def energy(self, k, m, i, j):
        """Return the device's energy for the step, in joules."""
        device, block, batch = self.device(k), self.blocks(k)[m], self.batch(k)
        bits = block["input_bits"] * batch
        if j == 0:
            if device.get("compute_power_w") is not None:
                return device["compute_power_w"] * self.calculation(k, m, 0)
            return device.get("kappa", 1e-26) * device["cycles_per_s"] ** 2 * block["cycles"] * batch
        power = device.get("transmit_power_w", 0.0)
        if i == j:
            return 0.0
        if i == 0:
            return power * bits / self.device_rate(k, j)
        return power * bits / self.server_rate(i, j) if self.switch["hop_energy"] else 0.0

    def result_return(self, k, last):
        """Return the time of the final output's way back to the device; infinite without a link."""
        if last == 0 or not self.switch["return_result"]:
            return 0.0
        if self.device_rate(k, last) == 0:
            return math.inf
        bits = self.models[self.tasks[k]["model"]].get("output_bits", 0.0) * self.batch(k)
        return self.device_latency(last) + bits / self.device_rate(k, last)

    # --- one task ---
    def steps(self, path):
        return list(zip((0, *path[:-1]), path, strict=True))

    def has_links(self, k, path):
        linked = all(self.allowed(k, i, j) for i, j in self.steps(path))
        return linked and math.isfinite(self.result_return(k, path[-1]))

    def block_delays(self, k, path):
        return [self.delay(k, m, i, j) for m, (i, j) in enumerate(self.steps(path))]

    def excesses(self, k, path):
        """Return by how much each block is late, 0 where it is not."""
        late = []
        for m, value in enumerate(self.block_delays(k, path)):
            tau = self.limit(k, m)
            late.append(0.0 if tau is None or self.deadline == "none" else max(value - tau, 0.0))
        return late

    def late_blocks(self, k, path):
        """Return the blocks that break a hard deadline."""
        if self.deadline != "hard":
            return []
        delays = self.block_delays(k, path)
        limits = [self.limit(k, m) for m in range(len(path))]
        return [m for m, tau in enumerate(limits) if tau is not None and not within(delays[m], tau)]

    def split(self, k, path):
        """Return the task's local and edge delay; a returning result belongs to the edge."""
        delays = self.block_delays(k, path)
        local = sum(delay for delay, node in zip(delays, path, strict=True) if node == 0)
        edge = sum(delay for delay, node in zip(delays, path, strict=True) if node > 0)
        return local, edge + self.result_return(k, path[-1])

    def task_objective(self, k, path):
        penalty = self.beta * sum(self.excesses(k, path)) if self.deadline == "soft" else 0.0
        return sum(self.split(k, path)) + penalty

    def task_energy(self, k, path):
        if not self.has_links(k, path):
            return math.inf
        return sum(self.energy(k, m, i, j) for m, (i, j) in enumerate(self.steps(path)))

    def task_feasible(self, k, path):
        return self.has_links(k, path) and not self.late_blocks(k, path)

    def paths(self, k):
        """Return every placement of the task: (N + 1) ** M tuples."""
        return itertools.product(range(len(self.servers) + 1), repeat=len(self.blocks(k)))

    # --- all tasks ---
    def objective(self, placement):
        return sum(self.task_objective(k, path) for k, path in enumerate(placement))

    def device_energy(self, placement):
        spent = dict.fromkeys(self.devices, 0.0)
        for k, path in enumerate(placement):
            spent[self.tasks[k]["device"]] += self.task_energy(k, path)
        return spent

    def loads(self, placement):
        """Return the seconds of calculation in each (slot, server)."""
        load = {}
        for k, path in enumerate(placement):
            for m, node in enumerate(path):
                if node > 0:
                    key = (self.tasks[k]["slot"], node)
                    load[key] = load.get(key, 0.0) + self.calculation(k, m, node)
        return load

    def held(self, placement):
        """Return the parameter bytes in each (slot, node); a device's node is its name."""
        parts = {}
        for k, path in enumerate(placement):
            for m, node in enumerate(path):
                where = (self.tasks[k]["slot"], self.tasks[k]["device"] if node == 0 else node)
                parts.setdefault(where, {})[self.tasks[k]["model"], m] = self.blocks(k)[m].get(
                    "param_bytes", 0
                )
        return {where: sum(blocks.values()) for where, blocks in parts.items()}

    def broken(self, placement):
        """Return every violation as (kind, where), `where` a tuple."""
        found = set()
        for k, path in enumerate(placement):
            last = len(path) - 1
            found |= {
                ("link", k, m) for m, (i, j) in enumerate(self.steps(path)) if not self.allowed(k, i, j)
            }
            if not math.isfinite(self.result_return(k, path[-1])):
                found.add(("link", k, last))
            if all(math.isfinite(delay) for delay in self.block_delays(k, path)):
                found |= {("deadline", k, m) for m in self.late_blocks(k, path)}
        if "energy" in self.couplings:
            for name, spent in self.device_energy(placement).items():
                budget = self.devices[name].get("energy_budget_j")
                if budget is not None and not within(spent, budget):
                    found.add(("energy", name))
        if "capacity" in self.couplings:
            found |= {
                ("capacity", *at)
                for at, used in self.loads(placement).items()
                if not within(used, self.slot_s)
            }
        if "memory" in self.couplings:
            for (slot, node), used in self.held(placement).items():
                holder = self.devices[node] if isinstance(node, str) else self.servers[node - 1]
                memory = holder.get("memory_bytes")
                if memory is not None and not within(used, memory):
                    found.add(("memory", slot, node))
        return found

    def feasible(self, placement):
        return not self.broken(placement)

    # --- brute force ---
    def best_path(self, k):
        """Return the least objective over all placements of one task and a placement with it, or None."""
        choices = [
            (self.task_objective(k, path), path) for path in self.paths(k) if self.task_feasible(k, path)
        ]
        return min(choices) if choices else None

    def best_uncoupled(self):
        """Return the optimum of P without couplings, None when some task cannot be placed."""
        best = [self.best_path(k) for k in range(len(self.tasks))]
        return None if None in best else sum(value for value, _ in best)

    def best_coupled(self):
        """Return the optimum under the couplings, None when nothing is feasible.

        All tasks jointly, so keep it small.
        """
        choices = [
            [path for path in self.paths(k) if self.task_feasible(k, path)] for k in range(len(self.tasks))
        ]
        values = [self.objective(joint) for joint in itertools.product(*choices) if self.feasible(joint)]
        return min(values) if values else None
