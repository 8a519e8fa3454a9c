"""Language models: parameters as published, work counted token by token, the entry for an instance file."""

import json
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise
from math import isclose

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from mecopt import models
from mecopt.cli.models import models as command
from mecopt.errors import InputError
from mecopt.models import language
from mecopt.models.language.hugging_face import FAMILIES, configuration
from mecopt.models.language.work import reached

LLAMA = language.model("llama-3-8b")
SMALL = {
    "num_hidden_layers": 3, "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 40, "vocab_size": 50,
}  # fmt: skip
SMALL_GPT2 = {"n_layer": 3, "n_embd": 24, "n_head": 4, "n_positions": 16, "vocab_size": 50}
MORE = {
    "gemma": {"head_dim": 8},
    "gemma2": {"head_dim": 8, "sliding_window": 5},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
}


def small(kind, **changes):
    """Return a small config.json of a family; a value of None leaves its key out."""
    config = {"model_type": kind, **(SMALL_GPT2 if kind == "gpt2" else {**SMALL, **MORE.get(kind, {})})}
    return {key: value for key, value in {**config, **changes}.items() if value is not None}


def shipped(name):
    return json.loads((files("mecopt") / "data" / "language" / f"{name}.json").read_text())


def tensors(config):
    """Return the shapes of all tensors of a model, named as in its weight file, from its config.json."""
    kind = config["model_type"]
    gpt2 = kind == "gpt2"
    h = config["n_embd" if gpt2 else "hidden_size"]
    heads = config["n_head" if gpt2 else "num_attention_heads"]
    kv = config.get("num_key_value_heads") or heads
    dim = config.get("head_dim") or h // heads
    inner = config.get("n_inner") or 4 * h if gpt2 else config["intermediate_size"]
    v, q, k = config["vocab_size"], heads * dim, kv * dim
    tied = config.get("tie_word_embeddings", kind in ("gemma", "gemma2", "gpt2"))
    layer_norm = kind in ("gpt2", "phi", "gpt_neox")
    found = {"embed": (v, h), "norm": (h,)}
    if layer_norm:
        found["norm.bias"] = (h,)
    if not tied:
        found["lm_head"] = (v, h)
    if kind == "phi":
        found["lm_head.bias"] = (v,)
    if gpt2:
        found["positions"] = (config["n_positions"], h)
    attention = config.get("attention_bias", kind == "gpt_neox")
    bias = {
        "qkv": attention or kind in ("qwen2", "phi", "gpt2"),
        "o": attention or kind in ("phi", "gpt2"),
        "mlp": config.get("mlp_bias", False) or layer_norm,
    }
    for i in range(config["n_layer" if gpt2 else "num_hidden_layers"]):
        found |= {f"{i}.q": (q, h), f"{i}.k": (k, h), f"{i}.v": (k, h), f"{i}.o": (h, q)}
        if bias["qkv"]:
            found |= {f"{i}.q.bias": (q,), f"{i}.k.bias": (k,), f"{i}.v.bias": (k,)}
        if bias["o"]:
            found[f"{i}.o.bias"] = (h,)
        for n in range({"phi": 1, "gemma2": 4}.get(kind, 2)):
            found[f"{i}.norm{n}"] = (h,)
            if layer_norm:
                found[f"{i}.norm{n}.bias"] = (h,)
        if kind == "mixtral":
            found[f"{i}.router"] = (config["num_local_experts"], h)
        for e in range(config["num_local_experts"] if kind == "mixtral" else 1):
            ways = {"up": (inner, h), "down": (h, inner)} | ({} if layer_norm else {"gate": (inner, h)})
            for way, shape in ways.items():
                found[f"{i}.{e}.{way}"] = shape
                if bias["mlp"]:
                    found[f"{i}.{e}.{way}.bias"] = shape[:1]
    return found


def size(shapes):
    total = 0
    for shape in shapes.values():
        product = 1
        for side in shape:
            product *= side
        total += product
    return total


class TestParameters:
    def test_the_names_are_those_of_the_files(self):
        folder = files("mecopt") / "data" / "language"
        assert {f"{name}.json" for name in language.names()} == {file.name for file in folder.iterdir()}
        assert all(shipped(name)["name"] == name for name in language.names())
        assert not set(language.names()) & set(models.names())

    @pytest.mark.parametrize("name", language.names())
    def test_totals_as_published(self, name):
        model = language.model(name)
        if model.published_params is not None:
            assert model.configuration.params == model.published_params
            assert model.published_source.startswith("https://")
        assert model.source.startswith("https://")

    def test_published_totals_cover_five_families_and_more(self):
        checked = [model for model in map(language.model, language.names()) if model.published_params]
        assert len({model.family for model in checked}) >= 8
        assert len(checked) >= 10

    @pytest.mark.parametrize("name", language.names())
    def test_totals_are_those_of_the_tensors(self, name):
        assert language.model(name).configuration.params == size(tensors(shipped(name)["config"]))

    @pytest.mark.parametrize("kind", FAMILIES)
    @given(data=st.data())
    def test_small_models_of_every_family(self, kind, data):
        counts = st.integers(1, 6)
        heads, groups, dim = data.draw(counts), data.draw(counts), 2 * data.draw(counts)
        if kind == "gpt2":
            changes = {"n_layer": data.draw(counts), "n_head": heads, "n_embd": heads * dim}
            changes["n_inner"] = data.draw(st.none() | st.integers(1, 60))
        else:
            changes = {
                "num_hidden_layers": data.draw(counts), "num_attention_heads": heads * groups,
                "num_key_value_heads": heads, "hidden_size": heads * groups * dim,
                "intermediate_size": data.draw(st.integers(1, 60)), "head_dim": 2 * data.draw(counts),
            }  # fmt: skip
        if kind == "gpt_neox":
            changes |= {"num_key_value_heads": None, "head_dim": None}
        for flag in ("tie_word_embeddings", "attention_bias", "mlp_bias"):
            if flag in {key for key, _ in FAMILIES[kind].flags.values()}:
                changes[flag] = data.draw(st.sampled_from([None, False, True]))
        config = small(kind, **changes)
        assert configuration(config).params == size(tensors(config))

    def test_blocks_of_pythia_160m(self):
        """Its card gives 85,056,000 parameters without the embeddings."""
        config = {
            "model_type": "gpt_neox", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
            "intermediate_size": 3072, "vocab_size": 50304, "tie_word_embeddings": False,
        }  # fmt: skip
        counted = configuration(config)
        assert counted.params - 2 * counted.table_params == 85_056_000

    @pytest.mark.parametrize("name", language.names())
    def test_blocks_sum_to_the_whole(self, name):
        counted = language.model(name).configuration
        blocks = language.count(counted, language.phases(5, 3), 8)
        assert len(blocks) == counted.layers + 2
        assert len({block.name for block in blocks}) == len(blocks)
        shared = {block.tied for block in blocks if block.tied}
        assert len(shared) == counted.tied
        assert sum(block.params for block in blocks) + sum(shared) == counted.params

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            *((name, value) for name in ("layers", "heads", "hidden") for value in (0, 2.5, "4", None, True)),
            ("layers", 10**9), ("kv_heads", 3), ("norm", "batch"), ("tied", 1), ("experts", -1),
            ("experts_per_token", 2), ("windows", (4,)), ("windows", (-1,) * 32), ("windows", (2.5,) * 32),
        ],
    )  # fmt: skip
    def test_wrong_fields_are_named(self, field, value):
        with pytest.raises(InputError, match=rf"^{field}(\[0\])?: .*expected"):
            replace(LLAMA.configuration, **{field: value})

    def test_experts_need_a_choice(self):
        with pytest.raises(InputError, match=r"^experts_per_token: 0, expected 1 to 8"):
            replace(LLAMA.configuration, experts=8)

    def test_every_wrong_field_is_reported(self):
        with pytest.raises(InputError) as caught:
            replace(LLAMA.configuration, layers=0, hidden=-1)
        assert len(caught.value.problems) == 2


def token_by_token(c, position, window):
    """Return the multiply-adds of one token in one layer, and the positions that it attends to."""
    seen = sum(1 for other in range(1, position + 1) if not window or other > position - window)
    projections = c.hidden * c.head_dim * (2 * c.heads + 2 * c.kv_heads)
    scores_and_sums = c.heads * seen * c.head_dim * 2
    mlp = (3 if c.gated else 2) * c.hidden * c.intermediate
    mlps = (c.experts_per_token * mlp + c.experts * c.hidden) if c.experts else mlp
    return projections + scores_and_sums + mlps, seen


some = st.sampled_from([configuration(small(kind)) for kind in FAMILIES if kind != "gpt2"])


class TestWork:
    @given(st.integers(1, 30), st.integers(0, 30), st.integers(0, 20))
    def test_positions_reached(self, first, more, window):
        positions = range(first, first + more + 1)
        assert reached(first, first + more, window) == sum(min(p, window) if window else p for p in positions)

    @given(some, st.integers(1, 12), st.integers(0, 12), st.integers(0, 9))
    def test_multiply_adds_token_by_token(self, counted, prefill, decode, window):
        counted = replace(counted, windows=(window,) * counted.layers)
        positions = range(1, prefill + decode + 1)
        costs = [token_by_token(counted, position, window) for position in positions]
        blocks = language.count(counted, language.phases(prefill, decode), prefill + decode)
        for layer in blocks[1:-1]:
            assert layer.macs[0] == sum(macs for macs, _ in costs[:prefill])
            assert layer.cache_moved[0] == costs[prefill - 1][1] * counted.cache_values
            assert layer.cache_positions == costs[-1][1]
            if decode:
                assert isclose(
                    decode * layer.macs[1], sum(macs for macs, _ in costs[prefill:]), rel_tol=1e-12
                )
                moved = counted.cache_values * sum(seen for _, seen in costs[prefill:])
                assert isclose(decode * layer.cache_moved[1], moved, rel_tol=1e-12)
        assert set(blocks[-1].macs) == {counted.hidden * counted.vocabulary}
        assert set(blocks[0].macs) == {0}

    def test_a_token_without_a_past_meets_every_weight_once(self):
        c = LLAMA.configuration
        macs = sum(block.macs[0] for block in language.count(c, language.phases(1, 0), 1))
        norms = (2 * c.layers + 1) * c.hidden
        itself = 2 * c.layers * c.heads * c.head_dim
        assert macs == c.params - c.vocabulary * c.hidden - norms + itself

    def test_experts_read_are_those_chosen(self):
        c = language.model("mixtral-8x7b").configuration
        one, few, many = (language.count(c, language.phases(t, 0), t)[1].params_read[0] for t in (1, 3, 99))
        assert few - one == 4 * c.mlp_params
        assert many == c.layer_params == one + 6 * c.mlp_params


FIELDS = {"name", "cycles", "input_bits", "param_bytes", "read_bytes", "state_bytes", "state_read_bytes"}
PER_PHASE = ("cycles", "input_bits", "read_bytes", "state_read_bytes")


class TestDocument:
    @pytest.mark.parametrize("name", language.names())
    @pytest.mark.parametrize(("prefill", "decode"), [(16, 4), (1, 1), (7, 0)])
    def test_it_has_the_fields_of_the_format(self, name, prefill, decode):
        model = language.model(name)
        entry = json.loads(json.dumps(language.document(model, prefill=prefill, decode=decode)))
        assert set(entry) == {"name", "phases", "output_bits", "blocks", "shared_params"}
        repeats = {"prefill": 1, "decode": decode} if decode else {"prefill": 1}
        assert entry["phases"] == [{"name": phase, "repeat": times} for phase, times in repeats.items()]
        assert len(entry["output_bits"]) == len(repeats)
        for block in entry["blocks"]:
            assert set(block) == FIELDS
            assert all(len(block[field]) == len(repeats) for field in PER_PHASE)
            values = [block["param_bytes"], block["state_bytes"], *(v for f in PER_PHASE for v in block[f])]
            assert all(isinstance(value, float) and value >= 0 for value in values)
        names = {block["name"] for block in entry["blocks"]}
        assert all(set(part["blocks"]) <= names for part in entry["shared_params"])
        held = sum(b["param_bytes"] for b in entry["blocks"]) + sum(
            p["bytes"] for p in entry["shared_params"]
        )
        assert held == 2 * model.configuration.params

    def test_llama_by_hand(self):
        """The worked example of docs/models.md."""
        entry = language.document(LLAMA, prefill=512, decode=200)
        first, layer, *_, head = entry["blocks"]
        assert sum(block["state_bytes"] for block in entry["blocks"]) == 131_072 * 712
        assert layer["state_bytes"] == 2 * 8 * 128 * 2 * 712
        assert layer["state_read_bytes"] == [4096 * 512, 4096 * 612.5]
        weights = 4096 * 128 * (32 + 8 + 8 + 32) + 3 * 4096 * 14336
        assert layer["cycles"] == [
            512 * weights + 2 * 4096 * (512 * 513 // 2),
            weights + 2 * 4096 * 612.5,
        ]
        assert layer["param_bytes"] == 2 * (weights + 2 * 4096)
        assert layer["read_bytes"] == [layer["param_bytes"]] * 2
        assert layer["input_bits"] == [16 * 4096 * 512, 16 * 4096]
        assert first["input_bits"] == [32 * 512, 32]
        assert first["read_bytes"] == [2 * 4096 * 512, 2 * 4096]
        assert head["cycles"] == [4096 * 128256] * 2
        assert head["input_bits"] == [16 * 4096] * 2
        assert entry["output_bits"] == [32, 32]
        assert entry["shared_params"] == []

    def test_a_tied_table_is_held_once(self):
        model = language.model("qwen2.5-0.5b")
        entry = language.document(model)
        table = 2 * 151936 * 896
        assert entry["shared_params"] == [
            {"name": "embedding table", "bytes": table, "blocks": ["embedding", "head"]}
        ]
        assert entry["blocks"][0]["param_bytes"] == 0
        assert entry["blocks"][-1]["param_bytes"] == 2 * 896
        assert entry["blocks"][-1]["read_bytes"] == [table + 2 * 896] * 2

    def test_learned_positions(self):
        model = language.model("gpt2")
        entry = language.document(model, prefill=10, decode=5)
        assert entry["blocks"][0]["param_bytes"] == 2 * 1024 * 768
        assert entry["blocks"][0]["read_bytes"] == [2 * 2 * 10 * 768, 2 * 2 * 768]
        assert language.document(model, prefill=1000, decode=24)["name"] == "gpt2"
        with pytest.raises(InputError, match=r"^prefill \+ decode: 1025, expected at most 1024"):
            language.document(model, prefill=1000, decode=25)

    def test_windows_bound_the_cache(self):
        entry = language.document(language.model("gemma-2-2b"), prefill=6000, decode=100)
        a_token = 2 * 4 * 256 * 2
        held = [block["state_bytes"] / a_token for block in entry["blocks"][1:5]]
        assert held == [4096, 6100, 4096, 6100]

    @given(
        st.sampled_from(language.names()), st.integers(1, 500), st.integers(1, 300),
        st.sampled_from([4, 4.5, 8, 32]), st.sampled_from([4, 8]), st.sampled_from([8, 32]),
    )  # fmt: skip
    def test_options_scale(self, name, prefill, decode, weight, kv, activation):
        model = language.model(name)
        options = {"bits_per_weight": weight, "kv_bits": kv, "activation_bits": activation}
        entry = language.document(model, prefill=prefill, decode=decode, cycles_per_mac=0.5, **options)
        plain = language.document(model, prefill=prefill, decode=decode)
        for block, usual in zip(entry["blocks"], plain["blocks"], strict=True):
            assert isclose(block["param_bytes"], usual["param_bytes"] * weight / 16, rel_tol=1e-12)
            assert isclose(block["state_bytes"], usual["state_bytes"] * kv / 16, rel_tol=1e-12)
            assert block["cycles"] == [macs / 2 for macs in usual["cycles"]]
            scale = 1 if block["name"] == "embedding" else activation / 16
            assert block["input_bits"] == [bits * scale for bits in usual["input_bits"]]

    def test_context_name_and_output(self):
        entry = language.document(LLAMA, prefill=10, decode=5, context=4096, output="logits", name="chat")
        assert entry["name"] == "chat"
        assert entry["blocks"][1]["state_bytes"] == 4096 * 4096
        assert entry["output_bits"] == [16 * 128256] * 2
        usual = language.document(LLAMA, prefill=10, decode=5)
        assert entry["blocks"][1]["state_read_bytes"] == usual["blocks"][1]["state_read_bytes"]

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("prefill", 0), ("prefill", 2.5), ("prefill", None), ("decode", -1), ("decode", 10**10),
            ("context", 711), ("context", 0), ("bits_per_weight", 0), ("bits_per_weight", float("nan")),
            ("kv_bits", -1), ("kv_bits", 65), ("activation_bits", float("inf")), ("cycles_per_mac", 0),
            ("cycles_per_mac", 1e300), ("output", "text"),
        ],
    )  # fmt: skip
    def test_wrong_options_are_named(self, option, value):
        with pytest.raises(InputError, match=rf"^{option}: .*expected"):
            language.document(LLAMA, **{option: value})

    def test_names(self):
        with pytest.raises(InputError, match="did you mean llama-3-8b"):
            language.model("llama3-8b")


def write(folder, content, name="config.json"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


class TestReader:
    def test_a_file_and_its_content_are_the_same(self, tmp_path):
        config = shipped("llama-3-8b")["config"]
        folder = tmp_path / "my-llama"
        folder.mkdir()
        read = language.read(write(folder, {**config, "rope_theta": 5e5, "torch_dtype": "bfloat16"}))
        assert (read.name, read.family) == ("my-llama", "llama")
        assert read.configuration == language.read(config).configuration == LLAMA.configuration
        assert language.read(write(tmp_path, config, "other.json")).name == "other"
        assert language.read(config, "mine").name == "mine"
        assert language.read(config).published_params is None

    @pytest.mark.parametrize("kind", FAMILIES)
    def test_every_required_key_that_is_missing_is_named(self, kind):
        family, config = FAMILIES[kind], small(kind)
        for own, key in family.keys.items():
            without = {k: v for k, v in config.items() if k != key}
            if own in family.derived:
                configuration(without)
            else:
                with pytest.raises(InputError, match=rf"^{key}: missing, expected a whole number >= 1$"):
                    configuration(without)

    @pytest.mark.parametrize("kind", FAMILIES)
    @pytest.mark.parametrize("value", [0, -3, 2.5, "32", True, [1], float("nan")])
    def test_wrong_numbers_are_named(self, kind, value):
        key = FAMILIES[kind].keys["layers"]
        with pytest.raises(InputError, match=rf"^{key}: .*expected"):
            configuration(small(kind, **{key: value}))

    def test_defaults_of_the_families(self):
        assert configuration(small("llama", num_key_value_heads=None)).kv_heads == 4
        assert configuration(small("llama")).head_dim == 8
        assert configuration(small("llama", head_dim=10)).head_dim == 10
        assert configuration(small("gpt2")).intermediate == 96
        assert [kind for kind in FAMILIES if configuration(small(kind)).tied] == ["gemma", "gemma2", "gpt2"]
        assert configuration(small("llama", num_hidden_layers=3.0)).layers == 3

    def test_windows(self):
        late = {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1}
        types = ["full_attention", "sliding_attention", "full_attention"]
        for config, windows in (
            (small("mistral", sliding_window=7), (7, 7, 7)),
            (small("mistral"), ()),
            (small("phi3", sliding_window=7), (7, 7, 7)),
            (small("gemma2"), (5, 0, 5)),
            (small("gemma2", layer_types=types), (0, 5, 0)),
            (small("qwen2", **late), (0, 7, 7)),
            (small("qwen2", **{**late, "use_sliding_window": False}), ()),
            (small("llama", sliding_window=7), ()),
        ):
            assert configuration(config).windows == windows

    @pytest.mark.parametrize(
        ("config", "line"),
        [
            ({}, "model_type: missing, expected one of llama, mistral"),
            (small("bert"), "model_type: 'bert' is not known, expected one of llama, mistral"),
            (small("lama"), r"model_type: 'lama' is not known, .*\(did you mean llama\?\)"),
            ({"model_type": ["llama"]}, r"model_type: \['llama'\] is not known"),
            (
                small("llama", hidden_size=33),
                "hidden_size: 33, expected a multiple of num_attention_heads, 4",
            ),
            (
                small("llama", num_key_value_heads=3),
                "num_key_value_heads: 3, expected a divisor of the 4 heads",
            ),
            (small("llama", num_hidden_layers=10**12), "num_hidden_layers: 1000000000000, expected at most"),
            (small("mistral", num_hidden_layers=10**12, sliding_window=3), "num_hidden_layers: .*at most"),
            (small("llama", attention_bias="no"), "attention_bias: 'no', expected true or false"),
            (small("llama", tie_word_embeddings=0), "tie_word_embeddings: 0, expected true or false"),
            (small("mixtral", num_experts_per_tok=9), "num_experts_per_tok: 9, expected at most the 4"),
            (small("phi", qk_layernorm=True), "qk_layernorm: true, expected false"),
            (small("gpt2", add_cross_attention=True), "add_cross_attention: true, expected false"),
            (small("mistral", sliding_window=0), "sliding_window: 0, expected at least 1"),
            (small("gemma2", sliding_window=None), "sliding_window: missing, expected"),
            (small("gemma2", layer_types=["full_attention"]), "layer_types: .*expected a list of 3"),
            (small("gemma2", layer_types=["x"] * 3), r"layer_types\[0\]: 'x', expected one of sliding"),
            (small("gemma2", layer_types=[[]] * 3), r"layer_types\[0\]: \[\], expected one of sliding"),
            (small("qwen2", use_sliding_window=1), "use_sliding_window: 1, expected true or false"),
            (small("qwen2", use_sliding_window=True, sliding_window=3), "max_window_layers: None, expected"),
        ],
    )
    def test_what_is_wrong_is_said_in_one_line(self, config, line):
        with pytest.raises(InputError, match=f"^{line}") as caught:
            language.read(config)
        assert len(caught.value.problems) == 1

    def test_all_problems_are_said_together(self):
        config = small("llama", hidden_size=-1, vocab_size=None, attention_bias="yes")
        with pytest.raises(InputError) as caught:
            language.read(config)
        assert {problem.split(":")[0] for problem in caught.value.problems} == {
            "hidden_size", "vocab_size", "attention_bias",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("content", "line"),
        [
            ("", "not JSON"),
            ('{"model_type": "lla', "not JSON"),
            ("[1]", "expected an object"),
            ("{}", "model_type"),
        ],
    )
    def test_files_that_are_none(self, tmp_path, content, line):
        path = write(tmp_path, content)
        with pytest.raises(InputError, match=rf"config\.json: .*{line}") as caught:
            language.read(path)
        assert str(caught.value).count("config.json") == 1

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(InputError, match=r"none\.json: ") as caught:
            language.read(tmp_path / "none.json")
        assert str(caught.value).count("none.json") == 1


class TestTransformers:
    """Against the library that the configurations are of; it is no requirement of mecopt."""

    @staticmethod
    def built(config, device="meta"):
        torch = pytest.importorskip("torch")
        transformers = pytest.importorskip("transformers")
        settings = transformers.AutoConfig.for_model(
            **config, pad_token_id=0, attn_implementation="eager", experts_implementation="eager"
        )
        with torch.device(device):
            return transformers.AutoModelForCausalLM.from_config(settings).eval()

    @pytest.mark.parametrize("name", language.names())
    def test_parameters(self, name):
        network = self.built(shipped(name)["config"])
        assert sum(p.numel() for p in network.parameters()) == language.model(name).configuration.params

    @pytest.mark.parametrize("kind", FAMILIES)
    def test_parameters_of_small_models(self, kind):
        network = self.built(small(kind))
        assert sum(p.numel() for p in network.parameters()) == configuration(small(kind)).params

    @pytest.mark.parametrize("kind", FAMILIES)
    def test_multiply_adds(self, kind):
        """Its attention multiplies what is masked too, and its head takes every token."""
        network = self.built(small(kind), "cpu")
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        tokens, c = 9, replace(configuration(small(kind)), windows=())
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.ones(1, tokens, dtype=torch.long), use_cache=False)
        counted = sum(block.macs[0] for block in language.count(c, language.phases(tokens, 0), tokens))
        masked = 2 * c.layers * c.query_values * tokens * (tokens - 1) // 2
        more_heads = (tokens - 1) * c.table_params
        assert counter.get_total_flops() == 2 * (counted + masked + more_heads)


class TestCommand:
    @staticmethod
    def run(*arguments):
        return CliRunner().invoke(command, list(arguments), env={"COLUMNS": "80"})

    def test_all(self):
        result = self.run()
        assert result.exit_code == 0
        for name in language.names():
            assert f"{name} " in result.output
            assert f"{language.model(name).configuration.params:,} " in result.output

    def test_json_of_all(self):
        documents = json.loads(self.run("--json").stdout)
        found = {document["name"]: document for document in documents if document.get("kind") == "language"}
        assert tuple(found) == language.names()
        assert found["gemma-2b"]["params"] == found["gemma-2b"]["published_params"] == 2506172416

    @pytest.mark.parametrize("name", language.names())
    def test_one(self, name):
        result = self.run(name, "--prefill", "100", "--decode", "20")
        assert result.exit_code == 0
        c = language.model(name).configuration
        entry = language.document(language.model(name), prefill=100, decode=20)
        for figure in (
            c.params, c.layer_params, 2 * c.kv_values_per_token,
            *(sum(block["cycles"][i] for block in entry["blocks"]) for i in (0, 1)),
            sum(block["read_bytes"][1] for block in entry["blocks"]),
            sum(block["state_bytes"] for block in entry["blocks"]),
        ):  # fmt: skip
            assert f"{figure:,.0f}" in result.output
        assert max(map(len, result.output.splitlines())) <= 80
        assert "prefill x 1" in result.output
        assert "decode x 20" in result.output

    def test_llama_prints_the_worked_example(self):
        text = " ".join(self.run("llama-3-8b").output.split())
        assert "131,072 bytes a token = 2 x 32 layers x 8 heads x 128 values x 16 bits" in text

    def test_json_is_one_document_that_holds_a_model(self):
        options = ("--prefill", "64", "--decode", "8", "--context", "128", "--bits-per-weight", "4.5")
        more = ("--kv-bits", "8", "--activation-bits", "32", "--cycles-per-mac", "0.5", "--output", "logits")
        document = json.loads(self.run("qwen2.5-0.5b", *options, *more, "--json").stdout)
        assert document["model"] == language.document(
            language.model("qwen2.5-0.5b"), prefill=64, decode=8, context=128, bits_per_weight=4.5,
            kv_bits=8, activation_bits=32, cycles_per_mac=0.5, output="logits",
        )  # fmt: skip
        assert document["configuration"]["kv_heads"] == 2
        assert all(a["name"] != b["name"] for a, b in pairwise(document["blocks"]))
        assert [block["macs"][1] for block in document["blocks"]] == [
            2 * block["cycles"][1] for block in document["model"]["blocks"]
        ]

    def test_a_configuration_of_ones_own(self, tmp_path):
        path = write(tmp_path, small("llama"), "tiny.json")
        document = json.loads(self.run(str(path), "--json").stdout)
        assert (document["name"], document["source"]) == ("tiny", str(path))
        assert document["params"] == configuration(small("llama")).params
        assert document["published_params"] is None
        assert "none found" in self.run(str(path)).output

    def test_errors(self, tmp_path):
        for arguments, line in (
            (("llama3-8b",), "did you mean llama-3-8b"),
            (("vgg",), "vgg16"),
            (("gpt2", "--prefill", "5000"), "at most 1024"),
            (("gpt2", "--kv-bits", "0"), "kv_bits: 0"),
            ((str(tmp_path / "no.json"),), "no.json"),
        ):
            error = self.run(*arguments).exception
            assert isinstance(error, InputError)
            assert line in str(error)

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            (("--prefill", "3"), "--prefill needs the NAME of a model"),
            (("llama-3-8b", "--blocks", "3"), "--blocks needs a network"),
            (("vgg16-224", "--kv-bits", "8"), "--kv-bits needs a language model"),
        ],
    )
    def test_options_of_the_other_kind_are_refused(self, arguments, line):
        result = self.run(*arguments)
        assert result.exit_code == 2
        assert line in result.output
