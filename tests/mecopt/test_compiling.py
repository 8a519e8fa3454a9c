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


def test_a_block_within_a_block_leaves_it_to_the_outer_one():
    done = []
    with pytest.raises(KeyboardInterrupt):
        work(lambda: work(interrupt), lambda: done.append(1))
    assert done == [1]


def test_a_kernel_keeps_an_interrupt_until_it_is_compiled(monkeypatch):
    """Whoever calls it: what was compiled is there afterwards."""
    from mecopt.compiling import KERNELS, njit

    def one_more(x):
        return x + 1

    kernel = njit(cache=True)(one_more)
    KERNELS.remove(kernel)
    monkeypatch.setattr(kernel._cache, "_enabled", False)
    compiled = kernel._compiler.compile

    def interrupted(*arguments):
        interrupt()
        return compiled(*arguments)

    monkeypatch.setattr(kernel._compiler, "compile", interrupted)
    with pytest.raises(KeyboardInterrupt):
        kernel(1)
    assert len(kernel.signatures) == 1
    assert kernel(1) == 2


def test_other_threads_cannot_and_need_not():
    done = []
    thread = threading.Thread(target=work, args=(lambda: done.append(1),))
    thread.start()
    thread.join()
    assert done == [1]
