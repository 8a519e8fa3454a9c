"""What an operator costs: multiply-adds by one table of formulas, and the bytes that it moves.

Multiply-adds are those of convolutions, matrix products, recurrent layers and attention. Biases, poolings,
normalisations, activations and everything element by element count none, as in `mecopt.models`; their time
is in the bytes that they read and write.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mecopt.importing.onnx_file import bodies
from mecopt.importing.shapes import Shape, known

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

Shapes = Mapping[str, Shape]


@dataclass(frozen=True)
class Count:
    """Multiply-adds of an operator, and what is not known of it."""

    macs: float
    unknown: str | None = None  # kind of the operator, where no formula knows it


class _Node:
    """A node with the shapes of what it reads and writes; KeyError where one is not known."""

    def __init__(self, node: NodeProto, shapes: Shapes) -> None:
        self.node, self.shapes = node, shapes

    def input(self, i: int) -> Shape:
        return self.shapes[self.node.input[i]]

    def has(self, i: int) -> bool:
        return len(self.node.input) > i and bool(self.node.input[i])

    def output(self, i: int = 0) -> Shape:
        return self.shapes[self.node.output[i]]

    def whole(self, name: str, default: int = 0) -> int:
        return next((a.i for a in self.node.attribute if a.name == name), default)

    def text(self, name: str) -> str:
        return next((a.s.decode() for a in self.node.attribute if a.name == name), "")


def _convolution(weights: int) -> Callable[[_Node], float]:
    """Each output value meets the kernel over the channels of its group."""
    return lambda n: math.prod(n.output()) * math.prod(n.input(weights)[1:])


def _transposed(n: _Node) -> float:
    """Each input value meets the kernel over the output channels of its group."""
    return math.prod(n.input(0)) * math.prod(n.input(1)[1:])


def _product(n: _Node) -> float:
    inner = n.input(0)[-1]
    if n.whole("transA"):
        inner = n.input(0)[-2]
    return math.prod(n.output()) * inner


def _gemm(n: _Node) -> float:
    return math.prod(n.output()) * n.input(0)[0 if n.whole("transA") else -1]


def _nbits(n: _Node) -> float:
    return math.prod(n.input(0)) * n.whole("N")


def _recurrent(n: _Node) -> float:
    """Each step meets the weights of the input and of the state."""
    data, weights, state = n.input(0), n.input(1), n.input(2)
    return data[0] * data[1] * (math.prod(weights) + math.prod(state))


def _einsum(n: _Node) -> float:
    """Each combination of letters is one product; more than two operands are taken in turn."""
    spec = n.text("equation").replace(" ", "").split("->")[0].split(",")
    if any("..." in term for term in spec):
        raise KeyError("...")
    sizes: dict[str, int] = {}
    for term, name in zip(spec, n.node.input, strict=True):
        sizes |= dict(zip(term, n.shapes[name], strict=True))
    total, seen = 0, set(spec[0])
    for term in spec[1:]:
        seen |= set(term)
        total += math.prod(sizes[letter] for letter in seen)
    return total


def _attention(n: _Node) -> float:
    """Scores and weighted sums: each query meets each key, and its weight each value."""
    query, key, value = n.input(0), n.input(1), n.input(2)
    past = n.shapes[n.node.input[4]][-2] if n.has(4) else 0
    if len(query) == 4:
        batch, heads, queries, width = query
        keys, deep = key[2] + past, value[3]
        return batch * heads * queries * keys * (width + deep)
    heads = n.whole("q_num_heads") or n.whole("num_heads", 1)
    groups = n.whole("kv_num_heads") or heads
    keys = key[1] + past
    return query[0] * query[1] * keys * (query[2] + value[2] * heads // groups)


def _fused_attention(n: _Node) -> float:
    """The projections of queries, keys and values, and the attention (com.microsoft)."""
    data, weights = n.input(0), n.input(1)
    width = weights[1] // 3
    tokens = data[0] * data[1]
    return tokens * data[2] * weights[1] + 2 * tokens * data[1] * width


FORMULAS: dict[str, Callable[[_Node], float]] = {
    "Conv": _convolution(1),
    "FusedConv": _convolution(1),
    "NhwcFusedConv": _convolution(1),
    "ConvInteger": _convolution(1),
    "DeformConv": _convolution(1),
    "QLinearConv": _convolution(3),
    "ConvTranspose": _transposed,
    "MatMul": _product,
    "FusedMatMul": _product,
    "MatMulInteger": _product,
    "MatMulIntegerToFloat": _product,
    "DynamicQuantizeMatMul": _product,
    "QLinearMatMul": _product,
    "MatMulNBits": _nbits,
    "Gemm": _gemm,
    "QGemm": _gemm,
    "GemmFastGelu": _product,
    "Einsum": _einsum,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
    "DynamicQuantizeLSTM": _recurrent,
    "MultiHeadAttention": _attention,
    "Attention": lambda n: _fused_attention(n) if n.node.domain == "com.microsoft" else _attention(n),
    "QAttention": _fused_attention,
}
# Only their shapes change: nothing is moved.
VIEWS = frozenset({"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout"})
# These read of their first input no more than they write.
PICKERS = frozenset({"Gather", "GatherND", "GatherElements", "Slice"})
# No multiply-adds: shapes, choices, and what is element by element.
OTHERS = """
Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization
Bernoulli BiasGelu BiasSplitGelu BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast
CastLike Ceil Celu CenterCropPad Clip Col2Im Compress Concat ConcatFromSequence Constant ConstantOfShape
Cos Cosh CumSum DepthToSpace DequantizeLinear Det Div DynamicQuantizeLinear Elu EmbedLayerNormalization
Equal Erf Exp Expand EyeLike FastGelu Floor Gelu GlobalAveragePool GlobalLpPool GlobalMaxPool Greater
GreaterOrEqual GridSample GroupNorm GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish
Hardmax InstanceNormalization IsInf IsNaN LRN LayerNormalization LeakyRelu Less LessOrEqual Log
LogSoftmax LpNormalization LpPool Max MaxPool MaxRoiPool MaxUnpool Mean MeanVarianceNormalization
MelWeightMatrix Min Mish Mod Mul Multinomial NegativeLogLikelihoodLoss Neg NhwcMaxPool NonMaxSuppression
NonZero Not OneHot Optional OptionalGetElement OptionalHasElement Or PRelu Pad Pow QLinearAdd
QLinearAveragePool QLinearConcat QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearSigmoid
QLinearSoftmax QuantizeLinear QuickGelu RMSNormalization RandomNormal RandomNormalLike RandomUniform
RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean
ReduceMin ReduceProd ReduceSum ReduceSumSquare RegexFullMatch Relu Resize ReverseSequence RoiAlign
RotaryEmbedding Round ScatterElements ScatterND Scatter Selu SequenceAt SequenceConstruct SequenceEmpty
SequenceErase SequenceInsert SequenceLength Shape Shrink Sigmoid Sign SimplifiedLayerNormalization Sin
Sinh Size SkipLayerNormalization SkipSimplifiedLayerNormalization Softmax Softplus Softsign SpaceToDepth
Split SplitToSequence Sqrt StringConcat StringNormalizer StringSplit Sub Sum Swish Tan Tanh
TensorScatter TfIdfVectorizer ThresholdedRelu Tile TopK Transpose Trilu Unique Upsample Where Xor
"""
FREE = VIEWS | PICKERS | frozenset(OTHERS.split())
BODIES = frozenset({"If", "Loop", "Scan"})


def count(node: NodeProto, shapes: Shapes, wholes: Mapping[str, int] | None = None) -> Count:
    """Return the multiply-adds of a node; `wholes` are the tensors that are one whole number, and constant.

    An If counts its larger branch, a Loop or Scan its body as often as it runs: once, and it is named as not
    known, where neither a constant nor what it collects tells.
    What no formula knows counts what a matrix product of its two largest inputs and its output would take.
    """
    kind = node.op_type
    if kind in BODIES:
        return _of_bodies(node, shapes, wholes or {})
    if kind in FREE:
        return Count(0.0)
    try:
        if kind in FORMULAS:
            return Count(float(FORMULAS[kind](_Node(node, shapes))))
    except (KeyError, IndexError):
        pass
    return Count(as_product(node, shapes), kind)


def as_product(node: NodeProto, shapes: Shapes) -> float:
    """Return the multiply-adds of a matrix product of these sizes: m k, k n and m n make m k n."""
    inputs = sorted((math.prod(shapes[name]) for name in node.input if name in shapes), reverse=True)
    output = max((math.prod(shapes[name]) for name in node.output if name in shapes), default=0)
    if len(inputs) < 2:
        return float(output)
    return math.sqrt(float(inputs[0]) * inputs[1] * output)


def _of_bodies(node: NodeProto, shapes: Shapes, wholes: Mapping[str, int]) -> Count:
    totals, strange = [], []
    for body in bodies(node):
        inside = {**shapes, **known(body)}
        counts = [count(inner, inside, wholes) for inner in body.node]
        totals.append(sum(one.macs for one in counts))
        strange += [one.unknown for one in counts if one.unknown]
    times = 1 if node.op_type == "If" else _times(node, shapes, wholes)
    if times is None and any(totals):
        strange.append(node.op_type)
    return Count(max(totals, default=0.0) * (times or 1), strange[0] if strange else None)


def _times(node: NodeProto, shapes: Shapes, wholes: Mapping[str, int]) -> int | None:
    """Return how often the body of a Loop or Scan runs: it collects one slice each time, or only counts."""
    body = bodies(node)[0]
    carried = len(node.input) - 2 if node.op_type == "Loop" else _carried(node)
    collected = [name for name in node.output[carried:] if shapes.get(name)]
    if node.op_type == "Scan" and not collected and len(body.input) > carried:
        collected = [name for name in node.input[carried:] if shapes.get(name)]
    if collected:
        return shapes[collected[0]][0]
    return wholes.get(node.input[0]) if node.op_type == "Loop" and _only_counts(body) else None


def _only_counts(body: GraphProto) -> bool:
    """Say whether the body of a Loop hands its condition on as it is, so that only the count ends it."""
    given, handed_on = str(body.input[1].name), str(body.output[0].name)
    makers = {name: node for node in body.node for name in node.output}
    while handed_on in makers and makers[handed_on].op_type == "Identity":
        handed_on = str(makers[handed_on].input[0])
    return handed_on == given


def _carried(node: NodeProto) -> int:
    inputs = next((a.i for a in node.attribute if a.name == "num_scan_inputs"), 0)
    return len(node.input) - inputs
