"""The seam: what a method is, and how one is found by its name.

Methods are entry points of group ``mecopt.methods``, each naming a `Method`. Nothing else lists them.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Literal

from mecopt.errors import CouplingError, InputError, MecoptError, UnknownMethodError

if TYPE_CHECKING:
    from mecopt.entities import Coupling
    from mecopt.incumbent import Run
    from mecopt.instance import Instance

GROUP = "mecopt.methods"

Kind = Literal["exact", "heuristic", "baseline", "learner"]


@dataclass(frozen=True)
class Method:
    """A way to solve instances.

    Parameters
    ----------
    name : str
        The name that users type.
    kind : {"exact", "heuristic", "baseline", "learner"}
    summary : str
        One line for `mecopt methods`.
    honours : frozenset of Coupling
        The couplings that it can take into account.
    solve : callable
        ``solve(instance, run)`` hands every placement and bound to the `Run` as it finds them, and returns
        when it is done or when ``run.should_stop()`` says so. Heavy imports belong inside it.
    random : bool
        Whether the seed makes a difference.
    options : frozenset of str
        Names of the options that it takes; any other is refused before it starts.
    warm_up : callable, optional
        Compiles what solving tiny instances does not; called by `mecopt.warm_up`.
    """

    name: str
    kind: Kind
    summary: str
    honours: frozenset[Coupling]
    solve: Callable[[Instance, Run], None]
    random: bool = False
    options: frozenset[str] = frozenset()
    warm_up: Callable[[], None] | None = None

    @property
    def exact(self) -> bool:
        """Whether it proves the optimum when given the time."""
        return self.kind == "exact"


@cache
def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def method(name: str) -> Method:
    """Return the method of that name.

    Raises
    ------
    UnknownMethodError
        If there is none; the nearest names are offered.
    MecoptError
        If the package that offers it cannot be imported, or offers something else.
    """
    entry = _entries().get(name)
    if entry is None:
        near = difflib.get_close_matches(name, _entries(), n=3)
        offer = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(_entries()))}"
        raise UnknownMethodError(f"no method {name!r}; {offer}")
    try:
        found = entry.load()
    except Exception as error:  # the code of a third party may raise anything
        raise MecoptError(f"method {name!r} ({entry.value}) cannot be loaded: {error}") from error
    if not isinstance(found, Method):
        kind = type(found).__name__
        raise MecoptError(f"method {name!r} ({entry.value}) is a {kind}, expected a mecopt.Method")
    return found


def methods() -> tuple[Method, ...]:
    """Return every registered method, sorted by name; one that cannot be loaded is warned of and left out."""
    found = []
    for name in sorted(_entries()):
        try:
            found.append(method(name))
        except MecoptError as error:  # somebody else's broken package must not stop the others
            warnings.warn(str(error), stacklevel=2)
    return tuple(found)


def check_honours(chosen: Method, instance: Instance) -> None:
    """Refuse a method that cannot honour the instance's couplings, and name those that can."""
    missing = instance.rules.couplings - chosen.honours
    if missing:
        able = [m.name for m in methods() if m.honours >= instance.rules.couplings]
        raise CouplingError(
            f"{chosen.name} cannot honour {_names(missing)}; "
            f"methods that can: {', '.join(able) or 'none installed'}; "
            "as a relaxation (--relax, relax=True) it gives a lower bound"
        )


def check_options(chosen: Method, options: Iterable[str]) -> None:
    """Refuse options that the method does not have."""
    for name in sorted(set(options) - chosen.options):
        near = difflib.get_close_matches(name, chosen.options, n=1)
        known = ", ".join(sorted(chosen.options)) or "none"
        offer = f"did you mean {near[0]!r}?" if near else f"it has {known}"
        raise InputError(f"{chosen.name} has no option {name!r}; {offer}")


def _names(couplings: frozenset[Coupling]) -> str:
    return ", ".join(sorted(couplings))
