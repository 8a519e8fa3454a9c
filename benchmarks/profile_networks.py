"""Eight networks with random weights, built from plain torch modules, as ONNX files: the subjects of profile.py.

Their shapes are those of the published networks whose names they carry, so that blocks take what blocks of those
take; what they compute is noise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGE = (1, 3, 224, 224)
TOKENS = 128


def conv(
    inputs: int, outputs: int, kernel: int | tuple[int, int], stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    size = (kernel, kernel) if isinstance(kernel, int) else kernel
    return nn.Conv2d(inputs, outputs, size, stride, (size[0] // 2, size[1] // 2), groups=groups)


def cbr(
    inputs: int, outputs: int, kernel: Any, stride: int = 1, groups: int = 1, act: Any = nn.ReLU
) -> nn.Module:
    layers = [conv(inputs, outputs, kernel, stride, groups), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([act()] if act else []))


class Head(nn.Module):
    """Mean over the picture, and a dense layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, 1000)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x.mean((2, 3)))


class Bottleneck(nn.Module):
    """A residual block of ResNet50."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            cbr(inputs, width, 1), cbr(width, width, 3, stride), cbr(width, 4 * width, 1, act=None)
        )
        self.skip = nn.Identity() if inputs == 4 * width else cbr(inputs, 4 * width, 1, stride, act=None)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.path(x) + self.skip(x))


def resnet50() -> nn.Module:
    layers: list[nn.Module] = [cbr(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(count):
            layers.append(Bottleneck(inputs, width, stride if i == 0 else 1))
            inputs = 4 * width
    return nn.Sequential(*layers, Head(2048))


class Inverted(nn.Module):
    """An inverted residual of MobileNetV2."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = inputs * expand
        first = [cbr(inputs, wide, 1, act=nn.ReLU6)] if expand > 1 else []
        depthwise = cbr(wide, wide, 3, stride, groups=wide, act=nn.ReLU6)
        self.path = nn.Sequential(*first, depthwise, cbr(wide, outputs, 1, act=None))
        self.keep = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.path(x) if self.keep else self.path(x)


def mobilenet_v2() -> nn.Module:
    layers: list[nn.Module] = [cbr(3, 32, 3, 2, act=nn.ReLU6)]
    inputs = 32
    for expand, outputs, count, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        for i in range(count):
            layers.append(Inverted(inputs, outputs, stride if i == 0 else 1, expand))
            inputs = outputs
    return nn.Sequential(*layers, cbr(320, 1280, 1, act=nn.ReLU6), Head(1280))


class Branches(nn.Module):
    """Branches side by side, joined by channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


def inception_v3() -> nn.Module:
    def pooled(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.AvgPool2d(3, 1, 1), cbr(inputs, outputs, 1))

    def first(inputs: int, outputs: int) -> nn.Module:
        five = nn.Sequential(cbr(inputs, 48, 1), cbr(48, 64, 5))
        threes = nn.Sequential(cbr(inputs, 64, 1), cbr(64, 96, 3), cbr(96, 96, 3))
        return Branches(cbr(inputs, 64, 1), five, threes, pooled(inputs, outputs))

    def long(inputs: int, mid: int) -> nn.Module:
        row, column = (1, 7), (7, 1)
        short = nn.Sequential(cbr(inputs, mid, 1), cbr(mid, mid, row), cbr(mid, 192, column))
        twice = nn.Sequential(
            cbr(inputs, mid, 1),
            cbr(mid, mid, column),
            cbr(mid, mid, row),
            cbr(mid, mid, column),
            cbr(mid, 192, row),
        )
        return Branches(cbr(inputs, 192, 1), short, twice, pooled(inputs, 192))

    def last(inputs: int) -> nn.Module:
        wide = Branches(cbr(384, 384, (1, 3)), cbr(384, 384, (3, 1)))
        again = Branches(cbr(384, 384, (1, 3)), cbr(384, 384, (3, 1)))
        deep = nn.Sequential(cbr(inputs, 448, 1), cbr(448, 384, 3), again)
        return Branches(
            cbr(inputs, 320, 1), nn.Sequential(cbr(inputs, 384, 1), wide), deep, pooled(inputs, 192)
        )

    stem = [cbr(3, 32, 3, 2), cbr(32, 32, 3), cbr(32, 64, 3), nn.MaxPool2d(3, 2)]
    stem += [cbr(64, 80, 1), cbr(80, 192, 3), nn.MaxPool2d(3, 2)]
    shrink = Branches(
        cbr(288, 384, 3, 2),
        nn.Sequential(cbr(288, 64, 1), cbr(64, 96, 3), cbr(96, 96, 3, 2)),
        nn.MaxPool2d(3, 2, 1),
    )
    again = Branches(
        nn.Sequential(cbr(768, 192, 1), cbr(192, 320, 3, 2)),
        nn.Sequential(cbr(768, 192, 1), cbr(192, 192, 7), cbr(192, 192, 3, 2)),
        nn.MaxPool2d(3, 2, 1),
    )
    body = [first(192, 32), first(256, 64), first(288, 64), shrink]
    body += [long(768, width) for width in (128, 160, 160, 192)]
    return nn.Sequential(*stem, *body, again, last(1280), last(2048), Head(2048))


def vgg16() -> nn.Module:
    layers: list[nn.Module] = []
    inputs = 3
    for outputs, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [conv(inputs, outputs, 3), nn.ReLU()]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    dense = [nn.Linear(25088, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)]
    return nn.Sequential(*layers, nn.Flatten(), *dense)


class Split(nn.Module):
    """A block of a YOLO: half of the channels pass residual bottlenecks, all of it is joined."""

    def __init__(self, inputs: int, outputs: int, count: int, residual: bool = True) -> None:
        super().__init__()
        half = outputs // 2
        self.first = cbr(inputs, outputs, 1, act=nn.SiLU)
        self.parts = nn.ModuleList(
            nn.Sequential(cbr(half, half, 3, act=nn.SiLU), cbr(half, half, 3, act=nn.SiLU))
            for _ in range(count)
        )
        self.last = cbr((2 + count) * half, outputs, 1, act=nn.SiLU)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        kept = list(self.first(x).chunk(2, 1))
        for part in self.parts:
            kept.append(part(kept[-1]) + kept[-1] if self.residual else part(kept[-1]))
        return self.last(torch.cat(kept, 1))


class Yolo(nn.Module):
    """Backbone, two ways through three scales, and a head on each; widths of a small YOLO."""

    def __init__(self, w: int = 32) -> None:
        super().__init__()

        def down(i: int, o: int) -> nn.Module:
            return cbr(i, o, 3, 2, act=nn.SiLU)

        self.stem = nn.Sequential(down(3, w), down(w, 2 * w), Split(2 * w, 2 * w, 1))
        self.c3 = nn.Sequential(down(2 * w, 4 * w), Split(4 * w, 4 * w, 2))
        self.c4 = nn.Sequential(down(4 * w, 8 * w), Split(8 * w, 8 * w, 2))
        self.c5 = nn.Sequential(down(8 * w, 16 * w), Split(16 * w, 16 * w, 1))
        self.p4 = Split(24 * w, 8 * w, 1, residual=False)
        self.p3 = Split(12 * w, 4 * w, 1, residual=False)
        self.d4, self.n4 = down(4 * w, 4 * w), Split(12 * w, 8 * w, 1, residual=False)
        self.d5, self.n5 = down(8 * w, 8 * w), Split(24 * w, 16 * w, 1, residual=False)
        self.heads = nn.ModuleList(
            nn.Sequential(cbr(i, 64, 3, act=nn.SiLU), conv(64, 85, 1)) for i in (4 * w, 8 * w, 16 * w)
        )

    def forward(self, x: Tensor) -> Tensor:
        c3 = self.c3(self.stem(x))
        c4 = self.c4(c3)
        c5 = self.c5(c4)
        p4 = self.p4(torch.cat([functional.interpolate(c5, scale_factor=2.0), c4], 1))
        p3 = self.p3(torch.cat([functional.interpolate(p4, scale_factor=2.0), c3], 1))
        n4 = self.n4(torch.cat([self.d4(p3), p4], 1))
        n5 = self.n5(torch.cat([self.d5(n4), c5], 1))
        flat = [head(y).flatten(2) for head, y in zip(self.heads, (p3, n4, n5), strict=True)]
        return torch.cat(flat, 2)


class Layer(nn.Module):
    """A layer of a transformer, with the norms in front (ViT, GPT-2) or behind (BERT)."""

    def __init__(self, width: int, heads: int, before: bool) -> None:
        super().__init__()
        self.heads, self.before = heads, before
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])

    def attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        batch, tokens, width = x.shape
        parts = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        scores = parts[0] @ parts[1].transpose(-1, -2) / (width // self.heads) ** 0.5
        scores = scores if mask is None else scores + mask
        return self.out((scores.softmax(-1) @ parts[2]).transpose(1, 2).reshape(batch, tokens, width))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.before:
            x = x + self.attend(self.norms[0](x), mask)
            return x + self.down(functional.gelu(self.up(self.norms[1](x))))
        x = self.norms[0](x + self.attend(x, mask))
        return self.norms[1](x + self.down(functional.gelu(self.up(x))))


class VisionTransformer(nn.Module):
    """ViT-B/16."""

    def __init__(self, width: int = 768) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.places = nn.Parameter(torch.randn(1, 196, width))
        self.layers = nn.ModuleList(Layer(width, 12, before=True) for _ in range(12))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.places
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x).mean(1))


class Bert(nn.Module):
    """BERT-base, with an attention mask that every layer takes."""

    def __init__(self, width: int = 768) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(30522, width), nn.Parameter(torch.randn(1, TOKENS, width))
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(Layer(width, 12, before=False) for _ in range(12))
        self.head = nn.Linear(width, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        mask = (1.0 - attention_mask[:, None, None, :].float()) * -1e4
        x = self.norm(self.words(input_ids) + self.places)
        for layer in self.layers:
            x = layer(x, mask)
        return self.head(x[:, 0])


class Gpt2(nn.Module):
    """GPT-2 small over a prompt, its table of words used at both ends."""

    def __init__(self, width: int = 768) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(50257, width), nn.Parameter(torch.randn(1, TOKENS, width))
        self.layers = nn.ModuleList(Layer(width, 12, before=True) for _ in range(12))
        self.norm = nn.LayerNorm(width)
        self.register_buffer("mask", torch.full((TOKENS, TOKENS), -1e4).triu(1))

    def forward(self, input_ids: Tensor) -> Tensor:
        x = self.words(input_ids) + self.places
        for layer in self.layers:
            x = layer(x, self.mask)
        return self.norm(x) @ self.words.weight.T


NETWORKS: dict[str, Any] = {
    "resnet50": resnet50,
    "mobilenet_v2": mobilenet_v2,
    "inception_v3": inception_v3,
    "vgg16": vgg16,
    "yolo": Yolo,
    "vit_b": VisionTransformer,
    "bert": Bert,
    "gpt2": Gpt2,
}


def inputs(name: str) -> tuple[Tensor, ...]:
    """Return inputs of the shapes that a network takes."""
    if name in ("bert", "gpt2"):
        tokens = torch.ones((1, TOKENS), dtype=torch.int64)
        return (tokens, tokens.clone()) if name == "bert" else (tokens,)
    return (torch.randn((1, 3, 320, 320) if name == "yolo" else IMAGE),)


def save(name: str, folder: Path) -> Path:
    """Write a network as ``NAME.onnx``, unless it is there; return the file."""
    path = folder / f"{name}.onnx"
    if not path.exists():
        torch.manual_seed(0)
        network = NETWORKS[name]().eval()
        torch.onnx.export(network, inputs(name), str(path), dynamo=True, external_data=False, verbose=False)
    return path
