"""Engines for `mecopt_solvers.programs.apart`: they run in another process, which imports them by name."""

import os
import time

import numpy as np

from mecopt_solvers.programs.jobs import SearchOutcome


def answers(job, note):
    note("noted")
    job.found(np.ones(job.program.columns))
    job.bound(0.5)
    return SearchOutcome("optimal", 1.0)


def never_stops(job, note):
    """Like a library in presolve: something was found, and nothing stops it."""
    job.found(np.ones(job.program.columns))
    time.sleep(60)


def prints(job, note):
    os.write(1, b"a library that greets\n")
    return SearchOutcome("infeasible")


def dies(job, note):
    os._exit(9)
