"""An interrupt while numba compiles comes through, once, when it is done."""

import os
import signal
import threading

import pytest

from mecopt.interrupts import interrupts_kept


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def work(*steps):
    with interrupts_kept():
        for step in steps:
            step()


def fail():
    raise RuntimeError("no compiled object yet")


def test_it_is_raised_at_the_end_and_the_work_is_done():
    before, done = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt):
        work(interrupt, lambda: done.append(1))
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_one_ends_it_at_once():
    done = []
    with pytest.raises(KeyboardInterrupt):
        work(interrupt, interrupt, lambda: done.append(1))
    assert done == []


def test_an_error_after_an_interrupt_is_the_interrupts():
    with pytest.raises(KeyboardInterrupt):
        work(interrupt, fail)
    with pytest.raises(RuntimeError, match="no compiled object"):
        work(fail)


def test_other_threads_cannot_and_need_not():
    done = []
    thread = threading.Thread(target=work, args=(lambda: done.append(1),))
    thread.start()
    thread.join()
    assert done == [1]
