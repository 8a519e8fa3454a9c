"""Who is asked something that he does not know says so by name."""

from __future__ import annotations

from mecopt import features, limits
from mecopt.entities import Coupling
from mecopt.errors import CouplingError, InputError, MecoptError
from mecopt.instance import Instance


class InfeasibleError(MecoptError):
    """Some task has no feasible placement, so there is nothing to weigh."""

    exit_status = 3


class NothingFoundError(MecoptError):
    """No feasible plan was found in the time given, and it is not proved that there is none."""

    exit_status = 4


def check_takes(
    who: str,
    instance: Instance,
    takes: frozenset[str],
    honours: frozenset[Coupling] = frozenset(),
    instead: str = "",
) -> None:
    """Refuse an instance that asks for what is not taken; `instead` ends the text.

    Raises
    ------
    CouplingError
        For a coupling.
    InputError
        For anything else.
    """
    limits.of(instance)  # a coupling that nothing judges
    missing = instance.rules.couplings - honours
    if missing:
        raise CouplingError(f"{who} does not take the coupling {', '.join(sorted(missing))}{instead}")
    unknown = features.of(instance) - takes
    if unknown:
        raise InputError(f"{who} does not take {', '.join(sorted(unknown))}{instead}")
