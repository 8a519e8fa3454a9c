"""The solution that a stored run found, as the document that `Result.to_dict` gives."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from mecopt.comparing.one_run import unpack_placement
from mecopt.comparing.soundness import points, unpacked, unpacked_json
from mecopt.errors import InputError
from mecopt.instance import WIDER_FORMAT
from mecopt.result import SOLUTION_FORMATS
from mecopt.tolerances import OPTIMALITY_TOLERANCE

if TYPE_CHECKING:
    from mecopt.comparing.store_reader import Row, StoreReader
    from mecopt.instance import Instance

WITH_A_RESULT = ("optimal", "feasible", "violating", "infeasible", "unknown")
SUMS = ("total_delay_s", "edge_delay_s", "local_delay_s", "deadline_excess_s", "energy_j")
FACTS = {"options", "device_energy_j", "violations", "reasons"}


def document(reader: StoreReader, run: int) -> dict[str, Any] | None:
    """Return what a run found; None without a result. `InputError` if it is stored as mecopt never does."""
    row = reader.run(run)
    if row is None or row["status"] not in WITH_A_RESULT:
        return None
    facts = _facts(reader, run, row)
    found = {
        "format": SOLUTION_FORMATS[0],
        **{name: row[name] for name in ("instance", "instance_sha256", "method", "mecopt_version", "seed")},
        "options": facts["options"],
        **{name: row[name] for name in ("status", "stopped_by", "objective", "lower_bound", "gap")},
        "optimality_tolerance": OPTIMALITY_TOLERANCE,
        **{name: row[name] for name in SUMS},
        "device_energy_j": facts["device_energy_j"],
        "violations": facts["violations"],
        "reasons": facts["reasons"],
        "repairs": row["repairs"],
        "runtime_s": row["runtime_s"],
        "trace": [] if row["trace"] is None else points(row["trace"], f"run {run}: trace", reader.path),
        "placement": None if row["placement"] is None else _placement(reader, run, row),
    }
    instance = reader.instance(row["instance_sha256"])
    return found if instance.format != WIDER_FORMAT else _widened(found, instance)


def _facts(reader: StoreReader, run: int, row: Row) -> dict[str, Any]:
    place = f"run {run}: facts"
    facts = unpacked_json(unpacked(row["facts"], place, reader.path), place, reader.path)
    if not isinstance(facts, dict) or not facts.keys() >= FACTS:
        raise InputError(f"{place}: expected {', '.join(sorted(FACTS))}", str(reader.path))
    return facts


def _placement(reader: StoreReader, run: int, row: Row) -> list[list[int]]:
    try:
        return unpack_placement(row["placement"], row["tasks"], row["blocks"], row["servers"])
    except (ValueError, zlib.error) as error:
        raise InputError(f"run {run}: placement: {error}", str(reader.path)) from None


def _widened(document: dict[str, Any], instance: Instance) -> dict[str, Any]:
    """Return the solution of an instance of the wider format, with what that format says more of it."""
    from mecopt import schedule
    from mecopt.judge import evaluate
    from mecopt.placements import placement_array

    rows, judged = document["placement"], None
    if rows is not None:
        counts = instance.block_count.tolist()
        rows = [row or [-1] * count for row, count in zip(rows, counts, strict=True)]  # tasks left out
        judged = evaluate(instance, placement_array(rows, instance))
    wider = {"format": SOLUTION_FORMATS[1], "placement": rows}
    return document | wider | schedule.account(instance, judged)
