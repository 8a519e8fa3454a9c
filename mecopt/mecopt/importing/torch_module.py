"""Modules of torch as model documents."""

from __future__ import annotations

import hashlib
from typing import Any

from mecopt.errors import InputError
from mecopt.importing.model_document import ModelDocument, Source
from mecopt.importing.onnx_model import document
from mecopt.importing.options import Options
from mecopt.importing.torch_program import exported, need_torch


def import_module(source: Any, example: tuple[Any, ...] | None, options: Options) -> ModelDocument:
    """Read a module or an exported program of torch as a chain of blocks.

    Raises
    ------
    InputError
        If it is neither, or a module comes without example inputs.
    """
    need_torch()
    import torch

    name = options.name or type(source).__name__
    if isinstance(source, torch.nn.Module):
        if example is None:
            raise InputError("example: missing, expected a tuple of the module's inputs")
        arguments = tuple(example) if isinstance(example, (tuple, list)) else (example,)
        training = source.training
        source.eval()
        try:
            model = exported(source, arguments, name)
        finally:
            source.train(training)
    elif isinstance(source, torch.export.ExportedProgram):
        model = exported(source, None, name)
    else:
        expected = "a path, a torch.nn.Module or a torch.export.ExportedProgram"
        raise InputError(f"model: a {type(source).__name__}, expected {expected}")
    sha256 = hashlib.sha256(model.SerializeToString()).hexdigest()
    return document(model, Source("torch", None, sha256, dict(options.dims)), options, name)
