"""Networks that `import_models.py` imports, as plain modules of torch with random weights.

Each is written after its paper, with the sizes that are usually meant by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional


def conv(
    wide: int, to: int, kernel: Any = 1, stride: int = 1, groups: int = 1, act: bool = True
) -> nn.Module:
    """Return a convolution with its normalisation and activation."""
    sides = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    padding = tuple(side // 2 for side in sides)
    layers: list[nn.Module] = [nn.Conv2d(wide, to, sides, stride, padding, groups=groups, bias=False)]
    layers.append(nn.BatchNorm2d(to))
    return nn.Sequential(*layers, nn.ReLU()) if act else nn.Sequential(*layers)


class Residual(nn.Module):
    """A path beside which the input, or a projection of it, goes."""

    def __init__(self, path: nn.Module, beside: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.path, self.beside, self.last = path, beside, last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.path(x) + self.beside(x))


class Parallel(nn.Module):
    """Paths whose outputs are put together."""

    def __init__(self, *paths: nn.Module) -> None:
        super().__init__()
        self.paths = nn.ModuleList(paths)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([path(x) for path in self.paths], 1)


def head(wide: int, classes: int = 1000) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(wide, classes)]


def resnet50() -> nn.Module:
    layers: list[nn.Module] = [conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    wide = 64
    for narrow, count, first in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(count):
            stride = first if i == 0 else 1
            path = nn.Sequential(
                conv(wide, narrow), conv(narrow, narrow, 3, stride), conv(narrow, 4 * narrow, act=False)
            )
            beside = nn.Identity() if i else conv(wide, 4 * narrow, 1, stride, act=False)
            layers.append(Residual(path, beside, nn.ReLU()))
            wide = 4 * narrow
    return nn.Sequential(*layers, *head(wide))


def mobilenet_v2() -> nn.Module:
    layers: list[nn.Module] = [conv(3, 32, 3, 2)]
    wide = 32
    plan = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    for times, to, count, first in plan:
        for i in range(count):
            stride, hidden = first if i == 0 else 1, times * wide
            expand = [conv(wide, hidden)] if times > 1 else []
            path = nn.Sequential(
                *expand, conv(hidden, hidden, 3, stride, hidden), conv(hidden, to, act=False)
            )
            layers.append(Residual(path, nn.Identity(), nn.Identity()) if i else path)
            wide = to
    return nn.Sequential(*layers, conv(wide, 1280), *head(1280))


def inception_v3() -> nn.Module:
    def flat(kernel: int, stride: int = 1, padding: int = 0) -> Any:
        return lambda wide, to: nn.Sequential(
            nn.Conv2d(wide, to, kernel, stride, padding, bias=False), nn.BatchNorm2d(to), nn.ReLU()
        )

    def pooled(wide: int, to: int) -> nn.Module:
        return nn.Sequential(nn.AvgPool2d(3, 1, 1), conv(wide, to))

    def a(wide: int, to: int) -> nn.Module:
        return Parallel(
            conv(wide, 64),
            nn.Sequential(conv(wide, 48), conv(48, 64, 5)),
            nn.Sequential(conv(wide, 64), conv(64, 96, 3), conv(96, 96, 3)),
            pooled(wide, to),
        )

    def c(n: int) -> nn.Module:
        one, two = (1, 7), (7, 1)
        return Parallel(
            conv(768, 192),
            nn.Sequential(conv(768, n), conv(n, n, one), conv(n, 192, two)),
            nn.Sequential(conv(768, n), conv(n, n, two), conv(n, n, one), conv(n, n, two), conv(n, 192, one)),
            pooled(768, 192),
        )

    def e(wide: int) -> nn.Module:
        def wings() -> nn.Module:
            return Parallel(conv(384, 384, (1, 3)), conv(384, 384, (3, 1)))

        return Parallel(
            conv(wide, 320),
            nn.Sequential(conv(wide, 384), wings()),
            nn.Sequential(conv(wide, 448), conv(448, 384, 3), wings()),
            pooled(wide, 192),
        )

    down = nn.MaxPool2d(3, 2)
    b = Parallel(
        flat(3, 2)(288, 384),
        nn.Sequential(conv(288, 64), conv(64, 96, 3), flat(3, 2)(96, 96)),
        nn.MaxPool2d(3, 2),
    )
    d = Parallel(
        nn.Sequential(conv(768, 192), flat(3, 2)(192, 320)),
        nn.Sequential(conv(768, 192), conv(192, 192, (1, 7)), conv(192, 192, (7, 1)), flat(3, 2)(192, 192)),
        nn.MaxPool2d(3, 2),
    )
    stem = [flat(3, 2)(3, 32), flat(3)(32, 32), conv(32, 64, 3), down, conv(64, 80), flat(3)(80, 192), down]
    body = [a(192, 32), a(256, 64), a(288, 64), b, c(128), c(160), c(160), c(192), d, e(1280), e(2048)]
    return nn.Sequential(*stem, *body, *head(2048))


class Csp(nn.Module):
    """Half of the channels go through bottlenecks, all of whose outputs are put together."""

    def __init__(self, wide: int, to: int, count: int, beside: bool) -> None:
        super().__init__()
        half = to // 2
        self.first = conv(wide, 2 * half)
        self.inner = nn.ModuleList(
            nn.Sequential(conv(half, half, 3), conv(half, half, 3)) for _ in range(count)
        )
        self.last = conv((2 + count) * half, to)
        self.beside = beside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = list(self.first(x).chunk(2, 1))
        for inner in self.inner:
            new = inner(parts[-1])
            parts.append(parts[-1] + new if self.beside else new)
        return self.last(torch.cat(parts, 1))


class YoloLike(nn.Module):
    """A detector with a feature pyramid and three heads."""

    def __init__(self, classes: int = 80) -> None:
        super().__init__()
        w = (16, 32, 64, 128, 256)
        self.low = nn.Sequential(
            conv(3, w[0], 3, 2),
            conv(w[0], w[1], 3, 2),
            Csp(w[1], w[1], 1, True),
            conv(w[1], w[2], 3, 2),
            Csp(w[2], w[2], 2, True),
        )
        self.middle = nn.Sequential(conv(w[2], w[3], 3, 2), Csp(w[3], w[3], 2, True))
        self.high = nn.Sequential(conv(w[3], w[4], 3, 2), Csp(w[4], w[4], 1, True), nn.MaxPool2d(5, 1, 2))
        self.up1, self.up2 = Csp(w[4] + w[3], w[3], 1, False), Csp(w[3] + w[2], w[2], 1, False)
        self.down1, self.down2 = conv(w[2], w[2], 3, 2), conv(w[3], w[3], 3, 2)
        self.mix1, self.mix2 = Csp(w[2] + w[3], w[3], 1, False), Csp(w[3] + w[4], w[4], 1, False)
        self.heads = nn.ModuleList(
            nn.Sequential(conv(n, 64, 3), conv(64, 64, 3), nn.Conv2d(64, 4 + classes, 1)) for n in w[2:]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low = self.low(x)
        middle = self.middle(low)
        high = self.high(middle)
        twice = lambda t: functional.interpolate(t, scale_factor=2.0, mode="nearest")  # noqa: E731
        middle = self.up1(torch.cat([twice(high), middle], 1))
        low = self.up2(torch.cat([twice(middle), low], 1))
        middle = self.mix1(torch.cat([self.down1(low), middle], 1))
        high = self.mix2(torch.cat([self.down2(middle), high], 1))
        found = [head(t).flatten(2) for head, t in zip(self.heads, (low, middle, high), strict=True)]
        return torch.cat(found, 2)


class Attention(nn.Module):
    """Attention of several heads, over all positions or those before."""

    def __init__(self, wide: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.mix, self.out = nn.Linear(wide, 3 * wide), nn.Linear(wide, wide)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        n, length, wide = x.shape
        q, k, v = (
            part.view(n, length, self.heads, -1).transpose(1, 2) for part in self.mix(x).split(wide, 2)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=self.causal)
        return self.out(mixed.transpose(1, 2).reshape(n, length, wide))


class Layer(nn.Module):
    """A layer of a transformer, normalised before its parts or behind them."""

    def __init__(self, wide: int, heads: int, *, first: bool, causal: bool = False) -> None:
        super().__init__()
        self.first = first
        self.attention = Attention(wide, heads, causal)
        self.one, self.two = nn.LayerNorm(wide), nn.LayerNorm(wide)
        self.mlp = nn.Sequential(nn.Linear(wide, 4 * wide), nn.GELU(), nn.Linear(4 * wide, wide))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        if self.first:
            x = x + self.attention(self.one(x), mask)
            return x + self.mlp(self.two(x))
        x = self.one(x + self.attention(x, mask))
        return self.two(x + self.mlp(x))


class VisionTransformer(nn.Module):
    """ViT-B/16."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 768, 16, 16)
        self.token = nn.Parameter(torch.zeros(1, 1, 768))
        self.positions = nn.Parameter(torch.randn(1, 197, 768))
        self.layers = nn.ModuleList(Layer(768, 12, first=True) for _ in range(12))
        self.norm, self.head = nn.LayerNorm(768), nn.Linear(768, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x)[:, 0])


class Bert(nn.Module):
    """BERT-base with its pooler; a mask crosses every layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places, self.kinds = (nn.Embedding(n, 768) for n in (30522, 512, 2))
        self.norm = nn.LayerNorm(768)
        self.layers = nn.ModuleList(Layer(768, 12, first=False) for _ in range(12))
        self.pooler = nn.Linear(768, 768)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, kinds: torch.Tensor) -> Any:
        places = torch.arange(ids.shape[1])
        x = self.norm(self.words(ids) + self.places(places) + self.kinds(kinds))
        seen = (1.0 - mask[:, None, None, :].float()) * -1e9
        for layer in self.layers:
            x = layer(x, seen)
        return x, torch.tanh(self.pooler(x[:, 0]))


class Gpt2(nn.Module):
    """GPT-2 of 124 million parameters, its table used at both ends."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(50257, 768), nn.Embedding(1024, 768)
        self.layers = nn.ModuleList(Layer(768, 12, first=True, causal=True) for _ in range(12))
        self.norm = nn.LayerNorm(768)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.words(ids) + self.places(torch.arange(ids.shape[1]))
        for layer in self.layers:
            x = layer(x)
        return functional.linear(self.norm(x), self.words.weight)


def image(side: int) -> tuple[torch.Tensor, ...]:
    return (torch.rand(1, 3, side, side),)


def tokens(length: int, count: int) -> tuple[torch.Tensor, ...]:
    return tuple(torch.ones(1, length, dtype=torch.int64) for _ in range(count))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], tuple[torch.Tensor, ...]]]] = {
    "ResNet50": (resnet50, lambda: image(224)),
    "MobileNetV2": (mobilenet_v2, lambda: image(224)),
    "InceptionV3": (inception_v3, lambda: image(299)),
    "YOLO-like": (YoloLike, lambda: image(640)),
    "ViT-B": (VisionTransformer, lambda: image(224)),
    "BERT-base": (Bert, lambda: tokens(128, 3)),
    "GPT-2": (Gpt2, lambda: tokens(128, 1)),
}
