"""Files that hold a graph: ONNX, and programs of torch."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mecopt.files import read_bytes
from mecopt.importing.onnx_file import check_external, need_onnx, parse
from mecopt.importing.torch_program import read_program

if TYPE_CHECKING:
    from onnx import ModelProto


def read(path: str | os.PathLike[str]) -> tuple[ModelProto, str]:
    """Return the model in an ONNX file or a program of torch, and the SHA-256 of the file.

    Large external data stays where it is.

    Raises
    ------
    InputError
        If the file cannot be read, is of neither kind or not whole, or its external data is missing.
    MissingExtraError
        If what reads it is not installed.
    """
    need_onnx()
    data = read_bytes(path)
    model = read_program(str(path)) if is_program(path) else parse(data, str(path))
    check_external(model, Path(path))
    return model, hashlib.sha256(data).hexdigest()


def is_program(path: str | os.PathLike[str]) -> bool:
    """Say whether a file is a program of torch, by its name."""
    return Path(path).suffix.lower() == ".pt2"
