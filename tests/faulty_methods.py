"""A third party's methods that fail in every way, as an installed package that a test puts on the path."""

from __future__ import annotations

MODULE = '''
import os
import signal
import sys
import time

import numpy as np

import mecopt


def local(instance):
    return np.where(np.arange(instance.max_blocks) < instance.block_count[:, None], 0, -1)


def steady(instance, run):
    """Log each run that is begun and each that is done, and take a while; warm-ups are not logged."""
    log = os.environ.get("STEADY_LOG")
    name = f"{instance.name} {run.seed} {os.getpid()}"
    if log and not instance.name.startswith("camera"):
        with open(log, "a") as file:
            file.write(f"begin {name}\\n")
    time.sleep(float(os.environ.get("STEADY_S", "0")))
    run.found(local(instance))
    if log and not instance.name.startswith("camera"):
        with open(log, "a") as file:
            file.write(f"end {name}\\n")


def raises(instance, run):
    raise ZeroDivisionError("two lines\\nof text")


def leaves(instance, run):
    print("noise on standard output")
    sys.exit(3)


def dies(instance, run):
    os.kill(os.getpid(), signal.SIGKILL)


def exits(instance, run):
    os._exit(0)


def falsely(instance, run):
    run.infeasible([{"message": "nothing fits, says a method that is wrong"}])


def boasts(instance, run):
    run.improve_bound(1e9)


def shapeless(instance, run):
    run.found(np.zeros((1, 99), dtype=int))


def boundless(instance, run):
    run.improve_bound(float("nan"))


def liar(instance, run):
    run.found(local(instance), objective=1e-3)


def above(instance, run):
    run.found(local(instance), bound=1e9)


def hangs(instance, run):
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass


def chatty(instance, run):
    print("noise on standard output")
    run.notes["secret"] = object()
    run.found(local(instance))


def method(solve, **changes):
    return mecopt.Method(solve.__name__, "heuristic", "for tests", frozenset(), solve, **changes)


STEADY = method(steady, random=True, options=frozenset({"policy", "x"}))
RAISES, LEAVES, DIES, SHAPELESS, BOUNDLESS = map(method, (raises, leaves, dies, shapeless, boundless))
LIAR, ABOVE, HANGS, CHATTY = map(method, (liar, above, hangs, chatty))
EXITS, FALSELY, BOASTS = map(method, (exits, falsely, boasts))
'''
NAMES = ("steady", "raises", "leaves", "dies", "shapeless", "boundless", "liar", "above", "hangs", "chatty")
NAMES += ("exits", "falsely", "boasts")


def install(folder):
    """Write the package into a folder, which then goes on the path; return it as text."""
    (folder / "faulty_plugin.py").write_text(MODULE)
    info = folder / "faulty_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-plugin\nVersion: 1.0\n")
    entries = "".join(f"{name} = faulty_plugin:{name.upper()}\n" for name in NAMES)
    (info / "entry_points.txt").write_text(f"[mecopt.methods]\n{entries}")
    return str(folder)
