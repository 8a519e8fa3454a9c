"""The six networks as lists of layers, each written after its published source.

Left out because they are the identity at these input sizes: the 1x1 average pooling behind the features of
kuangliu's VGG16, and the adaptive average poolings of torchvision's AlexNet (6x6) and VGG16 (7x7).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from mecopt.models.layers import Conv, Layer, Linear, Pooling, Residual
from mecopt.models.network import Network

CIFAR10 = (3, 32, 32)
IMAGENET = (3, 224, 224)

# Last layers of the first five blocks, where the cut into six is given rather than computed.
ALEXNET_SIX = ("pool1", "pool2", "conv3", "conv4", "pool5")
VGG16_SIX = ("pool1", "pool2", "pool3", "pool4", "pool5")

VGG16_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def alexnet_cifar10() -> Network:
    """AlexNet for CIFAR-10 as in bearpaw/pytorch-classification, models/cifar/alexnet.py."""
    layers = (
        Conv("conv1", 64, 11, stride=4, pad=5),
        Pooling("pool1", "max", 2, stride=2),
        Conv("conv2", 192, 5, pad=2),
        Pooling("pool2", "max", 2, stride=2),
        Conv("conv3", 384, 3, pad=1),
        Conv("conv4", 256, 3, pad=1),
        Conv("conv5", 256, 3, pad=1),
        Pooling("pool5", "max", 2, stride=2),
        Linear("fc", 10),
    )
    source = "https://github.com/bearpaw/pytorch-classification"
    return Network.of("alexnet-cifar10", CIFAR10, layers, source, ALEXNET_SIX)


def nin_cifar10() -> Network:
    """Network in Network for CIFAR-10 (Lin et al. 2013) as in the authors' Caffe model; poolings round up."""
    layers = (
        Conv("conv1", 192, 5, pad=2),
        Conv("cccp1", 160, 1),
        Conv("cccp2", 96, 1),
        Pooling("pool1", "max", 3, stride=2, ceil=True),
        Conv("conv2", 192, 5, pad=2),
        Conv("cccp3", 192, 1),
        Conv("cccp4", 192, 1),
        Pooling("pool2", "avg", 3, stride=2, ceil=True),
        Conv("conv3", 192, 3, pad=1),
        Conv("cccp5", 192, 1),
        Conv("cccp6", 10, 1),
        Pooling("pool3", "avg", 8, stride=1),
    )
    return Network.of("nin-cifar10", CIFAR10, layers, "https://gist.github.com/mavenlin/e56253735ef32c3c296d")


def vgg16_cifar10() -> Network:
    """VGG16 for CIFAR-10, batch-normalised, head 512-10, as in kuangliu/pytorch-cifar, models/vgg.py."""
    layers = (*vgg_features(VGG16_STAGES, norm=True), Linear("fc", 10))
    source = "https://github.com/kuangliu/pytorch-cifar"
    return Network.of("vgg16-cifar10", CIFAR10, layers, source, VGG16_SIX)


def resnet32_cifar10() -> Network:
    """ResNet32 for CIFAR-10 (He et al. 2015, option A) as in akamaster/pytorch_resnet_cifar10, resnet.py."""
    source = "https://github.com/akamaster/pytorch_resnet_cifar10"
    return Network.of("resnet32-cifar10", CIFAR10, resnet_layers(5), source)


def alexnet_224() -> Network:
    """AlexNet for ImageNet (Krizhevsky 2014, one tower) as in torchvision.models.alexnet."""
    layers = (
        Conv("conv1", 64, 11, stride=4, pad=2),
        Pooling("pool1", "max", 3, stride=2),
        Conv("conv2", 192, 5, pad=2),
        Pooling("pool2", "max", 3, stride=2),
        Conv("conv3", 384, 3, pad=1),
        Conv("conv4", 256, 3, pad=1),
        Conv("conv5", 256, 3, pad=1),
        Pooling("pool5", "max", 3, stride=2),
        Linear("fc6", 4096),
        Linear("fc7", 4096),
        Linear("fc8", 1000),
    )
    source = "https://docs.pytorch.org/vision/stable/models/alexnet.html"
    return Network.of("alexnet-224", IMAGENET, layers, source, ALEXNET_SIX)


def vgg16_224() -> Network:
    """VGG16 for ImageNet (Simonyan and Zisserman 2014, configuration D) as in torchvision.models.vgg16."""
    head = (Linear("fc6", 4096), Linear("fc7", 4096), Linear("fc8", 1000))
    source = "https://docs.pytorch.org/vision/stable/models/vgg.html"
    return Network.of("vgg16-224", IMAGENET, (*vgg_features(VGG16_STAGES), *head), source, VGG16_SIX)


def vgg_features(stages: Sequence[Sequence[int]], norm: bool = False) -> list[Layer]:
    """Return stages of 3x3 convolutions, each closed by a 2x2 maximum pooling."""
    layers: list[Layer] = []
    for stage, widths in enumerate(stages, 1):
        for i, width in enumerate(widths, 1):
            layers.append(Conv(f"conv{stage}_{i}", width, 3, pad=1, norm=norm))
        layers.append(Pooling(f"pool{stage}", "max", 2, stride=2))
    return layers


def resnet_layers(units: int) -> list[Layer]:
    """Return the residual network of 6 `units` + 2 weighted layers for CIFAR-10."""
    layers: list[Layer] = [Conv("conv1", 16, 3, pad=1, bias=False, norm=True)]
    for stage, width in enumerate((16, 32, 64), 1):
        for i in range(1, units + 1):
            stride = 2 if i == 1 and stage > 1 else 1
            layers.append(Residual(f"unit{stage}_{i}", width, stride))
    return [*layers, Pooling("avgpool", "avg", 8, stride=8), Linear("fc", 10)]


ZOO = {
    "alexnet-cifar10": cache(alexnet_cifar10),
    "nin-cifar10": cache(nin_cifar10),
    "vgg16-cifar10": cache(vgg16_cifar10),
    "resnet32-cifar10": cache(resnet32_cifar10),
    "alexnet-224": cache(alexnet_224),
    "vgg16-224": cache(vgg16_224),
}
