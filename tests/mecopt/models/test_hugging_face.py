"""Configurations read from a config.json: what is known, what is refused, and transformers' own count."""

from dataclasses import replace

import pytest
from language_models import shipped, small, write

from mecopt.errors import InputError
from mecopt.models import language
from mecopt.models.language.hugging_face import FAMILIES, configuration

LLAMA = language.model("llama-3-8b")


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
