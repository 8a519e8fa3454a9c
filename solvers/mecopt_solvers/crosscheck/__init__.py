"""Random small instances, and every placement of them: what exact methods are held against.

`plain` draws instances of the first format, `wider` those that use the whole model, `brute` looks at every
placement, and `checking` holds methods against it.
"""

from mecopt_solvers.crosscheck.brute import brute_force
from mecopt_solvers.crosscheck.checking import Check, check, instances
from mecopt_solvers.crosscheck.first_format import SETS, random_instance
from mecopt_solvers.crosscheck.wider_format import wide_instance

__all__ = ["SETS", "Check", "brute_force", "check", "instances", "random_instance", "wide_instance"]
