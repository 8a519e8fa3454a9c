"""Language models for people: `mecopt models NAME` and the page about them."""

import json
import re

import pytest
from click.testing import CliRunner
from language_models import small, write
from places import ROOT

from mecopt.cli.models import models as command
from mecopt.errors import InputError
from mecopt.models import language
from mecopt.models.language.hugging_face import FAMILIES, configuration

LLAMA = language.model("llama-3-8b")


class TestPage:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize("name", language.names())
    def test_the_table_holds_every_model(self, name):
        model = language.model(name)
        (line,) = [line for line in self.page.splitlines() if line.startswith(f"| `{name}` (")]
        _, repository, family, params, published, cache, _ = line.split("|")
        assert f"({model.source})" in repository
        assert family.strip() == f"`{model.family}`"
        assert params.strip() == f"{model.configuration.params:,}"
        assert (f"({model.published_source})" if model.published_source else "none found") in published
        assert cache.strip() == f"{2 * model.configuration.kv_values_per_token:,}"

    def test_it_names_every_family(self):
        (sentence,) = re.findall(r"whose `model_type` is (.*?)\.", self.page, re.DOTALL)
        assert set(re.findall(r"`(\w+)`", sentence)) == set(FAMILIES)

    def test_its_python_runs(self):
        code = re.findall(r"^```python\n(.*?)^```", self.page, re.DOTALL | re.MULTILINE)[-1]
        names = {}
        exec(code, names)
        assert names["entry"] == language.document(LLAMA)


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
        assert [b["name"] for b in document["blocks"]] == [b["name"] for b in document["model"]["blocks"]]
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
            (("gpt2", "--kv-bits", "0"), "--kv-bits: 0, expected a number > 0 and at most 64"),
            (("gpt2", "--bits-per-weight", "nan"), "--bits-per-weight: nan, expected a number > 0 and"),
            ((".",), ".: is a folder, expected a file"),
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
