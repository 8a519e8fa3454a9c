"""Broken inputs, drawn from a seed: valid documents changed in a few places, texts and bytes damaged.

`run` gives them to the command line in this process and holds what every command promises: an exit status of
what was found or of bad input, one line a problem, no traceback, no file half-written.
"""

import contextlib
import copy
import gzip
import io
import json
import signal
import sys
import warnings

from mecopt.cli import main

ODD_TEXTS = (
    *("", "x", "nan", "\n", "\x00", "\x1b[31m", "\u202e", "é" * 300, "a" * 1000, "constructor", "__proto__"),
    *("1", "true", "null", "=1+1", "<b>", "a.b[0]", "../x", "%s", "{}", "\ud800", "😀", "mecopt-solution/1"),
)
ODD_NUMBERS = (
    *(0, 1, -1, -0.0, 1.0, 2.0, 0.5, 1e308, -1e308, 5e-324, 1e-300, 1e16, 2**31, 2**53 + 1, 2**63, 2**64),
    *(10**400, -(10**400), float("nan"), float("inf"), float("-inf")),
)
ODD_VALUES = (None, True, False, [], [[]], {}, [None], {"a": 1}, [[[[]]]], [1, 2], *ODD_NUMBERS, *ODD_TEXTS)
ODD_BYTES = (b"\x00", b"\xff", b'"', b"{", b"]", b",", b"\\", b"\\ud800", b"\n")
ENCODINGS = ("utf-16", "utf-16-le", "utf-32-be", "latin-1")


def spots(value, path=()):
    """Yield the path of everything in a document."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from spots(inner, (*path, key))


def changed_document(rng, document):
    """Return a copy of the document with one to four places changed."""
    document = copy.deepcopy(document)
    for _ in range(rng.randint(1, 4)):
        paths = list(spots(document))
        if not paths:
            break
        *way, last = rng.choice(paths)
        target = document
        for step in way:
            target = target[step]
        change(rng, target, last)
    return document


def change(rng, target, key):
    """Change one entry of an object or a list."""
    value = target[key]
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
    kinds = ["odd", "drop", "double", "wrap", *(["near"] * 3 if number else [])]
    kind = rng.choice([*kinds, "rename"] if isinstance(target, dict) else kinds)
    if kind == "odd":
        target[key] = rng.choice(ODD_VALUES)
    elif kind == "near":
        target[key] = rng.choice(
            [value + 1, value - 1, float(value), value * 2, -value, value + 0.5, str(value)]
        )
    elif kind == "wrap":
        target[key] = rng.choice([[value], {"a": value}, [value, value]])
    elif kind == "drop":
        del target[key]
    elif isinstance(target, list):
        target.insert(rng.randint(0, len(target)), copy.deepcopy(value))
    elif kind == "rename":
        target[rng.choice(ODD_TEXTS)] = target.pop(key)
    else:
        target[f"{key}2"] = copy.deepcopy(value)


def damaged(rng, data):
    """Return bytes damaged in one way."""
    at = rng.randrange(len(data) + 1)
    piece = data[at : at + rng.choice([1, 5, 50])]
    ways = [
        lambda: data[:at],
        lambda: data[:at] + data[at + len(piece) :],
        lambda: data[:at] + piece * rng.choice([2, 50]) + data[at:],
        lambda: data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :],
        lambda: data[:at] + rng.choice(ODD_BYTES) + data[at:],
        lambda: data[:at] + b"[" * rng.choice([10, 300, 100_000]) + data[at:],
        lambda: data[:at] + b"9" * rng.choice([30, 400, 5000]) + data[at:],
        lambda: data[:at] + b"1e" + b"9" * rng.choice([3, 30]) + data[at:],
        lambda: data + rng.choice([b"}", b" x", b"\x00", data, b"\n{}", b"\xef\xbb\xbf"]),
        lambda: b"\xef\xbb\xbf" * rng.choice([1, 2]) + data,
        lambda: data.decode(errors="replace").encode(rng.choice(ENCODINGS), "replace"),
        lambda: data.replace(b"{", b'{"a": 1, "a": 2, ', 1),
        lambda: gzip.compress(data),
        lambda: bytes(rng.randrange(256) for _ in range(rng.choice([0, 1, 40]))),
        lambda: data.replace(b":", b":\r\n\t", rng.choice([1, 1000])),
    ]  # fmt: skip
    return rng.choice(ways)()


def broken(rng, document):
    """Return the bytes of a document that was changed, or damaged as text, or both."""
    if rng.random() < 0.65:
        document = changed_document(rng, document)
    data = json.dumps(document).encode()  # half a character is written as an escape
    return damaged(rng, data) if rng.random() < 0.4 else data


def run(folder, *args, stdin=b"", statuses=(0, 2, 3, 4, 5)):
    """Run the command in this process, and hold what it promises; return status, output and messages."""
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    out, err, status = io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO()), 0
    fake = io.TextIOWrapper(io.BytesIO(stdin))
    streams = sys.stdin, signal.getsignal(signal.SIGTERM)
    sys.stdin = fake
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            main([str(arg) for arg in args])
    except SystemExit as leave:
        status = leave.code or 0
    finally:
        sys.stdin = streams[0]
        signal.signal(signal.SIGTERM, streams[1])
    shown, said = (stream.buffer.getvalue().decode() if not stream.flush() else "" for stream in (out, err))
    case = (args, status, said)
    assert status in statuses, case
    assert "Traceback" not in said, case
    assert "unexpected" not in said, case
    for line in said.removesuffix("\n").split("\n"):
        assert len(line) <= 400, case
        assert line.isprintable(), case
        assert not said or line.startswith("mecopt"), case
    if status == 2:
        lines = shown.splitlines() if args[:2] == ("solve", "-") or args[0] == "plan" else []
        each = [json.loads(line) for line in lines]
        in_lines = each and all(isinstance(one, dict) for one in each)  # several documents, a line each
        assert shown == "" or args[0] == "validate" or in_lines, case
        assert said or in_lines, case
        assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}, case
    assert not [path for path in folder.iterdir() if path.name.startswith(".mecopt-")], case
    return status, shown, said
