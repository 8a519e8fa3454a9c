"""AlexNet, NiN, VGG16 and ResNet32 as chains of blocks, counted from their layers.

Language models are in `mecopt.models.language`.

>>> from mecopt import models
>>> models.network("vgg16-cifar10").macs
313201664
>>> [block.name for block in models.chain("alexnet-224").blocks]
['conv1+pool1', 'conv2+pool2', 'conv3', 'conv4', 'conv5+pool5', 'fc6..fc8']
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Literal

from mecopt.errors import InputError
from mecopt.models.network import LayerRow, Network, Segment
from mecopt.models.unknown import unknown
from mecopt.models.zoo import ZOO

if TYPE_CHECKING:
    from mecopt.entities import Model

__all__ = ["LayerRow", "Network", "Segment", "chain", "names", "network"]

INPUT_BYTES = {"float32": 4, "uint8": 1}  # per value of the raw input


def names() -> tuple[str, ...]:
    """Return the names of the networks that mecopt counts."""
    return tuple(ZOO)


def network(name: str) -> Network:
    """Return a counted network.

    Raises
    ------
    InputError
        If there is none of that name; the text gives the nearest names.
    """
    if name not in ZOO:
        raise unknown(name, ZOO)
    return ZOO[name]()


def chain(
    name: str,
    blocks: int = 6,
    *,
    cycles_per_mac: float = 1.0,
    bytes_per_value: float = 4,
    input: Literal["float32", "uint8"] | int = "float32",
    model_name: str | None = None,
) -> Model:
    """Cut a network into blocks and return it as a model of an instance.

    Parameters
    ----------
    name : str
        One of `names()`.
    blocks : int
        Number of blocks M, from 1 to `network(name).max_blocks`.
    cycles_per_mac : float
        Cycles of one multiply-add, the same on every node: c_m = cycles_per_mac * multiply-adds.
    bytes_per_value : float
        Bytes of a parameter and of a value of a feature map between two blocks; 4 is float32.
    input : {"float32", "uint8"} or int
        What enters the first block: 4 bytes a value, 1 byte a value, or that many bytes in all (a compressed
        image, say). Does not depend on `bytes_per_value`.
    model_name : str, optional
        Name of the model, `name` when not given.

    Returns
    -------
    mecopt.entities.Model
        Blocks with cycles, input bits and parameter bytes; `output_bits` for one value a class.

    Raises
    ------
    InputError
        If the network is not known, or a parameter is out of range.
    """
    from mecopt.entities import Block, Model  # late: numpy is not needed to count

    counted = network(name)
    for place, value in (("cycles_per_mac", cycles_per_mac), ("bytes_per_value", bytes_per_value)):
        if not (isfinite(value) and value > 0):
            raise InputError(f"{place}: {value}, expected a number > 0")
    raw_bits = 8.0 * _input_bytes(counted, input)
    value_bits = 8.0 * bytes_per_value
    return Model(
        name=model_name or name,
        blocks=tuple(
            Block(
                cycles=float(cycles_per_mac * segment.macs),
                input_bits=value_bits * segment.input_values if segment.first else raw_bits,
                param_bytes=float(bytes_per_value * segment.params),
                name=segment.name,
            )
            for segment in counted.segments(blocks)
        ),
        output_bits=value_bits * counted.output_values,
    )


def _input_bytes(counted: Network, encoding: str | int) -> int:
    if isinstance(encoding, str) and encoding in INPUT_BYTES:
        return INPUT_BYTES[encoding] * counted.input_values
    if isinstance(encoding, int) and encoding > 0:
        return encoding
    raise InputError(f"input: {encoding!r}, expected {', '.join(INPUT_BYTES)} or a whole number of bytes > 0")
