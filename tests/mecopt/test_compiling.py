"""An interrupt while numba compiles comes through, once, when it is done."""

import errno
import importlib
import os
import signal
import sys
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


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """Return a function that imports modules of the texts anew, as a new process would."""
    from mecopt.compiling import KERNELS

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = len(KERNELS)

    def load(**texts):
        for name, text in texts.items():
            path, whole = tmp_path / f"{name}.py", "from mecopt.compiling import njit\n" + text
            if not path.exists() or path.read_text() != whole:  # or it would be compiled again for its date
                path.write_text(whole)
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return [importlib.import_module(name) for name in texts][-1]

    yield load
    del KERNELS[before:]
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


CALLED = "@njit(cache=True)\ndef called(x):\n    return x + {}\n"
CALLS = "@njit(cache=True)\ndef call(x):\n    return {}called(x)\n"


@pytest.mark.parametrize(
    ("how", "name"), [("from kept_callee import called\n", ""), ("import kept_callee\n", "kept_callee.")]
)
def test_a_kernel_whose_callee_has_changed_is_compiled_again(imported, how, name):
    """numba by itself takes the old one, with the old callee in it, since its own file is the same."""
    caller = how + CALLS.format(name)
    assert imported(kept_callee=CALLED.format(1), kept_caller=caller).call(1) == 2
    assert imported(kept_callee=CALLED.format(30), kept_caller=caller).call(1) == 31


def test_a_constant_of_another_module_is_a_part_of_it(imported):
    kernel = "from kept_number import NUMBER\n@njit(cache=True)\ndef call(x):\n    return x + NUMBER\n"
    assert imported(kept_number="NUMBER = 1\n", kept_user=kernel).call(1) == 2
    assert imported(kept_number="NUMBER = 30\n", kept_user=kernel).call(1) == 31


def test_fields_that_have_changed_places_are_another_kernel(imported):
    fields = "from typing import NamedTuple\nclass Pair(NamedTuple):\n    {}: float\n    {}: float\n"
    kernel = "@njit(cache=True)\ndef call(pair):\n    return pair.first\n"
    for names, value in ((("first", "second"), 1.0), (("second", "first"), 2.0)):
        module = imported(kept_fields=fields.format(*names), kept_fields_user=kernel)
        assert module.call(sys.modules["kept_fields"].Pair(1.0, 2.0)) == value


def test_what_another_release_or_a_crash_left_is_compiled_again(imported, tmp_path):
    kernel = "@njit(cache=True)\ndef call(x):\n    return x + 1\n"
    assert imported(kept_damaged=kernel).call(1) == 2
    for ending, data in ((".nbi", b"cmecopt\nNoSuchClass\n."), (".nbc", b"\x80")):
        for path in (tmp_path / "__pycache__").glob(f"kept_damaged*{ending}"):
            kept = path.read_bytes()
            path.write_bytes((kept[: kept.index(b".") + 1] if ending == ".nbi" else b"") + data)
        module = imported(kept_damaged=kernel)
        assert module.call(1) == 2
        assert imported(kept_damaged=kernel).call(1) == 2


def test_a_cache_that_cannot_be_written_is_no_error(imported, monkeypatch):
    from numba.core.caching import IndexDataCacheFile

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(IndexDataCacheFile, "_save_data", full)
    assert imported(kept_nowhere="@njit(cache=True)\ndef call(x):\n    return x + 1\n").call(1) == 2
