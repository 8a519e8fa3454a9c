"""What is refused before the first episode: couplings, sizes and folders that a training cannot take."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mecopt.entities import Coupling
from mecopt.errors import InputError, MecoptError
from mecopt_rl.learners.learner import LearnerKind, kind, names
from mecopt_rl.training.lock import LOCK
from mecopt_rl.training.logs import TENSORBOARD
from mecopt_rl.training.training_plan import TrainingPlan
from mecopt_rl.world.episodes import Episodes, SizesDiffer

# Begins what a training may have left that has no checkpoint yet.
BEGUN = (LOCK, TENSORBOARD, "instance.json", ".mecopt-")
NAMED = 3  # of the strange files in a folder


def open_episodes(chosen: LearnerKind[Any, Any], spec: str) -> Episodes:
    """Return the episodes of a spec, for a learner that can take them.

    Raises
    ------
    InputError
        If the spec names none, or the learner can take neither their sizes nor their couplings; the text
        names learners that can.
    """
    try:
        episodes = Episodes(spec)
    except SizesDiffer as error:
        text = f"{error}; learners that take several: {those(lambda other: other.any_size)}"
        raise InputError(text, spec) from None
    check_couplings(chosen, episodes.rules.couplings, spec)
    return episodes


def check_couplings(chosen: LearnerKind[Any, Any], on: frozenset[Coupling], spec: str) -> None:
    """Refuse to train a learner under couplings that it cannot take.

    Raises
    ------
    InputError
        The text names the couplings, and learners that can take them.
    """
    beyond = on - chosen.couplings
    if not beyond:
        return
    what = ", ".join(sorted(map(str, beyond)))
    text = f"{chosen.name} cannot be trained under these couplings: {what}"
    text += f"; learners that can: {those(lambda other: on <= other.couplings)}"
    if Coupling.ENERGY in on:
        text += "; mecopt_rl.training.priced_training trains policies that are told a price of energy"
    raise InputError(text, spec)


def check_workers(chosen: LearnerKind[Any, Any], plan: TrainingPlan) -> None:
    """Refuse several processes, or other machines, to a learner that trains in one.

    Raises
    ------
    InputError
    """
    if not chosen.workers and (plan.workers > 1 or plan.engine != "local"):
        asked = f"--workers {plan.workers}" if plan.workers > 1 else f"--engine {plan.engine}"
        raise InputError(f"{asked}: {plan.learner} trains in one process, on this machine")


def check_folder(folder: Path, checkpoint: str) -> None:
    """Refuse a folder that holds other files and no checkpoint.

    Raises
    ------
    InputError
        If so, or it cannot be read.
    """
    try:
        found = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", str(folder)) from None
    strange = [name for name in found if not name.startswith(BEGUN)]
    if strange and checkpoint not in found:
        more = f" and {len(strange) - NAMED} more" if len(strange) > NAMED else ""
        text = f"holds {', '.join(strange[:NAMED])}{more} but no training; expected an empty or new folder"
        raise InputError(text, str(folder))


def check_still_there(record: Path) -> None:
    """Refuse to go on in a folder that was removed meanwhile, rather than make a part of it anew.

    Raises
    ------
    InputError
        If the file that says what the folder holds is gone.
    """
    if not record.exists():
        raise InputError("was removed while it was written", str(record.parent))


def clear_remains(folder: Path, checkpoint: str) -> None:
    """Remove a training of a larger work that lost its checkpoint: nothing can go on from what is there.

    So it is where the folder was removed while the training wrote. One that another process is at work in
    has a lock.
    """
    if folder.is_dir() and not (folder / checkpoint).exists() and not (folder / LOCK).exists():
        shutil.rmtree(folder, ignore_errors=True)


def those(fits: Callable[[LearnerKind[Any, Any]], bool]) -> str:
    """Return the names of the learners that fit; those of packages that cannot be loaded are left out."""
    found = []
    for name in names():
        with contextlib.suppress(MecoptError):
            if fits(kind(name)):
                found.append(name)
    return ", ".join(found) or "none"
