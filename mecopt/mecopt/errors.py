"""The error tree: every error that mecopt raises on purpose, with the exit status it becomes."""

from __future__ import annotations

from collections.abc import Iterable

SHOWN = 20  # problems printed before the rest is only counted
LONGEST = 300  # characters that are quoted of an error of somebody else's code


class MecoptError(Exception):
    """Base of every error raised on purpose; its text is what a user reads."""

    exit_status = 1


class InputError(MecoptError):
    """Something given by the caller is wrong.

    Parameters
    ----------
    problems : str or iterable of str
        One line for each problem; each names the place and what was expected.
    source : str, optional
        Where the input came from (a file name), put in front of every line.

    Attributes
    ----------
    problems : tuple of str
        The problems without the source.
    """

    exit_status = 2

    def __init__(self, problems: str | Iterable[str], source: str | None = None) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        self.source = source
        super().__init__(self._text())

    def _text(self) -> str:
        prefix = f"{self.source}: " if self.source else ""
        lines = [prefix + problem for problem in self.problems[:SHOWN]]
        if len(self.problems) > SHOWN:
            lines.append(f"{prefix}and {len(self.problems) - SHOWN} more problems")
        return "\n".join(lines)


class InstanceError(InputError):
    """An instance that breaks the format or one of its rules."""


class PlacementError(InputError):
    """A placement of the wrong shape, or with a node that does not exist."""


class UnknownMethodError(InputError):
    """No method of that name is registered."""


class CouplingError(InputError):
    """The method cannot honour a coupling of the instance."""


class MissingExtraError(MecoptError):
    """An optional part is not installed; the text gives the install line."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional part of mecopt: pip install 'mecopt[{extra}]'")


class MethodError(MecoptError):
    """A method failed by itself; the error that it raised is the cause (``__cause__``)."""


class DisagreementError(MecoptError):
    """A method and the judge disagree, or a bound lies above a value: one of them is wrong."""


def words(error: BaseException) -> str:
    """Return the text of an error of somebody else's code, in one line that can be shown."""
    try:
        text = " ".join(str(error).split())[:LONGEST]
    except Exception:  # its __str__ is their code too
        text = ""
    if not text:
        return "out of memory" if isinstance(error, MemoryError) else "no further message"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def said(error: BaseException) -> str:
    """Return kind and text of an error of somebody else's code, in one line that can be shown."""
    return f"{type(error).__name__}: {words(error)}"
