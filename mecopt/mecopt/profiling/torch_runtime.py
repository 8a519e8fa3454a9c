"""Pieces of a program of torch.export, run by torch itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from mecopt.errors import InputError, MissingExtraError, said, shown
from mecopt.profiling.divisions import Stretch

if TYPE_CHECKING:
    import torch
    from torch.fx import Graph, GraphModule, Node

    from mecopt.importing.model_document import ModelDocument

CLOSE = 1e-3  # by how much outputs of pieces may differ from the whole's, of the largest


class Module:
    """A piece that is ready to run.

    Parameters
    ----------
    module : torch.fx.GraphModule
    inputs, outputs : tuple of str
        Names of the tensors that it takes and gives.
    threads : int
    """

    def __init__(
        self, module: GraphModule, inputs: tuple[str, ...], outputs: tuple[str, ...], threads: int
    ) -> None:
        import torch

        self._module, self._mode = module, torch.inference_mode
        self.inputs, self.outputs = inputs, outputs
        torch.set_num_threads(threads)

    def run(self, values: dict[str, Any]) -> tuple[Any, ...]:
        """Run the piece on values by their names; return its outputs."""
        with self._mode():
            found: tuple[Any, ...] = self._module(*[values[name] for name in self.inputs])
        return found


def opened(model: ModelDocument, path: str) -> tuple[Callable[[Stretch, int], Module], dict[str, Any], float]:
    """Return what makes pieces of a program ready, the tensors that cross, and the bytes of its weights.

    Raises
    ------
    InputError
        If the file is no program of torch.export, has open dimensions, or its pieces do not give what the
        whole gives.
    MissingExtraError
        If torch is not installed.
    """
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise MissingExtraError("profiling with torch", "rl")
    graph = model.graph
    if model.source.kind != "torch" or graph is None:
        raise InputError(
            f"{path}: imported from {model.source.kind}, expected a program of torch.export (.pt2) for "
            "--runtime torch; onnxruntime runs it"
        )
    whole = _program(path)
    nodes = {_name(node): node for node in whole.graph.nodes}
    missing = [name for part in graph.boundaries[:-1] for name in part if name not in nodes]
    if missing:
        raise InputError(f"{path}: torch's program has no {shown(missing[0])}, at which the model is cut")
    ends = _ends(whole.graph)

    def piece(stretch: Stretch, threads: int) -> Module:
        first, last = stretch
        taken = [*graph.boundaries[first], *(n for n in graph.everywhere if n not in graph.boundaries[first])]
        final = last + 1 == len(graph.operators)
        given = ends if final else [nodes[name] for name in graph.boundaries[last + 1]]
        names = tuple(f"output{i}" for i in range(len(ends))) if final else graph.boundaries[last + 1]
        return Module(
            _part(whole, [nodes[n] for n in taken if n in nodes], given), tuple(taken), names, threads
        )

    values = _values(whole.graph, path)
    _check(whole, piece, values, ends, len(graph.operators), path)
    return piece, values, float(sum(t.nbytes for t in whole.parameters()))


def _program(path: str) -> GraphModule:
    import torch

    from mecopt.importing import torch_program

    with (
        torch_program.quiet()
    ):  # exporting takes composite operators apart, and ONNX has the names that follow
        exported = torch.onnx.export(torch_program.load(path), (), dynamo=True, verbose=False)
    assert exported is not None
    assert exported.exported_program is not None
    found = exported.exported_program.module()
    assert isinstance(found, torch.fx.GraphModule)
    return found


def _name(node: Node) -> str:
    """Return what ONNX calls what a node gives: of an input its own name, which fx may have changed."""
    return str(node.target) if node.op == "placeholder" else node.name


def _ends(graph: Graph) -> list[Node]:
    """Return the nodes that a program gives back."""
    import torch

    (last,) = (node for node in graph.nodes if node.op == "output")
    found: list[Node] = []
    torch.fx.map_arg(last.args, found.append)
    return found


def _part(whole: GraphModule, taken: Iterable[Node], given: list[Node]) -> GraphModule:
    """Return the nodes between tensors that are given and those that are wanted, as a module."""
    import torch

    graph = torch.fx.Graph()
    copies: dict[Node, Node] = {node: graph.placeholder(node.name) for node in taken}
    needed, ahead = set(copies), list(given)
    while ahead:
        node = ahead.pop()
        if node not in needed:
            needed.add(node)
            ahead += node.all_input_nodes
    for node in whole.graph.nodes:
        if node in needed and node not in copies:
            if node.op == "placeholder":
                raise InputError(f"a piece needs the input {node.name!r}, which it does not get")
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(tuple(copies[node] for node in given))
    return torch.fx.GraphModule(whole, graph)


def _values(graph: Graph, path: str) -> dict[str, torch.Tensor]:
    """Return made-up inputs: normal numbers, and ones where they are whole."""
    import torch

    draw = torch.Generator().manual_seed(0)
    found = {}
    for node in graph.nodes:
        if node.op != "placeholder":
            continue
        like = node.meta["val"]
        if not all(isinstance(length, int) for length in like.shape):
            raise InputError(f"{path}: input {node.name!r} has open dimensions, expected a program without")
        if like.dtype.is_floating_point:
            found[_name(node)] = (0.5 * torch.randn(like.shape, generator=draw)).to(like.dtype)
        else:
            found[_name(node)] = torch.ones(like.shape, dtype=like.dtype)
    return found


def _check(
    whole: GraphModule,
    piece: Callable[[Stretch, int], Module],
    values: dict[str, Any],
    ends: list[Node],
    blocks: int,
    path: str,
) -> None:
    """Run all pieces one after the other, which also fills in the values, and compare with the whole."""
    import torch

    given = [node for node in whole.graph.nodes if node.op == "placeholder"]
    try:
        for m in range(blocks):
            part = piece((m, m), 1)
            values.update(zip(part.outputs, part.run(values), strict=True))
        names = tuple(map(_name, given))
        expected = Module(_part(whole, given, ends), names, (), 1)
        results = expected.run(values)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: torch cannot run it on made-up inputs: {said(error)}") from error
    for i, result in enumerate(results):
        found = values[f"output{i}"]
        far = float((found - result).abs().max()) if result.numel() else 0.0
        if not far <= CLOSE * max(float(result.abs().max()), 1.0) and torch.isfinite(result).all():
            raise InputError(f"{path}: the pieces do not give what the whole gives (off by {far:.3g})")
