"""A `config.json` of Hugging Face transformers, read as a configuration; no weights are needed.

What a file leaves out gets the default of the family's own class, where that follows from the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

from mecopt.errors import InputError, shown
from mecopt.models.language.configuration import MOST, Configuration
from mecopt.scalars import LARGEST_COUNT, whole

KEYS = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "intermediate": "intermediate_size",
    "vocabulary": "vocab_size",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
}
GPT2_KEYS = {
    "layers": "n_layer",
    "hidden": "n_embd",
    "heads": "n_head",
    "intermediate": "n_inner",
    "vocabulary": "vocab_size",
    "positions": "n_positions",
}
BIASED = {"qkv_bias": True, "output_bias": True, "mlp_bias": True}
ATTENTION_BIAS = {"qkv_bias": ("attention_bias", False), "output_bias": ("attention_bias", False)}


@dataclass(frozen=True)
class Family:
    """How the configurations of one `model_type` are read.

    Parameters
    ----------
    keys : mapping of str to str
        Field of a configuration: its key in the file.
    fixed : mapping
        Fields that are the same in the whole family.
    flags : mapping of str to (str, bool)
        Field: its key and the default.
    derived : tuple of str
        Fields that may be left out or null: as many key and value heads as heads, `hidden` divided by
        `heads` for `head_dim`, four times `hidden` for `intermediate`.
    windows : {"none", "all", "even", "late"}
        Layers whose attention has a window: by `layer_types` in a file that has it, else none; all; the
        first, third and so on; with `use_sliding_window` those from `max_window_layers` on.
    refused : tuple of str
        Switches that add what is not counted here.
    """

    keys: Mapping[str, str] = field(default_factory=lambda: KEYS)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    flags: Mapping[str, tuple[str, bool]] = field(default_factory=dict)
    derived: tuple[str, ...] = ("head_dim",)
    windows: Literal["none", "all", "even", "late"] = "none"
    refused: tuple[str, ...] = ()


UNTIED = {"tied": ("tie_word_embeddings", False)}
TIED = {"tied": ("tie_word_embeddings", True)}
LAYER_NORM = {"gated": False, "norm": "layer"}
FAMILIES = {
    "llama": Family(
        flags={**UNTIED, **ATTENTION_BIAS, "mlp_bias": ("mlp_bias", False)}, derived=("kv_heads", "head_dim")
    ),
    "mistral": Family(flags=UNTIED, windows="all"),
    "mixtral": Family(
        keys={**KEYS, "experts": "num_local_experts", "experts_per_token": "num_experts_per_tok"},
        flags=UNTIED,
        windows="all",
    ),
    "qwen2": Family(fixed={"qkv_bias": True}, flags=UNTIED, windows="late"),
    "gemma": Family(flags={**TIED, **ATTENTION_BIAS}, derived=()),
    "gemma2": Family(
        fixed={"norms_per_layer": 4}, flags={**TIED, **ATTENTION_BIAS}, derived=(), windows="even"
    ),
    "phi": Family(
        fixed={**LAYER_NORM, **BIASED, "head_bias": True, "norms_per_layer": 1},
        flags=UNTIED,
        derived=("kv_heads", "head_dim"),
        refused=("qk_layernorm",),
    ),
    "phi3": Family(flags=UNTIED, derived=("kv_heads", "head_dim"), windows="all"),
    "gpt2": Family(
        keys=GPT2_KEYS,
        fixed={**LAYER_NORM, **BIASED},
        flags=TIED,
        derived=("intermediate", "kv_heads", "head_dim"),
        refused=("add_cross_attention",),
    ),
    "gpt_neox": Family(
        keys={own: key for own, key in KEYS.items() if own not in ("kv_heads", "head_dim")},
        fixed={**LAYER_NORM, "mlp_bias": True},
        flags={
            **UNTIED,
            "qkv_bias": ("attention_bias", True),
            "output_bias": ("attention_bias", True),
        },
        derived=("kv_heads", "head_dim"),
    ),
}


def configuration(config: Mapping[str, Any]) -> Configuration:
    """Return the configuration that a `config.json` describes.

    Raises
    ------
    InputError
        If its `model_type` is not known, or with a line for every key that is missing or wrong.
    """
    family = _family(config)
    problems: list[str] = []
    numbers = _whole_numbers(config, family, problems)
    flags = {own: _flag(config, key, default, problems) for own, (key, default) in family.flags.items()}
    for key in family.refused:
        if _flag(config, key, False, problems):
            problems.append(f"{key}: true, expected false: what it adds is not counted")
    if not problems:
        _derive(numbers, family, problems)
    windows = () if problems else _windows(config, family, numbers["layers"], problems)
    if problems:
        raise InputError(dict.fromkeys(problems))  # a key may set two fields
    try:
        fields: dict[str, Any] = {**numbers, **flags, **family.fixed, "windows": windows}
        return Configuration(**fields)
    except InputError as error:
        raise InputError([_renamed(problem, family.keys) for problem in error.problems]) from None


def _family(config: Mapping[str, Any]) -> Family:
    kind = config.get("model_type")
    known = ", ".join(FAMILIES)
    if kind is None:
        raise InputError(f"model_type: missing, expected one of {known}")
    if not isinstance(kind, str) or kind not in FAMILIES:
        near = get_close_matches(kind, FAMILIES, n=1) if isinstance(kind, str) else []
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError(f"model_type: {shown(kind)} is not known, expected one of {known}{hint}")
    return FAMILIES[kind]


def _whole_numbers(config: Mapping[str, Any], family: Family, problems: list[str]) -> dict[str, int]:
    """Return the fields that are whole numbers; those that may be derived only where they are given."""
    found = {}
    for own, key in family.keys.items():
        if config.get(key) is None:
            if own not in family.derived:
                problems.append(f"{key}: missing, expected a whole number >= 1")
            continue
        try:
            found[own] = whole(key, config[key], 1, MOST.get(own, LARGEST_COUNT))
        except InputError as error:
            problems += error.problems
    return found


def _flag(config: Mapping[str, Any], key: str, default: bool, problems: list[str]) -> bool:
    value = config.get(key, default)
    if isinstance(value, bool):
        return value
    problems.append(f"{key}: {shown(value)}, expected true or false")
    return default


def _derive(numbers: dict[str, int], family: Family, problems: list[str]) -> None:
    """Fill in what was left out."""
    hidden, heads = numbers["hidden"], numbers["heads"]
    if "head_dim" not in numbers and hidden % heads:
        keys = family.keys
        problems.append(f"{keys['hidden']}: {hidden}, expected a multiple of {keys['heads']}, {heads}")
    numbers.setdefault("head_dim", hidden // heads)
    numbers.setdefault("kv_heads", heads)
    numbers.setdefault("intermediate", 4 * hidden)


def _windows(config: Mapping[str, Any], family: Family, layers: int, problems: list[str]) -> tuple[int, ...]:
    """Return the window of each layer, () where none has one."""
    if family.windows == "none":
        return ()
    if family.windows == "late" and not _flag(config, "use_sliding_window", False, problems):
        return ()
    if family.windows == "even" and "sliding_window" not in config:
        problems.append("sliding_window: missing, expected a whole number >= 1 or null")
    if config.get("sliding_window") is None:
        return ()
    try:
        window = whole("sliding_window", config["sliding_window"], 1)
        if "layer_types" in config:
            return _by_type(config["layer_types"], window, layers)
        first, step = 0, 2 if family.windows == "even" else 1
        if family.windows == "late":
            first = whole("max_window_layers", config.get("max_window_layers"), 0)
    except InputError as error:
        problems += error.problems
        return ()
    return tuple(window if i >= first and i % step == 0 else 0 for i in range(layers))


def _by_type(types: Any, window: int, layers: int) -> tuple[int, ...]:
    sizes = {"sliding_attention": window, "full_attention": 0}
    if not isinstance(types, (list, tuple)) or len(types) != layers:
        raise InputError(f"layer_types: {shown(types)}, expected a list of {layers}, one for each layer")
    for i, kind in enumerate(types):
        if not isinstance(kind, str) or kind not in sizes:
            raise InputError(f"layer_types[{i}]: {shown(kind)}, expected one of {', '.join(sizes)}")
    return tuple(sizes[kind] for kind in types)


def _renamed(problem: str, keys: Mapping[str, str]) -> str:
    """Return a problem with the key of the file in place of the field that begins it."""
    own, colon, rest = problem.partition(":")
    return f"{keys.get(own, own)}{colon}{rest}"
