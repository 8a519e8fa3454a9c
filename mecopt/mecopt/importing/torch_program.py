"""Programs of torch, read safely and exported to ONNX in memory."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mecopt.errors import InputError, MecoptError, MissingExtraError, said, shown
from mecopt.importing.onnx_file import need_onnx

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch.export import ExportedProgram

OBJECTS = ("custom_obj", "opaque_obj")  # names of objects that torch reads with pickle


def need_torch() -> None:
    """Say how to install what reading torch needs, if it is not there."""
    need_onnx()
    if find_spec("torch") is None:
        raise MissingExtraError("reading a program of torch", "rl,onnx")
    if find_spec("onnxscript") is None:
        raise MissingExtraError("exporting a program of torch (onnxscript)", "onnx")


def read_program(path: str) -> ModelProto:
    """Return a program that `torch.export.save` wrote as an ONNX model."""
    return exported(load(path), None, path)


def load(path: str) -> ExportedProgram:
    """Return a program that `torch.export.save` wrote; nothing in the file is run.

    Raises
    ------
    InputError
        If the file is no such program, or holds objects that only code of its own could read.
    MissingExtraError
        If torch or what exports its programs is not installed.
    """
    need_torch()
    _refuse_objects(path)
    import torch

    with quiet(), _only_weights():
        try:
            return torch.export.load(path)
        except Exception as error:  # torch has no common base for what is wrong with a file
            raise InputError(f"not a program of torch.export.save ({said(error)})", path) from None


def _refuse_objects(path: str) -> None:
    """Refuse a file with objects that only code of its own could make again."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [Path(name).name for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile):
        raise InputError("not a program of torch.export.save", path) from None
    for name in names:
        if name.startswith(OBJECTS):
            raise InputError(f"holds {shown(name)}, an object that only code of its own could read", path)


@contextmanager
def _only_weights() -> Iterator[None]:
    """Have torch read tensors and nothing else, so that no file runs code."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def exported(source: Any, example: tuple[Any, ...] | None, place: str) -> ModelProto:
    """Return a module or program of torch as an ONNX model."""
    import torch

    with quiet():
        try:
            exported = torch.onnx.export(source, example or (), dynamo=True, verbose=False)
        except Exception as error:
            raise MecoptError(f"{place}: torch does not export it to ONNX ({said(error)})") from None
    model: ModelProto = exported.model_proto  # type: ignore[union-attr]
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporter's warnings of its own workings to itself."""
    import logging

    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
