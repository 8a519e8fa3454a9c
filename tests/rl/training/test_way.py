"""The way of an observation to a step of the optimiser: at most six files, for mtl-a3c those of the page."""

import re
import sys
from pathlib import Path

import pytest
from places import ROOT

import mecopt_rl
from mecopt_rl.learners.learner import kind
from mecopt_rl.training.curriculum import Round
from mecopt_rl.training.rounds import OneShape, Worker
from mecopt_rl.world.fleet import Fleet

PACKAGE = Path(mecopt_rl.__file__).parent
MOST = 6
SPEC = "paper-near:slots=4,servers=2,blocks=2"
LEARNERS = [("mtl-a3c", "best"), ("mtl-a3c", "paper"), ("markov-a3c", "best"),
            ("a3c", "best"), ("dqn", "best"), ("any-size", "best")]  # fmt: skip
COMPILED = {"world/step_kernels.py", "learners/deciding_kernels.py"}  # which a tracer sees only at times
LAST = "learners/optimisers.py"


def passed(learner, recipe):
    """Return the files that run from what is seen to the end of a step, compiled loops apart."""
    chosen = kind(learner)
    settings = chosen.settings(recipe, {"width": 8, "environments": 2})
    make = chosen.curriculum or OneShape.of
    curriculum = make(chosen, SPEC, settings, 0)
    made = chosen.make(curriculum.shape, settings, 0, None)
    curriculum.prepare(made)
    made.begin_round(0)
    begins = {Fleet.observe.__code__, Fleet.step_cost.__code__}
    files, state = set(), "before"

    def file_of(frame):
        path = Path(frame.f_code.co_filename)
        return path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else None

    def watch(frame, event, _):
        nonlocal state
        if event == "call" and state == "before" and frame.f_code in begins:
            state = "on the way"
        if state != "on the way" or file_of(frame) is None:
            return
        files.add(file_of(frame))
        if event == "return" and (file_of(frame), frame.f_code.co_name) == (LAST, "step"):
            state = "there"
            while frame is not None:  # what called it was begun before
                files.add(file_of(frame))
                frame = frame.f_back

    worker = Worker(curriculum, made)
    sys.setprofile(watch)
    try:
        worker.run(Round((1, 0, 0, 0), 2, 0.0, 1.0))
    finally:
        sys.setprofile(None)
    assert state == "there"
    return files - COMPILED - {None}


@pytest.mark.parametrize(("learner", "recipe"), LEARNERS)
def test_it_passes_at_most_six_files(learner, recipe):
    files = passed(learner, recipe)
    assert {"training/rounds.py", LAST} <= files
    assert len(files) <= MOST, sorted(files)


def test_the_page_lists_them():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = page.partition("**An observation becomes a step")[2].partition("The other learners")[0]
    listed = re.findall(r"^\| \d\. .*?`(\S+\.py)` \|$", section, re.MULTILINE)
    assert len(listed) <= MOST
    assert set(listed) == passed("mtl-a3c", "best") | {"world/step_kernels.py"}
