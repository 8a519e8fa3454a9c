"""What the world's files bring: byte-order marks, other encodings, 1.0, numpy's numbers, sizes, odd names."""

import gzip
import io
import json
import os
import re
import sys
import time
from fractions import Fraction

import numpy as np
import pytest
from strategies import EXAMPLE, MINIMAL

import mecopt
from mecopt import files
from mecopt.best_known import Store
from mecopt.errors import MOST, located, shortened, shown, terminal_line
from mecopt.generators import own_settings
from mecopt.importing import model_document
from mecopt.importing.foreign.reading import read_json
from mecopt.io import from_json, load_solution, load_stdin
from mecopt.models import language
from mecopt.profiling.links import read as read_links
from mecopt.simulation.arrivals import read_trace

MARK = b"\xef\xbb\xbf"
TEXT = json.dumps(EXAMPLE).encode()
SOLUTION = {"format": "mecopt-solution/1", "placement": [[0, 1], [1, 1]]}


def problem_of(action, *given):
    with pytest.raises(mecopt.InputError) as error:
        action(*given)
    assert "\n" not in str(error.value)
    return str(error.value)


def changed(place, value, document=EXAMPLE):
    document = json.loads(json.dumps(document))
    target = document
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    return document


# --- encodings ---
def test_a_byte_order_mark_is_read_everywhere(tmp_path, monkeypatch):
    instance = mecopt.from_dict(EXAMPLE)
    plain, packed, solution = (tmp_path / name for name in ("a.json", "b.json.gz", "s.json"))
    plain.write_bytes(MARK + TEXT)
    packed.write_bytes(gzip.compress(MARK + TEXT))
    solution.write_bytes(MARK + json.dumps(SOLUTION).encode())
    assert mecopt.load(plain) == mecopt.load(packed) == from_json(MARK + TEXT) == instance
    assert load_solution(solution).placement == SOLUTION["placement"]
    for data in (MARK + TEXT, gzip.compress(MARK + TEXT)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert load_stdin() == instance


def test_one_mark_is_enough():
    assert "not JSON" in problem_of(from_json, MARK + MARK + TEXT)


@pytest.mark.parametrize(
    ("encoding", "name"),
    [(f"utf-{width}{end}", f"UTF-{width}") for width in (16, 32) for end in ("", "-le", "-be")],
)
def test_other_encodings_are_called_what_they_are(encoding, name):
    text = problem_of(from_json, TEXT.decode().encode(encoding))
    assert text == f"not JSON: not UTF-8 but {name}, expected UTF-8"


def test_latin_letters_are_found():
    text = problem_of(from_json, b'{\n"name": "caf\xe9"}')
    assert text == "not JSON: not UTF-8, byte 0xe9 at line 2 column 13, expected UTF-8"


def test_a_packed_file_without_its_suffix_is_named(tmp_path):
    (tmp_path / "a.json").write_bytes(gzip.compress(TEXT))
    assert "gzip, expected a name that ends in .gz" in problem_of(mecopt.load, tmp_path / "a.json")


def links(path):
    return read_links(str(path), [["device"], ["es1"]])


def trace(path):
    return read_trace(str(path), 2).time_s.tolist()


def settings(path):
    return own_settings.read(str(path))


LINKS = "from,to,rate_bps\ndevice,es1,1e8\n"
BLOCKS = "block,output_bytes,cycles\ninput,100,\nfirst,10,1e6\n"
TRACE = "time_s,task\n0,0\n1,1\n"
SETTING = '{"name": "yard", "parameters": {"servers": 3}}'
BEST = '{"format": "mecopt-best-known/1", "entries": {}}'
GPT2 = '{"model_type": "gpt2", "n_layer": 2, "n_embd": 8, "n_head": 2, "vocab_size": 9, "n_positions": 4}'
BLOCK = '{"name": "b", "cycles": 1, "input_bits": 1}'
MODEL = f'{{"name": "m", "blocks": [{BLOCK}]}}'
MODEL = f'{{"format": "mecopt-model/1", "model": {MODEL}, "source": {{"kind": "csv"}}}}'
READERS = {
    "links": (links, LINKS, "csv"),
    "blocks": (lambda path: mecopt.import_model(path).model, BLOCKS, "csv"),
    "trace": (trace, TRACE, "csv"),
    "setting": (settings, SETTING, "json"),
    "best known": (lambda path: Store.load(path).to_dict(), BEST, "json"),
    "config": (lambda path: language.read(path, "x"), GPT2, "json"),
    "model": (model_document.load, MODEL, "json"),
    "other projects": (lambda path: dict(read_json(path).content), '{"L": 3}', "json"),
}


@pytest.fixture(params=READERS)
def reader(request, tmp_path):
    """A reader, a text that it reads, and the name of a file with what is given."""
    read, text, kind = READERS[request.param]

    def given(data):
        path = tmp_path / f"x.{kind}"
        path.write_bytes(data)
        return read(path)

    return given, text, kind


def test_every_reader_takes_a_mark_and_names_another_encoding(reader):
    read, text, kind = reader
    assert read(MARK + text.encode()) == read(text.encode())
    for encoding, name in (("utf-16", "UTF-16"), ("utf-32-le", "UTF-32")):
        problem = problem_of(read, text.encode(encoding))
        assert problem.endswith(f"x.{kind}: not {kind.upper()}: not UTF-8 but {name}, expected UTF-8")
    latin = text.encode().replace(b",", b"\xe9,", 1) if "," in text else b"\xe9"
    assert "not UTF-8, byte 0xe9 at line 1 column " in problem_of(read, latin)


@pytest.mark.parametrize("reader", [name for name in READERS if READERS[name][2] == "json"], indirect=True)
def test_every_reader_of_json_names_a_key_that_is_there_twice(reader):
    read, text, _ = reader
    name = re.findall(r'"([^"]+)"\s*:', text)[0]
    twice = text.replace(f'"{name}"', f'"{name}": 1, "{name}"', 1)
    assert problem_of(read, twice.encode()).endswith(f"x.json: {name}: given twice")


# --- whole numbers ---
@pytest.mark.parametrize(
    ("place", "value"),
    [(("slots", "count"), "2.0"), (("tasks", 1, "slot"), "1.0"), (("tasks", 1, "batch"), "0.4e1")],
)
def test_a_whole_number_may_be_written_with_a_point(place, value):
    text = json.dumps(changed(place, "here")).replace('"here"', value)
    assert from_json(text.encode()) == mecopt.from_dict(EXAMPLE)
    assert mecopt.from_dict(json.loads(text)) == mecopt.from_dict(EXAMPLE)


@pytest.mark.parametrize("value", ["1.5", "true", '"1"', "null", "1e400", "[1]", "-1.0", "1e30"])
def test_what_is_no_whole_number_is_refused_still(value):
    text = json.dumps(changed(("tasks", 1, "slot"), "here")).replace('"here"', value)
    assert problem_of(from_json, text.encode()).startswith("tasks[1].slot: ")


def test_the_schema_agrees_on_whole_numbers():
    jsonschema = pytest.importorskip("jsonschema")
    from mecopt.json_schemas import json_schema

    document = changed(("slots", "count"), 2.0)
    jsonschema.validate(document, json_schema("instance"))
    assert mecopt.from_dict(document) == mecopt.from_dict(EXAMPLE)


def test_nodes_of_a_placement_may_be_written_with_a_point(tmp_path):
    instance = mecopt.from_dict(EXAMPLE)
    (tmp_path / "s.json").write_text(
        json.dumps({**SOLUTION, "placement": [[0.0, 1.0], [1, 1.0]], "seed": 3.0})
    )
    read = load_solution(tmp_path / "s.json")
    assert read.seed == 3
    whole = mecopt.evaluate(instance, SOLUTION["placement"]).objective
    for placement in (read.placement, [[0.0, 1.0], [1, np.float32(1)]]):
        assert mecopt.evaluate(instance, placement).objective == whole
    with pytest.raises(mecopt.PlacementError, match="expected whole numbers"):
        mecopt.evaluate(instance, np.array([[0.0, 1.0], [1.0, 1.0]]))
    mine = np.array([[0, 1], [1, 1]])
    mecopt.evaluate(instance, mine)
    assert mine.tolist() == [[0, 1], [1, 1]]


def test_the_sha256_does_not_depend_on_how_numbers_are_written():
    document = changed(("slots", "count"), 2.0)
    assert mecopt.from_dict(document).sha256 == mecopt.from_dict(EXAMPLE).sha256


# --- numpy's numbers ---
def numpied(value):
    """Return the document with every number as a scalar of numpy's."""
    if isinstance(value, dict):
        return {key: numpied(part) for key, part in value.items()}
    if isinstance(value, list):
        return [numpied(part) for part in value]
    kinds = {bool: np.bool_, int: np.int64, float: np.float64, str: np.str_}
    return kinds[type(value)](value) if type(value) in kinds else value


def test_numpy_scalars_are_numbers_in_a_document():
    document = {**EXAMPLE, "origin": {"seed": 3, "ranges": [1.5, {"on": True}]}}
    document["rules"] = {**EXAMPLE["rules"], "hop_energy": True}
    instance = mecopt.from_dict(numpied(document))
    assert instance == mecopt.from_dict(document)
    assert from_json(mecopt.io.to_json(instance).encode()).sha256 == instance.sha256
    assert instance.origin == document["origin"]


@pytest.mark.parametrize("number", [np.float32, np.float64, np.int64, np.uint8, float, Fraction])
def test_numpy_scalars_are_numbers_in_every_class(number):
    def build(number, whole):
        one, two = number(1), number(2)
        return mecopt.Instance(
            name="n",
            slot_count=whole(2),
            slot_s=two,
            models=[mecopt.Model("m", (mecopt.Block(two, one, one, measured_seconds={"pi": one}),), two)],
            devices=[mecopt.Device("d", two, one, one, one, two, two, "pi")],
            servers=[mecopt.Server("a", two, one), mecopt.Server("b", [one, two])],
            links=mecopt.Links.of(whole(2), two, one, one),
            tasks=mecopt.Tasks.of(
                slot=[whole(0), whole(1)], device=whole(0), model=whole(0), batch=whole(2),
                rate_bps=[[one, two], [two, one]], blocks=whole(1), max_delay_s=two,
            ),
            rules=mecopt.Rules.preset("paper", deadline_penalty=two, hop_energy=np.bool_(True)),
            origin={"seed": whole(3)},
        )  # fmt: skip

    plain = build(float, int)
    for whole in (np.int64, np.int32, np.uint8, int):
        assert build(number, whole).sha256 == plain.sha256
        assert mecopt.from_dict(mecopt.to_dict(build(number, whole))) == plain


def test_whole_floats_are_whole_in_every_class():
    instance = mecopt.from_dict(EXAMPLE)
    tasks = instance.tasks
    columns = {name: getattr(tasks, name).astype(float) for name in ("slot", "device", "model", "batch")}
    again = mecopt.Tasks(**columns, rate_bps=tasks.rate_bps, max_delay_s=tasks.max_delay_s)
    assert instance.replace(tasks=again, slot_count=2.0) == instance
    with pytest.raises(mecopt.InstanceError, match=r"tasks\.slot: float64 of shape"):
        mecopt.Tasks(**{**columns, "slot": [0.5, 1]}, rate_bps=tasks.rate_bps, max_delay_s=tasks.max_delay_s)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"slot_count": 2.5}, "slots.count: 2.5, expected a whole number"),
        ({"slot_count": "2"}, "slots.count: '2', expected a whole number"),
        ({"slot_count": True}, "slots.count: True, expected a whole number"),
        ({"slot_s": "1"}, "slots.seconds: '1', expected a number > 0"),
        ({"slot_s": None}, "slots.seconds: None, expected a number > 0"),
        ({"name": 5}, "name: 5, expected a text"),
        ({"name": "half \ud800"}, r"name: 'half \\ud800', expected a text"),
        ({"origin": [1]}, "origin: \\[1\\], expected an object"),
        ({"origin": {"a": {1, 2}}}, "origin: Object of type set is not JSON serializable"),
        ({"origin": {"a": "\udc80"}}, "origin: half a character"),
    ],
)
def test_what_an_instance_refuses(changes, text):
    with pytest.raises(mecopt.InstanceError, match=text):
        mecopt.from_dict(EXAMPLE).replace(**changes)


@pytest.mark.parametrize(
    "build",
    [
        lambda: mecopt.Device(5, 1.0),
        lambda: mecopt.Device("d", "fast"),
        lambda: mecopt.Device("d", 1.0, hardware=3),
        lambda: mecopt.Server("s", "fast"),
        lambda: mecopt.Server("s", [[1.0]]),
        lambda: mecopt.Server("s", [1.0, None]),
        lambda: mecopt.Block(1, 1, measured_seconds=[1]),
        lambda: mecopt.Block(1, 1, measured_seconds={1: 1}),
        lambda: mecopt.Block(1, 10**400),
        lambda: mecopt.Block(1, 1, name="\ud800"),
        lambda: mecopt.Links.of(2, "fast"),
        lambda: mecopt.Links.of(2, [[1, 2], [3]]),
        lambda: mecopt.Rules(return_transfer="yes"),
        lambda: mecopt.Tasks.of(slot=0, device=0, model=0, rate_bps="x", blocks=1),
        lambda: mecopt.Tasks.of(slot="0", device=0, model=0, rate_bps=[[1.0]], blocks=1),
        lambda: mecopt.Tasks.of(slot=2**63, device=0, model=0, rate_bps=[[1.0]], blocks=1),
        lambda: mecopt.Tasks.of(slot=0, device=0, model=0, rate_bps=[[1.0]], blocks=1, max_delay_s="x"),
    ],
)
def test_what_a_part_refuses(build):
    problem_of(build)


def test_replace_knows_its_fields():
    with pytest.raises(TypeError, match="an instance has no slotcount"):
        mecopt.from_dict(EXAMPLE).replace(slotcount=3)


# --- sizes ---
def test_the_unpacked_size_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_BYTES", 1 << 20)
    monkeypatch.setattr(files, "CHUNK", 1 << 16)
    bomb = gzip.compress(b" " * (1 << 24))
    (tmp_path / "bomb.json.gz").write_bytes(bomb)
    (tmp_path / "long.json").write_bytes(b" " * (1 << 21))
    expected = "more than 1 MiB, expected at most that"
    assert expected in problem_of(mecopt.load, tmp_path / "bomb.json.gz")
    assert expected in problem_of(mecopt.load, tmp_path / "long.json")
    assert expected in problem_of(load_solution, tmp_path / "bomb.json.gz")
    for data in (bomb, b" " * (1 << 21)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert problem_of(load_stdin).startswith("standard input: more than 1 MiB")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no /dev/zero here")
def test_a_file_without_an_end(monkeypatch):
    monkeypatch.setattr(files, "MOST_BYTES", 1 << 20)
    assert "more than 1 MiB" in problem_of(mecopt.load, "/dev/zero")
    assert "not JSON" in problem_of(mecopt.load, "/dev/null")


@pytest.mark.parametrize("where", ["top", "origin", "task"])
def test_a_key_among_sixty_thousand_takes_no_time(where):
    keys = [f'"k{i}": 1' for i in range(60_000)]
    inside = "{" + ", ".join([*keys, keys[5], *keys[:3]]) + "}"
    if where == "origin":
        text = json.dumps({**MINIMAL, "origin": "here"}).replace('"here"', inside)
    else:
        text = json.dumps(changed(("tasks", 0), "here", MINIMAL)).replace('"here"', inside)
        text = inside[:-1] + "," + json.dumps(MINIMAL)[1:] if where == "top" else text
    start = time.process_time()
    with pytest.raises(mecopt.InstanceError) as error:
        from_json(text.encode())
    assert time.process_time() - start < 5
    if where == "origin":
        assert error.value.problems == tuple(f"origin.k{i}: given twice" for i in (0, 1, 2, 5))


def test_a_key_given_twice_in_a_solution(tmp_path):
    path = tmp_path / "s.json"
    path.write_text(
        '{"format": "mecopt-solution/1", "placement": [[0, 0], [0, 0]], "placement": [[1, 1], [1, 1]]}'
    )
    assert problem_of(load_solution, path) == f"{path}: placement: given twice"
    path.write_text('{"format": "mecopt-solution/1", "options": {"a": {"b": 1, "b": 2}}, "placement": null}')
    assert problem_of(load_solution, path) == f"{path}: options.a.b: given twice"


def test_numbers_of_thousands_of_digits():
    digits = "9" * 4200
    origin = json.dumps({**MINIMAL, "origin": {"a": "here", 'b":': 1}})
    assert from_json(origin.replace('"here"', digits).encode()).origin["a"] == int(digits)
    assert "slots.count: 999" in problem_of(mecopt.from_dict, changed(("slots", "count"), int(digits)))
    huge = problem_of(mecopt.from_dict, changed(("slots", "count"), 10**5000))
    assert huge.startswith("slots.count: a whole number of thousands of digits, expected")
    assert "not JSON" in problem_of(from_json, origin.replace('"here"', digits + digits).encode())


@pytest.mark.parametrize("depth", [100, 1000, 100_000])
def test_deep_nesting_is_one_line(depth):
    nested = []
    for _ in range(depth):
        nested = [nested]
    document = {**MINIMAL, "origin": {"a": nested}}
    if depth > 200:
        text = json.dumps({**MINIMAL, "origin": "here"}).replace(
            '"here"', '{"a": ' + "[" * depth + "]" * depth + "}"
        )
        assert "not JSON: recursion limit" in problem_of(from_json, text.encode())
    if depth >= 1000:
        assert "nested too deeply" in problem_of(mecopt.from_dict, document)
        assert "expected a list" in problem_of(mecopt.from_dict, {**MINIMAL, "tasks": {"a": nested}})
    else:
        assert mecopt.from_dict(document).task_count == 1


def test_a_text_of_megabytes():
    big = "x" * 5_000_000
    for place in (("format",), ("slots", "count"), ("tasks", 0, "device"), ("tasks", 0, big)):
        text = problem_of(from_json, json.dumps(changed(place, big, MINIMAL)).encode())
        assert len(text) <= MOST


@pytest.mark.parametrize("name", ["a\0b.json", "\ud800.json"])
def test_names_that_no_file_can_have(name):
    assert "no file can have this name" in problem_of(mecopt.load, name)


# --- lines of errors ---
def test_a_line_keeps_its_place_and_what_was_expected():
    name = "n" * 5000
    document = changed(("models", 0, "blocks", 0, "measured_seconds"), {name: -1.0}, MINIMAL)
    text = problem_of(mecopt.from_dict, document)
    assert text.startswith("models[0].blocks[0].measured_seconds.nnn")
    assert text.endswith("-1.0, expected a number >= 0")
    assert len(text) <= MOST
    path = "/" + "long/" * 300 + "name.json"
    line = located(path, f"tasks[3].device: no device {'d' * 900!r}, expected one")
    assert len(line) + len("mecopt: ") <= MOST
    assert "name.json: tasks[3].device: no device 'ddd" in line
    assert line.endswith(", expected one")


@pytest.mark.parametrize(
    "odd", ["\n", "\r", "\x00", "\x1b[31m", "\u202e", "\u2028", "\ud800", "\x85", "\u200b"]
)
def test_nothing_moves_the_cursor(odd):
    for text in (located(f"a{odd}b", f"c{odd}d"), str(mecopt.InputError(f"c{odd}d", f"a{odd}b")), shown(odd)):
        assert text.isprintable()
    assert terminal_line(odd * 500).isprintable()
    assert len(terminal_line("é" * 390, "ascii")) <= MOST


def test_shortened():
    assert shortened("abc", 3) == "abc"
    assert shortened("a" * 50 + "b" * 50, 20) == "aaaaaaaaaaa...bbbbbb"
    assert all(len(shortened("x" * 999, most)) == most for most in range(4, 50))
