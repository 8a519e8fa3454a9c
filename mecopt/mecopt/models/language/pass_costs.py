"""What a pass of a language model costs, block by block, in parameters, values and multiply-adds.

Multiply-adds are those of matrix products: the projections, scores and weighted sums of the attention, the
MLP, the router and the head. Normalisations, softmax, rotations, activations and biases count nothing, as
in the networks of layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mecopt.models.language.configuration import Configuration


@dataclass(frozen=True)
class PassCounts:
    """Passes of one kind: one of several tokens, or several of one token each.

    Parameters
    ----------
    name : str
        Name of the phase.
    repeat : int
        Number of passes.
    tokens : int
        Tokens of a pass; 1 where there are several passes.
    before : int
        Tokens that the cache holds before the first pass.
    """

    name: str
    repeat: int
    tokens: int
    before: int


@dataclass(frozen=True)
class BlockCount:
    """One block; lists have a value a phase, the mean over its passes.

    Parameters
    ----------
    name : str
        Name of the block: `embedding`, `layer1` and so on, `head`.
    params : int
        Parameters that the block has to itself.
    tied : int
        Parameters of the table that it shares with the other end of the model; 0 if it does not.
    macs : tuple of float
        Multiply-adds of a pass.
    params_read : tuple of int
        Parameters read in a pass of one request.
    input_values : tuple of int
        Values that enter: token ids in front of the embedding, else activations.
    cache_moved : tuple of float
        Keys and values read from or written to the cache in a pass.
    cache_positions : int
        Most positions that the cache keeps; a window is as many at most.
    """

    name: str
    params: int
    tied: int
    macs: tuple[float, ...]
    params_read: tuple[int, ...]
    input_values: tuple[int, ...]
    cache_moved: tuple[float, ...]
    cache_positions: int


def phases(prefill: int, decode: int) -> tuple[PassCounts, ...]:
    """Return the phases of a request: one pass of `prefill` tokens, then `decode` passes of one token."""
    first = PassCounts("prefill", 1, prefill, 0)
    return (first, PassCounts("decode", decode, 1, prefill)) if decode else (first,)


def count(configuration: Configuration, passes: Sequence[PassCounts], context: int) -> tuple[BlockCount, ...]:
    """Count the blocks of a model: the embedding, every layer, the head.

    Parameters
    ----------
    configuration : Configuration
        The model.
    passes : sequence of Phase
        What is run.
    context : int
        Positions that the cache has room for.
    """
    layers = (_layer(configuration, i, passes, context) for i in range(configuration.layers))
    return (_embedding(configuration, passes), *layers, _head(configuration, passes))


def reached(first: int, last: int, window: int) -> int:
    """Return the positions that the tokens at `first` to `last` (from 1) attend to, summed over them.

    A token attends to itself and to those before it, to `window` positions at most (0: to all).
    """
    inside = min(last, window) if window else last
    if first > inside:
        return (last - first + 1) * window
    return (first + inside) * (inside - first + 1) // 2 + (last - inside) * window


def _embedding(c: Configuration, passes: Sequence[PassCounts]) -> BlockCount:
    tables = 2 if c.positions else 1  # of which a pass reads a row a token
    return BlockCount(
        name="embedding",
        params=(0 if c.tied else c.table_params) + c.positions * c.hidden,
        tied=c.table_params if c.tied else 0,
        macs=(0.0,) * len(passes),
        params_read=tuple(tables * phase.tokens * c.hidden for phase in passes),
        input_values=tuple(phase.tokens for phase in passes),
        cache_moved=(0.0,) * len(passes),
        cache_positions=0,
    )


def _layer(c: Configuration, layer: int, passes: Sequence[PassCounts], context: int) -> BlockCount:
    window = c.window(layer)
    return BlockCount(
        name=f"layer{layer + 1}",
        params=c.layer_params,
        tied=0,
        macs=tuple(_layer_macs(c, window, phase) for phase in passes),
        params_read=tuple(c.layer_params_read(_mlps_read(c, phase.tokens)) for phase in passes),
        input_values=tuple(phase.tokens * c.hidden for phase in passes),
        cache_moved=tuple(_cache_moved(c, window, phase) for phase in passes),
        cache_positions=min(context, window) if window else context,
    )


def _layer_macs(c: Configuration, window: int, phase: PassCounts) -> float:
    tokens = phase.repeat * phase.tokens
    used = c.attention_weights + c.router_weights + max(1, c.experts_per_token) * c.mlp_weights
    # A query meets the key of every position that it attends to, and its weight then meets the value.
    attended = 2 * c.query_values * reached(phase.before + 1, phase.before + tokens, window)
    return (tokens * used + attended) / phase.repeat


def _mlps_read(c: Configuration, tokens: int) -> int:
    """Return the MLPs that a pass reads: with experts as many as its tokens can choose between them."""
    return min(c.experts, tokens * c.experts_per_token) if c.experts else 1


def _cache_moved(c: Configuration, window: int, phase: PassCounts) -> float:
    """Return the keys and values that the cache holds behind a pass: the new ones written, others read."""
    first, last = phase.before + phase.tokens, phase.before + phase.repeat * phase.tokens
    return c.cache_values * reached(first, last, window) / phase.repeat


def _head(c: Configuration, passes: Sequence[PassCounts]) -> BlockCount:
    matrix = c.table_params
    return BlockCount(
        name="head",
        params=c.head_params + (0 if c.tied else matrix),
        tied=matrix if c.tied else 0,
        macs=(float(matrix),) * len(passes),  # only the last token of a pass is continued
        params_read=(matrix + c.head_params,) * len(passes),
        input_values=(c.hidden,) * len(passes),
        cache_moved=(0.0,) * len(passes),
        cache_positions=0,
    )
