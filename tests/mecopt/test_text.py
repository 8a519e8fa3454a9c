"""Text as it is shown: nothing hidden, nothing that acts, the right width; CSV, LaTeX, file names."""

import io
import unicodedata

import pandas as pd
import pytest
from evil_names import EVIL_NAMES
from hypothesis import given
from hypothesis import strategies as st

from mecopt.text import cells, csv, cut, file_name, fit, latex, visible

TEXTS = st.one_of(
    st.text(max_size=40),
    st.text(st.characters(categories=["Cc", "Cf", "Cs", "Mn", "Zl"])),
    st.sampled_from(EVIL_NAMES),
)


@given(TEXTS)
def test_visible(text):
    shown = visible(text)
    assert shown.isprintable()
    assert visible(shown) == shown
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in shown)
    assert bool(shown.strip()) == bool(text)
    shown.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("camera-1 é カメラ", "camera-1 é カメラ"),
        ("a\nb\x1b[31m", r"a\nb\x1b[31m"),
        ("\u202eevil", r"\u202eevil"),
        ("\ud800", r"\ud800"),
        ("\u3164", r"\u3164"),
        ("z" + 6 * "\u0301", "z" + 4 * "\u0301" + 2 * r"\u0301"),
        ("\u0301z", r"\u0301z"),
        (" ", r"\x20"),
        ("", ""),
    ],
)
def test_what_is_shown(text, shown):
    assert visible(text) == shown


@given(TEXTS, st.integers(1, 30))
def test_cut_and_fit(text, columns):
    assert cells(cut(text, columns)) <= columns
    assert cells(fit(text, columns)) == columns


def test_csv_calculates_nothing_and_keeps_numbers():
    texts = ["=1+1", "+1", "-1-1", "@x", "\t=1", "\r=1", "-5", "1e-3", "＝1", "plain", None]
    frame = pd.DataFrame({"text": texts, "number": -1.5, "whole": pd.array([-1, None, *range(9)], "Int64")})
    back = pd.read_csv(io.BytesIO(csv(frame)))
    assert back["number"].tolist() == [-1.5] * len(texts)
    assert back["whole"].dtype == float
    shown = back["text"].fillna("").tolist()
    assert shown == [
        *("'=1+1", "+1", "'-1-1", "'@x", r"\t=1", r"\r=1", "-5", "1e-3", "'＝1", "plain", ""),
    ]
    assert frame["text"][:10].tolist() == texts[:10]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a_b & 5 % of $x$ #1 {y}", r"a\_b \& 5 \% of \$x\$ \#1 \{y\}"),
        ("<a|b>", r"\textless{}a\textbar{}b\textgreater{}"),
        ("~^\\", r"\textasciitilde{}\textasciicircum{}\textbackslash{}"),
        ("[x] *", "{}[x] *"),
        ("a--b''", "a-{}-b'{}'"),
        ("naïve e\u0301 ß", "naïve é ß"),
        ("相", r"\textbackslash{}u76f8"),
        ("\x00", r"\textbackslash{}x00"),
        ("markov-a3c", "markov-a3c"),
    ],
)
def test_latex(text, shown):
    assert latex(text) == shown


@given(TEXTS)
def test_file_name(text):
    name = file_name(text, ".json")
    assert name.isascii()
    assert len(name) <= 100
    assert not set(name) & set('/\\:*?"<>|\0')
    assert not name.startswith((".", "-"))
    assert name.removesuffix(".json").lower() not in ("con", "nul", "")


def test_long_names_stay_apart():
    assert file_name("x" * 300 + "a", ".json") != file_name("x" * 300 + "b", ".json")
    assert file_name("paper:servers=6,seed=0", ".json") == "paper-servers-6-seed-0.json"
