"""The seam: what a method is, and how one is found by its name.

Methods are entry points of group ``mecopt.methods``, each naming a `Method`. Nothing else lists them.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any, Literal

from mecopt.errors import CouplingError, InputError, MecoptError, UnknownMethodError, said, words
from mecopt.offers import offered

if TYPE_CHECKING:
    from mecopt.entities import Coupling
    from mecopt.incumbent import Run
    from mecopt.instance import Instance

GROUP = "mecopt.methods"

Kind = Literal["exact", "heuristic", "baseline", "learner"]
Stance = Literal["respects", "tries", "ignores"]

OF_ONE_TASK = ("link", "deadline")  # limits that every instance may have, whatever its couplings


@dataclass(frozen=True)
class Method:
    """A way to solve instances.

    Towards each limit (missing links, hard deadlines, and the couplings) it has one of three stances.
    It *respects* a limit when, left to run to its end, it never returns a placement that breaks it although
    some placement keeps to all limits. It *tries* when it may end with such a placement, which the result
    then calls violating. It *ignores* a coupling that it has no regard for: an instance that has it is
    refused, unless as a relaxation.

    Parameters
    ----------
    name : str
        The name that users type.
    kind : {"exact", "heuristic", "baseline", "learner"}
    summary : str
        One line for `mecopt methods`.
    honours : frozenset of Coupling
        The couplings that it takes into account: respects, or tries to.
    solve : callable
        ``solve(instance, run)`` hands every placement and bound to the `Run` as it finds them, and returns
        when it is done or when ``run.should_stop()`` says so. Heavy imports belong inside it.
    random : bool
        Whether the seed makes a difference.
    options : frozenset of str
        Names of the options that it takes; any other is refused before it starts.
    warm_up : callable, optional
        Compiles what solving tiny instances does not; called by `mecopt.warm_up`.
    respects : frozenset of str, optional
        The limits that it respects: "link", "deadline", and couplings out of `honours`. By default all of
        these for an exact method, and none for any other.

    takes : frozenset of str, optional
        What it takes beyond links, block deadlines and couplings: members of `mecopt.features.Feature`, none
        by default. An instance that asks for another one is refused.

    refuses : callable, optional
        Returns why an instance of which it takes every part cannot be taken as a whole, "" where it can.

    checks : callable, optional
        Gets the options before any work and whatever the instance; raises an `InputError` where a value can
        be of no use, as a policy file that is none.

    Raises
    ------
    ValueError
        If a coupling does not exist, or one is said to be respected but not honoured.
    """

    name: str
    kind: Kind
    summary: str
    honours: frozenset[Coupling]
    solve: Callable[[Instance, Run], None]
    random: bool = False
    options: frozenset[str] = frozenset()
    warm_up: Callable[[], None] | None = None
    takes: frozenset[str] = frozenset()
    respects: frozenset[str] | None = None
    refuses: Callable[[Instance], str] | None = None
    checks: Callable[[Mapping[str, Any]], None] | None = None

    def __post_init__(self) -> None:
        from mecopt.entities import Coupling
        from mecopt.features import Feature

        honours = frozenset(Coupling(name) for name in self.honours)
        able = honours | set(OF_ONE_TASK)
        respects = able if self.exact else frozenset()
        if self.respects is not None:
            respects = frozenset(str(name) for name in self.respects)
        if not respects <= able:
            wrong = ", ".join(sorted(respects - able))
            raise ValueError(f"respects {wrong}, expected only {', '.join(OF_ONE_TASK)} and what it honours")
        object.__setattr__(self, "honours", honours)
        object.__setattr__(self, "options", frozenset(self.options))
        object.__setattr__(self, "takes", frozenset(Feature(name) for name in self.takes))
        object.__setattr__(self, "respects", respects)

    def stance(self, limit: str) -> Stance:
        """Return what it does about a limit: "link", "deadline", or a coupling."""
        if limit in (self.respects or ()):
            return "respects"
        return "tries" if limit in OF_ONE_TASK or limit in self.honours else "ignores"

    def suits(self, instance: Instance) -> bool:
        """Say whether it takes an instance, couplings included."""
        from mecopt import features

        able = self.honours >= instance.rules.couplings and self.takes >= features.of(instance)
        return able and not (self.refuses is not None and self.refuses(instance))

    @property
    def exact(self) -> bool:
        """Whether it proves the optimum when given the time."""
        return self.kind == "exact"


@cache
def _entries() -> dict[str, EntryPoint]:
    return offered(GROUP)


def entry(name: str) -> EntryPoint:
    """Return the entry point of a registered method."""
    return _entries()[name]


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
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the code of a third party may raise anything
        raise MecoptError(f"method {name!r} ({entry.value}) cannot be loaded: {_why(error)}") from error
    if not isinstance(found, Method):
        kind = type(found).__name__
        raise MecoptError(f"method {name!r} ({entry.value}) is a {kind}, expected a mecopt.Method")
    return found if found.name == name else replace(found, name=name)  # what users type finds it again


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
    """Refuse a method that does not take all that the instance asks for, and name those that do.

    Raises
    ------
    InputError
        If it does not take a field of the wider format that the instance uses.
    CouplingError
        If there is a coupling that it does not honour.
    """
    _check_parts(chosen, instance)
    missing = instance.rules.couplings - chosen.honours
    if missing:
        raise CouplingError(
            f"{chosen.name} cannot honour {_names(missing)}; {_able(instance.rules.couplings)}; "
            "as a relaxation (--relax, relax=True) it gives a lower bound"
        )
    _check_whole(chosen, instance)


def check_takes(chosen: Method, instance: Instance) -> None:
    """Refuse a method that does not take what the instance asks for beyond couplings.

    Raises
    ------
    InputError
        If it does not; the text names what is in the way, and the methods that take all of it.
    """
    _check_parts(chosen, instance)
    _check_whole(chosen, instance)


def _check_parts(chosen: Method, instance: Instance) -> None:
    from mecopt import features

    asked = features.of(instance)
    if not asked <= chosen.takes:
        missed = ", ".join(sorted(asked - chosen.takes))
        raise InputError(f"{chosen.name} does not take {missed}; {_suited(instance)}")


def _check_whole(chosen: Method, instance: Instance) -> None:
    reason = "" if chosen.refuses is None else chosen.refuses(instance)
    if reason:
        raise InputError(f"{chosen.name} {reason}; {_suited(instance)}")


def _suited(instance: Instance) -> str:
    names = ", ".join(m.name for m in methods() if m.suits(instance)) or "none installed"
    return f"methods that take all of it: {names}"


def check_options(chosen: Method, options: Mapping[str, Any]) -> None:
    """Refuse options that the method does not have, and values that it can never use.

    Raises
    ------
    InputError
        For the first of them, with the name that was meant or those that there are.
    """
    for name in sorted(set(options) - chosen.options):
        near = difflib.get_close_matches(name, chosen.options, n=1)
        known = ", ".join(sorted(chosen.options)) or "none"
        offer = f"did you mean {near[0]!r}?" if near else f"it has {known}"
        raise InputError(f"{chosen.name} has no option {name!r}; {offer}")
    if chosen.checks is not None and options:
        chosen.checks(options)


def _why(error: BaseException) -> str:
    return words(error) if isinstance(error, Exception) else said(error)


def _able(couplings: frozenset[Coupling]) -> str:
    """Name the methods that honour couplings, those first that respect all of them."""
    able = [m for m in methods() if m.honours >= couplings]
    sure = [m.name for m in able if (m.respects or frozenset()) >= couplings]
    others = ", ".join(m.name for m in able if m.name not in sure)
    if sure:
        return f"methods that can: {', '.join(sure)}" + (f"; that try: {others}" if others else "")
    return f"methods that can try: {others}" if others else "methods that can: none installed"


def _names(couplings: frozenset[Coupling]) -> str:
    return ", ".join(sorted(couplings))
