"""A network with every layer counted, and the segments that it is cut into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from numbers import Integral

from mecopt.errors import InputError
from mecopt.models.cut import cut
from mecopt.models.layers import Layer, Shape


@dataclass(frozen=True)
class LayerRow:
    """One counted layer: the shape behind it, its parameters, its multiply-adds for one inference."""

    name: str
    kind: str
    output_shape: Shape  # (channels, height, width), or (values,) behind a linear layer
    params: int
    macs: int

    @property
    def output_values(self) -> int:
        """Number of values of the feature map behind the layer."""
        return prod(self.output_shape)


@dataclass(frozen=True)
class Segment:
    """Consecutive layers that form one block: layers[first:last] of the network."""

    name: str
    first: int
    last: int
    params: int
    macs: int
    input_values: int  # of the feature map that enters
    output_values: int  # of the feature map behind the last layer


@dataclass(frozen=True)
class Network:
    """A counted network.

    Parameters
    ----------
    name : str
        Name under which `network` finds it.
    input_shape : tuple of int
        (channels, height, width) of the raw input.
    layers : tuple of LayerRow
        The layers in order; a residual unit is one of them.
    source : str
        Address of the published layer list.
    six : tuple of int or None
        Where the cut into six blocks is given: positions p, a cut lying in front of layers[p].
    """

    name: str
    input_shape: Shape
    layers: tuple[LayerRow, ...]
    source: str
    six: tuple[int, ...] | None = None

    @classmethod
    def of(
        cls,
        name: str,
        input_shape: Shape,
        layers: Sequence[Layer],
        source: str,
        six: Sequence[str] = (),
    ) -> Network:
        """Count a list of layers; `six` names the last layers of the first five of six blocks."""
        shape, rows = input_shape, []
        for layer in layers:
            output = layer.output(shape)
            rows.append(LayerRow(layer.name, layer.kind, output, layer.params(shape), layer.macs(shape)))
            shape = output
        behind = {row.name: p for p, row in enumerate(rows, 1)}
        points = tuple(behind[last] for last in six)
        return cls(name, input_shape, tuple(rows), source, points or None)

    @property
    def params(self) -> int:
        """Number of parameters of all layers."""
        return sum(row.params for row in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds of one inference."""
        return sum(row.macs for row in self.layers)

    @property
    def input_values(self) -> int:
        """Number of values of the raw input."""
        return prod(self.input_shape)

    @property
    def output_values(self) -> int:
        """Number of values of the result: the classes."""
        return self.layers[-1].output_values

    @property
    def max_blocks(self) -> int:
        """Largest number of blocks: one for each layer."""
        return len(self.layers)

    def segments(self, blocks: int = 6) -> tuple[Segment, ...]:
        """Cut the network into blocks at layer boundaries by the rule of `mecopt.models.cut`.

        Parameters
        ----------
        blocks : int
            Number of blocks M, from 1 to `max_blocks`.

        Raises
        ------
        InputError
            If `blocks` is out of that range; the text names the range.
        """
        if not isinstance(blocks, Integral) or not 1 <= blocks <= self.max_blocks:
            expected = f"a whole number from 1 to {self.max_blocks}"
            raise InputError(f"blocks: {blocks!r}, expected {expected} for {self.name}")
        values = self._entering()
        points = cut(tuple(row.macs for row in self.layers), values[:-1], blocks, self.six)
        return tuple(self._segment(first, last) for first, last in pairwise((0, *points, len(self.layers))))

    def _entering(self) -> tuple[int, ...]:
        return (self.input_values, *(row.output_values for row in self.layers))

    def _segment(self, first: int, last: int) -> Segment:
        rows, values = self.layers[first:last], self._entering()
        joint = {1: "", 2: "+"}.get(len(rows), "..")
        return Segment(
            name=joint.join(dict.fromkeys((rows[0].name, rows[-1].name))),
            first=first,
            last=last,
            params=sum(row.params for row in rows),
            macs=sum(row.macs for row in rows),
            input_values=values[first],
            output_values=values[last],
        )
