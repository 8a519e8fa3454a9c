"""The layers that networks are written in: how each changes the shape, and what it costs.

A layer is what changes the feature map. What does not (ReLU, dropout, flattening, a pooling that is the
identity at the network's input size) is no layer of its own. Batch normalisation belongs to its convolution:
two parameters a channel, no multiply-adds. Multiply-adds are those of convolutions and linear layers, without
the addition of the bias. Shapes are (channels, height, width), or (values,) behind a linear layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal, Protocol

Shape = tuple[int, ...]


class Layer(Protocol):
    """What the counting needs of a layer; every method takes the shape of the map that enters."""

    @property
    def name(self) -> str:
        """Name of the layer, unique in its network."""

    @property
    def kind(self) -> str:
        """Short description for tables."""

    def output(self, shape: Shape) -> Shape:
        """Return the shape of the feature map behind the layer."""

    def params(self, shape: Shape) -> int:
        """Count the learned parameters."""

    def macs(self, shape: Shape) -> int:
        """Count the multiply-adds of one inference."""


@dataclass(frozen=True)
class Conv:
    """A square convolution, with its batch normalisation where it has one."""

    name: str
    channels: int
    kernel: int
    stride: int = 1
    pad: int = 0
    bias: bool = True
    norm: bool = False

    @property
    def kind(self) -> str:
        """Short description for tables."""
        stride = f" / {self.stride}" if self.stride > 1 else ""
        return f"conv {self.kernel}x{self.kernel}{stride}{' + norm' if self.norm else ''}"

    def output(self, shape: Shape) -> Shape:
        """Return the shape of the feature map behind the layer."""
        _, *sides = shape
        return (self.channels, *((s + 2 * self.pad - self.kernel) // self.stride + 1 for s in sides))

    def params(self, shape: Shape) -> int:
        """Count weights, biases, and scale and shift of the normalisation."""
        return self.channels * (self.kernel**2 * shape[0] + self.bias + 2 * self.norm)

    def macs(self, shape: Shape) -> int:
        """Count one multiply-add for each weight at each position of the output."""
        return prod(self.output(shape)) * self.kernel**2 * shape[0]


@dataclass(frozen=True)
class Pooling:
    """A square maximum or average pooling; `ceil` keeps a last window that only partly fits."""

    name: str
    how: Literal["max", "avg"]
    kernel: int
    stride: int
    ceil: bool = False

    @property
    def kind(self) -> str:
        """Short description for tables."""
        return f"{self.how} pool {self.kernel}x{self.kernel} / {self.stride}{' ceil' if self.ceil else ''}"

    def output(self, shape: Shape) -> Shape:
        """Return the shape of the feature map behind the layer."""
        channels, *sides = shape
        return (channels, *(self._windows(s) for s in sides))

    def _windows(self, side: int) -> int:
        whole = (side - self.kernel) // self.stride + 1
        # One window more when values are left over and it would start inside the map.
        left_over = (side - self.kernel) % self.stride > 0 and whole * self.stride < side
        return whole + (self.ceil and left_over)

    def params(self, shape: Shape) -> int:
        """Return 0: a pooling learns nothing."""
        return 0

    def macs(self, shape: Shape) -> int:
        """Return 0: comparisons and sums are no multiply-adds."""
        return 0


@dataclass(frozen=True)
class Linear:
    """A fully connected layer with bias, on the flattened map."""

    name: str
    values: int

    @property
    def kind(self) -> str:
        """Short description for tables."""
        return "linear"

    def output(self, shape: Shape) -> Shape:
        """Return the shape (values,)."""
        return (self.values,)

    def params(self, shape: Shape) -> int:
        """Count weights and biases."""
        return self.values * (prod(shape) + 1)

    def macs(self, shape: Shape) -> int:
        """Count one multiply-add for each weight."""
        return self.values * prod(shape)


@dataclass(frozen=True)
class Residual:
    """A basic residual unit: two 3x3 convolutions with normalisation beside a shortcut, never cut open.

    The shortcut is option A of He et al. 2015: the identity, subsampled and padded with zero channels where
    the shape changes; it has no parameters and no multiply-adds.
    """

    name: str
    channels: int
    stride: int = 1

    @property
    def kind(self) -> str:
        """Short description for tables."""
        return f"residual 2 x conv 3x3{f' / {self.stride}' if self.stride > 1 else ''}"

    def _convs(self) -> tuple[Conv, Conv]:
        first = Conv(f"{self.name}a", self.channels, 3, self.stride, pad=1, bias=False, norm=True)
        return first, Conv(f"{self.name}b", self.channels, 3, pad=1, bias=False, norm=True)

    def output(self, shape: Shape) -> Shape:
        """Return the shape of the feature map behind the unit."""
        return self._convs()[0].output(shape)

    def params(self, shape: Shape) -> int:
        """Count the parameters of both convolutions."""
        first, second = self._convs()
        return first.params(shape) + second.params(first.output(shape))

    def macs(self, shape: Shape) -> int:
        """Count the multiply-adds of both convolutions."""
        first, second = self._convs()
        return first.macs(shape) + second.macs(first.output(shape))
