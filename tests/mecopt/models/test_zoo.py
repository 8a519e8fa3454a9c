"""The networks: every published figure, the cuts, and the chains made of them."""

import csv
import json
from itertools import combinations, pairwise
from math import prod

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from places import DATA

from mecopt import models
from mecopt.cli.models import models as command
from mecopt.errors import InputError
from mecopt.models.cut import balanced, cut
from mecopt.models.layers import Conv, Linear, Pooling, Residual
from mecopt.models.network import Network
from mecopt.models.zoo import CIFAR10, VGG16_STAGES, resnet_layers, vgg_features

with (DATA / "dnn_facts.csv").open(newline="") as table:
    FACTS = {row["model"]: row for row in csv.DictReader(table)}

# Name in mecopt, name in the table of facts.
SIX = {
    "alexnet-cifar10": "alexnet_cifar_bearpaw",
    "nin-cifar10": "nin_cifar_mavenlin",
    "vgg16-cifar10": "vgg16bn_cifar_kuangliu(512-10)",
    "resnet32-cifar10": "resnet32_cifar_optionA",
    "alexnet-224": "alexnet_imagenet_torchvision",
    "vgg16-224": "vgg16_imagenet_torchvision",
}

# The same layers in other published networks: the counting, not only the six lists, is right.
RELATIVES = {
    "vgg16bn_cifar_chenyaofo(512-512-512-10)": (
        *vgg_features(VGG16_STAGES, norm=True),
        *(Linear(f"fc{i}", values) for i, values in enumerate((512, 512, 10))),
    ),
    "vgg16_cifar_noBN(512-4096-4096-10)": (
        *vgg_features(VGG16_STAGES),
        *(Linear(f"fc{i}", values) for i, values in enumerate((4096, 4096, 10))),
    ),
    "resnet20_cifar_optionA": resnet_layers(3),
    "resnet56_cifar_optionA": resnet_layers(9),
}

EVERY_CUT = [(name, m) for name in SIX for m in range(1, models.network(name).max_blocks + 1)]


def assert_facts(network, row):
    assert network.params == int(row["params_computed"])
    assert network.macs == int(row["macs_hand"]) == int(row["macs_torch_flopcounter_over_2"])
    assert 4 * network.params == int(row["param_bytes_fp32"])
    largest = max(layer.output_values for layer in network.layers)
    assert 4 * largest == int(row["largest_layer_output_bytes_fp32"])


class TestCounting:
    def test_names(self):
        assert models.names() == tuple(SIX)

    @pytest.mark.parametrize("name", SIX)
    def test_published_figures(self, name):
        assert_facts(models.network(name), FACTS[SIX[name]])

    @pytest.mark.parametrize("fact", RELATIVES)
    def test_published_figures_of_relatives(self, fact):
        assert_facts(Network.of(fact, CIFAR10, RELATIVES[fact], "tests"), FACTS[fact])

    @pytest.mark.parametrize("name", SIX)
    def test_the_input_is_that_of_the_facts(self, name):
        assert "x".join(map(str, models.network(name).input_shape)) == FACTS[SIX[name]]["input"]

    @pytest.mark.parametrize("name", SIX)
    def test_layer_names_are_unique(self, name):
        layers = models.network(name).layers
        assert len({layer.name for layer in layers}) == len(layers)

    def test_shapes_behind_the_layers(self):
        shapes = {layer.name: layer.output_shape for layer in models.network("nin-cifar10").layers}
        assert shapes["pool1"] == (96, 16, 16)  # 15 x 15 without rounding up
        assert shapes["pool2"] == (192, 8, 8)
        assert shapes["pool3"] == (10, 1, 1)
        shapes = {layer.name: layer.output_shape for layer in models.network("alexnet-224").layers}
        assert (shapes["conv1"], shapes["pool5"], shapes["fc8"]) == ((64, 55, 55), (256, 6, 6), (1000,))
        shapes = {layer.name: layer.output_shape for layer in models.network("resnet32-cifar10").layers}
        assert (shapes["unit2_1"], shapes["unit3_5"]) == ((32, 16, 16), (64, 8, 8))

    @pytest.mark.parametrize(
        ("wrong", "near"), [("vgg16", "vgg16-cifar10"), ("ResNet32", "resnet32"), ("zzz", "nin-cifar10")]
    )
    def test_an_unknown_name_gets_the_nearest(self, wrong, near):
        with pytest.raises(InputError, match=near):
            models.network(wrong)


def window_starts(side, kernel, stride, pad=0):
    """Starts of all windows, laid out one by one."""
    return [start for start in range(-pad, side + pad, stride) if start + kernel <= side + pad]


sides = st.integers(4, 40)
kernels = st.integers(1, 4)
strides = st.integers(1, 4)


class TestLayers:
    @given(sides, kernels, strides, st.integers(0, 2), st.integers(1, 5), st.booleans(), st.booleans())
    def test_convolution(self, side, kernel, stride, pad, inputs, bias, norm):
        conv = Conv("c", 7, kernel, stride, pad, bias, norm)
        windows = len(window_starts(side, kernel, stride, pad))
        assert conv.output((inputs, side, side)) == (7, windows, windows)
        weights = 7 * inputs * kernel * kernel
        assert conv.params((inputs, side, side)) == weights + 7 * bias + 14 * norm
        assert conv.macs((inputs, side, side)) == weights * windows**2

    @given(sides, sides, kernels, strides)
    def test_pooling_rounds_down(self, height, width, kernel, stride):
        expected = tuple(len(window_starts(side, kernel, stride)) for side in (height, width))
        assert Pooling("p", "max", kernel, stride).output((3, height, width)) == (3, *expected)

    @given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(1, 20))
    def test_linear(self, shape, values):
        linear = Linear("l", values)
        assert linear.output(tuple(shape)) == (values,)
        assert linear.macs(tuple(shape)) == values * prod(shape)
        assert linear.params(tuple(shape)) == values * prod(shape) + values

    def test_residual_unit_is_two_convolutions(self):
        unit = Residual("u", 32, stride=2)
        assert unit.output((16, 32, 32)) == (32, 16, 16)
        assert unit.params((16, 32, 32)) == 9 * 16 * 32 + 9 * 32 * 32 + 4 * 32
        assert unit.macs((16, 32, 32)) == 16 * 16 * (9 * 16 * 32 + 9 * 32 * 32)

    @settings(deadline=None)  # the first example imports torch
    @given(sides, kernels, strides, st.integers(0, 2), st.booleans())
    def test_shapes_are_those_of_torch(self, side, kernel, stride, pad, ceil):
        torch = pytest.importorskip("torch")
        map_ = torch.zeros(1, 3, side, side)
        conv = torch.nn.Conv2d(3, 7, kernel, stride, pad)
        assert Conv("c", 7, kernel, stride, pad).output((3, side, side)) == tuple(conv(map_).shape[1:])
        assert Conv("c", 7, kernel, stride, pad).params((3, side, side)) == sum(
            p.numel() for p in conv.parameters()
        )
        pool = torch.nn.MaxPool2d(kernel, stride, ceil_mode=ceil)
        assert Pooling("p", "max", kernel, stride, ceil).output((3, side, side)) == tuple(
            pool(map_).shape[1:]
        )


class TestCuts:
    def test_default_cuts_as_stated(self):
        def layers(name):
            network = models.network(name)
            return [[row.name for row in network.layers[s.first : s.last]] for s in network.segments()]

        alexnet = [["conv1", "pool1"], ["conv2", "pool2"], ["conv3"], ["conv4"], ["conv5", "pool5"]]
        stages = [[f"conv{s}_{i}" for i in range(1, n + 1)] for s, n in enumerate((2, 2, 3, 3, 3), 1)]
        stages = [[*convs, f"pool{s}"] for s, convs in enumerate(stages, 1)]
        assert layers("alexnet-cifar10") == [*alexnet, ["fc"]]
        assert layers("alexnet-224") == [*alexnet, ["fc6", "fc7", "fc8"]]
        assert layers("vgg16-cifar10") == [*stages, ["fc"]]
        assert layers("vgg16-224") == [*stages, ["fc6", "fc7", "fc8"]]

    def test_default_cuts_by_the_rule(self):
        def names(name):
            return [segment.name for segment in models.network(name).segments()]

        assert names("nin-cifar10") == [
            "conv1", "cccp1", "cccp2+pool1", "conv2", "cccp3..pool2", "conv3..pool3",
        ]  # fmt: skip
        assert names("resnet32-cifar10") == [
            "conv1..unit1_2", "unit1_3..unit1_5", "unit2_1..unit2_3",
            "unit2_4..unit3_1", "unit3_2+unit3_3", "unit3_4..fc",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("name", "most"),
        [("vgg16-cifar10", 19), ("resnet32-cifar10", 18), ("vgg16-224", 21), ("alexnet-224", 11)],
    )
    def test_largest_number_of_blocks(self, name, most):
        assert models.network(name).max_blocks == most
        assert len(models.chain(name, most).blocks) == most

    @pytest.mark.parametrize(("name", "blocks"), EVERY_CUT)
    def test_segments_join_up_and_sum_to_the_whole(self, name, blocks):
        network = models.network(name)
        segments = network.segments(blocks)
        assert len(segments) == blocks
        assert (segments[0].first, segments[-1].last) == (0, len(network.layers))
        assert all(a.last == b.first and a.output_values == b.input_values for a, b in pairwise(segments))
        assert all(s.first < s.last for s in segments)
        assert sum(s.macs for s in segments) == network.macs
        assert sum(s.params for s in segments) == network.params
        assert segments[0].input_values == network.input_values
        assert segments[-1].output_values == network.output_values
        assert len({s.name for s in segments}) == blocks

    @pytest.mark.parametrize("name", SIX)
    def test_every_cut_refines_the_coarser_ones(self, name):
        network = models.network(name)
        points = [{s.first for s in network.segments(m)} for m in range(1, network.max_blocks + 1)]
        assert all(coarse < fine for coarse, fine in pairwise(points))

    def test_poolings_of_vgg16_are_cut_off_last(self):
        assert all(s.macs for s in models.network("vgg16-cifar10").segments(14))
        assert sum(not s.macs for s in models.network("vgg16-cifar10").segments(18)) == 4

    @pytest.mark.parametrize("blocks", [0, -1, 20, 2.5, None, "6"])
    def test_a_number_out_of_range_names_the_range(self, blocks):
        with pytest.raises(InputError, match="from 1 to 19 for vgg16-cifar10"):
            models.chain("vgg16-cifar10", blocks)


costs = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9)), min_size=1, max_size=9).map(
    lambda pairs: tuple(zip(*pairs, strict=True))
)


def parts(macs, points):
    return [sum(macs[first:last]) for first, last in pairwise((0, *points, len(macs)))]


class TestCutRule:
    @given(costs)
    def test_cuts_are_nested_and_complete(self, cost):
        macs, entering = cost
        cuts = [set(cut(macs, entering, m)) for m in range(1, len(macs) + 1)]
        assert [len(points) for points in cuts] == list(range(len(macs)))
        assert all(coarse < fine for coarse, fine in pairwise(cuts))
        assert cuts[-1] == set(range(1, len(macs)))

    @given(costs, st.data())
    def test_the_start_has_the_smallest_largest_block(self, cost, data):
        macs, entering = cost
        blocks = data.draw(st.integers(1, len(macs)))
        chosen = max(parts(macs, balanced(macs, entering, blocks)))
        every = combinations(range(1, len(macs)), blocks - 1)
        assert chosen == min(max(parts(macs, points)) for points in every)

    @given(costs)
    def test_nothing_free_is_cut_off_while_work_can_be_split(self, cost):
        macs, entering = cost
        for blocks in range(6, len(macs)):
            coarse, fine = cut(macs, entering, blocks), cut(macs, entering, blocks + 1)
            edges = pairwise((0, *coarse, len(macs)))
            could = any(sum(m > 0 for m in macs[first:last]) > 1 for first, last in edges)
            free = parts(macs, fine).count(0) - parts(macs, coarse).count(0)
            assert free == 0 or not could

    def test_ties_go_where_less_crosses_then_earliest(self):
        assert cut((4, 0, 4), (9, 9, 2), 2, start=()) == balanced((4, 0, 4), (9, 9, 2), 2) == (2,)
        assert cut((4, 0, 4), (9, 2, 2), 2, start=()) == balanced((4, 0, 4), (9, 2, 2), 2) == (1,)
        assert cut((4, 4, 4, 4), (1,) * 4, 3, start=(2,)) == (1, 2)

    def test_merging_takes_the_smallest_neighbours(self):
        assert cut((5, 1, 1, 5, 2, 9), (1,) * 6, 5) == (1, 3, 4, 5)


class TestChain:
    @pytest.mark.parametrize(("name", "blocks"), EVERY_CUT)
    def test_defaults(self, name, blocks):
        network, model = models.network(name), models.chain(name, blocks)
        assert model.name == name
        for segment, block in zip(network.segments(blocks), model.blocks, strict=True):
            assert block.name == segment.name
            assert block.cycles == segment.macs
            assert block.param_bytes == 4 * segment.params
            assert block.input_bits == 32 * segment.input_values
        assert model.output_bits == (32_000 if name.endswith("224") else 320)

    def test_camera_figures_of_alexnet(self):
        model = models.chain("alexnet-224", cycles_per_mac=0.5)
        values = (3 * 224 * 224, 64 * 27 * 27, 192 * 13 * 13, 384 * 13 * 13, 256 * 13 * 13, 256 * 6 * 6)
        assert [b.input_bits for b in model.blocks] == [32 * v for v in values]
        assert sum(b.cycles for b in model.blocks) == 714188480 / 2

    @given(st.floats(1e-3, 1e3), st.sampled_from([0.5, 1, 2, 4, 8]), st.integers(1, 12))
    def test_parameters_scale_the_chain(self, cycles_per_mac, size, blocks):
        options = {"cycles_per_mac": cycles_per_mac, "bytes_per_value": size}
        model, plain = models.chain("nin-cifar10", blocks, **options), models.chain("nin-cifar10", blocks)
        for block, reference in zip(model.blocks, plain.blocks, strict=True):
            assert block.cycles == pytest.approx(cycles_per_mac * reference.cycles, rel=1e-12)
            assert block.param_bytes == reference.param_bytes * size / 4
        for block, reference in zip(model.blocks[1:], plain.blocks[1:], strict=True):
            assert block.input_bits == reference.input_bits * size / 4
        assert model.blocks[0].input_bits == plain.blocks[0].input_bits  # the raw input is no feature map
        assert model.output_bits == plain.output_bits * size / 4

    @pytest.mark.parametrize(("encoding", "size"), [("float32", 4 * 3072), ("uint8", 3072), (1500, 1500)])
    @pytest.mark.parametrize("size_of_values", [1, 4])
    def test_input_encodings(self, encoding, size, size_of_values):
        model = models.chain("vgg16-cifar10", input=encoding, bytes_per_value=size_of_values)
        assert model.blocks[0].input_bits == 8 * size
        assert model.blocks[1].input_bits == 8 * size_of_values * 64 * 16 * 16

    def test_model_name(self):
        assert models.chain("nin-cifar10", model_name="camera").name == "camera"

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            *(("cycles_per_mac", value) for value in (0, -1.0, float("nan"))),
            *(("bytes_per_value", value) for value in (0, float("inf"))),
            *(("input", value) for value in ("jpeg", 0, -1, 2.5)),
        ],
    )
    def test_wrong_parameters_are_named(self, option, value):
        with pytest.raises(InputError, match=f"^{option}: .*expected"):
            models.chain("nin-cifar10", **{option: value})


class TestCommand:
    @staticmethod
    def run(*arguments):
        return CliRunner().invoke(command, list(arguments), env={"COLUMNS": "80"})

    def test_all(self):
        result = self.run()
        assert result.exit_code == 0
        for name in SIX:
            assert f"{name} " in result.output
            assert f"{models.network(name).macs:,} " in result.output

    @pytest.mark.parametrize("name", SIX)
    def test_one(self, name):
        result = self.run(name, "--blocks", "4")
        network = models.network(name)
        assert result.exit_code == 0
        words = result.output.split()
        for label in (*(row.name for row in network.layers), *(s.name for s in network.segments(4))):
            assert label in words
        assert words.count(f"{network.macs:,}") == 3  # layers, and multiply-adds and cycles of the blocks

    def test_json_is_one_document_that_holds_a_model(self):
        options = ("--blocks", "3", "--cycles-per-mac", "0.5", "--bytes-per-value", "2", "--input", "700")
        document = json.loads(self.run("nin-cifar10", *options, "--json").stdout)
        expected = models.chain("nin-cifar10", 3, cycles_per_mac=0.5, bytes_per_value=2, input=700)
        assert document["model"]["output_bits"] == expected.output_bits
        assert [block["cycles"] for block in document["model"]["blocks"]] == [
            b.cycles for b in expected.blocks
        ]
        assert document["model"]["blocks"][0]["input_bits"] == 5600
        assert sum(layer["params"] for layer in document["layers"]) == document["params"] == 966986

    def test_json_of_all(self):
        documents = json.loads(self.run("--json").stdout)
        assert [document["name"] for document in documents if "kind" not in document] == list(SIX)

    def test_errors(self):
        assert isinstance(self.run("vgg").exception, InputError)
        assert isinstance(self.run("vgg16-224", "--blocks", "22").exception, InputError)
        assert isinstance(self.run("vgg16-224", "--input", "png").exception, InputError)
        result = self.run("--blocks", "3")
        assert result.exit_code == 2
        assert "--blocks needs the NAME" in result.output
