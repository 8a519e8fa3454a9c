"""Links made slower than they are, for tests and demonstrations: rate and latency, without rights of root.

A message leaves when the ones before it have left, takes its bits over the rate, and arrives a latency
later. The sender waits for what that lasts longer than the true sending did.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field


@dataclass
class Shape:
    """A link of a rate [bits/s] and a latency [s]; a rate of 0 is as fast as it goes."""

    rate_bps: float = 0.0
    latency_s: float = 0.0
    _free: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def hold(self, payload_bytes: int) -> None:
        """Wait until a message of that size would have arrived.

        Parameters
        ----------
        payload_bytes : int
            Of the tensors alone, which is what instances count.
        """
        if self.rate_bps <= 0 and self.latency_s <= 0:
            return
        now = time.perf_counter()
        with self._lock:
            start = max(now, self._free)
            self._free = start + (8 * payload_bytes / self.rate_bps if self.rate_bps > 0 else 0.0)
            due = self._free + self.latency_s
        while (left := due - time.perf_counter()) > 0:
            time.sleep(left)
