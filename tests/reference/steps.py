"""One step of the chain: Eq. 3-9, summed over the passes of every phase."""

import math

from reference.document import Document, at, given


class Steps(Document):
    """What it costs to enter block `m` on node `j`, having run the block before on node `i`."""

    # --- one pass of phase f ---
    def transfer_of_pass(self, k, m, i, j, f):
        """Return the seconds that the link is busy, and those that it takes; infinite without a link."""
        if i == j:
            return 0.0, 0.0
        if not self.allowed(k, i, j):
            return math.inf, math.inf
        if j == 0 and not self.switch["return_transfer"]:
            return 0.0, 0.0
        bits = at(self.blocks(k)[m]["input_bits"], f) * self.batch(k)
        busy = bits / self.rate(k, i, j)
        return busy, self.latency(i, j) + busy

    def calculation_of_pass(self, k, m, j, f):
        """Return the seconds inside a stretch; infinite on a node that has nothing to count them from."""
        block, node, batch = self.blocks(k)[m], self.node(k, j), self.batch(k)
        measured = given(block, "measured_seconds", {})
        if node.get("hardware") in measured:
            return at(measured[node["hardware"]], f) * batch
        terms = []
        if self.speed(k, j) is not None and block.get("cycles") is not None:
            terms.append(batch * at(block["cycles"], f) / self.speed(k, j))
        if node.get("memory_bytes_per_s") is not None:
            read = at(given(block, "read_bytes", block.get("param_bytes", 0.0)), f)
            state = at(given(block, "state_read_bytes", 0.0), f)
            terms.append((read + batch * state) / node["memory_bytes_per_s"])
        return max(terms, default=math.inf)

    def start(self, k, m, i, j):
        """Return the seconds that beginning a stretch adds to a pass, whatever the batch."""
        if m > 0 and i == j:
            return 0.0
        return given(self.blocks(k)[m], "start_seconds", {}).get(self.node(k, j).get("hardware"), 0.0)

    def energy_of_pass(self, k, m, i, j, f):
        """Return the joules of the device; nan where it states nothing to count them from."""
        device, block, batch = self.device(k), self.blocks(k)[m], self.batch(k)
        if j == 0:
            if device.get("compute_power_w") is not None:
                return device["compute_power_w"] * (
                    self.calculation_of_pass(k, m, 0, f) + self.start(k, m, i, 0)
                )
            speed, cycles = given(device, "cycles_per_s", math.nan), at(given(block, "cycles", 0.0), f)
            return device.get("kappa", 1e-26) * speed**2 * cycles * batch
        bits = at(block["input_bits"], f) * batch
        if i == j or (i > 0 and not self.switch["hop_energy"]):
            return 0.0
        return device.get("transmit_power_w", 0.0) * bits / self.rate(k, i, j)

    def result_of_pass(self, k, last, f):
        """Return the seconds that the way home is busy with the output, and those that it takes."""
        if last == 0 or not self.switch["return_result"]:
            return 0.0, 0.0
        if not self.allowed(k, last, 0):
            return math.inf, math.inf
        bits = at(given(self.model(k), "output_bits", 0.0), f) * self.batch(k)
        busy = bits / self.rate(k, last, 0)
        return busy, self.latency(last, 0) + busy

    # --- all passes ---
    def allowed(self, k, i, j):
        """Say whether the link of the step exists."""
        return i == j or self.rate(k, i, j) > 0

    def transfer(self, k, m, i, j):
        """Return the transfer time of block `m`'s input from `i` to `j`; infinite without a link."""
        return sum(repeat * self.transfer_of_pass(k, m, i, j, f)[1] for f, repeat in self.repeats(k))

    def transfer_busy(self, k, m, i, j):
        """Return the seconds that the step's link is busy: without latency."""
        return sum(repeat * self.transfer_of_pass(k, m, i, j, f)[0] for f, repeat in self.repeats(k))

    def calculation(self, k, m, j, i=None):
        """Return the calculation time of block `m` on node `j`; with its start where `i` is given."""
        start = 0.0 if i is None else self.start(k, m, i, j)
        return sum(repeat * (self.calculation_of_pass(k, m, j, f) + start) for f, repeat in self.repeats(k))

    def delay(self, k, m, i, j, stretch=1.0):
        return self.transfer(k, m, i, j) + stretched(self.calculation(k, m, j, i), stretch)

    def energy(self, k, m, i, j):
        """Return the device's energy for the step, in joules."""
        return sum(repeat * self.energy_of_pass(k, m, i, j, f) for f, repeat in self.repeats(k))

    def server_energy(self, k, m, i, j):
        """Return the server's energy for the step, in joules: nothing where it states no power."""
        if j == 0:
            return 0.0
        return given(self.servers[j - 1], "compute_power_w", 0.0) * self.calculation(k, m, j, i)

    def result_return(self, k, last):
        """Return the time of the final output's way back to the device; infinite without a link."""
        return sum(repeat * self.result_of_pass(k, last, f)[1] for f, repeat in self.repeats(k))

    def result_busy(self, k, last):
        """Return the seconds that the way home is busy with the output."""
        return sum(repeat * self.result_of_pass(k, last, f)[0] for f, repeat in self.repeats(k))


def stretched(seconds, stretch):
    """Return a calculation's time on a shared server; on an overloaded one there is none, even of nothing."""
    if seconds == 0.0:  # however full the server is, nothing takes no time
        return 0.0
    return math.inf if stretch == math.inf else seconds * stretch
