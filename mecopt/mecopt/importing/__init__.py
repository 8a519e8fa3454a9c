"""Models from elsewhere as chains of blocks: ONNX, torch, configurations, tables, what others measured."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mecopt.errors import InputError, InstanceError, shown
from mecopt.importing.options import CROSSING, Options

if TYPE_CHECKING:
    from mecopt.importing.model_document import ModelDocument

ENDINGS = {".onnx": "onnx", ".pt2": "torch", ".json": "config", ".csv": "csv"}
FOREIGN = ("scission", "pipeedge", "msr", "distilp")


def import_model(
    source: Any,
    *,
    kind: str | None = None,
    dims: Mapping[str, int] | None = None,
    name: str | None = None,
    crossing: int = CROSSING,
    blocks: int | None = None,
    cycles_per_mac: float = 1.0,
    example: tuple[Any, ...] | None = None,
) -> ModelDocument:
    """Read a model from elsewhere as a chain of blocks.

    Parameters
    ----------
    source : str, path, torch.nn.Module or torch.export.ExportedProgram
        A file: ONNX (``.onnx``), a program of `torch.export.save` (``.pt2``), a ``config.json`` of Hugging
        Face transformers, a table of blocks (``.csv``); a file or folder of `kind`; or a module of torch.
    kind : {"scission", "pipeedge", "msr", "distilp"}, optional
        Whose measurements the file or folder holds. What it is otherwise, its ending tells.
    dims : mapping of str to int, optional
        Lengths of the dimensions that a graph leaves open, and values of inputs that are one whole number; of
        a configuration ``prefill``, ``decode`` and ``context``, in tokens.
    name : str, optional
        Name of the model, that of the file when not given; which one, where a file holds several.
    crossing : int
        Tensors that may cross a boundary of a graph, at most.
    blocks : int, optional
        Join neighbouring blocks of a graph until so many are left.
    cycles_per_mac : float
        Cycles of one multiply-add, the same on every node.
    example : tuple, optional
        Inputs of a module of torch.

    Returns
    -------
    ModelDocument

    Raises
    ------
    InputError
        If the file cannot be read or is not what it should be, a dimension is left open, or a parameter is
        out of range; the text names the place and what was expected.
    MissingExtraError
        If what reads the file is not installed.

    Examples
    --------
    >>> document = mecopt.import_model("resnet50.onnx", dims={"batch": 1})  # doctest: +SKIP
    >>> document.model.blocks[0].name, document.losses[0].share  # doctest: +SKIP
    ('conv1', 0.0)
    """
    options = Options(dict(dims or {}), name, crossing, blocks, cycles_per_mac)
    try:
        if not isinstance(source, (str, os.PathLike)):
            from mecopt.importing.torch_module import import_module

            return import_module(source, example, options)
        place = os.fspath(source)
        return _read(place, _kind(place, kind), options)
    except InstanceError as error:  # of the entities, which know no file
        raise InputError(error.problems, error.source or str(source)) from None


def _read(place: str, kind: str, options: Options) -> ModelDocument:
    if kind in ("onnx", "torch"):
        from mecopt.importing.onnx_model import import_onnx

        return import_onnx(place, options)
    options.refuse_graph_options(place, dims=kind != "config")
    if kind == "config":
        from mecopt.importing.configured import import_config

        return import_config(place, options)
    if kind == "csv":
        from mecopt.importing.block_table import import_table

        return import_table(place, options.name)
    from mecopt.importing.foreign import import_foreign

    return import_foreign(place, kind, options.name)[0]


def _kind(place: str, kind: str | None) -> str:
    if kind is not None:
        if kind not in FOREIGN:
            raise InputError(f"kind: {shown(kind)}, expected one of {', '.join(FOREIGN)}")
        return kind
    ending = Path(place).suffix.lower()
    if ending in ENDINGS:
        return ENDINGS[ending]
    expected = f"{', '.join(ENDINGS)}, or --from {'|'.join(FOREIGN)}"
    raise InputError(f"ends in {ending or 'nothing'!r}, expected a name that ends in {expected}", place)
