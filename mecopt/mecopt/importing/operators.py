"""A graph of operators as plain data: what each reads, writes and costs, in an order that can be run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mecopt.importing import counting, shapes
from mecopt.importing.onnx_file import bodies, element_bits, size, tensors, used

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto


@dataclass(frozen=True)
class Operator:
    """One operator.

    Parameters
    ----------
    name : str
    kind : str
        Such as ``Conv``.
    inputs, outputs : tuple of str
        Tensors that it reads, parameters left out, and writes.
    params : tuple of str
        Parameters that it reads.
    macs : float
        Multiply-adds.
    param_read_bytes, moved_bytes : float
        Bytes that it reads of its parameters; those of other tensors that it reads and writes.
    unknown : str, optional
        Kind of the operator that no formula knows.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: tuple[str, ...]
    macs: float
    param_read_bytes: float
    moved_bytes: float
    unknown: str | None = None


@dataclass(frozen=True)
class OperatorGraph:
    """Operators in an order in which they can run.

    Parameters
    ----------
    operators : tuple of Operator
    bits : mapping of str to float
        Size of every tensor that could cross a boundary; sequences and the like are not in it.
    params : mapping of str to int
        Bytes of every parameter.
    inputs, outputs : tuple of str
        Inputs that nothing reads are left out: they need not be sent.
    """

    operators: tuple[Operator, ...]
    bits: Mapping[str, float]
    params: Mapping[str, int]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def macs(self) -> float:
        """Multiply-adds of all operators."""
        return sum(operator.macs for operator in self.operators)


def of_onnx(graph: GraphProto) -> OperatorGraph:
    """Return a prepared graph as plain data."""
    have = shapes.known(graph)
    params = {tensor.name: size(tensor) for tensor in graph.initializer}
    for node in graph.node:
        params |= _inside(node)
    bits = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.name in have and value.type.HasField("tensor_type"):
            bits[value.name] = math.prod(have[value.name]) * element_bits(value.type.tensor_type.elem_type)
    wholes = shapes.whole_numbers(graph)
    operators = tuple(_operator(node, have, bits, params, wholes) for node in graph.node)
    outputs = tuple(value.name for value in graph.output)
    needed = {name for operator in operators for name in operator.inputs} | set(outputs)
    return OperatorGraph(
        operators=operators,
        bits=bits,
        params=params,
        inputs=tuple(value.name for value in graph.input if value.name in needed),
        outputs=outputs,
    )


def _inside(node: NodeProto) -> dict[str, int]:
    """Return the parameters that the bodies of a node have to themselves."""
    parts = [tensor for body in bodies(node) for tensor in tensors(body)]
    return {f"{node.name}/{tensor.name or i}": size(tensor) for i, tensor in enumerate(parts)}


def _operator(
    node: NodeProto,
    have: Mapping[str, shapes.Shape],
    bits: Mapping[str, float],
    params: Mapping[str, int],
    wholes: Mapping[str, int],
) -> Operator:
    names = used(node)
    own = (*(name for name in names if name in params), *_inside(node))
    others = tuple(name for name in names if name not in params)
    outputs = tuple(name for name in node.output if name)
    counted = counting.count(node, have, wholes)
    written = sum(bits.get(name, 0.0) for name in outputs) / 8
    read, param_read = sum(bits.get(name, 0.0) for name in others) / 8, float(sum(params[n] for n in own))
    if node.op_type in counting.VIEWS:
        written = read = param_read = 0.0
    elif node.op_type in counting.PICKERS:
        first = node.input[0] if node.input else ""
        read = written + sum(bits.get(name, 0.0) for name in others if name != first) / 8
        if first in params:
            read -= written
            param_read = min(written, params[first]) + sum(params[name] for name in own if name != first)
    return Operator(
        name=node.name,
        kind=node.op_type,
        inputs=others,
        outputs=outputs,
        params=own,
        macs=counted.macs,
        param_read_bytes=param_read,
        moved_bytes=read + written,
        unknown=counted.unknown,
    )
