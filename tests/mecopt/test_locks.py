"""Locks between processes: one at a time, the last of several, and none of the dead."""

import os
import subprocess
import sys
import threading

import pytest

from mecopt import locks
from mecopt.errors import InputError
from mecopt.locks import FileLock, only_one

HOLD = """
import sys
from mecopt.locks import FileLock
lock = FileLock(sys.argv[1])
assert lock.alone()
print(flush=True)
sys.stdin.read(1)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lock"


def test_alone_and_shared(path):
    first, second, third = FileLock(path), FileLock(path), FileLock(path)
    assert first.alone()
    assert not second.alone()
    first.share()
    second.share()
    assert not third.alone()
    assert not second.alone()  # and has given up its share
    assert first.alone()  # the last of them gets it
    first.release()
    assert not path.exists()
    third.release()


def test_a_file_that_was_deleted_since_is_no_lock(path, monkeypatch):
    """Another process holds the lock under its old name; the file that has the name now is another."""
    first, second = FileLock(path), FileLock(path)
    assert first.alone()
    opened = FileLock._opened

    def late(self):
        file = opened(self)
        first.release()
        return file

    monkeypatch.setattr(FileLock, "_opened", late)
    second.share()
    assert second._is_the_path()
    second.release()


def test_the_lock_of_the_dead_is_free(path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdout.readline()
    lock = FileLock(path)
    assert not lock.alone()
    process.kill()
    process.communicate()
    assert path.exists()
    assert lock.alone()
    lock.release()
    assert not path.exists()


def test_a_long_wait_is_told_once(path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE_S", 0.1)
    first, second, told = FileLock(path), FileLock(path), []
    assert first.alone()
    timer = threading.Timer(0.5, first.release)
    timer.start()
    second.wait_alone(lambda: told.append(1))
    timer.join()
    assert told == [1]
    second.release()


def test_only_one(path):
    busy = InputError("busy")
    with only_one(path, busy), pytest.raises(InputError, match="busy"), only_one(path, busy):
        pass
    assert not path.exists()


def test_where_there_are_no_locks(path, monkeypatch):
    monkeypatch.setattr(locks, "_fcntl", lambda: None)
    lock = FileLock(path)
    assert not lock.known
    assert not lock.alone()
    lock.share()
    lock.wait_alone(pytest.fail)
    with only_one(path, InputError("busy")), only_one(path, InputError("busy")):
        pass
    lock.release()
    assert not path.exists()


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=rf"^{tmp_path}: cannot be written in \("):
        FileLock(tmp_path / "folder").alone()
    with pytest.raises(InputError, match="cannot be written in"):
        FileLock(tmp_path / "none" / "lock").share()
    assert os.listdir(tmp_path) == ["folder"]
