"""What other projects measured, with their machines and rules; what an instance cannot say is refused."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from mecopt.errors import InputError, InstanceError

if TYPE_CHECKING:
    from mecopt.importing.model_document import ModelDocument
    from mecopt.instance import Instance

Reader = Callable[[str, str | None], "tuple[ModelDocument, Instance]"]


def import_foreign(place: str, kind: str, name: str | None) -> tuple[ModelDocument, Instance]:
    """Read what a project measured: the model, and the instance with the machines, links and rules.

    Parameters
    ----------
    place : str
        Its file or folder.
    kind : str
        One of `mecopt.importing.FOREIGN`.
    name : str, optional
        Which model, where there are several; else what it is called.

    Raises
    ------
    InputError
        If it cannot be read, or has what an instance cannot say; the text names it.
    """
    reader: Reader = import_module(f"mecopt.importing.foreign.{kind}").read
    try:
        return reader(place, name)
    except InstanceError as error:
        raise InputError(error.problems, error.source or place) from None
