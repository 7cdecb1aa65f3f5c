"""A signal ends a process wherever it comes, also where Python drops exceptions."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from dumptruth.fixtures.app import interruption

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send these signals")

INSTALLED = """
import gc, os, signal, sys, time
from dumptruth.fixtures.app import interruption
signal.signal(getattr(signal, sys.argv[1]), signal.SIG_DFL)  # what started the tests may ignore it
interruption.install()

def send():
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))

def ended(wait):
    try:
        wait()
    except interruption.Interrupted as error:
        sys.exit(error.status)
"""
DELETED = """
class Deleted:
    def __del__(self):
        send()
        for _ in range(1000):
            pass

def wait():
    Deleted()
    time.sleep(30)  # one call of the system

ended(wait)
"""
CALLED_BACK = """
import ctypes

@ctypes.CFUNCTYPE(ctypes.c_int)
def called():
    send()
    for _ in range(1000):
        pass
    return 0

def wait():
    called()
    while True:
        pass

ended(wait)
"""
SWALLOWED = """
def wait():
    try:
        send()
        time.sleep(30)
    except BaseException:
        pass
    send()
    time.sleep(30)

ended(wait)
"""
LOADED = """
import enum
original, sent = enum.EnumType.__setattr__, []

def in_the_module(cls, name, value):
    if not sent:
        sent.append(True)
        send()
    original(cls, name, value)

enum.EnumType.__setattr__ = in_the_module

def wait():
    import lief
    if sent:
        time.sleep(30)

ended(wait)
"""
WHILE_IT_CLEANS_UP = """
def wait():
    try:
        send()
        time.sleep(30)
    finally:
        send()
        time.sleep(0.1)
        print("clean", flush=True)

ended(wait)
"""


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
@pytest.mark.parametrize(
    "program", [DELETED, CALLED_BACK, LOADED, SWALLOWED], ids=["deleted", "called back", "loaded", "swallowed"]
)
def test_a_signal_ends_the_process_although_no_exception_may_be_raised(name: str, program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INSTALLED + program, name], check=False, timeout=60, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (128 + getattr(signal, name), "")


@posix
def test_a_second_sigterm_does_not_disturb_the_clean_up() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INSTALLED + WHILE_IT_CLEANS_UP, "SIGTERM"],
        check=False, timeout=25, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (143, "clean\n", "")


def test_another_exception_that_python_drops_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    class Deleted:
        def __del__(self) -> None:
            raise ValueError("a bug")

    before, sys.unraisablehook = sys.unraisablehook, interruption._dropped
    try:
        Deleted()
    finally:
        sys.unraisablehook = before
    assert "ValueError: a bug" in capsys.readouterr().err
