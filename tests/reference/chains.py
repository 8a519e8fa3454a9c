"""One task on its own: its times, deadlines, energy, and what its routes may be.

`stretch` gives the factor by which calculations last longer on shared servers, by (slot, server).
"""

import itertools
import math

from reference.document import DROPPED, given, within
from reference.steps import Steps, stretched

ALONE = {}


class Chains(Steps):
    """What a task costs on a path: a tuple with the node of every block."""

    def steps(self, path):
        return list(zip((0, *path[:-1]), path, strict=True))

    def dropped(self, path):
        return path[0] == DROPPED

    # --- times ---
    def stretch_on(self, k, j, stretch):
        return stretch.get((self.slot(k), j), 1.0)

    def has_links(self, k, path):
        linked = all(self.allowed(k, i, j) for i, j in self.steps(path))
        return linked and math.isfinite(self.result_return(k, path[-1]))

    def block_delays(self, k, path, stretch=ALONE):
        factors = [self.stretch_on(k, j, stretch) for j in path]
        return [self.delay(k, m, i, j, factors[m]) for m, (i, j) in enumerate(self.steps(path))]

    def phase_delays(self, k, path, stretch=ALONE):
        """Return the seconds of every phase over its repeats, results included."""
        totals = []
        for f, repeat in self.repeats(k):
            one = self.result_of_pass(k, path[-1], f)[1]
            for m, (i, j) in enumerate(self.steps(path)):
                work = self.calculation_of_pass(k, m, j, f) + self.start(k, m, i, j)
                one += self.transfer_of_pass(k, m, i, j, f)[1]
                one += stretched(work, self.stretch_on(k, j, stretch))
            totals.append(repeat * one)
        return totals

    def split(self, k, path, stretch=ALONE):
        """Return the task's local and edge delay; a returning result belongs to the edge."""
        delays = self.block_delays(k, path, stretch)
        local = sum(delay for delay, node in zip(delays, path, strict=True) if node == 0)
        edge = sum(delay for delay, node in zip(delays, path, strict=True) if node > 0)
        return local, edge + self.result_return(k, path[-1])

    # --- deadlines ---
    def excesses(self, k, path, stretch=ALONE):
        """Return by how much each block is late, 0 where it is not."""
        late = []
        for m, value in enumerate(self.block_delays(k, path, stretch)):
            tau = self.limit(k, m)
            late.append(0.0 if tau is None or self.deadline == "none" else max(value - tau, 0.0))
        return late

    def ends(self, k, path, stretch=ALONE):
        """Return (name, seconds, limit) of every end-to-end limit."""
        totals = self.phase_delays(k, path, stretch)
        return [(name, sum(totals[f] for f in about), limit) for name, about, limit in self.end_limits(k)]

    def end_excess(self, k, path, stretch=ALONE):
        """Return by how much the task is late end to end, added up over its limits."""
        if self.deadline == "none":
            return 0.0
        return sum(max(value - limit, 0.0) for _, value, limit in self.ends(k, path, stretch))

    def late_blocks(self, k, path, stretch=ALONE):
        """Return the blocks that break a hard deadline; a time that does not exist breaks none."""
        if self.deadline != "hard":
            return []
        delays = self.block_delays(k, path, stretch)
        limits = [self.limit(k, m) for m in range(len(path))]
        return [m for m, tau in enumerate(limits) if tau is not None and _late(delays[m], tau)]

    def late_ends(self, k, path, stretch=ALONE):
        """Return the names of the end-to-end limits that are broken where they are hard."""
        if self.deadline != "hard":
            return []
        return [name for name, value, limit in self.ends(k, path, stretch) if _late(value, limit)]

    # --- routes ---
    def misplaced(self, k, path):
        """Return the blocks on nodes that `allow` does not leave them."""
        return [m for m, node in enumerate(path) if node not in self.permitted(k, m)]

    def second_runs(self, k, path):
        """Return the blocks that begin another stretch on a node which `one_run` leaves a single one."""
        found, seen = [], set()
        for m, node in enumerate(path):
            if m > 0 and node == path[m - 1]:
                continue
            if node in seen and (self.one_run == "all" or (self.one_run == "servers" and node > 0)):
                found.append(m)
            seen.add(node)
        return found

    # --- objective ---
    def task_energy(self, k, path):
        """Return the joules of the task's device."""
        if not self.has_links(k, path):
            return math.inf
        return sum(self.energy(k, m, i, j) for m, (i, j) in enumerate(self.steps(path)))

    def task_server_energy(self, k, path):
        return sum(self.server_energy(k, m, i, j) for m, (i, j) in enumerate(self.steps(path)))

    def task_terms(self, k, path, stretch=ALONE):
        """Return what the task adds to each term of the objective, in units of the objective."""
        if self.dropped(path):
            return {"delay": 0.0, "energy": 0.0, "penalties": self.tasks[k]["drop_cost"]}
        late = sum(self.excesses(k, path, stretch)) + self.end_excess(k, path, stretch)
        delay = self.weight(k) * self.delay_worth * sum(self.split(k, path, stretch))
        beta = self.weight(k) * self.delay_worth * self.beta if self.deadline == "soft" else 0.0
        energy = 0.0
        if self.energy_worth > 0:
            joules = self.task_energy(k, path) + (self.task_server_energy(k, path) if self.of_all else 0.0)
            energy = self.weight(k) * self.energy_worth * joules
        return {"delay": delay, "energy": energy, "penalties": beta * late if beta else 0.0}

    def task_objective(self, k, path, stretch=ALONE):
        return sum(self.task_terms(k, path, stretch).values())

    def task_feasible(self, k, path):
        """Say whether the task alone may run so, on servers that nobody shares."""
        if self.dropped(path):
            return given(self.tasks[k], "drop_cost") is not None
        limits = (self.late_blocks, self.late_ends, self.misplaced, self.second_runs)
        return self.has_links(k, path) and not any(limit(k, path) for limit in limits)

    # --- all placements ---
    def paths(self, k):
        """Return every placement of the task: (N + 1) ** M tuples."""
        return itertools.product(range(len(self.servers) + 1), repeat=len(self.blocks(k)))

    def choices(self, k):
        """Return every placement that the task alone may have, the one that drops it last."""
        candidates = [*self.paths(k), (DROPPED,) * len(self.blocks(k))]
        return [path for path in candidates if self.task_feasible(k, path)]


def _late(seconds, limit):
    return math.isfinite(seconds) and not within(seconds, limit)
