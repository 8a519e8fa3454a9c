"""Imports networks with random weights and the ONNX files of published packages; writes reports/import.

    python benchmarks/import_models.py --wheels DIR [--onnx-tool PYTHON]

DIR holds the wheels of `PACKAGES`, by `pip download --no-deps NAME`. PYTHON is that of an environment with
onnx-tool, the independent counter of those files; networks are counted by torch's own.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from common import ROOT, clean_tree, machine, table
from import_networks import NETWORKS

import mecopt
from mecopt.importing import operators, pieces

REPORT = ROOT / "reports" / "import"
SILERO = {"input.0": 1, "input.1": 512, "state.1": 1, "sr": 16000}
# The wheel, its licence, and its files with the dimensions that they leave open.
PACKAGES: dict[str, tuple[str, dict[str, dict[str, int]]]] = {
    "silero_vad": ("MIT", {"silero_vad.onnx": SILERO}),
    "rapidocr_onnxruntime": (
        "Apache-2.0",
        {
            "ch_PP-OCRv4_det_infer.onnx": {
                "p2o.DynamicDimension.0": 1,
                "p2o.DynamicDimension.1": 320,
                "p2o.DynamicDimension.2": 320,
            },
            "ch_PP-OCRv4_rec_infer.onnx": {
                "p2o.DynamicDimension.0": 1,
                "x.2": 48,
                "p2o.DynamicDimension.1": 320,
            },
            "ch_ppocr_mobile_v2.0_cls_infer.onnx": {"x.0": 1, "x.2": 48, "x.3": 192},
        },
    ),
    "magika": ("Apache-2.0", {"model.onnx": {"unk__214": 1}}),
    "basic_pitch": ("Apache-2.0", {"nmp.onnx": {"unk__749": 1}}),
    "ddddocr": (
        "MIT",
        {"common.onnx": {"image_width": 160}, "common_old.onnx": {"image_width": 160}, "common_det.onnx": {}},
    ),
    "nudenet": ("MIT", {"320n.onnx": {"batch": 1, "height": 320, "width": 320}}),
    "openwakeword": (
        "Apache-2.0",
        {"embedding_model.onnx": {"unk__314": 1}, "melspectrogram.onnx": {"batch_size": 1, "samples": 16000}},
    ),
    "piper_tts": (
        "GPL-3.0-or-later",
        {"tashkeel/model.onnx": {"batch": 1, "seq": 64}, "nakdimon.onnx": {"unk__1915": 1, "unk__1916": 64}},
    ),
}
CROSSINGS = (1, 2, 3)
# What onnx-tool is asked for: multiply-adds of the operators that mecopt has formulas for.
ASKED = """
import json, sys, onnx_tool
graph = onnx_tool.Model(sys.argv[1]).graph
graph.shape_infer(None)
graph.profile()
print(json.dumps([[node.op_type, float(node.macs[0])] for node in graph.nodemap.values()]))
"""
MATCHED = (
    "Conv",
    "MatMul",
    "Gemm",
    "ConvInteger",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
)


def flops(net: Any, example: tuple[Any, ...]) -> float:
    """Return the multiply-adds that torch counts; attention as products, since fused it counts nothing."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        net(*example)
    return counter.get_total_flops() / 2


def exported(name: str, folder: Path) -> tuple[Path, float, float]:
    """Write a network as an ONNX file; return it with torch's count of multiply-adds and of parameters."""
    import torch

    torch.manual_seed(0)
    make, inputs = NETWORKS[name]
    net, example = make().eval(), inputs()
    with torch.no_grad():  # so that no two normalisations are the same, which the exporter would join
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 1e-3)
    path = folder / f"{name}.onnx"
    torch.onnx.export(
        net, example, path, dynamo=True, verbose=False, external_data=name in ("BERT-base", "GPT-2")
    )
    return path, flops(net, example), float(sum(p.numel() for p in net.parameters()))


def by_tool(python: str, path: Path, dims: dict[str, int]) -> tuple[float, float] | str:
    """Return what onnx-tool and mecopt count of the kinds that both know, or why the first fails."""
    ready = pieces.prepare(path, dims)
    graph = operators.of_onnx(ready.graph)
    with tempfile.TemporaryDirectory() as folder:
        frozen = Path(folder) / "frozen.onnx"
        frozen.write_bytes(ready.SerializeToString())
        done = subprocess.run([python, "-c", ASKED, str(frozen)], capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stderr.strip().splitlines()[-1][:80]
    theirs = sum(macs for kind, macs in json.loads(done.stdout.splitlines()[-1]) if kind in MATCHED)
    ours = sum(one.macs for one in graph.operators if one.kind in MATCHED)
    shapes = {v.name: v for v in (*ready.graph.value_info, *ready.graph.output)}
    for node in ready.graph.node:  # theirs add one for the bias of each value
        if node.op_type in ("Gemm", "Conv") and len(node.input) > 2 and node.input[2]:
            ours += _values(shapes[node.output[0]])
    return theirs, ours


def _values(value: Any) -> float:
    count = 1
    for dim in value.type.tensor_type.shape.dim:
        count *= dim.dim_value
    return float(count)


def row(name: str, path: Path, dims: dict[str, int]) -> dict[str, Any]:
    """Import a file, and say what came out."""
    start, cpu = time.perf_counter(), time.process_time()
    document = mecopt.import_model(path, dims=dims)
    taken = {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}
    model = document.model
    shares = {}
    for crossing in CROSSINGS:
        cycles = [b.cycles for b in mecopt.import_model(path, dims=dims, crossing=crossing).model.blocks]
        shares[f"largest_{crossing}"] = max(cycles) / sum(cycles)
    return {
        "network": name,
        **taken,
        "blocks": len(model.blocks),
        "macs": sum(block.cycles for block in model.blocks),
        "param_bytes": sum(b.param_bytes for b in model.blocks) + sum(p.bytes for p in model.shared_params),
        **shares,
        **{f"loss_{loss.rate_bps / 1e6:g}": loss.share for loss in document.losses},
        "notes": "; ".join(note for note in document.notes if "external" not in note),
    }


def networks(folder: Path) -> list[dict[str, Any]]:
    rows = []
    for name in NETWORKS:
        path, macs, params = exported(name, folder)
        rows.append({**row(name, path, {}), "source": "random weights", "counter": "torch FlopCounterMode"})
        rows[-1] |= {"counted": macs, "compared": rows[-1]["macs"], "counted_params": params}
        print(name, rows[-1]["macs"], macs, flush=True)
    return rows


def packages(wheels: Path, python: str, folder: Path) -> list[dict[str, Any]]:
    rows = []
    for package, (licence, files) in PACKAGES.items():
        (wheel,) = wheels.glob(f"{package}-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for file, dims in files.items():
                (inside,) = (one for one in archive.namelist() if one.endswith(f"/{file}"))
                path = folder / Path(inside).name
                path.write_bytes(archive.read(inside))
                version = wheel.name.split("-")[1]
                found = row(f"{package}: {Path(file).name}", path, dims)
                found |= {"source": f"{package} {version}, {licence}", "counter": "onnx-tool"}
                counts = by_tool(python, path, dims) if python else "not asked"
                if isinstance(counts, str):
                    found |= {"counted": None, "compared": None, "why": counts}
                else:
                    found |= {"counted": counts[0], "compared": counts[1]}
                rows.append(found)
                print(found["network"], found["macs"], counts, flush=True)
    return rows


def page(rows: list[dict[str, Any]], python: str) -> str:
    def percent(value: float) -> str:
        return f"{value:.2%}"

    def agrees(found: dict[str, Any]) -> str:
        if found["counted"] is None:
            return f"it fails: `{found['why']}`"
        off = found["compared"] / found["counted"] - 1 if found["counted"] else 0.0
        return "equal" if off == 0 else f"{off:+.2e}"

    head = ["network", "from", "seconds", "blocks", "multiply-adds", "independent counter", "the same?"]
    lines = [
        [
            one["network"],
            one["source"],
            f"{one['wall_s']:.2f}",
            str(one["blocks"]),
            f"{one['macs']:,.0f}",
            one["counter"],
            agrees(one),
        ]
        for one in rows
    ]
    rates = (10, 100, 1000)
    cuts = ["network", *(f"{k} tensors" for k in CROSSINGS), *(f"loss at {r} Mbit/s" for r in rates)]
    shares = [
        [
            one["network"],
            *(f"{one[f'largest_{k}']:.0%}" for k in CROSSINGS),
            *(percent(one[f"loss_{rate}"]) for rate in rates),
        ]
        for one in rows
    ]
    notes = [f"- {one['network']}: {one['notes']}" for one in rows if one["notes"]]
    return "\n".join(
        [
            "# Importing networks",
            "",
            "`python benchmarks/import_models.py --wheels DIR --onnx-tool PYTHON`; raw figures are in "
            "import.csv.",
            "",
            *machine("onnx", "onnxruntime", "torch"),
            "",
            "Seconds are wall time of one import in a process that has imported others, reading the file "
            "included; exporting from torch is not. Networks of torch have their published number of "
            "parameters and random weights; every other file is in the wheel of its package. torch counts "
            "by FlopCounterMode, halved, with attention as products. onnx-tool is asked for convolutions and "
            "products of matrices only (it also counts what is element by element); the bias that it "
            "adds is added to ours. It counts transposed convolutions with the zeros between their strides, "
            "and recurrent layers and loops not at all: these are left out on both sides.",
            "",
            table(head, lines),
            "",
            "Largest block's share of the multiply-adds when so many tensors may cross a boundary, and what "
            "the chain (three tensors) loses against the best cut of the graph, a server 8 times as fast:",
            "",
            table(cuts, shares),
            "",
            "What import says of them:",
            "",
            *(notes or ["- nothing"]),
            "",
        ]
    )


def main() -> None:
    given = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    wheels, python = given.get("--wheels"), given.get("--onnx-tool", "")
    REPORT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        rows = networks(Path(folder))
        if wheels:
            rows += packages(Path(wheels), python, Path(folder))
    names = list(dict.fromkeys(key for one in rows for key in one))
    with (REPORT / "import.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    (REPORT / "README.md").write_text(page(rows, python), encoding="utf-8")


if __name__ == "__main__":
    clean_tree()
    main()
