"""Modules and programs of torch; exporting takes seconds, so these are slow."""

import io
import os
import pickle
import zipfile

import pytest

import mecopt
from mecopt.errors import InputError
from mecopt.importing import pieces, torch_program

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def module():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 8, 3, padding=1)
            self.head = torch.nn.Linear(8, 5)

        def forward(self, x):
            x = torch.relu(self.first(x))
            x = x + torch.relu(self.second(x))
            return self.head(x.mean((2, 3)))

    return Net(), (torch.rand(1, 3, 16, 16),)


MACS = 256 * 8 * 27 + 256 * 8 * 72 + 8 * 5


@slow
def test_a_module_counts_as_torch_counts_it(module):
    from torch.utils.flop_counter import FlopCounterMode

    net, example = module
    document = mecopt.import_model(net, example=example, name="own")
    with FlopCounterMode(display=False) as counter:
        net(*example)
    assert sum(block.cycles for block in document.model.blocks) == counter.get_total_flops() / 2 == MACS
    params = sum(block.param_bytes for block in document.model.blocks)
    assert params >= 4 * sum(p.numel() for p in net.parameters())
    assert (document.source.kind, document.source.file) == ("torch", None)
    assert net.training


@slow
def test_a_program_is_read_cut_and_runs_no_code(module, tmp_path):
    import torch

    net, example = module
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(net.eval(), example), path)
    document = mecopt.import_model(path)
    assert sum(block.cycles for block in document.model.blocks) == MACS
    ready = pieces.prepare(path)
    assert pieces.piece(ready, document, 0, 0).graph.output[0].name in document.graph.boundaries[1]

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "run"),)

    bad = tmp_path / "bad.pt2"
    payload = io.BytesIO()
    torch.save(Evil(), payload)
    with zipfile.ZipFile(path) as good, zipfile.ZipFile(bad, "w") as other:
        for name in good.namelist():
            other.writestr(name, payload.getvalue() if "sample_inputs" in name else good.read(name))
    with pytest.raises(InputError, match=r"not a program of torch\.export\.save"):
        mecopt.import_model(bad)
    with zipfile.ZipFile(bad, "a") as other:
        other.writestr("net/data/constants/opaque_obj_0", pickle.dumps(Evil()))
    with pytest.raises(InputError, match="opaque_obj_0"):
        mecopt.import_model(bad)
    assert not (tmp_path / "run").exists()


def test_what_is_no_module_or_lacks_its_inputs(module, tmp_path):
    with pytest.raises(InputError, match="example: missing"):
        mecopt.import_model(module[0])
    with pytest.raises(InputError, match=r"model: a int, expected a path, a torch\.nn\.Module"):
        mecopt.import_model(3)
    path = tmp_path / "net.pt2"
    path.write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"not a program of torch\.export\.save"):
        torch_program.load(str(path))
