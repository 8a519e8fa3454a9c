"""Plans in the words of other runtimes: parts with a manifest, or layers per node with the lines to paste.

What each runtime takes is from its own documentation (llama.cpp tools/rpc/README.md, prima.cpp README.md, in
November 2026): llama.cpp splits layers in proportions, in the order of its devices, the RPC servers first;
prima.cpp takes a window of layers for each rank of its ring; exo places layers itself and takes no plan.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mecopt.deployment.stages import stretches
from mecopt.errors import InputError
from mecopt.files import write_bytes

if TYPE_CHECKING:
    from mecopt.deployment.whole import WholeModel
    from mecopt.judge import Evaluation

FORMAT = "mecopt-parts/1"
ENDS = ("embedding", "head")  # blocks of a language model that are no layers; runtimes place them themselves


def write_parts(
    judged: Evaluation, task: int, whole: WholeModel, folder: str | os.PathLike[str]
) -> dict[str, Any]:
    """Write every part of a task's model as an ONNX file, and a manifest that says where each runs.

    Returns
    -------
    dict
        The manifest: ``manifest.json`` in the folder.

    Raises
    ------
    InputError
        If the folder cannot be made, or the model file has other blocks than the instance's.
    """
    instance, target = judged.instance, Path(folder)
    model = instance.models[instance.tasks.model[task]]
    whole.check_blocks(model)
    if target.is_dir() and any(target.iterdir()):
        raise InputError("holds files already, expected an empty folder", str(folder))
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be made: {error.strerror}", str(folder)) from None
    rows = []
    for number, one in enumerate(each for each in stretches(judged, task) if each.first >= 0):
        data, name = whole.part(one.first, one.last), f"part{number}.onnx"
        write_bytes(target / name, data)
        rows.append(
            {
                "file": name,
                "sha256": hashlib.sha256(data).hexdigest(),
                "node": one.node,
                "blocks": [model.blocks[m].name for m in range(one.first, one.last + 1)],
                "inputs": whole.crossing(one.first),
                "outputs": whole.crossing(one.last + 1),
                "predicted_transfer_s": one.transfer_s,
                "predicted_calculation_s": one.calculation_s,
            }
        )
    manifest = {
        "format": FORMAT,
        "instance": instance.name,
        "instance_sha256": instance.sha256,
        "task": task,
        "model": model.name,
        "everywhere": list(whole.everywhere),
        "parts": rows,
    }
    write_bytes(
        target / "manifest.json", (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode()
    )
    return manifest


def layers(judged: Evaluation, task: int) -> list[tuple[str, int]]:
    """Return how many layers of a language model run on each node, in the order in which a token passes.

    Raises
    ------
    InputError
        If the plan comes back to a node, which those runtimes cannot do, or has no layers.
    """
    instance = judged.instance
    if judged.dropped[task]:
        raise InputError(f"task {task} is left out by the placement, so there is nothing to hand over")
    model = instance.models[instance.tasks.model[task]]
    blocks = model.blocks
    if not {block.name for block in blocks} >= set(ENDS):
        raise InputError(
            f"model {model.name!r} has no blocks {' and '.join(ENDS)}, expected a language model"
        )
    found = []
    for one in stretches(judged, task):
        if one.first >= 0:
            count = sum(blocks[m].name not in ENDS for m in range(one.first, one.last + 1))
            found += [(one.node, count)] if count else []
    names = [node for node, _ in found]
    if not found:
        raise InputError("the model has no layers beside its embedding and head")
    again = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if again is not None:
        raise InputError(
            f"{again} runs two separate stretches of layers, expected one a node (rules.one_run)"
        )
    return found


def lines(runtime: str, judged: Evaluation, task: int, model: str = "MODEL.gguf") -> list[str]:
    """Return what to paste, with comments where something has to be filled in.

    Parameters
    ----------
    runtime : {"llama.cpp", "exo", "prima"}
    judged : Evaluation
    task : int
    model : str
        The runtime's own file of the model.
    """
    split = layers(judged, task)
    shown = [f"# {node}: {count} layers" for node, count in split]
    if runtime == "exo":
        return [
            *shown,
            "# exo places layers by itself and takes no plan: compare what it chooses",
        ]
    counts = ",".join(str(count) for _, count in split)
    if runtime == "prima":
        return [*shown, *_prima(split, counts, model)]
    return [*shown, *_llama(split, model)]


def _llama(split: list[tuple[str, int]], model: str) -> list[str]:
    """RPC servers come before the local devices, so the main host runs its layers last."""
    remote, here = split[:-1], split[-1]
    total = sum(count for _, count in split)
    address = ",".join(f"{node.upper()}_ADDRESS:50052" for node, _ in remote)
    proportions = ",".join(str(count) for _, count in [*remote, here])
    servers = [f"rpc-server -p 50052    # on {node}, reached by trusted machines only" for node, _ in remote]
    rpc = f" --rpc {address} --tensor-split {proportions}" if remote else ""
    return [*servers, f"llama-cli -m {model} -ngl {total + 1}{rpc}    # on {here[0]}"]


def _prima(split: list[tuple[str, int]], counts: str, model: str) -> list[str]:
    """Every rank names the next one of the ring; the first holds the windows of all."""
    names, found = [node for node, _ in split], []
    for rank, node in enumerate(names):
        after = names[(rank + 1) % len(names)]
        window = f' -lw "{counts}"' if rank == 0 else ""
        found.append(
            f"./llama-cli -m {model} --world {len(names)} --rank {rank} --master {names[0].upper()}_ADDRESS "
            f"--next {after.upper()}_ADDRESS --prefetch{window}    # on {node}"
        )
    return found
