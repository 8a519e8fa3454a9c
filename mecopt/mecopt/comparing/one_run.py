"""One run: what is asked for, what is done in a worker, and what comes back to the store."""

from __future__ import annotations

import dataclasses
import datetime
import json
import time
import warnings
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecopt._version import __version__
from mecopt.comparing.carried import Carried
from mecopt.comparing.machine import machine_id, peak_memory_bytes
from mecopt.entities import Coupling
from mecopt.errors import InputError
from mecopt.generation import generate
from mecopt.solving import solve

if TYPE_CHECKING:
    from mecopt.instance import Instance
    from mecopt.result import Result

WARM_UP_TASKS = 8
# With limits that bind, for energy budgets alone and for all else; budgets join the slots of the second.
TIGHT_BUDGETS = "energy:slots=2,servers=2,energy_budget_share=0.8"
TIGHT_SERVERS = "crowd:slots=2,servers=2,batch=12,energy_budget_j=0.01,server_memory_bytes=4e7"
WARM_UP_LIMIT_S = 1.0
GRACE = 0.10  # a run may be late by this share of its limit
GRACE_S = 2.0  # and by so many seconds more, before it is ended from outside
MOST_BYTES = 1 << 30  # of a placement
LONGEST_ERROR = 2000  # characters of an error that are kept


@dataclass(frozen=True)
class RunOrder:
    """What one run is asked to do; `run` is its row in the store."""

    run: int
    instance_sha256: str
    method: Carried
    options: dict[str, Any]
    seed: int
    time_limit_s: float | None
    gap: float | None
    threads: int

    @property
    def patience_s(self) -> float | None:
        """Seconds after which the run is ended from outside; None without a time limit."""
        return None if self.time_limit_s is None else self.time_limit_s * (1 + GRACE) + GRACE_S


@dataclass(frozen=True)
class RunOutcome:
    """What a run came to: values of the table's columns, and the details, packed."""

    run: int
    columns: dict[str, Any]
    details: dict[str, Any] = field(default_factory=dict)


def part_of(instance: Instance) -> Instance:
    """Return a few tasks of an instance, some of every model: as it is in all that methods look at first."""
    tasks = instance.tasks
    _, first = np.unique(tasks.model, return_index=True)
    rows = np.union1d(first, np.arange(min(WARM_UP_TASKS, len(tasks))))
    kept = {field.name: getattr(tasks, field.name)[rows] for field in dataclasses.fields(tasks)}
    return instance.replace(tasks=dataclasses.replace(tasks, **kept))


def warm_up(order: RunOrder, part: Instance) -> bool:
    """Let the method import and compile what it needs, so that its first run is measured like the others.

    It solves a part of the run's own instance, which has its servers, models and rules, so that also a method
    that takes one shape only does what it is going to do; and where there are couplings another instance
    whose limits bind: most methods compile what they need for those only then. A method that fails does so
    again in the run.

    Returns
    -------
    bool
        False if it refused the part: then it has done nothing yet, and is warmed up again for its next run.
    """
    couplings, taken = part.rules.couplings, True
    instances = [part]
    if couplings:
        tight = generate(TIGHT_BUDGETS if couplings == {Coupling.ENERGY} else TIGHT_SERVERS)
        rules = dataclasses.replace(tight.rules, couplings=couplings)
        instances.append(tight.replace(rules=rules))
    for instance in instances:
        try:
            with warnings.catch_warnings(action="ignore"):
                _solved(instance, order, WARM_UP_LIMIT_S, None)
        except InputError:
            taken = taken and instance is not part
        except BaseException:  # a method may be anybody's code
            continue
    return taken


def _solved(instance: Instance, order: RunOrder, time_limit_s: float | None, gap: float | None) -> Result:
    return solve(
        instance,
        order.method.method(),
        time_limit_s=time_limit_s,
        gap=gap,
        seed=order.seed,
        threads=order.threads,
        **order.options,
    )


def perform(instance: Instance, order: RunOrder, *, isolated: bool = False) -> RunOutcome:
    """Do one run; whatever the method does, an outcome comes back.

    Parameters
    ----------
    instance : Instance
    order : Order
    isolated : bool
        Whether this process does nothing else, so that its peak memory is the run's.
    """
    columns: dict[str, Any] = {
        "started": _now(),
        "host": machine_id(),
        "mecopt_version": __version__,
    }
    details: dict[str, Any] = {}
    try:
        order.method.method()  # imported before the clock begins
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            result = _solved(instance, order, order.time_limit_s, order.gap)
        finally:
            columns |= {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
        found, details = _figures(result), _details(result)
        columns |= found
    except InputError as error:  # a coupling, a shape, an option that it does not take
        columns |= failure("refused", str(error))
    except BaseException as error:  # a method may be anybody's code, and may raise SystemExit too
        columns |= failure("failed", f"{type(error).__name__}: {error}")
    if isolated:
        columns["peak_memory_bytes"] = peak_memory_bytes()
    return RunOutcome(order.run, columns, details)


def failure(status: str, text: str) -> dict[str, Any]:
    """Return the columns of a run that has no result."""
    return {"status": status, "error": " ".join(text.split())[:LONGEST_ERROR]}


def ended(order: RunOrder, status: str, text: str, wall_s: float) -> RunOutcome:
    """Return the outcome of a run whose process did not live to tell."""
    columns = {
        "started": _now(-wall_s),
        "host": machine_id(),
        "mecopt_version": __version__,
        "wall_s": wall_s,
        **failure(status, text),
    }
    return RunOutcome(order.run, columns)


def _now(offset_s: float = 0.0) -> str:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=offset_s)
    return moment.isoformat(timespec="microseconds")


def _figures(result: Result) -> dict[str, Any]:
    judged = result.evaluation
    sums = ("total_delay_s", "edge_delay_s", "local_delay_s", "deadline_excess_s", "energy_j")
    violations = () if judged is None else judged.violations
    return {
        "status": result.status.value,
        "stopped_by": None if result.stopped_by is None else result.stopped_by.value,
        "objective": result.objective,
        "lower_bound": result.lower_bound,
        "gap": result.gap,
        **{name: None if judged is None else getattr(judged, name) for name in sums},
        "violations": len(violations),
        "violation_kinds": ",".join(sorted({violation.kind for violation in violations})),
        "repairs": result.repairs,
        "runtime_s": result.runtime_s,
    }


def _details(result: Result) -> dict[str, Any]:
    """Pack what only some readers want."""
    judged = result.evaluation
    facts = {
        "options": dict(result.options),
        "device_energy_j": None if judged is None else judged.device_energy_j,
        "violations": [] if judged is None else [vars(violation) for violation in judged.violations],
        "reasons": list(result.reasons),
    }
    details: dict[str, Any] = {
        "trace": json.dumps(result.trace, allow_nan=False),
        "facts": zlib.compress(json.dumps(facts, ensure_ascii=False, allow_nan=False).encode(), 1),
    }
    if judged is not None:
        details["placement"] = pack_placement(judged.placement, result.instance.server_count)
        share = node_share(judged.placement, result.instance.server_count)
        details["node_share"] = json.dumps(share.round(6).tolist())
    return details


def node_share(placement: NDArray[np.int64], servers: int) -> NDArray[np.float64]:
    """Return the share of the tasks that run each block on each node, (blocks, nodes).

    Of a block that only longer models have, the share is of the tasks that have it.
    """
    columns = placement.T + 1  # 0 behind the end
    counts = np.stack([np.bincount(column, minlength=servers + 2)[1:] for column in columns])
    shares: NDArray[np.float64] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


def pack_placement(placement: NDArray[np.int64], servers: int) -> bytes:
    """Return a placement as packed bytes: JSON of 36,000 tasks would cost more than the run."""
    if _in_halves(placement.size, servers):
        flat = np.zeros(placement.size + placement.size % 2, dtype=np.uint8)
        flat[: placement.size] = placement.ravel() + 1
        plain = (flat[0::2] << 4 | flat[1::2]).tobytes()
    else:
        plain = placement.astype(_node_type(servers)).tobytes()
    packer = zlib.compressobj(1, strategy=zlib.Z_RLE)  # smaller and quicker here than matching strings
    return packer.compress(plain) + packer.flush()


def unpack_placement(data: bytes, tasks: int, blocks: int, servers: int) -> list[list[int]]:
    """Return the placement as the lists of a solution file."""
    size = tasks * blocks
    plain = zlib.decompressobj().decompress(data, min(4 * size + 1, MOST_BYTES))
    if _in_halves(size, servers) and len(plain) < size:  # stores of earlier days have whole bytes
        halves = np.frombuffer(plain, dtype=np.uint8)
        nodes = np.stack([halves >> 4, halves & 15], axis=1).ravel()[:size].astype(np.int64) - 1
    else:
        nodes = np.frombuffer(plain, dtype=_node_type(servers)).astype(np.int64)
    return [[node for node in row if node >= 0] for row in nodes.reshape(tasks, blocks).tolist()]


def _in_halves(size: int, servers: int) -> bool:
    """Say whether a byte takes two nodes; each is counted from -1 on."""
    return servers + 1 < 15 and size > 1


def _node_type(servers: int) -> str:
    return "<i1" if servers < 128 else "<i4"
