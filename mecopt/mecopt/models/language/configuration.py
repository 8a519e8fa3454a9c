"""The configuration of a language model, and the parameters that it comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from mecopt.errors import InputError, shown
from mecopt.scalars import LARGEST_COUNT, whole

Norm = Literal["rms", "layer"]

LEAST = {  # of the fields that are whole numbers
    "layers": 1,
    "hidden": 1,
    "heads": 1,
    "kv_heads": 1,
    "head_dim": 1,
    "intermediate": 1,
    "vocabulary": 1,
    "norms_per_layer": 0,
    "positions": 0,
    "experts": 0,
    "experts_per_token": 0,
}
FLAGS = ("tied", "gated", "qkv_bias", "output_bias", "mlp_bias", "head_bias")
MOST = {"layers": 10_000}  # each becomes a block


@dataclass(frozen=True)
class Configuration:
    """A decoder-only transformer: an embedding, equal layers of attention and MLP, and a head.

    Parameters
    ----------
    layers, hidden, heads, kv_heads, head_dim, intermediate, vocabulary : int
        Layers; values of a token between them; query heads; key and value heads; values of a head; values
        inside the MLP; tokens that there are.
    tied : bool
        The head uses the table of the embedding.
    gated : bool
        The MLP has a gate beside its way up: three matrices rather than two.
    norm : {"rms", "layer"}
        Normalisation: a scale a value, or a scale and a shift.
    norms_per_layer : int
        Normalisations in a layer; one more stands before the head.
    qkv_bias, output_bias, mlp_bias, head_bias : bool
        Which matrices have a bias: queries, keys and values; the attention's output; the MLP; the head.
    positions : int
        Rows of a learned table of positions; 0 where positions are computed.
    experts, experts_per_token : int
        MLPs of a layer and those that a token passes, chosen by a router; 0 for one MLP and no router.
    windows : tuple of int
        Positions that each layer's attention reaches back over, itself included; 0 for all, and () for all
        in every layer.

    Raises
    ------
    InputError
        With a line for every field that is wrong.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool = False
    gated: bool = True
    norm: Norm = "rms"
    norms_per_layer: int = 2
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    head_bias: bool = False
    positions: int = 0
    experts: int = 0
    experts_per_token: int = 0
    windows: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        problems: list[str] = []
        for name, least in LEAST.items():
            try:
                most = MOST.get(name, LARGEST_COUNT)
                object.__setattr__(self, name, whole(name, getattr(self, name), least, most))
            except InputError as error:
                problems += error.problems
        for name in FLAGS:
            if not isinstance(getattr(self, name), bool):
                problems.append(f"{name}: {shown(getattr(self, name))}, expected true or false")
        if self.norm not in get_args(Norm):
            problems.append(f"norm: {shown(self.norm)}, expected one of {', '.join(get_args(Norm))}")
        problems = problems or self._mismatches()
        if problems:
            raise InputError(problems)

    def _mismatches(self) -> list[str]:
        """Return what is wrong between fields that are right by themselves."""
        problems = []
        if self.heads % self.kv_heads:
            problems.append(f"kv_heads: {self.kv_heads}, expected a divisor of the {self.heads} heads")
        if self.experts_per_token > self.experts:
            problems.append(
                f"experts_per_token: {self.experts_per_token}, expected at most the {self.experts} experts"
            )
        if self.experts and not self.experts_per_token:
            problems.append(f"experts_per_token: 0, expected 1 to {self.experts}")
        if self.windows and len(self.windows) != self.layers:
            problems.append(
                f"windows: {len(self.windows)} given, expected one for each of {self.layers} layers"
            )
        for i, window in enumerate(self.windows):
            try:
                whole(f"windows[{i}]", window, 0)
            except InputError as error:
                problems += error.problems
        return problems

    @property
    def query_values(self) -> int:
        """Values of a token's queries over all heads; also what the attention's output matrix takes."""
        return self.heads * self.head_dim

    @property
    def cache_values(self) -> int:
        """Values that a layer keeps of a token: its keys and its values."""
        return 2 * self.kv_heads * self.head_dim

    @property
    def attention_weights(self) -> int:
        """Weights of a layer's four matrices of attention, without biases."""
        return self.hidden * (2 * self.query_values + self.cache_values)

    @property
    def mlp_weights(self) -> int:
        """Weights of one MLP, without biases."""
        return (3 if self.gated else 2) * self.hidden * self.intermediate

    @property
    def mlp_params(self) -> int:
        """Parameters of one MLP."""
        inside = (2 if self.gated else 1) * self.intermediate
        return self.mlp_weights + self.mlp_bias * (inside + self.hidden)

    @property
    def router_weights(self) -> int:
        """Weights of a layer's router, 0 without experts."""
        return self.experts * self.hidden

    @property
    def norm_params(self) -> int:
        """Parameters of one normalisation."""
        return (2 if self.norm == "layer" else 1) * self.hidden

    @property
    def layer_params(self) -> int:
        """Parameters of one layer."""
        return self.layer_params_read(max(1, self.experts))

    def layer_params_read(self, mlps: int) -> int:
        """Parameters of one layer of which so many MLPs are read."""
        biases = self.qkv_bias * (self.query_values + self.cache_values) + self.output_bias * self.hidden
        norms = self.norms_per_layer * self.norm_params
        return self.attention_weights + biases + self.router_weights + mlps * self.mlp_params + norms

    @property
    def table_params(self) -> int:
        """Parameters of the table of tokens; the head's matrix is as large."""
        return self.vocabulary * self.hidden

    @property
    def head_params(self) -> int:
        """Parameters of the head apart from its matrix: the last normalisation, and a bias if it has one."""
        return self.norm_params + self.head_bias * self.vocabulary

    @property
    def params(self) -> int:
        """Parameters of the whole model, a tied table once."""
        tables = self.table_params * (1 if self.tied else 2) + self.positions * self.hidden
        return tables + self.layers * self.layer_params + self.head_params

    @property
    def kv_values_per_token(self) -> int:
        """Values that all layers together keep of a token that no window has dropped."""
        return self.layers * self.cache_values

    def window(self, layer: int) -> int:
        """Positions that a layer (from 0) reaches back over, 0 for all."""
        return self.windows[layer] if self.windows else 0
