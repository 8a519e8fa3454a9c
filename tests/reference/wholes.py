"""All tasks together: what they share, the objective, and brute force."""

import itertools
import math

from reference.chains import Chains
from reference.document import given, within

MOST_LOAD = 1 - 1e-6  # of a slot, under mm1


class Reference(Chains):
    """One instance; every method is a formula of the model. A placement is one path a task."""

    def placed(self, placement):
        """Return (task, its path) of all tasks that are not dropped."""
        return [(k, tuple(path)) for k, path in enumerate(placement) if not self.dropped(path)]

    # --- what is shared ---
    def loads(self, placement):
        """Return the seconds of calculation in each (slot, server), as if nobody else were there."""
        load = {}
        for k, path in self.placed(placement):
            for m, (i, j) in enumerate(self.steps(path)):
                if j > 0:
                    key = (self.slot(k), j)
                    load[key] = load.get(key, 0.0) + self.calculation(k, m, j, i)
        return load

    def stretches(self, placement):
        """Return by what factor calculations last longer in each (slot, server), infinite past the limit."""
        if self.sharing is None:
            return {}
        loads = self.loads(placement)
        if self.sharing == "affine":
            return {where: 1 + load / self.slot_s for where, load in loads.items()}
        return {
            where: 1 / (1 - load / self.slot_s) if load <= MOST_LOAD * self.slot_s else math.inf
            for where, load in loads.items()
        }

    def device_energy(self, placement):
        spent = dict.fromkeys(self.devices, 0.0)
        for k, path in self.placed(placement):
            spent[self.tasks[k]["device"]] += self.task_energy(k, path)
        return spent

    def held(self, placement):
        """Return the bytes in each (slot, node); a device's node is its name.

        Parameters of a block and parts shared by blocks are held once, however many tasks use them; state is
        each task's own.
        """
        parts = {}
        for k, path in self.placed(placement):
            name = self.tasks[k]["model"]
            for m, node in enumerate(path):
                block = self.blocks(k)[m]
                here = parts.setdefault((self.slot(k), self.tasks[k]["device"] if node == 0 else node), {})
                here["block", name, m] = block.get("param_bytes", 0)
                here["state", k, m] = given(block, "state_bytes", 0) * self.batch(k)
                for part, shared in enumerate(given(self.model(k), "shared_params", [])):
                    if m in self.numbers(k, shared["blocks"]):
                        here["shared", name, part] = shared["bytes"]
        return {where: sum(sizes.values()) for where, sizes in parts.items()}

    # --- period ---
    def busy(self, placement):
        """Return the seconds that each (slot, kind, which) is busy: servers, devices, radios, wired links."""
        busy = {}

        def add(k, seconds, *which):
            busy[self.slot(k), *which] = busy.get((self.slot(k), *which), 0.0) + seconds

        for k, path in self.placed(placement):
            device = self.tasks[k]["device"]
            for m, (i, j) in enumerate(self.steps(path)):
                add(k, self.calculation(k, m, j, i), *(("server", j) if j > 0 else ("device", device)))
                if i != j:
                    link = ("radio", device) if 0 in (i, j) else ("link", i, j)
                    add(k, self.transfer_busy(k, m, i, j), *link)
            add(k, self.result_busy(k, path[-1]), "radio", device)
        return busy

    def period_s(self, placement):
        """Return the sum over slots of what its busiest resource needs."""
        longest = {}
        for (slot, *_), seconds in self.busy(placement).items():
            longest[slot] = max(longest.get(slot, 0.0), seconds)
        return sum(longest.values())

    # --- objective ---
    def terms(self, placement):
        """Return the terms of the objective, weighed: they add up to it. Drop costs are penalties."""
        total = {"delay": 0.0, "energy": 0.0, "period": 0.0, "penalties": 0.0}
        if self.period:
            return {**total, "period": self.period_s(placement)}
        stretch = self.stretches(placement)
        for k, path in enumerate(placement):
            for name, value in self.task_terms(k, path, stretch).items():
                total[name] += value
        return total

    def objective(self, placement):
        return sum(self.terms(placement).values())

    # --- limits ---
    def broken(self, placement):
        """Return every violation as (kind, where), `where` a tuple: what follows `found.add` here."""
        found = set()
        stretch = self.stretches(placement)
        for k, path in self.placed(placement):
            found |= self._broken_alone(k, path, stretch)
        found |= {("sharing", *where) for where, factor in stretch.items() if factor == math.inf}
        if "energy" in self.couplings:
            for name, spent in self.device_energy(placement).items():
                budget = self.devices[name].get("energy_budget_j")
                if budget is not None and not within(spent, budget):
                    found.add(("energy", name))
        if "capacity" in self.couplings:
            for where, used in self.loads(placement).items():
                if not within(used, self.slot_s):
                    found.add(("capacity", *where))
        if "memory" in self.couplings:
            for (slot, node), used in self.held(placement).items():
                holder = self.devices[node] if isinstance(node, str) else self.servers[node - 1]
                memory = holder.get("memory_bytes")
                if memory is not None and not within(used, memory):
                    found.add(("memory", slot, node))
        return found

    def _broken_alone(self, k, path, stretch):
        """Return what one task breaks: (kind, task, block); end to end (kind, task), or with a phase."""
        found = {("link", k, m) for m, (i, j) in enumerate(self.steps(path)) if not self.allowed(k, i, j)}
        if not math.isfinite(self.result_return(k, path[-1])):
            found.add(("link", k, len(path) - 1))
        if self.has_links(k, path):
            found |= {("deadline", k, m) for m in self.late_blocks(k, path, stretch)}
            names = self.late_ends(k, path, stretch)
            found |= {("deadline", k) if name is None else ("deadline", k, name) for name in names}
        found |= {("allow", k, m) for m in self.misplaced(k, path)}
        found |= {("one_run", k, m) for m in self.second_runs(k, path)}
        return found

    def feasible(self, placement):
        return not self.broken(placement)

    # --- brute force ---
    def best_path(self, k):
        """Return the least objective of one task alone and a placement with it, or None."""
        values = [(self.task_objective(k, path), path) for path in self.choices(k)]
        return min(values) if values else None

    def best_uncoupled(self):
        """Return the optimum without couplings, None when some task cannot be placed; not of a period."""
        best = [self.best_path(k) for k in range(len(self.tasks))]
        return None if None in best else sum(value for value, _ in best)

    def best_joint(self):
        """Return the optimum and a placement with it, None when nothing is feasible.

        All tasks jointly, so keep it small.
        """
        joints = itertools.product(*(self.choices(k) for k in range(len(self.tasks))))
        values = [(self.objective(joint), joint) for joint in joints if self.feasible(joint)]
        return min(values) if values else None

    def best_coupled(self):
        """Return the optimum, None when nothing is feasible."""
        best = self.best_joint()
        return None if best is None else best[0]
