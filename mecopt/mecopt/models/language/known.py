"""The language models that mecopt ships, and those read from a `config.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from mecopt.errors import InputError
from mecopt.models.language.configuration import Configuration
from mecopt.models.language.hugging_face import configuration
from mecopt.models.unknown import unknown

FOLDER = files("mecopt") / "data" / "language"
ORDER = (  # by family, the smaller first
    "gpt2",
    "tinyllama-1.1b",
    "llama-2-7b",
    "llama-3-8b",
    "llama-3-70b",
    "mistral-7b",
    "mixtral-8x7b",
    "qwen2.5-0.5b",
    "gemma-2b",
    "gemma-2-2b",
    "phi-2",
    "phi-3-mini",
)


@dataclass(frozen=True)
class LanguageModel:
    """A named configuration and where it comes from.

    Parameters
    ----------
    name : str
        Name of the model.
    family : str
        Its `model_type`.
    configuration : Configuration
        What is counted.
    source : str
        Address of the public repository, or the file that was read.
    published_params : int or None
        Parameters as somebody else published them; None where no total to the digit was found.
    published_source : str or None
        Where that is.
    """

    name: str
    family: str
    configuration: Configuration
    source: str
    published_params: int | None = None
    published_source: str | None = None


def names() -> tuple[str, ...]:
    """Return the names of the language models that mecopt ships."""
    return ORDER


@cache
def model(name: str) -> LanguageModel:
    """Return a language model that mecopt ships.

    Raises
    ------
    InputError
        If there is none of that name; the text gives the nearest names.
    """
    if name not in ORDER:
        raise unknown(name, ORDER)
    entry = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    published = entry["published"] or {"params": None, "source": None}
    return LanguageModel(
        name=name,
        family=entry["config"]["model_type"],
        configuration=configuration(entry["config"]),
        source=entry["source"],
        published_params=published["params"],
        published_source=published["source"],
    )


def read(config: Mapping[str, Any] | str | os.PathLike[str], name: str | None = None) -> LanguageModel:
    """Read a `config.json` of Hugging Face transformers.

    Parameters
    ----------
    config : mapping, str or path
        Its content, or the file.
    name : str, optional
        Name of the model. When not given: a file's name without its ending, that of its folder if the file
        is called `config.json`; of a mapping its `model_type`.

    Raises
    ------
    InputError
        If the file cannot be read or is not JSON, its `model_type` is not known, or with a line for every
        key that is missing or wrong.
    """
    if isinstance(config, Mapping):
        return LanguageModel(name or str(config.get("model_type")), *_counted(config), source="a mapping")
    path = Path(config)
    try:
        family, counted = _counted(_content(path))
    except InputError as error:
        raise InputError(error.problems, str(path)) from None
    own = path.resolve().parent.name if path.name == "config.json" else path.stem
    return LanguageModel(name or own or family, family, counted, source=str(path))


def _counted(config: Mapping[str, Any]) -> tuple[str, Configuration]:
    counted = configuration(config)
    return config["model_type"], counted


def _content(path: Path) -> Mapping[str, Any]:
    from pydantic import TypeAdapter  # late: shipped models need no validation

    from mecopt.files import read_bytes
    from mecopt.repeated import repeated_keys
    from mecopt.schema import parse

    try:
        data = read_bytes(path)
    except InputError as error:  # which names the file already
        raise InputError(error.problems) from None
    content: dict[str, Any] = parse(TypeAdapter(dict[str, Any]), data)
    repeated = repeated_keys(data, content)
    if repeated:
        raise InputError(repeated)
    return content
