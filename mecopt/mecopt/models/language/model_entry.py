"""A language model as an entry for the `models` of an instance file: its blocks, phases and state."""

from __future__ import annotations

from typing import Any, Literal, get_args

from mecopt.errors import InputError, shown
from mecopt.models.language.configuration import Configuration
from mecopt.models.language.known import LanguageModel
from mecopt.models.language.pass_costs import BlockCount, count, phases
from mecopt.scalars import scalar, whole

Output = Literal["token", "logits"]

TOKEN_BITS = 32  # a token's number
TABLE = "embedding table"  # what the ends of a tied model share
MOST_TOKENS = 10**9  # of a prompt, of passes, of a cache
MOST_BITS = 64
MOST_CYCLES = 1e9  # of a multiply-add


def document(
    model: LanguageModel,
    *,
    prefill: int = 512,
    decode: int = 200,
    context: int | None = None,
    bits_per_weight: float = 16,
    kv_bits: float = 16,
    activation_bits: float = 16,
    cycles_per_mac: float = 1.0,
    output: Output = "token",
    name: str | None = None,
) -> dict[str, Any]:
    """Return a language model as an entry for the `models` of an instance file.

    The blocks are the embedding, each layer, and the head; the phases `prefill`, one pass over the prompt,
    and `decode`, a pass for each further token. What grows from pass to pass (the cache that is read, and the
    work of attention with it) is the mean over the passes of its phase, so sums over a phase are exact.

    Parameters
    ----------
    model : LanguageModel
        From `mecopt.models.language.model` or `read`.
    prefill : int
        Tokens of the prompt, at least 1; its pass also gives the first new token.
    decode : int
        Passes that follow, each of which takes the newest token and gives the next; 0 leaves the phase out.
    context : int, optional
        Positions that the cache has room for; `prefill + decode` when not given.
    bits_per_weight : float
        Bits of a parameter, of whatever kind; 4.5, say, for four bits and their scales.
    kv_bits : float
        Bits of a value in the cache.
    activation_bits : float
        Bits of a value between two blocks, and of a logit.
    cycles_per_mac : float
        Cycles of one multiply-add, the same on every node.
    output : {"token", "logits"}
        What leaves the head in each pass: the number of the token chosen there, or a value a token of the
        vocabulary.
    name : str, optional
        Name of the entry, that of the model when not given.

    Returns
    -------
    dict
        Plain values. Lists have one value a phase, for one pass.

    Raises
    ------
    InputError
        If a parameter is out of range.
    """
    prefill = whole("prefill", prefill, 1, MOST_TOKENS)
    decode = whole("decode", decode, 0, MOST_TOKENS)
    context = _context(model, prefill + decode, context)
    weight_bytes = _positive("bits_per_weight", bits_per_weight, MOST_BITS) / 8
    kv_bytes = _positive("kv_bits", kv_bits, MOST_BITS) / 8
    value_bits = _positive("activation_bits", activation_bits, MOST_BITS)
    cycles = _positive("cycles_per_mac", cycles_per_mac, MOST_CYCLES)
    if output not in get_args(Output):
        raise InputError(f"output: {shown(output)}, expected one of {', '.join(get_args(Output))}")
    passes = phases(prefill, decode)
    output_bits = TOKEN_BITS if output == "token" else value_bits * model.configuration.vocabulary
    return {
        "name": name or model.name,
        "phases": [{"name": phase.name, "repeat": phase.repeat} for phase in passes],
        "output_bits": [float(output_bits)] * len(passes),
        "blocks": [
            {
                "name": block.name,
                "cycles": [cycles * macs for macs in block.macs],
                "input_bits": _input_bits(block, value_bits),
                "param_bytes": weight_bytes * block.params,
                "read_bytes": [weight_bytes * params for params in block.params_read],
                "state_bytes": kv_bytes * model.configuration.cache_values * block.cache_positions,
                "state_read_bytes": [kv_bytes * values for values in block.cache_moved],
            }
            for block in count(model.configuration, passes, context)
        ],
        "shared_params": _shared(model.configuration, weight_bytes),
    }


def _input_bits(block: BlockCount, value_bits: float) -> list[float]:
    bits = TOKEN_BITS if block.name == "embedding" else value_bits
    return [float(bits * values) for values in block.input_values]


def _shared(configuration: Configuration, weight_bytes: float) -> list[dict[str, Any]]:
    """Return the table that both ends of a tied model hold, once where they lie on one node."""
    if not configuration.tied:
        return []
    size = weight_bytes * configuration.table_params
    return [{"name": TABLE, "bytes": size, "blocks": ["embedding", "head"]}]


def _context(model: LanguageModel, tokens: int, context: int | None) -> int:
    """Return the positions of the cache, checked against the tokens and the table of positions."""
    room = tokens if context is None else whole("context", context, 1, MOST_TOKENS)
    if room < tokens:
        raise InputError(f"context: {room}, expected at least the {tokens} tokens of prefill and decode")
    rows = model.configuration.positions
    if rows and room > rows:
        place = "prefill + decode" if context is None else "context"
        raise InputError(
            f"{place}: {room}, expected at most {rows}, the positions that {model.name} has learned"
        )
    return room


def _positive(name: str, value: float, most: float) -> float:
    found = scalar(value)
    if found is None or not 0 < found <= most:
        raise InputError(f"{name}: {shown(value)}, expected a number > 0 and at most {most:g}")
    return float(found)
