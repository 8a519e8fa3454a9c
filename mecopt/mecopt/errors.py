"""The error tree: every error that mecopt raises on purpose, with the exit status it becomes."""

from __future__ import annotations

from collections.abc import Iterable

from mecopt.text import visible

SHOWN = 20  # problems printed before the rest is only counted
LONGEST = 300  # characters that are quoted of an error of somebody else's code
MOST = 400  # characters of a line on the terminal, PREFIX included
PREFIX = "mecopt: "
MOST_SOURCE = 150  # characters of a file's name in front of a problem


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
        lines = [located(self.source, problem) for problem in self.problems[:SHOWN]]
        if len(self.problems) > SHOWN:
            lines.append(located(self.source, f"and {len(self.problems) - SHOWN} more problems"))
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
    return visible(text)


def said(error: BaseException) -> str:
    """Return kind and text of an error of somebody else's code, in one line that can be shown."""
    return f"{type(error).__name__}: {words(error)}"


def shortened(text: str, most: int) -> str:
    """Return a text of at most `most` characters; a longer one loses its middle."""
    if len(text) <= most:
        return text
    head = 2 * (most - 3) // 3
    return f"{text[:head]}...{text[len(text) - (most - 3 - head) :]}"


def shown(value: object, most: int = 60) -> str:
    """Return a value as Python writes it, for a message: in one line of at most `most` characters."""
    if isinstance(value, str):  # cut before it is escaped, since a text may be megabytes
        return shortened(repr(shortened(value, most)), most)
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        text = "a whole number of thousands of digits"
    return shortened(visible(text), most)


def listed(names: Iterable[str], most: int = 120) -> str:
    """Return names as Python writes them, each by itself, in at most `most` characters."""
    return shortened(", ".join(map(shown, names)), most)


def terminal_line(text: str, encoding: str | None = None) -> str:
    """Return a text as the line that a terminal of that encoding gets: visible, and not too long."""
    encoding = encoding or "utf-8"
    return shortened(visible(text).encode(encoding, "backslashreplace").decode(encoding), MOST)


def located(source: str | None, problem: str) -> str:
    """Return a problem as one line with its source in front, short enough for a terminal's line.

    The source and the problem are shortened apart, each in its middle, so that the place, which
    begins a problem, and what was expected, which ends it, are kept.
    """
    front = "" if source is None else f"{shortened(visible(source) or repr(source), MOST_SOURCE)}: "
    return front + shortened(visible(problem), MOST - len(PREFIX) - len(front))
