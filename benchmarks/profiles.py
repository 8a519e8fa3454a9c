"""Profiles against what is measured afterwards, and estimates against profiles, on eight networks.

Run: ``python benchmarks/profiles.py [--quick] [--apart SECONDS] [NETWORK ...]``; writes reports/profile/. For
figures worth keeping the machine has to be idle; the page says how busy it was. `--quick` repeats less and
waits for nothing.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import ROOT, clean_tree, machine, table
from import_networks import NETWORKS, image
from torch import nn

import mecopt
from mecopt.importing import torch_program
from mecopt.importing.model_document import ModelDocument
from mecopt.profiling import calibration, measuring, roofline, surroundings
from mecopt.profiling.divisions import Stretch, division
from mecopt.profiling.fitting import Fit
from mecopt.profiling.profile_document import ProfileDoc, TimesDoc
from mecopt.profiling.timing import time_divisions

OUT = ROOT / "reports" / "profile"
BLOCKS = 16
DIVISIONS = 10
MOST_PIECES = 8


def alexnet() -> nn.Module:
    """AlexNet as torchvision has it: its dense layers read 235 MB."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    layers += [nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    for inputs, outputs in ((192, 384), (384, 256), (256, 256)):
        layers += [nn.Conv2d(inputs, outputs, 3, 1, 1), nn.ReLU()]
    layers += [nn.MaxPool2d(3, 2), nn.Flatten()]
    for inputs, outputs in ((9216, 4096), (4096, 4096)):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(4096, 1000))


SUBJECTS = {**NETWORKS, "AlexNet": (alexnet, lambda: image(224))}


def save(name: str, folder: Path) -> Path:
    """Write a network as ``NAME.onnx``, unless it is there; return the file."""
    path = folder / f"{name}.onnx"
    if not path.exists():
        torch.manual_seed(0)
        make, inputs = SUBJECTS[name]
        with warnings.catch_warnings(), torch_program.quiet():
            warnings.simplefilter("ignore")
            module = make().eval()
            torch.onnx.export(module, inputs(), str(path), dynamo=True, external_data=False, verbose=False)
    return path


@dataclass
class Outcome:
    """What was found of a network."""

    name: str
    model: ModelDocument
    first: ProfileDoc
    guess: ProfileDoc
    speed: float  # multiply-adds a second, for the estimate that knows nothing else
    errors: list[float] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    second: ProfileDoc | None = None
    begun: float = 0.0

    @property
    def whole(self) -> TimesDoc:
        """The times of the whole, in the first profile."""
        assert self.first.whole is not None
        assert self.first.whole.measured is not None
        return self.first.whole.measured

    @property
    def wall_s(self) -> float:
        """The median by the wall."""
        assert self.first.whole is not None
        return self.first.whole.wall_s or self.whole.median_s

    @property
    def blocks(self) -> list[dict[str, Any]]:
        """A row for each block."""
        pairs = zip(self.first.blocks, self.guess.blocks, self.model.model.blocks, strict=True)
        again = self.second.blocks if self.second else [None] * len(self.first.blocks)
        return [
            {
                "network": self.name,
                "block": measured.name,
                "multiply_adds": block.cycles,
                "seconds": measured.seconds,
                "start_seconds": measured.start_seconds,
                "alone_s": measured.alone.median_s if measured.alone else None,
                "alone_again_s": other.alone.median_s if other and other.alone else None,
                "estimate_s": guess.seconds + guess.start_seconds,
                "cycles_over_speed_s": float(block.cycles) / self.speed,  # type: ignore[arg-type]
            }
            for (measured, guess, block), other in zip(pairs, again, strict=True)
        ]


def random_divisions(blocks: int, seed: int) -> list[list[Stretch]]:
    """Return divisions that no fit has seen, unless by chance."""
    draw = np.random.default_rng(seed)
    counts = draw.integers(2, min(MOST_PIECES, blocks) + 1, DIVISIONS)
    return [
        division(blocks, draw.choice(np.arange(1, blocks), n - 1, replace=False).tolist()) for n in counts
    ]


def profiled(model: ModelDocument, path: Path, repeat: int) -> tuple[ProfileDoc, measuring.Runner]:
    ready = measuring.runner(model, str(path), "onnxruntime")
    return measuring.measure(model, ready, hardware="here", repeat=repeat), ready


def measured_divisions(outcome: Outcome, ready: measuring.Runner, repeat: int) -> None:
    """Run random divisions, each piece a session, and compare with what the profile says of them."""
    blocks = outcome.first.blocks
    fit = Fit(np.array([b.seconds for b in blocks]), np.array([b.start_seconds for b in blocks]))
    parts = [[(0, len(blocks) - 1)], *random_divisions(len(blocks), seed=len(outcome.name))]
    _, clock = surroundings.clock(1)
    with surroundings.pinned(1):
        for i, part in enumerate(parts):
            pieces = [ready.piece(stretch, 1) for stretch in part]
            (times,) = time_divisions(
                [(part, pieces)], dict(ready.values), repeat=repeat, idle_s=0.0, clock=clock
            )
            seconds = float(np.median(np.sum([t.counted for t in times], axis=0)))
            error = fit.of_all(part) / seconds - 1.0
            outcome.errors.append(error)
            begins = " ".join(str(first) for first, _ in part)
            row = {"network": outcome.name, "division": i, "begins": begins, "measured_s": seconds}
            outcome.rows.append({**row, "predicted_s": fit.of_all(part), "error": error})


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("networks", nargs="*", choices=[*SUBJECTS, []])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--apart", type=float, default=600.0, help="seconds between two profiles of a network"
    )
    parser.add_argument("--files", type=Path, help="folder that keeps the networks' files")
    args = parser.parse_args()
    repeat, apart = (2, 0.0) if args.quick else (7, args.apart)
    constants = calibration.calibrate("here", repeat=repeat)
    assert constants.constants is not None
    speed = 1.0 / constants.constants["conv3x3"].seconds_per_operation
    outcomes = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.files or Path(temporary)
        for name in args.networks or SUBJECTS:
            path = save(name, folder)
            model = mecopt.import_model(path)
            if len(model.model.blocks) > BLOCKS:
                model = mecopt.import_model(path, blocks=BLOCKS)
            begun = time.perf_counter()
            first, ready = profiled(model, path, repeat)
            guess = roofline.estimate(model, str(path), constants, "constants")
            outcomes.append(Outcome(name, model, first, guess, speed, begun=begun))
            measured_divisions(outcomes[-1], ready, repeat)
            print(f"{name}: {errors_text(outcomes[-1].errors)}", flush=True)
        write(outcomes, constants, args.quick, apart)  # in case that the second profiles are not waited for
        for outcome in outcomes:
            time.sleep(max(0.0, outcome.begun + apart - time.perf_counter()))
            outcome.second, _ = profiled(outcome.model, folder / f"{outcome.name}.onnx", repeat)
    write(outcomes, constants, args.quick, apart)


def errors_text(errors: list[float]) -> str:
    return f"{statistics.median(map(abs, errors)):.1%}, worst {max(errors, key=abs):+.1%}"


def relative(rows: list[dict[str, Any]], found: str, true: str = "alone_s") -> list[float]:
    return [row[found] / row[true] - 1.0 for row in rows]


def write(outcomes: list[Outcome], constants: ProfileDoc, quick: bool, apart: float) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    named = "" if len(outcomes) == len(SUBJECTS) else "".join(f" {o.name}" for o in outcomes)
    blocks = [row for outcome in outcomes for row in outcome.blocks]
    for name, rows in (("blocks", blocks), ("divisions", [row for o in outcomes for row in o.rows])):
        with (OUT / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    page = [
        "# Profiles and estimates",
        "",
        f"`python benchmarks/profiles.py{' --quick' if quick else ''}{named}`; random weights, up to "
        f"{BLOCKS} blocks by `mecopt import`, onnxruntime, one thread, CPU seconds of that thread. Raw "
        "figures: `blocks.csv`, `divisions.csv`.",
        "",
        *busy(outcomes),
        "",
        *_profiles(outcomes, apart),
        *_estimates(outcomes),
        *_block_by_block(outcomes),
        "## Machine",
        "",
        *machine("numpy", "onnx", "onnxruntime", "torch"),
        f"- governor {constants.machine.governor or 'not told by the system'}",
    ]
    (OUT / "README.md").write_text("\n".join(page) + "\n")
    print("\n".join(page))


def busy(outcomes: list[Outcome]) -> list[str]:
    """Say how busy the machine was."""
    loads = [o.first.machine.load_before for o in outcomes if o.first.machine.load_before is not None]
    waits = [1 - o.whole.median_s / o.wall_s for o in outcomes]
    if not loads:
        return []
    found = f"Load a core while it was measured: {min(loads):.1f} to {max(loads):.1f}; the runtime waited for"
    return [
        f"{found} a core {min(waits):.0%} to {max(waits):.0%} of the time. Above a load of 0.6 others "
        "disturb caches and memory, and the figures are theirs too."
    ]


def _profiles(outcomes: list[Outcome], apart: float) -> list[str]:
    rows = []
    for o in outcomes:
        again = [] if o.second is None else [abs(e) for e in relative(o.blocks, "alone_again_s")]
        assert o.first.steadiness is not None
        rows.append([
            o.name,
            str(len(o.first.blocks)),
            f"{o.whole.median_s * 1e3:.1f}",
            f"{sum(r['alone_s'] for r in o.blocks) / o.whole.median_s - 1:+.1%}",
            f"{o.errors[0]:+.1%}",
            f"{statistics.median(map(abs, o.errors[1:])):.1%}",
            f"{max(o.errors[1:], key=abs):+.1%}",
            f"{statistics.median(again):.1%}" if again else "",
            o.first.steadiness.verdict,
        ])  # fmt: skip
    errors = [abs(e) for o in outcomes for e in o.errors]
    return [
        "## Predicted against measured",
        "",
        f"The whole and {DIVISIONS} random divisions into 2 to {MOST_PIECES} pieces, each piece a session, "
        f"measured after the profile. All: median error {statistics.median(errors):.1%}, worst "
        f"{max(errors):.1%}. "
        f"*Again*: blocks alone in a second profile, {f'{apart:g} s later' if apart else 'after all'}"
        " (median difference).",
        "",
        table(
            ["network", "blocks", "whole [ms]", "sum of blocks alone", "whole predicted", "divisions, median",
             "divisions, worst", "again", "verdict"],
            rows,
        ),
        "",
    ]  # fmt: skip


def _estimates(outcomes: list[Outcome]) -> list[str]:
    rows, medians = [], []
    for o in outcomes:
        sums = [sum(r[name] for r in o.blocks) for name in ("cycles_over_speed_s",)]
        mine = statistics.median(map(abs, relative(o.blocks, "estimate_s")))
        medians.append(mine)
        rows.append([
            o.name, f"{mine:.1%}",
            f"{max(relative(o.blocks, 'estimate_s'), key=abs):+.0%}",
            f"{sum(b.seconds for b in o.guess.blocks) / o.whole.median_s - 1:+.1%}",
            f"{statistics.median(map(abs, relative(o.blocks, 'cycles_over_speed_s'))):.1%}",
            f"{sums[0] / o.whole.median_s - 1:+.1%}",
        ])  # fmt: skip
    return [
        "## Estimates, nothing of the network being run",
        "",
        "Constants of `mecopt profile --calibrate` against blocks run alone, and their sum against the "
        "whole; beside it multiply-adds over one speed, that of 3x3 convolutions.",
        "",
        table(
            ["network", "block, median", "block, worst", "whole", "cycles / speed: block, median", "whole"],
            rows,
        ),
        "",
    ]


def _block_by_block(outcomes: list[Outcome]) -> list[str]:
    lines = ["## Block by block", "", "Milliseconds of a block alone, and how far the estimates are off.", ""]
    for o in outcomes:
        rows = [
            [row["block"], f"{row['alone_s'] * 1e3:.3f}", f"{a:+.0%}", f"{b:+.0%}"]
            for row, a, b in zip(
                o.blocks,
                relative(o.blocks, "estimate_s"),
                relative(o.blocks, "cycles_over_speed_s"),
                strict=True,
            )
        ]
        lines += [
            f"### {o.name}",
            "",
            table(["block", "measured [ms]", "estimate", "cycles / speed"], rows),
            "",
        ]
    return lines


if __name__ == "__main__":
    clean_tree()
    main()
