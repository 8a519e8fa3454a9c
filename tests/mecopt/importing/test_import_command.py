"""`mecopt import` as a command: what it prints, writes and refuses."""

import json

import jsonschema
import onnx_graphs as graphs

from mecopt.importing import model_document
from mecopt.json_schemas import json_schema


def test_a_file_becomes_a_model_and_a_table(mecopt, tmp_path):
    path = graphs.save(graphs.convolutions("batch"), tmp_path)
    out = tmp_path / "model.json"
    done = mecopt("import", path, "--dim", "batch=1", "--out", out)
    assert done.returncode == 0
    assert "Chain loses" in done.stdout
    assert "1000 Mbit/s" in done.stdout
    assert f"wrote {out}" in done.stderr
    content = json.loads(out.read_text())
    jsonschema.validate(content, json_schema("model"))
    told = mecopt("import", path, "--dim", "batch=1", "--json")
    assert json.loads(told.stdout) == content
    assert model_document.load(out).source.dims == {"batch": 1}


def test_what_is_wrong_is_one_line_and_status_2(mecopt, tmp_path):
    path = graphs.save(graphs.convolutions("batch"), tmp_path)
    for arguments, said in (
        ((path,), "dimension 'batch'"),
        ((path, "--dim", "batch"), "expected NAME=N"),
        ((path, "--dim", "batch=1", "--out", path), "is read by this command"),
        ((path, "--instance", tmp_path / "i.json"), "--instance needs --from"),
    ):
        done = mecopt("import", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert "Traceback" not in done.stderr
