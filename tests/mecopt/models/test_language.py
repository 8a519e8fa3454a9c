"""Language models: parameters as published, work counted token by token, the entry for an instance file."""

import json
from dataclasses import replace
from importlib.resources import files
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st
from language_models import shipped, size, small, tensors

from mecopt import models
from mecopt.errors import InputError
from mecopt.models import language
from mecopt.models.language.hugging_face import FAMILIES, configuration
from mecopt.models.language.pass_costs import reached

LLAMA = language.model("llama-3-8b")


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
