"""Random instances for what-if answers, and what they are held to: every placement judged one by one."""

import dataclasses

import numpy as np

from mecopt import features
from mecopt.entities import Objective, OneRun
from mecopt_solvers.crosscheck import random_instance, wide_instance
from mecopt_solvers.crosscheck.brute import brute_force


def drawn(seed):
    """Draw an instance, every second one with anything of the wider model."""
    rng = np.random.default_rng(seed)
    return wide_instance(rng) if seed % 2 else random_instance(rng)


def single(instance, **rules):
    """Return the instance without what joins tasks or asks for more than steps."""
    changed = {"couplings": frozenset(), "one_run": OneRun.NONE, "sharing": None, **rules}
    if instance.rules.objective.period or instance.rules.objective.delay == 0:
        changed.setdefault("objective", Objective())
    instance = instance.replace(rules=dataclasses.replace(instance.rules, **changed))
    return features.without(instance, features.RELAXABLE)


def best(instance):
    """Return the least objective of all placements; None where none is feasible."""
    found = brute_force(instance)
    return None if found is None else found.objective


def alike(one, other, tolerance=1e-9):
    """Say whether two objectives are the same, None for what is not feasible."""
    if one is None or other is None:
        return one is other
    return abs(one - other) <= tolerance * max(abs(one), abs(other), 1e-12)
