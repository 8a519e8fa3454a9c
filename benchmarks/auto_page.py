"""The page of benchmarks/auto.py: where `auto` keeps up with the best, and each shape where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from auto_shapes import Shape, shape
from common import machine, table

Row = dict[str, Any]
WORSE, ABOVE = 1.1, 1e-4  # times the best gap, and above it
LATER, AFTER_S = 2.0, 0.5  # times the best proof's seconds, and above them
RANK = {"optimal": 3, "infeasible": 3, "feasible": 2, "violating": 1}  # any other: 0


def write_page(rows: list[Row], kind: str, marks: list[float], out: Path, command: str) -> list[str]:
    """Write README.md; returns what two methods say that cannot both be true."""
    by_shape: dict[int, dict[str, Row]] = {}
    for row in rows:
        by_shape.setdefault(int(row["number"]), {})[row["method"]] = row
    shapes = {i: shape(kind, i) for i in by_shape if "auto" in by_shape[i]}
    faults = {i: list(_faults(by_shape[i], marks)) for i in shapes}
    wrong = [text for i in shapes for text in _contradictions(i, by_shape[i])]
    good = sum(not texts for texts in faults.values())
    late = [i for i in shapes if (by_shape[i]["auto"]["runtime_s"] or 0.0) > 1.1 * marks[-1] + 0.5]
    lines = [
        "# `auto` beside every method that it could have taken",
        "",
        f"    python benchmarks/auto.py {command}".rstrip(),
        "",
        f"{len(shapes)} random shapes ({kind}), one run a method and shape, one thread each, read at "
        f"{', '.join(f'{mark:.3g}' for mark in marks)} s.",
        f"A shape counts as kept up with where, at each of these moments, `auto` has a placement if anybody "
        f"has, of a gap of at most {WORSE} times the best one + {ABOVE:g};",
        f"where its last status is no worse than anybody's; and where its proof is there within {LATER:g} "
        f"times the first one's time + {AFTER_S} s.",
        "",
        f"**{good} of {len(shapes)} shapes ({100 * good / max(len(shapes), 1):.0f} %).** "
        f"`auto` ended later than 1.1 times its limit + 0.5 s on {len(late)}.",
        *(f"- Contradiction: {text}" for text in wrong),
        "",
        *machine("numpy", "highspy", "ortools", "numba"),
        "",
        "## Exceptions",
        "",
        *_exceptions(faults, by_shape, _causes(out / "causes.txt")),
        "",
        "## All shapes",
        "",
        "Gaps in %, - without a placement; the best of the other methods beside `auto`. Proof: seconds until "
        "the gap was closed, or infeasibility proved.",
        "",
        table(*_all(shapes, by_shape, faults, marks)),
    ]
    (out / "README.md").write_text("\n".join(lines) + "\n")
    return wrong


def _faults(runs: dict[str, Row], marks: list[float]) -> Iterator[str]:
    """Say where `auto` falls behind on one shape."""
    auto = runs["auto"]
    peers = [row for name, row in runs.items() if name != "auto"]
    if not peers:
        return
    for n, mark in enumerate(marks):
        best = _best_gap(peers, n)
        if best is None:
            continue
        most = WORSE * best[0] + ABOVE
        if not auto[f"found_{n}"]:
            yield f"no placement at {mark:.3g} s, {best[1]} has one"
        elif auto[f"gap_{n}"] is None or auto[f"gap_{n}"] > most:
            yield f"gap {_percent(auto[f'gap_{n}'])} % at {mark:.3g} s, {best[1]} {_percent(best[0])} %"
    proofs = [(row["proof_s"], row["method"]) for row in peers if row["proof_s"] is not None]
    first, name = min(proofs, default=(None, ""))
    if first is not None and (auto["proof_s"] is None or auto["proof_s"] > LATER * first + AFTER_S):
        mine = "none" if auto["proof_s"] is None else f"{auto['proof_s']:.2f} s"
        yield f"proof {mine}, {name} {first:.2f} s"
    top = max(peers, key=lambda row: RANK.get(row["status"], 0))
    if RANK.get(auto["status"], 0) < RANK.get(top["status"], 0):
        yield f"ended {auto['status']}, {top['method']} {top['status']}"


def _best_gap(peers: list[Row], n: int) -> tuple[float, str] | None:
    """Return the smallest gap of the peers at a moment, and whose it is."""
    gaps = [(row[f"gap_{n}"], row["method"]) for row in peers if row[f"gap_{n}"] is not None]
    return min(gaps, default=None)


def _contradictions(i: int, runs: dict[str, Row]) -> Iterator[str]:
    """Say where a method claims what another one's placement or bound refutes."""
    values = {name: row["objective"] for name, row in runs.items() if row["objective"] is not None}
    for name, row in runs.items():
        bound = row["lower_bound"]
        for other, value in values.items():
            if row["status"] == "infeasible":
                yield f"shape {i}: {name} says infeasible, {other} has a placement"
            elif bound is not None and bound > value + 1e-8 * abs(value):
                yield f"shape {i}: the bound of {name}, {bound!r}, is above the value of {other}, {value!r}"


def _causes(path: Path) -> dict[int, str]:
    if not path.exists():
        return {}
    pairs = (line.partition(":") for line in path.read_text().splitlines() if line.strip())
    return {int(number): text.strip() for number, _, text in pairs}


def _exceptions(
    faults: dict[int, list[str]], by_shape: dict[int, dict[str, Row]], causes: dict[int, str]
) -> list[str]:
    if not any(faults.values()):
        return ["None."]
    head = ["shape", "picked", "where", "cause"]
    lines = [
        [str(i), str(by_shape[i]["auto"]["picked"] or ""), "; ".join(texts), causes.get(i, "not looked into")]
        for i, texts in faults.items()
        if texts
    ]
    return [table(head, lines)]


def _all(
    shapes: dict[int, Shape],
    by_shape: dict[int, dict[str, Row]],
    faults: dict[int, list[str]],
    marks: list[float],
) -> tuple[list[str], list[list[str]]]:
    head = ["shape", "tasks", "blocks", "servers", "couplings", "limits", "what"]
    head += [f"{mark:.3g} s: auto, best" for mark in marks]
    head += ["proof: auto, best", "ended: auto, best", "kept up"]
    lines = []
    for i, given in sorted(shapes.items()):
        instance, runs = given.instance, by_shape[i]
        peers = [row for name, row in runs.items() if name != "auto"]
        line = [str(i), str(instance.task_count), str(instance.max_blocks), str(instance.server_count)]
        line += [", ".join(sorted(given.couplings)) or "none", given.limits, given.kind]
        for n in range(len(marks)):
            best = _best_gap(peers, n)
            other = "-" if best is None else f"{_percent(best[0])} ({best[1]})"
            line.append(f"{_percent(runs['auto'][f'gap_{n}'])}, {other}")
        proofs = [(row["proof_s"], row["method"]) for row in peers if row["proof_s"] is not None]
        first = min(proofs, default=None)
        own = runs["auto"]["proof_s"]
        other = "-" if first is None else f"{first[0]:.2f} ({first[1]})"
        line.append(f"{'-' if own is None else f'{own:.2f}'}, {other}")
        top = max(peers, key=lambda row: RANK.get(row["status"], 0), default=None)
        line.append(f"{runs['auto']['status']}, {'-' if top is None else top['status']}")
        line.append("no" if faults[i] else "yes")
        lines.append(line)
    return head, lines


def _percent(gap: float | None) -> str:
    return "-" if gap is None else f"{100 * gap:.3g}"
