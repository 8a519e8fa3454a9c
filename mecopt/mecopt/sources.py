"""What a text that stands for an instance means: a file, a generator's spec, or the name of a shipped one.

Every command and every function that takes an instance asks here, so that the same text is the same
instance everywhere.
"""

from __future__ import annotations

import difflib
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mecopt.errors import InputError
from mecopt.generators import LARGEST_SETTING

if TYPE_CHECKING:
    from mecopt.instance import Instance

SUFFIXES = (".json", ".json.gz")
STORE = "best_known.json"  # the best-known store, which lies among the instances
OWN = Path("instances")  # in a clone

MOST_SHOWN = 80  # characters of a text in a message
LIKE = 0.75  # likeness at which the name of a missing file is taken for that of a shipped instance


def load(source: str | os.PathLike[str]) -> Instance:
    """Read or make the instance that a text stands for.

    Parameters
    ----------
    source : str or path
        A file (``.json`` or ``.json.gz``), a generator's spec (``"camera-vgg:slots=10,seed=3"``), or the
        name of an instance that mecopt ships (``"alexnet_6es"``; `mecopt instances` lists them). A file
        goes first.

    Returns
    -------
    Instance

    Raises
    ------
    InstanceError
        If a file breaks the format, with one line for every problem; each names the place and what was
        expected.
    InputError
        If a file cannot be read, or nothing is called so; the nearest names are offered.

    Examples
    --------
    >>> import mecopt
    >>> mecopt.load("tiny_paper").task_count
    2
    """
    from mecopt import io

    text = _text(source)
    path = find(text)
    if path is not None:
        return io.load(path)
    from mecopt.generation import generate

    return generate(text)


def instance_of(source: Instance | str | os.PathLike[str]) -> Instance:
    """Return an instance as it is, and what a text or path stands for (`load`)."""
    from mecopt.instance import Instance

    return source if isinstance(source, Instance) else load(source)


def find(text: str) -> Path | None:
    """Return the file that a text names, or None where it is a generator's spec.

    Raises
    ------
    InputError
        If it is neither.
    """
    there = os.path.exists(text) and not os.path.isdir(text)
    if there and os.path.getsize(text) > LARGEST_SETTING:
        return Path(text)
    from mecopt.generators.own_settings import SUFFIX, names_a_file

    if there:
        return None if text.endswith(SUFFIX) and names_a_file(text) else Path(text)
    from mecopt.generators.specs import names

    if head(text) in names() or names_a_file(head(text)):
        return None
    if text in shipped():
        return shipped()[text]
    raise _unknown(text)


def head(text: str) -> str:
    """Return the part of a spec that names the setting."""
    return text.partition(":")[0].strip()


PACKAGE = Path(__file__).resolve().parent


def folder() -> Path:
    """Return the folder of the shipped instances: in the package, or in the clone it is installed from."""
    installed = PACKAGE / "instances"
    return installed if installed.is_dir() else PACKAGE.parent.parent / "instances"


def store() -> Path:
    """Return the best-known store to read: that of the current folder's instances, or the shipped one."""
    own = OWN / STORE
    return own if own.exists() else folder() / STORE


def is_installed(path: str | os.PathLike[str]) -> bool:
    """Say whether a file is part of the installed package, and so nobody's to write to."""
    return Path(path).resolve().is_relative_to(PACKAGE)


@cache
def shipped() -> dict[str, Path]:
    """Return the files of the shipped instances by their names, sorted."""
    try:
        files = [path for path in folder().iterdir() if path.name.endswith(SUFFIXES) and path.name != STORE]
    except OSError:  # neither an installation nor a clone
        return {}
    return {stem(path): path for path in sorted(files)}


def stem(path: Path) -> str:
    """Return the name of a file without folder and endings."""
    return path.name.removesuffix(".gz").removesuffix(".json")


def _text(source: str | os.PathLike[str]) -> str:
    try:
        text = os.fspath(source)
    except TypeError:
        text = None
    if not isinstance(text, str):
        found = type(source).__name__
        raise InputError(f"instance: a {found}, expected an Instance, a path, a name or a generator's spec")
    return text


def _unknown(text: str) -> InputError:
    from mecopt.generators.specs import names

    if os.path.isdir(text):
        return InputError("is a folder, expected a file", text)
    if os.sep in text or text.endswith(SUFFIXES):
        return _no_file(text)
    shown = text if 0 < len(text) <= MOST_SHOWN else repr(text[:MOST_SHOWN])
    near = difflib.get_close_matches(head(text)[:MOST_SHOWN], {*names(), *shipped()}, n=3)
    offer = f"did you mean {' or '.join(near)}?" if near else "see `mecopt instances` and `mecopt generate`"
    return InputError(f"no file, setting or shipped instance of that name; {offer}", shown)


def _no_file(text: str) -> InputError:
    """Say why a file cannot be read, and offer a shipped instance of much the same name."""
    from mecopt.files import read_bytes

    try:
        read_bytes(text)
    except InputError as error:
        if not os.path.lexists(text):
            near = difflib.get_close_matches(stem(Path(text))[:MOST_SHOWN], shipped(), n=1, cutoff=LIKE)
            if near:
                return InputError(f"no such file; mecopt ships an instance {near[0]}", text)
        return error
    except ValueError:  # a NUL in the name
        pass
    return InputError("no such file", text)
