"""What docs/migrate.md promises: the new places are there, and policies of before load as they are."""

import re
from importlib.util import find_spec

import pytest
from places import ROOT

PAGE = (ROOT / "docs" / "migrate.md").read_text(encoding="utf-8")
POLICIES = sorted((ROOT / "rl" / "mecopt_rl" / "policies").glob("*.safetensors"))
ROWS = [line.split("|")[1:3] for line in PAGE.splitlines() if re.match(r"\| `[a-z]", line)]


def modules(cell):
    """Yield the modules of a cell, in which `.name` stands for one beside the module before it."""
    whole = ""
    for name in re.findall(r"`([\w.]+)`", cell):
        whole = whole.rpartition(".")[0] + name if name.startswith(".") else name
        yield whole


@pytest.mark.parametrize(("before", "now"), ROWS, ids=lambda cell: cell.strip(" `").split("`")[0])
def test_every_new_name_is_there(before, now):
    new = [name for name in modules(now) if not name[7:8].isupper()]
    assert new or "gymnasium" in now
    assert [name for name in new if find_spec(name) is None] == []
    old = [name for name in modules(before) if name.startswith("mecopt.")]
    assert [name for name in old if find_spec(name) is not None] == []


def test_policies_of_before_load_unchanged():
    """No card names a module, so that none depends on where code lies."""
    pytest.importorskip("torch", reason="the rl extra is not installed")
    from mecopt_rl.training.checkpoint import load_policy

    assert POLICIES
    for path in POLICIES:
        card = load_policy(path).card
        assert not re.search(r"\b(rl|solvers|mecopt_rl|mecopt_solvers)\.\w", str(card)), path.name
