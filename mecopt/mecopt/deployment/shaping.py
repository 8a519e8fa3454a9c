"""Links made slower than they are, for tests and demonstrations: rate and latency, without rights of root.

A message leaves when the ones before it have left, takes its bits over the rate, and arrives a latency
later. The sender waits for what that lasts longer than the true sending did.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class LinkShape:
    """A link of a rate [bits/s] and a latency [s]; a rate of 0 is as fast as it goes."""

    rate_bps: float = 0.0
    latency_s: float = 0.0
    _free: float = 0.0
    _true: dict[int, float] = field(default_factory=dict)  # least seconds of true sending, by bytes
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def plain(self) -> bool:
        """Whether the link is as fast as it goes."""
        return self.rate_bps <= 0 and self.latency_s <= 0

    def due(self, payload_bytes: int) -> float:
        """Let a message begin to leave; return when it is to arrive, on `time.perf_counter`.

        Parameters
        ----------
        payload_bytes : int
            Of the tensors alone, which is what instances count.
        """
        now = time.perf_counter()
        with self._lock:
            start = max(now, self._free)
            self._free = start + (8 * payload_bytes / self.rate_bps if self.rate_bps > 0 else 0.0)
            return self._free + self.latency_s

    def send(self, payload_bytes: int, due: float, send: Callable[[], object]) -> None:
        """Send a message so that it arrives when it is due.

        Parameters
        ----------
        payload_bytes : int
        due : float
        send : callable
            Sends it, as fast as it goes.
        """
        if self.plain:
            send()
            return
        while (left := due - self._true.get(payload_bytes, 0.0) - time.perf_counter()) > 0:
            time.sleep(left)
        began = time.perf_counter()
        send()
        took = time.perf_counter() - began
        with self._lock:
            self._true[payload_bytes] = min(took, self._true.get(payload_bytes, took))
